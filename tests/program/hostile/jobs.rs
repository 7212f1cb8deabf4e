//! A job outlives its connection: what a builder may make of that.

use std::time::Duration;

use super::{Play, at_once};

const BUILD: &str = "build --eval-on builder --no-lend";

/// Says a text as a job's output: counted.
const COUNTED: &str = "counted() { say chunk \"$(printf %s \"$1\" | wc -c)\"; printf %s \"$1\"; }\n";

const JOB: &str = "hear_script; greet; say job ab.1";

#[test]
fn one_at_a_time_and_only_where_work_is() {
    let plays = [
        ("greet; say job ab.1; say job ab.2", "job"),
        ("greet; say ended", "ended"),
        ("greet; say joined ab.1 5", "joined"),
        ("greet; say job ab.1; say joined ab.2 5", "joined"),
        ("greet; say job ab.1; say ended; say ended", "ended"),
        ("greet; say record ab.1 pi 5", "record"),
        ("greet; say running", "running"),
        ("say hello /usr/bin x; say job ab.1", "job"),
        ("greet; say job ab.1; say hello /usr/bin x", "hello"),
        ("greet; say chunk 5; echo xxxx", "chunk"),
        ("greet; evaluated; say joined ab.1 -5", "joined"),
    ];
    at_once(plays, |(acts, word)| {
        let acts = format!("hear_script; {acts}; exec sleep 1000");
        Play::new("jobs", &acts).fails(BUILD, &format!("says '{word}"));
    });
}

/// What a job says is no more than what a script says.
#[test]
fn what_a_job_says_is_in_turn_too() {
    let plays = [
        ("@rebuild built $SYSTEM", "built"),
        ("@rebuild finished", "finished"),
        ("@rebuild job ab.2", "job"),
        ("@rebuild copying", "copying"),
        ("@rebuild no-such-word", "no-such-word"),
    ];
    at_once(plays, |(said, word)| {
        let acts = format!("{COUNTED}{JOB}; counted \"{said}\n\"; exec sleep 1000");
        Play::new("jobs", &acts).fails(BUILD, &format!("says '{word}"));
    });
    // An end without what was asked for is none, whoever says it.
    let acts = format!("{COUNTED}{JOB}; say ended; say finished; exit 0");
    Play::new("jobs", &acts).fails(BUILD, "says 'finished");
    for end in ["lost", "unstarted"] {
        Play::new("jobs", &format!("{JOB}; say {end}; exit 0")).fails(BUILD, "");
    }
    let acts = format!(
        "{COUNTED}{JOB}; counted \"@rebuild evaluated $DRV
@rebuild building
@rebuild bu\"; counted \"ilt $SYSTEM
\"; say ended; say no-socket; say finished; exit 0"
    );
    let run = Play::new("jobs", &acts).ends(BUILD);
    assert_eq!(run.stdout, format!("{}\n", crate::SYSTEM));
}

#[test]
fn a_flood_of_a_job_costs_little() {
    let ends = "say ended; say no-socket; say finished; exit 0";
    for flood in [
        "say chunk 200000000; flood 200000000; echo",
        "for _ in $(seq 30000); do say chunk 1; printf x; done",
        "say chunk 99999999999999999999",
        "say chunk -1",
    ] {
        let acts = format!(
            "{COUNTED}{JOB}; {flood}; weigh
             counted '\n'; counted \"@rebuild evaluated $DRV\n@rebuild building\n@rebuild built $SYSTEM\n\"; {ends}"
        );
        let play = Play::new("jobs", &acts);
        let run = play.run(BUILD);
        assert!(play.memory() < 48 << 20, "{flood}: {}", play.memory());
        assert!(run.stderr.len() < 8 << 20, "{}", run.stderr.len());
        play.nothing_is_changed();
    }
}

/// A builder of which the link breaks in each evaluation, and whose evaluation then asks for something, is not asked for ever.
#[test]
fn evaluations_that_always_ask_over_a_second_connection_come_to_an_end() {
    let acts = "hear_script
         if [ -e twice ]; then
            rm twice; say hello /usr/bin x; say chunk 19; say variables; say ended asked 0; exit 0
         fi
         : >twice; echo >>talks; greet; say job ab.1; exit 255";
    let play = Play::new("jobs", acts);
    let run = play.fails(BUILD, "broke again and again while it evaluated");
    assert_eq!(run.code, 255, "{}", run.stderr);
    assert_eq!(play.stage.read("talks").lines().count(), 5);
}

/// A link that breaks again and again is tried again, less and less often, and a signal ends it.
#[test]
fn a_builder_that_always_hangs_up_is_left_at_a_signal() {
    let plays = [
        "exit 255",
        "say hello /usr/bin x; exit 255",
        "say hello /usr/bin x; say chunk 100; exit 255",
    ];
    at_once(plays, |again| {
        let acts = format!(
            "[ \"$(ls ssh-*.pid | wc -l)\" -lt 3 ] || : >third
             if [ -e once ]; then hear_script; {again}; fi; : >once; {JOB}; exit 255"
        );
        let play = Play::new("jobs", &acts);
        let mut run = play.stage.start(BUILD);
        play.stage.wait_for("third");
        run.signal("TERM");
        let run = run.finish_within(Duration::from_secs(20)).unwrap();
        assert_eq!(run.code, 143, "{}", run.stderr);
        assert_eq!(run.stderr.matches("connecting again").count(), 1, "{}", run.stderr);
        play.no_ssh_is_left();
        play.nothing_is_changed();
    });
}

/// Ctrl-C at the very moment at which the link breaks: nobody there has heard it, and the user is told.
#[test]
fn an_interrupt_that_comes_with_the_end_of_the_link_is_unheard() {
    for _ in 0..8 {
        // More than a pipe holds, so that the job is known by then.
        let acts = format!("{COUNTED}{JOB}; counted \"$(seq 60000)\"; kill -INT \"$PPID\"; exit 255");
        let play = Play::new("jobs", &acts);
        let run = play.run(BUILD);
        assert_eq!(run.code, 130, "{}", run.stderr);
        assert!(
            run.stderr.contains("builder does not answer, so its work may go on"),
            "{}",
            run.stderr
        );
        play.no_ssh_is_left();
    }
}
