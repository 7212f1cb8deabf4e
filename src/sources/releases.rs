//! Store paths of this machine that are releases of channels, and where another machine may fetch the same.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::store_path::StorePath;

/// A store path that is an unpacked release of a channel, as `nix-channel` makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The store path's name, with its hash.
    pub tree: String,
    /// The name of the channel, and of the one directory in the store path.
    pub channel: String,
    /// Where its tarball may be; the likeliest address comes first.
    pub addresses: Vec<String>,
}

impl Release {
    /// Returns the release's own name, as `nixos-26.11.1234.abcdef0`.
    #[must_use]
    pub fn name(&self) -> &str {
        name_of(&self.tree)
    }
}

/// How long one of the files may be that say which release it is.
const LONGEST: usize = 100;

/// Returns which of these names in the store are releases that may be found at the site.
pub fn releases<'a>(store: &Path, trees: impl IntoIterator<Item = &'a OsStr>, site: &str) -> Vec<Release> {
    if site.is_empty() {
        return Vec::new();
    }
    let names = trees.into_iter().filter_map(OsStr::to_str);
    names.filter_map(|tree| release(store, tree, site)).collect()
}

fn release(store: &Path, tree: &str, site: &str) -> Option<Release> {
    StorePath::parse(&format!("/nix/store/{tree}")).ok()?;
    let mut entries = fs::read_dir(store.join(tree)).ok()?;
    let (Some(Ok(only)), None) = (entries.next(), entries.next()) else {
        return None;
    };
    let channel = only.file_name().into_string().ok().filter(|name| is_word(name))?;
    let read = |file: &str| {
        let text = fs::read_to_string(only.path().join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| text.len() <= LONGEST)
    };
    // The medium from which NixOS is installed makes such a store path by itself, with this file in it, and of files that
    // are in no tarball.
    if only.path().join("svn-revision").exists() {
        return None;
    }
    let version = read(".version").filter(|text| is_version(text))?;
    let suffix = read(".version-suffix")?;
    let (word, revision) = parts(&suffix)?;
    if read(".git-revision").is_some_and(|whole| !whole.starts_with(revision)) {
        return None;
    }
    let number = format!("{version}{suffix}");
    // Nix gives it the name of the channel, with the release's number.
    if name_of(tree) != format!("{channel}-{number}") {
        return None;
    }
    let site = site.trim_end_matches('/');
    let line = if word == "pre" { "unstable" } else { version.as_str() };
    let mut places = vec![
        format!("nixos/{line}/nixos-{number}"),
        format!("nixos/{line}-small/nixos-{number}"),
    ];
    if word == "pre" {
        places.push(format!("nixpkgs/nixpkgs-{number}"));
    }
    let addresses = places.iter().map(|place| format!("{site}/{place}/nixexprs.tar.xz"));
    Some(Release {
        tree: tree.to_owned(),
        channel,
        addresses: addresses.collect(),
    })
}

fn name_of(tree: &str) -> &str {
    tree.split_once('-').map_or("", |(_, name)| name)
}

/// Whether a text is one word that can be a channel's name.
fn is_word(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte);
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(is_usual)
}

/// Whether a text is a version of NixOS: `26.11`.
fn is_version(text: &str) -> bool {
    let is_number = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(year, month)| is_number(year) && is_number(month))
}

/// Returns the word and the revision of a suffix: `pre1234.abcdef0`, `beta1234.abcdef0`, `.1234.abcdef0`.
fn parts(suffix: &str) -> Option<(&str, &str)> {
    let word = ["pre", "beta", "."].into_iter().find(|word| suffix.starts_with(word))?;
    let (count, revision) = suffix[word.len()..].split_once('.')?;
    let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let is_revision = revision.len() >= 7 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_count && is_revision).then_some((word, revision))
}

/// Fuzzing: whatever the files of a channel say, an address has nothing in it that is more than a release's number.
#[cfg(any(test, fuzzing))]
pub(super) fn look_at(bytes: &[u8]) {
    const HASH: &str = "00000000000000000000000000000000";
    let Ok(place) = tempfile::tempdir() else { return };
    let mut pieces = bytes.split(|byte| *byte == b'\0');
    let mut piece = || pieces.next().unwrap_or_default();
    let (version, suffix) = (piece(), piece());
    let number = [version.trim_ascii(), suffix.trim_ascii()].concat();
    let tree = format!("{HASH}-nixos-{}", String::from_utf8_lossy(&number));
    let directory = place.path().join(&tree).join("nixos");
    if fs::create_dir_all(&directory).is_err() {
        return;
    }
    let _ = fs::write(directory.join(".version"), version);
    let _ = fs::write(directory.join(".version-suffix"), suffix);
    for release in releases(place.path(), [OsStr::new(&tree)], "https://x") {
        for address in release.addresses {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./-:".contains(&byte);
            assert!(address.bytes().all(is_plain) && !address.contains(".."), "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00000000000000000000000000000000";

    /// Makes a store path with these files, and returns where it may be.
    fn addresses(name: &str, channel: &str, files: &[(&str, &str)]) -> Vec<String> {
        let place = tempfile::tempdir().unwrap();
        let tree = format!("{HASH}-{name}");
        let directory = place.path().join(&tree).join(channel);
        fs::create_dir_all(&directory).unwrap();
        for (file, text) in files {
            fs::write(directory.join(file), text).unwrap();
        }
        let found = releases(place.path(), [OsStr::new(&tree)], "https://site/");
        found.into_iter().flat_map(|release| release.addresses).collect()
    }

    #[test]
    fn where_releases_are() {
        for (channel, version, suffix, places) in [
            (
                "nixos",
                "26.11",
                ".1234.abcdef0",
                &[
                    "nixos/26.11/nixos-26.11.1234.abcdef0",
                    "nixos/26.11-small/nixos-26.11.1234.abcdef0",
                ][..],
            ),
            (
                "nixos",
                "27.05\n",
                "pre77.0123456789ab\n",
                &[
                    "nixos/unstable/nixos-27.05pre77.0123456789ab",
                    "nixos/unstable-small/nixos-27.05pre77.0123456789ab",
                    "nixpkgs/nixpkgs-27.05pre77.0123456789ab",
                ],
            ),
            (
                "own-name",
                "26.11",
                "beta5.abcdef0",
                &[
                    "nixos/26.11/nixos-26.11beta5.abcdef0",
                    "nixos/26.11-small/nixos-26.11beta5.abcdef0",
                ],
            ),
        ] {
            let name = format!("{channel}-{}{}", version.trim(), suffix.trim());
            let found = addresses(&name, channel, &[(".version", version), (".version-suffix", suffix)]);
            let expected = places
                .iter()
                .map(|place| format!("https://site/{place}/nixexprs.tar.xz"));
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_release_is_not_looked_for() {
        let usual = [(".version", "26.11"), (".version-suffix", ".1234.abcdef0")];
        let name = "nixos-26.11.1234.abcdef0";
        assert_eq!(addresses(name, "nixos", &usual).len(), 2);
        let same = [&usual[..], &[(".git-revision", "abcdef0123")]].concat();
        assert_eq!(addresses(name, "nixos", &same).len(), 2);
        for (name, files) in [
            // Another revision, or a name that Nix would not have given it.
            (name, [&usual[..], &[(".git-revision", "0123abcdef0")]].concat()),
            ("nixos-26.11", usual.to_vec()),
            ("source", usual.to_vec()),
            // An installation medium's.
            (name, [&usual[..], &[("svn-revision", "1234.abcdef0")]].concat()),
            // A checkout has no suffix.
            ("nixos-26.11", vec![(".version", "26.11")]),
            ("nixos-26.11", vec![(".version", "26.11"), (".version-suffix", "")]),
            // Nothing but numbers gets into an address.
            ("nixos-..", vec![(".version", "."), (".version-suffix", ".")]),
            (
                "nixos-26.11..1.abcdef0",
                vec![(".version", "26.11."), (".version-suffix", ".1.abcdef0")],
            ),
            (
                "nixos-26.11.1.abcdefx",
                vec![(".version", "26.11"), (".version-suffix", ".1.abcdefx")],
            ),
            (
                "nixos-26.11.1.abcdef0",
                vec![(".version", "26.11"), (".version-suffix", ".1.abcdef0/../..")],
            ),
        ] {
            assert_eq!(addresses(name, "nixos", &files), [""; 0], "{name} {files:?}");
        }
        for channel in ["-x", ".x", "a b", "a'b"] {
            let name = format!("{channel}-26.11.1234.abcdef0");
            assert_eq!(addresses(&name, channel, &usual), [""; 0], "{channel}");
        }
    }

    /// Beside the channel there may be nothing, and without a site nothing is looked for.
    #[test]
    fn the_one_directory_of_a_store_path() {
        let place = tempfile::tempdir().unwrap();
        let tree = format!("{HASH}-nixos-26.11.1234.abcdef0");
        let root = place.path().join(&tree);
        fs::create_dir_all(root.join("nixos")).unwrap();
        fs::write(root.join("nixos/.version"), "26.11").unwrap();
        fs::write(root.join("nixos/.version-suffix"), ".1234.abcdef0").unwrap();
        let count = |site| releases(place.path(), [OsStr::new(&tree)], site).len();
        assert_eq!((count("https://x"), count("")), (1, 0));
        fs::write(root.join("other"), "").unwrap();
        assert_eq!(count("https://x"), 0);
    }
}
