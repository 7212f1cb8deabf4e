//! `confirm`.

use anyhow::Result;

use crate::activation;
use crate::context::Context;
use crate::host::Place;
use crate::vocabulary::Rights;

/// Confirms the change that waits for it, and says what it came to.
pub(super) fn confirm(target: &Place, rights: Rights, context: &Context) -> Result<()> {
    if let Some(host) = target.host() {
        context.ssh.check(host, context.signals)?;
    }
    match activation::confirm(target, rights, context)? {
        None => Ok(()),
        Some(incomplete) => Err(incomplete.failure.into()),
    }
}
