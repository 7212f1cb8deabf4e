//! What must hold for a run to succeed, and what the user can do where it does not: one table ([`rows::ALL`]), from which
//! come the remedies of messages, what `rebuild doctor` says, and the table of messages in README.md.
//!
//! A condition is a value here. Who looks at it, and how, is said elsewhere: a run meets it and fails with its remedy
//! (`Failure::of`), and the room `doctor` looks at all of them beforehand.

pub mod room;
mod rows;

pub use rows::ALL;

/// Something that must hold, or with which a run goes better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Somebody has said which machine evaluates or builds.
    Named,
    /// The programs that this machine itself needs are there.
    Programs,
    /// There is a configuration, and the files that it begins with are found.
    Configuration,
    /// A name server answers.
    NameServer,
    /// The host's name is known.
    Name,
    /// The network interface that the host's address names is there.
    Interface,
    /// The host answers, and so does its sshd.
    Reached,
    /// The host's key is known.
    HostKey,
    /// The host accepts a key of this user.
    Keys,
    /// The host's login shell runs what it is given.
    Script,
    /// Large packets come through, both ways.
    LargePackets,
    /// Both clocks say the same.
    Clock,
    /// Nix is there.
    Nix,
    /// Nix's daemon lets the user in, or the store is the user's own.
    Daemon,
    /// Nix may start a build.
    Jobs,
    /// What Nix runs after each build succeeds.
    Hook,
    /// The file systems that Nix writes to can be written to.
    Writable,
    /// Nix has users to build as.
    BuildUsers,
    /// A small build succeeds.
    Builds,
    /// Nix builds for the target's system.
    Platform,
    /// The target's CPU can be run.
    Emulator,
    /// Nix has this feature, which some builds require.
    Features,
    /// There is room to build in.
    BuildRoom,
    /// There is room for a new system.
    StoreRoom,
    /// There is room for what an evaluation reads and writes.
    Room,
    /// The directory for what is kept between runs can be made.
    Cache,
    /// There is tar, by which files are sent.
    Tar,
    /// There is enough memory.
    Memory,
    /// The view of an evaluation can be made: in user namespaces, or as root.
    Namespaces,
    /// The file system notes when a file was read.
    AccessTimes,
    /// It is noticed when an evaluation asks for a file that was not sent.
    Noticed,
    /// sshd forwards the socket by which the result goes home.
    Forwarding,
    /// The target is a NixOS system.
    NixOs,
    /// The user can become root on the target.
    Root,
    /// A change of the target can be noted there.
    State,
    /// There is room for kernels.
    BootRoom,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// What a run says where something is amiss, as README.md shows it: an example, in which `…` stands for anything.
    pub messages: &'static [&'static str],
    /// What to do, in a few words, for README.md.
    pub advice: &'static str,
    /// The condition that does not hold. None for a message about something that nobody can look at beforehand.
    pub about: Option<About>,
}

/// A condition, as it is looked at and told.
#[derive(Debug)]
pub struct About {
    /// The condition.
    pub condition: Condition,
    /// Its name for programs (`--json`).
    pub word: &'static str,
    /// Its name for people: what is looked at.
    pub title: &'static str,
    /// What to type or change, in lines, with [`Words`] in braces.
    pub remedy: &'static str,
}

/// The words of which a remedy speaks. Those that a remedy does not use are empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words<'a> {
    /// The machine, as the user names it: `{host}`.
    pub host: &'a str,
    /// The words by which ssh reaches it: `{ssh}`.
    pub ssh: &'a str,
    /// The system that is built for: `{system}`.
    pub system: &'a str,
    /// What else the remedy is about: `{it}`.
    pub it: &'a str,
}

impl Condition {
    /// Returns what the table says of it.
    #[must_use]
    pub fn about(self) -> &'static About {
        let mut all = ALL.iter().filter_map(|row| row.about.as_ref());
        // Every condition has a row, which a test checks.
        all.find(|about| about.condition == self).unwrap_or(&rows::NOTHING)
    }

    /// Returns what the user can type or change where it does not hold.
    #[must_use]
    pub fn remedy(self, words: &Words) -> String {
        let fill = |text: String, (name, value): (&str, &str)| text.replace(name, value);
        let values = [
            ("{host}", words.host),
            ("{ssh}", words.ssh),
            ("{system}", words.system),
            ("{it}", words.it),
        ];
        values.into_iter().fold(self.about().remedy.to_owned(), fill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn abouts() -> impl Iterator<Item = &'static About> {
        ALL.iter().filter_map(|row| row.about.as_ref())
    }

    #[test]
    fn each_condition_has_one_row_and_names_of_its_own() {
        let last = Condition::BootRoom as usize;
        let conditions: Vec<usize> = abouts().map(|about| about.condition as usize).collect();
        assert_eq!(
            conditions.iter().copied().collect::<BTreeSet<_>>(),
            (0..=last).collect::<BTreeSet<_>>()
        );
        assert_eq!(conditions.len(), last + 1);
        for names in [
            abouts().map(|about| about.word).collect::<Vec<_>>(),
            abouts().map(|about| about.title).collect(),
        ] {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        }
    }

    /// A person who reads that something is amiss is told what to do, and the words in braces are all filled.
    #[test]
    fn each_condition_has_a_remedy_that_can_be_typed() {
        let words = Words {
            host: "HOST",
            ssh: "-p 22 HOST",
            system: "SYSTEM",
            it: "IT",
        };
        for about in abouts() {
            let remedy = about.condition.remedy(&words);
            let left = ["{host}", "{ssh}", "{system}", "{it}"]
                .iter()
                .find(|word| remedy.contains(**word));
            assert!(!remedy.is_empty() && left.is_none(), "{}: {remedy}", about.word);
            assert_eq!(about.condition.about().word, about.word);
        }
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let words = Words {
            ssh: "builder",
            it: "{host}",
            ..Words::default()
        };
        let remedy = Condition::Name.remedy(&words);
        assert!(remedy.contains("Host {host}"), "{remedy}");
    }
}
