use super::*;
use crate::own_nix::search_path::SearchPath;
use crate::sources::git::index::tests::index;
use crate::sources::mirror::{Entry, FileKind};

fn registry() -> Registry {
    let of_user = r#"{"flakes":[{"from":{"type":"indirect","id":"mine"},"to":{"type":"path","path":"/m","dir":"d"}},
        {"from":{"type":"github","owner":"x","repo":"y"},"to":{"type":"path","path":"/no"}}]}"#;
    let of_machine = r#"{"flakes":[{"from":{"type":"indirect","id":"mine"},"to":{"type":"path","path":"/other"}},
        {"from":{"type":"indirect","id":"again"},"to":{"type":"indirect","id":"mine"}},
        {"from":{"type":"indirect","id":"circle"},"to":{"type":"indirect","id":"circle"}},
        {"from":{"type":"indirect","id":"nixpkgs"},"to":{"type":"github","owner":"NixOS","repo":"nixpkgs"}},
        {"from":{"type":"indirect","id":"repo"},"to":{"type":"git","url":"file:///r?ref=x"}}]}"#;
    Registry::read([of_user, of_machine, "", "{"])
}

#[test]
fn where_a_reference_leads() {
    let registry = registry();
    let place = |reference: &str| Whereabouts::of(reference, Path::new("/here"), &registry);
    let somewhere = |path: &str| Some(Whereabouts::Somewhere(path.into()));
    let directory = |path: &str, inside: &str| Some(Whereabouts::Directory(path.into(), inside.into()));
    let repository = |path: &str| Some(Whereabouts::Repository(path.into()));
    for (reference, expected) in [
        ("", somewhere("/here/")),
        (".", somewhere("/here/./")),
        ("/x?dir=sub&ref=y", somewhere("/x/sub")),
        ("/x y/%20", somewhere("/x y/%20/")),
        ("./a:b", somewhere("/here/./a:b/")),
        ("a/b/c/d", somewhere("/here/a/b/c/d/")),
        ("path:/x%20y?lastModified=1", directory("/x y", "")),
        ("path:///x?dir=a%2Fb", directory("/x", "a/b")),
        ("path:./sub", Some(Whereabouts::Inside("/here/./sub/".into()))),
        ("git+file:///x?dir=sub", repository("/x/sub")),
        ("git+file:/x%", repository("/x%/")),
        ("file:///x.tar.gz", Some(Whereabouts::File("/x.tar.gz".into()))),
        ("tarball+file:///x", Some(Whereabouts::File("/x".into()))),
        ("mine", directory("/m", "d")),
        ("flake:again/ref", directory("/m", "d")),
        ("repo", repository("/r/")),
        ("circle", None),
        ("nixpkgs", None),
        ("unknown/ref/0123", None),
        ("github:a/b", None),
        ("git+https://x/y", None),
        ("https://x/y.tar.gz", None),
    ] {
        assert_eq!(place(reference), expected, "{reference}");
    }
}

#[test]
fn where_an_input_leads() {
    let place =
        |text: &str| Whereabouts::of_attributes(&serde_json::from_str(text).unwrap(), Path::new("/f"), &registry());
    for (text, expected) in [
        (
            r#"{"type":"path","path":"/a b"}"#,
            Some(Whereabouts::Directory("/a b".into(), "".into())),
        ),
        (
            r#"{"type":"path","path":"./a"}"#,
            Some(Whereabouts::Inside("/f/./a/".into())),
        ),
        (
            r#"{"type":"git","url":"file:///a%20b","dir":"c"}"#,
            Some(Whereabouts::Repository("/a b/c".into())),
        ),
        (
            r#"{"type":"tarball","url":"file:///a"}"#,
            Some(Whereabouts::File("/a".into())),
        ),
        (
            r#"{"type":"indirect","id":"mine"}"#,
            Some(Whereabouts::Directory("/m".into(), "d".into())),
        ),
        (r#"{"type":"git","url":"https://x"}"#, None),
        (r#"{"type":"github","owner":"o"}"#, None),
        ("null", None),
    ] {
        assert_eq!(place(text), expected, "{text}");
    }
    let input = |text: &str| Whereabouts::of_input(text, Path::new("/f"), &registry());
    assert_eq!(input("./x"), Some(Whereabouts::Inside("/f/./x/".into())));
    assert_eq!(input("/x"), Some(Whereabouts::Somewhere("/x/".into())));
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("flake").tempdir_in("/var/tmp").unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn gather(&self, reference: &str, directory: &str, impure: bool) -> (Option<PathBuf>, Collection) {
        let mut collection = Collection::new(SearchPath::none(), self.path("home"));
        let mut flakes = Flakes::new(&mut collection, Registry::default(), impure);
        let found = flakes.add(reference, &self.path(directory));
        (found, collection)
    }

    /// Returns how a file is there: c(ontent), n(ame), d(irectory by name), o(pen directory), or not at all.
    fn seen(&self, collection: &Collection, name: &str) -> Option<char> {
        Some(match collection.mirror().entries.get(&self.path(name))? {
            Entry::Content { .. } => 'c',
            Entry::Shut(FileKind::Directory) => 'd',
            Entry::Open { .. } => 'o',
            Entry::Shut(_) => 'n',
            Entry::Link { .. } => 'l',
        })
    }
}

#[test]
fn of_a_repository_what_is_tracked_and_what_git_keeps() {
    let files = Files::new();
    files.write("config/.git/HEAD", "ref: refs/heads/main");
    files.write("config/.git/objects/12/34", "x");
    let file = 0o100_644;
    files.write(
        "config/.git/index",
        index(&[
            ("moved/away", file),
            ("gone", file),
            ("module", 0o160_000),
            ("other/module.nix", file),
            ("sub/flake.nix", file),
        ]),
    );
    files.write("config/.git/modules/module/index", index(&[("file", file)]));
    files.write("config/.git/modules/module/HEAD", "x");
    files.write("config/module/.git", "gitdir: ../.git/modules/module\n");
    files.write("config/module/file", "1");
    files.write("config/module/untracked", "1");
    files.write("config/other/.gitignore", "x");
    files.write("config/other/module.nix", "/etc/hostname");
    files.write("config/other/untracked", "1");
    files.write("config/untracked/file", "1");
    files.write("config/sub/flake.nix", "{ }");
    files.write("elsewhere/away", "1");
    std::os::unix::fs::symlink("../elsewhere", files.path("config/moved")).unwrap();
    let (found, collection) = files.gather(".", "config/sub", false);
    assert_eq!(found, Some(files.path("config/sub")));
    for (name, expected) in [
        ("config/.git/objects/12/34", Some('c')),
        ("config/.git/modules/module/index", Some('c')),
        ("config/other", Some('o')),
        ("config/other/module.nix", Some('c')),
        ("config/other/.gitignore", Some('c')),
        ("config/other/untracked", Some('n')),
        ("config/untracked", Some('d')),
        ("config/module/file", Some('c')),
        ("config/module/untracked", Some('n')),
        ("config/moved", Some('l')),
        ("elsewhere/away", None),
        ("config/gone", None),
    ] {
        assert_eq!(files.seen(&collection, name), expected, "{name}");
    }
    // The index cannot be read: all names are there, to be asked for.
    files.write("config/.git/index", "DIRC\0\0\0\x09");
    let (_, collection) = files.gather(".", "config/sub", false);
    for (name, expected) in [("config/untracked", Some('o')), ("config/other/module.nix", Some('n'))] {
        assert_eq!(files.seen(&collection, name), expected, "{name}");
    }
}

#[test]
fn inputs_on_this_machine() {
    let files = Files::new();
    let place = |name: &str| files.path(name).display().to_string();
    files.write(
        "config/flake.nix",
        format!(
            "{{ inputs = {{ a.url = \"path:{}\"; e.url = \"path:./e\"; f.url = \"file://{}\"; }}; }}",
            place("a"),
            place("f.tar")
        ),
    );
    files.write(
        "config/flake.lock",
        format!(
            r#"{{"nodes":{{"b":{{"locked":{{"type":"git","url":"file://{}"}}}},
               "c":{{"locked":{{"type":"github","owner":"o"}}}}}}}}"#,
            place("b")
        ),
    );
    files.write(
        "config/e/flake.nix",
        format!("{{ inputs.g.url = \"{}\"; }}", place("g")),
    );
    files.write("a/flake.nix", "{ }");
    files.write("a/deep/file", "1");
    files.write("b/.git/HEAD", "x");
    files.write("b/flake.nix", "{ }");
    files.write("f.tar", "1");
    files.write("g/flake.nix", "{ }");
    files.write("unrelated/file", "2");
    let (_, collection) = files.gather("path:.", "config", false);
    for (name, expected) in [
        ("a/deep/file", Some('c')),
        ("b/.git/HEAD", Some('c')),
        // This file is not in the index.
        ("b/flake.nix", Some('n')),
        ("f.tar", Some('c')),
        ("g/flake.nix", Some('c')),
        ("unrelated/file", None),
    ] {
        assert_eq!(files.seen(&collection, name), expected, "{name}");
    }
    assert!(matches!(
        collection.mirror().entries.get(&files.path("a/deep")),
        Some(Entry::Open { mtime: Some(_) })
    ));
}

#[test]
fn what_an_impure_flake_names_outside() {
    let files = Files::new();
    let text = format!(
        "[ {}/x.nix (builtins.getEnv \"COLOUR\") ../untouched ]",
        files.path("out").display()
    );
    files.write("config/flake.nix", text);
    files.write("out/x.nix", "./y.nix");
    files.write("out/y.nix", "1");
    files.write("untouched", "1");
    let (_, collection) = files.gather("/", "", true);
    assert_eq!(files.seen(&collection, "out/x.nix"), None);
    let (_, collection) = files.gather("./config", "", true);
    for (name, expected) in [
        ("out/x.nix", Some('c')),
        ("out/y.nix", Some('c')),
        ("untouched", Some('n')),
    ] {
        assert_eq!(files.seen(&collection, name), expected, "{name}");
    }
    assert!(collection.asked().names.contains("COLOUR"));
    let (_, collection) = files.gather("./config", "", false);
    assert_eq!(files.seen(&collection, "out/x.nix"), None);
}

#[test]
fn an_input_may_be_one_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let secret = files.path("one.nix");
    files.write("one.nix", "1");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "{{ inputs.one = {{ url = \"path:{}\"; flake = false; }}; }}",
        secret.display()
    );
    files.write("config/flake.nix", text);
    let (_, collection) = files.gather("path:.", "config", false);
    assert_eq!(files.seen(&collection, "one.nix"), Some('c'));
}

/// Links lead outside only where a flake may look outside.
#[test]
fn where_an_impure_flakes_links_lead_is_the_users_own() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    files.write("config/.git/HEAD", "ref: refs/heads/main");
    files.write(
        "config/.git/index",
        index(&[("ext", 0o120_000), ("flake.nix", 0o100_644)]),
    );
    files.write("config/flake.nix", "{ }");
    files.write("ext/deep/x.nix", "1");
    files.write("beside/x.nix", "1");
    for name in ["ext", "beside"] {
        fs::set_permissions(files.path(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    std::os::unix::fs::symlink(files.path("ext"), files.path("config/ext")).unwrap();
    for (impure, expected) in [(true, Some('c')), (false, Some('n'))] {
        let mut flakes_files = Collection::new(SearchPath::none(), files.path("home"));
        Flakes::new(&mut flakes_files, Registry::default(), impure).add(".", &files.path("config"));
        for name in ["ext/deep/x.nix", "beside/x.nix"] {
            flakes_files.add_asked(&files.path(name));
        }
        assert_eq!(files.seen(&flakes_files, "ext/deep/x.nix"), expected, "{impure}");
        assert_eq!(files.seen(&flakes_files, "beside/x.nix"), Some('n'), "{impure}");
    }
}
