//! A link that breaks while a job is on: the job goes on, and a new connection follows it from the byte where the old one
//! stopped.

use std::time::{Duration, Instant};

use anyhow::Result;
use signal_hook::consts::SIGINT;

use super::following::Following;
use super::{Conversation, connect};
use crate::builder::diagnosis;
use crate::failure::{Failure, Interrupted};
use crate::progress::nix_log::LogLine;
use crate::progress::{Event, spoken};

/// The pause before the first try, and the longest pause before a later one: each is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// The remedy if the link stays broken.
const LATER: &str = "run the same command again later: it finds what was done there";

/// A link that broke again within this time has not come back, unless it brought something and held for longer than the
/// pause before it.
const HELD: Duration = Duration::from_secs(20);

/// A link that is broken.
pub(super) struct Away {
    since: Instant,
    pause: Duration,
    /// How many bytes of the job had been heard when it broke; None if there was none.
    heard: Option<u64>,
}

impl Conversation<'_> {
    /// Hears everything, over as many connections as that takes.
    pub(super) fn hear_all(&mut self) -> Result<()> {
        loop {
            let began = Instant::now();
            let code = match self.hear_out() {
                Ok(code) => code,
                Err(error) => {
                    self.leave(&error);
                    return Err(error);
                }
            };
            if self.answer.is_left {
                return Ok(());
            }
            // A signal to the whole group, as of a terminal that is closed, ends ssh as well.
            if self.ended.is_none() {
                let signal = self.context.signals.check_soon();
                signal.inspect_err(|interrupted| self.hear_interrupt(*interrupted))?;
            }
            if self.ended.is_some() || self.following.is_none() {
                return self.conclude(code);
            }
            // Only its last word is missing.
            if self.course.is_delivered() && self.answer.delivered {
                return Ok(());
            }
            if self.has_come_back(began.elapsed()) {
                self.away = None;
            }
            self.come_back(code)?;
        }
    }

    /// Returns whether the connection that has broken now, and held for so long, was one.
    fn has_come_back(&self, held: Duration) -> bool {
        let brought = |away: &Away| self.heard() != away.heard && held > away.pause / 2;
        self.channel.has_greeted() && (held > HELD || self.away.as_ref().is_some_and(brought))
    }

    fn heard(&self) -> Option<u64> {
        self.following.as_ref().map(Following::heard)
    }

    /// Waits, and makes a new connection. Whether it comes to anything is heard on it.
    fn come_back(&mut self, code: Option<u8>) -> Result<()> {
        let host = self.peer.host;
        let longest = self.request.job.reconnect;
        if longest.is_zero() {
            return Err(self.not_tried_again(code).into());
        }
        let heard = self.heard();
        let away = self.away.get_or_insert_with(|| {
            let text = format!("the connection to {host} broke: the work goes on there, connecting again");
            self.context.tell(Event::Text(text));
            Away {
                since: Instant::now(),
                pause: FIRST,
                heard,
            }
        });
        if away.since.elapsed() > longest {
            return Err(self.stays_away(code).into());
        }
        away.heard = heard;
        let pause = away.pause;
        away.pause = (pause * 2).min(LAST);
        let signal = self.context.signals.pause(pause);
        signal.inspect_err(|interrupted| self.hear_interrupt(*interrupted))?;
        let Some(following) = &mut self.following else {
            return Ok(());
        };
        following.again();
        // A daemon is lent for one connection. What has not come by the first one is fetched afterwards.
        let delivers = !self.course.is_copying();
        let script = self.request.rejoining(following.name(), following.heard(), delivers)?;
        self.is_second = true;
        self.course.comes_back();
        self.incoming.breaks_off();
        self.channel = connect(self.peer, self.request, &script, self.context)?;
        Ok(())
    }

    /// Leaves a job that builds, if that is wanted: the job goes on, as it does if the terminal is closed. Nix's first words
    /// about something that it does show that there is something to build or to fetch; if there is nothing, the job is about
    /// to end, and its result is taken as in any run.
    pub(super) fn leave_to_itself(&mut self, log: &LogLine) {
        let builds = self.request.job.detach && self.course.is_building() && self.is_following();
        self.answer.is_left |= builds && log.says_that_something_is_done();
    }

    fn stays_away(&self, code: Option<u8>) -> Failure {
        let longest = spoken(self.request.job.reconnect);
        let why = self.channel.broke(code, "", "");
        Failure::new(format!(
            "{} does not come back in {longest} ({why}): the work goes on there, {}",
            self.peer.host,
            self.unchanged()
        ))
        .with_remedy(LATER)
        .with_code(255)
    }

    /// Returns the failure if no new connection is to be tried.
    fn not_tried_again(&self, code: Option<u8>) -> Failure {
        let more = format!(": the work goes on there, {}", self.unchanged());
        self.channel.broke(code, &more, LATER)
    }

    /// Takes a signal for which there is no connection: nobody there has heard of Ctrl-C.
    fn hear_interrupt(&self, interrupted: Interrupted) {
        if interrupted.signal == SIGINT {
            self.warn_unanswered();
        }
    }

    /// Tells the user that the machine may not know that its work is to end.
    fn warn_unanswered(&self) {
        if self.is_following() {
            self.tell(&diagnosis::unanswered(self.peer.host, self.request.job.alone));
        }
    }

    /// Leaves after an error. Ctrl-C ends the work there, and so does an error of this side's own, after which nobody wants
    /// what it makes. Another signal, as of a terminal that is closed, leaves a job to itself.
    pub(super) fn leave(&mut self, error: &anyhow::Error) {
        let leaves_job = match error.downcast_ref() {
            Some(Interrupted { signal }) => *signal != SIGINT && self.is_following(),
            None => !self.is_following(),
        };
        if leaves_job {
            return;
        }
        // A script that has not greeted has begun nothing; but the job of an earlier connection is on.
        if !self.channel.say_farewell(self.context) || (self.is_second && !self.channel.has_greeted()) {
            self.warn_unanswered();
        }
    }
}
