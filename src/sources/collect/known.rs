//! Names in the directories of this machine's secrets. They are told where they say no more than the configuration says
//! itself.
//!
//! A configuration asks whether `/run/secrets/wifi` is there. No directory can answer for one name and leave the others
//! open: a name that is not in it is absent. So a directory of secrets is shown with all its names if the
//! configuration's files contain all of them. Otherwise it stays shut, and looking into it is an error. The content of
//! a secret never goes.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::Collection;
use crate::sources::guard;

/// The names that sops-nix adds beside the ones that the configuration names.
const OF_SOPS: [&str; 2] = ["age-keys.txt", "rendered"];

impl Collection {
    /// Returns whether the names in a directory of secrets may be told.
    pub(super) fn may_tell_names(&self, directory: &Path) -> bool {
        guard::is_of_secrets(directory) && self.has_all_names_of(directory)
    }

    /// Returns whether the configuration's files that are sent contain all of a directory's names. A file that was only
    /// asked for does not count: somebody may have written it in order to guess. A number says no more than how often
    /// the directory was made anew.
    fn has_all_names_of(&self, directory: &Path) -> bool {
        let Ok(children) = fs::read_dir(directory) else {
            return false;
        };
        let names = children.map(|child| child.ok().map(|child| child.file_name()));
        let Some(mut unknown) = names.collect::<Option<Vec<_>>>() else {
            return false;
        };
        let is_number = |name: &OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        unknown.retain(|name| !is_number(name) && !OF_SOPS.iter().any(|known| name == known));
        let is_tracked = |path: &Path| path.ancestors().any(|above| self.own_repositories.contains(above));
        let mut files = self.sent_files(move |path| self.is_own(path) || is_tracked(path));
        while !unknown.is_empty() {
            let Some(text) = files.next() else { return false };
            unknown.retain(|name| !has_word(&text, name.as_encoded_bytes()));
        }
        true
    }
}

/// Returns whether a text contains this name as a whole word, not as a part of a longer one.
fn has_word(text: &[u8], name: &[u8]) -> bool {
    let is_of_a_name =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    let mut places = text.windows(name.len()).enumerate();
    places.any(|(at, part)| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        part == name && !is_of_a_name(before) && !is_of_a_name(text.get(at + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::own_nix::search_path::SearchPath;

    #[test]
    fn names_that_the_configuration_has_are_no_secret() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::write(
            path("configuration.nix"),
            "{ sops.secrets.wifi = { }; sops.secrets.\"db/password\" = { }; }",
        )
        .unwrap();
        let mut found = Collection::new(SearchPath::none(), PathBuf::from("/root"));
        found.add_entry(&path("configuration.nix"));
        // A file of another user that everybody may read.
        let others = tempfile::tempdir().unwrap();
        fs::set_permissions(others.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(others.path().join("x.nix"), "\"guessed\"").unwrap();
        found.add_asked(&others.path().join("x.nix"));
        assert_eq!(found.sent_files(|_| true).count(), 2);
        for (names, expected) in [
            (vec![], true),
            (vec!["wifi"], true),
            (vec!["wifi", "db", "rendered", "12"], true),
            (vec!["wifi", "other"], false),
            (vec!["guessed"], false),
            (vec!["wif"], false),
            (vec!["secrets-for-users"], false),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for name in &names {
                fs::write(directory.path().join(name), "").unwrap();
            }
            assert_eq!(found.has_all_names_of(directory.path()), expected, "{names:?}");
            // A directory does not count just because it happens to have such names.
            assert!(!found.may_tell_names(directory.path()));
        }
        assert!(!found.has_all_names_of(&path("none")));
    }

    /// What is tracked in a flake's git repository is the configuration's word; what is tracked in a repository that
    /// was only asked for is not.
    #[test]
    fn names_that_a_flake_has_are_no_secret() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".git")).unwrap();
        fs::write(root.path().join(".git/HEAD"), "ref: refs/heads/main").unwrap();
        fs::write(root.path().join("flake.nix"), "{ wifi = 1; }").unwrap();
        let index = crate::sources::git::index::tests::index(&[("flake.nix", 0o100_644)]);
        fs::write(root.path().join(".git/index"), index).unwrap();
        let secrets = tempfile::tempdir().unwrap();
        fs::write(secrets.path().join("wifi"), "").unwrap();
        let mut found = Collection::new(SearchPath::none(), PathBuf::from("/root"));
        assert!(found.add_repository(root.path()));
        assert!(found.has_all_names_of(secrets.path()));
        let mut asked = Collection::new(SearchPath::none(), PathBuf::from("/root"));
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        asked.add_asked(&root.path().join(".git/index"));
        assert!(asked.sent_files(|_| true).count() > 0 && !asked.has_all_names_of(secrets.path()));
    }

    #[test]
    fn words_are_whole() {
        for (text, expected) in [
            ("wg0", true),
            ("/etc/wireguard/wg0.conf", true),
            ("a.wg0.b", true),
            ("wg01", false),
            ("my-wg0", false),
            ("wg0_wg0", false),
            ("", false),
        ] {
            assert_eq!(has_word(text.as_bytes(), b"wg0"), expected, "{text}");
        }
    }
}
