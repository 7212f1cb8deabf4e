//! What every session of this program needs of ssh, whatever the user's configuration says for a person who types: that
//! the command is run, and that it gets stdin.

use anyhow::Result;

use super::Ssh;
use crate::failure::Failure;
use crate::host::Host;
use crate::process::Invocation;
use crate::process::signals::Signals;

/// The options for each command line, in ssh's words. What the user says in `NIX_SSHOPTS` comes before them and counts
/// ([`Ssh::check`]). (OpenSSH has had all of them since 8.7.)
pub(super) const OPTIONS: [&str; 8] = [
    "-o",
    "RemoteCommand=none",
    "-o",
    "SessionType=default",
    "-o",
    "StdinNull=no",
    "-o",
    "ForkAfterAuthentication=no",
];

/// What ssh may say of a configuration under which no session of this program can run.
const IN_THE_WAY: [(&str, &str); 3] = [
    ("stdinnull yes", "-n or StdinNull, which gives our script no input"),
    ("sessiontype none", "-N or SessionType none, which runs no command"),
    ("forkafterauthentication yes", "-f, which puts ssh into the background"),
];

impl Ssh {
    /// Checks that the user's own options leave room for a session of this program.
    ///
    /// # Errors
    /// Fails if they do not, or if a signal has come.
    pub fn check(&self, host: &Host, signals: &Signals) -> Result<()> {
        // Only ssh itself can say what the options mean. Most of them cannot be in the way, and then ssh is not asked.
        let words = self.own.iter().chain(self.defaults.iter().flatten());
        if !words.clone().any(|word| may_be_in_the_way(word)) {
            return Ok(());
        }
        let question = Invocation::new("ssh").args(self.options(host)).args(OPTIONS).args([
            "-G",
            "--",
            &host.destination(),
            "true",
        ]);
        let answer = question.quietly(signals);
        signals.check()?;
        // ssh reports what it does not understand when it connects.
        let Ok(answer) = answer else { return Ok(()) };
        let Some(what) = in_the_way(&String::from_utf8_lossy(&answer)) else {
            return Ok(());
        };
        let words: Vec<&str> = words.map(String::as_str).collect();
        Err(Failure::usage(format!(
            "NIX_SSHOPTS ({}) has {what}: nothing runs on {host} in this way",
            words.join(" ")
        ))
        .with_remedy("leave it out of NIX_SSHOPTS, or of NIXOS_REBUILD_SSH_DEFAULT_OPTS")
        .into())
    }
}

/// Returns what is in the way by the configuration that ssh says.
pub(super) fn in_the_way(answer: &str) -> Option<&'static str> {
    let answer = answer.to_lowercase();
    let is_said = |line: &str| answer.lines().any(|own| own == line);
    let found = IN_THE_WAY.iter().find(|(line, _)| is_said(line));
    found.map(|(_, what)| *what)
}

/// Returns whether a word may be in the way: letters without a value, several of which may stand in a word, or options
/// by their names.
fn may_be_in_the_way(word: &str) -> bool {
    let word = word.to_lowercase();
    let letters = word.strip_prefix('-').is_some_and(|rest| rest.contains(['n', 'f']));
    letters
        || ["stdinnull", "sessiontype", "forkafter"]
            .iter()
            .any(|name| word.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;
    use crate::ssh::with_configuration;

    fn check(options: &str, configuration: &str) -> Option<String> {
        let (_directory, ssh) = with_configuration(options, configuration);
        let host = Place::parse("me@builder", "pi").unwrap().host().unwrap().clone();
        let failure = ssh.check(&host, &Signals::listen().unwrap()).err()?;
        Some(failure.to_string())
    }

    #[test]
    fn options_under_which_nothing_runs_are_named() {
        for (options, named) in [
            ("-n", "-n or StdinNull"),
            ("-4n", "-n or StdinNull"),
            ("-N", "-N or SessionType none"),
            ("-f", "-n or StdinNull"),
            ("-o StdinNull=yes", "-n or StdinNull"),
            ("-oSessionType=none", "-N or SessionType none"),
        ] {
            let said = check(options, "").unwrap();
            assert!(said.contains(named) && said.contains(options), "{options}: {said}");
        }
    }

    /// What the configuration says for a person is overruled by this program's options.
    #[test]
    fn others_and_the_configuration_are_not_in_the_way() {
        for options in [
            "-4",
            "-o ConnectTimeout=3",
            "-i /nonexistent/n",
            "-J jump",
            "-oControlPath=none",
        ] {
            let configuration =
                "Host *\n StdinNull yes\n SessionType none\n RemoteCommand tmux attach\n ForkAfterAuthentication yes\n";
            assert_eq!(check(options, configuration), None, "{options}");
        }
    }

    /// ssh does what its command line says, whatever its configuration says: Nix's own ssh hung with the last
    /// configuration of this list.
    #[test]
    fn what_a_session_needs_comes_before_the_configuration() {
        for (line, wanted) in [
            ("StdinNull yes", "stdinnull no"),
            ("SessionType none", "sessiontype default"),
            ("ForkAfterAuthentication yes", "forkafterauthentication no"),
        ] {
            let (_directory, ssh) = with_configuration("", &format!("Host *\n {line}\n"));
            let host = Place::parse("me@builder", "pi").unwrap().host().unwrap().clone();
            let options = ssh.options_for_nix(&host);
            let question = Invocation::new("ssh")
                .args(options)
                .args(["-G", "--", "builder", "true"]);
            let answer = question.quietly(&Signals::listen().unwrap()).unwrap();
            let answer = String::from_utf8_lossy(&answer).to_lowercase();
            assert!(answer.lines().any(|own| own == wanted), "{line}: {answer}");
        }
    }
}
