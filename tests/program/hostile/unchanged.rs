//! What a builder says of questions that were answered before.

use super::Play;
use crate::evaluations::{CLIENT, NIXPKGS};

const SWITCH: &str = "switch --eval-on builder --no-lend";

/// The first run is an honest one whose answer may be remembered. What the builder does in the later ones is `acts`.
fn remembered(acts: &str) -> Play {
    let honest = "greet; say memorable 0f; evaluated; built; say no-socket; say finished; exit 0";
    let acts = format!(
        "hear_script; if [ -e second ]; then say hello /usr/bin x86_64-linux; {acts}; exit 0; fi; : >second; {honest}"
    );
    let play = Play::new("unchanged", &acts);
    // What lies around the configuration belongs to the question, and nothing of it may be made anew between the runs.
    for file in [
        "nixos/configuration.nix",
        "nixpkgs/nixos/default.nix",
        "home/.cache/.keep",
        "home/.local/state/.keep",
    ] {
        play.stage.write(&format!("client/{file}"), "{ }");
    }
    play.stage.prepare(&format!("nixpkgs='{NIXPKGS}'{CLIENT}"));
    play.stage.typed_in("/");
    play.stage.variable("HOME", "/client/home");
    let path = "nixpkgs=/client/nixpkgs:nixos-config=/client/nixos/configuration.nix";
    play.stage.variable("NIX_PATH", path);
    play.ends("build --eval-on builder --no-lend");
    play
}

#[test]
fn an_honest_unchanged_is_believed() {
    let run = remembered("say unchanged \"$DRV\"; built; say no-socket; say finished")
        .ends("build --eval-on builder --no-lend");
    assert!(run.stderr.contains("unchanged: not evaluated"), "{}", run.stderr);
    assert_eq!(run.stdout, format!("{}\n", crate::SYSTEM));
}

#[test]
fn unchanged_is_only_what_is_remembered() {
    for (acts, text) in [
        ("say unchanged \"${DRV%-*}-other.drv\"", "not with the derivation"),
        ("say unchanged /etc/passwd", "not with the derivation"),
        ("say unchanged \"$DRV\"; say unchanged \"$DRV\"", "says 'unchanged"),
        ("say unchanged \"$DRV\"; evaluated", "says 'evaluated"),
        ("say unchanged \"$DRV\"; say finished", "says 'finished"),
        ("say unchanged \"$DRV\"; say memorable 0f", "says 'memorable"),
        ("say receiving have; say unchanged \"$DRV\"", "says 'unchanged"),
        (
            "say unchanged \"$DRV\"; say building; say built \"${SYSTEM%-*}-other\"",
            "no output of that",
        ),
    ] {
        remembered(acts).fails(SWITCH, text);
    }
}

#[test]
fn nobody_has_asked() {
    for (acts, text) in [
        ("say hello /usr/bin x; say unchanged \"$DRV\"", "says 'unchanged"),
        ("greet; say memorable '$(touch x)'", "says 'memorable"),
        ("greet; say memorable 0f; say memorable 0f", "says 'memorable"),
        ("greet; evaluated; say memorable 0f", "says 'memorable"),
        ("greet; evaluated; say reads HOME", "says 'reads"),
    ] {
        Play::new("unchanged", &format!("hear_script; {acts}")).fails(SWITCH, text);
    }
}

/// It may say any number of names; the client does not keep more than it takes of other words.
#[test]
fn a_flood_of_names_is_refused() {
    Play::new(
        "unchanged",
        "hear_script; greet; yes '@rebuild reads A_VARIABLE_WITH_A_LONG_NAME' | head -n 1000000; read -r word",
    )
    .fails(SWITCH, "says 'reads");
}
