//! The change itself. It is a job of the target's own; what is done here is to start it, to show what it says, and to come
//! back to it when the connection breaks.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::reply::{Ending, Reply};
use super::session::{Next, Session};
use super::text::Task;
use super::{Change, ProfileChange, Target};
use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::process::signals::Signals;
use crate::progress::{Event, Phase, Work};
use crate::ssh;

/// For so long a machine may be away while it activates: its network starts anew.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts to connect again.
const PAUSE: Duration = Duration::from_secs(2);

/// As many bytes of a line are shown.
const LONGEST: usize = 1 << 20;

/// The output of a change, as lines.
#[derive(Default)]
pub(super) struct Output {
    /// As many bytes have come.
    length: u64,
    line: Vec<u8>,
    /// As many more bytes there were of the line.
    left_out: u64,
    /// Whether another run made the change, which may want to hear of its end as well.
    is_anothers: bool,
    /// Whether root's script has been sent: from then on an interrupt may come too late.
    may_have_begun: bool,
}

impl Output {
    pub(super) fn of_another() -> Self {
        Self {
            is_anothers: true,
            ..Self::default()
        }
    }

    /// What root's script is told when the end has come.
    pub(super) fn last_word(&self) -> &'static [u8] {
        if self.is_anothers { b"seen\n" } else { b"heard\n" }
    }

    pub(super) fn take(&mut self, bytes: &[u8], context: &Context) {
        self.length += bytes.len() as u64;
        for byte in bytes {
            if *byte == b'\n' {
                self.end(context);
            } else if self.line.len() < LONGEST {
                self.line.push(*byte);
            } else {
                self.left_out += 1;
            }
        }
    }

    /// What there is of the last line.
    pub(super) fn end(&mut self, context: &Context) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            context.tell(Event::Text(match std::mem::take(&mut self.left_out) {
                0 => text,
                missing => format!("{text} ... [{missing} bytes are left out here]"),
            }));
        }
    }
}

/// How far the script is, on one connection.
#[derive(Default)]
struct Far {
    /// What is shown from when root has the word.
    phase: Option<Phase>,
    greeted: bool,
    is_root: bool,
    has_begun: bool,
    /// Modules of PAM that may ask for something else than the password.
    asks: Option<String>,
}

impl Far {
    fn hear(&mut self, reply: Reply, context: &Context) {
        match reply {
            Reply::Hello { .. } => self.greeted = true,
            Reply::Begun => self.has_begun = true,
            Reply::Asks(modules) => self.asks = Some(modules),
            Reply::Root => {
                self.is_root = true;
                // Not before: a prompt for a password may have been on this terminal.
                if let Some(phase) = &self.phase {
                    context.tell(Event::Phase(phase.clone()));
                }
            }
            _ => {}
        }
    }

    /// A change ends after root has begun it.
    fn may_end(&self, session: &Session) -> Result<(), Failure> {
        if !self.is_root {
            return Err(session.out_of_turn("speaks of the change before root does"));
        }
        if !self.has_begun {
            return Err(session.out_of_turn("says that the change has ended, which it has not begun,"));
        }
        Ok(())
    }
}

/// What listening came to.
enum Outcome {
    Ended(Ending),
    Busy(String),
    Foreign,
    Unknown,
    Failed(Failure),
    Broke { greeted: bool, failure: Failure },
}

impl Target {
    /// Changes the profile, and activates. From here on an interrupt or a broken link stops nothing but our listening. What
    /// `switch-to-configuration` failed at is given back, for the change has come to its end all the same; its exit
    /// status is ours.
    ///
    /// # Errors
    /// There was no change, or it is not known what it came to.
    pub fn change(&self, change: &Change, context: &Context) -> Result<Option<Incomplete>> {
        let action = change.activation.as_ref().map_or("change", |it| it.action);
        context.tell(Event::phase(Work::Asking, self.place.host()));
        loop {
            context.signals.check()?;
            let name = ssh::new_name()?;
            let mut output = Output::default();
            match self.see_through(&Task::Change(&name, change), &name, &mut output, context)? {
                Outcome::Ended(ending) => {
                    context.tell(Event::Idle);
                    if self.waits_for_a_boot(change, ending, context) {
                        return Ok(None);
                    }
                    return self.conclude(action, ending, &change.profile);
                }
                Outcome::Busy(other) => {
                    let text = format!("another change of {} goes on: waiting for its end", self.label());
                    context.tell(Event::Text(text));
                    let task = Task::Follow(&other, 0);
                    self.see_through(&task, &other, &mut Output::of_another(), context)?;
                }
                Outcome::Foreign => {
                    return Err(Failure::new(format!(
                        "an activation is under way on {} that was started by something else",
                        self.label()
                    ))
                    .with_remedy("nothing was changed; try again when it has ended")
                    .into());
                }
                Outcome::Failed(failure) => return Err(failure.into()),
                Outcome::Unknown | Outcome::Broke { .. } => {
                    return Err(Failure::new(format!(
                        "the connection to {} broke before anything was changed",
                        self.label()
                    ))
                    .with_remedy("run the same command again")
                    .with_code(255)
                    .into());
                }
            }
        }
    }

    /// Starts a task and hears it to its end, over as many connections as that takes.
    fn see_through(&self, task: &Task, name: &str, output: &mut Output, context: &Context) -> Result<Outcome> {
        let mut heard = self.hear(task, output, context);
        // Until when it may stay away, and how much it had said when it went.
        let mut away: Option<(Instant, u64)> = None;
        loop {
            match heard {
                Err(error) if !output.is_anothers && error.is::<Interrupted>() => {
                    let on = self.label();
                    context.tell(Event::Text(if output.may_have_begun {
                        format!("the change goes on by itself on {on}: the next run says what it came to")
                    } else {
                        format!("nothing was changed on {on}")
                    }));
                    return Err(error);
                }
                Ok(Outcome::Broke { greeted, failure }) => {
                    if away.is_none() && !greeted {
                        return Err(failure.into());
                    }
                    if away.is_none_or(|(_, length)| output.length > length) {
                        let text = format!("{failure} while it was being changed: connecting again");
                        context.tell(Event::Text(text));
                        away = Some((Instant::now() + PATIENCE, output.length));
                    }
                    if away.is_some_and(|(end, _)| Instant::now() > end) {
                        return Err(self.out_of_patience(&failure, output.may_have_begun).into());
                    }
                }
                other => return other,
            }
            heard =
                pause(context.signals).and_then(|()| self.hear(&Task::Follow(name, output.length), output, context));
        }
    }

    /// One connection.
    fn hear(&self, task: &Task, output: &mut Output, context: &Context) -> Result<Outcome> {
        let text = self.elevating().task(task, self.systemd_run)?;
        let phase = match task {
            Task::Change(_, change) => change.activation.as_ref().map(|activation| {
                let work = Work::Activating(activation.action);
                Phase::of(work, self.place.host())
            }),
            _ => None,
        };
        let mut session = Session::start(&self.place, &text, context)?;
        let mut far = Far {
            phase,
            // What is followed has begun before.
            has_begun: matches!(task, Task::Follow(..)),
            ..Far::default()
        };
        let outcome = loop {
            let next = session.next(context);
            output.may_have_begun |= session.has_gone_on();
            match next? {
                Next::Output(bytes) => output.take(&bytes, context),
                Next::Reply(Reply::Ended(ending)) => {
                    far.may_end(&session)?;
                    output.end(context);
                    session.say(output.last_word());
                    break Outcome::Ended(ending);
                }
                Next::Reply(reply) => {
                    if let Some(heard) = self.reply(reply, &mut far, &session, context)? {
                        break heard;
                    }
                }
                Next::End => {
                    let failure = session.broken(context)?;
                    return Ok(Outcome::Broke {
                        greeted: far.greeted,
                        failure,
                    });
                }
            }
        };
        session.is_over();
        Ok(outcome)
    }

    /// What a reply comes to, if that is the end.
    fn reply(&self, reply: Reply, far: &mut Far, session: &Session, context: &Context) -> Result<Option<Outcome>> {
        if reply.is_of_a_change() && !far.is_root {
            return Err(session.out_of_turn("speaks of the change before root does").into());
        }
        Ok(Some(match reply {
            Reply::Busy(name) => Outcome::Busy(name),
            Reply::Foreign => Outcome::Foreign,
            Reply::Unknown => Outcome::Unknown,
            Reply::Missing(program) => Outcome::Failed(self.missing(&program)),
            Reply::NotRoot(name) => Outcome::Failed(self.not_root(&name)),
            Reply::Unwritable => Outcome::Failed(self.unwritable(session.last_words())),
            Reply::Left if far.is_root => Outcome::Failed(
                Failure::new(format!(
                    "root's script on {} ended without a word: the change may have begun",
                    self.label()
                ))
                .with_remedy("run the same command again: it says what the change came to"),
            ),
            Reply::Refused | Reply::Left => {
                Outcome::Failed(self.refused("this user", session.last_words(), far.asks.as_deref()))
            }
            reply => {
                far.hear(reply, context);
                return Ok(None);
            }
        }))
    }

    fn out_of_patience(&self, failure: &Failure, may_have_begun: bool) -> Failure {
        let label = self.label();
        let message = if may_have_begun {
            format!("{label} does not come back ({failure}): the change goes on there by itself")
        } else {
            format!("{label} does not come back ({failure}): nothing was changed there")
        };
        let remedy = if may_have_begun {
            "run the same command again to see what it came to"
        } else {
            "run the same command again"
        };
        Failure::new(message).with_remedy(remedy).with_code(255)
    }

    /// Whether the new system is the profile's, and only a boot makes it run, which is said then: another init.
    fn waits_for_a_boot(&self, change: &Change, ending: Ending, context: &Context) -> bool {
        let waits = matches!(ending, Ending::Activation { code: 100, .. }) && change.profile != ProfileChange::Keep;
        if waits {
            let text = format!("the new system of {} takes effect at its next boot", self.label());
            context.tell(Event::Text(text));
        }
        waits
    }

    fn conclude(&self, action: &str, ending: Ending, profile: &ProfileChange) -> Result<Option<Incomplete>> {
        let on = self.label();
        let failure = match ending {
            Ending::Done => return Ok(None),
            Ending::Profile(code) => Failure::new(format!("the profile on {on} could not be changed"))
                .with_remedy("nothing was activated; what Nix says stands above")
                .with_code(code),
            Ending::Activation { code, generations } => {
                let failure = Failure::new(format!("{action} on {on} failed with exit status {code}")).with_code(code);
                return Ok(Some(Incomplete {
                    failure: match meaning(code, &way_back(profile, generations)) {
                        Some(meaning) => failure.with_remedy(meaning),
                        None => failure,
                    },
                    has_changed: matches!(code, 2..=4),
                }));
            }
            Ending::Lost => Failure::new(format!("{action} on {on} was killed before its end"))
                .with_remedy("run the same command again"),
            Ending::Unstarted => {
                let remedy = if self.systemd_run {
                    "nothing was changed; is it systemd-run that fails? without it: NIXOS_REBUILD_NO_SYSTEMD_RUN=1 rebuild ..."
                } else {
                    "nothing was changed"
                };
                Failure::new(format!("{action} on {on} could not be started")).with_remedy(remedy)
            }
        };
        Err(failure.into())
    }
}

/// What an activation came to that failed.
#[derive(Debug)]
pub struct Incomplete {
    /// What is said of it.
    pub failure: Failure,
    /// Whether the system is changed all the same.
    pub has_changed: bool,
}

/// What an exit status of NixOS's `switch-to-configuration` says of the system (nixpkgs,
/// `pkgs/by-name/sw/switch-to-configuration-ng`, and its former in Perl); `back` is what is to be said of the profile where
/// nothing was activated.
pub(super) fn meaning(code: u8, back: &str) -> Option<String> {
    Some(match code {
        1 => format!("if a check before the switch refused it, as it says above, nothing was activated{back}"),
        2 => "the system is changed, but a part of its activation failed: what it says stands above".to_owned(),
        3 => "the system is changed, but systemd has not taken in all of it: see there systemctl status".to_owned(),
        4 => "the system is changed, but units failed: see there systemctl --failed".to_owned(),
        11 => format!("another activation was under way there, and nothing was activated{back}"),
        100 => "nothing was activated: this system takes effect only by a boot, for which: rebuild boot".to_owned(),
        _ => return None,
    })
}

/// nixos-rebuild leaves the profile as the change has made it, and so it is here. A change back may have been it: what brings
/// the former generation again is its number.
fn way_back(profile: &ProfileChange, generations: Option<[u64; 2]>) -> String {
    let (ProfileChange::Set(path) | ProfileChange::Rollback(path)) = profile else {
        return String::new();
    };
    let path = path.display();
    match generations {
        Some([before, now]) if before == now => String::new(),
        Some([before, now]) => format!(
            "\nbut {path} is at generation {now} now, which has the system that was not activated; to put it back, as root \
             there: nix-env -p {path} --switch-generation {before}"
        ),
        None => format!("\nbut {path} has the system now that was not activated"),
    }
}

fn pause(signals: &Signals) -> Result<()> {
    let end = Instant::now() + PAUSE;
    while Instant::now() < end {
        signals.check()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
