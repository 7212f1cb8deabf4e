//! What a builder tells of this user's jobs when somebody asks for them: `rebuild status`, `attach` and `cancel`.

use std::time::Duration;

use super::{LIMIT, Play, at_once};

const VERBS: [&str; 3] = ["status", "attach", "cancel"];

const HELLO: &str = "hear_script; say hello /usr/bin x86_64-linux";

/// A job that runs, and the end of the list.
const ONE: &str = "say record ab.1 pi 5; say aged 5 -; say running; say finished; exit 0";

/// Orders for a terminal: a title, the clipboard, another screen, a line that is written over, another direction.
const ORDERS: &str =
    "$(printf 'MARK\\033]0;t\\007\\033]52;c;eA==\\007\\033[2J\\033[?1049h\\302\\2332J\\rB\\342\\200\\256')";

fn line(verb: &str) -> String {
    format!("{verb} --eval-on builder")
}

/// A play of which the first talk tells of one job, and the next ones are these.
fn after_the_list(acts: &str) -> String {
    format!("if [ ! -e listed ]; then : >listed; {HELLO}; {ONE}; fi\n{acts}")
}

/// What nobody asked for, or what makes no sense, ends the talk.
#[test]
fn what_is_no_list_of_jobs_is_not_taken() {
    let plays = [
        ("say record 'ab.$(id)' pi 5", "record"),
        ("say record 'ab;id' pi 5", "record"),
        ("say record -rf pi 5", "record"),
        ("say record ../../etc pi 5", "record"),
        ("say record ab.1 pi -5", "record"),
        ("say record ab.1 pi 99999999999999999999", "record"),
        ("say record ab.1 pi 5; say record ab.2 pi 5", "record"),
        ("say record ab.1 pi 5; say running; say record ab.1 pi 5", "record"),
        ("say record ab.1 pi 5; say finished", "finished"),
        ("say record ab.1 pi 5; say builds /etc/passwd 5", "builds"),
        ("say record ab.1 pi 5; say builds \"$DRV/../x\" 5", "builds"),
        ("say record ab.1 pi 5; say aged 99999999999999999999 -", "aged"),
        ("say record ab.1 pi 5; say built \"$SYSTEM\"", "built"),
        ("say record ab.1 pi 5; say value 1", "value"),
        ("say running", "running"),
        ("say ended cancelled", "ended"),
        ("say job ab.1", "job"),
        ("say joined ab.1 5", "joined"),
        ("say evaluating", "evaluating"),
        ("say need", "need"),
        ("say variables", "variables"),
        ("say looked /etc/passwd", "looked"),
        ("say hello /usr/bin x86_64-linux", "hello"),
        ("say chunk 5; echo xxxx", "chunk"),
        ("say no-such-word", "no-such-word"),
    ];
    for some in plays.chunks(9) {
        at_once(some.to_vec(), |(acts, word)| {
            let acts = format!("{HELLO}; {acts}; exec sleep 1000");
            Play::new("jobs", &acts).fails(&line("status"), &format!("says '{word}"));
        });
    }
    // Nor by whoever chooses one of them.
    let others = ["attach", "cancel", "cancel --all", "attach --job ab"].map(|verb| (verb, plays[0]));
    at_once(others, |(verb, (acts, word))| {
        let acts = format!("{HELLO}; {acts}; exec sleep 1000");
        Play::new("jobs", &acts).fails(&line(verb), &format!("says '{word}"));
    });
}

/// The list ends with a word. Without it, it is not known whether there are more jobs.
#[test]
fn half_a_list_is_none() {
    for verb in VERBS {
        for acts in [
            "exit 0",
            "say record ab.1 pi 5; say running; exit 0",
            "say record ab.1 pi 5; exit 255",
        ] {
            let run = Play::new("jobs", &format!("{HELLO}; {acts}")).fails(&line(verb), "");
            assert!(!run.stderr.contains("no job of this user"), "{acts}: {}", run.stderr);
        }
    }
}

/// Neither the table, nor the lines for programs, nor the question which job is meant, nor the log of the run.
#[test]
fn no_list_of_jobs_orders_a_terminal() {
    let of = |name: &str| {
        format!(
            "say record {name} \"x{ORDERS}\" 5; say aged 9223372036854775807 -; say builds \"$DRV\" 9223372036854775807
             echo '@nix {{\"action\":\"start\",\"id\":3,\"level\":0,\"parent\":0,\"text\":\"\\u001b[2J\",\"type\":104}}'
             echo '@nix {{\"action\":\"result\",\"fields\":[18446744073709551615,18446744073709551615,18446744073709551615,18446744073709551615],\"id\":3,\"type\":105}}'
             say running"
        )
    };
    let acts = format!("{HELLO}; {}; {}; say finished; exit 0", of("ab.1"), of("cd.1"));
    for (verb, code) in [("status", 0), ("status --json", 0), ("cancel", 2)] {
        let play = Play::new("jobs", &acts);
        let run = play.run(&line(verb));
        assert_eq!(run.code, code, "{verb}: {}", run.stderr);
        let log = play.stage.read("home/.local/state/rebuild/logs/1.log");
        for text in [&run.stdout, &run.stderr, &log] {
            let order = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
            let orders: String = text.chars().filter(order).collect();
            assert_eq!(orders, "", "{verb}: {text:?}");
        }
        // What stood before an order to write over it is there, too.
        let shown = if code == 0 { &run.stdout } else { &run.stderr };
        assert_eq!(shown.matches("xMARK").count(), 2, "{verb}: {shown}");
    }
}

/// What a job is called is text, and no line of its own in the remedy, which people type.
#[test]
fn what_is_typed_next_has_no_words_of_a_builder() {
    let acts = format!(
        "{HELLO}; say record ab.1 \"pi$(printf '\\r\\302\\205  --job $(id)')\" 5; say running
         say record ab.2 pi 5; say running; say finished; exit 0"
    );
    let run = Play::new("jobs", &acts).run(&line("cancel"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("--job")).collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert!(lines[0].starts_with("  --job ab.1   pi\\r\\u{85}"), "{}", run.stderr);
}

/// Who ends jobs hears of these, and of each of them.
#[test]
fn only_of_what_is_to_end_is_told() {
    let told = |acts: &str| Play::new("jobs", &after_the_list(&format!("{HELLO}; {acts}; exec sleep 1000")));
    let ended = "say running; say finished; exit 0";
    for (acts, word) in [
        (
            "say record ab.2 pi 5; say ended cancelled; say finished; exit 0",
            "ab.2",
        ),
        (
            "say record ab.1 pi 5; say ended cancelled; say record zz pi 5; say ended cancelled; say finished; exit 0",
            "zz",
        ),
        (&format!("say record ab.1 pi 5; {ended}"), "still not ended: ab.1"),
        ("say record ab.1 pi 5; say ended cancelled; exit 0", ""),
        ("say record ab.1 pi 5; say chunk 5; echo xxxx", "says 'chunk"),
    ] {
        let run = told(acts).fails(&line("cancel"), word);
        assert!(!run.stderr.contains(" was ended\n"), "{acts}: {}", run.stderr);
    }
    // Its record may be gone by then. But nobody has said that it was ended.
    let run = told("say finished; exit 0").ends(&line("cancel"));
    assert!(
        run.stderr.contains("ab.1 on builder: nothing is known of it any more"),
        "{}",
        run.stderr
    );
    let run = told("say record ab.1 pi 5; say ended cancelled; say finished; exit 0").ends(&line("cancel"));
    assert!(run.stderr.contains("ab.1 on builder was ended\n"), "{}", run.stderr);
}

/// Lists without end, long words and many of them.
#[test]
fn lists_of_jobs_without_end_cost_little() {
    let record = "@rebuild record ab.";
    let log = "@nix {\"action\":\"start\",\"id\":";
    for (flood, is_refused) in [
        (format!("many 9000 100000 '{record}' ' pi 5\\n@rebuild running'"), true),
        (format!("many 9000 100000 '{record}' '.x pi 5\\n@rebuild ended failed build 1'"), true),
        (format!("many 20000 1 '{record}' ' pi 5\\n@rebuild running'"), true),
        (
            "say record ab.1 pi 5; many 9000 100000 '@rebuild builds /nix/store/00000000000000000000000000000000-' ' 5'"
                .to_owned(),
            true,
        ),
        (format!("say record ab.1 pi 5; many 3000 100000 '{log}' ',\"type\":104}}'; say running"), false),
        ("many 3000 100000 '' ''".to_owned(), false),
        ("flood 300000000; echo".to_owned(), false),
    ] {
        let acts = format!("{HELLO}; weigh; {flood}; weigh; say finished; exit 0");
        let play = Play::new("jobs", &acts);
        // It is weighed at the end of the flood, or not at all if the talk has ended before.
        let run = play.run(&line("status"));
        assert_eq!(run.code != 0, is_refused, "{flood}: {}", run.stderr);
        assert!(play.memory() < 64 << 20, "{flood}: {}", play.memory());
        assert!(run.stderr.len() < 64 << 10, "{}", run.stderr.len());
    }
}

/// Two jobs that join each other: a job that builds what another one builds never is that other one.
#[test]
fn jobs_that_join_each_other_are_not_followed_for_ever() {
    let acts = after_the_list(&format!(
        "echo >>talks; {HELLO}; say ended joins \"$DRV\" \"ab.$(wc -l <talks)\" 0; say finished; exit 0"
    ));
    let play = Play::new("jobs", &acts);
    play.fails(&line("attach"), "joins");
    assert_eq!(play.stage.read("talks").lines().count(), 2);
    // The same in a run.
    let acts = "hear_script; greet; evaluated; while :; do say joined ab.1 0; say ended joins \"$DRV\" ab.1 0; done";
    Play::new("jobs", acts).fails("build --eval-on builder --no-lend", "says 'joined");
}

/// What a job says while it is followed counts for nothing, and a result that is none is not shown as one.
#[test]
fn a_job_that_is_watched_gives_nothing() {
    let counted = "counted() { say chunk \"$(printf %s \"$1\" | wc -c)\"; printf %s \"$1\"; }\n";
    let said = "@rebuild built /etc/passwd\n@rebuild finished\n@rebuild asked-for HOME\n@rebuild lock-line x\n";
    for (acts, text) in [
        ("say ended built \"$DRV\" /etc/passwd".to_owned(), "has stopped"),
        ("say ended built /etc/passwd \"$SYSTEM\"".to_owned(), "has stopped"),
        ("say ended no-such-end".to_owned(), "has stopped"),
        ("say ended asked 0".to_owned(), "has stopped"),
        (format!("counted '{said}'; say ended asked 0"), "has stopped"),
        (
            format!("counted \"x{ORDERS}\"; say ended failed build 0"),
            "the build on builder failed",
        ),
        ("say lost".to_owned(), "builder"),
        ("say finished".to_owned(), "says 'finished"),
        ("say built \"$SYSTEM\"".to_owned(), "says 'built"),
        ("say record ab.1 pi 5".to_owned(), "says 'record"),
        ("say hello /usr/bin x".to_owned(), "says 'hello"),
    ] {
        let play = Play::new(
            "jobs",
            &after_the_list(&format!("{counted}{HELLO}; {acts}; exec sleep 1000")),
        );
        let run = play.fails(&line("attach"), text);
        assert!(!run.stderr.contains("brings it home"), "{acts}: {}", run.stderr);
        assert!(!run.stderr.contains('\u{1b}'), "{acts}: {:?}", run.stderr);
    }
    for flood in [
        "say chunk 200000000; flood 200000000",
        "many 2000 100000 '' ''",
        "say chunk 99999999999999999999",
    ] {
        let acts = format!("{HELLO}; {flood}; weigh; say ended built \"$DRV\" \"$SYSTEM\"; exit 0");
        let play = Play::new("jobs", &after_the_list(&format!("weigh; {acts}")));
        let run = play.run(&line("attach"));
        assert!(play.memory() < 64 << 20, "{flood}: {}", play.memory());
        assert!(run.stderr.len() < 8 << 20, "{}", run.stderr.len());
    }
}

/// A run is told that another job builds the same derivation. What that one has built is held against the derivation.
#[test]
fn a_job_that_is_joined_builds_what_was_asked_for() {
    let counted = "counted() { say chunk \"$(printf %s \"$1\" | wc -c)\"; printf %s \"$1\"; }\n";
    let other = "/nix/store/33333333333333333333333333333333-other";
    for (said, text) in [
        (format!("@rebuild building\n@rebuild built {other}\n"), ""),
        (format!("@rebuild evaluated {other}.drv\n"), "says 'evaluated"),
        ("@rebuild built $SYSTEM\n".to_owned(), "says 'built"),
        ("@rebuild building\n@rebuild joined ab.3 0\n".to_owned(), "says 'joined"),
    ] {
        let acts = format!(
            "{counted}hear_script; greet; evaluated; say joined ../../ab.2 5; counted \"{said}\"
             say ended built \"$DRV\" {other}; say no-socket; say finished; exit 0"
        );
        Play::new("jobs", &acts).fails("switch --eval-on builder --no-lend", text);
    }
}

/// A machine that falls silent amid its list, or that talks for ever, is left at a signal.
#[test]
fn a_signal_ends_the_wait_for_a_list() {
    let plays = [
        "hear_script; : >here; exec sleep 1000",
        "hear_script; say hello /usr/bin x; : >here; exec sleep 1000",
        "hear_script; say hello /usr/bin x; say record ab.1 pi 5; : >here; while :; do echo x; sleep 0.01; done",
        "hear_script; say hello /usr/bin x; : >here; while :; do say alive; sleep 0.01; done",
        "hear_script; say hello /usr/bin x; : >here; trap '' TERM HUP INT; exec sleep 1000 >&- 2>&-",
    ];
    let all = VERBS.iter().flat_map(|verb| plays.map(|acts| (verb, acts)));
    at_once(all, |(verb, acts)| {
        let play = Play::new("jobs", acts);
        let mut running = play.stage.start(&line(verb));
        play.stage.wait_for("here");
        running.signal("TERM");
        let run = running.finish_within(LIMIT.min(Duration::from_secs(30))).unwrap();
        assert_eq!(run.code, 143, "{verb} {acts}: {}", run.stderr);
        play.no_ssh_is_left();
    });
}

/// An honest builder: what a run knows is not told again, and the newest job that runs is followed.
#[test]
fn an_honest_list_is_believed() {
    let list = "say record old.1 first 5; say aged 500 -; say running
        say record asked.1 hidden 5; say aged 100 90; say heard; say ended asked 1
        say record new.1 second 5; say aged 50 -; say running; say finished; exit 0";
    let play = Play::new("jobs", &format!("{HELLO}; {list}"));
    let run = play.ends(&line("status"));
    let place = |text: &str| run.stdout.find(text).unwrap();
    assert!(place("second") < place("first"), "{}", run.stdout);
    assert!(!run.stdout.contains("hidden"), "{}", run.stdout);
    let acts = format!(
        "if [ ! -e listed ]; then : >listed; {HELLO}; {list}; fi
         {HELLO}; say ended built \"$DRV\" \"$SYSTEM\"; say finished; exit 0"
    );
    let run = Play::new("jobs", &acts).ends(&line("attach"));
    assert!(
        run.stderr.contains("following new.1 on builder: second"),
        "{}",
        run.stderr
    );
}

/// One of several machines is off: that is said, and is no failure. One that lies is a failure, and the others are told of.
#[test]
fn one_of_several_machines() {
    for (other, code, text) in [
        (
            "echo 'ssh: connect to host off port 22: No route to host' >&2; exit 255",
            0,
            "so it is not known which jobs off has",
        ),
        (
            "hear_script; say hello /usr/bin x; say finished",
            0,
            "off: no job of this user",
        ),
        (
            "hear_script; say hello /usr/bin x; say running; exit 0",
            1,
            "off says 'running'",
        ),
    ] {
        let play = Play::new(
            "jobs",
            &format!("case $* in *' off '*) {other}; exit ;; esac\n{HELLO}; {ONE}"),
        );
        let run = play.run("status --eval-on off,builder");
        assert_eq!(run.code, code, "{other}: {}", run.stderr);
        assert!(
            run.stdout.contains("ab.1") && run.stderr.contains(text),
            "{other}: {}{}",
            run.stdout,
            run.stderr
        );
    }
}
