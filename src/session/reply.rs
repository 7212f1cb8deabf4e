//! What comes from the other machine: events of the script among the lines of Nix's log.

/// One event of the script (`event` in `scripts/channel.sh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It runs, with this Nix, on a machine of this system.
    Hello {
        /// The directory of Nix's programs.
        nix: String,
        /// The machine's own system.
        system: String,
    },
    /// It waits for the files.
    Receiving,
    /// It lacks these store paths, by name.
    Need(Vec<String>),
    /// The evaluation has begun.
    Evaluating,
    /// The evaluation failed; it waits for more files or for the end.
    EvaluationFailed {
        /// Nix's exit status.
        code: u8,
    },
    /// The evaluation gave this derivation.
    Evaluated(String),
    /// The build has begun.
    Building,
    /// The build gave this path.
    Built(String),
    /// The result comes now, by our daemon.
    Copying,
    /// It has come.
    Copied,
    /// Our daemon cannot be reached from there: the result is to be fetched.
    NoSocket,
    /// All is done.
    Done,
    /// It ends here.
    Failed {
        /// The part of the run that failed, in the script's word.
        stage: String,
        /// The exit status of the command that failed.
        code: u8,
    },
}

impl Reply {
    /// Reads one line, without its newline. Nothing if it is no event of the script.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("@rebuild ")?.split_whitespace();
        let event = words.next()?;
        let mut word = || words.next().map(str::to_owned);
        Some(match event {
            "hello" => Self::Hello {
                nix: word()?,
                system: word()?,
            },
            "receiving" => Self::Receiving,
            "need" => Self::Need(words.map(str::to_owned).collect()),
            "evaluating" => Self::Evaluating,
            "evaluation-failed" => Self::EvaluationFailed {
                code: word()?.parse().unwrap_or(1),
            },
            "evaluated" => Self::Evaluated(word()?),
            "building" => Self::Building,
            "built" => Self::Built(word()?),
            "copying" => Self::Copying,
            "copied" => Self::Copied,
            "no-socket" => Self::NoSocket,
            "finished" => Self::Done,
            "failed" => Self::Failed {
                stage: word()?,
                code: word()?.parse().unwrap_or(1),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::request::SCRIPTS;

    #[test]
    fn events_of_the_script() {
        for (line, expected) in [
            (
                "@rebuild hello /usr/bin x86_64-linux",
                Some(Reply::Hello {
                    nix: "/usr/bin".into(),
                    system: "x86_64-linux".into(),
                }),
            ),
            ("@rebuild need ", Some(Reply::Need(vec![]))),
            ("@rebuild need  a b", Some(Reply::Need(vec!["a".into(), "b".into()]))),
            ("@rebuild built /nix/store/x", Some(Reply::Built("/nix/store/x".into()))),
            (
                "@rebuild failed build 100",
                Some(Reply::Failed {
                    stage: "build".into(),
                    code: 100,
                }),
            ),
            ("@rebuild built", None),
            ("@rebuild", None),
            ("error: @rebuild done", None),
        ] {
            assert_eq!(Reply::parse(line), expected, "{line}");
        }
    }

    /// Every event that the scripts send is known here.
    #[test]
    fn the_scripts_send_nothing_else() {
        for script in SCRIPTS {
            for line in script.lines().filter_map(|line| line.trim().strip_prefix("event ")) {
                let word = line.split(' ').next().unwrap();
                let text = format!("@rebuild {word} /nix/store/x x");
                assert!(Reply::parse(&text).is_some(), "{line}");
            }
        }
    }
}
