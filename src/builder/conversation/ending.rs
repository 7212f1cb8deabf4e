//! How a run ends, after its talk has ended.

use anyhow::Result;

use super::Conversation;
use crate::builder::diagnosis;
use crate::builder::reply::BuilderEvent;
use crate::builder::stage::Stage;
use crate::failure::Failure;
use crate::remote::relay::Relay;

/// The remedy if the link broke.
const AGAIN: &str = "run the same command again: what was built there is kept";

impl Conversation<'_> {
    /// Returns how the run ended, after the connection has ended. `code` is ssh's exit status, if ssh has ended.
    pub(super) fn conclude(&mut self, code: Option<u8>) -> Result<()> {
        for event in std::mem::take(&mut self.errors).into_events() {
            self.context.tell(event);
        }
        let ended = self.ended.take();
        // If the client could not send something, that is why the builder could not take it.
        let is_about_files = ended.as_ref().is_none_or(|last| match last {
            BuilderEvent::Failed { stage, .. } => matches!(stage, Stage::Unpack | Stage::Mirror | Stage::Link),
            _ => false,
        });
        if let Some(error) = self.channel.sending_error().filter(|_| is_about_files) {
            return Err(error.context(format!("this machine → {}", self.peer.host)));
        }
        match ended {
            Some(BuilderEvent::Done) => Ok(()),
            Some(BuilderEvent::Failed {
                stage: Stage::NoNamespaces,
                ..
            }) => Err(diagnosis::CannotEvaluate::new(self.peer.host).into()),
            Some(BuilderEvent::Failed { stage, code }) => {
                self.keep_lock()?;
                Err(self.failed(stage, code.get()).into())
            }
            _ => Err(self
                .channel
                .broke(code, &format!(", {}", self.unchanged()), AGAIN)
                .into()),
        }
    }

    fn failed(&self, stage: Stage, code: u8) -> Failure {
        let failure = match stage {
            Stage::Copy => {
                let complaint = self.peer.relay.and_then(Relay::complaint);
                diagnosis::not_copied(self.peer.host, self.peer.receiver, complaint, code)
            }
            _ => diagnosis::failed(self.peer.host, &self.request.system, stage, code, &self.unchanged()),
        };
        if self.nix.has_no_room && matches!(stage, Stage::Evaluation | Stage::Build | Stage::Copy) {
            let full = Some(self.peer.host)
                .filter(|_| stage != Stage::Copy)
                .or(self.peer.receiver);
            return failure.with_remedy(diagnosis::no_room(full));
        }
        if self.nix.daemon_fell && matches!(stage, Stage::Evaluation | Stage::Build) && code != 137 {
            return failure.with_remedy(diagnosis::daemon_fell(self.peer.host));
        }
        if let (Stage::Build, Some(lack)) = (stage, &self.nix.lack) {
            let (message, remedy) = lack.words(self.peer.host);
            return Failure::new(message).with_remedy(remedy).with_code(code);
        }
        let own = (stage == Stage::Evaluation).then(self.peer.own_nix).flatten();
        match own.and_then(|own| diagnosis::older(self.peer.host, &self.nix.version, &own)) {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}
