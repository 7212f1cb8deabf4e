//! What another machine's word makes this one read: whatever words it uses, only what the configuration names or every
//! user may read.

use super::*;
use crate::store_path::StorePath;
use nix::sys::stat::Mode;

/// Makes the user's secret beside a configuration that names two things.
fn stage() -> (TempDir, Collection) {
    let root = tree(&[
        "etc/nixos/configuration.nix: { imports = [ <mine/module.nix> ]; }",
        "mine/module.nix: { }",
        "mine/open.txt: 1",
        "mine/private.txt: 2",
        "search/open/link.txt -> ../../root/secret",
        "search/open/way -> ../../root",
        "root/secret: 3",
        "root/open/other: 4",
        "search/extra/open.nix: { }",
        "search/extra/private.nix: { x = ./more; }",
        "search/extra/more: 5",
    ]);
    for secret in ["mine/private.txt", "root/secret", "search/extra/private.nix"] {
        let shut = fs::Permissions::from_mode(0o600);
        fs::set_permissions(root.path().join(secret), shut).unwrap();
    }
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = |name: &str| root.path().join(name).display().to_string();
    let mut found = collection(&root, &format!("mine={}:{}", path("mine"), path("search")));
    found.add_entry(&root.path().join("etc/nixos/configuration.nix"));
    (root, found)
}

/// Returns what is gained by asking, besides what the configuration names.
fn gained(ask: impl FnOnce(&TempDir, &mut Collection)) -> Vec<String> {
    let (root, mut found) = stage();
    let before = sent(&found, &root);
    ask(&root, &mut found);
    let mut after = sent(&found, &root);
    after.retain(|path| !before.contains(path) && !path.contains(" -> "));
    after
}

/// `file '../../../root/.bash_history' was not found in the Nix search path`
#[test]
fn a_lookup_leads_nowhere_but_below_its_entry() {
    for name in [
        "mine/../root/secret",
        "../root/secret",
        "mine/module.nix/../../root/secret",
        "mine//etc/shadow",
        "..",
        "mine/..",
        "",
    ] {
        assert_eq!(gained(|_, found| _ = found.add_asked_lookup(name)), [""; 0], "{name}");
    }
    let absolute = |root: &TempDir, found: &mut Collection| {
        found.add_asked_lookup(&format!("mine/{}", root.path().join("root/secret").display()));
        found.add_asked_lookup(&root.path().join("root/secret").display().to_string());
        found.add_asked_lookup(&format!("extra/{}", root.path().join("root/secret").display()));
    };
    assert_eq!(gained(absolute), [""; 0]);
}

#[test]
fn a_lookup_that_the_configuration_does_not_have_is_refused_by_name() {
    let (root, mut found) = stage();
    found.take_refused();
    found.add_asked_lookup("extra/open.nix");
    assert_eq!(
        found.take_refused().into_iter().collect::<Vec<_>>(),
        [(PathBuf::from("<extra/open.nix>"), Refusal::Unnamed)]
    );
    assert_eq!(
        shut(&found, &root).iter().filter(|path| path.contains("extra")).count(),
        0
    );
}

/// A configuration that names one thing of an entry has not named the next one, if that is private.
#[test]
fn what_a_lookup_finds_counts_as_asked_for() {
    let ask = |name: &'static str| gained(move |_, found| _ = found.add_asked_lookup(name));
    assert_eq!(ask("mine/open.txt"), ["mine/open.txt"]);
    // It is in a directory that a `<name>` of the configuration names.
    assert_eq!(ask("mine/private.txt"), ["mine/private.txt"]);
    // What a link leads to counts as being where the link leads, and is as private.
    let open = |name: &'static str| {
        gained(move |root, found| {
            let text = format!("open={}", root.path().join("search/open").display());
            found.search_path = SearchPath::of_variable(&text, root.path());
            found.add_asked_lookup(name);
        })
    };
    assert_eq!(open("open/link.txt"), [""; 0]);
    assert_eq!(open("open/way/secret"), [""; 0]);
    assert_eq!(open("open/way/open/other"), ["root/open/other"]);

    let given = |root: &TempDir, found: &mut Collection| {
        let text = format!("extra={}", root.path().join("search/extra").display());
        found.search_path = SearchPath::of_variable(&text, root.path());
        found.add_asked_lookup("extra/private.nix");
        // The asking does not make the rest the configuration's either.
        found.add_asked(&root.path().join("search/extra/private.nix"));
    };
    assert_eq!(gained(given), [""; 0]);
}

/// Everybody may read this file, and an accomplice of its writer asks for it on the other machine.
#[test]
fn what_a_file_names_that_was_asked_for_is_not_the_configurations() {
    let plant = |root: &TempDir, found: &mut Collection| {
        let secret = root.path().join("root/secret").display().to_string();
        let text = format!("[ {secret} <extra/private.nix> <mine/../root/secret> <way> ]");
        fs::write(root.path().join("root/open/planted.nix"), text).unwrap();
        found.add_asked(&root.path().join("root/open/planted.nix"));
        found.add_asked_lookup("extra/private.nix");
        found.add_asked(&root.path().join("search/extra/private.nix"));
    };
    assert_eq!(gained(plant), ["root/open/planted.nix"]);
}

#[test]
fn other_words_for_a_secrets_path() {
    for path in [
        "root/secret",
        "mine/../root/secret",
        "search/open/link.txt",
        "search/open/way/secret",
        "root/open/../secret",
        ".elsewhere/../root/secret",
    ] {
        let ask = |root: &TempDir, found: &mut Collection| {
            let path = root.path().join(path);
            found.add_asked(&path);
            found.add_missed(&path);
            found.add_asked(&path.join(".git"));
            found.add_asked(&Path::new(ELSEWHERE).join(path.strip_prefix("/").unwrap()));
            found.add_asked(&Path::new("/proc/self/root").join(path.strip_prefix("/").unwrap()));
            found.add_asked(&Path::new("/proc/self/cwd/../..").join(path.strip_prefix("/").unwrap()));
        };
        assert_eq!(gained(ask), [""; 0], "{path}");
    }
}

/// A repository of another user says that its own directory is elsewhere.
#[test]
fn a_planted_repository_leads_to_nothing_private() {
    for (name, text) in [
        (".git", "gitdir: ../private.git\n"),
        (".git", "gitdir: /proc/self/root\n"),
        (".git", "gitdir: ..\n"),
        (".git", "gitdir: /\n"),
        (".git/commondir", "../../private.git\n"),
        (".git/objects/info/alternates", "../../../private.git\n"),
        (".git/config", "[include]\n\tpath = ../../private.git/config\n"),
        (".git/config", "[core]\n\texcludesFile = ../private.git/config\n"),
    ] {
        let ask = |root: &TempDir, found: &mut Collection| {
            for (name, text) in [
                ("private.git/config", "token"),
                ("private.git/HEAD", "x"),
                (&format!("planted/{name}"), text),
            ] {
                let path = root.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let shut = fs::Permissions::from_mode(0o700);
            fs::set_permissions(root.path().join("private.git"), shut).unwrap();
            let head = root.path().join("planted/.git/HEAD");
            if name.ends_with("config") {
                fs::write(head, "ref: refs/heads/main\n").unwrap();
            }
            found.add_asked(&root.path().join("planted/.git"));
            found.add_asked(&root.path().join("planted/.git/config"));
        };
        let gained = gained(ask);
        assert!(
            gained.iter().all(|path| path.starts_with("planted/.git")),
            "{text}: {gained:?}"
        );
    }
}

/// Opening a pipe waits for somebody to write into it; opening a device may have an effect.
#[test]
fn pipes_and_devices_are_never_opened() {
    let ask = |root: &TempDir, found: &mut Collection| {
        let place = root.path().join("root/open");
        for name in ["pipe", "pipe.nix", ".git", "default.nix"] {
            nix::unistd::mkfifo(&place.join(name), Mode::from_bits_truncate(0o644)).unwrap();
        }
        symlink("/dev/zero", place.join("endless.nix")).unwrap();
        fs::create_dir_all(place.join("repository/.git")).unwrap();
        for name in ["commondir", "index", "HEAD"] {
            symlink("/dev/zero", place.join("repository/.git").join(name)).unwrap();
        }
        for name in [
            "pipe",
            "pipe.nix",
            ".git",
            ".git/config",
            "endless.nix",
            "repository/.git",
            "",
        ] {
            found.add_asked(&place.join(name));
        }
        found.add_asked(Path::new("/dev/tty"));
        found.add_asked(Path::new("/proc/kmsg"));
    };
    assert_eq!(gained(ask), [""; 0]);
}

/// A link or a pipe is put in a file's place after the look at the file and before it is sent.
#[test]
fn what_is_swapped_meanwhile_is_not_sent() {
    use crate::progress::Counter;
    use crate::sources::archive::write_entries;
    use crate::sources::mirror::each;
    type Swap = fn(&Path, &Path);
    let link: Swap = |path, secret| symlink(secret, path).unwrap();
    let pipe: Swap = |path, _| nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o644)).unwrap();
    let way: Swap = |path, secret| {
        fs::remove_dir(path.parent().unwrap()).unwrap();
        symlink(secret.parent().unwrap(), path.parent().unwrap()).unwrap();
    };
    // Large files are known by what the file system says of them.
    for (swap, size) in [
        (link, 1),
        (pipe, 1),
        (way, 1),
        (link, 2 << 20),
        (pipe, 2 << 20),
        (way, 2 << 20),
    ] {
        let (root, mut found) = stage();
        let path = root.path().join("root/shared/secret");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "x".repeat(size)).unwrap();
        fs::write(root.path().join("root/secret"), "s".repeat(size)).unwrap();
        found.add_asked(&path);
        let entry = (path.clone(), found.mirror().entries[&path].clone());
        assert!(matches!(entry.1, Entry::Content { .. }));
        fs::remove_file(&path).unwrap();
        swap(&path, &root.path().join("root/secret"));
        let mut stream = Vec::new();
        let sent = write_entries(each(&[entry]), &mut stream, &Counter::default());
        assert!(sent.is_err());
        assert!(!stream.windows(8).any(|part| part == b"ssssssss"), "{size}");
    }
}

/// The evaluation sees the other machine's store, and the names in this machine's store are many.
#[test]
fn the_store_is_not_listed() {
    let (_root, mut found) = stage();
    found.take_refused();
    found.add_asked(Path::new("/nix/store"));
    found.add_asked(Path::new("/nix/store/"));
    assert!(!found.has(Path::new("/nix/store")));
}

#[test]
fn a_store_path_is_given_only_to_who_can_know_of_it() {
    let named = "/nix/store/4a533n824y0ifl2f7nas9gpqm67qzfba-named";
    let linked = "/nix/store/5a533n824y0ifl2f7nas9gpqm67qzfba-linked";
    let unknown = "/nix/store/6a533n824y0ifl2f7nas9gpqm67qzfba-unknown";
    let (root, mut found) = stage();
    fs::write(
        root.path().join("etc/nixos/path.nix"),
        format!("builtins.storePath \"{named}\""),
    )
    .unwrap();
    let path = |text: &str| StorePath::parse(text).unwrap();
    assert!(!found.may_ask_for(&path(named), &[]));
    found.add_asked(&root.path().join("etc/nixos/path.nix"));
    assert!(found.may_ask_for(&path(named), &[]));
    found
        .mirror
        .entries
        .insert(linked.into(), Entry::Shut(FileKind::Directory));
    assert!(found.may_ask_for(&path(linked), &[]));
    assert!(found.may_ask_for(&path(unknown), &[unknown.as_bytes()]));
    found.take_refused();
    assert!(!found.may_ask_for(&path(unknown), &[b"other"]));
    let refused = found.take_refused();
    assert_eq!(refused[Path::new(unknown)], Refusal::UnnamedStorePath);
}
