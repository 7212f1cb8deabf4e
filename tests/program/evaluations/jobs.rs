//! What is asked about jobs, apart from the runs that began them: `rebuild status`, `attach` and `cancel`.

use serde_json::Value;

use super::away::{building, said_once};
use super::{BUILD, Builder};
use crate::stubs::{Run, Running, Stage};

/// A job whose run is gone, and whose build waits.
fn left() -> Option<Builder> {
    let (builder, mut run) = building()?;
    run.signal("HUP");
    assert_eq!(run.finish().code, 129);
    builder.wait_until("the login to end", || builder.logins_are_over());
    Some(builder)
}

fn status(builder: &Builder) -> Vec<Value> {
    let run = builder.rebuild("status --eval-on builder --json");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["machines"][0]["machine"], "builder");
    assert_eq!(told["machines"][0]["error"], Value::Null);
    told["machines"][0]["jobs"].as_array().unwrap().clone()
}

fn records(builder: &Builder) -> String {
    builder.sh("cat builder/home/.cache/rebuild/*/jobs/*/status 2>/dev/null || :")
}

/// It goes on, with nobody at it; then it has ended, and says where its result is.
#[test]
fn a_job_is_told_while_it_runs_and_after_it_has_ended() {
    let Some(builder) = left() else { return };
    let job = &status(&builder)[0];
    assert_eq!(
        (&job["running"], &job["followed"]),
        (&true.into(), &false.into()),
        "{job}"
    );
    assert_eq!(
        (&job["state"], &job["result"]),
        (&"building".into(), &Value::Null),
        "{job}"
    );
    // What the stand-in for Nix says of its builds.
    assert_eq!(
        job["builds"],
        serde_json::json!({ "done": 1, "expected": 3, "running": 1, "failed": 0 })
    );
    let derivation = job["derivation"].as_str().unwrap().to_owned();
    assert_eq!(derivation.rsplit('.').next(), Some("drv"), "{job}");
    assert!(
        job["age"].as_u64().unwrap() < 600 && job["building_for"].as_u64().unwrap() < 600,
        "{job}"
    );
    let run = builder.rebuild("status --eval-on builder");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let short = &job["name"].as_str().unwrap()[..8];
    assert_eq!((run.code, lines[0], lines.len()), (0, "builder", 3), "{}", run.stdout);
    assert!(
        lines[1].starts_with(&format!("  {short}  builds 1 of 3  for ")),
        "{}",
        run.stdout
    );
    assert_eq!(lines[2], format!("    {}", job["about"].as_str().unwrap()));

    builder.release_build();
    builder.wait_for_jobs();
    let job = &status(&builder)[0];
    assert_eq!(
        (&job["running"], &job["state"]),
        (&false.into(), &"built".into()),
        "{job}"
    );
    let result = job["result"].as_str().unwrap();
    assert!(
        job["ended_ago"].as_u64().unwrap() < 600 && job["derivation"] == derivation.as_str(),
        "{job}"
    );
    let run = builder.rebuild("status --eval-on builder");
    assert!(
        run.stdout.contains("  has built  ") && run.stdout.contains(&format!("\n    {result}\n")),
        "{}",
        run.stdout
    );
    builder.nothing_is_left();
    // The next run brings it home, and nothing is built twice.
    builder.evaluates();
    assert_eq!(builder.builds(), 1);
}

/// A clock that was set meanwhile changes no age of what runs.
#[test]
fn the_clock_of_a_builder_makes_no_nonsense() {
    let Some(builder) = left() else { return };
    // As if the job had begun before the clock was set, in 1970, and its build in the future.
    builder.sh("for about in builder/home/.cache/rebuild/*/jobs/*/about; do
            sed -i 's/ [0-9]*$/ 12/' $about
            touch -d '2100-01-01' ${about%about}builds
         done");
    let job = &status(&builder)[0];
    assert_eq!(job["began"], 12);
    assert!(job["age"].as_u64().unwrap() < 600, "{job}");
    assert_eq!(job["building_for"], 0, "{job}");
    builder.release_build();
    builder.wait_for_jobs();
}

#[test]
fn an_evaluation_that_runs_is_told() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = 1;");
    builder.hold();
    let run = builder.start(BUILD);
    builder.wait_for_evaluations(1);
    let job = &status(&builder)[0];
    assert_eq!(
        (&job["state"], &job["followed"]),
        (&"evaluating".into(), &true.into()),
        "{job}"
    );
    assert_eq!(
        (&job["builds"], &job["derivation"]),
        (&Value::Null, &Value::Null),
        "{job}"
    );
    let told = builder.rebuild("status --eval-on builder").stdout;
    assert!(
        told.contains("  evaluates  for ") && told.contains(", followed\n"),
        "{told}"
    );
    builder.release();
    assert_eq!(run.finish().code, 0);
}

/// Where there is nothing, that is said, and is no failure. What runs of another client is nothing of ours.
#[test]
fn jobs_of_others_are_not_told() {
    let Some(builder) = left() else { return };
    builder.write("client/other/.keep", "");
    builder.variable("XDG_STATE_HOME", "/client/other");
    let run = builder.rebuild("status --eval-on builder");
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    assert!(
        run.stderr.contains("builder: no job of this user runs there"),
        "{}",
        run.stderr
    );
    for verb in ["attach", "cancel", "cancel --all"] {
        let run = builder.rebuild(&format!("{verb} --eval-on builder"));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{verb}: {}", run.stderr);
        assert!(
            run.stderr.contains("no job of this user runs on builder"),
            "{verb}: {}",
            run.stderr
        );
    }
    // Not even by its name.
    let name = builder.sh("ls builder/home/.cache/rebuild/*/jobs | grep -v changing");
    let run = builder.rebuild(&format!("cancel --eval-on builder --job {}", name.trim()));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(records(&builder), "");
    builder.release_build();
    builder.wait_for_jobs();
    assert!(records(&builder).starts_with("built "), "{}", records(&builder));
}

/// An `attach` that has heard of the build.
fn attached(builder: &Builder) -> Running {
    attached_with(builder, "")
}

fn attached_with(builder: &Builder, typed: &str) -> Running {
    let before = builder.sh("ls builder | grep -c '^said.'");
    let run = builder.start(&format!("attach --eval-on builder{typed}"));
    builder.wait_until("it to be followed", || {
        let now = builder.sh("ls builder | grep -c '^said.'");
        let heard = builder.sh("grep -c 'one line of the build' $(ls -t builder/said.* | head -n 1) || :");
        now != before && heard.trim() == "1"
    });
    run
}

/// It shows what was said before it came, and what is said after that, and how to bring the result home.
#[test]
fn a_job_is_followed_to_its_end() {
    let Some(builder) = left() else { return };
    let run = attached(&builder);
    assert_eq!(status(&builder)[0]["followed"], true);
    builder.release_build();
    let run = run.finish();
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    said_once(&run.stderr, "one line of the build");
    said_once(&run.stderr, "another line of the build");
    assert!(
        run.stderr
            .contains("this brings it home: rebuild switch --eval-on builder"),
        "{}",
        run.stderr
    );
    builder.nothing_is_left();
    // What has ended can be read again, by its name.
    let name = status(&builder)[0]["name"].as_str().unwrap()[..6].to_owned();
    let run = builder.rebuild(&format!("attach --eval-on builder --job {name}"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    said_once(&run.stderr, "another line of the build");
    builder.evaluates();
    assert_eq!(builder.builds(), 1);
}

/// Ctrl-C ends no more than the watching, and a terminal that is closed neither.
#[test]
fn whoever_only_watches_ends_nothing() {
    for (signal, code) in [("INT", 130), ("HUP", 129)] {
        let Some(builder) = left() else { return };
        let mut run = attached(&builder);
        run.signal(signal);
        let run = run.finish();
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{}", run.stderr);
        if signal == "INT" {
            let said = "builder goes on with it; to end it: rebuild cancel --eval-on builder";
            assert!(run.stderr.contains(said), "{}", run.stderr);
        }
        builder.wait_until("the login to end", || builder.logins_are_over());
        assert_eq!(status(&builder)[0]["running"], true);
        builder.release_build();
        builder.wait_for_jobs();
        assert!(
            records(&builder).starts_with("built "),
            "{signal}: {}",
            records(&builder)
        );
    }
}

/// Whoever watches comes back as a run does, to the byte where they were.
#[test]
fn a_link_that_breaks_while_somebody_watches() {
    let Some(builder) = left() else { return };
    let run = attached(&builder);
    for _ in 0..2 {
        let before = builder.sh("ls builder/said.*").lines().count();
        builder.break_links();
        builder.wait_until("a new login", || {
            builder.sh("ls builder/said.*").lines().count() > before
        });
    }
    builder.release_build();
    let run = run.finish();
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, ""),
        "{}{}",
        run.stderr,
        builder.said()
    );
    for line in [
        "one line of the build",
        "another line of the build",
        "the connection to builder broke: the work goes on there, connecting again",
        "this brings it home: rebuild switch --eval-on builder",
    ] {
        said_once(&run.stderr, line);
    }
    builder.nothing_is_left();
    builder.evaluates();
    assert_eq!(builder.builds(), 1);
}

/// The work ends while the link is away: whoever watches hears the rest of it, and what it came to.
#[test]
fn work_that_ends_while_the_link_of_a_watcher_is_away() {
    let Some(builder) = left() else { return };
    let run = attached(&builder);
    let ssh = builder.read("bin/ssh");
    builder.stub("ssh", UNREACHABLE);
    builder.break_links();
    builder.release_build();
    builder.wait_for_jobs();
    builder.write("bin/ssh", &ssh);
    let run = run.finish();
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    said_once(&run.stderr, "one line of the build");
    said_once(&run.stderr, "another line of the build");
    assert!(run.stderr.contains("this brings it home: "), "{}", run.stderr);
}

const UNREACHABLE: &str = "echo 'ssh: connect to host builder port 22: No route to host' >&2; exit 255";

/// How long a new connection is tried is the setting of a run; whatever it is, the work goes on. Ctrl-C in the wait ends the
/// watching alone.
#[test]
fn a_link_of_a_watcher_that_stays_away() {
    for (seconds, typed, code, text) in [
        (
            "0",
            "",
            255,
            "error: the connection to builder broke: the work goes on there, ",
        ),
        (
            "600",
            " --reconnect-timeout 1",
            255,
            "error: builder does not come back in 1 second (",
        ),
        (
            "600",
            "",
            130,
            "builder goes on with it; to end it: rebuild cancel --eval-on builder",
        ),
    ] {
        let Some(builder) = left() else { return };
        builder.variable("REBUILD_RECONNECT_TIMEOUT", seconds);
        let mut run = attached_with(&builder, typed);
        let ssh = builder.read("bin/ssh");
        builder.stub("ssh", &format!("echo >>tried; {UNREACHABLE}"));
        builder.break_links();
        if code == 130 {
            builder.wait_until("a try", || builder.path("tried").exists());
            run.signal("INT");
        }
        let run = run.finish();
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{seconds}: {}", run.stderr);
        assert!(run.stderr.contains(text), "{seconds} {text}: {}", run.stderr);
        if code == 255 {
            let later = "run the same command again later: it finds what was done there";
            assert!(run.stderr.contains(later), "{seconds}: {}", run.stderr);
        }
        assert_eq!(
            run.stderr.contains("connecting again"),
            seconds != "0",
            "{}",
            run.stderr
        );
        builder.write("bin/ssh", &ssh);
        assert_eq!(status(&builder)[0]["running"], true);
        builder.release_build();
        builder.wait_for_jobs();
        assert!(records(&builder).starts_with("built "), "{}", records(&builder));
    }
}

/// It ends, although somebody follows it, who is told why. Nothing of it remains.
#[test]
fn a_job_is_ended_by_who_says_so() {
    let Some((builder, run)) = building() else { return };
    let cancelled = builder.rebuild("cancel --eval-on builder");
    assert_eq!(
        (cancelled.code, cancelled.stdout.as_str()),
        (0, ""),
        "{}",
        cancelled.stderr
    );
    assert!(
        cancelled.stderr.contains(" on builder was ended\n"),
        "{}",
        cancelled.stderr
    );
    let run = run.finish();
    assert_eq!(run.code, 130, "{}", run.stderr);
    assert!(
        run.stderr.contains("the work on builder was ended there"),
        "{}",
        run.stderr
    );
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.nothing_is_left();
    assert_eq!(status(&builder)[0]["state"], "cancelled");
    let again = builder.rebuild("cancel --eval-on builder");
    assert_eq!(again.code, 1, "{}", again.stderr);
}

/// Whoever follows a job that is ended there hears that.
#[test]
fn who_watches_a_job_hears_that_it_was_ended() {
    let Some(builder) = left() else { return };
    let run = attached(&builder);
    assert_eq!(builder.rebuild("cancel --eval-on builder").code, 0);
    let run = run.finish();
    assert_eq!(run.code, 130, "{}", run.stderr);
    assert!(
        run.stderr.contains("was ended there") && run.stderr.contains("this goes on: rebuild switch --eval-on builder"),
        "{}",
        run.stderr
    );
    builder.nothing_is_left();
}

/// Of several jobs somebody has to say which is to end.
#[test]
fn of_several_jobs_one_is_named_or_all_are() {
    let Some(builder) = left() else { return };
    builder.write("client/nixos/motd", "good evening");
    let mut second = builder.start(BUILD);
    builder.wait_until("two builds", || {
        builder.sh("ls builder/nix/store | grep -c '^building' || :").trim() == "2"
    });
    second.signal("HUP");
    second.finish();
    let jobs = status(&builder);
    let names: Vec<&str> = jobs.iter().map(|job| job["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "{jobs:?}");
    // The newest comes first.
    assert!(jobs[0]["age"].as_u64() <= jobs[1]["age"].as_u64(), "{jobs:?}");
    let run = builder.rebuild("cancel --eval-on builder");
    assert_eq!(run.code, 2, "{}", run.stderr);
    for name in &names {
        assert!(run.stderr.contains(&format!("--job {name}")), "{}", run.stderr);
    }
    assert!(run.stderr.contains("--all"), "{}", run.stderr);
    assert_eq!(records(&builder), "");
    let run = builder.rebuild(&format!("cancel --eval-on builder --job {}", &names[1][..8]));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let states: Vec<Value> = status(&builder).into_iter().map(|job| job["state"].clone()).collect();
    assert_eq!(states, ["building", "cancelled"]);
    let run = builder.rebuild("cancel --eval-on builder --all");
    assert_eq!(run.code, 0, "{}", run.stderr);
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.nothing_is_left();
}

/// What is refused before anything is asked, and a machine that does not answer.
#[test]
fn what_cannot_be_asked() {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        "echo 'ssh: connect to host builder port 22: No route to host' >&2; exit 255",
    );
    let says = |run: Run, code: i32, text: &str| {
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{}", run.stderr);
        assert!(run.stderr.contains(text), "{text}: {}", run.stderr);
    };
    says(stage.rebuild("status"), 2, "name it: rebuild status --eval-on HOST");
    says(
        stage.rebuild("attach --eval-on="),
        2,
        "name it: rebuild attach --eval-on HOST",
    );
    says(
        stage.rebuild("cancel --eval-on builder --target-host pi2"),
        2,
        "--target-host: jobs are on the machine",
    );
    says(
        stage.rebuild("cancel --eval-on builder --all --job x"),
        2,
        "cannot be used with",
    );
    for verb in ["status", "attach", "cancel"] {
        says(
            stage.rebuild(&format!("{verb} --eval-on builder")),
            255,
            "builder cannot be reached",
        );
    }
    assert!(
        stage
            .rebuild("list-generations --job x")
            .stderr
            .contains("--job: only attach and cancel")
    );
}
