use super::*;
use crate::cli::Arguments;
use clap::Parser;

fn choose(line: &str, found: &Found) -> Result<Configuration, Failure> {
    let words = line.split(' ').filter(|word| !word.is_empty());
    let words = words.map(|word| if word == "''" { "" } else { word });
    let arguments = Arguments::try_parse_from(["rebuild", "build"].into_iter().chain(words)).unwrap();
    Configuration::choose(&arguments.configuration, arguments.flake, found, Some("pi.lan"))
}

fn file(file: &str, attribute: Option<&str>) -> Configuration {
    Configuration::File {
        file: file.into(),
        attribute: attribute.map(str::to_owned),
    }
}

fn flake(reference: &str, name: &str) -> Configuration {
    Configuration::Flake(Flake {
        reference: reference.into(),
        name: Some(name.into()),
        flags: FlakeFlags::default(),
    })
}

/// A machine with everything that can be found.
fn all() -> Found {
    Found {
        system_flake: Some("/home/me/flake".into()),
        file_in_directory: false,
        file_here: Some(FILE),
        nixos_system: true,
        system_file: true,
    }
}

#[test]
fn a_flake_that_is_named() {
    for (line, reference, name) in [
        // nixpkgs#101648: both mean the same.
        ("--flake", ".", "pi.lan"),
        ("--flake .", ".", "pi.lan"),
        ("-F .#", ".", "pi.lan"),
        ("-F", ".", "pi.lan"),
        ("--flake #lab", "", "lab"),
        ("--flake /my-flake#other", "/my-flake", "other"),
        // A name that contains a dot is one attribute.
        ("--flake .#pi.lan", ".", "pi.lan"),
        // nixpkgs#422971: the reference is not resolved.
        ("--flake ../up?submodules=1#x", "../up?submodules=1", "x"),
        (
            "--flake github:me/flake/branch?dir=nixos#x",
            "github:me/flake/branch?dir=nixos",
            "x",
        ),
        ("--no-flake --flake a#b", "a", "b"),
        ("--flake a#b --flake c#d", "c", "d"),
        ("--flake . --file '' --attr ''", ".", "pi.lan"),
    ] {
        for found in [all(), Found::default()] {
            assert_eq!(choose(line, &found), Ok(flake(reference, name)), "{line}");
        }
    }
}

#[test]
fn what_is_found_when_nothing_is_named() {
    let without_flake = Found {
        system_flake: None,
        ..all()
    };
    let file_only = Found {
        system_file: true,
        ..Found::default()
    };
    let here_only = Found {
        file_here: Some(FILE),
        ..Found::default()
    };
    let old_here = Found {
        file_here: Some("default.nix"),
        ..all()
    };
    let in_directory = Found {
        file_in_directory: true,
        ..all()
    };
    for (line, found, expected) in [
        ("", &all(), flake("/home/me/flake", "pi.lan")),
        ("", &without_flake, file("<nixos-system>", None)),
        ("", &file_only, file("/etc/nixos/system.nix", None)),
        // The file counts only with --attr: it may be a file of something else.
        ("", &here_only, Configuration::Classic),
        ("", &Found::default(), Configuration::Classic),
        ("--no-flake", &all(), file("<nixos-system>", None)),
        ("--flake . --no-flake", &Found::default(), Configuration::Classic),
        // nixpkgs#527046: --file and --attr prevent the search for a flake.
        ("--attr pi", &all(), file("system.nix", Some("pi"))),
        ("--attr pi", &old_here, file("default.nix", Some("pi"))),
        // A directory means its system.nix if it has one, and otherwise what Nix makes of it: its default.nix.
        ("--file dir", &in_directory, file("dir/system.nix", None)),
        (
            "--file ./dir/ -A pi",
            &in_directory,
            file("./dir/system.nix", Some("pi")),
        ),
        ("--file dir", &all(), file("dir", None)),
        (
            "-A hosts.pi",
            &file_only,
            file("/etc/nixos/system.nix", Some("hosts.pi")),
        ),
        ("--file /x.nix", &all(), file("/x.nix", None)),
        ("-f ./dir -A pi", &all(), file("./dir", Some("pi"))),
        ("--file '' --attr ''", &all(), flake("/home/me/flake", "pi.lan")),
        // This is how to name the classic one where there are others.
        ("--file <nixpkgs/nixos>", &all(), Configuration::Classic),
    ] {
        assert_eq!(choose(line, found), Ok(expected), "{line}");
    }
}

#[test]
fn contradictions_and_nonsense_are_refused_with_a_remedy() {
    for (line, message, remedy) in [
        (
            "--flake . --file x.nix",
            "--flake . and --file x.nix name two configurations",
            "--flake URI#NAME",
        ),
        ("--flake --attr pi", "--flake . and --attr pi", "leave one out"),
        ("--attr pi", "there is no ./system.nix", "--file FILE --attr pi"),
        ("--flake .#a#b", "'a#b' is no name", "REFERENCE#NAME"),
        ("--flake .#nixosConfigurations.\"pi\"", "is no name", "without quotes"),
        ("--flake=-x", "begins with a hyphen", "--flake ./-x"),
        ("--file=-x", "begins with a hyphen", "--file ./-x"),
    ] {
        let failure = choose(line, &Found::default()).unwrap_err();
        assert_eq!(failure.code(), 2, "{line}");
        assert!(failure.to_string().contains(message), "{line}: {failure}");
        assert!(
            failure.remedy().unwrap().contains(remedy),
            "{line}: {:?}",
            failure.remedy()
        );
    }
}

/// nixos-rebuild accepts them, and aliases and scripts give them: no refusal.
#[test]
fn flags_of_flakes_without_a_flake_are_useless_and_no_error() {
    for (line, found, expected) in [
        (
            "--impure",
            Found::default(),
            Some("--impure has no effect: it is for flakes, and the classic configuration is none"),
        ),
        (
            "--file x.nix --override-input a b",
            all(),
            Some("--override-input has no effect: it is for flakes, and the configuration x.nix"),
        ),
        (
            "--no-flake --flake . --no-flake --offline",
            Found::default(),
            Some("--offline has no effect"),
        ),
        ("--refresh", Found::default(), Some("--refresh has no effect")),
        ("--impure", all(), None),
        ("--flake . --refresh", Found::default(), None),
        ("", Found::default(), None),
    ] {
        let words = line.split(' ').filter(|word| !word.is_empty());
        let arguments = Arguments::try_parse_from(["rebuild", "build"].into_iter().chain(words)).unwrap();
        let said = choose(line, &found).unwrap().useless(&arguments.flake);
        match (said.as_deref(), expected) {
            (said, None) => assert_eq!(said, None, "{line}"),
            (Some(said), Some(expected)) => assert!(said.starts_with(expected), "{line}: {said}"),
            (None, Some(_)) => unreachable!("{line}: nothing was said"),
        }
    }
}

#[test]
fn the_flags_of_flakes_are_with_the_flake() {
    for line in ["--flake . --impure", "--impure"] {
        let Ok(Configuration::Flake(flake)) = choose(line, &all()) else {
            unreachable!("{line}: a flake");
        };
        assert!(flake.flags.impure);
    }
}

#[test]
fn attributes_as_nix_takes_them() {
    for (configuration, file, attribute) in [
        (Configuration::Classic, "<nixpkgs/nixos>", "a.b"),
        (file("x y.nix", None), "x y.nix", "a.b"),
        (file("dir", Some("hosts.pi")), "dir", "hosts.pi.a.b"),
    ] {
        let attribute = attribute.to_owned();
        assert_eq!(
            configuration.subject("a.b"),
            Installable::Expression { file, attribute }
        );
    }
    let flake = flake("path:/x?a=b", "pi.lan");
    let Installable::Flake { installable, .. } = flake.subject("a.b") else {
        unreachable!("a flake");
    };
    assert_eq!(installable, "path:/x?a=b#nixosConfigurations.\"pi.lan\".a.b");
}

#[test]
fn what_is_named_as_seen_from_the_current_directory() {
    for (line, expected) in [
        ("--flake .", true),
        ("--flake ./x#y", true),
        ("--flake path:.#y", true),
        ("--flake path:/x#y", false),
        ("--flake /x", false),
        ("--flake github:a/b", false),
        ("--flake mine#pi", false),
        ("--file x.nix", true),
        ("--file /x.nix", false),
        ("--file <x>", false),
        ("--file https://x/y.tar.gz", false),
        ("", false),
    ] {
        assert_eq!(
            choose(line, &Found::default()).unwrap().is_relative(),
            expected,
            "{line}"
        );
    }
}

#[test]
fn a_name_that_is_not_known_yet_is_the_targets() {
    let arguments = Arguments::try_parse_from(["rebuild", "build", "--flake", "."]).unwrap();
    let choose = |name| {
        let flags = FlakeFlags::default();
        Configuration::choose(&arguments.configuration, flags, &Found::default(), name).unwrap()
    };
    assert_ne!(choose(None), flake(".", "target"));
    assert_eq!(choose(None).named("target", "b"), Ok(flake(".", "target")));
    assert_eq!(choose(Some("pi")).named("target", "b"), Ok(flake(".", "pi")));
    assert_eq!(choose(None).named("", "b"), Ok(flake(".", "default")));
    // The machine's own name for itself does not matter if it is not asked.
    assert_eq!(choose(Some("pi")).named("a\"b", "b"), Ok(flake(".", "pi")));
}

#[test]
fn a_host_name_that_would_be_more_than_a_name_is_refused() {
    let choose = |found: &Found, given: &[&str], name| {
        let arguments = Arguments::try_parse_from(["rebuild", "build"].iter().chain(given)).unwrap();
        Configuration::choose(&arguments.configuration, FlakeFlags::default(), found, name)
    };
    let unnamed = choose(&Found::default(), &["--flake", "."], None);
    for name in ["a\".x.\"b", "a#b", "a\nb"] {
        let there = unnamed.clone().unwrap().named(name, "me@target").unwrap_err();
        assert!(there.to_string().contains("the host name of me@target, "), "{there}");
        for here in [
            choose(&Found::default(), &["--flake", "."], Some(name)),
            choose(&all(), &[], Some(name)),
        ] {
            let here = here.unwrap_err();
            assert!(here.to_string().contains("the host name of this machine, "), "{here}");
            assert_eq!((here.code(), there.code()), (2, 2));
            assert!(here.remedy().is_some_and(|remedy| remedy.contains("--flake URI#NAME")));
        }
        assert_eq!(choose(&all(), &["--flake", ".#pi"], Some(name)), Ok(flake(".", "pi")));
    }
}
