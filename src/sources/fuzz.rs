//! Files of git and of Nix, and the records of `rebuild` itself, for `crate::fuzz`.

use std::fs;
use std::path::Path;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use super::collect::Collection;
use super::flakes::lock_file::{LockFile, Renewed};
use super::flakes::{look_at_lock, look_at_reference};
use super::git;
use super::mirror::{Entry, Mirror};
use super::pins;
use super::record;
use super::releases;
use crate::fuzz::{FuzzTarget, text};
use crate::own_nix::search_path::SearchPath;
use crate::store_path::StorePath;

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
        name: "which release a channel is",
        files: &["sources/releases.rs"],
        examples: &[b"26.11\0.1234.abcdef0", b"27.05\n\0pre7.0123456789ab\n", b"..\0beta1.abcdef0/../x"],
        read: releases::look_at,
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
        name: "lock files that follow on another",
        files: &["sources/flakes/lock_file.rs", "sources/flakes/written.rs"],
        examples: &[LOCK, LOCK_MORE],
        read: |bytes| {
            let Ok(former) = LockFile::parse(LOCK) else { unreachable!("the former lock file is one") };
            let Ok(lock) = LockFile::parse(bytes) else { return };
            if lock.follows_on(Some(&former), FLAKE, &Renewed::These(BTreeSet::new())).is_ok() {
                let (before, now) = (locked_inputs(LOCK), locked_inputs(lock.text().as_bytes()));
                for (way, input) in before {
                    assert_eq!(now.get(&way), Some(&input), "{way}: {}", lock.text());
                }
            }
        },
    },
    FuzzTarget {
        name: "references of flakes",
        files: &["vocabulary/flake_reference.rs", "sources/flakes/meant.rs"],
        examples: &[
            b"github:NixOS/nixpkgs/nixos-26.05?dir=x%2Fy&host=h",
            b"git+https://me@h:1/x.git?ref=y&rev=0123456789012345678901234567890123456789",
            b"flake:nixpkgs/x/0123456789012345678901234567890123456789",
            b"path:../x?dir=..#pi",
            b"./x%20y",
        ],
        read: |bytes| look_at_reference(&text(bytes)),
    },
    FuzzTarget {
        name: "what a builder asks for",
        files: &["sources/collect.rs", "sources/collect/lookups.rs", "sources/collect/places.rs", "sources/guard.rs"],
        examples: &[
            b"ROOT/root/secret\nROOT/etc/nixos/../../root/secret\nROOT/open/link\n<mine/../root/secret>",
            b"<mine/module.nix>\n<mine//etc/shadow>\n<nixpkgs>\nROOT/open/planted.nix\nROOT/root/private.nix",
            b"ROOT/open/way/secret\nROOT/root\n<open/way/secret>\n<open/link>\n/etc/shadow\n/proc/self/environ",
            b"ROOT/etc/nixos\nROOT/repository/.git/config\nROOT/repository/x\n/nix/store/00000000000000000000000000000000-x",
        ],
        read: |bytes| asks(&text(bytes)),
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

const FLAKE: &str = r#"{ inputs.a.url = "github:o/a"; inputs.b.url = "git+https://h/b"; inputs.f.follows = "b";
    outputs = { self, a, b, f, registered }: { }; }"#;

const LOCK: &[u8] = br#"{"nodes":{"a":{"inputs":{"deep":"deep","b":["b"]},"locked":{"type":"github","owner":"o","repo":"a","rev":"1","narHash":"h"},"original":{"type":"github","owner":"o","repo":"a"}},"deep":{"locked":{"type":"tarball","url":"https://h/1","narHash":"i"},"original":{"type":"tarball","url":"https://h/x"}},"b":{"locked":{"type":"git","url":"https://h/b","rev":"3","narHash":"j"},"original":{"type":"git","url":"https://h/b"}},"registered":{"flake":false,"locked":{"type":"github","owner":"x","repo":"r","rev":"4","narHash":"k"},"original":{"type":"indirect","id":"registered"}},"root":{"inputs":{"a":"a","b":"b","f":["b"],"registered":"registered"}}},"root":"root","version":7}"#;

const LOCK_MORE: &[u8] = br#"{"nodes":{"a":{"inputs":{"deep":"deep_2","b":"own"},"locked":{"type":"github","owner":"o","repo":"a","rev":"1","narHash":"h","dir":"x","lastModified":9},"original":{"type":"github","owner":"o","repo":"a","ref":"y"}},"deep_2":{"inputs":{"x":"own"},"locked":{"type":"tarball","url":"https://h/1","narHash":"i"},"original":{"type":"tarball","url":"https://h/x"}},"own":{"locked":{"type":"path","path":"/x"},"original":{"type":"path","path":"/x"}},"root":{"inputs":{"a":"a","b":["a","b"],"f":["a","deep"]}}},"root":"root","version":7}"#;

/// Returns what each input is locked to that is an input of its own, by the way to it. Written without the code that is
/// tested.
fn locked_inputs(bytes: &[u8]) -> BTreeMap<String, Vec<Value>> {
    let lock: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let mut found = BTreeMap::new();
    let mut waiting = vec![(String::new(), &lock["root"], 0)];
    while let Some((way, name, depth)) = waiting.pop() {
        let node = &lock["nodes"][name.as_str().unwrap_or_default()];
        if depth > 0 {
            let locked = ["type", "owner", "repo", "url", "rev", "narHash", "dir", "host"]
                .map(|key| node["locked"][key].clone());
            found.insert(
                way.clone(),
                [&locked[..], &[node["original"].clone(), node["flake"].clone()]].concat(),
            );
        }
        let inputs = node["inputs"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, input)| input.is_string());
        // The former lock file is no deeper.
        waiting.extend(
            inputs
                .filter(|_| depth < 3)
                .map(|(name, input)| (format!("{way}/{name}"), input, depth + 1)),
        );
    }
    found
}

/// Makes a configuration with secrets beside it.
fn configuration(root: &Path) -> std::io::Result<()> {
    for (file, text, mode) in [
        (
            "etc/nixos/configuration.nix",
            "{ imports = [ <mine/module.nix> ../../repository/x.nix ]; }",
            0o644,
        ),
        ("mine/module.nix", "{ }", 0o644),
        ("open/other", "1", 0o644),
        (
            "open/planted.nix",
            "[ ../root/secret ../root/private.nix <mine/../root/secret> ]",
            0o644,
        ),
        ("repository/x.nix", "{ }", 0o644),
        (
            "repository/.git/config",
            "[url \"https://token@h/\"]\n\tinsteadOf = h:\n",
            0o600,
        ),
        ("root/secret", "2", 0o600),
        ("root/private.nix", "{ }", 0o600),
        ("home/.ssh/id_ed25519", "3", 0o600),
    ] {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap_or(root))?;
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    }
    symlink("../root/secret", root.join("open/link"))?;
    symlink("../root", root.join("open/way"))?;
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))
}

/// Asks for paths and for names in the search path, as another machine may: it gets the content of no file that not
/// every user may read, unless the configuration names it.
fn asks(text: &str) {
    let Ok(place) = tempfile::Builder::new().prefix("asks").tempdir_in("/var/tmp") else {
        return;
    };
    let root = place.path();
    if configuration(root).is_err() {
        return;
    }
    let shown = root.display().to_string();
    let search = SearchPath::of_variable(&format!("mine={shown}/mine:open={shown}/open"), root);
    let mut found = Collection::new(search, root.join("home"));
    found.add_entry(&root.join("etc/nixos/configuration.nix"));
    for line in text.replace("ROOT", &shown).lines().take(20) {
        if let Some(name) = line.strip_prefix('<').and_then(|line| line.strip_suffix('>')) {
            found.add_asked_lookup(name);
        } else if let Ok(path) = StorePath::parse(line) {
            assert!(!found.may_ask_for(&path, &[]), "{line}");
        } else if line.starts_with('/') {
            found.add_asked(Path::new(line));
            found.add_missed(Path::new(line));
        }
    }
    for (path, entry) in &found.mirror().entries {
        if matches!(entry, Entry::Content { .. }) && !path.starts_with(root.join("etc/nixos")) {
            let mode = fs::symlink_metadata(path).map_or(0, |data| data.permissions().mode());
            assert!(mode & 0o004 != 0, "{} is sent after {text:?}", path.display());
        }
    }
}
