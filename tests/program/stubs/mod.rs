//! A stage for the program: a directory of stand-ins, which are the only ssh and Nix on `PATH`; a configuration; and a
//! record of every call.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The beginning of every stand-in. `hear_*` and `say` are the other end of `src/builder`. A call is written at once,
/// so that two at the same time do not mix. The name of a specialisation's program includes the specialisation.
const PRELUDE: &str = r#"#!/bin/sh
cd "$STAGE"
# Questions about the configuration, and ends of connections that were never shared, are not worth a line. The real ssh
# answers them, with what a test has written into the file ssh-config.
case "${0##*/}: $*" in
ssh:*\ -G\ *) [ -e ssh-config ] || : >ssh-config; exec /usr/bin/ssh -F ssh-config "$@" ;;
ssh:*\ -O\ *) exit ;;
esac
name=${0##*/}
case $0 in
*/specialisation/*) name=specialisation/${0#*/specialisation/} ;;
*-old/bin/* | *-newer/bin/*) name=${0%/bin/*} name=${name##*-}/${0##*/} ;;
esac
call="$name${1+ $*}"
case $call in *'
'*) call=$(printf '%s' "$call" | tr '\n' ' ') ;; esac
printf '%s\n' "$call" >>calls
say() { echo "@rebuild $*"; }
hear_script() {
	for last in "$@"; do :; done
	size=${last#*bs=}
	until read -r line && [ "$line" = '@rebuild script' ]; do :; done
	dd bs="${size%% *}" count=1 iflag=fullblock of=script.$$ 2>/dev/null
	# A Nix daemon takes what comes (src/remote/daemon.rs), whatever else this machine does.
	if grep -q 'nix-daemon" --stdio' script.$$; then
		mv script.$$ daemon-script
		echo '@rebuild ready'
		exec cat >/dev/null
	fi
	mv script.$$ script
}
hear_files() {
	while read -r size && [ "$size" != 0 ]; do dd bs="$size" count=1 iflag=fullblock 2>/dev/null; done
}
# A change has, after what has to go: two lists of names, which are empty if the names are few, and the files.
hear_change() {
	hear_files >/dev/null
	hear_files >names
	hear_files
}
"#;

/// A copy to a socket makes a connection to it (see [`Partner`]).
const CONNECT: &str = r#"
connect_to() (
	cd "$STAGE"
	for word; do case $word in unix://*) echo "${word#unix://}" >connect.new; mv connect.new connect ;; esac; done
	tries=0
	until [ -e connected ]; do
		[ "$((tries += 1))" -lt 2000 ] || exit 1
		sleep 0.01
	done
	rm connected
)
"#;

/// The file says what it does.
const OWN_MACHINE: &str = include_str!("machine.sh");

pub struct Stage {
    root: TempDir,
    variables: RefCell<Vec<(String, String)>>,
    /// The system of the machine of its own on which the program runs, if it runs on one.
    own: Option<&'static str>,
    /// The user who runs the program there.
    user: Cell<u32>,
    /// The text on the program's stdin.
    typed: RefCell<Option<String>>,
    /// The current directory on a machine of its own.
    directory: RefCell<PathBuf>,
}

pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub struct Running {
    child: Child,
    /// It lives as long as the program runs.
    _partner: Option<Partner>,
}

/// A run with a terminal.
pub struct AtTerminal {
    pub running: Running,
    screen: fs::File,
    seen: String,
}

impl Stage {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("stage").tempdir_in("/var/tmp").unwrap();
        let stage = Self {
            directory: RefCell::new(root.path().to_owned()),
            root,
            variables: RefCell::default(),
            own: None,
            user: Cell::new(0),
            typed: RefCell::default(),
        };
        stage.write("bin/.keep", "");
        stage.write("home/.keep", "");
        stage.write("etc/nixos/configuration.nix", "{ imports = [ ./hardware.nix ]; }");
        stage.write("etc/nixos/hardware.nix", "{ }");
        stage.write("nixpkgs/nixos/default.nix", "{ }");
        let path = |name: &str| stage.path(name).display().to_string();
        for (name, value) in [
            ("PATH", format!("{}:/usr/bin:/bin", path("bin"))),
            ("HOME", path("home")),
            ("STAGE", path("")),
            (
                "NIX_PATH",
                format!(
                    "nixpkgs={}:nixos-config={}",
                    path("nixpkgs"),
                    path("etc/nixos/configuration.nix")
                ),
            ),
            ("NIX_DAEMON_SOCKET_PATH", path("no-daemon")),
            ("TERM", "dumb".to_owned()),
        ] {
            stage.variable(name, &value);
        }
        // The program looks for these before it begins anything.
        stage.stub("ssh", "exit 255");
        stage.stub("nix-env", "");
        stage.stub("nix-store", "");
        stage
    }

    /// Makes a stage on which a machine with this system can be changed.
    pub fn own_machine(system: &'static str) -> Self {
        let stage = Self {
            own: Some(system),
            ..Self::new()
        };
        stage.stub("switch-to-configuration", "");
        stage.stub("systemctl", "exit 3");
        // What it is told to run is really run.
        stage.stub(
            "systemd-run",
            "while [ \"$1\" != /bin/sh ]; do shift; done; exec \"$@\"",
        );
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Sets what is done to a machine of its own before each run, in words of `machine.sh`.
    pub fn prepare(&self, text: &str) {
        self.write("prepare", text);
    }

    /// Makes the user who types the command this one, instead of root.
    pub fn typed_by(&self, user: u32) {
        self.user.set(user);
    }

    /// Makes the command be typed in this directory of a machine of its own.
    pub fn typed_in(&self, directory: &str) {
        *self.directory.borrow_mut() = directory.into();
    }

    /// Sets what comes on the program's stdin, if anything does.
    pub fn typed(&self, text: &str) {
        *self.typed.borrow_mut() = Some(text.to_owned());
    }

    fn prelude(&self) -> String {
        // The path is written out, because sudo removes the variable.
        format!("{PRELUDE}{CONNECT}").replace("$STAGE", &self.path("").display().to_string())
    }

    /// Makes a program of this name that notes its call and then does this.
    pub fn stub(&self, name: &str, does: &str) {
        let does = does.replace("hear_script", "hear_script \"$@\"");
        self.write(&format!("bin/{name}"), &format!("{}{does}\n", self.prelude()));
        fs::set_permissions(self.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Makes a host of this name; `others` is what the stand-in for ssh does for other hosts. What is sent to the host
    /// really runs. Only the programs that change a system are stand-ins, whose calls are noted as `NAME: ...`. The
    /// host's root directory is the stage's; its user's home is the stage's directory `NAME/home`.
    pub fn host(&self, name: &str, others: &str) {
        self.hosts(&[name], others);
    }

    /// Makes several of them. If there is a file `NAME/login-N`, the login with that number does what the file says
    /// instead. A login that becomes a Nix daemon does not count, because it comes beside others.
    pub fn hosts(&self, names: &[&str], others: &str) {
        let place = self.path("").display().to_string();
        let place = place.trim_end_matches('/');
        let dispatch = format!(
            "before='' host='' forward=''
             for word; do
                case $before in
                --) host=$word ;;
                -R) forward=$word ;;
                esac
                before=$word
             done
             host=${{host#*@}}
             case $host in {names}) ;; *)
             {others}
             exit;; esac
             # Whether somebody is let in at all.
             if [ \"$word\" = true ]; then
                [ ! -e {place}/$host/refuses ] || {{ cat {place}/$host/refuses >&2; exit 255; }}
                exit 0
             fi
             size=${{word#*bs=}}; size=${{size%% *}}
             until read -r line && [ \"$line\" = '@rebuild script' ]; do :; done
             dd bs=\"$size\" count=1 iflag=fullblock of=text.$$ 2>/dev/null
             place={place}/$host
             if ! grep -q 'nix-daemon\" --stdio' text.$$; then
                echo >>\"$place/logins\"
                other=$place/login-$(($(wc -l <\"$place/logins\")))
                [ ! -e \"$other\" ] || . \"$other\"
             fi
             # sshd makes a socket there that leads here.
             [ -z \"$forward\" ] || ln -s \"${{forward#*:}}\" \"${{forward%%:*}}\"
             cd \"$place/home\"
             HOME=$PWD PATH=$place/bin:/usr/bin:/bin exec sh -c 'eval \"$(cat \"$1\")\"' sh {place}/text.$$",
            names = names.join("|"),
        );
        self.stub("ssh", &dispatch);
        for name in names {
            self.write(&format!("{name}/home/.keep"), "");
            for program in [
                "nix-store",
                "nix-env",
                "nix-daemon",
                "nix",
                "systemd-run",
                "sudo",
                "run0",
                "doas",
                "systemctl",
            ] {
                self.stub_on(name, program, "");
            }
        }
    }

    /// Makes a program of a host.
    pub fn stub_on(&self, host: &str, name: &str, does: &str) {
        let file = format!("{host}/bin/{name}");
        let stage = self.path("").display().to_string();
        let note = format!("printf '%s\\n' \"{host}: ${{0##*/}}${{1+ $*}}\" >>{stage}calls");
        let connect = CONNECT.replace("$STAGE", &stage);
        self.write(&file, &format!("#!/bin/sh\n{note}{connect}{does}\n"));
        fs::set_permissions(self.path(&file), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn variable(&self, name: &str, value: &str) {
        let mut variables = self.variables.borrow_mut();
        variables.retain(|(own, _)| own != name);
        variables.push((name.to_owned(), value.to_owned()));
    }

    pub fn without_variable(&self, name: &str) {
        self.variables.borrow_mut().retain(|(own, _)| own != name);
    }

    /// Returns every call of a stand-in so far, its words joined by blanks.
    pub fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    /// Returns these calls without the logins that became daemons.
    pub fn calls_but_of_daemons(&self) -> Vec<String> {
        let mut calls = self.calls();
        let size = self.read("daemon-script").len();
        calls.retain(|call| size == 0 || !call.contains(&format!("dd bs={size} ")));
        calls
    }

    pub fn start(&self, arguments: &str) -> Running {
        let mut command = self.command(arguments);
        let stdin = self.typed.borrow().as_ref().map_or_else(Stdio::null, |text| {
            self.write("typed", text);
            fs::File::open(self.path("typed")).unwrap().into()
        });
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.run(command)
    }

    fn run(&self, mut command: Command) -> Running {
        let partner = self.own.map(|_| Partner::new(self.root.path()));
        Running {
            child: command.spawn().unwrap(),
            _partner: partner,
        }
    }

    /// Starts it with a terminal to ask on; the result still goes elsewhere.
    pub fn start_at_terminal(&self, arguments: &str) -> AtTerminal {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let mut command = self.command(arguments);
        command
            .stdin(terminal.slave.try_clone().unwrap())
            .stdout(Stdio::piped())
            .stderr(terminal.slave);
        AtTerminal {
            running: self.run(command),
            screen: terminal.master.into(),
            seen: String::new(),
        }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_rebuild"));
        let user = self.user.get();
        if user != 0 {
            // Other users may have no way to the place of the real program.
            fs::copy(&program, self.path("rebuild")).unwrap();
            program = self.path("rebuild");
            self.sh("chmod -R a+rwX .");
        }
        let mut command = match self.own {
            None => Command::new(program),
            Some(system) => {
                let mut command = Command::new("/usr/bin/unshare");
                // A process that is root already may not be allowed to make users.
                let flags: &[&str] = if nix::unistd::geteuid().is_root() {
                    &[]
                } else {
                    &["--map-root-user"]
                };
                command
                    .arg("--mount")
                    .args(flags)
                    .args(["sh", "-c", OWN_MACHINE, "own"]);
                command.arg(self.root.path()).args([system, &user.to_string()]);
                command
                    .args(["/usr/bin/env", "-C"])
                    .arg(&*self.directory.borrow())
                    .arg(program);
                command
            }
        };
        command.args(arguments.split_whitespace()).current_dir(self.root.path());
        command.env_clear().envs(self.variables.borrow().iter().cloned());
        command
    }

    /// Runs it from a directory that has been deleted.
    pub fn rebuild_from_nowhere(&self, arguments: &str) -> Run {
        let typed = self.command(arguments);
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "mkdir nowhere && cd nowhere && rmdir ../nowhere && exec \"$@\"",
            "sh",
        ]);
        command.arg(typed.get_program()).args(typed.get_args());
        self.finish(command)
    }

    /// Runs it as a user whom modes stop, and to whom everything here belongs.
    pub fn rebuild_by_nobody(&self, preparation: &str, arguments: &str) -> Run {
        let program = self.path("rebuild");
        fs::copy(env!("CARGO_BIN_EXE_rebuild"), &program).unwrap();
        let mut command = if nix::unistd::geteuid().is_root() {
            self.sh("chown -R 65534:65534 .");
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
                .arg(&program);
            command
        } else {
            Command::new(&program)
        };
        self.sh(preparation);
        command.args(arguments.split_whitespace());
        self.finish(command)
    }

    /// Runs to the end, in the stage and with its variables.
    fn finish(&self, mut command: Command) -> Run {
        command.current_dir(self.root.path());
        command.env_clear().envs(self.variables.borrow().iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.run(command).finish()
    }

    pub fn rebuild(&self, arguments: &str) -> Run {
        self.start(arguments).finish()
    }

    /// Runs it on a machine of its own, from another directory of that machine.
    pub fn rebuild_in(&self, directory: &str, arguments: &str) -> Run {
        let typed = self.command(arguments);
        let mut command = Command::new(typed.get_program());
        let words: Vec<_> = typed.get_args().collect();
        for (index, word) in words.iter().enumerate() {
            let is_directory = index > 0 && words[index - 1] == "-C";
            command.arg(if is_directory { directory.as_ref() } else { *word });
        }
        command
            .current_dir(self.root.path())
            .env_clear()
            .envs(self.variables.borrow().iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.run(command).finish()
    }

    /// Runs it with its output going there.
    pub fn rebuild_into(&self, arguments: &str, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Run {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        self.run(command).finish()
    }

    /// Returns what a shell prints in the stage's directory.
    pub fn sh(&self, command: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.root.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn wait_for(&self, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.path(name).exists() {
            assert!(Instant::now() < deadline, "{name} never came: {:?}", self.calls());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl AtTerminal {
    /// Waits until this is on the screen.
    pub fn wait_for_text(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read() > 0, "{text} never came: {}", self.seen);
        }
    }

    pub fn types(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end. What was on the screen counts as its stderr.
    pub fn finish(mut self) -> Run {
        // Linux says EIO when nobody holds the other end any more.
        while self.read() > 0 {}
        let run = self.running.finish();
        Run {
            stderr: self.seen.replace('\r', ""),
            ..run
        }
    }

    fn read(&mut self) -> usize {
        let mut bytes = [0; 4096];
        let length = self.screen.read(&mut bytes).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        length
    }
}

/// Connects to the sockets that stand-ins for `nix copy` name, and leaves the connections open: a shell cannot do that.
struct Partner(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Partner {
    fn new(place: &Path) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (end, place) = (Arc::clone(&is_over), place.to_owned());
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if let Ok(socket) = fs::read_to_string(place.join("connect")) {
                    fs::remove_file(place.join("connect")).unwrap();
                    UnixStream::connect(socket.trim_end()).unwrap();
                    fs::write(place.join("connected"), "").unwrap();
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self(is_over, Some(thread))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let ended = self.1.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

impl Run {
    /// Returns its stderr without the last line, if that names the log of a run that failed.
    pub fn said(&self) -> &str {
        let lines = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        let (before, last) = lines.rsplit_once('\n').unwrap_or(("", lines));
        let is_log = last.starts_with("log: /");
        if is_log {
            &self.stderr[..=before.len()]
        } else {
            &self.stderr
        }
    }

    /// Checks that it has succeeded, and printed this path alone.
    pub fn gives(&self, path: &str) {
        let expected = format!("{path}\n");
        assert_eq!((self.code, &self.stdout), (0, &expected), "{}", self.stderr);
    }
}

impl Running {
    /// Returns how many bytes of memory it holds.
    pub fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    pub fn signal(&mut self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Returns None if it has not ended by then; it is killed.
    pub fn finish_within(self, limit: Duration) -> Option<Run> {
        let (over, end) = std::sync::mpsc::channel::<()>();
        let id = self.child.id().to_string();
        let watchdog = thread::spawn(move || {
            let hangs = end.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if hangs {
                Command::new("kill").args(["-KILL", &id]).status().unwrap();
            }
            hangs
        });
        let run = self.finish();
        drop(over);
        (!watchdog.join().unwrap()).then_some(run)
    }

    pub fn finish(mut self) -> Run {
        let stdout = self.child.stdout.take();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                stdout.read_to_string(&mut text).unwrap();
            }
            text
        });
        let mut stderr = Vec::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_end(&mut stderr).unwrap();
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Run {
            code,
            stdout: reader.join().unwrap(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}
