//! How a result goes from the other machine to where it is needed, in the words that `scripts/deliver.sh` takes.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::remote::script::Script;

/// How the result goes elsewhere. Without a delivery it stays where it was made.
#[derive(Debug)]
pub struct Delivery {
    /// The path on the other machine of the socket of the lent daemon. None if the result is fetched afterwards.
    pub socket: Option<PathBuf>,
    /// Flags of `nix copy`.
    pub flags: Vec<String>,
}

impl Delivery {
    pub(super) fn describe(&self, script: &mut Script) -> Result<(), Failure> {
        script.wrapper("with_client_copy_flags", &self.flags)
    }
}
