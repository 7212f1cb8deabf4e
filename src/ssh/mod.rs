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

/// Replaces the options with which this program shares connections (nixpkgs#538973).
const DEFAULTS: &str = "NIXOS_REBUILD_SSH_DEFAULT_OPTS";

/// A connection of its own, whatever is shared. Of two options of a kind, ssh takes the first, so these come first.
const APART: [&str; 4] = ["-o", "ControlMaster=no", "-o", "ControlPath=none"];

/// How this run connects: the user's options, and the connections that several commands share.
///
/// If a run talks to a host more than once, it logs in once (a hardware key is touched once) and shares that
/// connection. If `~/.ssh/config` or `NIX_SSHOPTS` has the user's own sharing, this program leaves it alone;
/// nixos-rebuild hides it (nixpkgs#495907, nixpkgs#168322).
///
/// Several threads may connect by the same value.
pub struct Ssh {
    /// The words of `NIX_SSHOPTS`.
    own: Vec<String>,
    /// The user's own options in place of the ones for sharing.
    defaults: Option<Vec<String>>,
    /// The directory for the sockets of shared connections and for other files of this run alone.
    place: OnceLock<TempDir>,
    /// The user's `PATH`.
    path: Option<OsString>,
    /// Whether an agent may have keys of the user.
    has_agent: bool,
    /// The hosts whose connections are shared.
    shared: Mutex<Vec<Host>>,
    /// The hosts that may well be off: ssh waits less long for them.
    hasty: Mutex<Vec<Host>>,
    /// The hosts for which ssh must not ask the user anything now.
    unattended: Mutex<Vec<Host>>,
}

impl Ssh {
    /// Reads the user's options. No connection is shared yet.
    ///
    /// # Errors
    /// Fails for options that no shell could read.
    pub fn new(around: &Surroundings) -> Result<Self, Failure> {
        let words = |name| around.text(name).map(|text| words(name, &text)).transpose();
        Ok(Self {
            own: words("NIX_SSHOPTS")?.unwrap_or_default(),
            defaults: words(DEFAULTS)?,
            place: OnceLock::new(),
            path: around.variable("PATH"),
            has_agent: around.is_set("SSH_AUTH_SOCK"),
            shared: Mutex::default(),
            hasty: Mutex::default(),
            unattended: Mutex::default(),
        })
    }

    /// Makes all commands for this host share a connection from now on; it stays until this value is dropped.
    ///
    /// # Errors
    /// Fails if there is no place for its socket, or if a signal has come.
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

    /// Gives this host up sooner from now on if it does not answer, because nobody has said just now that it is there.
    pub fn hurry(&self, host: &Host) {
        locked(&self.hasty).push(host.clone());
    }

    /// Sets whether ssh may ask the user something when it connects to this host, such as a password. (It may, unless
    /// this is said.)
    pub fn may_ask(&self, host: &Host, may_ask: bool) {
        let mut unattended = locked(&self.unattended);
        unattended.retain(|other| other != host);
        if !may_ask {
            unattended.push(host.clone());
        }
    }

    /// Returns how long ssh may try to connect, in ssh's own words; this counts if the user does not say.
    fn patience(&self, host: &Host) -> &'static str {
        if locked(&self.hasty).contains(host) {
            "ConnectTimeout=10"
        } else {
            "ConnectTimeout=20"
        }
    }

    fn place(&self) -> Result<&Path> {
        if self.place.get().is_none() {
            // The directory is not in TMPDIR, which may be too long for a socket's address.
            let _ = self.place.set(private::directory(Path::new("/tmp"))?);
        }
        self.place
            .get()
            .map(TempDir::path)
            .context("no place for ssh's sockets")
    }

    /// Returns the command that asks ssh about its configuration for a host. It connects to nothing.
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
        Ok(is_shared(&String::from_utf8_lossy(&answer)))
    }

    /// Returns whether this user has something to log in with at this host without a password: an agent, or a key in one
    /// of the files that ssh would look at. If ssh does not say, that counts as yes.
    ///
    /// # Errors
    /// Fails if a signal has come.
    pub fn has_key(&self, host: &Host, home: &Path, signals: &Signals) -> Result<bool> {
        let Ok(answer) = self.configuration(host).quietly(signals) else {
            signals.check()?;
            return Ok(true);
        };
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let files: Vec<&str> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("identityfile "))
            .collect();
        let exists = |file: &str| {
            file.strip_prefix("~/")
                .map_or(Path::new(file).exists(), |rest| home.join(rest).exists())
        };
        Ok(self.has_agent || files.is_empty() || files.into_iter().any(exists))
    }

    /// Returns where the user's options and configuration lead a host that has this machine's name, if they lead
    /// elsewhere.
    ///
    /// If there is no ssh and the user has given no options for it, such a name can only mean this machine.
    ///
    /// # Errors
    /// Fails if ssh cannot say, or if a signal has come.
    pub fn detour(&self, host: &Host, own: &OwnNames, signals: &Signals) -> Result<Option<String>> {
        let has_ssh = which::which_in("ssh", self.path.as_ref(), "/").is_ok();
        if !has_ssh && self.options(host).is_empty() {
            return Ok(None);
        }
        // ssh's own words about it are shown.
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

    /// Returns what the user says of the connections to this host. Of two options of a kind, ssh takes the first.
    ///
    /// So the port that is typed with the host comes before everything: it belongs to this host, while `NIX_SSHOPTS`
    /// belongs to all of a run, and to other commands, too. That breaks no habit, because nixos-rebuild's hosts have no
    /// port. A user in `NIX_SSHOPTS` counts before the host's user, as with ssh itself and with nixos-rebuild. (In the
    /// ssh that Nix starts, the host's user counts first, because Nix puts the host first. That is so with
    /// nixos-rebuild, too.)
    fn own(&self, host: &Host) -> Vec<String> {
        let port = host.port().map(|port| ["-p".to_owned(), port.to_string()]);
        port.into_iter().flatten().chain(self.own.iter().cloned()).collect()
    }

    /// Returns the options of every command for this host; the user's options come first.
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

    /// Prepares a command of Nix's own that connects to this host ([`Host::address_for_nix`]) by this program's options
    /// and connections.
    ///
    /// Nix takes the options from `NIX_SSHOPTS`. Older versions of Nix split it at every blank, quoted or not, so
    /// options with blanks reach ssh through a small program that is found in its place (`stand_in`).
    ///
    /// # Errors
    /// Fails if there is no ssh, or no place for that program.
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
        // The user's configuration may say otherwise, for a person who types.
        options.extend(needs::OPTIONS.map(str::to_owned));
        options
    }

    /// Returns the command for one session. A script of `script_length` bytes comes first on its stdin ([`opening()`]).
    /// `forward` is a socket on the other machine and the socket on this machine to which it leads.
    #[must_use]
    pub fn session(&self, host: &Host, forward: Option<(&Path, &Path)>, script_length: usize) -> Invocation {
        self.session_by(Invocation::new("ssh"), host, forward, script_length)
    }

    /// Returns the command for one session of a login of its own, even if there is a connection that could be shared: it
    /// shows that a new login is let in.
    #[must_use]
    pub fn new_session(&self, host: &Host, script_length: usize) -> Invocation {
        self.session_by(Invocation::new("ssh").args(APART), host, None, script_length)
    }

    /// Returns the command that logs in, does nothing, and ends, without what ends with the user's own login: their agent,
    /// a connection that is shared, or somebody who types a password.
    #[must_use]
    pub fn login_alone(&self, host: &Host) -> Invocation {
        Invocation::new("ssh")
            .args(APART)
            .args(self.options(host))
            .args(["-n", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"])
            .args(["--", &host.destination(), "true"])
            .env("SSH_AUTH_SOCK", "")
    }

    fn session_by(
        &self,
        command: Invocation,
        host: &Host,
        forward: Option<(&Path, &Path)>,
        script_length: usize,
    ) -> Invocation {
        let mut command = command.args(self.options(host)).args([
            // The session has no terminal, and it forwards only what it needs: no agent, no display.
            "-T",
            "-a",
            "-x",
            "-o",
            self.patience(host),
            // With these two, a dead link is noticed within a minute and a half.
            "-o",
            "ServerAliveInterval=30",
            "-o",
            "ServerAliveCountMax=3",
            // If a forwarding is refused, that costs the fast way of copying, not the run.
            "-o",
            "ExitOnForwardFailure=no",
        ]);
        command = command.args(needs::OPTIONS);
        if locked(&self.unattended).contains(host) {
            command = command.args(["-o", "BatchMode=yes"]);
        }
        if let Some((there, here)) = forward {
            let mut sockets = OsString::from(there);
            sockets.push(":");
            sockets.push(here);
            command = command.arg("-R").arg(sockets);
        }
        // The script comes on stdin, because the login shell may be one that cannot read it: fish, csh and nushell
        // understand exactly this line in the same way. dd reads it, because head may take more than it passes on.
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
            // The host's name has no meaning here, but ssh demands one.
            let end = Invocation::new("ssh")
                .arg("-o")
                .arg(path)
                .args(["-O", "exit", "rebuild"]);
            let _ = end.silently();
        }
    }
}

/// Returns whether the user shares connections, by the configuration that ssh says.
fn is_shared(answer: &str) -> bool {
    let path = answer.lines().find_map(|line| line.strip_prefix("controlpath "));
    path.is_some_and(|path| path != "none")
}

fn locked(hosts: &Mutex<Vec<Host>>) -> MutexGuard<'_, Vec<Host>> {
    hosts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a path for a socket on the other machine, which nobody can guess.
///
/// # Errors
/// Fails if the system has no random numbers.
pub fn socket_there() -> std::io::Result<PathBuf> {
    Ok(PathBuf::from(format!("/tmp/rebuild-{}.socket", new_name()?)))
}

/// Returns a name that nothing has yet.
///
/// # Errors
/// Fails if the system has no random numbers.
pub fn new_name() -> std::io::Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(private::random()?)))
}

/// Returns the machine's ssh with these options and `configuration` as its configuration, which exists as long as the
/// directory does.
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
