//! Several evaluators or builders, of which the first that answers is used, and machines that have to be woken. Here ssh
//! is a stand-in that says what the real one says of a machine that is not there.

use std::time::{Duration, Instant};

use crate::stubs::{Run, Stage};
use crate::{DRV, SYSTEM, good_session};

const NO_ROUTE: &str = "ssh: connect to host HOST port 22: No route to host";
const REFUSED: &str = "ssh: connect to host HOST port 22: Connection refused";
const NO_KEY: &str = "HOST: Permission denied (publickey).";

/// Returns a stage on which ssh does not get to these hosts, each with its reason. A host is there, whatever is said
/// here, as soon as there is a file `HOST-is-awake`. The others behave as they should.
fn stage(absent: &[(&str, &str)]) -> Stage {
    let stage = Stage::new();
    let cases = absent.iter().map(|(host, text)| {
        let text = text.replace("HOST", host);
        format!("*\" -- {host} \"*) [ -e {host}-is-awake ] || {{ echo '{text}' >&2; exit 255; }} ;;\n")
    });
    let cases: String = cases.collect();
    let session = good_session("say no-socket; say finished");
    let session = session.replacen(
        "hear_script",
        &format!(
            "hear_script
             if grep -q 'event current' script; then say host desktop; say user me; say hello 1000; read -r x; exit; fi
             if ! grep -q 'event evaluating' script; then
                say hello /usr/bin x; say building; say built {SYSTEM}; say no-socket; say finished; exit
             fi"
        ),
        1,
    );
    stage.stub("ssh", &format!("case \"$*\" in {cases} esac\n{session}"));
    stage.stub("nix-copy-closure", "");
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    stage.stub("nix-instantiate", &format!("echo {DRV}"));
    stage.stub("nix", "");
    stage
}

/// Returns the hosts that ssh was told to connect to, in their order.
fn logins(stage: &Stage) -> Vec<String> {
    let calls = stage.calls();
    let hosts = calls.iter().filter(|call| call.starts_with("ssh ")).map(|call| {
        let (_, rest) = call.split_once(" -- ").unwrap();
        rest.split(' ').next().unwrap().to_owned()
    });
    hosts.collect()
}

fn has_lines(run: &Run, lines: &[&str]) {
    let mut rest = run.stderr.as_str();
    for line in lines {
        let place = rest.find(&format!("\n{line}"));
        assert!(place.is_some(), "{line}: {}", run.stderr);
        let place = place.unwrap();
        rest = &rest[place + 1..];
    }
}

#[test]
fn the_first_of_a_list_that_answers_does_the_work() {
    for variable in [true, false] {
        let stage = stage(&[("desktop", NO_ROUTE), ("tower", REFUSED)]);
        let mut line = "build --no-lend";
        if variable {
            stage.variable("REBUILD_EVAL_HOST", "desktop,tower,laptop");
        } else {
            line = "build --no-lend --eval-on desktop,tower,laptop";
        }
        let run = stage.rebuild(line);
        run.gives(SYSTEM);
        has_lines(
            &run,
            &[
                "desktop cannot be reached (ssh: connect to host desktop port 22: No route to host): tower evaluates and builds\n",
                "tower cannot be reached (ssh: connect to host tower port 22: Connection refused): laptop evaluates and builds\n",
            ],
        );
        // One that answers is logged in to for the work alone.
        assert_eq!(logins(&stage), ["desktop", "tower", "laptop"]);
        assert!(
            stage
                .calls()
                .iter()
                .all(|call| !call.starts_with("ssh ") || call.contains("ConnectTimeout=10"))
        );
        assert!(
            stage
                .calls()
                .contains(&format!("nix-copy-closure --from laptop {SYSTEM}"))
        );
    }
}

#[test]
fn a_list_whose_first_answers_costs_nothing() {
    let stage = stage(&[]);
    stage.write(
        "home/.config/rebuild.json",
        "{ \"evalHost\": [\"desktop\", \"laptop\"], \"lend\": false }",
    );
    stage.rebuild("build").gives(SYSTEM);
    assert_eq!(logins(&stage), ["desktop"]);
}

/// If a refused key were passed over, the wrong machine would work for months.
#[test]
fn a_host_that_answers_is_not_passed_over() {
    for text in [
        NO_KEY,
        "Host key verification failed.",
        "kex_exchange_identification: Connection closed by remote host",
    ] {
        let stage = stage(&[("desktop", text)]);
        let run = stage.rebuild("build --eval-on desktop,laptop --wake false");
        assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
        assert_eq!(logins(&stage), ["desktop"], "{text}");
    }
}

#[test]
fn if_none_of_a_list_answers_it_ends_or_is_done_here() {
    let absent = [("desktop", NO_ROUTE), ("laptop", REFUSED)];
    let of_file = "{ \"evalHost\": [\"desktop\", \"laptop\"] }";
    let ended = stage(&absent);
    ended.write("home/.config/rebuild.json", of_file);
    let run = ended.rebuild("build");
    assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
    assert!(
        run.stderr.contains("\nerror: laptop cannot be reached"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("\n  rebuild build --eval-host ''  evaluates and builds here, this once\n"),
        "{}",
        run.stderr
    );
    let here = stage(&absent);
    here.write("home/.config/rebuild.json", of_file);
    let run = here.rebuild("build --if-unreachable local");
    run.gives(SYSTEM);
    has_lines(
        &run,
        &[
            "warning: laptop cannot be reached",
            "  so this machine evaluates and builds\n",
        ],
    );
    for stage in [&ended, &here] {
        assert_eq!(logins(stage), ["desktop", "laptop"]);
    }
}

/// It is tried before the evaluation here, which takes long, and that connection is shared.
#[test]
fn builders_of_a_list_are_tried_before_the_evaluation() {
    let stage = stage(&[("desktop", NO_ROUTE)]);
    let run = stage.rebuild("build --no-lend --build-on desktop,laptop");
    run.gives(SYSTEM);
    has_lines(
        &run,
        &["desktop cannot be reached (ssh: connect to host desktop port 22: No route to host): laptop builds\n"],
    );
    let calls = stage.calls();
    let place = |name: &str| calls.iter().position(|call| call.starts_with(name)).unwrap();
    assert!(place("nix-instantiate ") > calls.iter().position(|call| call.contains(" -- laptop ")).unwrap());
    let laptop = calls.iter().filter(|call| call.contains(" -- laptop "));
    assert!(
        laptop.clone().count() > 1 && laptop.clone().all(|call| call.contains("ControlMaster=auto")),
        "{calls:?}"
    );
}

#[test]
fn a_machine_that_is_woken_does_the_work() {
    let stage = stage(&[("desktop", NO_ROUTE), ("laptop", REFUSED)]);
    stage.write(
        "home/.config/rebuild.json",
        "{ \"evalHost\": [\"desktop\", \"laptop\"], \"lend\": false, \"wakeTimeout\": 600,
           \"wake\": \"echo up >>woken; echo 'to stdout'; echo 'to stderr' >&2; : >desktop-is-awake\" }",
    );
    let run = stage.rebuild("build");
    run.gives(SYSTEM);
    has_lines(
        &run,
        &[
            "desktop cannot be reached (ssh: connect to host desktop port 22: No route to host): laptop evaluates and builds\n",
            "laptop cannot be reached (",
            "waking desktop or laptop: the command of 'wake' runs...\n",
            "to stdout\nto stderr\n",
            "waiting for desktop or laptop to wake, for at most ",
            "desktop answers, after ",
        ],
    );
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    assert_eq!(stage.read("woken"), "up\n");
    // The connection that was made for trying is shared with the work.
    assert_eq!(logins(&stage), ["desktop", "laptop", "desktop", "desktop"]);
    let calls = stage.calls();
    let after: Vec<_> = calls
        .iter()
        .filter(|call| call.contains(" -- desktop "))
        .skip(1)
        .collect();
    assert!(
        after.iter().all(|call| call.contains("ControlMaster=auto")),
        "{calls:?}"
    );
    // Only while it is waited for must ssh not ask anything.
    let batch: Vec<bool> = after.iter().map(|call| call.contains("BatchMode=yes")).collect();
    assert_eq!(batch, [true, false]);
}

/// The command is run once for all machines of a run, before the evaluation here.
#[test]
fn a_builder_is_woken_before_the_evaluation() {
    let stage = stage(&[("desktop", NO_ROUTE)]);
    let run = stage.rebuild("build --no-lend --build-on desktop --wake date>>woken;:>desktop-is-awake");
    run.gives(SYSTEM);
    let calls = stage.calls();
    let place = |part: &str| calls.iter().position(|call| call.contains(part)).unwrap();
    assert!(place("nix-instantiate ") > place("BatchMode=yes"), "{calls:?}");
    assert_eq!(stage.read("woken").lines().count(), 1);
}

/// Everybody may read arguments, and what is printed may be kept.
#[test]
fn a_secret_in_the_command_is_neither_an_argument_nor_shown() {
    let stage = stage(&[("desktop", NO_ROUTE)]);
    stage.variable("REBUILD_EVAL_HOST", "desktop");
    let command = ": token=of-a-sleeper; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >arguments; exit 3";
    stage.variable("REBUILD_WAKE", command);
    let run = stage.rebuild("build");
    assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
    assert!(!run.stderr.contains("of-a-sleeper"), "{}", run.stderr);
    assert!(stage.read("arguments").contains("rebuild"));
    assert!(!stage.read("arguments").contains("of-a-sleeper"));
}

#[test]
fn a_wake_that_fails_waits_for_nothing() {
    for (command, how) in [
        ("exit 7", "has failed with exit status 7"),
        ("kill -9 $$", "has failed with exit status 137"),
    ] {
        let stage = stage(&[("desktop", NO_ROUTE)]);
        stage.variable("REBUILD_EVAL_HOST", "desktop");
        stage.variable("REBUILD_WAKE", command);
        let run = stage.rebuild("build");
        assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
        let warning = format!("warning: the command of 'wake' {how}, so nothing is waited for\n");
        has_lines(&run, &[&warning, "error: desktop cannot be reached ("]);
        assert!(
            run.stderr.contains("evaluates and builds here, this once\n"),
            "{}",
            run.stderr
        );
        assert_eq!(logins(&stage), ["desktop"]);
        // The fallback is the same as ever.
        let run = stage.rebuild("build --if-unreachable local");
        run.gives(SYSTEM);
    }
}

#[test]
fn a_machine_that_never_comes_is_given_up_after_the_limit() {
    let stage = stage(&[("desktop", NO_ROUTE)]);
    let line = "build --eval-on desktop --wake true --wake-timeout 1 --if-unreachable local";
    let run = stage.rebuild(line);
    run.gives(SYSTEM);
    has_lines(
        &run,
        &[
            "waiting for desktop to wake, for at most 1 s...\n",
            "warning: no answer from desktop after 1 s\n",
            "warning: desktop cannot be reached (",
            "  so this machine evaluates and builds\n",
        ],
    );
    assert!(logins(&stage).len() >= 2);
    // A command that stays is ended at the same limit.
    let run = stage.rebuild("build --eval-on desktop --wake cat<fifo --wake-timeout 1");
    assert_eq!(run.code, 255);
    stage.sh("mkfifo fifo");
    let run = stage.rebuild("build --eval-on desktop --wake cat<>fifo --wake-timeout 1");
    assert_eq!(run.code, 255);
    has_lines(
        &run,
        &[
            "warning: the command of 'wake' has not ended within 1 s (",
            "error: desktop cannot be reached (",
        ],
    );
}

/// A machine that has woken and refuses the key is an error of that machine, also if the time is over meanwhile.
#[test]
fn a_woken_machine_that_refuses_is_an_error() {
    refuses_after_waking("");
    refuses_after_waking("--wake-timeout 1");
}

fn refuses_after_waking(flags: &str) {
    let stage = stage(&[("desktop", NO_ROUTE), ("laptop", REFUSED)]);
    let stub = stage.read("bin/ssh").replace(
        "case \"$*\" in *\" -- desktop",
        &format!(
            "if [ -e woken ]; then case \"$*\" in *' -- desktop '*) echo '{}' >&2; exit 255; esac; fi\ncase \"$*\" in *\" -- desktop",
            NO_KEY.replace("HOST", "desktop")
        ),
    );
    stage.write("bin/ssh", &stub);
    let line = format!("build --eval-on desktop,laptop --wake :>woken --if-unreachable local {flags}");
    let run = stage.rebuild(&line);
    assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
    assert!(
        run.stderr.contains("\nerror: desktop refuses this user's keys"),
        "{}",
        run.stderr
    );
    assert!(!stage.calls().iter().any(|call| call.starts_with("nix-build")));
}

#[test]
fn ctrl_c_ends_the_waiting() {
    for (wake, sign) in [(":", "tried-again"), (":>tried-again;cat<>fifo", "tried-again")] {
        let stage = stage(&[("desktop", NO_ROUTE)]);
        stage.sh("mkfifo fifo");
        let stub = stage.read("bin/ssh").replace(
            "case \"$*\" in *\" -- desktop",
            "case \"$*\" in *BatchMode*) : >tried-again ;; esac\ncase \"$*\" in *\" -- desktop",
        );
        stage.write("bin/ssh", &stub);
        let line = format!("build --eval-on desktop --wake {wake} --wake-timeout 3600 --if-unreachable local");
        let mut child = stage.start(&line);
        stage.wait_for(sign);
        let begin = Instant::now();
        child.signal("INT");
        let run = child.finish_within(Duration::from_secs(20)).unwrap();
        assert_eq!((run.code, run.stdout.as_str()), (130, ""), "{}", run.stderr);
        assert!(begin.elapsed() < Duration::from_secs(2), "{wake}");
        assert!(!stage.calls().iter().any(|call| call.starts_with("nix-build")));
    }
}

/// On a terminal a live line says what is waited for, and for how long it has been.
#[test]
fn the_waiting_is_seen_live() {
    let stage = stage(&[("desktop", NO_ROUTE)]);
    stage.variable("TERM", "xterm");
    let line = "build --eval-on desktop,laptop --wake : --wake-timeout 3600";
    let stub = stage.read("bin/ssh").replace(
        "case \"$*\" in *\" -- desktop",
        "case \"$*\" in *\" -- laptop \"*) echo 'ssh: connect to host laptop port 22: Connection refused' >&2; exit 255 ;; esac\ncase \"$*\" in *\" -- desktop",
    );
    stage.write("bin/ssh", &stub);
    let mut run = stage.start_at_terminal(line);
    run.wait_for_text("for desktop or 1 other to wake");
    run.wait_for_text(" 1 s ");
    run.running.signal("INT");
    let run = run.finish();
    assert_eq!(run.code, 130, "{}", run.stderr);
}
