//! One connection to one machine, over which its facts come. Every wait in it has an end.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::facts::{Facts, Told};
use super::finding::{Finding, Verdict};
use super::{Patient, of_failure, text};
use crate::conditions::{ALL, Condition, Words};
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::progress::{Event, Work};
use crate::remote::channel::{Channel, Heard, Speech};
use crate::ssh;

/// How long the next word may take while only bytes have to come through. A link that is merely slow needs less: what is
/// sent at once is some 30 kB.
const PASSING: Duration = Duration::from_secs(10);

/// How long the next word may take while something is looked at there. The script gives up sooner (`timeout` in
/// `scripts/builder.sh`).
const LOOKING: Duration = Duration::from_secs(150);

/// How much is kept of a line that is no event, in characters.
const QUOTED: usize = 200;

/// How far a visit has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nothing has been heard.
    #[default]
    Outside,
    /// The small script runs.
    Inside,
    /// The large script runs, and so large packets go there.
    Heard,
    /// Large packets have come back.
    Echoed,
    /// Everything was told.
    Over,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Visit {
    pub(super) facts: Facts,
    stage: Stage,
    /// By how much the machine's clock is ahead, in seconds.
    ahead: Option<i64>,
    /// Why it ended too early.
    failure: Option<Failure>,
    /// The last line that was no event.
    last_words: String,
    /// What is looked at, as the script has said.
    looks: String,
    /// How many bytes have come back.
    echoed: usize,
    /// What is said after the first word, and not before: together with what knocks it would be a large packet.
    script: Vec<u8>,
}

impl Visit {
    /// Goes there and hears everything.
    ///
    /// # Errors
    /// A signal has come, or nothing could be started on this machine.
    pub(super) fn make(patient: &Patient, context: &Context) -> Result<Self> {
        let socket = (patient.lends && patient.host.is_some())
            .then(ssh::socket_there)
            .transpose()?;
        let script = text::visit(patient, socket.as_deref())?;
        let knock = text::knock(script.len())?;
        // Nobody connects to it: whether sshd makes it is all that is asked.
        let forward = socket
            .as_deref()
            .map(|there| (there, std::path::Path::new("/nonexistent")));
        let command = match patient.host {
            None => ssh::here(knock.len()),
            Some(host) => context.ssh.session(host, forward, knock.len()),
        };
        if patient.host.is_some() {
            context.tell(Event::phase(Work::Connecting, patient.host));
            context.tell(Event::Detail(format!("$ {command}")));
        }
        let mut channel = Channel::open(command.converse()?, patient.host, &knock)?;
        channel.is_quiet = true;
        let mut visit = Self {
            script,
            ..Self::default()
        };
        let result = visit.hear_out(&mut channel, patient, context);
        context.tell(Event::Idle);
        result.map(|()| visit)
    }

    /// Hears everything, or until nothing more comes.
    fn hear_out(&mut self, channel: &mut Channel, patient: &Patient, context: &Context) -> Result<()> {
        let mut since = Instant::now();
        while self.stage != Stage::Over && self.failure.is_none() {
            let limit = if self.stage < Stage::Echoed { PASSING } else { LOOKING };
            // Before that, ssh may be asking for a password, and the channel has a limit of its own.
            if self.stage > Stage::Outside && since.elapsed() > limit {
                return Ok(());
            }
            match channel.next(context) {
                Ok(Heard::Nothing) => continue,
                Ok(heard) => self.take(heard, channel, patient, context)?,
                // The script never began.
                Err(error) => self.failure = Some(error.downcast::<Failure>()?),
            }
            since = Instant::now();
        }
        channel.is_over();
        Ok(())
    }

    fn take(&mut self, heard: Heard, channel: &mut Channel, patient: &Patient, context: &Context) -> Result<()> {
        match heard {
            Heard::Event(line) => {
                let told = Some(&line.bytes).filter(|_| line.gap.is_none());
                if let Some(told) = told.and_then(|bytes| Told::parse(bytes)) {
                    self.hear(told, channel, patient, context);
                } else {
                    self.failure = Some(channel.misspoken(&line.bytes, ""));
                }
            }
            Heard::Line(line) => self.last_words = line.into_text().chars().take(QUOTED).collect(),
            Heard::Output(bytes) => {
                self.echoed += bytes.len();
                if self.echoed >= text::ECHO {
                    self.reaches(Stage::Echoed);
                }
            }
            Heard::Count(_) | Heard::Sent(_) | Heard::Nothing => {}
            Heard::End => {
                let code = channel.last_words(context)?;
                self.failure = Some(channel.broke(code, "", "run the same command again"));
            }
        }
        Ok(())
    }

    fn reaches(&mut self, stage: Stage) {
        self.stage = self.stage.max(stage);
    }

    fn hear(&mut self, told: Told, channel: &mut Channel, patient: &Patient, context: &Context) {
        match told {
            Told::Hello => {
                channel.is_greeted();
                channel.is_at_work();
                self.reaches(Stage::Inside);
                channel.say(Speech::Bytes(std::mem::take(&mut self.script)));
                if patient.host.is_some() {
                    channel.say(Speech::Bytes(vec![b'\n'; text::ECHO]));
                }
            }
            Told::Finished => self.reaches(Stage::Over),
            Told::Looks(word) => {
                self.reaches(Stage::Heard);
                if let Some(title) = title(&word) {
                    context.tell(Event::phase(Work::Looking(title), patient.host));
                }
                self.looks = word;
            }
            Told::Fact(name, value) => {
                if name == "clock" {
                    self.ahead = ahead(&value, SystemTime::now());
                }
                self.reaches(Stage::Heard);
                self.facts.hear(name, value);
            }
        }
    }

    /// Returns what was found between this machine and that one.
    ///
    /// # Errors
    /// A signal has come.
    pub(super) fn on_the_way(&self, patient: &Patient, context: &Context) -> Result<Vec<Finding>> {
        let Some(host) = patient.host else {
            return Ok(self.stopped(None).into_iter().collect());
        };
        let (name, ssh) = (host.to_string(), host.words_for_ssh());
        let words = Words {
            host: &name,
            ssh: &ssh,
            ..Words::default()
        };
        if self.stage == Stage::Outside {
            let failures = self.failure.iter();
            return failures.map(|failure| outside(failure, host, context)).collect();
        }
        let user = self
            .facts
            .word("user")
            .and_then(|user| user.split_once(' '))
            .map_or("", |(_, name)| name);
        let mut findings = vec![
            Finding::good(Condition::Reached, ""),
            Finding::good(Condition::HostKey, ""),
            Finding::good(
                Condition::Keys,
                if user.is_empty() {
                    String::new()
                } else {
                    format!("as {user}")
                },
            ),
            Finding::good(Condition::Script, ""),
        ];
        findings.push(self.packets(&words));
        findings.extend(self.ahead.map(|ahead| clock(ahead, &words)));
        findings.extend(self.stopped(Some(&words)));
        Ok(findings)
    }

    fn packets(&self, words: &Words) -> Finding {
        let lost = |way: &str| {
            let seen = format!(
                "large packets do not come through: small ones do, but nothing came {way} for {} s",
                PASSING.as_secs()
            );
            Finding::amiss(Condition::LargePackets, Verdict::Bad, seen, words)
        };
        match self.stage {
            _ if self.failure.is_some() && self.stage < Stage::Echoed => {
                Finding::unknown(Condition::LargePackets, "the connection ended before")
            }
            Stage::Inside => lost("of a script that was sent there"),
            Stage::Heard => lost("back"),
            _ => Finding::good(
                Condition::LargePackets,
                format!("{} KiB there and back", text::ECHO >> 10),
            ),
        }
    }

    /// Returns what is said if the visit ended amid its work.
    fn stopped(&self, words: Option<&Words>) -> Option<Finding> {
        let is_lost = self.stage < Stage::Echoed && words.is_some() && self.failure.is_none();
        if self.stage == Stage::Over || is_lost {
            return None;
        }
        let what = title(&self.looks).map_or(String::new(), |title| format!(", while it was looked at: {title}"));
        let said = if self.last_words.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.last_words)
        };
        let seen = match &self.failure {
            Some(failure) => format!("{failure}{what}{said}"),
            None => format!("no answer for {} s{what}{said}", LOOKING.as_secs()),
        };
        let condition = condition(&self.looks).filter(|it| *it != Condition::LargePackets);
        Some(Finding::unknown(condition.unwrap_or(Condition::Builds), seen))
    }
}

/// Returns why there is no connection.
fn outside(failure: &Failure, host: &Host, context: &Context) -> Result<Finding> {
    let mut finding = of_failure(Condition::Reached, failure);
    if finding.condition == Condition::Keys && !context.ssh.has_key(host, &context.around.home(), context.signals)? {
        let first = "this user has no key yet: ssh-keygen -t ed25519\n";
        finding.remedy = finding.remedy.map(|remedy| format!("{first}{remedy}"));
    }
    Ok(finding)
}

fn condition(word: &str) -> Option<Condition> {
    let abouts = ALL.iter().filter_map(|row| row.about.as_ref());
    abouts
        .filter(|about| about.word == word)
        .map(|about| about.condition)
        .next()
}

fn title(word: &str) -> Option<&'static str> {
    condition(word).map(|condition| condition.about().title)
}

/// By how many seconds a clock is ahead that shows this.
fn ahead(clock: &str, now: SystemTime) -> Option<i64> {
    let own = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    clock.parse::<i64>().ok()?.checked_sub(i64::try_from(own).ok()?)
}

/// A minute is what a slow link and a busy machine may take. With a day, certificates may count as expired, or as not
/// yet made.
pub(super) fn clock(ahead: i64, words: &Words) -> Finding {
    const MINUTE: u64 = 60;
    const DAY: u64 = 24 * 3600;
    let (by, name) = (ahead.unsigned_abs(), words.host);
    let size = match by {
        by if by >= 2 * DAY => format!("{} days", by / DAY),
        by if by >= 7200 => format!("{} hours", by / 3600),
        by if by >= 120 => format!("{} minutes", by / 60),
        by => format!("{by} seconds"),
    };
    let later = if ahead > 0 {
        format!("{name} is ahead")
    } else {
        format!("{name} is behind")
    };
    let seen = format!("the clocks differ by {size}: {later}");
    match by {
        by if by <= MINUTE => Finding::good(Condition::Clock, "as here"),
        by if by < DAY => Finding::amiss(Condition::Clock, Verdict::Weak, seen, words),
        _ => Finding::amiss(Condition::Clock, Verdict::Bad, seen, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        let words = Words {
            host: "builder",
            ..Words::default()
        };
        for (ahead, verdict, part) in [
            (0, Verdict::Good, "as here"),
            (-60, Verdict::Good, "as here"),
            (61, Verdict::Weak, "differ by 61 seconds: builder is ahead"),
            (-7300, Verdict::Weak, "differ by 2 hours: builder is behind"),
            (-1_790_000_000, Verdict::Bad, "differ by 20717 days"),
            (i64::MIN, Verdict::Bad, "days"),
        ] {
            let finding = clock(ahead, &words);
            assert_eq!(finding.verdict, verdict, "{ahead}");
            assert!(finding.seen.contains(part), "{}", finding.seen);
        }
    }

    #[test]
    fn what_the_script_looks_at_has_a_title() {
        for word in ["large-packets", "daemon", "emulator", "features"] {
            assert!(title(word).is_some(), "{word}");
        }
        assert_eq!(title("nothing"), None);
    }
}
