//! A link that breaks while a job is on: the job goes on, and a new connection follows it from the byte where the old one
//! stopped.

use std::time::{Duration, Instant};

use anyhow::Result;
use signal_hook::consts::SIGINT;

use super::following::Following;
use super::{Conversation, connect};
use crate::builder::broken_link::Broken;
use crate::builder::diagnosis;
use crate::failure::Interrupted;
use crate::progress::nix_log::LogLine;

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
            self.come_back(code, began.elapsed())?;
        }
    }

    /// Waits, and makes a new connection. Whether it comes to anything is heard on it. `held` is how long the one before was
    /// there.
    fn come_back(&mut self, code: Option<u8>, held: Duration) -> Result<()> {
        let broken = Broken {
            host: self.peer.host,
            channel: &self.channel,
            code,
            held,
            heard: self.following.as_ref().map_or(0, Following::heard),
            unchanged: &self.unchanged(),
        };
        let waited = self.way_back.wait(&broken, self.context);
        waited.inspect_err(|error| {
            if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
                self.hear_interrupt(*interrupted);
            }
        })?;
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

    /// Takes a signal for which there is no connection: nobody there has heard of Ctrl-C.
    fn hear_interrupt(&self, interrupted: Interrupted) {
        if interrupted.signal == SIGINT {
            self.warn_unanswered();
        }
    }

    /// Tells the user that the machine may not know that its work is to end.
    fn warn_unanswered(&self) {
        if self.is_following() {
            let (alone, is_found) = (self.request.alone(), self.request.client.stays);
            self.tell(&diagnosis::unanswered(self.peer.host, alone, is_found));
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
