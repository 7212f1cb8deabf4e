//! Large directories, from the client's stream to what lies on the other machine: its scripts run with real
//! directories.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::conversation::change;
use super::super::evaluation::Need;
use super::super::sources::{Added, Steps};
use crate::progress::Counter;
use crate::sources::large::large;
use crate::sources::mirror::{Entry, FileKind, Identity, Mirror, Replacement};
use crate::sources::proof::proof;

const SCRIPTS: [&str; 9] = [
    "set -u; rb_releases=''
     umask 077
     export LC_ALL=C
     share='' work='' dead='' rb_socket='' rb_client_stays=yes is_detached='' worker='' rb_most_kept=1500
     own() { \"$@\"; }
     nix_bin=$PWD/nix-bin state=$PWD/cache/client
     trap 'rm -rf \"$share\"' EXIT
     exec 3<stream\n",
    include_str!("../../remote/scripts/events.sh"),
    include_str!("../../remote/scripts/channel.sh"),
    include_str!("../scripts/incoming.sh"),
    include_str!("../scripts/kept.sh"),
    include_str!("../scripts/kept-files.sh"),
    include_str!("../scripts/proof.sh"),
    include_str!("../scripts/mirror.sh"),
    include_str!("../scripts/releases.sh"),
];

const MANY: usize = 1200;

fn file(text: &str) -> Entry {
    Entry::Content {
        executable: false,
        mtime: 7,
        identity: Identity::Made(Replacement::new(text.into())),
    }
}

/// Returns a configuration, and beside it a directory with many names for the same thing.
fn many(each: &Entry) -> Mirror {
    let open = || Entry::Open { mtime: Some(5) };
    let few = [
        ("/", open()),
        ("/c", open()),
        ("/c/x.nix", file("1")),
        ("/c/data", open()),
    ];
    let mut entries: std::collections::BTreeMap<PathBuf, Entry> = few.map(|(path, entry)| (path.into(), entry)).into();
    entries.extend((0..MANY).map(|number| (format!("/c/data/f{number}").into(), each.clone())));
    Mirror { entries }
}

fn with(mirror: &Mirror, path: &str, entry: Entry) -> Mirror {
    let mut mirror = mirror.clone();
    mirror.entries.insert(path.into(), entry);
    mirror
}

fn without(mirror: &Mirror, path: &str) -> Mirror {
    let mut mirror = mirror.clone();
    mirror.entries.retain(|other, _| !other.starts_with(path));
    mirror
}

fn whole(mirror: &Mirror) -> Vec<u8> {
    let (removed, added) = (None, Added::All(mirror.clone().into()));
    bytes(&Steps { removed, added })
}

fn difference(mirror: &Mirror, base: &Mirror) -> Vec<u8> {
    let change = mirror.change_from(base);
    let (removed, added) = (Some(change.removed), Added::Some(change.added));
    bytes(&Steps { removed, added })
}

fn bytes(steps: &Steps) -> Vec<u8> {
    let mut stream = Vec::new();
    change(&mut stream, steps, &Counter::default()).unwrap();
    stream
}

/// Starts a run's shell that needs `mirror` (`$need`) and may have `base`.
fn shell(place: &Path, mirror: &Mirror, base: Option<&Mirror>, script: &str) -> Child {
    let need = Need {
        mirror: mirror.digest(),
        question: String::new(),
        base: base.map(Mirror::digest),
        proof: proof(mirror),
        trees: vec![],
        fixed: vec![],
        large: large(mirror, None),
    };
    Command::new("sh")
        .current_dir(place)
        .env("need", need.words())
        .env("PATH", programs(place))
        .args(["-c", &(SCRIPTS.concat() + "begin; forget_before_boot\n" + script)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns a PATH with the directory `programs` of that place, if it has one.
fn programs(place: &Path) -> std::ffi::OsString {
    let own = Some(place.join("programs")).filter(|programs| programs.exists());
    own.map_or_else(|| std::env::var_os("PATH").unwrap(), Into::into)
}

/// Takes busybox's programs. Returns false if there is no busybox.
fn use_busybox(place: &Path) -> bool {
    let link = "busybox=$(command -v busybox) && mkdir programs &&
        for name in $(busybox --list); do ln -s \"$busybox\" \"programs/${name##*/}\"; done && echo yes";
    out(place, link) == "yes"
}

/// Returns what a run says to which `stream` is sent.
fn said(place: &Path, mirror: &Mirror, base: Option<&Mirror>, stream: &[u8]) -> String {
    fs::write(place.join("stream"), stream).unwrap();
    let output = shell(place, mirror, base, "receive $need; rm -rf \"$work\"")
        .wait_with_output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Runs a command in that place. Returns what it says.
fn out(place: &Path, command: &str) -> String {
    let output = Command::new("sh")
        .current_dir(place)
        .args(["-c", command])
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        .trim()
        .to_owned()
}

const BASE: &str = "@rebuild receiving base\n@rebuild need \n";
const NONE: &str = "@rebuild receiving none\n@rebuild need \n";
const NAMES_KEPT: &str = "find cache/client/mirrors -mindepth 2 | wc -l";

/// `receive` itself compares the sum of what was sent.
#[test]
fn one_that_changes_is_kept_once_and_not_copied() {
    let place = tempfile::tempdir().unwrap();
    let mut base = many(&file("1"));
    assert_eq!(said(place.path(), &base, None, &whole(&base)), NONE);
    let inode = || out(place.path(), "stat -c %i cache/client/mirrors/*/c/data");
    let first = inode();
    for text in ["2", "3", "4"] {
        let new = with(&base, "/c/data/f7", file(text));
        assert_eq!(said(place.path(), &new, Some(&base), &difference(&new, &base)), BASE);
        base = new;
        assert_eq!(out(place.path(), NAMES_KEPT), (MANY + 3).to_string());
        assert_eq!(out(place.path(), "find cache -type f -links +1 | wc -l"), "0");
        assert_eq!(inode(), first);
    }
}

#[test]
fn whatever_becomes_of_its_files_is_what_is_there() {
    let place = tempfile::tempdir().unwrap();
    let mut base = many(&file("1"));
    said(place.path(), &base, None, &whole(&base));
    let link = Entry::Link {
        target: "../x.nix".into(),
        mtime: Some(9),
    };
    let directory = with(&base, "/c/data/f5", Entry::Open { mtime: Some(6) });
    for new in [
        with(&base, "/c/data/new\n'*", file("2")),
        without(&base, "/c/data/f9"),
        with(&base, "/c/data/f5", Entry::Shut(FileKind::File)),
        with(&base, "/c/data/f5", Entry::Shut(FileKind::Directory)),
        with(&base, "/c/data/f5", link),
        with(&directory, "/c/data/f5/in it", file("3")),
        with(&base, "/c/x.nix", file("4")),
        many(&Entry::Shut(FileKind::File)),
        many(&Entry::Shut(FileKind::Directory)),
        many(&file("5")),
        // The directory is not large any more, and then large again.
        without(&base, "/c/data"),
        with(&base, "/c/data", Entry::Shut(FileKind::Directory)),
        many(&file("6")),
    ] {
        assert_eq!(said(place.path(), &new, Some(&base), &difference(&new, &base)), BASE);
        // A change of a name in a directory changes the directory's time, which must be set back.
        let times = out(
            place.path(),
            "stat -c %Y cache/client/mirrors/*/c cache/client/mirrors/*/c/data 2>/dev/null | sort -u",
        );
        assert!(
            times == "5" || !matches!(new.entries.get(Path::new("/c/data")), Some(Entry::Open { .. })),
            "{times}"
        );
        base = new;
    }
}

/// If another run uses the base, the base is copied and stays as it is.
#[test]
fn one_that_another_run_uses_stays() {
    let place = tempfile::tempdir().unwrap();
    let base = many(&file("1"));
    said(place.path(), &base, None, &whole(&base));
    let mut living = shell(
        place.path(),
        &base,
        None,
        "receive $need >said; : >begun; exec tail -f /dev/null",
    );
    while !place.path().join("begun").exists() {
        assert_eq!(living.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let new = with(&base, "/c/data/f7", file("2"));
    assert_eq!(said(place.path(), &new, Some(&base), &difference(&new, &base)), BASE);
    assert_eq!(out(place.path(), NAMES_KEPT), (2 * (MANY + 3)).to_string());
    let prove = "receive $need; rm -rf \"$work\"";
    let have = "@rebuild receiving have\n@rebuild need \n";
    for mirror in [&base, &new] {
        let output = shell(place.path(), mirror, None, prove).wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), have);
    }
    // Another user changes it, and the next run finds it changed. If the other run has it mounted, nothing goes.
    out(
        place.path(),
        &format!("echo theirs >cache/client/mirrors/{}/c/data/f8", base.digest()),
    );
    assert_eq!(
        said(place.path(), &base, None, &whole(&base)),
        format!("@rebuild damaged\n{NONE}")
    );
    let those = format!(
        "find cache/client/mirrors/{}.run.*/c/data -type f | wc -l",
        base.digest()
    );
    assert_eq!(out(place.path(), &those), MANY.to_string());
    living.kill().unwrap();
    living.wait().unwrap();
    // When there are enough newer ones, it goes.
    for number in 0..4 {
        let other = with(&Mirror::default(), &format!("/{number}"), file("1"));
        said(place.path(), &other, None, &whole(&other));
    }
    assert_eq!(out(place.path(), "ls cache/client/mirrors | grep -c run"), "0");
}

/// Wherever the link breaks, what was there before stays.
#[test]
fn a_link_that_breaks_takes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let base = many(&file("1"));
    said(place.path(), &base, None, &whole(&base));
    let new = with(&without(&base, "/c/data/f9"), "/c/data/f7", file("2"));
    let stream = difference(&new, &base);
    for length in [0, 1, 9, 40, 45, 60, stream.len() / 2, stream.len() - 1] {
        let said = said(place.path(), &new, Some(&base), &stream[..length]);
        assert_eq!(said, "@rebuild receiving base\n@rebuild failed link 255\n", "{length}");
        assert_eq!(out(place.path(), NAMES_KEPT), (MANY + 3).to_string(), "{length}");
    }
    assert_eq!(said(place.path(), &new, Some(&base), &stream), BASE);
}

/// A name takes a kilobyte in a tar stream, and must take much less in ours.
#[test]
fn bare_names_take_as_many_bytes_as_they_have() {
    let place = tempfile::tempdir().unwrap();
    let mut names = many(&Entry::Shut(FileKind::File));
    for (name, kind) in [
        ("/c/data/a.nix", FileKind::File),
        ("/c/data/-rf", FileKind::File),
        ("/c/data/two words\nand 'more'", FileKind::Directory),
        ("/c/-p", FileKind::Directory),
        ("/c/socket", FileKind::Other),
    ] {
        names.entries.insert(name.into(), Entry::Shut(kind));
    }
    names.entries.insert("/n/s/x".into(), Entry::Shut(FileKind::Directory));
    let stream = whole(&names);
    let each = stream.len() / MANY;
    assert!(each < 25, "{each}");
    assert_eq!(said(place.path(), &names, None, &stream), NONE);
    let there = "cat cache/client/mirrors/*/c/data/a.nix cache/client/mirrors/*/c/data/f0 | tr -d '\\n'
        stat -c ' %Y' cache/client/mirrors/*/c/data";
    let busy = tempfile::tempdir().unwrap();
    if use_busybox(busy.path()) {
        assert_eq!(said(busy.path(), &names, None, &stream), NONE);
    } else {
        std::io::stderr()
            .write_all(b"busybox is not here: not tried\n")
            .unwrap();
    }
    // Root can read what is shut.
    if nix::unistd::geteuid().is_root() {
        assert_eq!(out(place.path(), there), "{ } 5");
    }
    // A few names go in the tar stream, without more processes.
    let few = with(&Mirror::default(), "/x", Entry::Shut(FileKind::File));
    assert!(whole(&few).starts_with(b"0\n0\n"));
}

/// Nothing is written into what another user has put there, even if it is a link to another file.
#[test]
fn a_neighbours_link_is_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let base = many(&file("1"));
    said(place.path(), &base, None, &whole(&base));
    let names = many(&Entry::Shut(FileKind::File));
    let mut change = names.change_from(&base);
    // Nothing is said to have to go, so what the other user has put there is in the way.
    change.removed.clear();
    let (removed, added) = (Some(change.removed), Added::Some(change.added));
    fs::write(place.path().join("mine"), "mine").unwrap();
    out(
        place.path(),
        &format!("ln -sf $PWD/mine cache/client/mirrors/{}/c/data/f7", base.digest()),
    );
    assert_eq!(
        said(place.path(), &names, Some(&base), &bytes(&Steps { removed, added })),
        BASE
    );
    assert_eq!(fs::read_to_string(place.path().join("mine")).unwrap(), "mine");
}
