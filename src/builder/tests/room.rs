//! A disk that becomes full, or a directory that is removed, during a run. Nothing may be made of half of what was
//! written, because half of an environment or of a list is another system.

use std::path::Path;
use std::process::{Command, Stdio};

/// A run's shell, without Nix. "full" makes every disk full; "small" leaves room for half a kilobyte a file.
const BEGINNING: &str = "set -u; rb_releases=''
    umask 077
    is_detached='' worker='' child='' watcher='' holder='' listeners='' work='' share='' dead='' rb_socket='' rb_client_stays=yes way=root proof=none rb_most_kept=1500
    rb_watches=yes rb_entry=/c.nix rb_tell_unread=yes rb_hidden=1 tilde='' nix_version=2.8.0
    nix_bin=$PWD/nix-bin state=$PWD/cache/client
    cleanup() { kill $listeners 2>/dev/null; rm -rf \"$share\"; }
    trap cleanup EXIT
    mkfifo talk; exec 3<>talk
    full() { trap '' XFSZ; ulimit -f 0; }
    small() { trap '' XFSZ; ulimit -f 1; }\n";

const SCRIPTS: [&str; 14] = [
    include_str!("../../remote/scripts/events.sh"),
    include_str!("../../remote/scripts/channel.sh"),
    include_str!("../scripts/attended.sh"),
    include_str!("../scripts/way.sh"),
    include_str!("../scripts/incoming.sh"),
    include_str!("../scripts/kept.sh"),
    include_str!("../scripts/kept-files.sh"),
    include_str!("../scripts/proof.sh"),
    include_str!("../scripts/mirror.sh"),
    include_str!("../scripts/releases.sh"),
    include_str!("../scripts/version.sh"),
    include_str!("../scripts/trace.sh"),
    include_str!("../scripts/variables.sh"),
    include_str!("../scripts/evaluate.sh"),
];

/// Returns what a script says after `begin`, to the client and otherwise.
fn said_in(place: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .current_dir(place)
        .args(["-c", &format!("{BEGINNING}{}begin\n{script}", SCRIPTS.concat())])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn said(script: &str) -> String {
    said_in(tempfile::tempdir().unwrap().path(), script)
}

/// Checks that the script says "right" as long as there is room, and ends without it if there is none.
fn expect_an_end_without_room(script: &str) {
    let right = said(&script.replace("FULL", ""));
    assert!(right.ends_with("right\n"), "{script}: {right}");
    for how in ["full", "small"] {
        let said = said(&script.replace("FULL", how));
        assert!(said.contains("@rebuild failed room 1\n"), "{how} {script}: {said}");
        assert!(!said.contains("right"), "{how} {script}: {said}");
    }
}

#[test]
fn half_of_what_the_client_sends_is_not_taken() {
    // An environment, and the names of what is no longer there.
    let stream = "{ echo 2000; head -c 2000 /dev/zero | tr '\\0' x; echo 0; } >&3 &";
    expect_an_end_without_room(&format!("{stream}\nFULL\ntake \"$work/exports\"; echo right"));
}

#[test]
fn half_of_what_a_run_writes_down_is_not_gone_by() {
    // The claims, without which other runs would take away what this run uses.
    let names = "mkdir \"$state/mirrors\" \"$state/trees\"
        for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
            names=\"${names-} 00000000000000000000000000000000-name-of-a-path-$n\"; mkdir \"$state/trees/${names##* }\"
        done; mkdir \"$state/mirrors/m\"";
    expect_an_end_without_room(&format!("{names}\nFULL\nreceive m none none $names ; echo right"));
    // Which store paths the evaluation sees.
    expect_an_end_without_room(&format!("{names}\nFULL\nreceive_trees $names ; echo right"));
    // Whether Nix says what it may not look into, which is kept.
    let ask = "ask_honesty() { echo silent; }; strace() { :; }; event() { :; }
        echo 'nix (Nix) 2.8.0' >\"$work/version\"";
    let script = format!("{ask}\nfull\nknow_honesty; echo taken for $(cat \"$state\"/honesty*)");
    assert!(!said(&script).contains("taken for"), "{}", said(&script));
}

/// A configuration that asks for a variable which was not sent, and thousands of words beside it.
const ASKING: &str = "mirror=m; mkdir -p \"$state/mirrors/m\"
    { echo 'builtins.getEnv (\"COL\" + \"OUR\") + builtins.getEnv \"SIZE\"'; seq 3000; } >\"$state/mirrors/m/c.nix\"
    ln -s /elsewhere \"$state/mirrors/m/link\"
    echo \"@nix {\\\"action\\\":\\\"msg\\\",\\\"level\\\":4,\\\"msg\\\":\\\"evaluating file '/d.nix'\\\"}\" >\"$work/evaluated\"
    : >\"$share/trees\"; echo '# withheld COLOUR SIZE' >\"$work/exports\"\n";

#[test]
fn what_an_evaluation_has_asked_for_is_not_forgotten() {
    let script = format!("{ASKING}FULL\ntell_variables || fail room 1; [ -z \"$told\" ] || echo right");
    let told = said(&script.replace("FULL", ""));
    assert!(
        told.contains("asked-for SIZE\n") && told.contains("word COL\n"),
        "{told}"
    );
    let said = said(&script.replace("FULL", "full"));
    assert!(said.contains("@rebuild failed room 1\n"), "{said}");
}

/// Each of the lists may be the one that does not fit any more.
#[test]
fn each_list_of_what_was_asked_for_counts() {
    for list in [
        "places",
        "named",
        "links",
        "files",
        "uses",
        "asked",
        "withheld",
        "missed",
        "computing",
        "words",
        "pieces",
    ] {
        let script = format!("{ASKING}ln -s /dev/full \"$work/{list}\"\ntell_variables || fail room 1; echo over");
        let said = said(&script);
        assert!(said.contains("@rebuild failed room 1\n"), "{list}: {said}");
        assert!(!said.contains("over\n"), "{list}: {said}");
    }
}

#[test]
fn a_log_that_no_longer_fits_is_no_log() {
    let run = "log() {
            exec sh -c 'for n in 1 2 3 4 5 6 7 8 9 10; do
                echo \"@nix {\\\"action\\\":\\\"msg\\\",\\\"level\\\":4,\\\"msg\\\":\\\"evaluating file '\\''/$n.nix'\\''\\\"}\"
            done >&2'
        }
        FULL\nlisten_in\nattend log; was_heard || fail room 1; echo right";
    expect_an_end_without_room(run);
    expect_an_end_without_room(&format!("hold_as_it_comes() {{ cat >/dev/null; }}; holder=1\n{run}"));
}

/// strace says that a disk is full, and goes on without telling what is refused.
#[test]
fn a_trace_without_its_end_tells_nothing() {
    let script = "tracer=strace code=0; FULL\n{ echo '7 stat(\"/x\") = -1 ENOENT (x)'; seq 300; echo '7 +++ exited with 0 +++'; } \
         >\"$work/trace/refused\"; tell_refused; [ -n \"$refused\" ] || echo right";
    expect_an_end_without_room(script);
    // If the evaluation was killed, that is the reason, and it has been told before.
    let killed = "tracer=strace code=137; : >\"$work/trace/refused\"; tell_refused; echo right";
    assert_eq!(said(killed), "right\n");
}

/// A run that ends before there is a log does not wait for one.
#[test]
fn who_waits_for_a_log_that_does_not_come_ends() {
    assert_eq!(said("listen_in; kill $listeners; wait; echo right"), "right\n");
}

/// `rm -rf ~/.cache` there is not taken for a full disk, and nothing that is left of the directory counts.
#[test]
fn what_is_taken_away_meanwhile_is_named() {
    for script in [
        "rm -rf cache; echo mirrors/x | claim || exit 1",
        "rm -rf cache; echo x | forget mirrors; fail unpack 1",
        "rm -rf cache; take_away mirrors/x",
        "rm -rf cache; receive m none none",
        "rm -rf cache; touch x; keep x mirrors/m",
        "listen_in; kill $listeners; rm -rf cache; was_heard || fail room 1",
        "rb_watches=no; listen_in; rm -rf cache; was_heard || fail room 1",
        "echo 0 >&3; rm -rf cache; take \"$work/exports\"",
        "rm -rf cache; fail build 1",
    ] {
        let said = said(&format!("{script}\necho right"));
        assert!(said.contains("@rebuild failed gone 1\n"), "{script}: {said}");
        assert!(
            !said.contains("right") && !said.contains("failed room"),
            "{script}: {said}"
        );
    }
}
