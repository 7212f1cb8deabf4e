//! A link that breaks while a job is on: the job goes on, and a new connection follows it from the byte where the old one
//! stopped.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use signal_hook::consts::SIGINT;

use super::Conversation;
use crate::failure::{Failure, Interrupted};
use crate::progress::Event;
use crate::remote::channel::Channel;

/// For so long a new connection is tried.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Before the second try, and before all later ones at most.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// Between two looks for a signal.
const STEP: Duration = Duration::from_millis(50);

/// A link that is broken.
pub(super) struct Away {
    since: Instant,
    pause: Duration,
}

impl Conversation<'_> {
    /// Hears everything, over as many connections as that takes.
    pub(super) fn hear_all(&mut self) -> Result<()> {
        loop {
            let code = self.hear_out()?;
            if self.ended.is_some() || self.following.is_none() || !self.channel.may_have_broken(code) {
                return self.conclude(code);
            }
            if self.channel.has_greeted() {
                self.away = None;
            }
            self.come_back(code)?;
        }
    }

    /// Waits, and makes a new connection. Whether it comes to anything is heard on it.
    fn come_back(&mut self, code: Option<u8>) -> Result<()> {
        let host = self.peer.host;
        let away = self.away.get_or_insert_with(|| {
            let text = format!("the connection to {host} broke: the work goes on there, connecting again");
            self.context.tell(Event::Text(text));
            Away {
                since: Instant::now(),
                pause: FIRST,
            }
        });
        if away.since.elapsed() > LONGEST {
            return Err(self.stays_away(code).into());
        }
        let end = Instant::now() + away.pause;
        away.pause = (away.pause * 2).min(LAST);
        while Instant::now() < end {
            self.context.signals.check()?;
            thread::sleep(STEP);
        }
        let Some(following) = &self.following else {
            return Ok(());
        };
        let script = self.request.rejoining(following.name(), following.heard())?;
        let own_socket = self.peer.relay.map(crate::remote::relay::Relay::socket);
        let forward = self.request.socket().zip(own_socket.as_deref());
        let command = self.context.ssh.session(host, forward, script.len());
        self.context.tell(Event::Detail(format!("$ {command}")));
        self.course.comes_back();
        self.channel = Channel::open(command.converse()?, Some(host), &script)?;
        Ok(())
    }

    fn stays_away(&self, code: Option<u8>) -> Failure {
        let minutes = LONGEST.as_secs() / 60;
        let why = self.channel.broke(code, "", "");
        Failure::new(format!(
            "{} does not come back in {minutes} minutes ({why}): the work goes on there, {}",
            self.peer.host,
            self.unchanged()
        ))
        .with_remedy("run the same command again later: it finds what was done there")
        .with_code(255)
    }

    /// After an error of the talk. Ctrl-C ends the work there; another signal, as of a terminal that is closed, leaves a job
    /// to itself.
    pub(super) fn leave(&mut self, error: &anyhow::Error) {
        let Some(Interrupted { signal }) = error.downcast_ref() else {
            return;
        };
        if *signal == SIGINT || self.following.is_none() {
            self.channel.say_farewell(self.context);
        }
    }
}
