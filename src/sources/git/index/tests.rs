use super::*;

/// Returns an index of version 2.
pub(in crate::sources) fn index(entries: &[(&str, u32)]) -> Vec<u8> {
    let mut bytes = [b"DIRC".as_slice(), &2_u32.to_be_bytes()].concat();
    bytes.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
    for (name, mode) in entries {
        let start = bytes.len();
        bytes.extend([0; 62]);
        bytes[start + 24..start + 28].copy_from_slice(&mode.to_be_bytes());
        bytes.extend(name.as_bytes());
        let length = (bytes.len() - start + 8) / 8 * 8;
        bytes.resize(start + length, 0);
    }
    bytes.extend([0; 20]);
    bytes
}

/// Returns an index as git 2.47 makes it with `git update-index --index-version 4`: with an intent to add, a submodule
/// and an extension.
fn index_of_version_4() -> Vec<u8> {
    let entry = |flags: [u8; 2], more: &[u8], strip: &[u8], name: &str| {
        let mut bytes = [0; 62];
        bytes[24..28].copy_from_slice(&0o100_644_u32.to_be_bytes());
        bytes[60..].copy_from_slice(&flags);
        [&bytes, more, strip, name.as_bytes(), b"\0"].concat()
    };
    [
        b"DIRC\0\0\0\x04\0\0\0\x03".to_vec(),
        entry([0, 7], &[], &[0], "a/first"),
        entry([0x40, 8], &[0x20, 0], &[5], "second"),
        // 140 is more than one byte can tell to strip.
        entry([0, 1], &[], &[8], "z"),
        b"TREE\0\0\0\x02xy".to_vec(),
        vec![0; 20],
    ]
    .concat()
}

#[test]
fn what_an_index_lists() {
    let link = 0o120_000;
    let bytes = index(&[
        ("a", 0o100_644),
        ("b\n\"c/d e", 0o100_755),
        ("l", link),
        ("module", 0o160_000),
        ("u", 0o100_644),
        ("u", 0o100_644),
        ("../out", 0o100_644),
    ]);
    let found = tracked(&bytes).unwrap();
    assert_eq!(found.files, ["a", "b\n\"c/d e", "l", "u"].map(PathBuf::from));
    assert_eq!(found.modules, [PathBuf::from("module")]);
    for length in 0..bytes.len() {
        assert_eq!(tracked(&bytes[..length]), None, "{length}");
    }
    let found = tracked(&index_of_version_4()).unwrap();
    assert_eq!(found.files, ["a/first", "a/second", "z"].map(PathBuf::from));
}

#[test]
fn kinds_of_index_that_are_not_known() {
    let bytes = index(&[]);
    let (entries, checksum) = bytes.split_at(bytes.len() - 20);
    let with = |signature: &[u8]| [entries, signature, &[0, 0, 0, 1, b'x'], checksum].concat();
    assert_eq!(tracked(&with(b"EOIE")), Some(Tracked::default()));
    assert_eq!(tracked(&with(b"link")), None);
    assert_eq!(
        tracked(&[b"DIRC\0\0\0\x05\0\0\0\0".as_slice(), checksum].concat()),
        None
    );
}

#[test]
fn the_width_of_an_offset() {
    for (bytes, expected) in [
        (&[5_u8] as &[u8], Some(5)),
        (&[0x80, 0], Some(128)),
        (&[0x81, 1], Some(257)),
        (&[0x80], None),
    ] {
        let mut rest = bytes;
        assert_eq!(offset(&mut rest), expected);
    }
}

/// Makes a repository with files called `names`, all committed long after they were written. Returns a function that
/// runs git in it.
fn repository(root: &Path, names: &[&str]) -> impl Fn(&[&str]) -> String {
    let root = root.to_owned();
    let git = move |words: &[&str]| {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@lab"];
        let done = std::process::Command::new("git")
            .arg("-C")
            .arg(&root)
            .args(identity)
            .args(words)
            .output()
            .unwrap();
        assert!(done.status.success(), "{words:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    git(&["init", "-q"]);
    for name in names {
        write(&git_root(&git), name, name);
    }
    git(&["add", "-A"]);
    git(&["commit", "-qm", "all"]);
    git
}

fn git_root(git: &impl Fn(&[&str]) -> String) -> PathBuf {
    git(&["rev-parse", "--show-toplevel"]).trim().into()
}

/// Writes a file as if it were old.
fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 5);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(old)
        .unwrap();
}

/// Returns the files that git itself takes for marked in the index that is made from the index of `root`; git checks
/// its digest as well.
fn marked(root: &Path, git: &impl Fn(&[&str]) -> String, change: impl Fn(&mut Rules)) -> Vec<String> {
    let index = root.join(".git/index");
    let before = std::fs::read(&index).unwrap();
    let mut rules = Rules::of(&std::fs::metadata(&index).unwrap());
    change(&mut rules);
    let metadata = |name: &Path| std::fs::symlink_metadata(root.join(name)).ok();
    std::fs::write(&index, with_unchanged_marked(&before, rules, metadata).unwrap()).unwrap();
    git(&["fsck", "--no-progress"]);
    let listed = git(&["ls-files", "-v"]);
    std::fs::write(&index, before).unwrap();
    listed
        .lines()
        .filter_map(|line| line.strip_prefix("S "))
        .map(str::to_owned)
        .collect()
}

/// This holds in all versions of an index, with everything that git notes of single files.
#[test]
fn what_is_unchanged_by_what_the_file_system_says_is_marked() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let git = repository(
        root,
        &[
            "a",
            "changed",
            "deep/b",
            "flake.lock",
            "gone",
            "mode",
            "sub/flake.lock",
            "touched",
        ],
    );
    std::os::unix::fs::symlink("a", root.join("link")).unwrap();
    git(&["add", "link"]);
    write(root, "intended", "x");
    git(&["add", "-N", "intended"]);
    std::fs::write(root.join("changed"), "CHANGED").unwrap();
    std::fs::remove_file(root.join("gone")).unwrap();
    std::fs::write(root.join("touched"), "touched").unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(root.join("mode"), mode).unwrap();
    for version in ["2", "3", "4"] {
        git(&["update-index", "--index-version", version]);
        let kept = marked(root, &git, |_| {});
        // A link is as new as the index may be.
        let kept: Vec<_> = kept.iter().filter(|name| *name != "link").collect();
        assert_eq!(kept, ["a", "deep/b"], "version {version}");
    }
    let without = |rules: &mut Rules| (rules.modes_count, rules.change_times_count) = (false, false);
    assert!(marked(root, &git, without).contains(&"mode".to_owned()));
    // If the index was made before the files, nobody can say which came first.
    let early = |rules: &mut Rules| rules.made = (1_700_000_000, 5);
    assert_eq!(marked(root, &git, early), Vec::<String>::new());
    let late = |rules: &mut Rules| rules.made = (1_700_000_000, 6);
    assert_eq!(marked(root, &git, late), ["a", "deep/b"]);
}

#[test]
fn an_index_without_a_digest_stays_without() {
    let bytes = index(&[("a", 0o100_644)]);
    let rules = Rules {
        made: (9, 0),
        change_times_count: false,
        modes_count: false,
    };
    let made = with_unchanged_marked(&bytes, rules, |_| None).unwrap();
    assert_eq!(made[8..], bytes[8..]);
    assert_eq!(with_unchanged_marked(&bytes[1..], rules, |_| None), None);
}
