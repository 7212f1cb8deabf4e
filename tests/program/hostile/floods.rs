//! D18: whatever a builder says costs little memory, however much it is; and an honest build may print what it likes.

use super::Play;

const BUILD: &str = "build --eval-on builder --no-lend";

/// The limit in bytes. Without a flood, the program has held 10 to 20 million bytes in tests.
const MOST: usize = 48 << 20;

const HONEST: &str = "evaluated; built; say no-socket; say finished";

#[test]
fn a_line_without_end_costs_little_on_either_stream() {
    for acts in [
        // The flood comes before the greeting: as text, as an error of Nix's, and as one of ssh's own lines.
        format!("flood 100000000; echo; weigh; greet; {HONEST}"),
        format!("greet; flood 600000000; echo; weigh; {HONEST}"),
        format!(
            "greet; printf '@nix {{\"action\":\"msg\",\"level\":0,\"msg\":\"'; flood 100000000; echo '\"}}'; weigh; {HONEST}"
        ),
        format!("greet; flood 100000000 >&2; echo >&2; weigh; {HONEST}"),
    ] {
        let play = Play::new("D18", &format!("hear_script; {acts}"));
        let run = play.ends(BUILD);
        assert!(play.memory() < MOST, "{acts}: {}", play.memory());
        assert!(run.stderr.len() < 8 << 20, "{}", run.stderr.len());
    }
}

/// The beginning and the end of the line are shown.
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

/// An error keeps its beginning, wherever its line is cut.
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
            format!("hear_script; greet; printf '%s' \"@rebuild {event}\"; flood 20000000; echo; exec sleep 1000");
        Play::new("D18", &acts).fails(BUILD, "out of turn");
    }
}

/// Of errors that are held back, and of refused paths, only a part is shown, with the remark that there were more.
#[test]
fn many_errors_cost_little() {
    let error = "many 8000 10000 '@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"error: no ' '\"}'";
    let refused = "refuse() { many 15000 4000 '@rebuild refused stat(\"/no/such/' '\"'; nix_error 'error: no'; say evaluation-failed 1; }
                   refuse; hear_answer; say looked-around; hear_answer; refuse; weigh; read -r word; exit 1";
    for (acts, text) in [
        (error, "more errors are left out)"),
        (refused, "(more such errors are left out)"),
    ] {
        let acts = format!("hear_script; greet; {acts}; weigh; say evaluation-failed 1; read -r word");
        let play = Play::new("D18", &acts);
        let run = play.fails(BUILD, "the evaluation on builder failed");
        assert!(play.memory() < MOST, "{acts}: {}", play.memory());
        assert!(run.stderr.contains(text), "{acts}: {}", run.stderr.len());
    }
}

/// These are paths that were not read, and paths that were looked at: only paths that were sent can be among them.
#[test]
fn many_paths_cost_little() {
    let ending = "weigh; say failed work 1; exit 1";
    let unread = "hear_script; greet; many 15000 4000 '@rebuild unread /no/such/' ''";
    let looked = "hear_script; greet; asks_by_error \"error: opening file '$PWD/etc/nixos/x': Permission denied\"
                  many 15000 4000 '@rebuild looked /etc/no/such/' ''";
    for acts in [unread, looked] {
        let play = Play::new("D18", &format!("{acts}; {ending}"));
        play.fails(BUILD, "builder cannot make its working directory");
        assert!(play.memory() < MOST, "{acts}: {}", play.memory());
    }
}

/// What has been shown is not kept.
#[test]
fn many_messages_cost_little() {
    let warning = "many 8000 10000 '@nix {\"action\":\"msg\",\"level\":1,\"msg\":\"warning: ' '\"}'";
    let started =
        "many 8000 10000 '@nix {\"action\":\"start\",\"fields\":[\"' '\",\"\",1,1],\"level\":3,\"type\":105,\"id\":7}'";
    let builds = "seq 12000 | sed 's|.*|@nix {\"action\":\"start\",\"fields\":[\"'$(flood 5000)'\",\"\",1,1],\"level\":3,\"type\":105,\"id\":&}|'";
    for acts in [warning, started, builds] {
        let play = Play::new("D18", &format!("hear_script; greet; {acts}; weigh; {HONEST}"));
        play.ends(BUILD);
        assert!(play.memory() < MOST, "{acts}: {}", play.memory());
    }
}
