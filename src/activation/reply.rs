//! What the scripts say (`event` in `remote/scripts/events.sh`).

use std::path::PathBuf;

use super::back::WayBack;
use super::preflight::Free;
use crate::difference::NextBoot;

/// One event of a script on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TargetEvent {
    /// The machine's own name.
    Host(String),
    /// The user's name.
    User(String),
    /// The directory of Nix's programs, if there are any.
    Nix(Option<PathBuf>),
    /// The system that runs, and the system of the system profile; each is empty if there is none.
    Current([String; 2]),
    /// So much is free at this place.
    Room(Free),
    /// The script runs, as this user.
    Hello { uid: u32 },
    /// The script has said everything.
    Finished,
    /// This part of the script failed.
    Failed(String),

    /// This program is not there.
    Missing(String),
    /// PAM has these modules for becoming root, which may ask for something other than a password.
    Asks(String),
    /// The password is wrong, or the user may not become root.
    Refused,
    /// The user has become root.
    Root,
    /// Root's script runs as this user, who is not root and may not do root's work.
    NotRoot(String),
    /// The record of a change cannot be made: there is no room for it, or it is not allowed.
    Unwritable,
    /// The part that should have run as root has ended.
    Left,

    /// There is no generation before the current one.
    NoPrevious,
    /// The system of the generation before the current one is not in the store.
    Gone(String),
    /// The system has no such file.
    Lacks(String),
    /// The system has this specialisation.
    HasSpecialisation(String),
    /// The system lacks the specialisation that is meant.
    NoSpecialisation,
    /// There is no running system to compare with.
    NoCurrent,
    /// Nix could not compare the systems.
    Incomparable,
    /// Nix compared the system with this one, which runs.
    Compared(String),
    /// A line of Nix's comparison.
    Difference(String),
    /// The size of a system with all that it refers to, in bytes.
    Closure { bytes: u64, system: String },
    /// What of the system is not in use before a boot.
    NextBoot(NextBoot),
    /// The system that was looked for.
    Found(String),

    /// There is no change whose end nobody has heard.
    Nothing,
    /// What is noted of the last change.
    Record(Record),
    /// That change still goes on.
    Running,
    /// Another change goes on, of this name.
    Busy(String),
    /// An activation goes on that this program did not start.
    Foreign,
    /// The change goes on by itself from now on.
    Begun,
    /// The change of that name was never begun.
    Unknown,
    /// The change waits to be confirmed.
    Awaits,
    /// The change is confirmed.
    Confirmed,
    /// No change waits to be confirmed.
    NotAwaited,
    /// How the change ended.
    Ended(Ending),
}

/// A change of the target, as it is noted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) action: String,
    pub(super) system: String,
    /// In seconds since 1970.
    pub(super) began: u64,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// All was done.
    Done,
    /// The profile could not be changed.
    Profile(u8),
    /// `switch-to-configuration` failed.
    Activation {
        /// Its exit status.
        code: u8,
        /// The profile's generation before the change and after it, where there are both.
        generations: Option<[u64; 2]>,
    },
    /// `switch-to-configuration` failed, or the change was not confirmed, and the target has gone back, or has tried to.
    Back(WayBack),
    /// There would have been no way back, so nothing was begun.
    NoWayBack,
    /// It was cut off: a power cut, or somebody killed it.
    Lost,
    /// It was cut off before it was confirmed, and a boot has undone it.
    Rebooted,
    /// It was cut off before it was confirmed: a boot would undo it.
    LostUnconfirmed,
    /// It could not be started.
    Unstarted,
}

impl TargetEvent {
    /// Reads one line, without its newline. Returns None if it is no event.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line.strip_prefix(b"@rebuild ")?).ok()?;
        let (event, rest) = text.split_once(' ').unwrap_or((text, ""));
        Self::of_the_target(event, rest).or_else(|| Self::of_a_change(event, rest))
    }

    /// Reads an event about the machine, its user or a system.
    fn of_the_target(event: &str, rest: &str) -> Option<Self> {
        let rest = rest.to_owned();
        let mut words = rest.split_whitespace();
        let mut word = || words.next().map(str::to_owned);
        Some(match event {
            "host" => Self::Host(rest),
            "user" => Self::User(rest),
            "nix" => Self::Nix(Some(PathBuf::from(rest)).filter(|path| path.is_absolute())),
            "current" => {
                let (running, booted) = rest.split_once(' ').unwrap_or((&rest, ""));
                Self::Current([running.to_owned(), booted.to_owned()])
            }
            "room" => {
                let (kib, place) = rest.split_once(' ')?;
                Self::Room(Free {
                    kib: kib.parse().ok()?,
                    place: place.trim().to_owned(),
                })
            }
            "hello" => Self::Hello {
                uid: rest.parse().ok()?,
            },
            "finished" => Self::Finished,
            "failed" => Self::Failed(rest),
            "missing" => Self::Missing(rest),
            "asks" => Self::Asks(rest),
            "refused" => Self::Refused,
            "root" => Self::Root,
            "not-root" => Self::NotRoot(rest),
            "unwritable" => Self::Unwritable,
            "left" => Self::Left,
            "no-previous" => Self::NoPrevious,
            "gone" => Self::Gone(rest),
            "lacks" => Self::Lacks(rest),
            "has-specialisation" => Self::HasSpecialisation(rest),
            "no-specialisation" => Self::NoSpecialisation,
            "no-current" => Self::NoCurrent,
            "incomparable" => Self::Incomparable,
            "compared" => Self::Compared(rest),
            "difference" => Self::Difference(rest),
            "closure" => Self::Closure {
                bytes: word()?.parse().ok()?,
                system: word()?,
            },
            "next-boot" => Self::NextBoot(NextBoot::parse(&rest)?),
            "found" => Self::Found(rest),
            _ => return None,
        })
    }

    /// Reads an event about a change.
    fn of_a_change(event: &str, rest: &str) -> Option<Self> {
        let mut words = rest.split_whitespace();
        let mut word = || words.next().map(str::to_owned);
        Some(match event {
            "nothing" => Self::Nothing,
            "record" => Self::Record(Record {
                name: word()?,
                action: word()?,
                system: word()?,
                began: word()?.parse().ok()?,
            }),
            "running" => Self::Running,
            "busy" => Self::Busy(rest.to_owned()),
            "foreign" => Self::Foreign,
            "begun" => Self::Begun,
            "unknown" => Self::Unknown,
            "ended" => {
                let part = word()?;
                let code = word()?.parse().ok()?;
                let words: Vec<String> = words.map(str::to_owned).collect();
                Self::Ended(Ending::of(&part, code, &words)?)
            }
            "awaits" => Self::Awaits,
            "confirmed" => Self::Confirmed,
            "not-awaited" => Self::NotAwaited,
            "lost" => Self::Ended(match rest {
                "rebooted" => Ending::Rebooted,
                "unconfirmed" => Ending::LostUnconfirmed,
                _ => Ending::Lost,
            }),
            "unstarted" => Self::Ended(Ending::Unstarted),
            _ => return None,
        })
    }
}

impl TargetEvent {
    /// Whether this is about a change, so that only root's script may say it.
    pub(super) fn is_of_a_change(&self) -> bool {
        matches!(
            self,
            Self::Busy(_)
                | Self::Foreign
                | Self::Begun
                | Self::Unknown
                | Self::Awaits
                | Self::Confirmed
                | Self::NotAwaited
                | Self::Ended(_)
        )
    }
}

impl Ending {
    fn of(part: &str, code: u8, words: &[String]) -> Option<Self> {
        match (part, code) {
            ("no-way-back", 1..) => Some(Self::NoWayBack),
            ("back", 1..) | ("unconfirmed", _) => WayBack::of(part, code, words).map(Self::Back),
            ("profile", code @ 1..) => Some(Self::Profile(code)),
            ("activation" | "finished", 0) => Some(Self::Done),
            ("activation", code) => Some(Self::Activation {
                code,
                generations: two(words),
            }),
            _ => None,
        }
    }
}

/// Returns the two generations with which these words begin. None if the profile had none, or stays.
pub(super) fn two(words: &[String]) -> Option<[u64; 2]> {
    let [before, now, ..] = words else { return None };
    Some([before.parse().ok()?, now.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_what_is_none() {
        let record = Record {
            name: "ab".into(),
            action: "switch".into(),
            system: "/nix/store/x".into(),
            began: 12,
        };
        let back = |[profile, system]: [Option<u8>; 2], generations| {
            TargetEvent::Ended(Ending::Back(WayBack {
                code: Some(4),
                profile,
                system,
                generations,
            }))
        };
        let activation = |generations| TargetEvent::Ended(Ending::Activation { code: 4, generations });
        for (line, reply) in [
            ("@rebuild hello 1000", Some(TargetEvent::Hello { uid: 1000 })),
            ("@rebuild nix ", Some(TargetEvent::Nix(None))),
            (
                "@rebuild current /x /y",
                Some(TargetEvent::Current(["/x".into(), "/y".into()])),
            ),
            (
                "@rebuild current  /y",
                Some(TargetEvent::Current([String::new(), "/y".into()])),
            ),
            ("@rebuild nix /bin", Some(TargetEvent::Nix(Some("/bin".into())))),
            (
                "@rebuild record ab switch /nix/store/x 12",
                Some(TargetEvent::Record(record)),
            ),
            ("@rebuild ended activation 4", Some(activation(None))),
            ("@rebuild ended activation 4 - 2", Some(activation(None))),
            ("@rebuild ended activation 4 2 x", Some(activation(None))),
            ("@rebuild ended activation 4 17 18", Some(activation(Some([17, 18])))),
            (
                "@rebuild ended activation 0 17 18",
                Some(TargetEvent::Ended(Ending::Done)),
            ),
            ("@rebuild ended finished 0", Some(TargetEvent::Ended(Ending::Done))),
            (
                "@rebuild ended no-way-back 1",
                Some(TargetEvent::Ended(Ending::NoWayBack)),
            ),
            (
                "@rebuild ended back 4 0 0 17 17",
                Some(back([Some(0), Some(0)], Some([17, 17]))),
            ),
            ("@rebuild ended back 4 - 1 - -", Some(back([None, Some(1)], None))),
            (
                "@rebuild ended back 4 1 - 17 18",
                Some(back([Some(1), None], Some([17, 18]))),
            ),
            ("@rebuild ended back 0 0 0 17 17", None),
            (
                "@rebuild ended unconfirmed 4 - 0 17 17",
                Some(TargetEvent::Ended(Ending::Back(WayBack {
                    code: None,
                    profile: None,
                    system: Some(0),
                    generations: Some([17, 17]),
                }))),
            ),
            ("@rebuild ended unconfirmed 0", None),
            ("@rebuild awaits", Some(TargetEvent::Awaits)),
            ("@rebuild lost", Some(TargetEvent::Ended(Ending::Lost))),
            ("@rebuild lost rebooted", Some(TargetEvent::Ended(Ending::Rebooted))),
            (
                "@rebuild lost unconfirmed",
                Some(TargetEvent::Ended(Ending::LostUnconfirmed)),
            ),
            ("@rebuild ended back 4 0", None),
            ("@rebuild ended back 4 x 0 17 17", None),
            (
                "@rebuild has-specialisation on the go",
                Some(TargetEvent::HasSpecialisation("on the go".into())),
            ),
            (
                "@rebuild difference a: 1 → 2",
                Some(TargetEvent::Difference("a: 1 → 2".into())),
            ),
            (
                "@rebuild closure 17 /nix/store/x",
                Some(TargetEvent::Closure {
                    bytes: 17,
                    system: "/nix/store/x".into(),
                }),
            ),
            ("@rebuild closure /nix/store/x 17", None),
            ("@rebuild next-boot - -", None),
            ("@rebuild ended", None),
            ("@rebuild ended profile 0", None),
            ("@rebuild ended finished 1", None),
            ("@rebuild ended whatever 0", None),
            ("@rebuild else", None),
            ("root", None),
        ] {
            assert_eq!(TargetEvent::parse(line.as_bytes()), reply, "{line}");
        }
    }

    /// Every event that the scripts say is known here.
    #[test]
    fn the_scripts_send_nothing_else() {
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let scripts = std::fs::read_dir(sources.join("activation/scripts")).unwrap();
        let scripts = scripts.map(|entry| entry.unwrap().path());
        let scripts = scripts.filter(|path| path.extension().is_some_and(|kind| kind == "sh"));
        let mut seen = 0;
        for script in scripts.chain([sources.join("remote/scripts/records.sh")]) {
            let script = std::fs::read_to_string(script).unwrap();
            let lines = script.lines().filter(|line| !line.trim().starts_with('#'));
            for call in lines.flat_map(|line| line.split("event ").skip(1)) {
                let ends = |c: char| !c.is_ascii_lowercase() && c != '-';
                let word = call.split(ends).next().unwrap();
                let values = match word {
                    // These two are the channel's (remote/channel).
                    "" | "chunk" | "alive" => continue,
                    "current" => "/x /y",
                    "room" => "1 /",
                    "hello" => "0",
                    "closure" => "1 /x",
                    "next-boot" => "1 2 kernel",
                    "record" => "ab switch /x 1",
                    "ended" => "activation 0",
                    _ => "x",
                };
                let line = format!("@rebuild {word} {values}");
                assert!(TargetEvent::parse(line.as_bytes()).is_some(), "{call}");
                seen += 1;
            }
        }
        assert!(seen > 30, "{seen}");
    }
}
