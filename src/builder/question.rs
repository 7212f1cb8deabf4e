//! The question that an evaluation is, as a digest. The same question has the same answer, so it need not be asked again
//! (`scripts/unchanged.sh` says what may be remembered, and why that is sound).
//!
//! Everything that the client sends for an evaluation is in the digest: its files by the digest of the mirror and the
//! names of store paths, the commands, settings, registry, systems, directory, and the script that makes the view. Of the
//! environment, all variables are in it that go; those that a login sets anew each time, and those that are not there or do
//! not go, only if the evaluation has asked for them. Not in the digest is the other machine: its standing is compared there.

use sha2::{Digest, Sha256};

use super::evaluation::Need;
use super::request::Request;
use crate::failure::Failure;
use crate::remote::script::Script;
use crate::sources::answered::Reads;
use crate::sources::environment::Chosen;
use crate::sources::mirror::hexadecimal;

/// Returns the digest of what `request` asks with these files and variables. None if it asks for no derivation.
///
/// # Errors
/// A word has a NUL byte in it.
pub(super) fn question(
    request: &Request,
    need: &Need,
    environment: &Chosen,
    reads: &Reads,
) -> Result<Option<String>, Failure> {
    let Some(evaluation) = request.evaluation().filter(|evaluation| !evaluation.gives_value) else {
        return Ok(None);
    };
    let mut script = Script::default();
    script.wrapper("command", &evaluation.command_of_question())?;
    evaluation.describe_question(&mut script)?;
    script.set("settings", &request.settings)?;
    script.set("system", &request.system)?;
    // What is there already, and how it is checked, changes nothing of what is evaluated.
    let need = Need {
        mirror: need.question.clone(),
        base: None,
        proof: "none".to_owned(),
        large: Vec::new(),
        ..need.clone()
    };
    script.set("need", need.words())?;
    let mut sum = Sha256::new();
    for part in [
        env!("CARGO_PKG_VERSION").as_bytes(),
        &script.into_bytes(),
        &environment.of_question(reads),
    ] {
        sum.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        sum.update(part);
    }
    Ok(Some(hexadecimal(&sum.finalize()[..20])))
}

#[cfg(test)]
mod tests;
