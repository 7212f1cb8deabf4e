//! The change itself. It is a job that the target runs by itself. The client starts it, shows what it says, and comes
//! back to it when the connection breaks.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::back;
use super::confirming::can_be_confirmed;
use super::reply::{Ending, TargetEvent};
use super::session::{FromScript, Session};
use super::text::RootTask;
use super::{Change, ProfileChange, Target};
use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::progress::{Event, Phase, Work};
use crate::ssh;
use crate::vocabulary::Confirmation;

/// How long a machine may be away while it activates: its network may start anew.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two attempts to connect again.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// How many bytes of a line are shown.
const LONGEST: usize = 1 << 20;

/// The output of a change, as lines.
#[derive(Default)]
pub(super) struct ChangeOutput {
    /// How many bytes have come.
    length: u64,
    line: Vec<u8>,
    /// How many bytes of the line are not shown.
    left_out: u64,
    /// Whether another run made the change. That run may want to hear of the end as well.
    is_anothers: bool,
    /// Whether root's script has been sent: from then on an interrupt may come too late.
    may_have_begun: bool,
    /// What this run is to do when the change waits to be confirmed, if it is to do something.
    confirmation: Option<Confirmation>,
}

impl ChangeOutput {
    fn of(change: &Change) -> Self {
        Self {
            confirmation: change.confirmation().cloned(),
            ..Self::default()
        }
    }

    /// Returns how long the machine may be away.
    fn patience(&self) -> Duration {
        let waits = self.confirmation.as_ref().map_or(0, |it| it.seconds);
        PATIENCE + Duration::from_secs(waits.into())
    }

    pub(super) fn of_another() -> Self {
        Self {
            is_anothers: true,
            ..Self::default()
        }
    }

    /// Returns what root's script is told when the end has come.
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

    /// Shows what there is of the last line.
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
    /// The phase that is shown as soon as root's script runs.
    phase: Option<Phase>,
    greeted: bool,
    is_root: bool,
    has_begun: bool,
    /// Modules of PAM that may ask for something other than the password.
    asks: Option<String>,
}

impl Far {
    fn hear(&mut self, reply: TargetEvent, context: &Context) {
        match reply {
            TargetEvent::Hello { .. } => self.greeted = true,
            TargetEvent::Begun => self.has_begun = true,
            TargetEvent::Asks(modules) => self.asks = Some(modules),
            TargetEvent::Root => {
                self.is_root = true;
                // It is not shown before, because a prompt for a password may have been on this terminal.
                if let Some(phase) = &self.phase {
                    context.tell(Event::Phase(phase.clone()));
                }
            }
            _ => {}
        }
    }

    /// Checks that the change may end now: root must have begun it before.
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

/// How the listening on one connection ended.
pub(super) enum ChangeOutcome {
    Ended(Ending),
    Busy(String),
    Foreign,
    Unknown,
    Failed(Failure),
    Broke { greeted: bool, failure: Failure },
}

impl Target {
    /// Changes the profile, and activates. From here on an interrupt or a broken link stops only our listening. Returns
    /// the failure of `switch-to-configuration`, if it failed, and not an error, because the change has come to its end
    /// all the same. Its exit status becomes the run's.
    ///
    /// # Errors
    /// Nothing was changed, or it is not known how the change ended.
    pub fn change(&self, change: &Change, context: &Context) -> Result<Option<Incomplete>> {
        let action = change.activation.as_ref().map_or("change", |it| it.action);
        if let Some(confirmation) = change.confirmation() {
            can_be_confirmed(confirmation, context)?;
        }
        context.tell(Event::phase(Work::Asking, self.place.host()));
        loop {
            context.signals.check()?;
            let name = ssh::new_name()?;
            let mut output = ChangeOutput::of(change);
            match self.see_through(&RootTask::Change(&name, change), &name, &mut output, context)? {
                ChangeOutcome::Ended(ending) => {
                    context.tell(Event::Idle);
                    if self.waits_for_a_boot(change, ending, context) {
                        return Ok(None);
                    }
                    return self.conclude(action, ending, &change.profile, change.confirmation().is_some());
                }
                ChangeOutcome::Busy(other) => {
                    let text = format!("another change of {} goes on: waiting for its end", self.label());
                    context.tell(Event::Text(text));
                    let task = RootTask::Follow(&other, 0);
                    self.see_through(&task, &other, &mut ChangeOutput::of_another(), context)?;
                }
                ChangeOutcome::Foreign => {
                    return Err(Failure::new(format!(
                        "an activation is under way on {} that was started by something else",
                        self.label()
                    ))
                    .with_remedy("nothing was changed; try again when it has ended")
                    .into());
                }
                ChangeOutcome::Failed(failure) => return Err(failure.into()),
                ChangeOutcome::Unknown | ChangeOutcome::Broke { .. } => {
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
    pub(super) fn see_through(
        &self,
        task: &RootTask,
        name: &str,
        output: &mut ChangeOutput,
        context: &Context,
    ) -> Result<ChangeOutcome> {
        let mut heard = self.hear(task, output, context);
        // Until when the machine may stay away, and how much it had said when it went away.
        let mut away: Option<(Instant, u64)> = None;
        loop {
            // A signal to the whole group ends a script of this machine's as well; then no link has broken.
            if matches!(heard, Ok(ChangeOutcome::Broke { greeted: true, .. })) {
                heard = context.signals.check_soon().map_err(Into::into).and(heard);
            }
            match heard {
                Err(error) if !output.is_anothers && error.is::<Interrupted>() => {
                    let on = self.label();
                    context.tell(Event::Text(if output.may_have_begun && output.confirmation.is_some() {
                        let confirm = self.confirm_command();
                        format!("the change goes on by itself on {on}, and goes back unless it is confirmed: {confirm}")
                    } else if output.may_have_begun {
                        format!("the change goes on by itself on {on}: the next run says what it came to")
                    } else {
                        format!("nothing was changed on {on}")
                    }));
                    return Err(error);
                }
                Ok(ChangeOutcome::Broke { greeted, failure }) => {
                    if away.is_none() && !greeted {
                        return Err(failure.into());
                    }
                    if away.is_none_or(|(_, length)| output.length > length) {
                        let text = format!("{failure} while it was being changed: connecting again");
                        context.tell(Event::Text(text));
                        away = Some((Instant::now() + output.patience(), output.length));
                    }
                    if away.is_some_and(|(end, _)| Instant::now() > end) {
                        return Err(self.out_of_patience(&failure, output).into());
                    }
                }
                other => return other,
            }
            heard = context
                .signals
                .pause(PAUSE)
                .map_err(Into::into)
                .and_then(|()| self.hear(&RootTask::Follow(name, output.length), output, context));
        }
    }

    /// Runs a task over one connection.
    fn hear(&self, task: &RootTask, output: &mut ChangeOutput, context: &Context) -> Result<ChangeOutcome> {
        let text = self.elevating().task(task, self.systemd_run)?;
        let phase = match task {
            RootTask::Change(_, change) => change.activation.as_ref().map(|activation| {
                let work = Work::Activating(activation.action);
                Phase::of(work, self.place.host())
            }),
            _ => None,
        };
        let mut session = Session::start(&self.place, &text, context)?;
        let mut far = Far {
            phase,
            // A change that is followed has begun before.
            has_begun: matches!(task, RootTask::Follow(..)),
            ..Far::default()
        };
        let outcome = loop {
            let next = session.next(context);
            output.may_have_begun |= session.has_gone_on();
            match next? {
                FromScript::Output(bytes) => output.take(&bytes, context),
                FromScript::Event(TargetEvent::Awaits) => {
                    far.may_end(&session)?;
                    output.end(context);
                    self.is_awaited(task, output, context)?;
                }
                FromScript::Event(TargetEvent::Ended(ending)) => {
                    far.may_end(&session)?;
                    output.end(context);
                    session.say(output.last_word());
                    break ChangeOutcome::Ended(ending);
                }
                FromScript::Event(reply) => {
                    if let Some(heard) = self.reply(reply, &mut far, &session, context)? {
                        break heard;
                    }
                }
                FromScript::End => {
                    let failure = session.broken(context)?;
                    return Ok(ChangeOutcome::Broke {
                        greeted: far.greeted,
                        failure,
                    });
                }
            }
        };
        session.is_over();
        Ok(outcome)
    }

    /// Takes one event. Returns how the listening ended, if this event ends it.
    fn reply(
        &self,
        reply: TargetEvent,
        far: &mut Far,
        session: &Session,
        context: &Context,
    ) -> Result<Option<ChangeOutcome>> {
        if reply.is_of_a_change() && !far.is_root {
            return Err(session.out_of_turn("speaks of the change before root does").into());
        }
        Ok(Some(match reply {
            TargetEvent::Busy(name) => ChangeOutcome::Busy(name),
            TargetEvent::Foreign => ChangeOutcome::Foreign,
            TargetEvent::Unknown => ChangeOutcome::Unknown,
            TargetEvent::Missing(program) => ChangeOutcome::Failed(self.missing(&program)),
            TargetEvent::NotRoot(name) => ChangeOutcome::Failed(self.not_root(&name)),
            TargetEvent::Unwritable => ChangeOutcome::Failed(self.unwritable(session.last_words())),
            TargetEvent::Left if far.is_root => ChangeOutcome::Failed(
                Failure::new(format!(
                    "root's script on {} ended without a word: the change may have begun",
                    self.label()
                ))
                .with_remedy("run the same command again: it says what the change came to"),
            ),
            TargetEvent::Refused | TargetEvent::Left => {
                ChangeOutcome::Failed(self.refused("this user", session.last_words(), far.asks.as_deref()))
            }
            reply => {
                far.hear(reply, context);
                return Ok(None);
            }
        }))
    }

    /// Does what confirms a change that waits for that, if this run is to do something.
    fn is_awaited(&self, task: &RootTask, output: &mut ChangeOutput, context: &Context) -> Result<()> {
        let (RootTask::Change(name, _) | RootTask::Follow(name, _)) = task else {
            return Ok(());
        };
        match output.confirmation.clone() {
            Some(confirmation) => self.prove(name, &confirmation, context),
            None => Ok(()),
        }
    }

    fn out_of_patience(&self, failure: &Failure, output: &ChangeOutput) -> Failure {
        let label = self.label();
        let what = match (output.may_have_begun, &output.confirmation) {
            (false, _) => "nothing was changed there",
            (true, None) => "the change goes on there by itself",
            (true, Some(_)) => "the change is not confirmed, and goes back there by itself",
        };
        let message = format!("{label} does not come back ({failure}): {what}");
        let remedy = if output.may_have_begun {
            "run the same command again to see what it came to"
        } else {
            "run the same command again"
        };
        Failure::new(message).with_remedy(remedy).with_code(255)
    }

    /// Whether the profile has the new system but only a boot makes it run, because its init is another one. If so, the
    /// user is told.
    fn waits_for_a_boot(&self, change: &Change, ending: Ending, context: &Context) -> bool {
        let waits = matches!(ending, Ending::Activation { code: 100, .. })
            && change.profile != ProfileChange::Keep
            && change.confirmation().is_none();
        if waits {
            let text = format!("the new system of {} takes effect at its next boot", self.label());
            context.tell(Event::Text(text));
        }
        waits
    }

    /// Returns what the user is told in the end. A change that was to be confirmed (`was_tried`) changes the profile
    /// last of all.
    pub(super) fn conclude(
        &self,
        action: &str,
        ending: Ending,
        profile: &ProfileChange,
        was_tried: bool,
    ) -> Result<Option<Incomplete>> {
        let on = self.label();
        let failure = match ending {
            Ending::Done => return Ok(None),
            Ending::Profile(code) => Failure::new(format!("the profile on {on} could not be changed"))
                .with_remedy("nothing was activated; what Nix says stands above")
                .with_code(code),
            Ending::Activation { code, generations } => {
                let failure = Failure::new(format!("{action} on {on} failed with exit status {code}")).with_code(code);
                let back = if was_tried {
                    String::new()
                } else {
                    way_back(profile, generations)
                };
                return Ok(Some(Incomplete {
                    failure: match meaning(code, &back) {
                        Some(meaning) => failure.with_remedy(meaning),
                        None => failure,
                    },
                    has_changed: matches!(code, 2..=4),
                }));
            }
            Ending::Back(back) => {
                return Ok(Some(Incomplete {
                    failure: back.failure(action, &on, profile),
                    has_changed: false,
                }));
            }
            Ending::Rebooted => back::rebooted(action, &on),
            Ending::LostUnconfirmed => back::cut_off(action, &on),
            Ending::NoWayBack => self.no_way_back("of what it says above"),
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

/// An activation that failed.
#[derive(Debug)]
pub struct Incomplete {
    /// What the user is told of it.
    pub failure: Failure,
    /// Whether the system is changed all the same.
    pub has_changed: bool,
}

/// Returns what an exit status of NixOS's `switch-to-configuration` says of the system (nixpkgs,
/// `pkgs/by-name/sw/switch-to-configuration-ng`, and its predecessor in Perl). `back` is what the user is told of the
/// profile if nothing was activated.
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

/// Returns what became of the profile, and how the user puts it back. Like nixos-rebuild, we leave the profile as the
/// change has made it. The command has the former generation's number, because the change may itself have been a
/// rollback.
fn way_back(profile: &ProfileChange, generations: Option<[u64; 2]>) -> String {
    let Some(path) = profile.path() else {
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
