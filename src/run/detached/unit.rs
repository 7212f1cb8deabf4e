//! A unit of systemd that carries out a whole run, and what is known of it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::{Manager, SYSTEMD};
use crate::activation::Target;
use crate::context::Context;
use crate::directory;
use crate::failure::Failure;
use crate::harmless;
use crate::plan::Deployment;
use crate::process::Invocation;
use crate::process::quote::shell_word;
use crate::ssh;
use crate::surroundings::{Directory, Surroundings};
use crate::written;

/// What stands in the place of an exit status: more than any needs.
const ENDING: &[u8] = b"        ";

/// The names of the units begin with this.
const PREFIX: &str = "rebuild-detached-";

/// Variables that belong to a login and end with it, or that are a unit's own.
const OF_LOGIN: [&str; 20] = [
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_ID",
    "XDG_SESSION_TYPE",
    "XDG_SESSION_CLASS",
    "DBUS_SESSION_BUS_ADDRESS",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "TERM",
    "GPG_TTY",
];

/// A unit, and what is known of it: a directory of its name in this user's state, with
///   run      what it does (a script); whoever removes it decides whether the run begins: the script itself, or its starter
///   user     is there if this user's own systemd runs it
///   ending   the place for status, taken beforehand, so that it does not matter if the disk is full then
///   status   its exit status, once it has ended
/// The directory is locked while it is made and the unit is started.
pub(super) struct Unit {
    pub(super) name: String,
    place: PathBuf,
    manager: Manager,
    /// The starter's lock.
    lock: Option<Flock<File>>,
}

/// What a unit does now.
enum State {
    GoesOn,
    Over,
    /// systemd does not say.
    Unknown,
}

impl Unit {
    /// Makes what a unit needs.
    ///
    /// # Errors
    /// The files cannot be written: then there are none.
    pub(super) fn make(around: &Surroundings, manager: Manager) -> Result<Self> {
        let name = format!("{PREFIX}{}", &ssh::new_name()?[..8]);
        let mut unit = Self {
            place: places(around).join(&name),
            name,
            manager,
            lock: None,
        };
        let written = unit.write(around);
        if written.is_err() {
            unit.forget();
        }
        written.with_context(|| {
            let place = unit.place.display();
            format!("--detach: {place} cannot be made: nothing was begun")
        })?;
        Ok(unit)
    }

    fn write(&mut self, around: &Surroundings) -> Result<()> {
        directory::make_private(&places(around))?;
        check_owner(&places(around))?;
        directory::make_private(&self.place)?;
        self.lock = lock(&self.place);
        if self.manager == Manager::User {
            written::keep(&self.place.join("user"), b"")?;
        }
        written::keep(&self.place.join("ending"), ENDING)?;
        let script = script(&self.place, &std::env::current_exe()?, around)?;
        Ok(written::keep(&self.place.join("run"), &script)?)
    }

    /// Returns all of which something is known, except those that are being started.
    pub(super) fn all(around: &Surroundings) -> Vec<Self> {
        let names = directory::names(&places(around)).into_iter();
        let known = names.filter(|name| {
            let id = name.strip_prefix(PREFIX).unwrap_or_default();
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let units = known.map(|name| {
            let place = places(around).join(&name);
            let manager = if place.join("user").exists() {
                Manager::User
            } else {
                Manager::System
            };
            Self {
                name,
                lock: lock(&place),
                place,
                manager,
            }
        });
        // What is being started now is its starter's.
        units.filter(|unit| unit.lock.is_some()).collect()
    }

    /// Starts it.
    ///
    /// # Errors
    /// Fails if systemd-run fails, or if a signal has come. The run may have begun all the same ([`Self::take_back`]).
    pub(super) fn start(&self, plan: &Deployment, target: &Target, context: &Context) -> Result<()> {
        let file = self.place.join("run");
        let user = nix::unistd::geteuid();
        let mut command = self.ask("systemd-run", context.around);
        command = command
            .args(["--quiet", "--collect", "--no-ask-password", "--service-type=exec"])
            // If memory runs out, systemd would end the whole unit, and the run could not say so.
            .args(["--property=OOMPolicy=continue", "--description=rebuild --detach"])
            .arg(format!("--unit={}", self.name));
        if self.manager == Manager::System && !user.is_root() {
            command = command
                .arg(format!("--uid={user}"))
                .arg(format!("--gid={}", nix::unistd::getegid()));
        }
        command = command.arg("--").arg("/bin/sh").arg(without_variables(&file));
        match self.manager {
            Manager::System => {
                let root = target.root_here(plan.rights, user.is_root(), context.around)?;
                root.run(&command, context.signals)
            }
            Manager::User => command.run(context.signals),
        }
    }

    /// Sees to it that the run never begins. Returns whether it has not.
    pub(super) fn take_back(&self) -> bool {
        fs::remove_file(self.place.join("run")).is_ok()
    }

    /// Returns a program that asks the unit's systemd. A user's own one is found by a variable, which a login without a
    /// session (su, cron) does not have.
    fn ask(&self, program: &str, around: &Surroundings) -> Invocation {
        let command = Invocation::new(program).args(self.manager.flag());
        if self.manager == Manager::User && !around.is_set("XDG_RUNTIME_DIR") {
            return command.env("XDG_RUNTIME_DIR", runtime_directory());
        }
        command
    }

    /// Whether a process with this command line, as the kernel gives it, is the unit's shell.
    pub(super) fn is_run_by(&self, command_line: &[u8]) -> bool {
        let script = self.place.join("run");
        command_line
            .split(|byte| *byte == 0)
            .any(|word| word == script.as_os_str().as_bytes())
    }

    /// Returns what it came to, for the user, and whether it is over.
    pub(super) fn came_to(&self, context: &Context) -> (String, bool) {
        let state = if self.status().is_some() {
            State::Over
        } else {
            self.state(context)
        };
        // It may have ended while systemd was asked.
        let status = self.status();
        let (words, command, is_over) = match (status, state) {
            (Some(0), _) => (" is done: all went well".to_owned(), None, true),
            (Some(status), _) => (
                format!(" has failed, with exit status {status}"),
                Some(("what it said", self.log())),
                true,
            ),
            (None, State::Over) => (
                " was cut off before its end".to_owned(),
                Some(("what it said", self.log())),
                true,
            ),
            (None, State::GoesOn) => (
                " still goes on".to_owned(),
                Some(("to follow it", self.journal())),
                false,
            ),
            (None, State::Unknown) => (
                ": systemd does not say whether it still goes on".to_owned(),
                Some(("what it said", self.log())),
                false,
            ),
        };
        let command = command.map(|(why, command)| format!("\n  {why}: {command}"));
        let text = format!(
            "the run that was detached as {}{words}{}",
            self.name,
            command.unwrap_or_default()
        );
        (text, is_over)
    }

    fn status(&self) -> Option<u8> {
        let bytes = fs::read(self.place.join("status")).ok()?;
        String::from_utf8_lossy(&bytes).trim().parse().ok()
    }

    /// Asks systemd. A unit is over if its systemd is; but if that is there and does not answer, nothing is known.
    fn state(&self, context: &Context) -> State {
        let manager = match self.manager {
            Manager::System => PathBuf::from(SYSTEMD),
            Manager::User => runtime_directory().join("systemd"),
        };
        if !manager.is_dir() {
            return State::Over;
        }
        let unit = format!("{}.service", self.name);
        let command = self
            .ask("systemctl", context.around)
            .args(["show", "--property=ActiveState", "--value", &unit]);
        let answer = command.quietly(context.signals).unwrap_or_default();
        match answer.trim_ascii() {
            b"inactive" | b"failed" => State::Over,
            b"active" | b"reloading" | b"activating" | b"deactivating" | b"maintenance" | b"refreshing" => {
                State::GoesOn
            }
            _ => State::Unknown,
        }
    }

    pub(super) fn journal(&self) -> String {
        format!("{} --follow", self.log())
    }

    fn log(&self) -> String {
        let unit = if self.manager == Manager::User {
            "--user-unit"
        } else {
            "--unit"
        };
        format!("journalctl {unit}={}", self.name)
    }

    pub(super) fn stop(&self) -> String {
        let user = if self.manager == Manager::User { "--user " } else { "" };
        format!("systemctl {user}stop {}", self.name)
    }

    pub(super) fn forget(&self) {
        // What stays is told once more.
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// Returns the directory's lock, unless somebody has it, or it is no directory.
fn lock(place: &Path) -> Option<Flock<File>> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let held = File::options().read(true).custom_flags(flags.bits()).open(place).ok()?;
    Flock::lock(held, FlockArg::LockExclusiveNonblock).ok()
}

/// Checks that the directory of all units, and the one above it, which are this program's, are this user's own. Another
/// user could exchange what a unit does.
fn check_owner(places: &Path) -> Result<()> {
    for own in places.ancestors().take(2) {
        if fs::symlink_metadata(own)?.uid() != nix::unistd::geteuid().as_raw() {
            bail!("{} is another user's", harmless::name(&own.to_string_lossy()));
        }
    }
    Ok(())
}

/// Returns a word of a unit's command, in which systemd puts variables in the place of their names (systemd.service(5)).
fn without_variables(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    OsString::from_vec(bytes.split(|byte| *byte == b'$').collect::<Vec<_>>().join(&b"$$"[..]))
}

/// Returns where this user's systemd is found (`pam_systemd(8)`).
fn runtime_directory() -> PathBuf {
    format!("/run/user/{}", nix::unistd::geteuid()).into()
}

fn places(around: &Surroundings) -> PathBuf {
    around.own_directory(Directory::State).join("rebuild/detached")
}

/// Returns the text for the unit's shell: it goes to this directory, takes on this environment, and does what was typed.
fn script(place: &Path, program: &Path, around: &Surroundings) -> Result<Vec<u8>, Failure> {
    let word = |text: &OsStr| shell_word(text);
    let [run, ending, status] = ["run", "ending", "status"].map(|name| word(place.join(name).as_os_str()));
    let (ending, status) = (ending?, status?);
    let mut text = [b"rm -- ", &run?[..], b" || exit\n"].concat();
    for (name, value) in around.variables.iter().filter(|(name, _)| goes_along(name)) {
        text.extend([&b"export "[..], name.as_bytes(), b"=", &word(value)?, b"\n"].concat());
    }
    text.extend([b"cd -- ", &word(around.directory.as_os_str())?[..], b" && "].concat());
    text.extend(word(program.as_os_str())?);
    for typed in without_flag(&around.words).iter().skip(1) {
        text.push(b' ');
        text.extend(word(typed)?);
    }
    text.extend(
        [
            b"\ncode=$?\necho \"$code\" 1<>",
            &ending[..],
            b" && mv -f -- ",
            &ending,
            b" ",
            &status,
        ]
        .concat(),
    );
    text.extend(b"\nexit \"$code\"\n");
    Ok(text)
}

/// Whether a variable goes along with the run. A shell cannot take every name.
fn goes_along(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let is_shells = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_name = name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(is_shells);
    is_name && !OF_LOGIN.iter().any(|other| other.as_bytes() == name)
}

/// Returns what was typed without the flag.
pub(super) fn without_flag(words: &[OsString]) -> Vec<OsString> {
    words.iter().filter(|word| *word != "--detach").cloned().collect()
}
