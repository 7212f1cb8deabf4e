//! What follows an evaluation that does not count yet: what it lacked is sent, and the evaluation is repeated.

use std::ffi::OsString;

use anyhow::{Context as _, Result};

use super::Conversation;
use super::held::Held;
use crate::builder::diagnosis;
use crate::builder::evaluation::exports;
use crate::builder::reply::BuilderEvent;
use crate::builder::rounds::NextRound;
use crate::builder::stage::Stage;
use crate::progress::{Event, Work};
use crate::remote::channel::Speech;
use crate::store_path::StorePath;

impl Conversation<'_> {
    /// Answers an evaluation that has come to its end, but perhaps with fewer variables than it asked for.
    pub(super) fn after_variables(&mut self) -> Result<()> {
        self.errors = Held::default();
        let new = self.sources.want_missed()?;
        // They are sent because the other machine asks for them. The user has to see that.
        for name in &new {
            let text = format!("sending the environment variable {name}, which the evaluation asks for");
            self.context.tell(Event::Text(text));
        }
        if new.is_empty() {
            self.can_go_on()?;
            self.course.goes_on();
            self.channel.say(Speech::Bytes(b"good\n".to_vec()));
            return Ok(());
        }
        self.course.answered(NextRound::Evaluate);
        self.say_again(NextRound::Evaluate)
    }

    /// # Errors
    /// The link broke meanwhile, and nothing more is evaluated on this connection.
    fn can_go_on(&self) -> Result<()> {
        if self.is_second {
            return Err(diagnosis::asked_meanwhile(self.peer.host, &self.unchanged()));
        }
        Ok(())
    }

    /// Says what has to be done now, and sends what that needs.
    fn say_again(&mut self, next: NextRound) -> Result<()> {
        self.can_go_on()?;
        let mut line = OsString::from(next.word());
        line.push(" ");
        line.push(self.sources.need().words());
        line.push("\n");
        let environment = exports(&self.sources.environment()?)?;
        self.channel.say(Speech::Bytes(line.into_encoded_bytes()));
        self.channel.say(Speech::Text(environment));
        Ok(())
    }

    pub(super) fn after_round(&mut self, reply: &BuilderEvent) -> Result<()> {
        let errors = std::mem::take(&mut self.errors);
        let (peer, context) = (self.peer, self.context);
        let mut import = |path: &StorePath| {
            context.tell(Event::Text(format!("sending {path} with all that it depends on")));
            // The import's own connection may ask something on the terminal.
            context.tell(Event::phase(Work::Asking, Some(peer.host)));
            (peer.importer)(path).with_context(|| format!("this machine → {}", peer.host))
        };
        let next = match reply {
            BuilderEvent::EvaluationFailed { .. } => {
                self.rounds.after_failure(self.sources, errors.errors(), &mut import)?
            }
            _ => self.rounds.after_look(self.sources, errors.errors(), &mut import)?,
        };
        self.course.answered(next);
        if let (NextRound::GiveUp, BuilderEvent::EvaluationFailed { code }) = (next, reply) {
            for event in errors.into_events() {
                self.context.tell(event);
            }
            for text in self.rounds.unsaid_errors() {
                self.context.tell(Event::Text(text));
            }
            self.name_refused();
            self.ended = Some(BuilderEvent::Failed {
                stage: Stage::Evaluation,
                code: *code,
            });
            self.channel
                .say(Speech::Bytes(format!("{}\n", next.word()).into_bytes()));
            return Ok(());
        }
        self.say_again(next)
    }
}
