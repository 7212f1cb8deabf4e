//! Links that change with each generation of a system, and that no evaluation reads unless the configuration names them.
//! They are sent, because the names around them are; but they do not belong to the question that an evaluation is. Otherwise
//! each switch would make it another one.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::mirror::{Entry, Mirror};

/// The directory of the system's profiles: `system`, `system-41-link`.
const PROFILES: &str = "/nix/var/nix/profiles";

/// The system that runs, and the one that was booted.
const SYSTEMS: [&str; 2] = ["/run/current-system", "/run/booted-system"];

/// Whether a configuration that names this path may see such a link. (Channels lie in `per-user`.)
pub(super) fn may_see(path: &Path) -> bool {
    let in_profiles = path.strip_prefix(PROFILES).ok();
    in_profiles.is_some_and(|rest| !rest.starts_with("per-user"))
        || SYSTEMS.iter().any(|system| path.starts_with(system))
        || [PROFILES, "/run"].iter().any(|above| path == Path::new(above))
}

/// The entries of a mirror that do not belong to the question: these links, and the names in the store to which they lead.
pub(super) struct Generations(BTreeSet<PathBuf>);

impl Generations {
    pub(super) fn of(mirror: &Mirror) -> Self {
        let targets = mirror.entries.iter().filter_map(|(path, entry)| match entry {
            Entry::Link { target, .. } if is_link(path) => Some(target),
            _ => None,
        });
        Self(targets.filter_map(|target| in_store(target)).collect())
    }

    pub(super) fn has(&self, path: &Path, entry: &Entry) -> bool {
        match entry {
            Entry::Link { .. } => is_link(path),
            Entry::Shut(_) => self.0.contains(path),
            _ => false,
        }
    }
}

/// Whether a link of this name is one of a generation.
fn is_link(path: &Path) -> bool {
    path.parent() == Some(Path::new(PROFILES)) || SYSTEMS.iter().any(|system| path == Path::new(system))
}

/// Returns the store path in which a path lies.
fn in_store(path: &Path) -> Option<PathBuf> {
    let name = path.strip_prefix("/nix/store").ok()?.components().next()?;
    matches!(name, Component::Normal(_)).then(|| Path::new("/nix/store").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mirror::FileKind;

    /// Returns a mirror after so many switches.
    fn after(switches: u8) -> Mirror {
        let system = format!(
            "/nix/store/{}-nixos-system",
            "0123".repeat(8).replace('0', &switches.to_string())
        );
        let link = |target: &str| Entry::Link {
            target: target.into(),
            mtime: None,
        };
        let mut mirror = Mirror::default();
        let mut add = |path: &str, entry| mirror.entries.insert(path.into(), entry);
        add(PROFILES, Entry::Open { mtime: None });
        add("/nix/var/nix/profiles/system", link(&format!("system-{switches}-link")));
        for number in 1..=switches {
            add(&format!("/nix/var/nix/profiles/system-{number}-link"), link(&system));
        }
        add("/run/current-system", link(&system));
        add(&system, Entry::Shut(FileKind::Directory));
        mirror
    }

    #[test]
    fn a_switch_is_no_other_question() {
        assert_ne!(after(1).digest(), after(2).digest());
        assert_eq!(after(1).digest_of_question(), after(2).digest_of_question());
        let plain = Mirror {
            entries: [("/etc".into(), Entry::Open { mtime: None })].into(),
        };
        assert_eq!(plain.digest(), plain.digest_of_question());
    }

    #[test]
    fn everything_else_is_another_question() {
        let plain = after(1).digest_of_question();
        for (path, target) in [
            ("/nix/var/nix/profiles/per-user/root/channels", "channels-1-link"),
            ("/run/other", "/nix/store/0-x"),
            ("/etc/nixos", "/srv"),
            // What a configuration reads in /etc mostly leads there.
            ("/etc/static", "/nix/store/0-etc"),
        ] {
            let mut mirror = after(1);
            let entry = Entry::Link {
                target: target.into(),
                mtime: None,
            };
            mirror.entries.insert(path.into(), entry);
            assert_ne!(mirror.digest_of_question(), plain, "{path}");
        }
        let mut mirror = after(1);
        let other = "/nix/store/00000000000000000000000000000000-other";
        mirror.entries.insert(other.into(), Entry::Shut(FileKind::Directory));
        assert_ne!(mirror.digest_of_question(), plain);
    }

    #[test]
    fn paths_by_which_they_are_seen() {
        for (path, is_so) in [
            ("/nix/var/nix/profiles", true),
            ("/nix/var/nix/profiles/system/etc", true),
            ("/nix/var/nix/profiles/per-user/root/channels/nixos", false),
            ("/run/current-system", true),
            ("/run/booted-system/kernel", true),
            ("/run", true),
            ("/run/media/x", false),
            ("/etc/nixos", false),
        ] {
            assert_eq!(may_see(Path::new(path)), is_so, "{path}");
        }
    }
}
