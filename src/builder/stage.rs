//! The parts of a run on another machine that can fail, in the words of `fail` in `scripts/`.

/// A part that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The run's directory could not be made.
    Work,
    /// The directory for what is kept between runs could not be made.
    Cache,
    /// Somebody removed the run's directory meanwhile.
    Gone,
    /// There is no room for what a run reads and writes.
    Room,
    /// There is no Nix.
    NoNix,
    /// Nix's daemon does not let this user in.
    NoDaemon,
    /// Nobody may make namespaces, so the client's files cannot be shown to an evaluation.
    NoNamespaces,
    /// The client's files could not be unpacked.
    Unpack,
    /// What was made of the client's files is not what the client means.
    Mirror,
    /// The client was not there any more.
    Link,
    /// Nix evaluated, and failed.
    Evaluation,
    /// The CPU of the system cannot be emulated.
    NoEmulator,
    /// Nix does not build for this system.
    NoPlatform,
    /// The test program could not be built, because no jobs are allowed.
    ProbeJobs,
    /// The test program could not be built, because a hook after each build fails.
    ProbeHook,
    /// The test program could not be built, because there is no room.
    ProbeSpace,
    /// The test program could not be built, because a file system cannot be written to.
    ProbeReadOnly,
    /// The test program could not be built, because there are no users to build as.
    ProbeUsers,
    /// The test program could not be built for another reason.
    Probe,
    /// Nix built, and failed.
    Build,
    /// What was built is no output of the derivation.
    Result,
    /// The result could not be copied to where it is needed.
    Copy,
    /// The job was cut off: its processes were killed, or the machine has restarted.
    Lost,
    /// The job was ended, by the user or because nobody followed it.
    Cancelled,
}

impl Stage {
    /// All of them, with the scripts' words.
    pub const ALL: [(Self, &'static str); 24] = [
        (Self::Work, "work"),
        (Self::Cache, "cache"),
        (Self::Gone, "gone"),
        (Self::Room, "room"),
        (Self::NoNix, "no-nix"),
        (Self::NoDaemon, "no-daemon"),
        (Self::NoNamespaces, "no-namespaces"),
        (Self::Unpack, "unpack"),
        (Self::Mirror, "mirror"),
        (Self::Link, "link"),
        (Self::Evaluation, "evaluation"),
        (Self::NoEmulator, "no-emulator"),
        (Self::NoPlatform, "no-platform"),
        (Self::ProbeJobs, "probe-jobs"),
        (Self::ProbeHook, "probe-hook"),
        (Self::ProbeSpace, "probe-space"),
        (Self::ProbeReadOnly, "probe-read-only"),
        (Self::ProbeUsers, "probe-users"),
        (Self::Probe, "probe"),
        (Self::Build, "build"),
        (Self::Result, "result"),
        (Self::Copy, "copy"),
        (Self::Lost, "lost"),
        (Self::Cancelled, "cancelled"),
    ];

    /// Returns the scripts' word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(stage, _)| *stage == self);
        found.map_or("", |(_, word)| word)
    }

    /// Returns the part that the scripts call by this word, if there is one.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, own)| *own == word);
        found.map(|(stage, _)| *stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::parts::all_scripts;
    use std::collections::BTreeSet;

    /// Compares with the words after `fail` in the scripts, without those that a script only passes on. (No script says
    /// `evaluation`: the client itself does, when an evaluation is given up.)
    #[test]
    fn the_scripts_know_these_words_and_no_others() {
        let mut said = BTreeSet::from(["evaluation", "lost"]);
        for script in all_scripts() {
            for line in script.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let calls = line.split("fail ").skip(1);
                said.extend(
                    calls
                        .filter_map(|rest| rest.split(' ').next())
                        .filter(|word| !word.starts_with('$')),
                );
            }
        }
        let known: BTreeSet<&str> = Stage::ALL.iter().map(|(_, word)| *word).collect();
        assert_eq!(said, known);
    }
}
