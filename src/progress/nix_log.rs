//! Nix's structured log (`--log-format internal-json`): lines of `@nix {...}`, the same from Nix 2.8 to 2.34 and in
//! Lix. Unknown kinds of activities and results are passed over, because every version adds some.

use serde_json::Value;

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum LogLine {
    /// A message: level 0 is an error, 1 a warning, 3 what Nix says by default.
    Message {
        /// Nix's verbosity level.
        level: i64,
        /// Text, perhaps of several lines and with colours.
        text: String,
    },
    /// An activity has begun.
    Start {
        /// The number by which the other lines name the activity.
        id: u64,
        /// What the activity is.
        activity: Activity,
    },
    /// An activity has ended, well or not.
    Stop {
        /// The activity's number.
        id: u64,
    },
    /// News of an activity.
    News {
        /// The activity's number.
        id: u64,
        /// What is new.
        news: News,
    },
}

/// Something that takes a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// A derivation is being built.
    Build {
        /// The derivation's store path.
        derivation: String,
        /// The address of the build machine; empty if it is the machine that Nix runs on.
        machine: String,
    },
    /// All builds of this command together.
    Builds,
    /// A store path is copied between stores.
    CopyPath(String),
    /// All paths of this copy together.
    CopyPaths {
        /// The number of paths, if the activity's text has it (as that of `nix copy`); otherwise 0.
        paths: u64,
    },
    /// A file is fetched from an address.
    Fetch(String),
    /// A store path is fetched from a cache.
    Substitute(String),
    /// Something else, in Nix's words.
    Other(String),
}

/// News of an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A line of a build's log.
    LogLine(String),
    /// A build has come to its next phase.
    Phase(String),
    /// The counts of an activity that has parts.
    Progress {
        /// The number of parts that are done.
        done: u64,
        /// The number of all parts, as far as Nix knows.
        expected: u64,
        /// The number of parts that run now.
        running: u64,
        /// The number of parts that failed.
        failed: u64,
    },
    /// The number of bytes of store paths that are to be copied.
    ExpectedBytes(u64),
}

impl LogLine {
    /// Reads one line, without its newline. Returns None for another line, and for one that this program does not use.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line.strip_prefix("@nix ")?).ok()?;
        let id = || value.get("id")?.as_u64();
        match value.get("action")?.as_str()? {
            "msg" => Some(Self::Message {
                level: value.get("level")?.as_i64()?,
                text: value.get("msg")?.as_str()?.to_owned(),
            }),
            "start" => Some(Self::Start {
                id: id()?,
                activity: Activity::of(&value),
            }),
            "stop" => Some(Self::Stop { id: id()? }),
            "result" => Some(Self::News {
                id: id()?,
                news: News::of(&value)?,
            }),
            _ => None,
        }
    }
}

impl LogLine {
    /// Returns whether the line says that Nix's daemon fell in the midst of its work, killed perhaps for want of memory.
    /// The words are those of Nix 2.26 and 2.34, and of 2.8.
    #[must_use]
    pub fn says_that_the_daemon_fell(&self) -> bool {
        let Self::Message { level: 0, text } = self else {
            return false;
        };
        let text = console::strip_ansi_codes(text);
        text.contains("Nix daemon disconnected unexpectedly") || text.trim() == "error: unexpected end-of-file"
    }

    /// Returns whether the line says that a disk is full, in the words of the C library and of Nix. The end of a failed
    /// build's log is part of such a line.
    #[must_use]
    pub fn says_that_there_is_no_room(&self) -> bool {
        self.is_error()
            && matches!(self, Self::Message { text, .. }
                if ["No space left on device", "Disk quota exceeded", "lack of free disk space"].iter().any(|words| text.contains(words)))
    }

    /// Returns whether Nix says that it has locked a flake's inputs anew without writing that down, so that it will do so
    /// again the next time, with other results.
    #[must_use]
    pub fn says_that_a_lock_is_not_written(&self) -> bool {
        matches!(self, Self::Message { text, .. } if text.contains("not writing modified lock file"))
    }

    /// Returns whether the line is about something that Nix does, and not only about the command as a whole.
    #[must_use]
    pub fn says_that_something_is_done(&self) -> bool {
        match self {
            Self::Message { level, .. } => *level > 0,
            // Among the others are those of the command as a whole, and questions about paths that are there.
            Self::Start { activity, .. } => matches!(
                activity,
                Activity::Build { .. } | Activity::CopyPath(_) | Activity::Fetch(_) | Activity::Substitute(_)
            ),
            Self::Stop { .. } | Self::News { .. } => false,
        }
    }

    /// Returns the text of an error.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Message { level: 0, text } => Some(text),
            _ => None,
        }
    }

    /// Returns whether the line says why something failed. The output of `builtins.trace` has the same level.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Message { level: 0, text } if !console::strip_ansi_codes(text).starts_with("trace: "))
    }
}

impl LogLine {
    /// Returns whether the line says that this Nix has no setting of this name.
    #[must_use]
    pub fn knows_no_setting(&self, name: &str) -> bool {
        let Self::Message { level: 1, text } = self else {
            return false;
        };
        console::strip_ansi_codes(text).contains(&format!("unknown setting '{name}'"))
    }
}

impl Activity {
    fn of(value: &Value) -> Self {
        let field = |index: usize| value["fields"][index].as_str().unwrap_or_default().to_owned();
        match value["type"].as_u64() {
            Some(100) => Self::CopyPath(field(0)),
            Some(101) => Self::Fetch(field(0)),
            Some(103) => Self::CopyPaths {
                paths: number_in(value["text"].as_str().unwrap_or_default()),
            },
            Some(104) => Self::Builds,
            Some(105) => Self::Build {
                derivation: field(0),
                machine: field(1),
            },
            Some(108) => Self::Substitute(field(0)),
            _ => Self::Other(value["text"].as_str().unwrap_or_default().to_owned()),
        }
    }
}

impl News {
    fn of(value: &Value) -> Option<Self> {
        let fields = &value["fields"];
        let text = || Some(fields[0].as_str()?.to_owned());
        match value["type"].as_u64()? {
            101 => Some(Self::LogLine(text()?)),
            104 => Some(Self::Phase(text()?)),
            105 => Some(Self::Progress {
                done: fields[0].as_u64()?,
                expected: fields[1].as_u64()?,
                running: fields[2].as_u64()?,
                failed: fields[3].as_u64().unwrap_or(0),
            }),
            // The first field is a type of activities: 100 are copies of store paths.
            106 if fields[0].as_u64()? == 100 => Some(Self::ExpectedBytes(fields[1].as_u64()?)),
            _ => None,
        }
    }
}

/// Returns the number in a text such as `copying 31 paths`, or 0.
fn number_in(text: &str) -> u64 {
    text.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
impl LogLine {
    /// Returns the line that says that so many parts of an activity are done, and one is under way.
    pub(super) fn progress(id: u64, done: u64, expected: u64) -> Self {
        let news = News::Progress {
            done,
            expected,
            running: 1,
            failed: 0,
        };
        Self::News { id, news }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Nix 2.26 says about a path that is there, and about one that it builds.
    #[test]
    fn what_shows_that_there_is_something_to_do() {
        for (line, is_work) in [
            (
                r#"@nix {"action":"start","id":1,"level":6,"text":"querying info about missing paths","type":0}"#,
                false,
            ),
            (
                r#"@nix {"action":"start","id":2,"level":0,"text":"","type":102}"#,
                false,
            ),
            (
                r#"@nix {"action":"start","id":3,"level":0,"text":"","type":104}"#,
                false,
            ),
            (
                r#"@nix {"action":"result","fields":[0,1,0,0],"id":3,"type":105}"#,
                false,
            ),
            (r#"@nix {"action":"stop","id":3}"#, false),
            (r#"@nix {"action":"msg","level":0,"msg":"error: no"}"#, false),
            (
                r#"@nix {"action":"msg","level":3,"msg":"this derivation will be built:"}"#,
                true,
            ),
            (
                r#"@nix {"action":"start","id":4,"level":3,"fields":["/nix/store/x.drv","",1,1],"text":"building","type":105}"#,
                true,
            ),
            (
                r#"@nix {"action":"start","id":5,"level":3,"fields":["/nix/store/x","https://c"],"text":"","type":108}"#,
                true,
            ),
        ] {
            let log = LogLine::parse(line).unwrap();
            assert_eq!(log.says_that_something_is_done(), is_work, "{line}");
        }
    }

    #[test]
    fn lines_as_nix_writes_them() {
        for (line, expected) in [
            (
                r#"@nix {"action":"msg","level":0,"msg":"error: no","raw_msg":"no"}"#,
                Some(LogLine::Message {
                    level: 0,
                    text: "error: no".into(),
                }),
            ),
            (
                r#"@nix {"action":"start","fields":["/nix/store/x.drv","",1,1],"id":7,"level":3,"parent":0,"text":"building","type":105}"#,
                Some(LogLine::Start {
                    id: 7,
                    activity: Activity::Build {
                        derivation: "/nix/store/x.drv".into(),
                        machine: String::new(),
                    },
                }),
            ),
            (
                r#"@nix {"action":"result","fields":[1,4,2,0],"id":7,"type":105}"#,
                Some(LogLine::News {
                    id: 7,
                    news: News::Progress {
                        done: 1,
                        expected: 4,
                        running: 2,
                        failed: 0,
                    },
                }),
            ),
            (
                r#"@nix {"action":"start","id":7,"level":3,"parent":0,"text":"copying 31 paths","type":103}"#,
                Some(LogLine::Start {
                    id: 7,
                    activity: Activity::CopyPaths { paths: 31 },
                }),
            ),
            (
                r#"@nix {"action":"result","fields":[100,8389224],"id":7,"type":106}"#,
                Some(LogLine::News {
                    id: 7,
                    news: News::ExpectedBytes(8_389_224),
                }),
            ),
            (
                r#"@nix {"action":"result","fields":[101,8389224],"id":7,"type":106}"#,
                None,
            ),
            (
                r#"@nix {"action":"result","fields":["line"],"id":7,"type":101}"#,
                Some(LogLine::News {
                    id: 7,
                    news: News::LogLine("line".into()),
                }),
            ),
            (r#"@nix {"action":"stop","id":7}"#, Some(LogLine::Stop { id: 7 })),
            (
                r#"@nix {"action":"start","id":8,"level":5,"text":"new in 2.40","type":999}"#,
                Some(LogLine::Start {
                    id: 8,
                    activity: Activity::Other("new in 2.40".into()),
                }),
            ),
            (r#"@nix {"action":"result","fields":[1],"id":7,"type":999}"#, None),
            ("@nix {broken", None),
            ("error: plain text", None),
        ] {
            assert_eq!(LogLine::parse(line), expected, "{line}");
        }
    }
}
