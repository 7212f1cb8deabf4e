//! One list of all code that reads what others have written: what comes from other machines, from Nix, git and ssh, and
//! from files. Each target gets any bytes at all. It must not panic, and must keep what is promised of it here.
//!
//! The tests give the targets mutations of the examples (`driver.rs`), each for as long as `REBUILD_FUZZ_SECONDS` says.
//! The package in `fuzz/` gives the same list to a fuzzer that looks for new ways through the code. CONTRIBUTING.md
//! says how.

use rnix::ast::{Expr, Root};
use rowan::ast::AstNode;

use crate::harmless::{self, Colours};
use crate::host::Place;
use crate::nix_settings::NixSettings;
use crate::nix_version::NixVersion;
use crate::own_nix::search_path::SearchPath;
use crate::plan::expression::string;
use crate::process::quote::shell_word;
use crate::sources::literals::Literals;
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;
use crate::{
    activation, builder, candidates, difference, doctor, generations, nix_text, process, progress, remote, repl, run,
    run_log, settings, sources, ssh,
};

#[cfg(test)]
mod driver;

/// A piece of code that reads outside data.
#[derive(Debug, Clone, Copy)]
pub struct FuzzTarget {
    /// What it reads, in a word or two.
    pub name: &'static str,
    /// The files of that code, below `src/`.
    pub files: &'static [&'static str],
    /// Examples of what it reads.
    pub examples: &'static [&'static [u8]],
    /// Gives it these bytes, and panics if the result is not as it should be.
    pub read: fn(&[u8]),
}

/// Returns all targets: those of each room, and those that need no room of their own.
#[must_use]
pub fn targets() -> Vec<FuzzTarget> {
    [
        &OPEN[..],
        candidates::fuzz::TARGETS,
        difference::fuzz::TARGETS,
        doctor::fuzz::TARGETS,
        generations::fuzz::TARGETS,
        process::fuzz::TARGETS,
        progress::fuzz::TARGETS,
        builder::fuzz::TARGETS,
        run::fuzz::TARGETS,
        run_log::fuzz::TARGETS,
        settings::fuzz::TARGETS,
        sources::fuzz::TARGETS,
        remote::channel::fuzz::TARGETS,
        ssh::fuzz::TARGETS,
        activation::fuzz::TARGETS,
    ]
    .concat()
}

/// Returns the bytes as text: no code gets anything else than UTF-8.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns whether a terminal would do nothing with the text but show it.
pub(crate) fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t' && c != '\n')
}

const HOSTS: &[&[u8]] = &[
    b"builder",
    b"root@builder:22",
    b"ssh://me@[fe80::1%25eth0]:2222",
    b"ssh-ng://host",
    b"-oProxyCommand=x",
    b"localhost",
    b"a b",
];

const OPEN: [FuzzTarget; 9] = [
    FuzzTarget {
        name: "versions of Nix",
        files: &["nix_version.rs"],
        examples: &[b"nix (Nix) 2.26.3", b"nix (Lix, like Nix) 2.93.0-pre\n", b"99999999999999999999.1"],
        read: |bytes| {
            let whole = text(bytes);
            let version = NixVersion::read(&whole);
            let last = whole.split_whitespace().next_back().unwrap_or_default();
            assert_eq!(version, NixVersion::read(last));
            assert!(version.is_none() || last.contains(|c: char| c.is_ascii_digit()));
        },
    },
    FuzzTarget {
        name: "texts in the Nix language",
        files: &["plan/expression.rs", "repl/mod.rs", "repl/expression.rs"],
        examples: &[
            br#"{"resolvedUrl":"git+file:///f?dir=\"x${y}\""}"#,
            br#"{"url":"path:/x\\'' \n\r\t$${z}"}"#,
            b"a\\${b}\"c''",
        ],
        read: |bytes| {
            let address = repl::address(bytes).unwrap_or_else(|_| text(bytes));
            // No text of Nix has one.
            let address = address.replace('\0', "");
            let read = |code: &str| nix_text::read_sound(code, |root| {
                Root::cast(root.clone()).and_then(|root| root.expr()).and_then(|expression| match expression {
                    Expr::Str(literal) => nix_text::whole(&literal),
                    _ => None,
                })
            });
            assert_eq!(read(&string(&address)), Some(Some(address.clone())), "{address:?}");
            assert!(read(&repl::expression::of_flake(&address, &address)).is_some(), "{address:?}");
        },
    },
    FuzzTarget {
        name: "store paths",
        files: &["store_path.rs"],
        examples: &[
            b"/nix/store/00000000000000000000000000000000-nixos-system-pi-25.05",
            b"/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a/../../etc",
        ],
        read: |bytes| {
            if let Ok(path) = StorePath::parse(&text(bytes)) {
                let parts: Vec<_> = path.as_path().components().collect();
                assert_eq!(parts.len(), 4, "{path:?}");
                assert!(path.as_path().starts_with("/nix/store") && is_harmless(path.as_str()));
                assert!(StorePath::parse(path.as_str()).is_ok());
            }
        },
    },
    FuzzTarget {
        name: "hosts",
        files: &["host.rs", "host/place.rs"],
        examples: HOSTS,
        read: |bytes| {
            if let Ok(Place::There(host)) = Place::parse(&text(bytes), "own") {
                assert!(
                    !host.destination().starts_with('-') && is_harmless(&host.to_string()),
                    "{host:?}"
                );
                assert_eq!(Place::parse(&host.to_string(), "own").ok(), Some(Place::There(host)));
            }
        },
    },
    FuzzTarget {
        name: "text for a terminal",
        files: &["harmless.rs"],
        examples: &[
            b"\x1b[31mred\x1b[0m and \x1b]0;title\x07 \r over\n\ttab",
            b"\xc2\x9b31m \xe2\x80\xae \x1b[",
        ],
        read: |bytes| {
            let whole = text(bytes);
            let dropped = harmless::text(&whole, Colours::Dropped);
            assert!(is_harmless(&dropped), "{dropped:?}");
            assert!(is_harmless(&harmless::name(&whole)) && !harmless::name(&whole).contains('\n'));
            let kept = harmless::text(&whole, Colours::Kept);
            let plain = console::strip_ansi_codes(&kept);
            assert!(is_harmless(&plain), "{kept:?}");
            assert!(kept.len() <= whole.len() + 4, "{kept:?}");
        },
    },
    FuzzTarget {
        name: "nix.conf",
        files: &["nix_settings.rs"],
        examples: &[
            b"experimental-features = nix-command flakes # x\nextra-experimental-features = a\ninclude /nonexistent\n",
            b"!include x\naccess-tokens = github.com=SECRET\nsystem=x\nsystem = y",
        ],
        read: |bytes| {
            let whole = text(bytes).replace("include", "excluded");
            let settings = NixSettings::read(&Surroundings::with(&[("NIX_CONFIG", &whole), ("NIX_CONF_DIR", "/nonexistent")]));
            let sent = settings.of_evaluation();
            assert!(sent.lines().all(|line| !line.starts_with("access-tokens =")), "{sent}");
            assert!(sent.len() <= 2 * whole.len() + 1000);
        },
    },
    FuzzTarget {
        name: "search paths",
        files: &["own_nix/search_path.rs"],
        examples: &[
            b"nixpkgs=/nonexistent:/nonexistent/channels:nixos-config=/nonexistent/configuration.nix",
            b"nixpkgs=https://h/x.tar.gz:a=channel:x:b=flake:y",
        ],
        read: |bytes| {
            let whole = text(bytes);
            let setting = format!("nix-path = {}\nextra-nix-path = {whole}\n", whole.replace('\n', " "));
            for (name, value) in [("NIX_PATH", &whole), ("NIX_CONFIG", &setting)] {
                let around = Surroundings::with(&[(name, value), ("NIX_CONF_DIR", "/nonexistent")]);
                let path = SearchPath::of(std::slice::from_ref(&whole), &around, &NixSettings::read(&around));
                let _ = path.find("nixpkgs/../x");
                let _ = path.is_address("nixpkgs");
            }
        },
    },
    FuzzTarget {
        name: "shell words",
        files: &["process/quote.rs", "edit.rs"],
        examples: &[b"-p 2222 -o 'ProxyCommand=a b' \"x\\\"y\"", b"it's # not"],
        read: |bytes| {
            let whole = text(bytes);
            let Ok(word) = shell_word(&whole) else { return };
            assert_eq!(shlex::split(&text(&word)), Some(vec![whole]));
        },
    },
    FuzzTarget {
        name: "Nix files",
        files: &[
            "nix_text/mod.rs",
            "sources/literals.rs",
            "sources/flakes/written.rs",
            "candidates/configurations.rs",
        ],
        examples: &[
            b"{ description = \"x\"; inputs.nixpkgs.url = \"nixpkgs\"; inputs.a = { url = \"git+file:///a?dir=b\"; flake = false; };
              outputs = { self, nixpkgs, a, ... }@inputs: let systems = [ \"x\" ]; in rec {
                nixosConfigurations = nixpkgs.lib.genAttrs [ \"pi\" ] (name: f name) // { \"x-y\" = g; }; }; } # end",
            b"{ imports = [ ./a.nix <nixpkgs/nixos> ~/x /etc/y (./a + \"/b\") ]; x = \"a${b}\"; y = ''c${d}''; }",
            b"{ inputs.a.url = \"path:/x\"; outputs = { self, ... }: { nixosConfigurations = { pi = f { }; }; }; }",
            b"map builtins.getEnv [ \"A\" ] ++ (a: b: a.b or c) - ! -> <| a // { inherit (x) y; } ? z",
        ],
        read: |bytes| {
            let whole = text(bytes);
            let found = Literals::of(&whole);
            assert!(found.paths.iter().all(|path| path.len() <= whole.len()));
            sources::flakes::look_at(&whole);
            candidates::look_at(&whole);
        },
    },
];
