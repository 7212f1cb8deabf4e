mod asked;

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// Makes a directory with files in it, given as `path: text`, and links, given as `path -> target`.
fn tree(lines: &[&str]) -> TempDir {
    let root = tempfile::Builder::new()
        .prefix("collect")
        .tempdir_in("/var/tmp")
        .unwrap();
    for line in lines {
        let make_parent = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        if let Some((path, target)) = line.split_once(" -> ") {
            symlink(target, make_parent(path)).unwrap();
        } else {
            let (path, text) = line.split_once(": ").unwrap();
            fs::write(make_parent(path), text).unwrap();
        }
    }
    root
}

fn collection(root: &TempDir, nix_path: &str) -> Collection {
    let home = root.path().join("home");
    let search = SearchPath::of_variable(nix_path, root.path());
    Collection::new(search, home)
}

/// Returns what is there with its content, and the links to it, relative to the root and without the names around it.
fn sent(collection: &Collection, root: &TempDir) -> Vec<String> {
    let shown = collection.mirror().entries.iter().filter_map(|(path, entry)| {
        let path = path.strip_prefix(root.path()).ok()?.display();
        Some(match entry {
            Entry::Link { target, .. } => format!("{path} -> {}", target.display()),
            Entry::Content { .. } => path.to_string(),
            _ => return None,
        })
    });
    shown.collect()
}

/// Returns what is there by name only.
fn shut(collection: &Collection, root: &TempDir) -> Vec<String> {
    let shown = collection.mirror().entries.iter().filter_map(|(path, entry)| {
        let path = path.strip_prefix(root.path()).ok()?.display();
        matches!(entry, Entry::Shut(_)).then(|| path.to_string())
    });
    shown.collect()
}

#[test]
fn literals_are_followed_from_file_to_file_and_nothing_else_is_sent() {
    let root = tree(&[
        "etc/nixos/configuration.nix: { imports = [ ./a.nix ../../srv/b.nix ./modules ]; }",
        "etc/nixos/a.nix: { x = ./files/x; }",
        "etc/nixos/files/x: 1",
        "etc/nixos/files/secret: 2",
        "etc/nixos/secrets.yaml: 3",
        "etc/nixos/modules/default.nix: { imports = [ ./c.nix ]; }",
        "etc/nixos/modules/c.nix: {}",
        "srv/b.nix: { x = ~/y; }",
        "home/y: 4",
        "home/z: 5",
    ]);
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("etc/nixos/configuration.nix"));
    assert_eq!(
        sent(&found, &root),
        [
            "etc/nixos/a.nix",
            "etc/nixos/configuration.nix",
            "etc/nixos/files/x",
            "etc/nixos/modules/c.nix",
            "etc/nixos/modules/default.nix",
            "home/y",
            "srv/b.nix",
        ]
    );
    assert_eq!(
        shut(&found, &root),
        ["etc/nixos/files/secret", "etc/nixos/secrets.yaml", "home/z"]
    );
}

#[test]
fn of_a_directory_that_is_named_all_names_are_sent_with_links_as_links() {
    let root = tree(&[
        "c/configuration.nix: { hosts = ./hosts/${name}.nix; }",
        "c/hosts/pi.nix: {}",
        "c/hosts/deep/er.txt: 1",
        "c/hosts/out.nix -> ../../elsewhere/out.nix",
        "c/hosts/dangling -> nowhere",
        "c/hosts/result -> /nix/store/none",
        "elsewhere/out.nix: { x = ./beside.txt; }",
        "elsewhere/beside.txt: 2",
    ]);
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("c/configuration.nix"));
    assert_eq!(
        sent(&found, &root),
        [
            "c/configuration.nix",
            "c/hosts/dangling -> nowhere",
            "c/hosts/out.nix -> ../../elsewhere/out.nix",
            "c/hosts/result -> /nix/store/none",
        ]
    );
    assert_eq!(
        shut(&found, &root),
        ["c/hosts/deep/er.txt", "c/hosts/pi.nix", "elsewhere"]
    );
    found.add_asked(&root.path().join("c/hosts/out.nix"));
    assert_eq!(sent(&found, &root)[4..], ["elsewhere/beside.txt", "elsewhere/out.nix"]);
}

/// `/etc/nixos` is a link into a checkout: relative paths are looked up beside the link, as Nix does.
#[test]
fn a_linked_directory_is_read_under_its_own_name() {
    let root = tree(&[
        "etc/nixos -> ../home/config/pi",
        "etc/shared.nix: {}",
        "home/config/pi/configuration.nix: { imports = [ ../shared.nix ./hardware.nix ]; }",
        "home/config/pi/hardware.nix: {}",
        "home/config/shared.nix: {}",
    ]);
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("etc/nixos/configuration.nix"));
    let sent = sent(&found, &root);
    for expected in ["etc/nixos -> ../home/config/pi", "home/config/pi/hardware.nix"] {
        assert!(sent.iter().any(|path| path == expected), "{expected} in {sent:?}");
    }
    assert!(sent.iter().any(|path| path == "etc/shared.nix"), "{sent:?}");
}

#[test]
fn a_lookup_is_a_part_of_the_configuration() {
    let root = tree(&[
        "c/configuration.nix: { imports = [ <extra/nixos> ]; v = builtins.getEnv \"COLOUR\"; }",
        "channels/extra/nixos/default.nix: { x = ../lib ; y = ./unread/${z}; }",
        "channels/extra/nixos/unread/z: 1",
        "channels/extra/lib/default.nix: {}",
        "channels/other/default.nix: {}",
    ]);
    let nix_path = format!("{}", root.path().join("channels").display());
    let mut found = collection(&root, &nix_path);
    found.add_configuration(&root.path().join("c/configuration.nix"));
    assert_eq!(
        sent(&found, &root),
        [
            "c/configuration.nix",
            "channels/extra/lib/default.nix",
            "channels/extra/nixos/default.nix",
        ]
    );
    assert_eq!(found.asked().names.iter().collect::<Vec<_>>(), ["COLOUR"]);
    assert!(!found.add_lookup("absent"));
}

/// A package collection is read in many places. But a git repository in it sends only which commit it is at, and
/// nothing large is sent.
#[test]
fn a_package_collection_is_sent_whole() {
    let root = tree(&[
        "c/configuration.nix: { }",
        "checkout/default.nix: ./not-followed",
        "checkout/pkgs/a/default.nix: {}",
        "checkout/.git/HEAD: ref: refs/heads/main",
        "checkout/.git/refs/heads/main: 1",
        "checkout/.git/objects/12/34: x",
    ]);
    fs::write(root.path().join("checkout/image"), vec![0; 5 << 20]).unwrap();
    let mut found = collection(&root, &format!("nixpkgs={}", root.path().join("checkout").display()));
    assert!(found.add_lookup("nixpkgs"));
    let expected = [
        "checkout/.git/HEAD",
        "checkout/.git/refs/heads/main",
        "checkout/default.nix",
        "checkout/pkgs/a/default.nix",
    ];
    assert_eq!(sent(&found, &root), expected);
    assert_eq!(shut(&found, &root), ["c", "checkout/.git/objects", "checkout/image"]);
}

#[test]
fn secrets_of_the_machine_are_refused_and_named() {
    let root = tree(&[
        "c/configuration.nix: { key = ./.ssh/id_rsa; all = ./.ssh; }",
        "c/.ssh/id_rsa: 1",
        "c/.ssh/config: 2",
    ]);
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("c/configuration.nix"));
    assert_eq!(sent(&found, &root), ["c/configuration.nix"]);
    let key = root.path().join("c/.ssh/id_rsa");
    assert_eq!(found.take_refused(), BTreeMap::from([(key, Refusal::Secret)]));
    assert!(found.take_refused().is_empty());
}

/// A file in the configuration's directories that is no secret by its content goes when it is read, and not before; a
/// file elsewhere does not go.
#[test]
fn names_of_secrets_in_the_configuration_are_none() {
    let root = tree(&[
        "c/configuration.nix: { all = ./dot; gpg = ./.gnupg/gpg.conf; others = ../.ssh/rc; }",
        "c/.gnupg/gpg.conf: use-agent",
        "c/dot/.ssh/id_me: 0",
        ".ssh/rc: 6",
        "c/dot/.aws/config: 1",
        "c/dot/.aws/credentials: aws_secret_access_key = x",
        "c/dot/.aws/a: 2",
        "c/dot/.aws/b: 3",
        "c/dot/.aws/unread: 4",
        "d/.aws/config: 5",
    ]);
    let mut found = collection(&root, "");
    found.add_entry(&root.path().join("c/configuration.nix"));
    for name in [
        "c/dot/.aws/config",
        "c/dot/.ssh/id_me",
        "c/dot/.aws/credentials",
        "c/dot/.aws/a",
        "c/dot/.aws/b",
        "d/.aws/config",
    ] {
        found.add_missed(&root.path().join(name));
    }
    let expected = [
        "c/.gnupg/gpg.conf",
        "c/configuration.nix",
        "c/dot/.aws/a",
        "c/dot/.aws/b",
        "c/dot/.aws/config",
    ];
    assert_eq!(sent(&found, &root), expected);
    let refused = [".ssh/rc", "c/dot/.aws/credentials", "c/dot/.ssh/id_me", "d/.aws/config"];
    let refused = refused.map(|name| (root.path().join(name), Refusal::Secret));
    assert_eq!(found.take_refused(), BTreeMap::from(refused));
}

/// The other machine says what it misses. It gets what every user of this machine may read, what is in the
/// configuration's own directories, and nothing else.
#[test]
fn what_is_only_asked_for_is_sent_if_it_is_public_or_the_configurations() {
    use std::os::unix::fs::PermissionsExt;
    let root = tree(&[
        "public: 1",
        "private: 2",
        "closed/public: 3",
        "d/public: 4",
        "d/private: 5",
        "c/configuration.nix: ./modules",
        "c/secret: 6",
        "c/modules/of-its-own: 7",
    ]);
    let mode = |name: &str, mode| {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, bits) in [
        ("", 0o755),
        ("private", 0o600),
        ("closed", 0o700),
        ("d/private", 0o600),
        ("c", 0o700),
    ] {
        mode(name, bits);
    }
    mode("c/secret", 0o600);
    let mut found = collection(&root, "");
    for name in [
        "public",
        "private",
        "closed/public",
        "d",
        "d/public",
        "d/private",
        "c/secret",
    ] {
        found.add_missed(&root.path().join(name));
    }
    assert_eq!(sent(&found, &root), ["d/public", "public"]);
    assert_eq!(found.take_refused().len(), 4);
    found.add_entry(&root.path().join("c/configuration.nix"));
    for name in ["c/secret", "c/modules/of-its-own"] {
        found.add_missed(&root.path().join(name));
    }
    let expected = [
        "c/configuration.nix",
        "c/modules/of-its-own",
        "c/secret",
        "d/public",
        "public",
    ];
    assert_eq!(sent(&found, &root), expected);
}

/// `-I nixpkgs-overlays=DIRECTORY` and `NIXPKGS_CONFIG` name files that only a file of the store reads.
#[test]
fn what_the_user_names_may_be_asked_for_though_it_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let root = tree(&[
        "ov/default.nix: 1",
        "ov/more/x.nix: 2",
        "cfg/config.nix: 3",
        "cfg/beside.nix: 4",
        "other/x.nix: 5",
    ]);
    for name in ["ov", "cfg", "other"] {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut found = collection(&root, "");
    found.add_named(&root.path().join("ov"));
    found.add_named(&root.path().join("cfg/config.nix"));
    assert!(sent(&found, &root).is_empty());
    let asked = [
        "ov/default.nix",
        "ov/more/x.nix",
        "cfg/config.nix",
        "cfg/beside.nix",
        "other/x.nix",
    ];
    for name in asked {
        found.add_asked(&root.path().join(name));
    }
    let expected = ["cfg/beside.nix", "cfg/config.nix", "ov/default.nix", "ov/more/x.nix"];
    assert_eq!(sent(&found, &root), expected);
}

/// Where access times are not kept, one file is asked for after the other, but not for long.
#[test]
fn when_file_after_file_of_a_directory_is_missed_the_rest_comes_too() {
    let names: Vec<String> = (0..9).map(|number| format!("c/site/{number}: x")).collect();
    let root = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut found = collection(&root, "");
    found.add_entry(&root.path().join("c/site/0"));
    found.add_missed(&root.path().join("c/site/1"));
    found.add_missed(&root.path().join("c/site/2"));
    assert_eq!(sent(&found, &root).len(), 3);
    found.add_missed(&root.path().join("c/site/3"));
    assert_eq!(sent(&found, &root).len(), 9);
}

/// On the other machine a path begins with more than here: a path that would be too long for Linux stays shut, with all
/// of its directory.
#[test]
fn what_has_too_long_a_path_is_shut() {
    let root = tree(&["c/configuration.nix: { x = ./data; }", "c/data/file: 1"]);
    let mut deep = root.path().join("c/data");
    while deep.as_os_str().len() < 3_700 {
        deep.push("d".repeat(100));
    }
    let parent = deep.clone();
    for name in ["short", &"n".repeat(250)] {
        fs::create_dir_all(parent.join(name)).unwrap();
    }
    fs::write(parent.join("file"), "").unwrap();
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("c/configuration.nix"));
    found.add_asked(&parent.join("file"));
    let entries = &found.mirror().entries;
    let longest = entries.keys().map(|path| path.as_os_str().len()).max().unwrap();
    assert!(longest <= 3_900, "{longest}");
    assert_eq!(entries.get(&parent), Some(&Entry::Shut(FileKind::Directory)));
    let above = entries.get(parent.parent().unwrap());
    assert!(matches!(above, Some(Entry::Open { .. })), "{above:?}");
}

/// A second run begins where the first one ended, but with this machine's files as they are now.
#[test]
fn what_an_earlier_evaluation_needed_is_remembered() {
    let root = tree(&[
        "c/configuration.nix: {}",
        "c/asked: 1",
        "c/other: 2",
        "c/gone: 3",
        "c/once: 4",
    ]);
    let mut found = collection(&root, "");
    found.add_entry(&root.path().join("c/configuration.nix"));
    let first = found.mirror().clone();
    found.add_asked(&root.path().join("c/asked"));
    found.add_asked(&root.path().join("c/gone"));
    found.add_asked(&root.path().join("c/once"));
    // The other machine's file is read, unless the configuration names this machine's.
    found.add_configuration(Path::new("/etc/passwd"));
    assert!(found.has(Path::new("/etc/passwd")));
    let earlier = Kept {
        mirror: found.mirror().clone(),
        unread: [root.path().join("c/once")].into(),
        ..Kept::default()
    };

    fs::remove_file(root.path().join("c/gone")).unwrap();
    let mut again = collection(&root, "");
    again.add_entry(&root.path().join("c/configuration.nix"));
    assert_ne!(again.mirror(), &first);
    again.remember(&earlier);
    assert!(!again.has(Path::new("/etc/passwd")));
    assert_eq!(sent(&again, &root), ["c/asked", "c/configuration.nix"]);
    assert_eq!(shut(&again, &root), ["c/once", "c/other"]);
}

/// A link into the store must not seem to lead nowhere only because the other machine has no such store path.
#[test]
fn links_into_the_store_leave_its_names() {
    let Some(tree_in_store) = fs::read_dir("/nix/store").ok().and_then(|mut all| all.next()?.ok()) else {
        return;
    };
    let root = tree(&[
        "c/configuration.nix: {}",
        &format!("c/result -> {}", tree_in_store.path().display()),
    ]);
    let mut found = collection(&root, "");
    found.add_entry(&root.path().join("c/configuration.nix"));
    assert!(found.mirror().entries.contains_key(&tree_in_store.path()));
    assert!(found.trees().is_empty());
}

#[test]
fn directories_that_link_to_each_other_end() {
    let root = tree(&[
        "c/configuration.nix: [ ./a ./. ]",
        "c/a/x -> ../b",
        "c/a/up -> ..",
        "c/b/y -> ../a",
        "c/b/text: 1",
    ]);
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("c/configuration.nix"));
    let expected = ["c/a/up -> ..", "c/a/x -> ../b", "c/b/y -> ../a", "c/configuration.nix"];
    assert_eq!(sent(&found, &root), expected);
}

#[test]
fn a_loop_of_links_ends() {
    let root = tree(&["c/configuration.nix: ./loop", "c/loop -> loop"]);
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("c/configuration.nix"));
    assert_eq!(sent(&found, &root), ["c/configuration.nix", "c/loop -> loop"]);
}

mod tracked;
