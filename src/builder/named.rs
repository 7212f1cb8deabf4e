//! How files are named on the screen.

use std::path::Path;

use crate::harmless;
use crate::host::Host;
use crate::sources::collect::Refusal;

/// Returns a path as the screen shows it.
pub(super) fn shown(path: &Path) -> String {
    harmless::name(&path.to_string_lossy())
}

/// Returns the warning about something that `host` does not get.
pub(super) fn refused(path: &Path, refusal: Refusal, host: &Host) -> String {
    let (place, path) = (path, shown(path));
    match refusal {
        Refusal::Secret => format!("warning: {path} never leaves this machine, and was not sent"),
        // This is not about other users: an evaluation here would fail at it, too.
        Refusal::Private if !is_readable(place) => {
            format!(
                "warning: {host} asks for {path}, which this user may not read: look at it with ls -ld, or run as one who may"
            )
        }
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

/// Whether the kernel lets this user read it.
fn is_readable(path: &Path) -> bool {
    let opened = std::fs::metadata(path).and_then(|data| {
        if data.is_dir() {
            std::fs::read_dir(path).map(|_| ())
        } else if data.is_file() {
            std::fs::File::open(path).map(|_| ())
        } else {
            Ok(())
        }
    });
    !opened.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}
