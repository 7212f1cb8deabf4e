//! Nix's structured log (`--log-format internal-json`): lines of `@nix {...}`, the same from Nix 2.8 to 2.34 and in
//! Lix. Kinds of activities and results that are not known are passed over, because every version adds some.

use serde_json::Value;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub enum LogLine {
    /// A message: level 0 is an error, 1 a warning, 3 what Nix says by default.
    Message {
        /// Nix's verbosity level.
        level: i64,
        /// Text, perhaps of several lines and with colours.
        text: String,
    },
    /// Something began that will take a while.
    Start {
        /// The name under which the other lines speak of it.
        id: u64,
        /// What it is.
        activity: Activity,
    },
    /// It has ended, well or not.
    Stop {
        /// Which.
        id: u64,
    },
    /// News of an activity.
    News {
        /// Which.
        id: u64,
        /// What.
        news: News,
    },
}

/// What takes a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// A derivation (its store path) is being built; the host's name if it is not the one that Nix runs on.
    Build {
        /// The derivation's store path.
        derivation: String,
        /// The build machine, empty for Nix's own.
        machine: String,
    },
    /// All builds of this run together.
    Builds,
    /// A store path is copied between stores.
    CopyPath(String),
    /// All paths of this copy together.
    CopyPaths {
        /// How many, where Nix says so at once: `nix copy`, in words. 0 is not known.
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
    /// Counts of a whole: done, expected, running, failed.
    Progress {
        /// How many are done.
        done: u64,
        /// Of how many.
        expected: u64,
        /// How many run now.
        running: u64,
        /// How many came to nothing.
        failed: u64,
    },
    /// So many bytes of store paths are to be copied.
    ExpectedBytes(u64),
}

impl LogLine {
    /// Reads one line, without its newline. Nothing if it is no such line, or one that means nothing to us.
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
    /// Whether Nix's daemon was gone in the midst of its work: killed, for want of memory perhaps. (In the words of Nix
    /// 2.26 and 2.34, and of 2.8.)
    #[must_use]
    pub fn says_that_the_daemon_fell(&self) -> bool {
        let Self::Message { level: 0, text } = self else {
            return false;
        };
        let text = console::strip_ansi_codes(text);
        text.contains("Nix daemon disconnected unexpectedly") || text.trim() == "error: unexpected end-of-file"
    }

    /// Whether it says why something failed. What `builtins.trace` says has the same level.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Message { level: 0, text } if !console::strip_ansi_codes(text).starts_with("trace: "))
    }
}

impl LogLine {
    /// Whether it says that this Nix has no such setting.
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
            // Of an activity of this type: 100 are copies of store paths.
            106 if fields[0].as_u64()? == 100 => Some(Self::ExpectedBytes(fields[1].as_u64()?)),
            _ => None,
        }
    }
}

/// The number in `copying 31 paths`.
fn number_in(text: &str) -> u64 {
    text.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
impl LogLine {
    /// That so much of an activity is done, and one part of it is under way.
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
