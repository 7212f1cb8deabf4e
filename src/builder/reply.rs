//! What comes from the other machine: events of the script among the lines of Nix's log.

use super::preflight::FreeRoom;
use std::ffi::OsString;
use std::num::NonZeroU8;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::job_end::JobEnd;
use super::stage::Stage;
use super::trace;

/// One event of the script (`event` in `remote/scripts/events.sh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuilderEvent {
    /// The script runs, with this Nix, on a machine of this system.
    Hello {
        /// The directory of Nix's programs.
        nix: String,
        /// The machine's own system.
        system: String,
    },
    /// The version of Nix that evaluates.
    Nix(String),
    /// The evaluation was refused these paths, and may not have said so.
    Refused(Vec<PathBuf>),
    /// Nix of this version does not say what it was refused, and nothing there can see it.
    Untraced(String),
    /// As whom the machine makes the view of the client's files.
    Way(Way),
    /// The machine waits for the files, of which it has this much.
    Receiving(Has),
    /// What the machine has of the client's files is not what the client means.
    Damaged,
    /// The machine lacks these store paths; these are their names.
    Need(Vec<String>),
    /// The machine fetches the store path of this name itself.
    Fetching(String),
    /// It has done so.
    Fetched {
        /// The store path's name.
        tree: String,
        /// The hash of what is in it, as Nix says it.
        hash: String,
    },
    /// It could not do so.
    Unfetched {
        /// The store path's name.
        tree: String,
        /// Nix's reason.
        reason: String,
    },
    /// The evaluation has begun.
    Evaluating,
    /// Garbage was collected meanwhile, and with it what the evaluation had written. It has begun once more.
    Collected,
    /// The evaluation failed. The machine waits for more files or for the end.
    EvaluationFailed {
        /// Nix's exit status.
        code: NonZeroU8,
    },
    /// The look has read this path, which is shut in a closed evaluation.
    Looked(PathBuf),
    /// The evaluation did not read this file, which was sent.
    Unread(PathBuf),
    /// The evaluation has come to its end, and has asked for this variable, which was not sent.
    AskedFor(String),
    /// This file asks for variables whose names it computes.
    Computes(PathBuf),
    /// This word may be the name of such a variable, or a piece of one.
    Word(String),
    /// In this file `~` stands for a home that may not be the client's.
    HomeNamed(PathBuf),
    /// Everything about variables has been said; the machine waits for an answer.
    Variables,
    /// The file system there does not say when a file was read.
    Timeless,
    /// Everything that the look has read has been said.
    LookedAround,
    /// A line of the flake's lock file, which the evaluation has written.
    LockLine(String),
    /// This variable belongs to the question, because the evaluation asks for it.
    Reads(String),
    /// Every variable belongs to the question, because the evaluation computes names.
    ReadsAny,
    /// The answer may be remembered: it is the same as long as the question is, and this word for the machine.
    Memorable(String),
    /// The answer may not be remembered, for this reason.
    Unmemorable(String),
    /// The answer that is remembered does not hold any more, for this reason.
    Anew(String),
    /// The question is one that this machine has answered with this derivation, which is still there.
    Unchanged(String),
    /// The evaluation gave this derivation.
    Evaluated(String),
    /// The evaluation gave this value, as JSON.
    Value(String),
    /// The build has begun.
    Building,
    /// The build gave this path.
    Built(String),
    /// Nix has made this generation of the channels; or none, of which its log says why.
    Channels(Option<String>),
    /// The result goes to the lent daemon now.
    Copying,
    /// The result has come to the lent daemon.
    Copied,
    /// The derivation builds on another system than the client's.
    Platform {
        /// The system on which it builds.
        wanted: String,
        /// The other machine's own system.
        own: String,
    },
    /// What this user leaves running there ends at the logout.
    EndsAtLogout(String),
    /// So much is free there.
    Room(FreeRoom),
    /// The machine has no socket of a lent daemon, so the client has to fetch the result.
    NoSocket,
    /// What follows is a job, of which there is a record of this name: it goes on if the connection breaks.
    Job(String),
    /// What follows is another job, which builds the same derivation already.
    Joined {
        /// The name of its record.
        name: String,
        /// The byte of its output from which on it builds.
        at: u64,
    },
    /// The job that is followed now has been over for so many seconds.
    Idle(u64),
    /// There is a record of a job. What it is doing comes next.
    Record(JobRecord),
    /// How many seconds ago the job began by that machine's clock, and, if it has ended, how many seconds ago.
    Aged {
        /// Since it began.
        began: u64,
        /// Since it ended.
        ended: Option<u64>,
    },
    /// The job builds this derivation, or has built it.
    Builds {
        /// The derivation.
        derivation: String,
        /// How many seconds ago the build began.
        began: u64,
    },
    /// Some connection follows the job.
    Followed,
    /// A client has heard how the job ended.
    HeardOf,
    /// The job that was told is still running.
    Running,
    /// The job has ended with this. A run knows it from what the job has said.
    Ended(JobEnd),
    /// The job was cut off.
    Lost,
    /// Everything is done.
    Done,
    /// The run has failed and ends here.
    Failed {
        /// The part of the run that failed.
        stage: Stage,
        /// The exit status of the command that failed.
        code: NonZeroU8,
    },
}

/// What is known of a job on another machine (`remote/scripts/records.sh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// The name of the record.
    pub name: String,
    /// What its client called it.
    pub about: String,
    /// When it began, in seconds since 1970, by that machine's clock.
    pub began: u64,
}

impl JobRecord {
    /// Reads `NAME ABOUT... TIME`.
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.trim_end().split_once(' ')?;
        let (about, began) = rest.rsplit_once(' ')?;
        Some(Self {
            name: Some(name).filter(|name| is_plain(name))?.to_owned(),
            about: about.to_owned(),
            began: began.parse().ok()?,
        })
    }
}

/// As whom the other machine handles files that are shut, in words of `scripts/way.sh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As the user, in a user namespace.
    User,
    /// As root: the user is root.
    Root,
    /// As root: the user becomes root by sudo.
    Sudo,
}

impl Way {
    fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "user" => Self::User,
            "root" => Self::Root,
            "sudo" => Self::Sudo,
            _ => return None,
        })
    }
}

/// How much of a mirror the other machine has from earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// All of it.
    All,
    /// The base that the client named.
    Base,
    /// Nothing of it.
    Nothing,
}

impl Has {
    fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "have" => Self::All,
            "base" => Self::Base,
            "none" => Self::Nothing,
            _ => return None,
        })
    }
}

impl BuilderEvent {
    /// Reads one line, without its newline. Returns None if it is no event of the script.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_prefix(b"@rebuild ")?;
        Self::of_bytes(line).or_else(|| {
            let text = std::str::from_utf8(line).ok()?;
            Self::of_words(text).or_else(|| Self::of_job(text))
        })
    }

    /// Reads an event whose value is everything that follows its name.
    fn of_bytes(line: &[u8]) -> Option<Self> {
        let space = line.iter().position(|byte| *byte == b' ')?;
        let (name, rest) = (&line[..space], &line[space + 1..]);
        let text = || std::str::from_utf8(rest).ok().map(str::to_owned);
        Some(match name {
            b"looked" => Self::Looked(path_of(rest)),
            b"unread" => Self::Unread(path_of(rest)),
            b"computes" => Self::Computes(path_of(rest)),
            b"home-named" => Self::HomeNamed(path_of(rest)),
            b"refused" => Self::Refused(trace::paths(rest)),
            b"lock-line" => Self::LockLine(text()?),
            b"value" => Self::Value(text()?),
            _ => return None,
        })
    }

    /// Reads an event whose values are words.
    fn of_words(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let event = words.next()?;
        let mut word = || words.next().map(str::to_owned);
        Some(match event {
            "damaged" => Self::Damaged,
            "asked-for" => Self::AskedFor(word()?),
            "word" => Self::Word(word()?),
            "variables" => Self::Variables,
            "timeless" => Self::Timeless,
            "looked-around" => Self::LookedAround,
            "hello" => Self::Hello {
                nix: word()?,
                system: word()?,
            },
            "nix" => Self::Nix(word()?),
            "untraced" => Self::Untraced(word()?),
            "way" => Self::Way(Way::of_word(&word()?)?),
            "receiving" => Self::Receiving(Has::of_word(&word()?)?),
            "platform" => Self::Platform {
                wanted: word()?,
                own: word()?,
            },
            "logout" => Self::EndsAtLogout(word().filter(|name| is_plain(name))?),
            "room" => Self::Room(FreeRoom {
                cache: word()?.parse().ok()?,
                store: word()?.parse().ok()?,
            }),
            "need" => Self::Need(words.map(str::to_owned).collect()),
            "fetching" => Self::Fetching(word()?),
            "fetched" => Self::Fetched {
                tree: word()?,
                hash: word()?,
            },
            "unfetched" => Self::Unfetched {
                tree: word()?,
                reason: words.collect::<Vec<_>>().join(" "),
            },
            "evaluating" => Self::Evaluating,
            "collected" => Self::Collected,
            "evaluation-failed" => Self::EvaluationFailed { code: code(&word()?) },
            "reads" => Self::Reads(word()?),
            "reads-any" => Self::ReadsAny,
            "memorable" => Self::Memorable(word().filter(|word| is_plain(word))?),
            "unmemorable" => Self::Unmemorable(word().filter(|word| is_plain(word))?),
            "anew" => Self::Anew(word().filter(|word| is_plain(word))?),
            "unchanged" => Self::Unchanged(word()?),
            "evaluated" => Self::Evaluated(word()?),
            "channels" => Self::Channels(word()),
            "building" => Self::Building,
            "built" => Self::Built(word()?),
            "copying" => Self::Copying,
            "copied" => Self::Copied,
            "no-socket" => Self::NoSocket,
            "finished" => Self::Done,
            "failed" => Self::Failed {
                stage: Stage::of_word(&word()?)?,
                code: code(&word()?),
            },
            _ => return None,
        })
    }

    /// Reads an event about a job.
    fn of_job(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let event = words.next()?;
        let mut word = || words.next().map(str::to_owned);
        Some(match event {
            "job" => Self::Job(word()?),
            "joined" => Self::Joined {
                name: word()?,
                at: word()?.parse().ok()?,
            },
            "record" => Self::Record(JobRecord::parse(text.strip_prefix("record ")?)?),
            "idle" => Self::Idle(age(&word()?)?),
            "aged" => Self::Aged {
                began: age(&word()?)?,
                ended: word().as_deref().and_then(age),
            },
            "builds" => Self::Builds {
                derivation: word()?,
                began: age(&word()?)?,
            },
            "followed" => Self::Followed,
            "heard" => Self::HeardOf,
            "running" => Self::Running,
            "ended" => Self::Ended(JobEnd::parse(text.strip_prefix("ended").unwrap_or_default())),
            "lost" | "unstarted" => Self::Lost,
            _ => return None,
        })
    }
}

/// Whether a word can be the name of a user or of a record. Both are shown in commands that the user may type.
fn is_plain(word: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !word.starts_with('-') && word.bytes().all(is_usual)
}

/// Reads the exit status of a command that failed. 0 is no such status, so it counts as 1.
fn code(word: &str) -> NonZeroU8 {
    word.parse().unwrap_or(NonZeroU8::MIN)
}

/// Reads a number of seconds. If a clock was set back meanwhile, the number is negative, and counts as 0.
fn age(word: &str) -> Option<u64> {
    word.parse::<i64>().ok().map(|age| u64::try_from(age).unwrap_or(0))
}

/// Reads a path of any bytes. A newline in it comes as a NUL, which no path has.
fn path_of(bytes: &[u8]) -> PathBuf {
    let bytes = bytes.iter().map(|byte| if *byte == 0 { b'\n' } else { *byte });
    PathBuf::from(OsString::from_vec(bytes.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::parts::all_scripts;

    #[test]
    fn no_failure_has_exit_status_0() {
        for (word, expected) in [("0", 1), ("x", 1), ("256", 1), ("-1", 1), ("127", 127)] {
            let [failed, evaluation] = ["failed build", "evaluation-failed"].map(|event| {
                let line = format!("@rebuild {event} {word}");
                BuilderEvent::parse(line.as_bytes()).unwrap()
            });
            assert!(matches!(failed, BuilderEvent::Failed { code, .. } if code.get() == expected));
            assert!(matches!(evaluation, BuilderEvent::EvaluationFailed { code } if code.get() == expected));
        }
    }

    #[test]
    fn events_of_the_script() {
        for (line, expected) in [
            (
                "@rebuild hello /usr/bin x86_64-linux",
                Some(BuilderEvent::Hello {
                    nix: "/usr/bin".into(),
                    system: "x86_64-linux".into(),
                }),
            ),
            ("@rebuild receiving base", Some(BuilderEvent::Receiving(Has::Base))),
            ("@rebuild nix 2.8.0", Some(BuilderEvent::Nix("2.8.0".into()))),
            ("@rebuild way sudo", Some(BuilderEvent::Way(Way::Sudo))),
            ("@rebuild receiving", None),
            ("@rebuild looked /a b\0c", Some(BuilderEvent::Looked("/a b\nc".into()))),
            ("@rebuild logout me.2", Some(BuilderEvent::EndsAtLogout("me.2".into()))),
            ("@rebuild logout $(id)", None),
            ("@rebuild logout -x", None),
            ("@rebuild record $(id) pi 5", None),
            ("@rebuild record -x pi 5", None),
            ("@rebuild record ../x pi 5", None),
            ("@rebuild need ", Some(BuilderEvent::Need(vec![]))),
            (
                "@rebuild need  a b",
                Some(BuilderEvent::Need(vec!["a".into(), "b".into()])),
            ),
            (
                "@rebuild built /nix/store/x",
                Some(BuilderEvent::Built("/nix/store/x".into())),
            ),
            (
                "@rebuild failed build 100",
                Some(BuilderEvent::Failed {
                    stage: Stage::Build,
                    code: NonZeroU8::new(100).unwrap(),
                }),
            ),
            ("@rebuild built", None),
            ("@rebuild", None),
            ("error: @rebuild done", None),
        ] {
            assert_eq!(BuilderEvent::parse(line.as_bytes()), expected, "{line}");
        }
    }

    /// Every event that the scripts say is known here.
    #[test]
    fn the_scripts_send_nothing_else() {
        for script in all_scripts() {
            let lines = script.lines().filter(|line| !line.trim().starts_with('#'));
            let calls = lines.flat_map(|line| line.split("event ").skip(1));
            // These two are the channel's (remote/channel).
            let calls = calls.filter(|call| !call.starts_with("chunk ") && *call != "alive");
            for line in calls.filter(|call| call.starts_with(|letter: char| letter.is_ascii_lowercase())) {
                let mut words = line.split(' ');
                let word = words.next().unwrap().trim_end_matches(';');
                let rest = match (word, words.next().unwrap_or("/nix/store/x")) {
                    ("joined", _) => "ab.1 1",
                    ("record", _) => "ab.1 pi 1",
                    ("aged", _) => "7 -",
                    ("idle", _) => "7",
                    ("builds", _) => "/nix/store/x.drv 7",
                    ("room", _) => "1 2",
                    ("logout", _) => "me",
                    ("memorable" | "unmemorable", _) => "0f",
                    (_, "\"$way\"") => "user x",
                    (_, "\"$1\"") => "build x",
                    (_, second) => &format!("{second} x"),
                };
                let text = format!("@rebuild {word} {rest}");
                assert!(BuilderEvent::parse(text.as_bytes()).is_some(), "{line}");
            }
        }
    }
}
