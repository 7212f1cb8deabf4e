//! What another machine tells of a job, and in which order: `record` comes first, then facts about it, and last whether it
//! runs.

use std::collections::HashSet;

use crate::builder::job_end::JobEnd;
use crate::builder::reply::{BuilderEvent, JobRecord};
use crate::progress::nix_log::{Activity, LogLine, News};
use crate::store_path::StorePath;

/// No client has more jobs than this on a machine, so more of them are nonsense.
const MOST: usize = 10_000;

/// A job of this client on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJob {
    /// Its name, and when it began by that machine's clock.
    pub record: JobRecord,
    /// How many seconds ago it began.
    pub age: u64,
    /// What it builds, or has built. None before the build.
    pub building: Option<Building>,
    /// Whether some connection follows it.
    pub is_followed: bool,
    /// Whether a client has heard how it ended.
    pub is_heard: bool,
    /// How it is.
    pub state: JobState,
}

/// What a job builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Building {
    /// The derivation.
    pub derivation: StorePath,
    /// How many seconds ago the build began.
    pub age: u64,
    /// How far it is, as Nix counts.
    pub counts: Option<Counts>,
}

/// How far Nix is with its builds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of derivations that are built.
    pub done: u64,
    /// The number of all derivations that are to be built, as far as Nix knows.
    pub expected: u64,
    /// The number of builds that run now.
    pub running: u64,
    /// The number of builds that failed.
    pub failed: u64,
}

/// How a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It runs.
    Running,
    /// It has ended.
    Ended {
        /// What it came to. None if it was cut off.
        end: Option<JobEnd>,
        /// How many seconds ago.
        ago: u64,
    },
}

impl RemoteJob {
    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running
    }

    /// Whether there is nothing to say of it any more: it was a part of a run that went on, and that knows it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let is_part = matches!(
            &self.state,
            JobState::Ended {
                end: Some(JobEnd::Asked | JobEnd::Joins { .. }),
                ..
            }
        );
        self.is_heard && is_part
    }
}

/// What follows from an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hears {
    /// There is more to come.
    More,
    /// Everything was told.
    All(Vec<RemoteJob>),
    /// It is out of turn.
    Nonsense,
}

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    jobs: Vec<RemoteJob>,
    /// The names that were told, each of which is that of one job.
    names: HashSet<String>,
    /// The job of which something is told now.
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    job: RemoteJob,
    /// How many seconds ago it ended, if it has.
    ended: Option<u64>,
    /// The activity that counts builds.
    counter: Option<u64>,
}

impl Telling {
    /// Takes an event.
    pub(super) fn hears(&mut self, event: BuilderEvent) -> Hears {
        match (event, self.current.take()) {
            (BuilderEvent::Record(record), None)
                if self.jobs.len() < MOST && self.names.insert(record.name.clone()) =>
            {
                self.current = Some(Current::new(record));
                Hears::More
            }
            (BuilderEvent::Done, None) => Hears::All(std::mem::take(&mut self.jobs)),
            (event, Some(current)) => self.hears_of(event, current),
            (_, None) => Hears::Nonsense,
        }
    }

    fn hears_of(&mut self, event: BuilderEvent, mut current: Current) -> Hears {
        let ago = current.ended.unwrap_or_default();
        let job = &mut current.job;
        match event {
            BuilderEvent::Aged { began, ended } => (job.age, current.ended) = (began, ended),
            BuilderEvent::Builds { derivation, began } => {
                let Ok(derivation) = StorePath::parse(&derivation) else {
                    return Hears::Nonsense;
                };
                job.building = Some(Building {
                    derivation,
                    age: began,
                    counts: None,
                });
            }
            BuilderEvent::Followed => job.is_followed = true,
            BuilderEvent::HeardOf => job.is_heard = true,
            BuilderEvent::Running => return self.is_told(current.job),
            BuilderEvent::Ended(end) => {
                job.state = JobState::Ended { end: Some(end), ago };
                return self.is_told(current.job);
            }
            BuilderEvent::Lost => {
                job.state = JobState::Ended { end: None, ago };
                return self.is_told(current.job);
            }
            _ => return Hears::Nonsense,
        }
        self.current = Some(current);
        Hears::More
    }

    fn is_told(&mut self, job: RemoteJob) -> Hears {
        self.jobs.push(job);
        Hears::More
    }

    /// Takes a line of Nix's log, which says how far a job is.
    pub(super) fn hears_log(&mut self, line: &LogLine) {
        let Some(current) = &mut self.current else { return };
        match line {
            LogLine::Start {
                id,
                activity: Activity::Builds,
            } => current.counter = Some(*id),
            LogLine::News {
                id,
                news:
                    News::Progress {
                        done,
                        expected,
                        running,
                        failed,
                    },
            } if current.counter == Some(*id) => {
                if let Some(building) = &mut current.job.building {
                    building.counts = Some(Counts {
                        done: *done,
                        expected: *expected,
                        running: *running,
                        failed: *failed,
                    });
                }
            }
            _ => {}
        }
    }
}

impl Current {
    fn new(record: JobRecord) -> Self {
        Self {
            job: RemoteJob {
                record,
                age: 0,
                building: None,
                is_followed: false,
                is_heard: false,
                state: JobState::Running,
            },
            ended: None,
            counter: None,
        }
    }
}

/// Fuzzing: another machine tells of jobs in some lines. What is told is harmless to show, in however many columns, and
/// the lines for programs are JSON that has no orders for a terminal.
#[cfg(any(test, fuzzing))]
pub(in crate::builder) fn look_at(bytes: &[u8]) {
    let mut telling = Telling::default();
    let mut jobs = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(log) = LogLine::parse(&String::from_utf8_lossy(line)) {
            telling.hears_log(&log);
            continue;
        }
        match BuilderEvent::parse(&[b"@rebuild ", line].concat()).map(|event| telling.hears(event)) {
            Some(Hears::All(all)) => jobs = all,
            Some(Hears::More) | None => {}
            Some(Hears::Nonsense) => return,
        }
    }
    super::shown::check(jobs);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DERIVATION: &str = "/nix/store/00000000000000000000000000000000-x.drv";

    fn heard(lines: &[&str]) -> Hears {
        let mut telling = Telling::default();
        let mut last = Hears::More;
        for line in lines {
            if let Some(log) = LogLine::parse(line) {
                telling.hears_log(&log);
                continue;
            }
            last = telling.hears(BuilderEvent::parse(format!("@rebuild {line}").as_bytes()).unwrap());
            if last != Hears::More {
                break;
            }
        }
        last
    }

    #[test]
    fn jobs_as_a_machine_tells_them() {
        let builds = format!("builds {DERIVATION} 20");
        let Hears::All(jobs) = heard(&[
            "record ab.1 /etc/nixos#my pi 1000",
            "aged 62 -",
            &builds,
            "followed",
            r#"@nix {"action":"start","id":3,"level":0,"parent":0,"text":"","type":104}"#,
            r#"@nix {"action":"result","fields":[1,7,2,0],"id":3,"type":105}"#,
            // This counts something else.
            r#"@nix {"action":"result","fields":[5,9,0,0],"id":4,"type":105}"#,
            "running",
            "record ab.2 pi 900",
            "aged 62 30",
            "heard",
            "ended cancelled",
            "record ab.3 pi 800",
            "aged -5 -7",
            "lost",
            "finished",
        ]) else {
            unreachable!()
        };
        let counts = Counts {
            done: 1,
            expected: 7,
            running: 2,
            failed: 0,
        };
        let first = RemoteJob {
            record: JobRecord {
                name: "ab.1".to_owned(),
                about: "/etc/nixos#my pi".to_owned(),
                began: 1000,
            },
            age: 62,
            building: Some(Building {
                derivation: StorePath::parse(DERIVATION).unwrap(),
                age: 20,
                counts: Some(counts),
            }),
            is_followed: true,
            is_heard: false,
            state: JobState::Running,
        };
        assert_eq!(jobs[0], first);
        let ended = |end, ago| JobState::Ended { end, ago };
        assert_eq!(jobs[1].state, ended(Some(JobEnd::Cancelled), 30));
        assert!(jobs[1].is_heard && !jobs[1].is_running());
        // A clock that was set back makes nothing negative.
        assert_eq!((jobs[2].age, &jobs[2].state), (0, &ended(None, 0)));
    }

    #[test]
    fn what_is_out_of_turn() {
        let record = "record ab.1 pi 1";
        for lines in [
            &["running"][..],
            &["aged 1 -"],
            &[record, record],
            &[record, "running", record],
            &[record, "finished"],
            &[record, "running", "followed"],
            &[record, "builds /etc 1"],
            &[record, "building"],
            &["hello /nix x86_64-linux"],
        ] {
            assert_eq!(heard(lines), Hears::Nonsense, "{lines:?}");
        }
        let mut telling = Telling::default();
        for number in 0..=MOST {
            let event = BuilderEvent::parse(format!("@rebuild record {number} x 1").as_bytes()).unwrap();
            let expected = if number < MOST { Hears::More } else { Hears::Nonsense };
            assert_eq!(telling.hears(event), expected);
            telling.hears(BuilderEvent::Running);
        }
    }

    /// A round of a run that went on is no news.
    #[test]
    fn what_a_run_knows_is_settled() {
        for (lines, expected) in [
            (&["heard", "ended asked 1"][..], true),
            (&["ended asked 1"], false),
            (&["heard", "ended cancelled"], false),
            (&["heard", "lost"], false),
        ] {
            let all = [&["record ab.1 pi 1"], lines, &["finished"]].concat();
            let Hears::All(jobs) = heard(&all) else { unreachable!() };
            assert_eq!(jobs[0].is_settled(), expected, "{lines:?}");
        }
    }
}
