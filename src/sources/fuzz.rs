//! Files of git and of Nix, and the records of `rebuild` itself, for `crate::fuzz`.

use std::fs;
use std::path::Path;

use super::flakes::lock_file::LockFile;
use super::flakes::look_at_lock;
use super::git;
use super::mirror::Mirror;
use super::pins;
use super::record;
use crate::fuzz::FuzzTarget;

const INDEX: &[u8] = b"DIRC\0\0\0\x02\0\0\0\x01\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x81\xa4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \0\x05a.nix\0\0\0\0\0TREE\0\0\0\x02xx\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const INDEX_4: &[u8] = b"DIRC\0\0\0\x04\0\0\0\x01\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x81\xa4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \0\x05\0a.nix\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const MIRROR: &[u8] = b"o /\0o-3 /a b\0s d /c\0sf /d\0so /e\0l5 /l\0target\0\
    x7:=1,2,3.000000004,5.6 /x\0f7:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 /f\0";

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "git's index",
        files: &["sources/git.rs", "sources/git/index.rs"],
        examples: &[INDEX, INDEX_4],
        read: |bytes| {
            let Ok(place) = tempfile::tempdir() else { return };
            let file = place.path().join("index");
            if fs::write(&file, bytes).is_ok() {
                let found = git::tracked(&file).unwrap_or_default();
                let inside = |part: std::path::Component| matches!(part, std::path::Component::Normal(_));
                for path in found.files.iter().chain(&found.modules) {
                    assert!(path.components().all(inside), "{found:?}");
                }
                assert!(found.files.len() <= bytes.len());
                marks_change_no_name(&file, bytes, &found);
            }
        },
    },
    FuzzTarget {
        name: "git's settings",
        files: &["sources/git/config.rs", "sources/git/settings.rs"],
        examples: &[
            b"[user]\n\tname = me\n[url \"https://token@forge/\"]\n\tinsteadOf = f:\n",
            b"[http \"https://forge\"] extraHeader = \"Authorization: x\" ; why\n[core]\n\tautocrlf\n",
            b"[include]\n\tpath = ~/x\\\n y\n[a.b]c=\"d\\\"\"\n",
        ],
        read: |bytes| {
            if let Some(rest) = git::config::without_secrets(bytes, |_, _| false) {
                assert!(rest.len() <= bytes.len());
                assert_eq!(git::config::without_secrets(&rest, |_, _| false), Some(rest));
            }
        },
    },
    FuzzTarget {
        name: "lock files that come back",
        files: &["sources/flakes/lock_file.rs"],
        examples: &[
            br#"{"nodes":{"a":{"locked":{"type":"path","path":"/x"},"original":{"type":"path","path":"/x"}},"root":{"inputs":{"a":"a"}}},"root":"root","version":7}"#,
            br#"{"nodes":{"root":{"inputs":{"b":["a","c"]}}},"root":"root","version":7}"#,
        ],
        read: |bytes| {
            if let Ok(lock) = LockFile::parse(bytes) {
                let text = lock.text();
                assert_eq!(LockFile::parse(text.as_bytes()).map(|lock| lock.text()), Ok(text));
            }
        },
    },
    FuzzTarget {
        name: "git's pointers",
        files: &["sources/git.rs"],
        examples: &[b"gitdir: ../x\n", b"../..\n", b"/nonexistent/objects\n"],
        read: |bytes| {
            let Ok(place) = tempfile::tempdir() else { return };
            let git = place.path().join(".git");
            let written = fs::create_dir_all(git.join("objects/info"))
                .and_then(|()| fs::write(git.join("commondir"), bytes))
                .and_then(|()| fs::write(git.join("objects/info/alternates"), bytes))
                .and_then(|()| fs::write(place.path().join("file"), bytes));
            if written.is_ok() {
                assert!(git::directories(&git).len() <= bytes.len() + 2);
                git::directories(&place.path().join("file"));
            }
        },
    },
    FuzzTarget {
        name: "mirrors",
        files: &["sources/mirror.rs"],
        examples: &[MIRROR],
        read: |bytes| {
            if let Some(mirror) = Mirror::from_bytes(bytes) {
                assert_eq!(Mirror::from_bytes(&mirror.to_bytes()), Some(mirror));
            }
        },
    },
    FuzzTarget {
        name: "records",
        files: &["sources/record.rs"],
        examples: &[b"4\no /\0/a\0/b\0", b"18446744073709551615\n", b"0\n"],
        read: |bytes| record::look_at(bytes),
    },
    FuzzTarget {
        name: "flake.lock and registries",
        files: &["sources/flakes.rs"],
        examples: &[
            br#"{"nodes":{"a":{"locked":{"type":"path","path":"/x","narHash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},"original":{"type":"git","url":"file:///y"}}}}"#,
            br#"{"flakes":[{"from":{"type":"indirect","id":"x"},"to":{"type":"indirect","id":"x"}}],"version":2}"#,
            br#"{"nodes":{"a":{"original":{"type":"indirect","id":"x"},"locked":{"type":"github","owner":"a","repo":"b"}}}}"#,
        ],
        read: |bytes| look_at_lock(bytes),
    },
    FuzzTarget {
        name: "pinned downloads",
        files: &["sources/pins.rs"],
        examples: &[
            b"{ url = \"https://x/y.tar.gz\"; sha256 = \"0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73\"; }",
            br#"{"a":{"hash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}"#,
        ],
        read: |bytes| {
            for path in pins::pinned(&String::from_utf8_lossy(bytes)) {
                assert_eq!(path.parent(), Some(Path::new("/nix/store")));
            }
        },
    },
];

/// Checks that an index in which unchanged files are marked lists the same files.
fn marks_change_no_name(file: &Path, bytes: &[u8], found: &git::Tracked) {
    let Ok(data) = fs::metadata(file) else { return };
    let marked = git::index::with_unchanged_marked(bytes, git::index::Rules::of(&data), |_| fs::metadata(file).ok());
    if let Some(marked) = marked {
        assert_eq!(git::index::tracked(&marked).as_ref(), Some(found));
    }
}
