//! What a failed run on the other machine means for the user. The script names the part that failed; this file says
//! what the user can do.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::named::shown;
use super::reply::Way;
use super::stage::Stage;
use crate::conditions::{Condition, Words};
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::nix_version::NixVersion;
use crate::progress::spoken;
use crate::store_path::StorePath;

/// The failure of a machine that can build for the client, but not evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotEvaluate {
    /// The machine that cannot evaluate.
    pub host: Host,
}

impl CannotEvaluate {
    pub(super) fn new(host: &Host) -> Self {
        Self { host: host.clone() }
    }

    /// Returns the warning that this machine evaluates instead, for this builder.
    #[must_use]
    pub fn warning(&self, builder: &Place) -> String {
        let host = &self.host;
        let instead = match builder {
            Place::There(builder) if builder == host => {
                format!("this machine evaluates, and {host} only builds, as with --build-on")
            }
            Place::There(builder) => format!("this machine evaluates, and {builder} builds, as with --build-on"),
            Place::Here => "this machine evaluates, and builds".to_owned(),
        };
        let remedy = remedy(Condition::Namespaces, host, "").replace('\n', "\n  ");
        format!("warning: {self}\n  so {instead}\n  {remedy}")
    }
}

impl fmt::Display for CannotEvaluate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        write!(
            formatter,
            "{host} does not let its users make user namespaces, which an evaluation there needs"
        )
    }
}

impl std::error::Error for CannotEvaluate {}

/// Returns a message about how the machine makes the view, if that is unusual.
#[must_use]
pub(super) fn unusual(host: &Host, way: Way) -> Option<String> {
    (way == Way::Sudo).then(|| format!("{host} does not let its users make user namespaces: evaluating there by sudo"))
}

/// Returns the warning that the result is less sure, although it is taken.
#[must_use]
pub(super) fn untraced(host: &Host, version: &str) -> String {
    format!(
        "warning: Nix {version} on {host} does not notice when it asks for a file that was not sent (builtins.pathExists), \
         and there is no strace to see it: what is built may differ from what this machine would build\n  {}",
        remedy(Condition::Noticed, host, "")
    )
}

/// Returns the message that files that were kept there have been changed by somebody else.
#[must_use]
pub(super) fn damaged(host: &Host) -> String {
    format!("warning: what {host} kept of this machine's files is not what was sent: it is thrown away, and sent anew")
}

/// Returns the failure of a machine that has fetched another store path than this machine has.
#[must_use]
pub(super) fn another_release(host: &Host, tree: &str, hash: &str, own: Option<&str>) -> Failure {
    let own = own.map_or_else(
        || "of which its Nix does not know the hash".to_owned(),
        |own| format!("whose hash is {own}"),
    );
    Failure::new(format!(
        "what {host} fetched as /nix/store/{tree} has the hash {hash}; it is not what this machine has there, {own}"
    ))
    .with_remedy(format!(
        "throw it away on {host}: rm -r ~/.cache/rebuild/*/releases/{tree}; nix-store --delete /nix/store/{tree}\n\
         then send it: --release-site ''"
    ))
}

/// Returns the message that garbage was collected during an evaluation.
#[must_use]
pub(super) fn collected(host: &Host) -> String {
    format!(
        "{host} collected garbage, and with it what this evaluation had written there: evaluating again, and that is kept"
    )
}

/// Returns the warning that the machine has not heard, as far as is known, that the user wants the work to end. `alone` is the
/// time after which it ends by itself, and `is_found` is whether a later run of this client finds it.
#[must_use]
pub(super) fn unanswered(host: &Host, alone: Duration, is_found: bool) -> String {
    let alone = spoken(alone);
    let warning = format!(
        "warning: {host} does not answer, so its work may go on there until nobody has followed it for {alone}"
    );
    if is_found {
        format!("{warning}\n  to end it when {host} answers again: the same command finds it, and Ctrl-C then ends it")
    } else {
        warning
    }
}

/// Returns the failure of work that would not outlive its connection.
#[must_use]
pub(super) fn ends_at_logout(host: &Host, user: &str) -> Failure {
    Failure::new(format!(
        "{host} ends what {user} leaves running at the logout (KillUserProcesses=yes): its work would end with the connection"
    ))
    .with_remedy(Condition::Logout.remedy(&Words {
        it: user,
        ..Words::default()
    }))
}

/// Says of a failure that the link broke during an evaluation that does not count yet. The connection that came after it
/// followed the evaluation, and nobody listens there to what it lacks: it has to be begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedMeanwhile;

impl fmt::Display for AskedMeanwhile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an evaluation over two connections")
    }
}

/// Returns the failure of an evaluation that does not count yet and cannot be repeated over this connection.
pub(super) fn asked_meanwhile(host: &Host, unchanged: &str) -> anyhow::Error {
    let failure = Failure::new(format!(
        "the connection to {host} broke again and again while it evaluated, before all was there that the evaluation asks \
         for: {unchanged}"
    ));
    let remedy = "run the same command again: what was sent is kept";
    anyhow::Error::from(failure.with_remedy(remedy).with_code(255)).context(AskedMeanwhile)
}

/// Returns the message that another run's job is followed.
#[must_use]
pub(super) fn joined(host: &Host) -> String {
    format!("{host} builds this already, since an earlier run: following that")
}

/// Returns the failure of a copy from one machine's store to another's. Nix's own messages have been shown before it.
/// `complaint` is what the receiving end said.
#[must_use]
pub(super) fn not_copied(host: &Host, receiver: Option<&Host>, complaint: Option<String>, code: u8) -> Failure {
    let to = receiver.map_or_else(|| "this machine".to_owned(), Host::to_string);
    let said = complaint.map_or_else(String::new, |text| format!(" ({text})"));
    let remedy = match receiver {
        None => {
            "run the same command again: what has arrived is kept\nor fetch it another way: --no-lend\n\
             if it lacks a signature: only root and Nix's trusted-users may receive it; with --sudo, root does"
        }
        Some(_) => {
            "run the same command again: what has arrived is kept\n\
             if it lacks a signature: only root and Nix's trusted-users may receive it; with --sudo, root does"
        }
    };
    Failure::new(format!(
        "{host} → {to}: it did not arrive whole, nothing was changed{said}"
    ))
    .with_remedy(remedy)
    .with_code(code)
}

/// Returns what a failure says of this machine, where the run may have written one file (`changed`) all the same.
#[must_use]
pub(super) fn unchanged(written: Option<&Path>) -> String {
    written.map_or_else(
        || "nothing was changed here".to_owned(),
        |path| format!("nothing was changed here but {}", shown(path)),
    )
}

/// Returns the failure for a part of the script (`fail` in `scripts/`). Nix's own messages have been shown before it.
/// `unchanged` is what the function of that name returns.
#[must_use]
pub(super) fn failed(host: &Host, system: &str, stage: Stage, code: u8, unchanged: &str) -> Failure {
    let ssh = host.words_for_ssh();
    let (message, remedy) = match stage {
        // 137 is 128 and SIGKILL: the kernel has killed the process for want of memory, or somebody has killed it.
        Stage::Evaluation | Stage::Build if code == 137 => (
            format!(
                "Nix on {host} was killed, which ended the {}: probably {host} ran out of memory",
                if stage == Stage::Build { "build" } else { "evaluation" }
            ),
            Some(format!(
                "what the kernel says there: ssh {ssh} sudo dmesg\n{}",
                remedy(Condition::Memory, host, system)
            )),
        ),
        Stage::Evaluation => (format!("the evaluation on {host} failed"), None),
        // The command that shows the build's log has been shown with the error.
        Stage::Build => (format!("the build on {host} failed"), None),
        Stage::Lost | Stage::Cancelled => of_a_job(host, stage),
        Stage::NoNix | Stage::NoDaemon | Stage::NoEmulator | Stage::NoPlatform => of_its_nix(host, system, stage),
        Stage::ProbeJobs
        | Stage::ProbeHook
        | Stage::ProbeSpace
        | Stage::ProbeReadOnly
        | Stage::ProbeUsers
        | Stage::Probe => of_a_test_program(host, stage),
        Stage::Link => (
            format!("the connection to {host} broke, {unchanged}"),
            Some("run the same command again: what has arrived there is kept".to_owned()),
        ),
        Stage::Unpack if code == 127 => (
            format!("{host} has no tar, or its users do not find it: nothing can be sent there"),
            Some(remedy(Condition::Tar, host, system)),
        ),
        Stage::Mirror => (
            format!("what arrived on {host} is not what was sent, nothing was built"),
            Some("run the same command again\nif it stays so: the file system of ~/.cache there changes names, modes or contents".to_owned()),
        ),
        Stage::Result => (
            format!("what {host} has built is no output of the derivation, nothing was changed"),
            Some("run the same command again".to_owned()),
        ),
        Stage::Gone | Stage::Unpack | Stage::Room | Stage::Work | Stage::Cache => of_what_is_kept(host, stage, unchanged),
        // These stages have failures of their own.
        Stage::NoNamespaces | Stage::Copy => (format!("the run on {host} failed"), None),
    };
    let failure = Failure::new(message).with_code(code);
    match remedy {
        Some(remedy) => failure.with_remedy(remedy),
        None => failure,
    }
}

/// Returns the remedy if the daemon there ended during its work. Most likely it was killed for want of memory.
#[must_use]
pub(super) fn daemon_fell(host: &Host) -> String {
    format!(
        "why, its log may say: ssh {} sudo journalctl -u nix-daemon -e\n\
         if {host} ran out of memory: more of it or swap, or fewer builds at once (--max-jobs 1)",
        host.words_for_ssh()
    )
}

/// Returns the remedy if Nix says that a disk is full: this machine's, or `host`'s.
#[must_use]
pub(super) fn no_room(host: Option<&Host>) -> String {
    let (disk, ssh) = host.map_or_else(
        || ("this machine's".to_owned(), String::new()),
        |host| (format!("{host}'s"), format!("ssh {} ", host.words_for_ssh())),
    );
    format!(
        "is {disk} disk full? see: {ssh}df -h /nix /tmp; what nothing needs there goes by: {ssh}nix-collect-garbage\n\
         then run the same command again: what was built and what has arrived is kept"
    )
}

/// Returns the message and the remedy if a job ended before its work was done.
fn of_a_job(host: &Host, stage: Stage) -> (String, Option<String>) {
    let message = if stage == Stage::Lost {
        format!("the work on {host} was cut off: its processes were killed there, or the machine was restarted")
    } else {
        format!("the work on {host} was ended there, by somebody or because nobody followed it for too long")
    };
    let remedy = "run the same command again: what was built there is kept";
    (message, Some(remedy.to_owned()))
}

/// Returns the message and the remedy if the Nix there cannot be used, or not for this system.
fn of_its_nix(host: &Host, system: &str, stage: Stage) -> (String, Option<String>) {
    let (message, condition) = match stage {
        Stage::NoNix => (
            format!("{host} has no Nix, or it is not where its users find it"),
            Condition::Nix,
        ),
        Stage::NoDaemon => (
            format!(
                "the user of {host} may not use the Nix there: no daemon lets it in, and it does not own the store"
            ),
            Condition::Daemon,
        ),
        Stage::NoEmulator => (
            format!("{host} has no emulator for {system}; nothing was built"),
            Condition::Emulator,
        ),
        _ => (
            format!("Nix on {host} does not build for {system}; nothing was built"),
            Condition::Platform,
        ),
    };
    (message, Some(remedy(condition, host, system)))
}

/// Returns the message and the remedy if the test program could not be built. What Nix says stands above it.
fn of_a_test_program(host: &Host, stage: Stage) -> (String, Option<String>) {
    let (message, condition) = match stage {
        Stage::ProbeJobs => (
            format!("Nix on {host} builds nothing: it may start no job"),
            Condition::Jobs,
        ),
        Stage::ProbeHook => (
            format!("the post-build-hook of Nix on {host} fails, and with it each build there"),
            Condition::Hook,
        ),
        Stage::ProbeSpace => (format!("{host} has no room to build in"), Condition::BuildRoom),
        Stage::ProbeReadOnly => (
            format!("{host} cannot build: a file system that Nix writes to is read-only there"),
            Condition::Writable,
        ),
        Stage::ProbeUsers => (format!("Nix on {host} has no users to build as"), Condition::BuildUsers),
        _ => (
            format!("{host} failed to build a test program; what Nix says stands above"),
            Condition::Builds,
        ),
    };
    (message, Some(remedy(condition, host, "")))
}

/// Returns the remedy of the table of conditions, for this host.
fn remedy(condition: Condition, host: &Host, system: &str) -> String {
    condition.remedy(&Words {
        host: &host.to_string(),
        ssh: &host.words_for_ssh(),
        system,
        it: "",
    })
}

/// Returns the message and the remedy if something is wrong with the directories in which the script keeps things.
fn of_what_is_kept(host: &Host, stage: Stage, unchanged: &str) -> (String, Option<String>) {
    match stage {
        // The run's own directory was removed during the run: `rm -rf ~/.cache`, or a program that cleans up.
        Stage::Gone => (
            format!(
                "what {host} keeps for this run was taken away there meanwhile: nothing of it counts, and {unchanged}"
            ),
            Some("run the same command again, and leave ~/.cache/rebuild there alone while it is on".to_owned()),
        ),
        Stage::Unpack => (
            format!("{host} could not unpack the files it was sent"),
            Some("is its disk full? files go to ~/.cache/rebuild and /dev/shm there".to_owned()),
        ),
        Stage::Room => (
            format!("{host} has no room for what an evaluation there reads and writes: nothing was built"),
            Some(remedy(Condition::Room, host, "")),
        ),
        _ => (
            format!("{host} cannot make its working directory"),
            Some(remedy(Condition::Cache, host, "")),
        ),
    }
}

/// Returns the remedy if a machine says what nobody asked for, or says it too early or twice.
#[must_use]
pub(super) fn somebody_else(host: &Host) -> String {
    format!("run the same command again; if it says so again, something else than rebuild's script answers on {host}")
}

/// The machine says that the question is unchanged, but has another answer than the one that is remembered.
pub(super) fn another_answer(host: &Host, said: &str) -> Failure {
    Failure::new(format!(
        "{host} says that nothing has changed, but not with the derivation that this machine remembers: {said}"
    ))
    .with_remedy(somebody_else(host))
}

/// Returns why an answer is not remembered.
#[must_use]
pub(super) fn unmemorable(reason: &str) -> String {
    let reason = match reason {
        "access-times" => "the file system there keeps no access times, so nobody knows what was fetched",
        "unsearchable" => "an evaluated file cannot be searched",
        "download" => "something was fetched, perhaps without a hash",
        "impure-name" => "an evaluated file asks for the time",
        "own-file" => "a file of that machine's own was evaluated",
        "builtins" => "a file uses all of Nix's builtins at once",
        "own-place" => "the configuration may read a place of that machine's own (/bin, /dev, /proc, /run, /usr, ...)",
        "generation" => "the configuration names a place that each switch changes",
        "lock" => "a lock file was made anew",
        "secret" => "a variable that may be a secret was sent",
        other => other,
    };
    format!("not remembered: {reason}")
}

/// Returns why a remembered answer does not hold any more.
#[must_use]
pub(super) fn anew(host: &Host, reason: &str) -> String {
    match reason {
        "standing" => format!("evaluated anew: {host} has started again, or has another Nix or other programs"),
        "gone" => format!("evaluated anew: {host} has the derivation no longer"),
        other => format!("evaluated anew: {other}"),
    }
}

/// Returns the remedy if a flake's evaluation fails with a Nix that is older than the client's.
#[must_use]
pub(super) fn older(host: &Host, theirs: &str, own: &str) -> Option<String> {
    (NixVersion::read(theirs)? < NixVersion::read(own)?).then(|| {
        format!(
            "{host} has Nix {theirs}, this machine {own}: of flakes, an older Nix does not know everything\n\
             update Nix there, or let it build only: --build-on"
        )
    })
}

/// Returns the failure if a file names something by `~`, for which Nix there would take another home than Nix here.
#[must_use]
pub(super) fn another_home(file: &Path, home: &Path) -> Failure {
    let (file, home) = (shown(file), home.display());
    Failure::new(format!(
        "{file} names a file by ~, which is {home} for Nix here and would be another directory elsewhere: \
         HOME is not set, or is another user's"
    ))
    .with_remedy(format!(
        "say it: HOME={home} rebuild ...\nwith sudo: sudo -H, or sudo -i"
    ))
}

/// Returns the failure if Nix there does not know a setting that decides over the evaluation.
#[must_use]
pub(super) fn unknown_setting(host: &Host, name: &str) -> Failure {
    Failure::new(format!(
        "Nix on {host} does not know the setting {name}, with which this machine's evaluation may be another"
    ))
    .with_remedy(format!(
        "a newer Nix there; or without it, for once: --option {name} \"\"\nor evaluate here: --eval-on ''"
    ))
}

/// Returns the failure of `--verify-eval`: the two machines have evaluated different derivations.
#[must_use]
pub(super) fn differs(host: &Host, own: &StorePath, theirs: &StorePath, unchanged: &str) -> Failure {
    Failure::new(format!(
        "{host} evaluates to another system than this machine; {unchanged}\n  here:  {own}\n  there: {theirs}"
    ))
    .with_remedy(format!(
        "compare them: nix-copy-closure --from {host} {theirs}; nix-diff {own} {theirs}\n\
         what differs by its nature (the time, unpinned downloads) does so here, too: evaluate here twice\n\
         if it is none of that, it is a fault of rebuild: please report it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every part that the scripts can fail in has words of its own.
    #[test]
    fn every_stage_of_the_scripts_is_known() {
        let place = Place::parse("builder", "pi").unwrap();
        // These two have failures of their own (`not_copied`, `CannotEvaluate`).
        let others = |stage: Stage| !matches!(stage, Stage::NoNamespaces | Stage::Copy);
        for (stage, word) in Stage::ALL.into_iter().filter(|(stage, _)| others(*stage)) {
            let message = failed(place.host().unwrap(), "aarch64-linux", stage, 1, "").to_string();
            assert!(!message.starts_with("the run on builder failed"), "{word}: {message}");
        }
    }

    #[test]
    fn a_copy_names_both_ends() {
        let [from, to] = ["builder", "root@target"].map(|name| Place::parse(name, "pi").unwrap());
        let (from, to) = (from.host().unwrap(), to.host());
        let failure = not_copied(from, to, Some("sudo: a password is required".into()), 1);
        assert_eq!(
            failure.to_string(),
            "builder → root@target: it did not arrive whole, nothing was changed (sudo: a password is required)"
        );
        assert!(not_copied(from, None, None, 1).remedy().unwrap().contains("--no-lend"));
    }

    #[test]
    fn a_full_disk_is_the_one_that_is_written_to() {
        let place = Place::parse("me@builder", "pi").unwrap();
        assert!(no_room(place.host()).starts_with("is me@builder's disk full? see: ssh me@builder df -h /nix"));
        assert!(no_room(None).starts_with("is this machine's disk full? see: df -h /nix"));
    }

    #[test]
    fn an_older_nix_is_named() {
        let place = Place::parse("builder", "pi").unwrap();
        let older = |theirs, own| older(place.host().unwrap(), theirs, own);
        assert!(
            older("2.8.0", "2.26.3").is_some_and(|text| text.starts_with("builder has Nix 2.8.0, this machine 2.26.3"))
        );
        for (theirs, own) in [
            ("2.26.3", "2.26.1"),
            ("2.26.1", "2.26.3"),
            ("2.34.8", "2.26.3"),
            ("", "2.26.3"),
            ("x", "y"),
        ] {
            assert_eq!(older(theirs, own), None, "{theirs} {own}");
        }
        assert!(older("2.18.0pre2024_x", "2.26").is_some());
    }

    #[test]
    fn what_nobody_sees_is_said_to_be_unseen() {
        let place = Place::parse("builder", "pi").unwrap();
        let text = untraced(place.host().unwrap(), "2.8.0");
        assert!(text.starts_with("warning: Nix 2.8.0 on builder does not notice"));
        assert!(text.contains("install strace there") && text.contains("--verify-eval"));
    }

    #[test]
    fn who_cannot_evaluate_is_named_with_what_to_change() {
        let place = Place::parse("me@builder", "pi").unwrap();
        let host = place.host().unwrap();
        let warning = CannotEvaluate::new(host).warning(&place);
        assert!(warning.starts_with("warning: me@builder does not let its users make user namespaces"));
        assert!(warning.contains("this machine evaluates, and me@builder only builds"));
        assert!(warning.contains("sysctl kernel.unprivileged_userns_clone=1"));
        let other = Place::parse("c", "pi").unwrap();
        for (builder, expected) in [
            (
                other,
                "\n  so this machine evaluates, and c builds, as with --build-on\n",
            ),
            (Place::Here, "\n  so this machine evaluates, and builds\n"),
        ] {
            let warning = CannotEvaluate::new(host).warning(&builder);
            assert!(warning.contains(expected), "{warning}");
        }
        assert_eq!(unusual(host, Way::User), None);
        assert_eq!(unusual(host, Way::Root), None);
        assert!(unusual(host, Way::Sudo).is_some_and(|text| text.contains("sudo")));
    }

    #[test]
    fn the_remedy_for_a_missing_cpu_is_the_line_to_add() {
        let place = Place::parse("builder", "pi").unwrap();
        let failure = failed(place.host().unwrap(), "aarch64-linux", Stage::NoPlatform, 1, "");
        let remedy = failure.remedy().unwrap();
        assert!(remedy.contains("boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];"));
        assert!(remedy.contains("extra-platforms = aarch64-linux"));
    }
}
