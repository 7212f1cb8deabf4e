//! A link that breaks while work goes on there: when a new connection is tried, and what the user hears meanwhile. Runs and
//! `rebuild attach` come back in the same way.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::progress::{Event, spoken};
use crate::remote::channel::Channel;

/// The pause before the first try, and the longest pause before a later one: each is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// A link that broke again within this time has not come back, unless it brought something and held for longer than the
/// pause before it.
const HELD: Duration = Duration::from_secs(20);

/// The way back to a machine whose link breaks now and then.
#[derive(Debug)]
pub(super) struct WayBack {
    /// How long a new connection is tried. Zero: not at all.
    longest: Duration,
    /// What the user can type if the link stays broken.
    remedy: &'static str,
    away: Option<Away>,
}

/// A link that is broken.
#[derive(Debug)]
struct Away {
    since: Instant,
    pause: Duration,
    /// How many bytes of the work had been heard when it broke.
    heard: u64,
}

/// A connection that has ended before the work did.
pub(super) struct Broken<'a> {
    pub(super) host: &'a Host,
    pub(super) channel: &'a Channel,
    /// The exit status of ssh, if it has ended.
    pub(super) code: Option<u8>,
    /// How long the connection was there.
    pub(super) held: Duration,
    /// How many bytes of the work have been heard.
    pub(super) heard: u64,
    /// What a failure says of this machine.
    pub(super) unchanged: &'a str,
}

impl WayBack {
    pub(super) fn new(longest: Duration, remedy: &'static str) -> Self {
        Self {
            longest,
            remedy,
            away: None,
        }
    }

    /// Waits until a new connection is to be tried. Whether it comes to anything is heard on it.
    ///
    /// # Errors
    /// No new one is to be tried, or it has been tried for too long; or a signal has come.
    pub(super) fn wait(&mut self, broken: &Broken, context: &Context) -> Result<()> {
        if self.has_come_back(broken) {
            self.away = None;
        }
        if self.longest.is_zero() {
            let more = format!(": the work goes on there, {}", broken.unchanged);
            return Err(broken.channel.broke(broken.code, &more, self.remedy).into());
        }
        let away = self.away.get_or_insert_with(|| {
            let host = broken.host;
            let text = format!("the connection to {host} broke: the work goes on there, connecting again");
            context.tell(Event::Text(text));
            Away {
                since: Instant::now(),
                pause: FIRST,
                heard: broken.heard,
            }
        });
        if away.since.elapsed() > self.longest {
            return Err(self.stays_away(broken).into());
        }
        away.heard = broken.heard;
        let pause = away.pause;
        away.pause = (pause * 2).min(LAST);
        Ok(context.signals.pause(pause)?)
    }

    /// Returns whether the connection that has broken now was one.
    fn has_come_back(&self, broken: &Broken) -> bool {
        let brought = |away: &Away| broken.heard != away.heard && broken.held > away.pause / 2;
        broken.channel.has_greeted() && (broken.held > HELD || self.away.as_ref().is_some_and(brought))
    }

    fn stays_away(&self, broken: &Broken) -> Failure {
        let longest = spoken(self.longest);
        let why = broken.channel.broke(broken.code, "", "");
        Failure::new(format!(
            "{} does not come back in {longest} ({why}): the work goes on there, {}",
            broken.host, broken.unchanged
        ))
        .with_remedy(self.remedy)
        .with_code(255)
    }
}
