//! Paths as Nix reads them.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::MOST_LINKS;

/// Resolves a file that is a link as Nix does: relative paths in it start from where the link points, but links among
/// the directories on the way keep their names.
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

/// Returns the paths that an import of this path may mean: an imported directory means its `default.nix`, which may be
/// a link out of the directory.
pub(super) fn with_default(path: PathBuf) -> Vec<PathBuf> {
    let default = path.join("default.nix");
    if default.exists() {
        vec![path, default]
    } else {
        vec![path]
    }
}

/// Returns whether a path is a store path or lies in one.
pub(super) fn in_store(path: &Path) -> bool {
    path.starts_with("/nix/store") && path != Path::new("/nix/store")
}

/// Returns `NAME` of `/nix/store/NAME/...`.
pub(super) fn store_tree(path: &Path) -> Option<OsString> {
    let mut parts = path.strip_prefix("/nix/store").ok()?.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => Some(name.to_owned()),
        _ => None,
    }
}

/// Returns a path's names, last first, so that they can be popped one by one.
pub(super) fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.rev().collect()
}

/// Cleans a path as Nix does: `.` and `..` are taken out of the text, whatever links the path contains.
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
