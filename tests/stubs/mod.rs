//! A stage for the program: a directory of stand-ins that are all there is on `PATH` of ssh and Nix, a configuration,
//! and a record of every call.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What every stand-in begins with. `hear_*` and `say` are the other end of `src/session`.
const PRELUDE: &str = r#"#!/bin/sh
cd "$STAGE"
# Questions about the configuration, and ends of connections that were never shared: not worth a line.
case "${0##*/}: $*" in ssh:*\ -G\ * | ssh:*\ -O\ *) exit ;; esac
{ printf '%s' "${0##*/}"; [ $# = 0 ] || printf ' %s' "$@"; echo; } >>calls
say() { echo "@rebuild $*"; }
hear_script() {
	for last in "$@"; do :; done
	size=${last#*bs=}
	dd bs="${size%% *}" count=1 iflag=fullblock of=script.$$ 2>/dev/null
	# A Nix daemon takes what comes (src/daemon.rs), whatever else this machine does.
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
"#;

/// Runs a command in a root directory in which nothing of this machine can be changed that an activation changes, and in
/// which there is a system to activate, and another one that runs and was booted, with another kernel. `$1` is the stage, `$2`
/// the system.
const OWN_MACHINE: &str = r#"
set -e
stage=$1 system=$2
shift 2
root=$stage/root
mkdir -p "$root"
mount -t tmpfs none "$root"
for entry in /*; do
	if [ -L "$entry" ]; then cp -a "$entry" "$root$entry"
	elif [ -d "$entry" ] && [ "$entry" != /nix ]; then mkdir "$root$entry"; mount --rbind "$entry" "$root$entry"
	fi
done
if [ -e "$stage/etc/rebuild.json" ]; then
	mount -t tmpfs none "$root/etc"
	cp /etc/passwd /etc/group "$root/etc/"
	cp "$stage/etc/rebuild.json" "$root/etc/"
	chmod 644 "$root/etc/rebuild.json"
fi
mount -t tmpfs none "$root/var/lib"
mount -t tmpfs none "$root/run"
mkdir -p "$root/run/systemd/system" "$root$system/bin" "$root$system/specialisation/quiet/bin" "$root/nix/var/nix/profiles"
echo 26.05 >"$root$system/nixos-version"
ln -s "$system" "$root/nix/var/nix/profiles/system-1-link"
ln -s "$system" "$root/nix/var/nix/profiles/system-2-link"
ln -s system-2-link "$root/nix/var/nix/profiles/system"
for place in "$root$system" "$root$system/specialisation/quiet"; do
	cp "$stage/bin/switch-to-configuration" "$place/bin/"
done
before=/nix/store/22222222222222222222222222222222-nixos-system-pi
for version in 6.1.2 6.1.5; do
	mkdir -p "$root/nix/store/linux-$version/lib/modules/$version"
	: >"$root/nix/store/linux-$version/Image"
done
mkdir "$root$before"
ln -s /nix/store/linux-6.1.2 "$root$before/kernel-modules"
ln -s /nix/store/linux-6.1.2/Image "$root$before/kernel"
ln -s /nix/store/linux-6.1.5 "$root$system/kernel-modules"
ln -s /nix/store/linux-6.1.5/Image "$root$system/kernel"
ln -s "$before" "$root/run/current-system"
ln -s "$before" "$root/run/booted-system"
exec /usr/sbin/chroot "$root" "$@"
"#;

pub struct Stage {
    root: TempDir,
    variables: RefCell<Vec<(String, String)>>,
    /// The system of a machine of its own, if it is one.
    own: Option<&'static str>,
}

pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub struct Running(Child);

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
            root,
            variables: RefCell::default(),
            own: None,
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
        // Looked for before anything is begun.
        stage.stub("ssh", "exit 255");
        stage.stub("nix-env", "");
        stage.stub("nix-store", "");
        stage
    }

    /// A stage on which a machine can be changed that has this system.
    pub fn own_machine(system: &'static str) -> Self {
        let stage = Self {
            own: Some(system),
            ..Self::new()
        };
        stage.stub("switch-to-configuration", "");
        stage.stub("systemctl", "exit 3");
        // What it runs is run.
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

    /// A program of this name that notes its call and then does this.
    pub fn stub(&self, name: &str, does: &str) {
        let does = does.replace("hear_script", "hear_script \"$@\"");
        self.write(&format!("bin/{name}"), &format!("{PRELUDE}{does}\n"));
        fs::set_permissions(self.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A host of this name, besides what the stand-in for ssh does of others: what is sent there really runs, but with
    /// these stand-ins alone for what changes a system, whose calls are noted as `NAME: ...`. Its root directory is the
    /// stage's directory of that name.
    pub fn host(&self, name: &str, others: &str) {
        self.stub("ssh", "");
        let place = self.path(name).display().to_string();
        let dispatch = format!(
            "for word; do [ \"$before\" != -- ] || host=$word; before=$word; done
             case $host in {name}) ;; *)
             {others}
             exit;; esac
             size=${{word#*bs=}}; size=${{size%% *}}
             dd bs=\"$size\" count=1 iflag=fullblock of=text.$$ 2>/dev/null
             HOST={name} PATH={place}/bin:/usr/bin:/bin exec sh -c 'eval \"$(cat \"$1\")\"' sh text.$$"
        )
        .replace("hear_script", "hear_script \"$@\"");
        self.write("bin/ssh", &format!("{PRELUDE}before='' host=''\n{dispatch}\n"));
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

    /// A program of a host.
    pub fn stub_on(&self, host: &str, name: &str, does: &str) {
        let file = format!("{host}/bin/{name}");
        let note = format!(
            "{{ printf '{host}: %s' \"${{0##*/}}\"; [ $# = 0 ] || printf ' %s' \"$@\"; echo; }} >>{}",
            self.path("calls").display()
        );
        self.write(&file, &format!("#!/bin/sh\n{note}\n{does}\n"));
        fs::set_permissions(self.path(&file), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn variable(&self, name: &str, value: &str) {
        let mut variables = self.variables.borrow_mut();
        variables.retain(|(own, _)| own != name);
        variables.push((name.to_owned(), value.to_owned()));
    }

    /// Every call of a stand-in so far, its words joined by blanks.
    pub fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    /// Those, less the logins that became daemons.
    pub fn calls_but_of_daemons(&self) -> Vec<String> {
        let mut calls = self.calls();
        let size = self.read("daemon-script").len();
        calls.retain(|call| size == 0 || !call.contains(&format!("dd bs={size} ")));
        calls
    }

    pub fn start(&self, arguments: &str) -> Running {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    }

    /// With a terminal to ask on; the result still goes elsewhere.
    pub fn start_at_terminal(&self, arguments: &str) -> AtTerminal {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let mut command = self.command(arguments);
        command
            .stdin(terminal.slave.try_clone().unwrap())
            .stdout(Stdio::piped())
            .stderr(terminal.slave);
        let running = Running(command.spawn().unwrap());
        drop(command);
        AtTerminal {
            running,
            screen: terminal.master.into(),
            seen: String::new(),
        }
    }

    fn command(&self, arguments: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_rebuild");
        let mut command = match self.own {
            None => Command::new(program),
            Some(system) => {
                let mut command = Command::new("/usr/bin/unshare");
                // Whoever is root already may not be allowed to make users.
                let flags: &[&str] = if nix::unistd::geteuid().is_root() {
                    &[]
                } else {
                    &["--map-root-user"]
                };
                command
                    .arg("--mount")
                    .args(flags)
                    .args(["sh", "-c", OWN_MACHINE, "own"]);
                command.arg(self.root.path()).args([system, "/usr/bin/env", "-C"]);
                command.arg(self.root.path()).arg(program);
                command
            }
        };
        command.args(arguments.split_whitespace()).current_dir(self.root.path());
        command.env_clear().envs(self.variables.borrow().iter().cloned());
        command
    }

    pub fn rebuild(&self, arguments: &str) -> Run {
        self.start(arguments).finish()
    }

    /// What a shell prints in the stage's directory.
    pub fn sh(&self, command: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.root.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
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
    /// Until this is on the screen.
    pub fn wait_for_text(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read() > 0, "{text} never came: {}", self.seen);
        }
    }

    pub fn types(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    /// What was on the screen is its stderr.
    pub fn finish(mut self) -> Run {
        // Linux says EIO when nobody has the other end any more.
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

impl Running {
    pub fn signal(&mut self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub fn finish(mut self) -> Run {
        let mut stdout = self.0.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let mut stderr = Vec::new();
        if let Some(mut pipe) = self.0.stderr.take() {
            pipe.read_to_end(&mut stderr).unwrap();
        }
        let code = self.0.wait().unwrap().code().unwrap_or(-1);
        Run {
            code,
            stdout: reader.join().unwrap(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}
