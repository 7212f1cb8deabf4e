//! The check that the mirror on a builder is the one that is meant: the builder makes a sum of the files that it has
//! (`builder/scripts/proof.sh`), and the client makes one of the files that it has collected.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::mirror::{Entry, FileKind, Identity, Mirror, hexadecimal};

/// A mirror with more paths than this is not checked again: a whole package collection has 90,000.
const MOST: usize = 20_000;

/// Returns the sum of a mirror, as 64 hexadecimal digits: over names, kinds, links, and the contents that are known by
/// their digest. Returns "none" if the mirror is too large to be checked.
#[must_use]
pub fn proof(mirror: &Mirror) -> String {
    if mirror.entries.len() > MOST {
        return "none".to_owned();
    }
    let mut sum = Sha256::new();
    for name in names(mirror) {
        sum.update(name);
        sum.update([0]);
    }
    sum.update([0]);
    for (_, target) in sorted(mirror, target) {
        sum.update(target);
        sum.update([0]);
    }
    sum.update([0]);
    for (_, digest) in sorted(mirror, digest) {
        sum.update(digest);
        sum.update(b"\n");
    }
    hexadecimal(&sum.finalize())
}

/// Returns all names, each after a letter for its kind, in the order of their bytes.
fn names(mirror: &Mirror) -> BTreeSet<Vec<u8>> {
    let unsaid = mirror.unsaid_parents().into_iter().map(|path| (b'd', path));
    let said = mirror
        .entries
        .iter()
        .map(|(path, entry)| (letter(entry), path.as_path()));
    let inside = said.chain(unsaid).filter(|(_, path)| *path != Path::new("/"));
    inside
        .map(|(letter, path)| [&[letter], name(path).as_slice()].concat())
        .collect()
}

/// Returns what `part` says of the entries, in the order of the bytes of their names. The order of paths is another
/// one: in it, `/` comes before everything.
fn sorted<T: Ord>(mirror: &Mirror, part: impl Fn(&Entry) -> Option<T>) -> BTreeMap<Vec<u8>, T> {
    let entries = mirror.entries.iter();
    entries
        .filter_map(|(path, entry)| Some((name(path), part(entry)?)))
        .collect()
}

/// Returns the name that `find` gives to a path.
fn name(path: &Path) -> Vec<u8> {
    [b".".as_slice(), path.as_os_str().as_bytes()].concat()
}

fn letter(entry: &Entry) -> u8 {
    match entry {
        Entry::Open { .. } => b'd',
        Entry::Shut(FileKind::Directory) => b'D',
        Entry::Shut(FileKind::File) => b'S',
        Entry::Shut(FileKind::Other) => b'o',
        Entry::Content { executable: true, .. } => b'x',
        Entry::Content { .. } => b'f',
        Entry::Link { .. } => b'l',
    }
}

fn target(entry: &Entry) -> Option<Vec<u8>> {
    match entry {
        Entry::Link { target, .. } => Some(target.as_os_str().as_bytes().to_vec()),
        _ => None,
    }
}

fn digest(entry: &Entry) -> Option<String> {
    match entry {
        Entry::Content {
            identity: Identity::Digest(digest),
            ..
        } => Some(hexadecimal(digest)),
        Entry::Content {
            identity: Identity::Made(made),
            ..
        } => Some(hexadecimal(made.digest())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Counter;
    use crate::sources::archive::write_entries;
    use crate::sources::mirror::{Replacement, each};
    use std::ffi::{OsStr, OsString};
    use std::fs;
    use std::io::Write;
    use std::process::Command;

    const SCRIPT: &str = include_str!("../builder/scripts/proof.sh");

    /// Makes small files of every kind and with odd names, a large file, and links.
    fn files(place: &Path) -> Mirror {
        let mut entries = vec![
            ("/".into(), Entry::Open { mtime: None }),
            ("/c".into(), Entry::Open { mtime: Some(3) }),
            ("/c d".into(), Entry::Shut(FileKind::Directory)),
            ("/n/s/x".into(), Entry::Shut(FileKind::Directory)),
            ("/c/secret.nix".into(), Entry::Shut(FileKind::File)),
            ("/c/socket".into(), Entry::Shut(FileKind::Other)),
        ];
        for (name, target) in [("/c/link", "a b"), ("/c/-n", "-n"), ("/c/l\n", "/x\ny"), ("/c-", "\\")] {
            let (target, mtime) = (target.into(), None);
            entries.push((name.into(), Entry::Link { target, mtime }));
        }
        let names = [
            "a.nix",
            "-rf",
            "two words",
            "line\nbreak",
            "back\\slash",
            "ünïcode",
            "program",
        ];
        let big = vec![b'x'; 2 << 20];
        for (name, content) in names
            .iter()
            .map(|name| (*name, name.as_bytes()))
            .chain([("large", big.as_slice())])
        {
            let path = place.join(name);
            fs::write(&path, content).unwrap();
            let data = fs::metadata(&path).unwrap();
            let entry = Entry::Content {
                executable: name == "program",
                mtime: 7,
                identity: Identity::of_file(&path, &data).unwrap(),
            };
            entries.push((path, entry));
        }
        let made = Identity::Made(Replacement::new(b"other bytes".to_vec()));
        fs::write(place.join("index"), "its own").unwrap();
        entries.push((
            place.join("index"),
            Entry::Content {
                executable: false,
                mtime: 7,
                identity: made,
            },
        ));
        for parent in place.ancestors() {
            entries.push((parent.to_path_buf(), Entry::Open { mtime: None }));
        }
        Mirror {
            entries: entries.into_iter().collect(),
        }
    }

    /// Returns the sum that the other side makes, in a real shell, with the programs of these directories.
    fn theirs(directory: &Path, programs: &OsStr) -> String {
        let text = format!("{SCRIPT}\ncd \"$1\" && eval \"$prove\"");
        let mut shell = Command::new("sh");
        let shell = shell.env("PATH", programs).args(["-euc", &text, "sh"]).arg(directory);
        let output = shell.output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn own_programs() -> OsString {
        std::env::var_os("PATH").unwrap()
    }

    /// Returns a directory with nothing but busybox in it.
    fn busybox() -> Option<tempfile::TempDir> {
        let busybox = which::which("busybox").ok()?;
        let place = tempfile::tempdir().unwrap();
        for name in [
            "sh",
            "find",
            "printf",
            "sort",
            "readlink",
            "xargs",
            "sha256sum",
            "sed",
            "cut",
        ] {
            std::os::unix::fs::symlink(&busybox, place.path().join(name)).unwrap();
        }
        Some(place)
    }

    /// Unpacks what is sent of `mirror`.
    fn unpacked(mirror: &Mirror) -> tempfile::TempDir {
        let target = tempfile::tempdir().unwrap();
        let stream = target.path().with_extension("tar");
        let entries: Vec<_> = mirror.entries.clone().into_iter().collect();
        write_entries(each(&entries), fs::File::create(&stream).unwrap(), &Counter::default()).unwrap();
        let mut tar = Command::new("tar");
        let tar = tar.arg("-xf").arg(&stream).arg("-C").arg(target.path());
        assert!(tar.status().unwrap().success());
        fs::remove_file(stream).unwrap();
        target
    }

    #[test]
    fn both_sides_make_the_same_sum_of_all_kinds_of_files() {
        let place = tempfile::tempdir().unwrap();
        let mirror = files(place.path());
        let empty = Mirror::default();
        let busybox = busybox();
        if busybox.is_none() {
            let said = writeln!(std::io::stderr(), "busybox is not here: not tried");
            said.unwrap();
        }
        for programs in [Some(own_programs()), busybox.as_ref().map(|place| place.path().into())] {
            let Some(programs) = programs else { continue };
            for mirror in [&mirror, &empty] {
                assert_eq!(theirs(unpacked(mirror).path(), &programs), proof(mirror));
            }
        }
    }

    /// Another user's changes, one by one, each give another sum.
    #[test]
    fn whatever_is_changed_there_is_another_sum() {
        let place = tempfile::tempdir().unwrap();
        let mirror = files(place.path());
        let inside = place.path().strip_prefix("/").unwrap().display().to_string();
        for change in [
            format!("echo '{{ }}' >{inside}/a.nix"),
            format!("chmod +x {inside}/a.nix"),
            format!("chmod 500 {inside}/a.nix"),
            format!("rm {inside}/a.nix"),
            format!("rm {inside}/a.nix; ln -s ./-rf {inside}/a.nix"),
            format!("mv {inside}/a.nix {inside}/b.nix"),
            format!("cp {inside}/a.nix {inside}/default.nix"),
            format!("rm {inside}/program; mkdir {inside}/program"),
            "ln -sfn 'a  b' c/link".to_owned(),
            "rm 'c d' -r; mkdir 'c d'".to_owned(),
            "rm c/secret.nix -f; echo 1 >c/secret.nix; chmod 600 c/secret.nix".to_owned(),
            "echo >c/new".to_owned(),
        ] {
            let there = unpacked(&mirror);
            let status = Command::new("sh")
                .current_dir(there.path())
                .args(["-euc", &change])
                .status();
            assert!(status.unwrap().success(), "{change}");
            assert_ne!(theirs(there.path(), &own_programs()), proof(&mirror), "{change}");
        }
    }

    #[test]
    fn a_whole_package_collection_is_not_looked_at_again() {
        let entries = (0..=MOST).map(|number| (format!("/{number}").into(), Entry::Open { mtime: None }));
        let entries = entries.collect();
        assert_eq!(proof(&Mirror { entries }), "none");
    }
}
