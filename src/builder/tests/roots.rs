//! What scripts/roots.sh asks of `nix-store --serve`, and when.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const FIRST: &str = "/nix/store/00000000000000000000000000000000-first.drv";
const SECOND: &str = "/nix/store/11111111111111111111111111111111-b";

/// Runs a script after those of the other machine, in a run's directory.
fn run(work: &Path, script: &str) -> Vec<u8> {
    let before = "set -u; work=$PWD holder='' rb_watches=yes at_once='' remote=daemon\nattend() { \"$@\"; }\n\
                  adopt_again() { :; }\n";
    let text = [before, include_str!("../scripts/roots.sh"), script].concat();
    let output = Command::new("sh")
        .current_dir(work)
        .args(["-c", &text])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

/// Returns a number as Nix's protocol has it.
fn number(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}
fn text(value: &str) -> Vec<u8> {
    let padding = vec![0; (8 - value.len() % 8) % 8];
    [number(value.len() as u64), value.as_bytes().to_vec(), padding].concat()
}
fn request(paths: &[&str]) -> Vec<u8> {
    let paths_there = paths.iter().map(|path| text(path));
    let head = [1, 1, 0, paths.len() as u64].map(number).concat();
    [head, paths_there.collect::<Vec<_>>().concat()].concat()
}

#[test]
fn numbers_and_texts_as_nix_reads_them() {
    let work = tempfile::tempdir().unwrap();
    for value in [0, 7, 255, 256, 518, 65535, 1_000_000] {
        assert_eq!(run(work.path(), &format!("number {value}")), number(value));
    }
    let script = format!("printf '%s\\n' {FIRST} {SECOND} | ask_to_hold 2");
    assert_eq!(run(work.path(), &script), request(&[FIRST, SECOND]));
}

#[test]
fn what_the_log_says_is_held_as_it_comes() {
    let work = tempfile::tempdir().unwrap();
    let log = format!(
        "@nix {{\"action\":\"msg\",\"level\":5,\"msg\":\"instantiated 'first' -> '{FIRST}'\"}}\n\
         @nix {{\"action\":\"msg\",\"level\":4,\"msg\":\"evaluating file '/nix/store/22222222222222222222222222222222-no'\"}}\n\
         @nix {{\"action\":\"msg\",\"level\":0,\"msg\":\"error: '' is not valid\"}}\n\
         @nix {{\"action\":\"msg\",\"level\":5,\"msg\":\"copied source '/etc/x' -> '{SECOND}'\"}}\n"
    );
    fs::write(work.path().join("log"), log).unwrap();
    let held = run(work.path(), "exec 6>&1; hold_as_it_comes <log");
    assert_eq!(held, [request(&[FIRST]), request(&[SECOND])].concat());
}

/// Returns a script's beginning with a `nix-store` that notes what it hears and answers some bytes.
fn with_stand_in(work: &Path) -> String {
    let program = work.join("nix-store");
    // The answer is as long as a greeting of 16 bytes and the beginning of an answer to the request.
    let stand_in = format!(
        "#!/bin/sh\nhead -c 24 /dev/zero\ncat >'{0}/heard'\n: >'{0}/ended'\n",
        work.display()
    );
    fs::write(&program, stand_in).unwrap();
    Command::new("chmod").arg("755").arg(&program).status().unwrap();
    "nix_bin=$PWD\n".to_owned()
}

/// `nix eval` leaves its derivation unprotected, so the next collection of garbage takes it.
#[test]
fn a_derivation_without_a_root_is_held_and_made_again_if_it_is_gone() {
    for (gives_value, root, is_there, expected, asked) in [
        ("no", false, true, "held\nheld again\n", true),
        ("no", false, false, "held again\n", true),
        ("no", true, false, "held\nheld again\n", false),
        ("yes", false, false, "held\nheld again\n", false),
    ] {
        let work = tempfile::tempdir().unwrap();
        let place = work.path();
        let derivation = place.join("x.drv");
        fs::write(place.join("instantiate.out"), derivation.to_str().unwrap()).unwrap();
        if root {
            symlink(&derivation, place.join("drv")).unwrap();
        }
        if is_there {
            fs::write(&derivation, "").unwrap();
        }
        // A path that was protected and is gone all the same is gone for another reason: there is no third time.
        let script = with_stand_in(place)
            + &format!(
                "share=$PWD rb_gives_value={gives_value}\nhold_derivation && echo held; exec 6<&-; wait
                 hold_derivation && echo held again; exec 6<&-; wait"
            );
        assert_eq!(
            String::from_utf8(run(place, &script)).unwrap(),
            expected,
            "value: {gives_value}, root: {root}"
        );
        let heard = fs::read(place.join("heard")).unwrap_or_default();
        let greeting = [number(0x390c_9deb), number(518)].concat();
        let whole = [greeting, request(&[derivation.to_str().unwrap()])].concat();
        assert_eq!(
            heard,
            if asked { whole } else { vec![] },
            "value: {gives_value}, root: {root}"
        );
    }
}

#[test]
fn what_was_written_is_held_once_something_of_it_is_lost() {
    let log = |last: &str| {
        format!(
            "@nix {{\"action\":\"msg\",\"level\":4,\"msg\":\"evaluating file '/nix/store/22222222222222222222222222222222-no'\"}}\n\
             @nix {{\"action\":\"msg\",\"level\":5,\"msg\":\"instantiated 'first' -> '{FIRST}'\"}}\n{last}\n"
        )
    };
    let lost = format!(
        "@nix {{\"action\":\"msg\",\"level\":0,\"msg\":\"error: path '\\u001b[35;1m{SECOND}\\u001b[0m' is not valid\"}}"
    );
    let other = "@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"error: attribute 'x' missing\"}";
    for (last, again) in [(lost.as_str(), true), (other, false)] {
        let work = tempfile::tempdir().unwrap();
        fs::write(work.path().join("evaluated"), log(last)).unwrap();
        let script =
            with_stand_in(work.path()) + "hold_more && echo again; exec 6<&-; wait; hold_more && echo and-again";
        let said = String::from_utf8(run(work.path(), &script)).unwrap();
        // A path that is protected and lost all the same was not taken by a collection.
        assert_eq!(said, if again { "again\n" } else { "" });
        let heard = fs::read(work.path().join("heard")).unwrap_or_default();
        let greeting = [number(0x390c_9deb), number(518)].concat();
        let expected = [greeting, request(&[FIRST, SECOND])].concat();
        assert_eq!(heard, if again { expected } else { vec![] });
    }
}

/// A pure evaluation has no log of its files. What was adopted for it is nobody's, so a collection takes it at any moment.
#[test]
fn what_was_adopted_is_held_once_it_is_lost() {
    let there = tempfile::NamedTempFile::new().unwrap();
    let there = there.path().to_str().unwrap();
    // What was adopted, what was protected before, and what is asked for then; none if nothing was collected.
    let rows: [(&[&str], &[&str], &[&str]); 5] = [
        (&[], &[], &[]),
        (&[there], &[], &[]),
        (&[FIRST, there], &[], &[FIRST, there]),
        (&[FIRST, SECOND], &[FIRST], &[FIRST, SECOND]),
        (&[FIRST], &[FIRST], &[]),
    ];
    for (adopted, held, asked) in rows {
        let work = tempfile::tempdir().unwrap();
        let lines = |paths: &[&str]| paths.iter().flat_map(|path| [*path, "\n"]).collect::<String>();
        fs::write(work.path().join("adopted"), lines(adopted)).unwrap();
        fs::write(work.path().join("held"), lines(held)).unwrap();
        let script = with_stand_in(work.path())
            + "adopt_again() { echo adopted again; }\nhold_more && echo again; exec 6<&-; wait; hold_more && echo and-again";
        let said = String::from_utf8(run(work.path(), &script)).unwrap();
        let context = format!("adopted: {adopted:?}, held: {held:?}");
        assert_eq!(
            said,
            if asked.is_empty() { "" } else { "adopted again\nagain\n" },
            "{context}"
        );
        let heard = fs::read(work.path().join("heard")).unwrap_or_default();
        let mut expected = if asked.is_empty() {
            vec![]
        } else {
            [number(0x390c_9deb), number(518)].concat()
        };
        if !asked.is_empty() {
            expected.extend(request(asked));
        }
        assert_eq!(heard, expected, "{context}");
    }
}

/// The run goes on with a derivation after the job that has evaluated it.
#[test]
fn what_a_job_protects_stays_protected_until_the_run_ends() {
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("held"), format!("{FIRST}\n")).unwrap();
    let script = with_stand_in(work.path())
        + "exec 4<>lock; flock 4; (exec 9>record; flock 9; hold_before; leave_holder; exec 6<&-) 4>&4
           flock -n record true && echo the job is over
           [ ! -e ended ] && echo held
           exec 4<&-; wait; until [ -e ended ]; do sleep 0.1; done; echo free";
    assert_eq!(
        String::from_utf8(run(work.path(), &script)).unwrap(),
        "the job is over\nheld\nfree\n"
    );
}
