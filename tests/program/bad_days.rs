//! Links that break, machines that do not answer, and answers that make no sense.

use super::*;

#[test]
fn every_way_of_not_connecting_has_its_message_and_changes_nothing() {
    for (text, expected) in [
        (
            "ssh: Could not resolve hostname builder: Name or service not known",
            "no machine is known by the name 'builder'",
        ),
        (
            "ssh: connect to host builder port 22: Connection refused",
            "builder cannot be reached",
        ),
        (
            "builder: Permission denied (publickey).",
            "builder refuses this user's keys",
        ),
        (
            "Host key verification failed.",
            "the host key of builder is unknown or has changed",
        ),
    ] {
        let stage = Stage::new();
        stage.stub("ssh", &format!("echo '{text}' >&2; exit 255"));
        let run = stage.rebuild("switch --eval-on builder");
        assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{text}");
        assert!(run.stderr.contains(&format!("error: {expected}")), "{}", run.stderr);
        assert_eq!(stage.calls().len(), 1);
    }
}

#[test]
fn a_builder_without_nix_is_named() {
    let stage = Stage::new();
    stage.stub("ssh", "hear_script; say failed no-nix 127; exit 127");
    let run = stage.rebuild("switch --eval-on builder");
    assert_eq!(run.code, 127);
    assert!(run.stderr.contains("error: builder has no Nix"), "{}", run.stderr);
}

#[test]
fn a_link_that_breaks_is_never_a_no() {
    let late = good_session("exit 255").replace("say hello", ": say hello");
    for after in ["", "say receiving none", &late] {
        let stage = Stage::new();
        stage.stub(
            "ssh",
            &format!(
                "hear_script\nsay hello /usr/bin x\n{}\nexit 255",
                after.trim_start_matches("hear_script")
            ),
        );
        let run = stage.rebuild("switch --eval-on builder --no-lend");
        assert_eq!(run.code, 255, "{after}: {}", run.stderr);
        assert!(
            run.stderr
                .contains("the connection to builder broke, nothing was changed here"),
            "{}",
            run.stderr
        );
        assert_eq!(stage.calls().len(), 1, "{after}");
    }
}

/// If there is more to send than a pipe holds, the writing fails as well: that is the same broken link.
#[test]
fn a_link_that_breaks_while_files_go_is_the_same() {
    let stage = Stage::new();
    stage.write("etc/nixos/big", &"x".repeat(3_000_000));
    stage.write("etc/nixos/hardware.nix", "{ big = ./big; }");
    stage.stub(
        "ssh",
        "hear_script; say hello /usr/bin x; say receiving none; sleep 0.3; exit 255",
    );
    let run = stage.rebuild("switch --eval-on builder --no-lend");
    assert_eq!(run.code, 255);
    assert!(run.stderr.contains("the connection to builder broke"), "{}", run.stderr);
}

/// A file that cannot be read is another matter: the message names the file.
#[test]
fn a_file_that_vanishes_is_named() {
    // What the other side says of a stream that was cut off is no news.
    for last_words in [
        "read -r x",
        "say failed unpack 2; exit 2",
        "say failed link 255; exit 255",
    ] {
        let stage = Stage::new();
        let file = stage.path("etc/nixos/hardware.nix");
        stage.stub(
            "ssh",
            &format!(
                "hear_script; say hello /usr/bin x; rm {}; say receiving none; hear_change; {last_words}",
                file.display()
            ),
        );
        let run = stage.rebuild("switch --eval-on builder --no-lend");
        assert_eq!(run.code, 1);
        let expected = format!("this machine → builder: cannot send {}: No such file", file.display());
        assert!(run.stderr.contains(&expected), "{last_words}: {}", run.stderr);
    }
}

/// Both streams carry more than any pipe holds, at the same time.
#[test]
fn a_flood_on_both_streams_does_not_hang() {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        &good_session("yes 'a line of text' | head -c 400000 >&2 & yes 'a line wi' | head -c 400000; wait; say no-socket; say finished"),
    );
    stage.stub("nix-copy-closure", "");
    stage.stub("nix-store", "");
    let run = stage.rebuild("build --eval-on builder --no-lend");
    assert_eq!(run.code, 0);
    assert!(run.stderr.len() > 700_000, "{}", run.stderr.len());
}

#[test]
fn a_builder_that_does_not_answer_a_ctrl_c_is_left() {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        "hear_script; say hello /usr/bin x; : >talking; trap '' TERM; sleep 60",
    );
    let mut child = stage.start("switch --eval-on builder");
    stage.wait_for("talking");
    let begin = Instant::now();
    child.signal("INT");
    assert_eq!(child.finish().code, 130);
    assert!(begin.elapsed() < Duration::from_secs(10));
}

/// Only the output of a job is counted, and a builder has no job.
#[test]
fn a_builder_that_counts_bytes_is_refused() {
    for (count, bytes) in [("0", ""), ("5", ""), ("5", "printf hello; ")] {
        let stage = Stage::new();
        stage.stub(
            "ssh",
            &format!("hear_script; say hello /usr/bin x; say chunk {count}; {bytes}exit 255"),
        );
        let run = stage.rebuild("switch --eval-on builder --no-lend");
        let expected = format!("builder says 'chunk {count}' out of turn");
        assert!(run.code == 1 && run.stderr.contains(&expected), "{}", run.stderr);
    }
}

/// A builder's answer is text from another machine.
#[test]
fn a_result_that_is_no_store_path_is_refused() {
    for path in ["/etc", "/nix/store/../../etc", "--option", "/nix/store/.links"] {
        let stage = Stage::new();
        stage.stub(
            "ssh",
            &good_session("say no-socket; say finished").replace(SYSTEM, path),
        );
        let run = stage.rebuild("switch --eval-on builder --no-lend");
        assert_eq!(run.code, 1, "{path}: {}", run.stderr);
        assert!(
            run.stderr.contains("builder gives as the result is no store path"),
            "{}",
            run.stderr
        );
        assert_eq!(stage.calls().len(), 1);
    }
}
