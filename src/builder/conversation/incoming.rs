//! What comes from the other machine through the lent daemon, beside the talk.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::Peer;
use crate::context::Context;
use crate::host::Host;
use crate::progress::{Event, Work};
use crate::remote::channel::{Channel, Silence};
use crate::remote::relay::Relay;

/// Whether something comes through the lent daemon.
#[derive(PartialEq, Eq)]
enum Copying {
    No,
    /// Something will come as soon as the lent daemon is reached. Until then ssh may ask for a password.
    Soon,
    Now,
}

/// What is lent, and what has come through it.
pub(super) struct Incoming<'a> {
    /// The machine that evaluates or builds.
    host: &'a Host,
    /// The machine to which it goes, if that is not this one.
    receiver: Option<&'a Host>,
    relay: Option<&'a Relay>,
    copying: Copying,
    /// How many bytes had come at the last look.
    received: u64,
    /// For how long the receiving machine has taken nothing.
    taking: Silence,
}

impl<'a> Incoming<'a> {
    /// Nothing comes yet.
    pub(super) fn new(peer: &Peer<'a>) -> Self {
        Self {
            host: peer.host,
            receiver: peer.receiver,
            relay: peer.relay,
            copying: Copying::No,
            received: 0,
            taking: Silence::of_who_takes(Instant::now()),
        }
    }

    /// Sees whether something has come, and whether the receiving machine takes it.
    pub(super) fn look(&mut self, channel: &mut Channel, context: &Context) {
        self.hear(context);
        let bytes = self.relay.map_or(0, Relay::received);
        if std::mem::replace(&mut self.received, bytes) != bytes {
            channel.is_heard_elsewhere(context);
        }
        let now = Instant::now();
        let news = match self.receiver {
            Some(receiver) if self.relay.is_some_and(Relay::is_stuck) => self.taking.waits(receiver, now),
            _ => self.taking.hears(now),
        };
        if let Some(event) = news {
            context.tell(event);
        }
    }

    /// Says that something is received, as soon as the lent daemon is there.
    fn hear(&mut self, context: &Context) {
        if self.copying == Copying::Soon && self.relay.is_some_and(|relay| relay.received() > 0) {
            context.tell(Event::phase(Work::Receiving, self.receiver));
            self.copying = Copying::Now;
        }
    }

    /// Tells how much has come so far, if something comes.
    pub(super) fn tell_amount(&self, context: &Context) {
        if let (Copying::Now, Some(relay)) = (&self.copying, self.relay) {
            context.tell(Event::Received(relay.received()));
        }
    }

    /// Opens the relay, because the other machine copies now.
    ///
    /// # Errors
    /// Nothing was lent, or it cannot be reached.
    pub(super) fn begin(&mut self, context: &Context) -> Result<()> {
        context.tell(Event::phase(Work::Asking, self.receiver));
        self.copying = Copying::Soon;
        let relay = self.relay.context("nothing was lent, but something comes");
        relay
            .and_then(Relay::open)
            .with_context(|| format!("{} → the lent daemon", self.host))
    }

    /// Notes that everything has come.
    pub(super) fn end(&mut self, context: &Context) {
        self.hear(context);
        self.tell_amount(context);
        self.copying = Copying::No;
        self.hang_up();
    }

    /// Notes that nothing comes any more, because the link broke.
    pub(super) fn breaks_off(&mut self) {
        self.copying = Copying::No;
    }

    /// Closes the relay's connection, because nothing more comes.
    pub(super) fn hang_up(&self) {
        if let Some(relay) = self.relay {
            relay.hang_up();
        }
    }
}
