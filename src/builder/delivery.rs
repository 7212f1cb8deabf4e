//! What was made on the other machine goes to where it is needed, in the words that `scripts/deliver.sh` takes.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::remote::script::Script;

/// What was made is to go elsewhere. Otherwise it stays there.
#[derive(Debug)]
pub struct Delivery {
    /// Where the daemon that receives it is to be found over there, if it is lent; otherwise it is fetched afterwards.
    pub socket: Option<PathBuf>,
    /// Flags of `nix copy`.
    pub flags: Vec<String>,
}

impl Delivery {
    pub(super) fn describe(&self, script: &mut Script) -> Result<(), Failure> {
        script.wrapper("with_client_copy_flags", &self.flags)
    }
}
