//! nixos-rebuild's scenarios: a command line, and all commands that follow from it, in their order. They run on a
//! machine of their own with stand-ins for ssh, sudo, Nix and systemd.
//!
//! Expected calls are written in words that [`full`] expands. Calls that were seen are compared without the parts that
//! differ from run to run ([`Scene::seen`]).

mod elsewhere;
mod flags;
mod here;
mod hosts;
mod links;
mod verbs;

use std::ops::Deref;
use std::os::unix::net::UnixListener;

use crate::stubs::{Run, Stage};
use crate::{DRV, SYSTEM};

/// The steps that most scenarios have.
pub const BUILD: &str = "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --out-link ROOT";
pub const EVALUATE: &str = "nix-instantiate <nixpkgs/nixos> --attr config.system.build.toplevel --add-root ROOT";
pub const LOCK: &str = "systemctl is-active nixos-rebuild-switch-to-configuration.service";
pub const SET: &str = "nix-env -p /nix/var/nix/profiles/system --set SYSTEM";
/// It is not `nix-copy-closure`, which asks and sends path by path (nixpkgs#499820) and is believed only if a trusted
/// user sends (nixpkgs#299996).
pub const SEND: &str = "NIX copy --no-check-sigs --to RELAY SYSTEM";
pub const SEND_DRV: &str = "NIX copy --no-check-sigs --to RELAY --derivation DRV";

/// What the words of an expected call stand for.
const WORDS: [(&str, &str); 11] = [
    ("RUNNING", "/nix/store/22222222222222222222222222222222-nixos-system-pi"),
    // These are sudo's calls, after its options: to ask root something or to change the system, and to be Nix's daemon.
    ("BECOME", "CLEAN NIXOS_INSTALL_BOOTLOADER=0 GATE SCRIPT"),
    ("SERVE", "CLEAN NIXOS_INSTALL_BOOTLOADER=0 GATE nix-daemon --stdio"),
    ("SYSTEM", SYSTEM),
    ("DRV", DRV),
    ("OLD", "/nix/store/00000000000000000000000000000000-nixos-system-old"),
    ("NIX", "nix --extra-experimental-features nix-command flakes"),
    (
        "UNIT",
        "systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER -E NIXOS_NO_CHECK --collect --no-ask-password --pipe \
         --quiet --service-type=exec --unit=nixos-rebuild-switch-to-configuration --description=Activation of NixOS by rebuild",
    ),
    // sudo stands before env, so it does not matter what sudo does to the environment.
    ("CLEAN", "/usr/bin/env -i PATH=…"),
    (
        "GATE",
        "/bin/sh -c echo \"@rebuild ready\"; while IFS= read -r line && [ \"$line\" != \"@rebuild go\" ]; do :; done; line=; \
         exec \"$@\" rebuild",
    ),
    // Root's script comes over the pipe.
    (
        "SCRIPT",
        "/bin/sh -c eval \"$(dd bs=\"$1\" count=1 iflag=fullblock 2>/dev/null)\" rebuild SIZE",
    ),
];

/// Returns an expected call with all its words.
pub fn full(call: &str) -> String {
    let words = call.split(' ').map(|word| {
        let of = WORDS.iter().find(|(short, _)| *short == word);
        of.map_or_else(|| word.to_owned(), |(_, long)| full(long))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A machine of its own with Nix, and the hosts `builder` and `target`.
pub struct Scene {
    stage: Stage,
    /// This machine's Nix daemon.
    _daemon: UnixListener,
}

impl Deref for Scene {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// A `nix-env` that does as much as the tests look at afterwards.
const NIX_ENV: &str = r#"[ "$3" != --switch-generation ] || ln -sfn "${2##*/}-$4-link" "$2"
[ "$1" != --rollback ] || ln -sfn system-1-link "$3"
[ "$3" != --set ] || { ln -sfn "$4" "$2-4-link"; ln -sfn "${2##*/}-4-link" "$2"; }"#;

/// A program that makes its user root: it runs what follows its own options, after reading the password if it is told
/// to.
const BY_ROOT: &str = r#"
case " $* " in *' --stdin '*) IFS= read -r password; [ "$password" = secret ] || exit 1 ;; esac
while [ "$1" != /usr/bin/env ] && [ "$1" != nix-channel ]; do shift; done
exec "$@""#;

impl Scene {
    pub fn new() -> Self {
        let stage = Stage::own_machine(SYSTEM);
        stage.stub("nix-build", &format!("echo {SYSTEM}"));
        stage.stub("nix-instantiate", &format!("echo {DRV}"));
        stage.stub("nix-env", NIX_ENV);
        stage.stub("nix-channel", "");
        stage.stub("nix-daemon", "exec cat >/dev/null");
        for program in ["sudo", "run0", "doas"] {
            stage.stub(program, BY_ROOT);
        }
        stage.stub(
            "nix",
            &format!(
                "case \" $* \" in
                 *' copy '*) connect_to \"$@\" ;;
                 *' eval --raw '*) printf %s {DRV} ;;
                 *' build '*) echo {SYSTEM} ;;
                 esac"
            ),
        );
        stage.hosts(&["builder", "target"], "exit 9");
        for host in ["builder", "target"] {
            stage.stub_on(
                host,
                "id",
                "case $1 in -u) echo 0 ;; -un) echo root ;; *) exec /usr/bin/id \"$@\" ;; esac",
            );
            stage.stub_on(
                host,
                "nix-store",
                &format!(
                    "for word; do [ \"$before\" != --add-root ] || {{ ln -sfn {SYSTEM} \"$word\"; echo \"$word\"; }}; before=$word; done
                     [ \"$2\" != --outputs ] || echo {SYSTEM}
                     [ \"$1\" != --version ] || echo 'nix-store (Nix) 2.26.3'"
                ),
            );
            stage.stub_on(host, "nix", "case \" $* \" in *' copy '*) connect_to \"$@\" ;; esac");
            stage.stub_on(host, "nix-daemon", "exec cat >/dev/null");
            stage.stub_on(host, "nix-env", NIX_ENV);
            stage.stub_on(host, "systemctl", "exit 3");
            stage.stub_on(
                host,
                "systemd-run",
                "while [ \"$1\" != /bin/sh ]; do shift; done; exec \"$@\"",
            );
            for program in ["sudo", "run0", "doas"] {
                stage.stub_on(host, program, BY_ROOT);
            }
            stage.stub_on(
                host,
                "uname",
                &format!("[ \"$1\" = -n ] && echo {host}.lan || exec /usr/bin/uname \"$@\""),
            );
        }
        let daemon = UnixListener::bind(stage.path("daemon")).unwrap();
        stage.variable("NIX_DAEMON_SOCKET_PATH", &stage.path("daemon").display().to_string());
        Self { stage, _daemon: daemon }
    }

    /// Makes the user of this host another one than root.
    pub fn user_on(&self, host: &str, user: u32) {
        let does = format!("case $1 in -u) echo {user} ;; -un) echo somebody ;; *) exec /usr/bin/id \"$@\" ;; esac");
        self.stub_on(host, "id", &does);
    }

    /// Returns the calls, without the parts that differ from run to run. A call over ssh is seen by what it does on the
    /// other machine. What becomes a daemon, which happens whenever the other side connects, is in [`Scene::daemons`].
    pub fn seen(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        let calls =
            calls.filter(|call| !call.starts_with("ssh ") && !is_question(call) && !is_daemon(call) && !is_check(call));
        calls.map(|call| self.shorter(&call)).collect()
    }

    /// Returns the calls that only check whether a password is accepted: before each command of root's.
    pub fn checks(&self) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| is_check(call));
        calls.map(|call| self.shorter(&call)).collect()
    }

    /// Returns the calls that became a Nix daemon.
    pub fn daemons(&self) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| is_daemon(call));
        calls.map(|call| self.shorter(&call)).collect()
    }

    /// Returns ssh's command lines up to what runs on the other machine, each once and in the order in which they first
    /// came.
    pub fn logins(&self) -> Vec<String> {
        let mut logins: Vec<String> = Vec::new();
        for call in self.calls().iter().filter(|call| call.starts_with("ssh ")) {
            let call = call.split(" exec /bin/sh ").next().unwrap();
            let words = call.split(' ').map(|word| match word {
                word if word.starts_with("ControlPath=/tmp/rebuild.") => "ControlPath=OURS".to_owned(),
                word if word.starts_with("/tmp/rebuild-") => "SOCKETS".to_owned(),
                word => word.to_owned(),
            });
            let call = words.collect::<Vec<_>>().join(" ");
            if !logins.contains(&call) {
                logins.push(call);
            }
        }
        logins
    }

    fn shorter(&self, call: &str) -> String {
        let call = call.split(" /bin/sh /var/lib/rebuild/").next().unwrap_or_default();
        // The form of the log belongs to the display, which reads it (src/progress).
        let call = match call.split_once(": ") {
            Some(("builder" | "target", _)) => call.to_owned(),
            _ => call.replace(" --log-format internal-json", ""),
        };
        let own = self.path("").display().to_string();
        let link = format!("{own}result");
        let last = call.split(' ').next_back().unwrap_or_default().to_owned();
        let words = call.split(' ').map(|word| {
            if word.starts_with("PATH=") {
                "PATH=…".to_owned()
            } else if word.starts_with("unix:///tmp/rebuild.") {
                "RELAY".to_owned()
            } else if word.starts_with("unix:///tmp/rebuild-") {
                "LENT".to_owned()
            } else if word == link {
                "LINK".to_owned()
            } else if word.contains("/.cache/rebuild/") && word.contains("/results/") && word.ends_with("/result") {
                "KEPT".to_owned()
            } else if word.contains("/rebuild.") && (word.ends_with("/result") || word.ends_with("/derivation")) {
                "ROOT".to_owned()
            } else if word == last && word.parse::<u32>().is_ok() && call.contains("GATE") | call.contains("@rebuild") {
                "SIZE".to_owned()
            } else {
                let program = word.strip_prefix(&own).and_then(|rest| rest.split_once("bin/"));
                program.map_or(word, |(_, name)| name).to_owned()
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Runs a line that succeeds and makes these calls.
    pub fn makes(&self, line: &str, expected: &[&str]) -> Run {
        let line = full(line);
        let run = self.rebuild(&line);
        assert_eq!(run.code, 0, "{line}: {}{:?}", run.stderr, self.calls());
        let expected: Vec<String> = expected.iter().map(|call| full(call)).collect();
        let seen = self.seen();
        assert!(
            seen == expected,
            "{line}\nseen:\n{}\nexpected:\n{}",
            seen.join("\n"),
            expected.join("\n")
        );
        run
    }
}

fn is_check(call: &str) -> bool {
    call.contains("sudo ") && call.ends_with(" true")
}

fn is_daemon(call: &str) -> bool {
    call.ends_with("nix-daemon --stdio")
}

/// Returns whether a call asks a user who they are, or a program which version it has: these come in no fixed order.
fn is_question(call: &str) -> bool {
    let asked = |host: &str| {
        let call = call.strip_prefix(host)?.strip_prefix(": ")?;
        Some(
            call.starts_with("id ")
                || call.starts_with("uname ")
                || call == "nix-store --version"
                || call.starts_with("nix-store --query --outputs "),
        )
    };
    asked("builder").or_else(|| asked("target")).unwrap_or(false)
}

/// Does the same on a machine of its own about which nothing else is to be said.
pub fn check(line: &str, expected: &[&str]) {
    Scene::new().makes(line, expected);
}
