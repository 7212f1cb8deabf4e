//! `--upgrade`: the builder finds the newest channels, and the evaluation sees them as the client's.

use super::{Builder, events, set_mode};

const GENERATION: &str = "44444444444444444444444444444444-user-environment";

const CHANNELS: &str = "/nix/var/nix/profiles/per-user/root/channels";

/// A stand-in for nix-channel, which makes a generation with what stands in the builder's file "newest", wherever its home
/// is. It writes down what it was given.
const NIX_CHANNEL: &str = r#"#!/bin/sh
[ "$*" = --update ] || exit 1
cat "$HOME/.nix-channels" >/nix/asked
env >/nix/environment
[ ! -p /nix/hold-update ] || read -r _ </nix/hold-update
[ -e /nix/newest ] || { echo "error: unable to download" >&2; exit 1; }
generation=/nix/store/GENERATION
mkdir -p "$generation/nixos/nixos" "$HOME/.local/state/nix/profiles"
cat /nix/newest >"$generation/nixos/nixos/default.nix"
ln -sfn "$generation" "$HOME/.local/state/nix/profiles/channels-1-link"
ln -sfn channels-1-link "$HOME/.local/state/nix/profiles/channels"
"#;

/// A client whose channel is from a store path of its own.
fn builder() -> Option<Builder> {
    let builder = Builder::new()?;
    let programs = builder.sh("echo builder/nix/store/*-nix-2*/bin");
    let program = format!("{}/nix-channel", programs.trim_end());
    builder.write(&program, &NIX_CHANNEL.replace("GENERATION", GENERATION));
    set_mode(&builder, &program, 0o755);
    builder.write(
        "store/11111111111111111111111111111111-user-environment/nixos/nixos/default.nix",
        "old = yes;",
    );
    builder.sh(&format!(
        "cat >>prepare <<'END'
         rm -r \"$root{CHANNELS}\"
         ln -s /nix/store/11111111111111111111111111111111-user-environment \"$root{CHANNELS}-1-link\"
         ln -s channels-1-link \"$root{CHANNELS}\"
END"
    ));
    builder.stub(
        "nix-channel",
        "[ \"$1\" != --list ] || echo 'nixos https://me:secret@h/nixos-25.05'",
    );
    builder.variable(
        "NIX_PATH",
        &format!("nixpkgs={CHANNELS}/nixos:nixos-config=/client/nixos/configuration.nix"),
    );
    builder.configure("motd = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    Some(builder)
}

#[test]
fn the_evaluation_sees_the_newest_channels() {
    let Some(builder) = builder() else { return };
    builder.write("builder/nix/newest", "new = builtins.getEnv \"COLOUR\";");
    builder.variable("COLOUR", "blue");
    let (run, said) = builder.run("dry-build --eval-on builder --upgrade");
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    assert_eq!(events(&said, "channels"), [format!("/nix/store/{GENERATION}")]);
    // Neither channel was sent.
    assert_eq!(events(&said, "need"), [""; 2], "{said}");
    let seen = builder.of_derivation(&said);
    let file = format!("evaluated {CHANNELS}/nixos/nixos/default.nix: new = builtins.getEnv \"COLOUR\";");
    assert!(seen.lines().any(|line| line == file), "{seen}");
    // What it asks for is looked for in its files, which are the builder's.
    assert!(seen.lines().any(|line| line == "variable COLOUR: blue"), "{seen}");
    assert_eq!(
        builder.read("builder/nix/asked"),
        "https://me:secret@h/nixos-25.05 nixos\n\n"
    );
    // Nothing is changed, and nothing is left but what is kept.
    assert!(!builder.calls().iter().any(|call| call.starts_with("nix-env")));
    assert!(!run.stderr.contains("secret"), "{}", run.stderr);
    builder.nothing_is_left();
    let kept = builder.sh("readlink builder/home/.cache/rebuild/*/channels/*");
    assert_eq!(kept.trim_end(), format!("/nix/store/{GENERATION}"));
}

/// nix-channel works in a home of its own, whoever logs in: it must not be told of theirs.
#[test]
fn nobodys_own_channels_are_changed_there() {
    let Some(builder) = builder() else { return };
    builder.write("builder/nix/newest", "x");
    let (run, said) = builder.run("dry-build --eval-on builder --upgrade --option tarball-ttl 7");
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    let environment = builder.read("builder/nix/environment");
    let of = |name: &str| {
        let found = environment
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")));
        found.unwrap_or_default().to_owned()
    };
    let home = of("HOME");
    assert!(
        home.starts_with("/builder/.cache/rebuild/") && home.ends_with("/channels"),
        "{home}"
    );
    assert_eq!(of("NIX_STATE_DIR"), format!("{home}/nix"));
    assert_eq!(of("NIX_REMOTE"), "daemon");
    assert!(environment.contains("tarball-ttl = 7"), "{environment}");
    for name in ["XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
        assert_eq!(of(name), "", "{name}");
    }
    assert_eq!(builder.sh("ls -A builder/home"), ".cache\n");
}

#[test]
fn channels_that_nix_cannot_update_stay_as_they_are() {
    let Some(builder) = builder() else { return };
    let (run, said) = builder.run("dry-build --eval-on builder --upgrade");
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    assert_eq!(events(&said, "channels"), [""]);
    assert!(run.stderr.contains("unable to download"), "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: builder could not update nixos"),
        "{}",
        run.stderr
    );
    assert!(builder.of_derivation(&said).contains("old = yes;"));
}

/// Ctrl-C, and a link that breaks, in the midst of the update: nothing goes on there, and nothing is left.
#[test]
fn an_update_that_is_cut_off() {
    for is_interrupt in [true, false] {
        let Some(builder) = builder() else { return };
        builder.write("builder/nix/newest", "x");
        builder.sh("mkfifo -m 666 builder/nix/hold-update");
        let mut run = builder.start("dry-build --eval-on builder --upgrade");
        builder.wait_until("the update", || builder.path("builder/nix/environment").exists());
        if is_interrupt {
            run.signal("INT");
        } else {
            builder.break_links();
        }
        let run = run.finish();
        let (code, text) = if is_interrupt {
            (130, "")
        } else {
            (255, "the connection to builder broke, nothing was changed here")
        };
        assert!(
            run.code == code && run.stderr.contains(text),
            "{}: {}",
            run.code,
            run.stderr
        );
        builder.wait_until("the logins to end", || builder.logins_are_over());
        builder.nothing_is_left();
        assert!(!builder.calls().iter().any(|call| call.starts_with("nix-env")));
    }
}
