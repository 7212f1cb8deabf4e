//! Talks that are a course, and words that are out of turn.

use super::*;

const PATH: &str = "/nix/store/00000000000000000000000000000000-x";

/// What is to come of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Result,
    DryRun,
    Derivation,
    Value,
    Channels,
}

fn course(goal: Goal, evaluates: bool, delivers: bool) -> Course {
    let demand = Demand {
        first: match goal {
            Goal::Channels => First::Channels,
            _ if evaluates => First::Evaluation,
            _ => First::Nothing,
        },
        locks: true,
        gives_value: goal == Goal::Value,
        knows: evaluates,
        remembers: evaluates && goal != Goal::Value,
        building: match goal {
            Goal::Result => Some(Building::Real),
            Goal::DryRun => Some(Building::Dry),
            Goal::Derivation | Goal::Value | Goal::Channels => None,
        },
        handover: if delivers { Handover::Sent } else { Handover::Stays },
    };
    Course::of(demand)
}

/// Says these words. Returns the first one that is out of turn. The client's words are in brackets.
fn talk(course: &mut Course, words: &str) -> Option<String> {
    for word in words.split(", ") {
        let answer = match word {
            "[good]" => {
                course.goes_on();
                continue;
            }
            "[back]" => {
                course.comes_back();
                continue;
            }
            "[open]" => NextRound::Look,
            "[closed]" => NextRound::Evaluate,
            "[stop]" => NextRound::GiveUp,
            _ => {
                let line = format!("@rebuild {word} ").replace('P', PATH);
                if !course.hears(&BuilderEvent::parse(line.as_bytes()).unwrap()) {
                    return Some(word.to_owned());
                }
                continue;
            }
        };
        course.answered(answer);
    }
    None
}

const FILES: &str = "hello /bin x, way user, receiving none, need, nix 2.26, untraced 2.8, evaluating";
const RETRY: &str = "refused x, evaluation-failed 1, [open], receiving base, need, evaluating, timeless, looked /x, \
                     looked-around, [closed], receiving base, need, evaluating";

#[test]
fn honest_talks_come_to_their_ends() {
    for (goal, evaluates, delivers, rest) in [
        (
            Goal::Result,
            true,
            false,
            "evaluated P, platform x y, building, built P",
        ),
        (
            Goal::Result,
            true,
            true,
            "evaluated P, building, built P, copying, copied",
        ),
        (
            Goal::Result,
            true,
            true,
            "unread /x, lock-line {}, evaluated P, building, built P, no-socket",
        ),
        (
            Goal::Result,
            false,
            true,
            "hello /bin x, platform x y, building, built P, copying, copied",
        ),
        (
            Goal::DryRun,
            true,
            false,
            "asked-for A, word b, computes /x, variables, [good], unread /x, evaluated P, building",
        ),
        (Goal::DryRun, true, false, "evaluated P, building"),
        (
            Goal::DryRun,
            true,
            false,
            "reads A, reads-any, memorable ab12, evaluated P, building",
        ),
        (Goal::DryRun, true, false, "unmemorable download, evaluated P, building"),
        (Goal::DryRun, false, false, "hello /bin x, building"),
        (Goal::Derivation, true, true, "evaluated P, copying, copied"),
        (Goal::Value, true, false, "value 1"),
        (Goal::Channels, false, false, "hello /bin x, channels P"),
        (Goal::Channels, false, false, "hello /bin x, channels"),
    ] {
        let firsts = if evaluates {
            vec![format!("{FILES}, "), format!("{FILES}, {RETRY}, ")]
        } else {
            vec![String::new()]
        };
        for first in firsts {
            let words = format!("{first}{rest}, finished");
            let mut talked = course(goal, evaluates, delivers);
            assert_eq!(talk(&mut talked, &words), None, "{words}");
            // And nothing after it, not even another end.
            for word in ["finished", "failed build 1", "built P", "evaluated P"] {
                assert_eq!(talk(&mut talked, word).as_deref(), Some(word));
            }
            // Without any of its steps it is none.
            let steps: Vec<&str> = words.split(", ").collect();
            for missing in 0..steps.len() - 1 {
                // These are said aside, or are what the client answers to.
                let aside = [
                    "evaluation-failed",
                    "looked-around",
                    "asked-for",
                    "word",
                    "computes",
                    "variables",
                    "way",
                    "nix",
                    "untraced",
                    "unread",
                    "lock-",
                    "platform",
                    "refused",
                    "timeless",
                    "looked ",
                    "reads",
                    "memorable",
                    "unmemorable",
                ];
                if aside.iter().any(|word| steps[missing].starts_with(word)) || steps[missing].starts_with('[') {
                    continue;
                }
                let mut fewer = steps.clone();
                fewer.remove(missing);
                let text = fewer.join(", ");
                assert!(talk(&mut course(goal, evaluates, delivers), &text).is_some(), "{text}");
            }
        }
    }
}

/// Only before any file is asked for, and only if the client remembers something.
#[test]
fn an_unchanged_question_is_said_in_place_of_an_evaluation() {
    for (goal, words) in [
        (
            Goal::Result,
            "hello /bin x, way user, unchanged P, building, built P, finished",
        ),
        (Goal::DryRun, "hello /bin x, unchanged P, building, finished"),
    ] {
        assert_eq!(talk(&mut course(goal, true, false), words), None, "{words}");
    }
    for (goal, evaluates, words, out) in [
        (Goal::Result, true, "unchanged P", "unchanged P"),
        (Goal::Result, false, "hello /bin x, unchanged P", "unchanged P"),
        (
            Goal::Result,
            true,
            "hello /bin x, unchanged P, unchanged P",
            "unchanged P",
        ),
        (
            Goal::Result,
            true,
            "hello /bin x, unchanged P, evaluated P",
            "evaluated P",
        ),
        (
            Goal::Result,
            true,
            "hello /bin x, unchanged P, receiving none",
            "receiving none",
        ),
        (
            Goal::Result,
            true,
            "hello /bin x, unchanged P, memorable x",
            "memorable x",
        ),
        (
            Goal::Result,
            true,
            "hello /bin x, receiving none, unchanged P",
            "unchanged P",
        ),
        (
            Goal::Result,
            true,
            "hello /bin x, receiving none, need, evaluating, evaluation-failed 1, [open], unchanged P",
            "unchanged P",
        ),
        (Goal::Result, true, "hello /bin x, memorable x", "memorable x"),
        (Goal::Result, true, "hello /bin x, unmemorable x", "unmemorable x"),
        (Goal::Result, true, "anew x", "anew x"),
        (Goal::Result, true, "hello /bin x, receiving none, anew x", "anew x"),
        (Goal::Result, false, "hello /bin x, anew x", "anew x"),
        (Goal::Result, true, "hello /bin x, reads A", "reads A"),
        (Goal::Result, false, "hello /bin x, reads-any", "reads-any"),
    ] {
        assert_eq!(
            talk(&mut course(goal, evaluates, false), words).as_deref(),
            Some(out),
            "{words}"
        );
    }
    let twice = format!("{FILES}, memorable x, memorable x");
    assert_eq!(
        talk(&mut course(Goal::Result, true, false), &twice).as_deref(),
        Some("memorable x")
    );
    let of_a_value = format!("{FILES}, memorable x");
    assert_eq!(
        talk(&mut course(Goal::Value, true, false), &of_a_value).as_deref(),
        Some("memorable x")
    );
}

#[test]
fn what_was_not_asked_for_is_out_of_turn() {
    let evaluated = format!("{FILES}, evaluated P");
    for (goal, delivers, words, out) in [
        (Goal::Result, false, "finished".to_owned(), "finished"),
        (Goal::Result, false, format!("{evaluated}, evaluated P"), "evaluated P"),
        (
            Goal::Result,
            false,
            format!("{evaluated}, building, built P, built P"),
            "built P",
        ),
        (
            Goal::Result,
            false,
            format!("{evaluated}, building, built P, copying"),
            "copying",
        ),
        (Goal::Result, true, format!("{evaluated}, copying"), "copying"),
        (
            Goal::Result,
            true,
            format!("{evaluated}, building, built P, copied"),
            "copied",
        ),
        (
            Goal::Result,
            true,
            format!("{evaluated}, building, built P, finished"),
            "finished",
        ),
        (Goal::Result, false, format!("{FILES}, value 1"), "value 1"),
        (Goal::Value, false, evaluated.clone(), "evaluated P"),
        (Goal::Derivation, true, format!("{evaluated}, building"), "building"),
        (
            Goal::DryRun,
            false,
            format!("{evaluated}, building, built P"),
            "built P",
        ),
        (Goal::Result, false, format!("{FILES}, looked /x"), "looked /x"),
        (Goal::Result, false, format!("{FILES}, looked-around"), "looked-around"),
        (
            Goal::Result,
            false,
            format!("{FILES}, evaluation-failed 1, evaluated P"),
            "evaluated P",
        ),
        (
            Goal::Result,
            false,
            format!("{FILES}, evaluation-failed 1, [stop], lock-line x, finished"),
            "finished",
        ),
        (
            Goal::Result,
            false,
            format!("{FILES}, evaluation-failed 1, [stop], failed build 1"),
            "failed build 1",
        ),
        (
            Goal::Result,
            false,
            format!("{FILES}, evaluation-failed 1, [open], need"),
            "need",
        ),
        (
            Goal::Result,
            false,
            format!("{FILES}, receiving none"),
            "receiving none",
        ),
        (Goal::Result, false, format!("{FILES}, need"), "need"),
        (Goal::Result, false, format!("{evaluated}, unread /x"), "unread /x"),
        (Goal::Result, false, format!("{evaluated}, lock-line x"), "lock-line x"),
        (Goal::Result, false, format!("{FILES}, hello /bin x"), "hello /bin x"),
    ] {
        assert_eq!(
            talk(&mut course(goal, true, delivers), &words).as_deref(),
            Some(out),
            "{words}"
        );
    }
}

/// A result is sent only to a daemon that was lent.
#[test]
fn what_is_fetched_is_not_sent() {
    let built = format!("{FILES}, evaluated P, building, built P");
    let mut fetched = course(Goal::Result, true, true);
    fetched.demand.handover = Handover::Fetched;
    assert_eq!(
        talk(&mut fetched, &format!("{built}, copying")).as_deref(),
        Some("copying")
    );
    assert_eq!(talk(&mut fetched, "no-socket, finished"), None);
}

#[test]
fn a_lock_file_is_asked_for_or_out_of_turn() {
    let mut without = course(Goal::Result, true, false);
    without.demand.locks = false;
    assert!(talk(&mut without, &format!("{FILES}, lock-line x")).is_some());
}

/// A job comes where there is long work, one at a time, and ends; a new connection greets once more in the midst of it.
#[test]
fn jobs_come_one_at_a_time() {
    let built = "evaluated P, building, built P, ended, finished";
    for (words, out) in [
        (format!("job a.1, {built}"), None),
        (format!("job a.1, [back], hello /bin x, {built}"), None),
        (
            "job a.1, evaluated P, ended, joined b.1 5, building, built P, ended, finished".to_owned(),
            None,
        ),
        (
            "job a.1, variables, ended, [good], job a.2, evaluated P, building, built P, ended, finished".to_owned(),
            None,
        ),
        ("ended".to_owned(), Some("ended")),
        ("job a.1, job a.2".to_owned(), Some("job a.2")),
        ("job a.1, ended, ended".to_owned(), Some("ended")),
        ("job a.1, hello /bin x".to_owned(), Some("hello /bin x")),
        (
            "job a.1, [back], hello /bin x, hello /bin x".to_owned(),
            Some("hello /bin x"),
        ),
        ("joined b.1 5".to_owned(), Some("joined b.1 5")),
        ("job a.1, evaluated P, joined b.1 5".to_owned(), Some("joined b.1 5")),
        ("job a.1, record a.1 pi 5".to_owned(), Some("record a.1 pi 5")),
        ("job a.1, running".to_owned(), Some("running")),
        ("job a.1, failed build 1, failed gone 1".to_owned(), None),
        (
            "job a.1, failed build 1, [back], hello /bin x".to_owned(),
            Some("hello /bin x"),
        ),
        ("job a.1, failed build 1, built P".to_owned(), Some("built P")),
        (
            "job a.1, failed build 1, ended, failed gone 1".to_owned(),
            Some("failed gone 1"),
        ),
    ] {
        let talked = talk(&mut course(Goal::Result, true, false), &format!("{FILES}, {words}"));
        assert_eq!(talked.as_deref(), out, "{words}");
    }
    // What is only evaluated is nobody else's build.
    let words = format!("{FILES}, job a.1, evaluated P, ended, joined b.1 5");
    assert_eq!(
        talk(&mut course(Goal::Derivation, true, false), &words).as_deref(),
        Some("joined b.1 5")
    );
}

/// A failure is never what was asked for, but always an answer.
#[test]
fn a_failure_may_come_at_any_time() {
    let steps: Vec<&str> = FILES.split(", ").collect();
    for length in 0..=steps.len() {
        let mut talked = course(Goal::Result, true, true);
        if length > 0 {
            assert_eq!(talk(&mut talked, &steps[..length].join(", ")), None);
        }
        assert_eq!(talk(&mut talked, "failed work 1"), None);
        assert_eq!(talk(&mut talked, "finished").as_deref(), Some("finished"));
    }
}
