//! A unit of systemd that carries out a whole run, and what is known of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Manager;
use crate::activation::Target;
use crate::context::Context;
use crate::directory;
use crate::failure::Failure;
use crate::plan::Deployment;
use crate::process::Invocation;
use crate::process::quote::shell_word;
use crate::process::signals::Signals;
use crate::ssh;
use crate::surroundings::{Directory, Surroundings};
use crate::written;

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
///   run      what it does (a script); gone as soon as it has begun
///   user     is there if this user's own systemd runs it
///   status   its exit status, once it has ended
pub(super) struct Unit {
    pub(super) name: String,
    place: PathBuf,
    manager: Manager,
}

impl Unit {
    pub(super) fn make(around: &Surroundings, manager: Manager) -> Result<Self> {
        let name = format!("{PREFIX}{}", &ssh::new_name()?[..8]);
        let place = places(around).join(&name);
        directory::make_private(&place)
            .with_context(|| format!("--detach: {} cannot be made: nothing was begun", place.display()))?;
        if manager == Manager::User {
            fs::write(place.join("user"), "")?;
        }
        Ok(Self { name, place, manager })
    }

    /// Returns all of which something is known.
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
            Self { name, place, manager }
        });
        units.collect()
    }

    pub(super) fn start(&self, plan: &Deployment, target: &Target, context: &Context) -> Result<()> {
        let file = self.place.join("run");
        written::keep(&file, &script(&self.place, &std::env::current_exe()?, context.around)?)?;
        let user = nix::unistd::geteuid();
        let mut command = Invocation::new("systemd-run").args(self.manager.flag());
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
        command = command.arg("--").arg("/bin/sh").arg(file);
        let started = match self.manager {
            Manager::System => {
                let root = target.root_here(plan.rights, user.is_root(), context.around)?;
                root.run(&command, context.signals)
            }
            Manager::User => command.run(context.signals),
        };
        started.context("--detach: no unit of systemd could be started: nothing was begun")
    }

    /// Whether a process with this command line, as the kernel gives it, is the unit's shell.
    pub(super) fn is_run_by(&self, command_line: &[u8]) -> bool {
        let script = self.place.join("run");
        command_line
            .split(|byte| *byte == 0)
            .any(|word| word == script.as_os_str().as_bytes())
    }

    /// Returns what it came to, for the user, and whether it is over.
    pub(super) fn came_to(&self, signals: &Signals) -> (String, bool) {
        let name = &self.name;
        let status = fs::read(self.place.join("status")).ok();
        let status = status.and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse::<u8>().ok());
        match status {
            Some(0) => (
                format!("the run that was detached as {name} is done: all went well"),
                true,
            ),
            Some(status) => (
                format!(
                    "the run that was detached as {name} has failed, with exit status {status}\n  what it said: {}",
                    self.log()
                ),
                true,
            ),
            None if self.is_active(signals) => (
                format!(
                    "the run that was detached as {name} still goes on\n  to follow it: {}",
                    self.journal()
                ),
                false,
            ),
            None => (
                format!(
                    "the run that was detached as {name} was cut off before its end\n  what it said: {}",
                    self.log()
                ),
                true,
            ),
        }
    }

    fn is_active(&self, signals: &Signals) -> bool {
        let unit = format!("{}.service", self.name);
        let command = Invocation::new("systemctl")
            .args(self.manager.flag())
            .args(["is-active", "--quiet", &unit]);
        command.quietly(signals).is_ok()
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

fn places(around: &Surroundings) -> PathBuf {
    around.own_directory(Directory::State).join("rebuild/detached")
}

/// Returns the text for the unit's shell: it goes to this directory, takes on this environment, and does what was typed.
fn script(place: &Path, program: &Path, around: &Surroundings) -> Result<Vec<u8>, Failure> {
    let word = |text: &OsStr| shell_word(text);
    let (run, status) = (place.join("run"), place.join("status"));
    let mut text = b"rm -f -- ".to_vec();
    text.extend(word(run.as_os_str())?);
    text.push(b'\n');
    for (name, value) in around.variables.iter().filter(|(name, _)| goes_along(name)) {
        text.extend([&b"export "[..], name.as_bytes(), b"=", &word(value)?, b"\n"].concat());
    }
    text.extend([b"cd -- ", &word(around.directory.as_os_str())?[..], b" && "].concat());
    text.extend(word(program.as_os_str())?);
    for typed in without_flag(&around.words).iter().skip(1) {
        text.push(b' ');
        text.extend(word(typed)?);
    }
    let status = word(status.as_os_str())?;
    text.extend(
        [
            b"\ncode=$?\necho \"$code\" >",
            &status[..],
            b".new && mv -f -- ",
            &status,
            b".new ",
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
