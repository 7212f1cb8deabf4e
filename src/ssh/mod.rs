//! The connection to another machine, and what its failures mean.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod led;
mod needs;
mod opening;
mod reasons;
mod stand_in;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::host::{Host, OwnNames};
use crate::private;
use crate::process::Invocation;
use crate::process::quote::words;
use crate::process::signals::Signals;
use crate::surroundings::Surroundings;

use led::Led;
use opening::start;
pub use opening::{here, opening};
pub use reasons::no_session;

/// Replaces the options with which we share connections (nixpkgs#538973).
const DEFAULTS: &str = "NIXOS_REBUILD_SSH_DEFAULT_OPTS";

/// How this run connects: the user's options, and the connections that are shared by several commands.
///
/// A host to which a run says more than one thing is logged in to once (a hardware key is touched once), by a shared
/// connection of our own. The user's own sharing, where `~/.ssh/config` or `NIX_SSHOPTS` has one, is left alone:
/// nixos-rebuild hides it (nixpkgs#495907, nixpkgs#168322).
///
/// Several threads may connect by one of these.
pub struct Ssh {
    /// The words of `NIX_SSHOPTS`.
    own: Vec<String>,
    /// What the user has in place of our options for sharing.
    defaults: Option<Vec<String>>,
    /// The sockets of shared connections, and what else is of this run alone.
    place: OnceLock<TempDir>,
    /// The user's `PATH`.
    path: Option<OsString>,
    /// The hosts whose connections are shared.
    shared: Mutex<Vec<Host>>,
    /// The hosts that may well be off, and are not waited for.
    hasty: Mutex<Vec<Host>>,
}

impl Ssh {
    /// Reads the user's options. No connection is shared yet.
    ///
    /// # Errors
    /// Options that no shell could read.
    pub fn new(around: &Surroundings) -> Result<Self, Failure> {
        let words = |name| around.text(name).map(|text| words(name, &text)).transpose();
        Ok(Self {
            own: words("NIX_SSHOPTS")?.unwrap_or_default(),
            defaults: words(DEFAULTS)?,
            place: OnceLock::new(),
            path: around.variable("PATH"),
            shared: Mutex::default(),
            hasty: Mutex::default(),
        })
    }

    /// From now on all commands for this host share a connection, which stays until this value is dropped.
    ///
    /// # Errors
    /// When there is no place for its socket, or a signal has come.
    pub fn share(&self, host: &Host, signals: &Signals) -> Result<()> {
        if self.defaults.is_some() || locked(&self.shared).contains(host) || self.is_shared_by_user(host, signals)? {
            return Ok(());
        }
        self.place()?;
        let mut shared = locked(&self.shared);
        if !shared.contains(host) {
            shared.push(host.clone());
        }
        Ok(())
    }

    /// From now on this host is given up sooner if it does not answer: nobody has said just now that it is there.
    pub fn hurry(&self, host: &Host) {
        locked(&self.hasty).push(host.clone());
    }

    /// How long ssh may try to connect, if the user does not say, in its own words.
    fn patience(&self, host: &Host) -> &'static str {
        if locked(&self.hasty).contains(host) {
            "ConnectTimeout=10"
        } else {
            "ConnectTimeout=20"
        }
    }

    fn place(&self) -> Result<&Path> {
        if self.place.get().is_none() {
            // Not in TMPDIR, which may be too long for a socket's address.
            let _ = self.place.set(private::directory(Path::new("/tmp"))?);
        }
        self.place
            .get()
            .map(TempDir::path)
            .context("no place for ssh's sockets")
    }

    /// What ssh itself says of its configuration for a host. Nothing is connected for it.
    fn configuration(&self, host: &Host) -> Invocation {
        Invocation::new("ssh")
            .args(self.options(host))
            .args(["-T", "-G", "--", &host.destination()])
    }

    fn is_shared_by_user(&self, host: &Host, signals: &Signals) -> Result<bool> {
        let Ok(answer) = self.configuration(host).quietly(signals) else {
            signals.check()?;
            return Ok(false);
        };
        let answer = String::from_utf8_lossy(&answer);
        let path = answer.lines().find_map(|line| line.strip_prefix("controlpath "));
        Ok(path.is_some_and(|path| path != "none"))
    }

    /// Where the user's options and configuration lead a host that is named as this machine is, if that is elsewhere.
    ///
    /// Where there is no ssh and nobody has options for it, such a name can mean this machine alone.
    ///
    /// # Errors
    /// ssh cannot say, or a signal has come.
    pub fn detour(&self, host: &Host, own: &OwnNames, signals: &Signals) -> Result<Option<String>> {
        let has_ssh = which::which_in("ssh", self.path.as_ref(), "/").is_ok();
        if !has_ssh && self.options(host).is_empty() {
            return Ok(None);
        }
        // Its own words about it are seen.
        let answer = match self.configuration(host).capture(signals) {
            Ok(answer) => Led::parse(&String::from_utf8_lossy(&answer)),
            Err(_) => None,
        };
        signals.check()?;
        let name = host.name();
        let led = answer.ok_or_else(|| {
            Failure::new(format!(
                "ssh does not say where '{name}' leads: to this machine, or to another?"
            ))
            .with_remedy(format!(
                "this machine is '', in place of {name}\nto see what ssh says: ssh -G {name}"
            ))
        })?;
        Ok(led.away_from(own))
    }

    /// What the user says of the connections to this host. Of two, ssh counts the first.
    ///
    /// So the port that is typed with the host comes before everything: it is of this host, while `NIX_SSHOPTS` is for all
    /// of a run, and for other commands, too. Nobody's habit is hurt, for nixos-rebuild's hosts have no port. A user in
    /// `NIX_SSHOPTS` counts before the host's, as with ssh itself and nixos-rebuild. (The ssh that Nix starts has it the
    /// other way round, for it gets the host first. So it is with nixos-rebuild, too.)
    fn own(&self, host: &Host) -> Vec<String> {
        let port = host.port().map(|port| ["-p".to_owned(), port.to_string()]);
        port.into_iter().flatten().chain(self.own.iter().cloned()).collect()
    }

    /// The options of every command for this host: the user's come first.
    #[must_use]
    pub fn options(&self, host: &Host) -> Vec<String> {
        let mut words = self.own(host);
        if let Some(defaults) = &self.defaults {
            words.extend(defaults.iter().cloned());
        } else if let (Some(place), true) = (self.place.get(), locked(&self.shared).contains(host)) {
            words.extend(["-o".into(), "ControlMaster=auto".into()]);
            words.extend(["-o".into(), format!("ControlPath={}/ssh-%C", place.path().display())]);
            words.extend(["-o".into(), "ControlPersist=60".into()]);
        }
        words
    }

    /// A command of Nix's own that connects to this host ([`Host::address_for_nix`]): by our options and connections.
    ///
    /// Nix takes them from `NIX_SSHOPTS`, which older ones split at every blank, quoted or not; options with blanks in
    /// them come to ssh by a program of ours that is found in its place.
    ///
    /// # Errors
    /// When there is no ssh, or no place for that program.
    pub fn for_nix(&self, command: Invocation, host: &Host) -> Result<Invocation> {
        let options = self.options_for_nix(host);
        if options.iter().all(|word| stand_in::is_one_word_to_nix(word)) {
            let text = options.join(" ");
            return Ok(if text.is_empty() {
                command
            } else {
                command.env("NIX_SSHOPTS", text)
            });
        }
        let directory = stand_in::put_into(self.place()?, &options, self.path.as_ref())?;
        let others = self.path.iter().flat_map(std::env::split_paths);
        let path = std::env::join_paths(std::iter::once(directory).chain(others))?;
        Ok(command.env("NIX_SSHOPTS", "").env("PATH", path))
    }

    fn options_for_nix(&self, host: &Host) -> Vec<String> {
        let mut options = self.options(host);
        options.extend(host.options_for_nix());
        // The user's configuration may have others: for a person who types.
        options.extend(needs::OPTIONS.map(str::to_owned));
        options
    }

    /// The command for one session, on whose stdin a script of so many bytes comes first ([`opening()`]). `forward` is a socket there and
    /// the socket of ours to which it leads.
    #[must_use]
    pub fn session(&self, host: &Host, forward: Option<(&Path, &Path)>, script_length: usize) -> Invocation {
        let mut command = Invocation::new("ssh").args(self.options(host)).args([
            // No terminal there, and nothing of ours but what this session needs: no agent, no display.
            "-T",
            "-a",
            "-x",
            "-o",
            self.patience(host),
            // A dead link is noticed within a minute and a half.
            "-o",
            "ServerAliveInterval=30",
            "-o",
            "ServerAliveCountMax=3",
            // A refused forwarding costs the fast way of copying, not the run.
            "-o",
            "ExitOnForwardFailure=no",
        ]);
        command = command.args(needs::OPTIONS);
        if let Some((there, here)) = forward {
            let mut sockets = OsString::from(there);
            sockets.push(":");
            sockets.push(here);
            command = command.arg("-R").arg(sockets);
        }
        // The script comes on stdin, for the login shell may be one that cannot read it: fish, csh and nushell
        // understand just this line in the same way. dd, because head may take more than it gives.
        command.args(["--", &host.destination()]).arg(start(script_length))
    }
}

impl Drop for Ssh {
    /// Ends the shared connections.
    fn drop(&mut self) {
        let Some(directory) = self.place.get() else { return };
        let Ok(entries) = std::fs::read_dir(directory.path()) else {
            return;
        };
        let sockets = entries
            .flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"ssh-"));
        for socket in sockets {
            let mut path = OsString::from("ControlPath=");
            path.push(socket.path());
            // The host's name has no meaning here, but ssh wants one.
            let end = Invocation::new("ssh")
                .arg("-o")
                .arg(path)
                .args(["-O", "exit", "rebuild"]);
            let _ = end.silently();
        }
    }
}

fn locked(hosts: &Mutex<Vec<Host>>) -> MutexGuard<'_, Vec<Host>> {
    hosts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path for a socket on the other machine, which nobody can guess.
///
/// # Errors
/// When the system has no random numbers.
pub fn socket_there() -> std::io::Result<PathBuf> {
    Ok(PathBuf::from(format!("/tmp/rebuild-{}.socket", new_name()?)))
}

/// A name that nothing has yet.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_name() -> std::io::Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(private::random()?)))
}

/// The ssh that is here, with these options and this for its configuration, which is there as long as the directory.
#[cfg(test)]
fn with_configuration(options: &str, configuration: &str) -> (TempDir, Ssh) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, configuration).unwrap();
    let options = format!("-F {} {options}", file.display());
    let around = Surroundings::with(&[("NIX_SSHOPTS", &options), ("PATH", "/usr/bin:/bin")]);
    (directory, Ssh::new(&around).unwrap())
}

#[cfg(test)]
mod tests;
