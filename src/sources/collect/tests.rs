use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A directory with files in it, given as `path: text`, and `path -> target`.
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
    let search = SearchPath::new(&[], Some(nix_path), None, &home, root.path());
    Collection::new(search, home)
}

/// What would be sent, relative to the root, directories left out.
fn sent(collection: &mut Collection, root: &TempDir) -> Vec<String> {
    let unsent = collection.take_unsent();
    let shown = unsent
        .iter()
        .filter(|(_, item)| *item != Item::Directory)
        .filter_map(|(path, item)| {
            let path = path.strip_prefix(root.path()).ok()?.display();
            Some(match item {
                Item::Link(target) => format!("{path} -> {}", target.display()),
                _ => path.to_string(),
            })
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
        sent(&mut found, &root),
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
    assert_eq!(sent(&mut found, &root), Vec::<String>::new());
}

#[test]
fn a_directory_that_is_named_is_sent_whole_with_links_as_links() {
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
        sent(&mut found, &root),
        [
            "c/configuration.nix",
            "c/hosts/dangling -> nowhere",
            "c/hosts/deep/er.txt",
            "c/hosts/out.nix -> ../../elsewhere/out.nix",
            "c/hosts/pi.nix",
            "c/hosts/result -> /nix/store/none",
            "elsewhere/beside.txt",
            "elsewhere/out.nix",
        ]
    );
}

/// `/etc/nixos` as a link into a checkout: what is relative is looked up beside the link, as Nix does.
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
    let sent = sent(&mut found, &root);
    for expected in ["etc/nixos -> ../home/config/pi", "home/config/pi/hardware.nix"] {
        assert!(sent.iter().any(|path| path == expected), "{expected} in {sent:?}");
    }
    assert!(sent.iter().any(|path| path == "etc/shared.nix"), "{sent:?}");
}

#[test]
fn a_lookup_is_sent_whole_once_and_its_literals_are_its_own() {
    let root = tree(&[
        "c/configuration.nix: { imports = [ <extra/nixos> ]; v = builtins.getEnv \"COLOUR\"; }",
        "channels/extra/nixos/default.nix: { x = ../lib ; y = /var/tmp/not-this; }",
        "channels/extra/lib/default.nix: {}",
        "channels/other/default.nix: {}",
    ]);
    let nix_path = format!("{}", root.path().join("channels").display());
    let mut found = collection(&root, &nix_path);
    found.add_configuration(&root.path().join("c/configuration.nix"));
    assert_eq!(
        sent(&mut found, &root),
        [
            "c/configuration.nix",
            "channels/extra/lib/default.nix",
            "channels/extra/nixos/default.nix",
        ]
    );
    assert_eq!(found.variables().iter().collect::<Vec<_>>(), ["COLOUR"]);
    assert!(!found.add_lookup("absent"));
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
    assert_eq!(sent(&mut found, &root), ["c/.ssh/config", "c/configuration.nix"]);
    let key = root.path().join("c/.ssh/id_rsa");
    assert_eq!(found.take_refused(), BTreeMap::from([(key, Refusal::Secret)]));
    assert!(found.take_refused().is_empty());
}

/// The other machine says what it misses; it gets no more than any user of this machine could read.
#[test]
fn what_is_only_said_to_be_missing_is_sent_if_it_is_public() {
    use std::os::unix::fs::PermissionsExt;
    let root = tree(&[
        "public: 1",
        "private: 2",
        "closed/public: 3",
        "d/public: 4",
        "d/private: 5",
    ]);
    let mode = |name: &str, mode| {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, bits) in [("", 0o755), ("private", 0o600), ("closed", 0o700), ("d/private", 0o600)] {
        mode(name, bits);
    }
    let mut found = collection(&root, "");
    for name in ["public", "private", "closed/public", "d"] {
        found.add_missed(&root.path().join(name));
    }
    assert_eq!(sent(&mut found, &root), ["d/public", "public"]);
    assert_eq!(found.take_refused().len(), 3);
    found.add_configuration(&root.path().join("private"));
    assert_eq!(sent(&mut found, &root), ["private"]);
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
    let expected = [
        "c/a/up -> ..",
        "c/a/x -> ../b",
        "c/b/text",
        "c/b/y -> ../a",
        "c/configuration.nix",
    ];
    assert_eq!(sent(&mut found, &root), expected);
}

#[test]
fn a_loop_of_links_ends() {
    let root = tree(&["c/configuration.nix: ./loop", "c/loop -> loop"]);
    let mut found = collection(&root, "");
    found.add_configuration(&root.path().join("c/configuration.nix"));
    assert_eq!(sent(&mut found, &root), ["c/configuration.nix", "c/loop -> loop"]);
}
