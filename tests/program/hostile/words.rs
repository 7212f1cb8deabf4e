//! What a builder says in each of its words: terminals obey none of it, and no path, number or nesting leads anywhere.

use super::Play;
use crate::stubs::Run;

const BUILD: &str = "build --eval-on builder --no-lend -v -L";

const ENDS: &str = "evaluated; built; say no-socket; say finished";

/// Orders for a terminal: a title, the clipboard, another screen, a line that is written over, another direction.
const ORDERS: &str =
    "$(printf 'MARK\\033]0;t\\007\\033]52;c;eA==\\007\\033[2J\\033[?1049h\\302\\2332J\\rB\\342\\200\\256')";

/// Checks that neither what was shown nor the log of the run orders a terminal.
fn is_harmless(play: &Play, run: &Run, acts: &str) {
    let logs = play.stage.path("home/.local/state/rebuild/logs");
    let log = std::fs::read_to_string(logs.join("1.log")).unwrap();
    assert!(log.contains("MARK"), "{acts}: {log}");
    for text in [&run.stderr, &log] {
        let order = |c: &char| (c.is_control() && !"\n\t".contains(*c)) || *c == '\u{202e}';
        let orders: String = text.chars().filter(order).collect();
        assert_eq!(orders, "", "{acts}: {text:?}");
    }
}

/// Whatever word it is in. The text before them is in the log, so the play took place.
#[test]
fn orders_for_a_terminal_are_not_obeyed() {
    let nix = |rest: &str| format!("printf '@nix %s\\n' \"{}\"", rest.replace('"', "\\\""));
    let json = "MARK\\\\u001b]0;t\\\\u0007\\\\u009b2J\\\\rB";
    for (acts, fails) in [
        (
            format!("say hello '/'\"{ORDERS}\" x86_64-linux; say failed work 1"),
            true,
        ),
        (format!("say hello /x \"{ORDERS}\"; say failed work 1"), true),
        (format!("greet; say home-named \"/{ORDERS}\""), true),
        (format!("greet; say \"{ORDERS}\""), true),
        (format!("greet; say evaluated \"/nix/store/{ORDERS}\""), true),
        (
            format!("greet; say asked-for \"{ORDERS}\"; say variables; read -r word; say failed work 1"),
            true,
        ),
        (
            format!("greet; evaluated; say platform \"{ORDERS}\" \"{ORDERS}\"; say failed build 1"),
            true,
        ),
        (format!("greet; echo \"{ORDERS}\"; {ENDS}"), false),
        (format!("greet; echo \"{ORDERS}\" >&2; {ENDS}"), false),
        (
            format!(
                "greet; {}; {ENDS}",
                nix(&format!(r#"{{"action":"msg","level":1,"msg":"{json}"}}"#))
            ),
            false,
        ),
        (
            format!(
                "greet; evaluated; say building; {}; {}; {}; say built $SYSTEM; say no-socket; say finished",
                nix(&format!(
                    r#"{{"action":"start","id":7,"level":3,"type":105,"fields":["$DRV{json}.drv","{json}",1,1]}}"#
                )),
                nix(&format!(
                    r#"{{"action":"result","id":7,"type":104,"fields":["{json}"]}}"#
                )),
                nix(&format!(
                    r#"{{"action":"result","id":7,"type":101,"fields":["{json}"]}}"#
                )),
            ),
            false,
        ),
    ] {
        let play = Play::new("words", &format!("hear_script; {acts}; exit 0"));
        let run = play.run(BUILD);
        assert_eq!(run.code > 0, fails, "{acts}: {}", run.stderr);
        is_harmless(&play, &run, &acts);
    }
}

/// A result is a path in the store, of the derivation that was asked for.
#[test]
fn what_is_given_is_what_was_asked_for() {
    let other = "${SYSTEM%-nixos*}-other";
    for path in [
        "/etc/passwd",
        "/nix/store/../../etc/passwd",
        "$SYSTEM/../../../etc",
        "/nix/store",
        "x",
        other,
    ] {
        let acts = format!(
            "hear_script; greet; evaluated; say building; say built {path}; say no-socket; say finished; exit 0"
        );
        Play::new("words", &acts).fails(BUILD, "");
    }
    for path in ["/etc/x.drv", "/nix/store/../x.drv", "$DRV/../x.drv", "/nix/store/x.drv"] {
        let acts = format!("hear_script; greet; say evaluated {path}; built; say no-socket; say finished; exit 0");
        Play::new("words", &acts).fails(BUILD, "");
    }
    // Where this machine has evaluated, the derivation is its own.
    let acts = format!(
        "hear_script; say hello /usr/bin x; say building; say built {other}; say no-socket; say finished; exit 0"
    );
    let play = Play::new("words", &acts);
    play.stage.stub("nix-instantiate", &format!("echo {}", crate::DRV));
    play.stage.stub("nix", "");
    play.fails("switch --build-on builder --no-lend", "");
}

/// They count as what they are, or as nothing; the build is shown to its end.
#[test]
fn numbers_and_nesting_without_end() {
    let deep = "printf '@nix {\"action\":\"msg\",\"level\":0,\"msg\":'; head -c 400000 /dev/zero | tr '\\0' '['; echo";
    let lines = [
        r#"{"action":"result","id":1,"type":105,"fields":[18446744073709551615,18446744073709551615,18446744073709551615,1]}"#,
        r#"{"action":"result","id":1,"type":106,"fields":[101,18446744073709551615]}"#,
        r#"{"action":"result","id":1,"type":105,"fields":[-1,1e999,null,"x"]}"#,
        r#"{"action":"start","id":18446744073709551616,"type":99999999999,"level":-7}"#,
        r#"{"action":"start","id":1,"level":3,"type":104}"#,
        r#"{"action":"start","id":2,"level":3,"type":103,"text":"copying 99999999999999999999 paths"}"#,
        r#"{"action":"result","id":2,"type":105,"fields":[18446744073709551615,0,0,0]}"#,
        r#"{"action":"stop","id":1}"#,
        r#"{"action":"stop","id":1}"#,
        r#"{"action":"msg","level":99999999999999999999,"msg":7}"#,
    ];
    let lines: Vec<String> = lines.iter().map(|line| format!("echo '@nix {line}'")).collect();
    let lines = lines.join("; ");
    let acts = format!(
        "hear_script; greet; {deep}; {lines}; evaluated; say building; {lines}; say built $SYSTEM; say no-socket; say finished"
    );
    let run = Play::new("words", &acts).ends(BUILD);
    assert_eq!(run.stdout, format!("{}\n", crate::SYSTEM));
    // The codes of failures are no way to another exit status than 1.
    for code in ["-1", "256", "99999999999999999999", "x"] {
        let run = Play::new("words", &format!("hear_script; say failed build {code}")).fails(BUILD, "");
        assert_eq!(run.code, 1, "{code}");
    }
    // A value that is too deep, or another one than was asked for, is none.
    for value in [
        "$(head -c 300000 /dev/zero | tr '\\0' '[')",
        "[]",
        "{\\\"variants\\\":7}",
        "null",
    ] {
        let acts = format!("hear_script; greet; say \"value {value}\"; say finished; exit 0");
        let play = Play::new("words", &acts);
        play.fails(
            "build-image --image-variant x --eval-on builder --no-lend",
            "something else than the images",
        );
    }
}
