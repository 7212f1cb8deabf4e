//! What an evaluator or a builder must have.

use super::Case;
use crate::conditions::Condition;
use crate::conditions::room::{OF_BUILDS, OF_CACHE, OF_STORE};
use crate::doctor::Patient;
use crate::doctor::finding::{Finding, Verdict};
use crate::nix_version::NixVersion;

/// The features without which a usual build fails; the others are for tests.
const USUAL: [&str; 1] = ["big-parallel"];

/// From this version on, Nix notices when it is refused a file ([`Condition::Noticed`]).
const NOTICES: &str = "2.26";

impl Case<'_> {
    /// Returns what was found of a machine that evaluates or builds.
    pub(super) fn works(&self, patient: &Patient) -> Vec<Finding> {
        let roles = patient.roles;
        if self.facts.word("nix").is_none() {
            return Vec::new();
        }
        let mut findings: Vec<Finding> = self.daemon().into_iter().collect();
        findings.extend(self.place());
        if roles.builds {
            findings.extend(self.builds());
            findings.extend(self.features());
            findings.extend(self.build_room());
        }
        if roles.evaluates && patient.host.is_some() {
            findings.extend(self.evaluates());
        }
        if roles.evaluates {
            findings.extend(self.memory(2048));
        }
        findings.extend(self.forwards());
        findings
    }

    fn daemon(&self) -> Option<Finding> {
        let host = self.words.host;
        let (what, said) = match self.facts.word("daemon")?.split_once(' ') {
            Some((what, said)) => (what, format!(" ({said})")),
            None => (self.facts.word("daemon")?, String::new()),
        };
        let trusted = match self.facts.word("trusted") {
            Some("yes") => ", and trusts this user",
            Some("no") => "; this user is not among trusted-users, and need not be",
            _ => "",
        };
        Some(match what {
            "yes" => Finding::good(Condition::Daemon, format!("lets this user in{trusted}")),
            "own" => Finding::good(Condition::Daemon, "none: the store is this user's own"),
            "silent" => self.amiss(
                Condition::Daemon,
                Verdict::Bad,
                format!("the daemon of Nix on {host} does not answer within 20 s"),
            ),
            "refused" => self.amiss(
                Condition::Daemon,
                Verdict::Bad,
                format!("the user of {host} may not use the Nix there{said}"),
            ),
            _ => self.amiss(
                Condition::Daemon,
                Verdict::Bad,
                format!(
                    "the user of {host} may not use the Nix there: no daemon lets it in, and it does not own the store"
                ),
            ),
        })
    }

    /// The directories in which a run keeps what it needs.
    fn place(&self) -> Vec<Finding> {
        let host = self.words.host;
        let mut findings = Vec::new();
        if let Some(place) = self.facts.word("no-place") {
            let seen = format!("{host} cannot make its working directory in {place}");
            findings.push(self.amiss(Condition::Cache, Verdict::Bad, seen));
        } else if self.facts.has("no-share") {
            let seen = format!(
                "{host} has no room for what an evaluation there reads and writes: 1 MiB in /dev/shm or /var/tmp"
            );
            findings.push(self.amiss(Condition::Room, Verdict::Bad, seen));
        } else {
            if self.facts.has("way") {
                findings.push(Finding::good(Condition::Cache, "can be made"));
            }
            let message = format!("{host} has no room for what an evaluation there reads and writes");
            findings.extend(self.room(Condition::Room, "room-cache", OF_CACHE, &message));
        }
        findings
    }

    fn build_room(&self) -> Option<Finding> {
        let message = format!("{} has no room to build in", self.words.host);
        let all = [("room-store", OF_STORE), ("room-tmp", OF_BUILDS)];
        let all = all.map(|(fact, bounds)| self.room(Condition::BuildRoom, fact, bounds, &message));
        // The place that has less to spare is the one that counts.
        all.into_iter().flatten().min_by_key(|finding| match finding.verdict {
            Verdict::Bad => 0,
            Verdict::Weak => 1,
            Verdict::Good | Verdict::Unknown => 2,
        })
    }

    /// Judges the small build, in the words of `end_probe` in `builder/scripts/emulation.sh`.
    fn builds(&self) -> Vec<Finding> {
        let system = self.words.system;
        if self
            .facts
            .word("daemon")
            .is_none_or(|word| !["yes", "own"].contains(&word))
        {
            return Vec::new();
        }
        let Some((outcome, _)) = self.facts.word("builds").and_then(|fact| fact.split_once(' ')) else {
            return vec![Finding::unknown(
                Condition::Platform,
                format!("rebuild has no test program of {system}; the build itself shows it"),
            )];
        };
        let is_emulated = self.facts.word("machine") != Some(system);
        let how = match (is_emulated, outcome) {
            (false, _) => String::new(),
            (true, "option") => format!(
                "{}; its nix.conf does not say so, but this user is trusted to",
                self.by()
            ),
            (true, _) => self.by(),
        };
        match outcome {
            "native" | "option" => vec![
                Finding::good(Condition::Platform, format!("{system}{how}")),
                Finding::good(Condition::Emulator, "a test program was built"),
            ],
            _ => vec![self.builds_nothing(outcome)],
        }
    }

    /// Says why the small build has failed.
    fn builds_nothing(&self, outcome: &str) -> Finding {
        let (host, system) = (self.words.host, self.words.system);
        let bad = |condition, seen: String| self.amiss(condition, Verdict::Bad, seen);
        match outcome {
            "no-platform" => bad(
                Condition::Platform,
                format!("Nix on {host} does not build for {system}{}", self.by_whom()),
            ),
            "no-emulator" => self.no_emulator(),
            "probe-jobs" => bad(
                Condition::Jobs,
                format!("Nix on {host} builds nothing: it may start no job"),
            ),
            "probe-hook" => bad(
                Condition::Hook,
                format!("the post-build-hook of Nix on {host} fails, and with it each build there"),
            ),
            "probe-space" | "room" => bad(Condition::BuildRoom, format!("{host} has no room to build in")),
            "probe-read-only" => bad(
                Condition::Writable,
                format!("{host} cannot build: a file system that Nix writes to is read-only there"),
            ),
            "probe-users" => bad(Condition::BuildUsers, format!("Nix on {host} has no users to build as")),
            _ => {
                let said = self
                    .facts
                    .word("said")
                    .map_or_else(String::new, |said| format!(": {said}"));
                bad(
                    Condition::Builds,
                    format!("{host} failed to build a test program{said}"),
                )
            }
        }
    }

    /// Says how a program of another CPU is run, as far as that is known.
    fn by(&self) -> String {
        let binfmt = self.facts.word("binfmt").unwrap_or_default();
        let program = binfmt
            .splitn(3, ' ')
            .nth(2)
            .and_then(|program| program.rsplit('/').next());
        program.map_or_else(
            || ", by no emulator of its own kernel".to_owned(),
            |name| format!(", emulated by {name}"),
        )
    }

    /// Says whether the emulator is there, where Nix does not use it.
    fn by_whom(&self) -> &'static str {
        match (self.facts.word("binfmt"), self.facts.word("trusted")) {
            (Some(_), Some("no")) => {
                ", though its kernel has an emulator: extra-platforms is missing (and this user is not trusted to say it)"
            }
            (Some(_), _) => ", though its kernel has an emulator: extra-platforms is missing",
            (None, _) => "",
        }
    }

    /// A missing emulator, one that is gone, and one that a sandbox does not have look the same to Nix.
    fn no_emulator(&self) -> Finding {
        let (host, system) = (self.words.host, self.words.system);
        let message = format!("{host} has no emulator for {system}");
        let Some(binfmt) = self.facts.word("binfmt") else {
            return self.amiss(
                Condition::Emulator,
                Verdict::Bad,
                format!("{message}: its kernel has none registered"),
            );
        };
        let mut words = binfmt.splitn(3, ' ');
        let (flags, is_there, program) = (words.next(), words.next(), words.next().unwrap_or_default());
        let is_fixed = flags.is_some_and(|flags| flags.contains('F'));
        let mut finding = self.amiss(
            Condition::Emulator,
            Verdict::Bad,
            match (is_there, is_fixed) {
                (Some("no"), _) => format!("{message}: {program} is registered and not there"),
                (_, false) => format!("{message} in Nix's sandbox: {program} is registered without the flag F"),
                _ => format!("{message} that runs its programs: {program} is registered"),
            },
        );
        if !is_fixed {
            let first = format!(
                "a static emulator with the flag F (Debian's qemu-user-static has it; on NixOS boot.binfmt.preferStaticEmulators = true;), \
                                 or in its /etc/nix/nix.conf:  extra-sandbox-paths = {program}"
            );
            finding.remedy = finding.remedy.map(|remedy| format!("{first}\n{remedy}"));
        }
        finding
    }

    fn features(&self) -> Vec<Finding> {
        let with = |answer: &str| -> Vec<&str> {
            let pairs = self.facts.all("feature").filter_map(|fact| fact.split_once(' '));
            pairs.filter(|(_, own)| *own == answer).map(|(name, _)| name).collect()
        };
        let (has, lacks) = (with("yes"), with("no"));
        let host = self.words.host;
        let mut findings = Vec::new();
        if !has.is_empty() {
            findings.push(Finding::good(Condition::Features, has.join(", ")));
        }
        let (usual, rare): (Vec<&str>, Vec<&str>) = lacks.iter().partition(|name| USUAL.contains(name));
        for (names, verdict, what) in [
            (
                usual,
                Verdict::Bad,
                "which large builds require (a kernel); its CPU is not the matter",
            ),
            (
                rare,
                Verdict::Weak,
                "which only builds require that run tests or virtual machines",
            ),
        ] {
            if !names.is_empty() {
                let listed = names.join(", ");
                let seen = format!("Nix on {host} lacks the feature {listed}, {what}");
                findings.push(self.amiss_of(Condition::Features, verdict, seen, &names.join(" ")));
            }
        }
        findings
    }

    fn evaluates(&self) -> Vec<Finding> {
        let host = self.words.host;
        let mut findings = Vec::new();
        findings.push(if self.facts.all("has").any(|name| name == "tar") {
            Finding::good(Condition::Tar, "is there")
        } else {
            let seen = format!("{host} has no tar, or its users do not find it: nothing can be sent there");
            self.amiss(Condition::Tar, Verdict::Bad, seen)
        });
        match self.facts.word("way") {
            Some("user") => findings.push(Finding::good(Condition::Namespaces, "its users may make them")),
            Some("root") => findings.push(Finding::good(Condition::Namespaces, "not needed: the user is root")),
            Some("sudo") => findings.push(Finding::good(
                Condition::Namespaces,
                "not allowed; sudo takes their place",
            )),
            Some(_) => {
                let seen =
                    format!("{host} does not let its users make user namespaces, which an evaluation there needs");
                findings.push(self.amiss(Condition::Namespaces, Verdict::Bad, seen));
            }
            None => {}
        }
        match self.facts.word("times") {
            Some("yes") => findings.push(Finding::good(
                Condition::AccessTimes,
                "kept by the file system of its cache",
            )),
            Some(_) => {
                let seen = format!("the file system of ~/.cache on {host} notes no access times");
                findings.push(self.amiss(Condition::AccessTimes, Verdict::Weak, seen));
            }
            None => {}
        }
        findings.extend(self.notices());
        findings
    }

    /// An old Nix says of a file that it is refused that there is none; strace sees that.
    fn notices(&self) -> Option<Finding> {
        let version = self.facts.word("version")?;
        let is_new = NixVersion::read(version)? >= NixVersion::read(NOTICES)?;
        Some(if is_new {
            Finding::good(Condition::Noticed, "Nix itself says what it lacks")
        } else if self.facts.all("has").any(|name| name == "strace") {
            Finding::good(Condition::Noticed, "strace sees what Nix lacks")
        } else {
            let host = self.words.host;
            let seen = format!(
                "Nix {version} on {host} does not notice when it asks for a file that was not sent, and there is no strace"
            );
            self.amiss(Condition::Noticed, Verdict::Weak, seen)
        })
    }

    fn forwards(&self) -> Option<Finding> {
        let host = self.words.host;
        Some(match self.facts.word("forwards")? {
            "yes" => Finding::good(Condition::Forwarding, "so the result comes over the same connection"),
            "open" => self.amiss(
                Condition::Forwarding,
                Verdict::Weak,
                format!(
                    "others on {host} could use the socket that sshd makes there (StreamLocalBindMask): it is not used"
                ),
            ),
            _ => self.amiss(
                Condition::Forwarding,
                Verdict::Weak,
                format!("{host} does not forward sockets"),
            ),
        })
    }
}
