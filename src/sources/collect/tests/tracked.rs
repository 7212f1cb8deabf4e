//! Repositories: what is tracked, and git's settings.

use super::*;

fn bytes_of<'a>(collection: &'a Collection, path: &Path) -> &'a [u8] {
    match collection.mirror().entries.get(path) {
        Some(Entry::Content {
            identity: Identity::Made(made),
            ..
        }) => made.bytes().unwrap(),
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn write_index(root: &TempDir, directory: &str, names: &[&str]) {
    let names: Vec<_> = names.iter().map(|name| (*name, 0o100_644)).collect();
    let index = crate::sources::git::index::tests::index(&names);
    fs::write(root.path().join(directory).join(".git/index"), index).unwrap();
}

/// A name below `.ssh` or `.password-store` does not matter for what is tracked; what is not tracked stays on this
/// machine.
#[test]
fn what_is_tracked_goes_whatever_it_is_called() {
    let root = tree(&[
        "c/flake.nix: {}",
        "c/.ssh/allowed_signers: me@lab",
        "c/.ssh/untracked: x",
        "c/.gnupg/deep/gpg.conf: use-agent",
        "c/.password-store/.gpg-id: 0123",
        "c/.password-store/web/a.gpg: x",
        "c/.netrc: machine h login me",
        "c/.git/HEAD: ref: refs/heads/main",
        "c/.git/git-crypt/keys/default: key",
    ]);
    let names = [
        ".gnupg/deep/gpg.conf",
        ".netrc",
        ".password-store/.gpg-id",
        ".password-store/web/a.gpg",
        ".ssh/allowed_signers",
        "flake.nix",
    ];
    write_index(&root, "c", &names);
    let mut found = collection(&root, "");
    assert!(found.add_repository(&root.path().join("c")));
    let sent = sent(&found, &root);
    for name in names {
        assert!(sent.contains(&format!("c/{name}")), "{name} in {sent:?}");
    }
    assert_eq!(
        shut(&found, &root),
        ["c/.git/git-crypt/keys/default", "c/.ssh/untracked"]
    );
    assert_eq!(found.expect_whole(), Ok(()));
}

/// libgit2 would take the tree without that file for the whole tree.
#[test]
fn a_repository_that_cannot_go_whole_does_not_go() {
    for (name, text) in [
        (".ssh/id_pi", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("sops/keys.txt", "AGE-SECRET-KEY-1X"),
        (".netrc", "machine h password x"),
        (".aws/credentials", "aws_secret_access_key = x"),
    ] {
        let root = tree(&["c/flake.nix: {}", "c/.git/HEAD: x", &format!("c/{name}: {text}")]);
        write_index(&root, "c", &[name, "flake.nix"]);
        let mut found = collection(&root, "");
        found.add_repository(&root.path().join("c"));
        let failure = found.expect_whole().unwrap_err();
        assert!(failure.to_string().contains(name), "{failure}");
        assert!(!sent(&found, &root).contains(&format!("c/{name}")));
        assert!(found.take_refused().is_empty());
    }
}

/// Nobody gets a secret by asking for it, even if its directory is a repository.
#[test]
fn what_is_tracked_is_not_for_whoever_asks() {
    let root = tree(&[
        "home/.git/HEAD: x",
        "home/.gnupg/gpg.conf: x",
        "home/.gitconfig: [github] token = x",
    ]);
    write_index(&root, "home", &[".gnupg/gpg.conf"]);
    let mut found = collection(&root, "");
    found.add_asked(&root.path().join("home/.gnupg/gpg.conf"));
    assert_eq!(sent(&found, &root), [] as [&str; 0]);
    assert_eq!(found.take_refused().len(), 1);
}

/// A classic configuration uses `fetchGit` on a repository of another user, who lets nobody look into a part of it.
#[test]
fn a_tracked_directory_that_may_not_be_looked_into_is_not_deleted() {
    use std::os::unix::fs::PermissionsExt;
    let root = tree(&[
        "c/.git/HEAD: x",
        "c/.ssh/allowed_signers: x",
        "c/.gnupg/deep/gpg.conf: x",
    ]);
    write_index(&root, "c", &[".gnupg/deep/gpg.conf", ".ssh/allowed_signers"]);
    for (name, mode) in [("", 0o755), ("c/.gnupg/deep", 0o700)] {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut found = collection(&root, "");
    found.add_asked(&root.path().join("c/.git/index"));
    assert!(sent(&found, &root).contains(&"c/.ssh/allowed_signers".to_owned()));
    let failure = found.expect_whole().unwrap_err();
    assert!(failure.to_string().contains("c/.gnupg/deep,"), "{failure}");
}

/// Private settings, included ones and missing ones go, too, but without their secrets.
#[test]
fn the_settings_of_git_go_with_a_repository() {
    use std::os::unix::fs::PermissionsExt;
    let root = tree(&[
        "home/.gitconfig: [include] path = private/more\n",
        "home/private/more: x",
        "home/private/attributes: * -text",
        "c/flake.nix: { }",
        "c/.git/HEAD: x",
        "c/.git/config: x",
        "c/.git/objects/12/34: x",
    ]);
    let path = |name: &str| root.path().join(name);
    fs::write(
        path("home/.gitconfig"),
        "[core]\n\tautocrlf = true\n[include]\n\tpath = private/more\n\tpath = absent\n",
    )
    .unwrap();
    fs::write(
        path("home/private/more"),
        "[core]\nattributesFile = ~/private/attributes\n[github]\ntoken = x\n",
    )
    .unwrap();
    fs::write(
        path("c/.git/config"),
        "[remote \"origin\"]\n\turl = https://me:x@git.lan/c\n",
    )
    .unwrap();
    for name in ["home", "home/private"] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    write_index(&root, "c", &[]);
    let mut found = collection(&root, "");
    found.add_repository(&path("c"));
    let names = sent(&found, &root);
    for name in ["home/.gitconfig", "home/private/attributes"] {
        assert!(names.contains(&name.to_owned()), "{name} in {names:?}");
    }
    let rest = bytes_of(&found, &path("home/private/more"));
    assert_eq!(rest, b"[core]\nattributesFile = ~/private/attributes\n[github]\n\n");
    let rest = bytes_of(&found, &path("c/.git/config"));
    assert_eq!(rest, b"[remote \"origin\"]\n\turl = https://git.lan/c\n");
    // The file that was made is no reason to send the original file another time.
    let mut again = collection(&root, "");
    again.add_entry(&path("c/flake.nix"));
    again.remember(&Kept {
        mirror: found.mirror().clone(),
        unread: BTreeSet::new(),
        variables: BTreeSet::new(),
        answered: None,
    });
    assert_eq!(
        bytes_of(&again, &path("home/private/more")),
        b"[core]\nattributesFile = ~/private/attributes\n[github]\n\n"
    );
    // The settings are in another place than usual.
    fs::create_dir_all(path("config/git")).unwrap();
    fs::write(path("config/git/config"), "[core]\n").unwrap();
    let mut elsewhere = collection(&root, "");
    elsewhere.set_config_home(path("config"));
    elsewhere.add_repository(&path("c"));
    assert!(sent(&elsewhere, &root).contains(&"config/git/config".to_owned()));
    // This does not hold if the configuration names the file.
    found.add_configuration(&path("home/private/more"));
    let entry = found.mirror().entries.get(&path("home/private/more"));
    assert!(
        matches!(
            entry,
            Some(Entry::Content {
                identity: Identity::Digest(_),
                ..
            })
        ),
        "{entry:?}"
    );
}
