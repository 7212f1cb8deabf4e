//! How files are named on the screen.

use std::path::Path;

use crate::host::Host;
use crate::sources::collect::Refusal;

/// A path for the screen, on which a name must do nothing.
pub(super) fn shown(path: &Path) -> String {
    let plain = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    path.to_string_lossy().chars().map(plain).collect()
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
        Refusal::TheEvaluators => {
            format!("warning: the configuration names {path}: the evaluation on {host} sees that of {host}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_nothing_to_the_screen() {
        assert_eq!(shown(Path::new("/a b/\u{1b}[2Jé\nx")), "/a b/\\u{1b}[2Jé\\nx");
    }
}
