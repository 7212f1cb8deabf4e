//! D16: an end counts as a success only if the other machine said before it what the request asked for. What the other
//! machine says counts only if it was asked.

use super::Play;

const SWITCH: &str = "switch --eval-on builder --no-lend";

#[test]
fn an_end_without_what_was_asked_for_is_no_success() {
    for acts in [
        "say finished",
        "say hello /usr/bin x86_64-linux; say finished",
        "greet; say finished",
        "greet; evaluated; say finished",
        "greet; evaluated; say building; say finished",
        // It was not delivered, and the builder has not said that it cannot be.
        "greet; evaluated; built; say finished",
    ] {
        Play::new("D16", &format!("hear_script; {acts}")).fails(SWITCH, "says 'finished' out of turn");
    }
}

#[test]
fn the_same_for_what_is_not_activated() {
    for (line, acts) in [
        ("build --eval-on builder --no-lend", "greet; evaluated"),
        ("dry-build --eval-on builder", "greet; evaluated"),
        ("dry-build --eval-on builder", ":"),
        // The builder evaluates, and this machine builds.
        ("build --eval-on builder --build-on", "greet; evaluated"),
        ("build-image --image-variant x --eval-on builder --no-lend", "greet"),
    ] {
        let play = Play::new("D16", &format!("hear_script; {acts}; say finished"));
        play.fails(line.trim_end_matches(" --build-on"), "says 'finished' out of turn");
    }
    // This machine evaluates, and the builder builds.
    let play = Play::new("D16", "hear_script; say hello /usr/bin x; say building; say finished");
    play.stage.stub("nix-instantiate", &format!("echo {}", crate::DRV));
    play.stage.stub("nix", "");
    play.fails("switch --build-on builder --no-lend", "says 'finished' out of turn");
}

#[test]
fn what_comes_twice_or_too_soon_or_unasked_is_not_taken() {
    for (acts, word) in [
        ("greet; built; say no-socket; say finished", "building"),
        ("greet; evaluated; say evaluated ${DRV%-*}-other.drv", "evaluated"),
        ("greet; evaluated; built; say built ${SYSTEM%-*}-other", "built"),
        ("greet; evaluated; say built $SYSTEM", "built"),
        (
            "greet; evaluated; built; say copying; say copied; say finished",
            "copying",
        ),
        ("greet; evaluated; built; say copied; say finished", "copied"),
        ("greet; say value 1; say finished", "value"),
        ("greet; say lock-line {}", "lock-line"),
        (
            "greet; evaluated; built; say no-socket; say finished; say failed build 1",
            "failed",
        ),
        ("greet; say hello /usr/bin x", "hello"),
        ("greet; say looked /etc/shadow", "looked"),
        ("greet; say no-such-word", "no-such-word"),
        ("greet; say evaluated", "evaluated"),
    ] {
        let play = Play::new("D16", &format!("hear_script; {acts}; exec sleep 1000"));
        play.fails(SWITCH, &format!("says '{word}"));
    }
}

#[test]
fn after_a_failure_nothing_is_taken_any_more() {
    let acts = "hear_script; greet; nix_error 'error: no'; say evaluation-failed 1; read -r word
                say evaluated $DRV; say finished; exec sleep 1000";
    Play::new("D16", acts).fails(SWITCH, "says 'evaluated");
}

#[test]
fn a_failure_has_never_exit_status_0() {
    for stage in ["build", "evaluation", "copy", "no-nix", "whatever"] {
        let run = Play::new("D16", &format!("hear_script; say failed {stage} 0")).fails(SWITCH, "");
        assert_eq!(run.code, 1, "{stage}");
    }
    let acts = "hear_script; greet; nix_error 'error: no'; say evaluation-failed 0; read -r word";
    assert_eq!(Play::new("D16", acts).fails(SWITCH, "the evaluation on").code, 1);
}

#[test]
fn what_is_no_derivation_is_none() {
    let acts = "hear_script; greet; say evaluated $SYSTEM; built; say no-socket; say finished";
    Play::new("D16", acts).fails(SWITCH, "what builder evaluated is no derivation");
}

/// All the other tests show that an honest builder is believed; this one shows it with these stand-ins, too.
#[test]
fn an_honest_builder_is_believed() {
    let acts = "hear_script; greet; evaluated; built; say no-socket; say finished";
    let run = Play::new("D16", acts).ends("build --eval-on builder --no-lend");
    assert_eq!(run.stdout, format!("{}\n", crate::SYSTEM));
}

/// The path of an image is printed for the user, and for scripts that write it to a card.
#[test]
fn an_image_is_nothing_outside_of_what_was_built() {
    for file in ["/dev/sda", "../../../etc/passwd", "x\\u001b[2J"] {
        let acts = format!(
            "hear_script; greet; say 'value {{\"variants\":[\"x\"],\"file\":\"{file}\"}}'; say finished; exit 0"
        );
        let play = Play::new("image", &acts);
        play.fails(
            "build-image --image-variant x --eval-on builder --no-lend",
            "lies outside of it",
        );
    }
}
