//! D15: a lock file is accepted only if the evaluation may write one, and only one that it can have written.

use super::Play;

const EMPTY: &str = "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n";

/// Returns a builder that sends a lock file before it goes on.
fn says(lock: &str, rest: &str) -> Play {
    let acts = format!("hear_script; greet; sed 's/^/@rebuild lock-line /' lock; {rest}");
    let play = Play::new("D15", &acts);
    play.stage.write("lock", lock);
    play.stage.write("flake/flake.nix", "{ outputs = { self }: { }; }");
    play
}

fn line(play: &Play, flags: &str) -> String {
    format!(
        "switch --eval-on builder --no-lend {flags} --flake {}",
        play.stage.path("flake#pi").display()
    )
}

#[test]
fn one_that_nobody_asked_for() {
    for flags in [
        "--no-write-lock-file",
        "--no-update-lock-file",
        "--override-input a path:/nowhere",
    ] {
        let play = says(EMPTY, "evaluated; exit 255");
        let run = play.fails(&line(&play, flags), "out of turn");
        assert!(!play.stage.path("flake/flake.lock").exists(), "{flags}: {}", run.stderr);
    }
    // It is not accepted for a configuration that is no flake either.
    let play = says(EMPTY, "evaluated; exit 255");
    play.fails("switch --eval-on builder --no-lend", "out of turn");
    assert_eq!(play.stage.sh("find . -name flake.lock"), "");
}

#[test]
fn one_that_is_none() {
    let evil = EMPTY.replace(
        "\"root\": {}",
        "\"root\": { \"inputs\": { \"x\": \"x\" } }, \"x\": { \"locked\": { \"type\": \"path\" }, \"original\": { \"type\": \"path\" } }",
    );
    for lock in ["{}\n", "[1]\n", "null\n", "nonsense\n", "{\n", &evil] {
        for rest in ["evaluated; exit 255", "say failed build 1; exit 1"] {
            let play = says(lock, rest);
            play.stage.write("flake/flake.lock", "former\n");
            let run = play.stage.rebuild(&line(&play, ""));
            assert!(run.code > 0, "{lock}");
            assert!(run.stderr.contains("cannot be it"), "{lock}: {}", run.stderr);
            assert!(run.stderr.contains("builder"), "{}", run.stderr);
            assert_eq!(play.stage.read("flake/flake.lock"), "former\n", "{lock}");
            play.nothing_is_changed();
        }
    }
}

/// The run says that a lock file was written, and nothing else about it.
#[test]
fn an_honest_one() {
    let play = says(EMPTY, "evaluated; exit 255");
    let path = play.stage.path("flake/flake.lock").display().to_string();
    let run = play.fails(
        &line(&play, ""),
        &format!("the connection to builder broke, nothing was changed here but {path}"),
    );
    assert!(run.stderr.contains(&format!("wrote {path}: ")), "{}", run.stderr);
    assert_eq!(play.stage.read("flake/flake.lock"), EMPTY);
    // The same lock file once more is no news.
    let run = play.fails(&line(&play, ""), "broke, nothing was changed here");
    assert!(
        !run.stderr.contains("wrote ") && !run.stderr.contains("here but"),
        "{}",
        run.stderr
    );
}

/// What was locked and is not to be renewed stays: its revision, what is said of it, and that it is an input of its own.
#[test]
fn one_that_exchanges_what_was_locked() {
    const LOCK: &str = r#"{"nodes":{
        "a":{"inputs":{"deep":"deep"},"locked":{"type":"github","owner":"o","repo":"a","rev":"1","narHash":"h"},
             "original":{"type":"github","owner":"o","repo":"a"}},
        "deep":{"locked":{"type":"github","owner":"o","repo":"deep","rev":"2","narHash":"i"},
                "original":{"type":"github","owner":"o","repo":"deep"}},
        "b":{"locked":{"type":"github","owner":"o","repo":"b","rev":"3","narHash":"j"},
             "original":{"type":"github","owner":"o","repo":"b"}},
        "root":{"inputs":{"a":"a","b":"b"}}},"root":"root","version":7}"#;
    const FLAKE: &str =
        r#"{ inputs.a.url = "github:o/a"; inputs.b.url = "github:o/b"; outputs = { self, a, b }: { }; }"#;
    for (from, to) in [
        (r#""rev":"1""#, r#""rev":"evil""#),
        (r#""repo":"a"}},"#, r#""repo":"a","ref":"evil"}},"#),
        (r#""inputs":{"a":"a","b":"b"}"#, r#""inputs":{"a":["b"],"b":"b"}"#),
        (r#""owner":"o","repo":"deep""#, r#""owner":"evil","repo":"deep""#),
        (r#""inputs":{"deep":"deep"},"#, ""),
        (r#","narHash":"j""#, ""),
    ] {
        let evil = LOCK.replace(from, to);
        assert_ne!(evil, LOCK, "{from}");
        let play = says(&format!("{evil}\n"), "evaluated; exit 255");
        play.stage.write("flake/flake.nix", FLAKE);
        play.stage.write("flake/flake.lock", LOCK);
        let run = play.stage.rebuild(&line(&play, ""));
        assert!(
            run.code > 0 && run.stderr.contains("cannot be it"),
            "{to}: {}",
            run.stderr
        );
        assert_eq!(play.stage.read("flake/flake.lock"), LOCK, "{to}");
        play.nothing_is_changed();
    }
    // An honest one is taken.
    let play = says(&format!("{LOCK}\n"), "evaluated; exit 255");
    play.stage.write("flake/flake.nix", FLAKE);
    play.stage.write("flake/flake.lock", LOCK);
    let run = play.stage.rebuild(&line(&play, ""));
    assert!(run.stderr.contains("wrote "), "{}", run.stderr);
}
