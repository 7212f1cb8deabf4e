//! Evaluations on a builder whose side is real: all that the client sends runs there, in a shell on a machine of its own
//! (`tests/program/stubs/builder.sh`), with real namespaces, mounts, modes and tar. Only its Nix is a stand-in, which reads
//! what the configuration names and says in Nix's words what it may not see (`tests/program/stubs/reading-nix.sh`).
//!
//! To add one: write a `#[test]` into the file here that fits (or into a new one: `mod NAME;` below), and in it
//!
//! ```ignore
//! let Some(builder) = Builder::new() else { return };
//! builder.configure("x = builtins.readFile ./motd;");
//! builder.write("client/nixos/motd", "hello\n");
//! let run = builder.evaluates();
//! assert_eq!(run.rounds(), ["none"]);
//! ```
//!
//! `new` gives none where this machine forbids user namespaces, which the test then says. `configure` writes the lines of the
//! configuration, in the words that the stand-in for Nix knows. Files of the client are `builder.write("client/...")`, and
//! lie in its `/client`, beside the configuration in `/client/nixos`; those of the builder are below `builder/`:
//! `builder/home`, `builder/nix/store`, `builder/run`, and `builder/same` is what the builder has as `/client`. `evaluates` is a run that must come to its end with
//! the same derivation as an evaluation on the client, and leave nothing but what is kept; `run` is any run. A
//! [`Evaluated`] says what the builder has said (`events`, `rounds`) and what the evaluation has seen (`seen`).
//! Store paths of the client alone are in `store/`. A number in the file `cut` is a link that breaks after so many bytes of
//! files. A [`link::Link`] forwards sockets as sshd does, and is the client's daemon.

mod away;
mod collected;
mod delivery;
mod emulation;
mod endings;
mod entries;
mod files;
mod flakes;
mod jobs;
mod large;
mod left;
mod link;
mod releases;
mod trees;
mod unchanged;
mod unseen;
mod upgrade;
mod variables;
mod ways;

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::SYSTEM;
use crate::stubs::{Run, Stage};

const PLACE: &str = include_str!("../stubs/builder.sh");
const NIX: &str = include_str!("../stubs/reading-nix.sh");

pub(crate) const NIXPKGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/stubs/nixpkgs.nix");

/// Where the builder's Nix is, below the stage.
const PROGRAMS: &str = "builder/nix/store/33333333333333333333333333333333-nix-2.26.3";

/// What is the client's alone (machine.sh). Nothing around its files may differ from run to run: neither other tests' stages
/// nor the times of what is made anew. Of its package collection, the file is one that has long been there: a young one would be
/// known by its content now, and by its time a few seconds later.
pub(crate) const CLIENT: &str = r#"
mkdir "$root/client"
mount --bind "$stage/client" "$root/client"
mount -t tmpfs -o mode=1777 none "$root/var/tmp"
mkdir "$root$stage"
mount --bind "$stage" "$root$stage"
mount --bind "$nixpkgs" "$root/client/nixpkgs/nixos/default.nix"
[ ! -e "$stage/store" ] || cp -a "$stage/store" "$root/nix/"
find "$root/nix" "$root/run" -exec touch -h -d @1 {} +
"#;

/// The usual run. It evaluates whatever is remembered.
const BUILD: &str = "build --eval-on builder --no-lend --no-eval-cache";

/// As whom the client logs in (`KIND` in builder.sh).
#[derive(Clone, Copy)]
enum Login {
    /// root, who may make user namespaces.
    Usual,
    /// root, who may not.
    RootWithoutNamespaces,
    /// Somebody else, who may not either.
    UserWithoutNamespaces,
    /// Such a one, who may become root by sudo.
    UserWithSudo,
}

impl Login {
    fn word(self) -> &'static str {
        match self {
            Self::Usual => "user",
            Self::RootWithoutNamespaces => "root",
            Self::UserWithoutNamespaces => "nobody",
            Self::UserWithSudo => "sudo",
        }
    }
}

/// A client, and a builder that it may log in to.
struct Builder {
    stage: Stage,
    /// Its Nix daemon.
    _daemon: UnixListener,
}

impl Deref for Builder {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl Drop for Builder {
    /// Whom modes stop could not take it away.
    fn drop(&mut self) {
        let mut command = Command::new("chmod");
        let status = command.args(["-R", "u+rwX"]).arg(self.path("builder")).status();
        assert!(status.is_ok() || thread::panicking());
    }
}

/// A run that evaluated there.
struct Evaluated {
    run: Run,
    /// What the builder has said, its log included.
    said: String,
    /// What the evaluation has seen, by the derivation that it has come to.
    seen: String,
}

impl Builder {
    fn new() -> Option<Self> {
        Self::with(Login::Usual)
    }

    fn with(login: Login) -> Option<Self> {
        let is_root = nix::unistd::geteuid().is_root();
        let outer: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
        if !may_make_namespaces(outer) {
            // root of a whole machine may: there, all of this has to run.
            assert!(!is_root || !has_user_namespaces(), "root, who may make no namespaces");
            return skip("this machine does not let its users make user namespaces");
        }
        if !is_root && !matches!(login, Login::Usual) {
            return skip("not root, who alone can play several users");
        }
        let stage = Stage::own_machine(SYSTEM);
        stage.prepare(&format!("nixpkgs='{NIXPKGS}'{CLIENT}"));
        // Not where the result's link would stay.
        stage.typed_in("/");
        stage.write("client/nixpkgs/nixos/default.nix", "{ }");
        stage.write("client/nixos/hardware.nix", "{ }");
        // What the program makes itself would be new names in the home.
        stage.write("client/home/.cache/.keep", "");
        stage.write("client/home/.local/state/.keep", "");
        for (name, value) in [
            ("HOME", "/client/home"),
            (
                "NIX_PATH",
                "nixpkgs=/client/nixpkgs:nixos-config=/client/nixos/configuration.nix",
            ),
        ] {
            stage.variable(name, value);
        }
        let daemon = "builder/nix/var/nix/daemon-socket/socket";
        stage.write("builder/builder.sh", PLACE);
        stage.write("builder/nix/var/nix/daemon-socket/.keep", "");
        stage.write("builder/run/.keep", "");
        stage.write("builder/same/.keep", "");
        stage.write(&format!("{PROGRAMS}/version"), "2.26.3\n");
        for program in [
            "nix-instantiate",
            "nix-build",
            "nix",
            "nix-store",
            "nix-daemon",
            "nix-prefetch-url",
        ] {
            stage.write(&format!("{PROGRAMS}/bin/{program}"), NIX);
            set_mode(&stage, &format!("{PROGRAMS}/bin/{program}"), 0o755);
        }
        for directory in [
            "here",
            "builder/home",
            "builder/shm",
            "builder/emulators",
            "builder/root",
            "builder/nix/store",
        ] {
            fs::create_dir_all(stage.path(directory)).unwrap();
            set_mode(&stage, directory, 0o1777);
        }
        // Whoever logs in is to find their way.
        set_mode(&stage, "", 0o755);
        stage.stub("ssh", &ssh(outer, login));
        stage.stub("nix-copy-closure", "");
        let daemon = UnixListener::bind(stage.path(daemon)).unwrap();
        let builder = Self { stage, _daemon: daemon };
        builder.stub("nix-build", &Self::program_here("nix-build"));
        if matches!(login, Login::UserWithSudo) && !builder.sudo_works() {
            return skip("this machine obeys no set-user-ID bit of ours, without which nobody can play sudo");
        }
        Some(builder)
    }

    /// Whether the stand-in for sudo makes a user root, of which nothing is kept.
    fn sudo_works(&self) -> bool {
        let command = "PATH=$PATH:/run/wrappers/bin; sudo -n -- id -u || :";
        let login = format!("STAGE=$PWD bin/ssh builder '{command}'; rm builder/said.* builder/status.*; : >calls");
        self.sh(&login) == "0\n"
    }

    /// What a stand-in on the client does, to be that program of the builder's Nix.
    fn program_here(name: &str) -> String {
        format!("cd here && IN_STORE=$PWD exec ../{PROGRAMS}/bin/{name} \"$@\"")
    }

    /// The configuration, of lines that the stand-in for Nix knows.
    fn configure(&self, lines: &str) {
        self.write("client/nixos/configuration.nix", &format!("{{\n{lines}\n}}\n"));
    }

    /// A run of this command line, and what the builder has said in it.
    fn run(&self, line: &str) -> (Run, String) {
        let before = self.said().len();
        let run = self.rebuild(line);
        (run, self.said()[before..].to_owned())
    }

    /// A run that comes to the derivation of an evaluation here, and leaves nothing but what is kept.
    fn evaluates(&self) -> Evaluated {
        let (run, said) = self.run(BUILD);
        self.has_evaluated(run, said)
    }

    fn has_evaluated(&self, run: Run, said: String) -> Evaluated {
        assert_eq!(run.code, 0, "{}{said}", run.stderr);
        run.gives(self.rebuild("build").stdout.trim_end());
        self.nothing_is_left();
        let seen = self.of_derivation(&said);
        Evaluated { run, said, seen }
    }

    /// All that the builder has said so far, login by login.
    fn said(&self) -> String {
        self.sh("cat $(ls -tr builder/said.* 2>/dev/null) /dev/null")
    }

    /// The derivation that was evaluated: its output's name, and what was seen.
    fn of_derivation(&self, said: &str) -> String {
        let line = said.lines().find(|line| line.starts_with("@rebuild evaluated "));
        let path = line.unwrap().trim_start_matches("@rebuild evaluated ");
        self.read(&format!("builder{path}"))
    }

    /// Neither a job nor a run's directory, nor one that it shared with the daemon, nor a mount of it.
    fn nothing_is_left(&self) {
        self.wait_for_jobs();
        let left = self.sh("ls -d builder/shm/* builder/root/* builder/home/.cache/rebuild/*/run.* 2>/dev/null || :");
        assert_eq!(left, "");
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(&self.path("").display().to_string()), "{mounts}");
    }

    /// The mirrors that are kept, the newest first.
    fn mirrors(&self) -> Vec<PathBuf> {
        let listed = self.sh("ls -dt builder/home/.cache/rebuild/*/mirrors/*");
        listed.lines().map(|name| self.path(name)).collect()
    }

    /// A file of the client, as the newest mirror has it.
    fn mirrored(&self, name: &str) -> PathBuf {
        self.mirrors()[0].join(name)
    }

    /// Whether this text is anywhere on the builder.
    fn has(&self, text: &str) -> bool {
        let found = self.sh(&format!(
            "grep -rl -F -e '{text}' builder/home builder/nix builder/shm || :"
        ));
        !found.is_empty()
    }

    /// From now on evaluations wait until [`Builder::release`].
    fn hold(&self) {
        self.sh("mkfifo -m 666 builder/nix/store/hold");
    }

    /// Until so many evaluations wait.
    fn wait_for_evaluations(&self, number: usize) {
        self.wait_until("an evaluation", || self.evaluating() >= number);
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        // Long, because a machine may be busy with other things as well.
        let deadline = Instant::now() + Duration::from_secs(150);
        while !is_so() {
            assert!(Instant::now() < deadline, "waited for {what}: {}", self.said());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether every login that began has ended, of its own accord or not.
    fn logins_are_over(&self) -> bool {
        let count = |kind: &str| self.sh(&format!("ls builder | grep -c '^{kind}' || :"));
        count("said.") == count("status.")
    }

    /// The number of logins that have ended of their own accord.
    fn ended_logins(&self) -> usize {
        self.sh("ls builder | grep -c '^status.' || :").trim().parse().unwrap()
    }

    fn evaluating(&self) -> usize {
        let names = fs::read_dir(self.path("builder/nix/store")).unwrap();
        let is_one = |name: &str| name.starts_with("evaluating.");
        names
            .filter(|entry| is_one(&entry.as_ref().unwrap().file_name().to_string_lossy()))
            .count()
    }

    /// Whether some evaluation still waits, which then goes on.
    fn was_held(&self) -> bool {
        use nix::fcntl::{OFlag, open};
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK;
        open(
            &self.path("builder/nix/store/hold"),
            flags,
            nix::sys::stat::Mode::empty(),
        )
        .is_ok()
    }

    /// From now on builds wait until [`Builder::release_build`].
    fn hold_build(&self) {
        self.sh("mkfifo -m 666 builder/nix/store/hold-build");
    }

    fn wait_for_a_build(&self) {
        self.wait_until("a build", || {
            !self.sh("ls builder/nix/store | grep '^building' || :").is_empty()
        });
    }

    fn release_build(&self) {
        self.sh("printf '\\n\\n\\n\\n' 1<>builder/nix/store/hold-build; rm builder/nix/store/hold-build");
    }

    /// How often something was built.
    fn builds(&self) -> usize {
        self.read("builder/nix/store/builds").lines().count()
    }

    /// Breaks every link that is there, in the midst of it: ssh is gone.
    fn break_links(&self) {
        self.sh("for said in builder/said.*; do
                ssh=${said##*.}
                # By now the number may be another process's.
                tr '\\0' '\\n' <\"/proc/$ssh/cmdline\" 2>/dev/null | grep -qxF \"$PWD/bin/ssh\" || continue
                ! kill -KILL \"$ssh\" 2>/dev/null || pkill -KILL -f \"^tee $said\\$\" || :
             done");
    }

    /// Waits until no job runs there.
    fn wait_for_jobs(&self) {
        let running = "for lock in builder/home/.cache/rebuild/*/jobs/*/lock; do
             [ ! -e \"$lock\" ] || flock -ns \"$lock\" true || echo on; done";
        self.wait_until("the jobs to end", || self.sh(running).is_empty());
    }

    /// Lets those go on that wait, of which there is one at least, by a line for each.
    fn release(&self) {
        self.sh("printf '\\n\\n\\n\\n' >builder/nix/store/hold; rm builder/nix/store/hold");
    }
}

impl Evaluated {
    /// The builder's events of this name, each with what follows it.
    fn events(&self, name: &str) -> Vec<&str> {
        events(&self.said, name)
    }

    /// How the files came, round by round: "none" (all of them), "base" (what differs) or "have".
    fn rounds(&self) -> Vec<&str> {
        self.events("receiving")
    }

    /// Whether the evaluation has seen this, in the words of the stand-in for Nix.
    fn has_seen(&self, line: &str) {
        assert!(self.seen.lines().any(|seen| seen == line), "{line}: {}", self.seen);
    }
}

fn events<'a>(said: &'a str, name: &str) -> Vec<&'a str> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("@rebuild "));
    let rest = lines.filter_map(|line| line.strip_prefix(name)).map(str::trim);
    rest.collect()
}

/// What the client's ssh does: a login on the builder. What is said there is written down as well.
fn ssh(outer: &[&str], login: Login) -> String {
    format!(
        "before='' forward=''
         for command; do
            [ \"$before\" != -R ] || forward=$command
            before=$command
         done
         # As sshd, which makes the socket there before what it runs (link.rs).
         if [ -p forward ] && [ \"$forward\" ]; then
            echo \"$forward\" >forward
            read -r _ <forwarded
         fi
         place=$STAGE; place=${{place%/}}
         login() {{
            unshare --mount {} sh \"$place/builder/builder.sh\" \"$place\" {} \"$command\"
            echo $? >builder/status.$$
         }}
         # A link that breaks after so many bytes of files, both ways.
         if [ -e cut ]; then
            mkfifo heard.$$
            tee builder/said.$$ <heard.$$ &
            size=${{command#*bs=}}
            size=$((${{size%% *}} + $(cat cut)))
            {{ dd bs=4096 iflag=count_bytes count=\"$size\" 2>/dev/null; kill -KILL \"$!\"; }} | login >heard.$$
            exit 255
         fi
         login | tee builder/said.$$
         exit \"$(cat builder/status.$$)\"",
        outer.join(" "),
        login.word()
    )
}

/// As the builder does it, and a run on it: one in another.
fn may_make_namespaces(outer: &[&str]) -> bool {
    let inner = ["unshare", "--user", "--map-root-user", "--mount", "--"];
    let status = Command::new("unshare")
        .arg("--mount")
        .args(outer)
        .arg("--")
        .args(inner)
        .args(["unshare", "--user", "--map-user=1", "--map-group=1", "true"])
        .stderr(std::process::Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn has_user_namespaces() -> bool {
    let most = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    most.trim().parse::<u64>().is_ok_and(|most| most > 0)
}

fn skip<T>(why: &str) -> Option<T> {
    // Not by eprintln, which cargo hides when all went well.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}\n").as_bytes());
    None
}

fn set_mode(stage: &Stage, name: &str, mode: u32) {
    fs::set_permissions(stage.path(name), fs::Permissions::from_mode(mode)).unwrap();
}
