//! How files are named on the screen.

use std::path::Path;

use crate::harmless;
use crate::host::Host;
use crate::sources::collect::Refusal;

/// A path for the screen.
pub(super) fn shown(path: &Path) -> String {
    harmless::name(&path.to_string_lossy())
}

/// What is said of something that `host` does not get.
pub(super) fn refused(path: &Path, refusal: Refusal, host: &Host) -> String {
    let path = shown(path);
    match refusal {
        Refusal::Secret => format!("warning: {path} never leaves this machine, and was not sent"),
        Refusal::Private => format!(
            "warning: {host} asks for {path}; not everybody here may read it, so it is sent only if the configuration names \
             it as a path and not as a string"
        ),
        Refusal::Unnamed => format!(
            "warning: {host} asks for {path}, which no file of the configuration has; if it is to be found: \
             -I NAME=PATH"
        ),
        Refusal::UnnamedStorePath => format!(
            "warning: {host} asks for {path}, which nothing that was sent names; if it is to be there: \
             nix-copy-closure --to {} {path}",
            host.words_for_ssh()
        ),
        Refusal::TheEvaluators => {
            format!("warning: the configuration names {path}: the evaluation on {host} sees that of {host}")
        }
    }
}
