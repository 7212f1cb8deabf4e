//! The store paths that a hash names: the inputs of a lock file, and downloads that a configuration pins.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use nix_base32::{from_nix_base32, to_nix_base32};
use sha2::{Digest, Sha256};

use super::mirror::hexadecimal;

/// The offset at which a store path's name begins, after its digest.
const NAME: usize = 33;

/// The shortest useful beginning of a name, in bytes: too many names in a store have a shorter one.
const SHORTEST_START: usize = 2;

/// A SHA-256 as a configuration gives it, without the name of the file that has it.
type Hash = [u8; 32];

/// Returns the store path of an input with this `narHash` (`sha256-BASE64`): Nix only needs it to be there.
pub(super) fn store_path(nar_hash: &str) -> Option<PathBuf> {
    let hash = BASE64.decode(nar_hash.strip_prefix("sha256-")?.as_bytes()).ok()?;
    Some(unpacked(&hash.try_into().ok()?, "source"))
}

/// Returns whether a file is of a kind in which downloads are pinned: a Nix file, a file that niv, npins or Nix itself
/// writes, or one that Nix can read by `fromTOML` and `readFile`.
pub(super) fn may_be_in(file: &Path) -> bool {
    let kind = file.extension().unwrap_or_default();
    ["", "nix", "json", "lock", "sha256", "toml", "txt"]
        .iter()
        .any(|known| kind == *known)
}

/// Returns the store paths that may be a download which this text pins: those that have one of its hashes, and a name
/// that stands in the text or that Nix or niv gives on its own. Such a path can be nothing else, because its name is
/// made from these.
pub(super) fn pinned(text: &str) -> Vec<PathBuf> {
    let hashes = hashes(text);
    if hashes.is_empty() {
        return Vec::new();
    }
    let names = names(text);
    let computed = computed_names(text);
    let is_named = |name: &str| {
        let is_of = |(start, end): &(&str, &str)| name.starts_with(start) && name.ends_with(end);
        names.contains(name) || computed.iter().any(is_of)
    };
    let children = fs::read_dir("/nix/store").into_iter().flatten().flatten();
    let there = children.filter_map(|child| child.file_name().into_string().ok());
    let there: BTreeSet<String> = there
        .filter_map(|child| child.get(NAME..).map(str::to_owned))
        .filter(|name| is_named(name))
        .collect();
    let ways = [unpacked, plain];
    let all = hashes.iter().flat_map(|hash| {
        let paths = there.iter().flat_map(move |name| ways.map(|way| way(hash, name)));
        paths.filter(|path| path.exists())
    });
    all.collect()
}

/// Returns where `fetchTarball` puts it.
fn unpacked(hash: &Hash, name: &str) -> PathBuf {
    path_of(&format!("source:sha256:{}:/nix/store:{name}", hexadecimal(hash)), name)
}

/// Returns where `fetchurl` puts it.
fn plain(hash: &Hash, name: &str) -> PathBuf {
    let inner = Sha256::digest(format!("fixed:out:sha256:{}:", hexadecimal(hash)));
    path_of(
        &format!("output:out:sha256:{}:/nix/store:{name}", hexadecimal(&inner)),
        name,
    )
}

fn path_of(description: &str, name: &str) -> PathBuf {
    let digest = Sha256::digest(description);
    let mut folded = [0_u8; 20];
    for (at, byte) in digest.iter().enumerate() {
        folded[at % 20] ^= byte;
    }
    Path::new("/nix/store").join(format!("{}-{name}", to_nix_base32(&folded)))
}

/// Returns every word that can be a SHA-256, as Nix writes one: in hexadecimal, in its own base 32, in base 64.
fn hashes(text: &str) -> BTreeSet<Hash> {
    let is_of_a_hash = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let words = text.split(|c| !is_of_a_hash(c));
    let read = words.filter_map(|word| match word.len() {
        44 => BASE64.decode(word.as_bytes()).ok(),
        52 => from_nix_base32(word),
        64 => HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok(),
        _ => None,
    });
    read.filter_map(|bytes| bytes.try_into().ok()).collect()
}

/// Returns the names that such a download may have: one that stands in the text, the end of its address, or the name
/// that niv makes from the text.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["source".to_owned()]);
    for word in text.split(|c: char| c == '"' || c.is_whitespace()) {
        let last = word.trim_end_matches([';', ',']).rsplit('/').next().unwrap_or(word);
        if last.len() <= 200 {
            found.insert(last.to_owned());
            found.insert(format!("{last}-src"));
        }
    }
    found
}

/// Returns the beginnings and ends of such a download's name where the text puts it together (`"nixos-${version}"`).
fn computed_names(text: &str) -> BTreeSet<(&str, &str)> {
    let words = text.split(|c: char| c == '"' || c.is_whitespace());
    let computed = words.filter_map(|word| {
        let (start, _) = word.split_once("${")?;
        let (_, end) = word.rsplit_once('}')?;
        let is_of_a_name = |part: &str| !part.contains(['/', '$', '{']);
        (start.len() >= SHORTEST_START && is_of_a_name(start) && is_of_a_name(end)).then_some((start, end))
    });
    computed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results are those of `nix-store --print-fixed-path --recursive sha256 HASH source`.
    #[test]
    fn as_nix_says() {
        assert_eq!(
            store_path("sha256-knb9U7Sdy/YWj4gjrvFIevLuTiMEt+5kEtunmYK5CoY="),
            Some("/nix/store/4a533n824y0ifl2f7nas9gpqm67qzfba-source".into())
        );
        for text in ["", "sha256-", "sha256-AAAA", "sha512-AAAA", "sha256-\u{e9}"] {
            assert_eq!(store_path(text), None, "{text}");
        }
    }

    /// The results are those of the same command without `--recursive`.
    #[test]
    fn files_as_nix_says() {
        let hash = hashes("sha256-knb9U7Sdy/YWj4gjrvFIevLuTiMEt+5kEtunmYK5CoY=");
        let path = plain(hash.first().unwrap(), "a.txt");
        assert_eq!(path, Path::new("/nix/store/lqwk6ar0m720kkzngqmhg183dd4v36x4-a.txt"));
    }

    #[test]
    fn hashes_as_they_are_written() {
        let one = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let expected = hashes(one);
        assert_eq!(expected.len(), 1);
        for text in [
            "{ sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"; }",
            "\"sha256\": \"0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73\",",
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73",
            "hash='sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
        ] {
            assert_eq!(hashes(text), expected, "{text}");
        }
        for text in ["", "sha256", "\u{e9}", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
            assert!(hashes(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn names_that_are_put_together() {
        for (text, expected) in [
            ("name = \"nixos-${version}\";", Some(("nixos-", ""))),
            ("name = \"n-${v}-${w}.tar.gz\";", Some(("n-", ".tar.gz"))),
            ("url = \"https://x/${v}.tar.gz\";", None),
            ("name = \"${v}-src\";", None),
            ("name = \"n-}${\";", None),
            ("\u{e9}\u{e9}${", None),
        ] {
            let found = computed_names(text);
            assert_eq!(found.first().copied(), expected, "{text}");
        }
    }

    #[test]
    fn pins_are_in_whatever_nix_reads() {
        for file in [
            "a.nix",
            "flake.lock",
            "sources.json",
            "pins.toml",
            "hash",
            "rev.txt",
            "x.sha256",
        ] {
            assert!(may_be_in(Path::new(file)), "{file}");
        }
        for file in ["a.png", "b.c", "c.patch"] {
            assert!(!may_be_in(Path::new(file)), "{file}");
        }
    }

    #[test]
    fn names_as_they_are_given() {
        let found = names(
            r#"{ "home-manager": { "url": "https://x.invalid/a/b.tar.gz" } } name = "given"; url = https://y/z.txt;"#,
        );
        for name in ["source", "home-manager-src", "b.tar.gz", "given", "z.txt"] {
            assert!(found.contains(name), "{name}");
        }
    }
}
