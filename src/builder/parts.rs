//! The text that runs on the other machine: the client's words, then the parts of `scripts/` that this run takes, and
//! last the instructions, a line each. The first file of each part says at its head what the part takes and gives.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use crate::failure::Failure;
use crate::process::quote::shell_word;
use crate::remote::script::Script;
use crate::store_path::StorePath;

/// A part of the scripts. A part may call the session's part, and no other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What every run has.
    Session,
    /// Files become a derivation, or a value.
    Evaluate,
    /// A derivation becomes its output.
    Build,
    /// An output, or a derivation, goes to a daemon.
    Deliver,
    /// What is asked about jobs, apart from the runs that began them.
    Jobs,
    /// A list of channels becomes the generation that has the newest of them.
    Upgrade,
}

impl Part {
    /// Returns its files. They define functions and do nothing by themselves.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Session => &[
                include_str!("scripts/session.sh"),
                include_str!("../remote/scripts/events.sh"),
                include_str!("../remote/scripts/channel.sh"),
                include_str!("../remote/scripts/records.sh"),
                include_str!("../remote/scripts/held.sh"),
                include_str!("scripts/detached.sh"),
                include_str!("scripts/attended.sh"),
                include_str!("../remote/scripts/memory.sh"),
                include_str!("../remote/scripts/nix.sh"),
                include_str!("../remote/scripts/emulators.sh"),
                include_str!("scripts/kept.sh"),
                include_str!("scripts/logout.sh"),
                include_str!("scripts/preflight.sh"),
            ],
            Self::Evaluate => &[
                include_str!("scripts/evaluate.sh"),
                include_str!("scripts/way.sh"),
                include_str!("scripts/incoming.sh"),
                include_str!("scripts/kept-files.sh"),
                include_str!("scripts/proof.sh"),
                include_str!("scripts/mirror.sh"),
                include_str!("scripts/releases.sh"),
                include_str!("scripts/version.sh"),
                include_str!("scripts/trace.sh"),
                include_str!("scripts/variables.sh"),
                include_str!("scripts/unchanged.sh"),
                include_str!("scripts/heap.sh"),
                include_str!("scripts/roots.sh"),
            ],
            Self::Build => &[include_str!("scripts/build.sh"), include_str!("scripts/emulation.sh")],
            Self::Deliver => &[include_str!("scripts/deliver.sh")],
            Self::Jobs => &[include_str!("scripts/jobs.sh")],
            Self::Upgrade => &[include_str!("scripts/upgrade.sh")],
        }
    }
}

/// One thing that is done there: a line at the end of the text, which calls a function of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instruction<'a> {
    /// Greets the client, before anything is made there.
    Begin,
    /// Finds out as whom files that are shut are handled.
    FindWay,
    /// Makes a directory for this run (`begin`; the greeting is `begin_run`).
    MakePlace,
    /// Looks at what may be in the way of the long work.
    Preflight,
    /// Evaluates, in rounds, until there is a derivation or a value.
    Evaluate {
        /// Whether what comes of it is built in the same job.
        builds: bool,
    },
    /// An earlier job is followed on.
    Rejoin {
        /// The name of its record.
        name: &'a str,
        /// The number of bytes of its output that have been heard.
        heard: u64,
    },
    /// Tells of this client's jobs.
    TellJobs,
    /// What an earlier job says is told, from this byte of its output on.
    Follow {
        /// The name of its record.
        name: &'a str,
        /// The number of bytes of its output that have been heard.
        heard: u64,
    },
    /// Ends the jobs with these records, and tells what they came to.
    CancelJobs(&'a [String]),
    /// Updates the client's channels.
    UpdateChannels,
    /// Builds the output.
    Build(Given<'a>),
    /// Says what a build would mean.
    BuildDry(Given<'a>),
    /// Sends the output to the daemon that was lent.
    DeliverOutput,
    /// Sends the derivation there, with everything of which it is made.
    DeliverDerivation(Given<'a>),
    /// Sends a path there that was on that machine before this run.
    DeliverPath(&'a StorePath),
    /// Forgets old results.
    ForgetResults,
    /// Says that everything was done.
    Finish,
}

/// A derivation on the other machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given<'a> {
    /// This run has evaluated it.
    Evaluated,
    /// It was there before this run.
    Named(&'a StorePath),
}

impl Instruction<'_> {
    /// Returns the parts that it takes.
    pub(super) fn parts(&self) -> &'static [Part] {
        match self {
            Self::Begin
            | Self::MakePlace
            | Self::Preflight
            | Self::Finish
            | Self::Rejoin { .. }
            | Self::Follow { .. } => &[Part::Session],
            Self::TellJobs | Self::CancelJobs(_) => &[Part::Jobs],
            Self::Evaluate { builds: true } => &[Part::Evaluate, Part::Build],
            Self::FindWay | Self::Evaluate { builds: false } => &[Part::Evaluate],
            Self::Build(_) | Self::BuildDry(_) | Self::ForgetResults => &[Part::Build],
            Self::UpdateChannels => &[Part::Upgrade],
            Self::DeliverOutput | Self::DeliverDerivation(_) | Self::DeliverPath(_) => &[Part::Deliver],
        }
    }

    fn line(&self) -> Result<Vec<u8>, Failure> {
        let (command, given) = match self {
            Self::Begin => ("begin_run", None),
            Self::FindWay => ("find_way", None),
            Self::MakePlace => ("begin", None),
            Self::Preflight => ("preflight", None),
            Self::Evaluate { builds: true } => ("evaluate start_probe build", None),
            Self::Evaluate { builds: false } => ("evaluate : build_nothing", None),
            Self::Rejoin { name, heard } => return call("rejoin", &[*name, &heard.to_string()]),
            Self::TellJobs => ("tell_jobs", None),
            Self::Follow { name, heard } => return call("follow_there", &[*name, &heard.to_string()]),
            Self::CancelJobs(names) => return call("cancel_jobs", names),
            Self::UpdateChannels => ("update_channels", None),
            Self::Build(given) => ("detach probe_and_build", Some(given)),
            Self::BuildDry(given) => ("build_dry", Some(given)),
            Self::DeliverOutput => ("deliver \"$rb_socket\" \"$out\"", None),
            Self::DeliverPath(path) => return call("deliver \"$rb_socket\"", &[path.as_str()]),
            Self::DeliverDerivation(given) => ("deliver \"$rb_socket\" --derivation", Some(given)),
            Self::ForgetResults => ("forget_results", None),
            Self::Finish => ("finish_run", None),
        };
        let mut line = command.as_bytes().to_vec();
        if let Some(given) = given {
            line.push(b' ');
            line.extend(given.word()?);
        }
        line.push(b'\n');
        Ok(line)
    }
}

/// Returns the line that calls a function with these words.
fn call(function: &str, words: &[impl AsRef<OsStr>]) -> Result<Vec<u8>, Failure> {
    let mut line = function.as_bytes().to_vec();
    for word in words {
        line.push(b' ');
        line.extend(shell_word(word)?);
    }
    line.push(b'\n');
    Ok(line)
}

impl Given<'_> {
    fn word(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Evaluated => Ok(b"\"$drv\"".to_vec()),
            Self::Named(derivation) => shell_word(derivation.as_str()),
        }
    }
}

/// Returns the parts that these instructions need, and the session's.
pub(super) fn parts(instructions: &[Instruction]) -> BTreeSet<Part> {
    instructions.iter().flat_map(Instruction::parts).copied().collect()
}

/// Adds to the client's words the parts and the instructions that run with them.
///
/// # Errors
/// A word has a NUL byte in it.
pub(super) fn compose(words: Script, instructions: &[Instruction]) -> Result<Vec<u8>, Failure> {
    let mut script = words;
    for file in parts(instructions).into_iter().flat_map(Part::files) {
        script.code(file);
    }
    let mut text = script.into_bytes();
    for instruction in instructions {
        text.extend(instruction.line()?);
    }
    Ok(text)
}

#[cfg(test)]
pub(super) const ALL: [Part; 6] = [
    Part::Session,
    Part::Evaluate,
    Part::Build,
    Part::Deliver,
    Part::Jobs,
    Part::Upgrade,
];

/// Returns every script that may run there.
#[cfg(test)]
pub(super) fn all_scripts() -> Vec<&'static str> {
    ALL.into_iter().flat_map(Part::files).copied().collect()
}
