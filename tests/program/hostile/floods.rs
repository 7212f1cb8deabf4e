//! D18: what a builder says costs little memory, however much it is; and an honest build may print what it likes.

use super::Play;

const BUILD: &str = "build --eval-on builder --no-lend";

/// In bytes: the program without a flood has held 10 to 20 million of them in tests.
const MOST: usize = 60 << 20;

const HONEST: &str = "evaluated; built; say no-socket; say finished";

#[test]
fn a_line_without_end_costs_little_on_either_stream() {
    for acts in [
        // Before the greeting, as text, as an error of Nix's, and as one of ssh's own lines.
        format!("flood 600000000; echo; weigh; greet; {HONEST}"),
        format!("greet; flood 600000000; echo; weigh; {HONEST}"),
        format!(
            "greet; printf '@nix {{\"action\":\"msg\",\"level\":0,\"msg\":\"'; flood 600000000; echo '\"}}'; weigh; {HONEST}"
        ),
        format!("greet; flood 600000000 >&2; echo >&2; weigh; {HONEST}"),
    ] {
        let play = Play::new("D18", &format!("hear_script; {acts}"));
        let run = play.ends(BUILD);
        assert!(play.memory() < MOST, "{acts}: {}", play.memory());
        assert!(run.stderr.len() < 8 << 20, "{}", run.stderr.len());
    }
}

/// What is shown of it is its beginning and its end.
#[test]
fn a_long_line_of_an_honest_build_is_shown_cut() {
    let line = "{\\\"action\\\":\\\"start\\\",\\\"fields\\\":[\\\"$DRV\\\",\\\"\\\",1,1],\\\"id\\\":7,\\\"level\\\":3,\\\"text\\\":\\\"\\\",\\\"type\\\":105}";
    let play = Play::new(
        "D18",
        &format!(
            "hear_script; greet; evaluated; say building; echo \"@nix {line}\"
             printf '@nix {{\"action\":\"result\",\"fields\":[\"first '; flood 200000000
             echo ' last\"],\"id\":7,\"type\":101}}'; weigh
             say built $SYSTEM; say no-socket; say finished"
        ),
    );
    let run = play.ends(&format!("{BUILD} -L"));
    assert!(
        run.stderr.contains("nixos-system-pi> first xxx"),
        "{}",
        run.stderr.len()
    );
    assert!(run.stderr.contains(" bytes are left out here] ... x"));
    assert!(run.stderr.contains("xxx last\n"));
    assert!(play.memory() < MOST, "{}", play.memory());
}

/// An error keeps its beginning, be its line cut wherever.
#[test]
fn a_long_error_is_shown_cut() {
    let play = Play::new(
        "D18",
        "hear_script; greet
         printf '@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"error: begin '; flood 3000000
         printf '\",\"raw_msg\":\"'; flood 3000000; echo '\",\"trace\":[{\"raw_msg\":\"while\"}]}'
         say evaluation-failed 1; read -r word",
    );
    let run = play.fails(BUILD, "the evaluation on builder failed");
    assert!(run.stderr.contains("error: begin xxx"), "{}", run.stderr.len());
}

/// An event counts as a whole or not at all.
#[test]
fn a_long_event_is_not_taken() {
    for event in ["built $SYSTEM", "lock-line x", "need x", "looked /x", "value x"] {
        let acts =
            format!("hear_script; greet; printf '%s' \"@rebuild {event}\"; flood 600000000; echo; exec sleep 1000");
        Play::new("D18", &acts).fails(BUILD, "out of turn");
    }
}

/// Many short ones.
#[test]
fn many_lines_cost_little() {
    let many = |line: &str| format!("yes '{line}' | head -n 300000 | awk '{{ print $0 NR }}'");
    let error = "@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"error: no\"} ";
    for (acts, ending) in [
        (
            // Held back, and then shown: not all.
            many(error).replace("print $0 NR", "sub(/no/, \"no \" NR \" and some more words\"); print"),
            "weigh; say evaluation-failed 1; read -r word",
        ),
        (
            format!(
                "{}; weigh",
                many("@rebuild refused stat(\"/no/such/").replace("NR", "NR \"\\\"\"")
            ),
            "nix_error 'error: no'; say evaluation-failed 1; read -r word",
        ),
        (
            format!("{}; weigh", many("@rebuild unread /no/such/")),
            "say failed work 1",
        ),
    ] {
        let play = Play::new("D18", &format!("hear_script; greet; {acts}; {ending}; exit 1"));
        let run = play.fails(BUILD, "on builder failed");
        assert!(play.memory() < MOST, "{acts}: {}", play.memory());
        if ending.starts_with("weigh") {
            assert!(run.stderr.contains("more errors are left out)"), "{}", run.stderr.len());
        }
    }
}

/// What was looked at, and what is refused, is named so often and then counted.
#[test]
fn many_paths_that_are_looked_at_cost_little() {
    let play = Play::new(
        "D18",
        "hear_script; greet; nix_error \"error: opening file '$PWD/etc/nixos/x': Permission denied\"
         say evaluation-failed 1; read -r answer rest; hear_files >environment
         say receiving base; hear_files >removed; hear_files >more.tar; say need; say evaluating
         yes | head -n 300000 | awk '{ print \"@rebuild looked /etc/no/such/\" NR }'; weigh
         say failed work 1; exit 1",
    );
    play.fails(BUILD, "builder");
    assert!(play.memory() < MOST, "{}", play.memory());
}
