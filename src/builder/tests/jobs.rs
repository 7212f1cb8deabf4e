//! Runs pieces of scripts/detached.sh, with a clock of its own and with other runs that come at bad moments.

use std::process::{Command, Stdio};

/// A job that waits until it is told to end, whose record is one.1, and the words of a run.
const JOB: &str = "
    set -u
    umask 077
    fail() { echo \"failed $*\"; exit 1; }
    state=$PWD rb_job=one rb_about=pi followed='' is_detached='' work=$PWD
    find_records
    begin_record one.1 '' about || exit
    one=$record
    write() { echo \"$1\" >\"$2\"; }
    sh -c '
        exec 9>>\"$1/lock\"; flock 9; exec 8>&-; : >\"$1/begun\"
        trap \"exit 0\" TERM
        : >\"$1/held\"
        tail -f /dev/null 8>&- 9>&- & wait \"$!\"; kill \"$!\"' job \"$one\" >/dev/null 2>&1 &
    echo \"$!\" >\"$one/process\"
    exec 8>&-
    trap 'kill \"$(cat \"$one/process\")\" 2>/dev/null' EXIT
    until [ -e \"$one/held\" ]; do command sleep 0.01; done\n";

/// Says what this script says, after the job was begun.
fn says(script: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let scripts = [
        include_str!("../../remote/scripts/events.sh"),
        include_str!("../../remote/scripts/records.sh"),
        include_str!("../../remote/scripts/held.sh"),
        include_str!("../scripts/detached.sh"),
        include_str!("../scripts/jobs.sh"),
        JOB,
        script,
    ];
    let output = Command::new("sh")
        .current_dir(place.path())
        .args(["-c", &scripts.concat()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The minutes count in which nobody followed the job, one after the other. Whoever follows it for one of them makes them
/// begin anew.
#[test]
fn a_job_ends_after_so_many_minutes_without_a_follower() {
    let said = says(
        "sleep() {
            echo \"$1\" >>naps
            case $(grep -c . naps) in
            3)
                (exec 8<\"$one/followed\"; flock -s 8; exec tail -f /dev/null) >/dev/null 2>&1 &
                echo \"$!\" >follower
                while flock -n \"$one/followed\" true; do command sleep 0.01; done
                ;;
            5)
                kill -KILL \"$(cat follower)\"
                until flock -n \"$one/followed\" true; do command sleep 0.01; done
                ;;
            esac
        }
        : >\"$one/followed\"
        rb_alone=4
        guard
        while is_held \"$one/lock\"; do command sleep 0.01; done
        sort naps | uniq -c",
    );
    // The minutes 1 and 2 do not count any more; 5 to 8 do.
    assert_eq!(said.trim(), "8 60");
}

/// The watch over a job ends with it, and not after its last minute.
#[test]
fn a_job_that_is_over_is_not_watched() {
    let said = says(
        "sleep() { echo >>naps; [ \"$(grep -c '' naps)\" != 2 ] || { kill \"$(cat \"$one/process\")\"
            while is_held \"$one/lock\"; do command sleep 0.01; done; }; }
        rb_alone=1000
        guard
        grep -c '' naps",
    );
    assert_eq!(said, "2\n");
}

/// A job of the same derivation is followed from the byte where its build began, but not one that is over, nor one that is
/// being ended.
#[test]
fn only_a_job_that_builds_is_joined() {
    let begins = "
        echo 12345 >\"$one/log\"
        (record=$one begin_building /nix/store/x.drv) || exit
        begin_record two.1 '' about || exit
        exec 8>&-
        (begin_building \"$wanted\")
        cat \"$record/status\" \"$record/builds\" 2>/dev/null | head -n 1";
    let others = "wanted=/nix/store/y.drv";
    for (before, expected) in [
        ("wanted=/nix/store/x.drv", "joins /nix/store/x.drv one.1 6"),
        (others, "/nix/store/y.drv 0"),
    ] {
        assert_eq!(says(&format!("{before}\n{begins}")).trim(), expected, "{before}");
    }
    // What `end_job` does first of all, while the lock is still held.
    let gone = begins.replace("begin_record two.1", "rm \"$one/builds\"; begin_record two.1");
    let over = begins.replace(
        "begin_record two.1",
        "kill \"$(cat \"$one/process\")\"; while is_held \"$one/lock\"; do command sleep 0.01; done; begin_record two.1",
    );
    let given_up = begins.replace("begin_record two.1", "record=$one; give_up; begin_record two.1");
    for begins in [gone, over, given_up] {
        let said = says(&format!("wanted=/nix/store/x.drv\n{begins}"));
        assert_eq!(said.trim(), "/nix/store/x.drv 0", "{begins}");
    }
}

/// Whoever has joined a job keeps it as long as they live, even before they follow it; but nobody keeps a job from themselves.
#[test]
fn whoever_has_joined_a_job_keeps_it() {
    let said = says(
        "record=$one
        session=$(began_at \"$$\")
        (begin_building /nix/store/x.drv)
        begin_record two.1 '' about
        exec 8>&-
        (begin_building /nix/store/x.drv)
        record=$one
        [ -s \"$one/joined\" ] && echo joined
        is_followed && echo own
        tail -f /dev/null >/dev/null 2>&1 &
        other=$!
        echo \"$other $(began_at \"$other\")\" >>\"$one/joined\"
        is_followed || echo nobody
        give_up && echo given up
        [ ! -e \"$one/given-up\" ] || echo marked
        kill -KILL \"$other\"
        wait \"$other\"
        # One that was cut, by a full disk.
        echo \"$other \" >>\"$one/joined\"
        is_followed && echo dead
        give_up || echo kept
        [ -e \"$one/given-up\" ] && echo gone",
    );
    assert_eq!(said.replace("Killed", "").trim(), "joined\ngone");
}

/// Whoever asks whether a job is followed does not hold it.
#[test]
fn to_ask_is_not_to_follow() {
    let said = says(
        "is_followed && echo followed
        : >\"$one/followed\"
        is_followed && echo followed
        is_followed && echo followed
        follow
        record=$one
        (exec 8<&-; is_followed) && echo yes
        stop_following
        is_followed || echo no",
    );
    assert_eq!(said, "yes\nno\n");
}

/// What a run knows of its own jobs is told, so that nobody is told of it again.
#[test]
fn who_has_heard_of_the_end_is_told() {
    let told = |before: &str| {
        says(&format!(
            "{before}; tell_job one.1 | sed 's/^@rebuild //; s/ .*//' | tr '\\n' ' '"
        ))
    };
    assert_eq!(told(":").trim(), "record aged running");
    assert_eq!(
        told(": >\"$one/heard\"; : >\"$one/followed\"").trim(),
        "record aged heard running"
    );
}

/// Whoever comes back to a job that is over hears for how long nothing was done; and nothing of that while it goes on.
#[test]
fn who_comes_back_late_hears_how_late() {
    let said = says(
        "tell_rest one.1
        echo 'made /nix/store/x.drv' >\"$one/status\"
        touch -d '100 seconds ago' \"$one/status\"
        tell_rest one.1 | sed 's/ 10[0-9]$/ some 100/'",
    );
    assert_eq!(said, "@rebuild idle some 100\n");
}
