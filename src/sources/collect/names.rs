//! Paths as Nix reads them.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::MOST_LINKS;

/// Nix's own reading of a file that is a link: relative paths in it start from where the link points, but links of the
/// directories on the way stay as they are named.
pub(super) fn resolve_file(mut path: PathBuf) -> PathBuf {
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        if !fs::metadata(&path).is_ok_and(|end| end.is_file()) {
            break;
        }
        path = clean(&path.parent().unwrap_or(Path::new("/")).join(target));
    }
    path
}

/// A directory that is imported means its `default.nix`; which may be a link out of it.
pub(super) fn with_default(path: PathBuf) -> Vec<PathBuf> {
    let default = path.join("default.nix");
    if default.exists() {
        vec![path, default]
    } else {
        vec![path]
    }
}

/// Whether a path is one of the store's, or in one.
pub(super) fn in_store(path: &Path) -> bool {
    path.starts_with("/nix/store") && path != Path::new("/nix/store")
}

/// The name in `/nix/store/NAME`.
pub(super) fn store_tree(path: &Path) -> Option<OsString> {
    let mut parts = path.strip_prefix("/nix/store").ok()?.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => Some(name.to_owned()),
        _ => None,
    }
}

/// A path's names, last first, for taking them off one by one.
pub(super) fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.rev().collect()
}

/// Nix's own reading of a path: `.` and `..` are taken off the text, whatever links are in it.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}
