//! Runs scripts/kept.sh and mirror.sh, with real directories and many shells at once: what is kept on the other
//! machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The scripts, for a client that sends files by naming a directory in $files, and prints what it hears.
const SCRIPTS: [&str; 7] = [
    "set -u; rb_releases=''
     umask 077
     share='' work='' dead='' rb_socket='' is_detached='' worker='' rb_client_stays=yes proof=none rb_most_kept=1500
     own() { \"$@\"; }
     event() { echo \"@rebuild $*\"; }
     fail() { echo \"failed $*\"; exit 1; }
     take() { : >\"$1\"; }
     unpack() { tar -cf - -C \"$files\" . | tar -xf - -C \"$1\"; }
     nix_bin=$PWD/nix-bin state=$PWD/cache/client
     trap 'rm -rf \"$share\"' EXIT\n",
    include_str!("../scripts/kept.sh"),
    include_str!("../scripts/kept-files.sh"),
    include_str!("../scripts/proof.sh"),
    include_str!("../scripts/mirror.sh"),
    include_str!("../scripts/releases.sh"),
    include_str!("../scripts/build.sh"),
];

/// Starts a run's shell in `place`.
fn shell(place: &Path, script: &str) -> Child {
    Command::new("sh")
        .current_dir(place)
        .args(["-c", &(SCRIPTS.concat() + script)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(place: &Path, script: &str) -> String {
    let output = shell(place, script).wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A run that is on until it is told to end, or killed.
struct Living(Child);

impl Living {
    fn begin(place: &Path, script: &str) -> Self {
        Self::run(place, &format!("begin\n{script}"))
    }

    fn run(place: &Path, script: &str) -> Self {
        let mut child = shell(place, &format!("{script}\n: >begun\nexec tail -f /dev/null"));
        while !place.join("begun").exists() {
            assert_eq!(child.try_wait().unwrap(), None);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::fs::remove_file(place.join("begun")).unwrap();
        Self(child)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client may get another host name, and its card may be copied into another machine: what is kept is that of its
/// random number, whatever name it came under first.
#[test]
fn a_client_is_told_apart_by_its_random_number_alone() {
    let place = tempfile::tempdir().unwrap();
    let of = |client: &str, stays: &str| {
        said(
            place.path(),
            &format!(
                "cache=$PWD/cache rb_client={client} rb_client_stays={stays}\nfind_state\necho \"${{state##*/}}\""
            ),
        )
    };
    let [first, second] = ["pi-0123456789abcdef", "pi-1123456789abcdef"];
    let renamed = "new-name-0123456789abcdef";
    assert_eq!(of(first, "yes"), format!("{first}\n"));
    std::fs::create_dir_all(place.path().join("cache/rebuild").join(first)).unwrap();
    for (client, stays, expected) in [
        (first, "yes", first),
        (renamed, "yes", first),
        ("0123456789abcdef", "yes", first),
        (second, "yes", second),
        // Nobody will come back under this name, and all of it is taken away when the run ends.
        (renamed, "no", renamed),
        // The number is all of it, and not the end of another one.
        ("pi-3456789abcdef", "yes", "pi-3456789abcdef"),
    ] {
        assert_eq!(of(client, stays), format!("{expected}\n"), "{client}");
    }
    // Two that came first at the same moment, under two names: from then on they agree.
    std::fs::create_dir_all(place.path().join("cache/rebuild").join(renamed)).unwrap();
    assert_eq!(of(first, "yes"), of(renamed, "yes"));
}

/// What is kept is bounded by number, and store paths also by size. What was used last stays, and so does what another
/// run uses.
#[test]
fn the_oldest_are_forgotten_but_not_what_a_run_uses() {
    let place = tempfile::tempdir().unwrap();
    let make = "begin
        mkdir \"$state/trees\" \"$state/mirrors\"
        for n in 1 2 3 4; do
            mkdir \"$state/trees/$n\" \"$state/mirrors/$n\"; head -c 600000 /dev/zero >\"$state/trees/$n/f\"
            touch -d \"2026-01-0$n\" \"$state/trees/$n\" \"$state/mirrors/$n\"
        done";
    assert_eq!(said(place.path(), make), "");
    let forget = "begin; cd \"$state\"; forget_old mirrors 3; forget_much; ls mirrors trees; ls \"$work/forgotten\"";
    let living = Living::begin(place.path(), "printf '%s\\n' trees/1 mirrors/1 mirrors/none | claim");
    assert_eq!(said(place.path(), forget), "mirrors:\n1\n2\n3\n4\n\ntrees:\n1\n3\n4\n");
    drop(living);
    assert_eq!(said(place.path(), forget), "mirrors:\n2\n3\n4\n\ntrees:\n3\n4\n");
    let least = "begin; cd \"$state\"; rb_most_kept=1; forget_much; ls trees";
    assert_eq!(said(place.path(), least), "4\n");
}

#[test]
fn nixs_own_cache_goes_if_it_is_much_and_nobody_has_it_open() {
    let place = tempfile::tempdir().unwrap();
    let make = "begin; mkdir \"$state/nix-cache\"; head -c 600000 /dev/zero >\"$state/nix-cache/f\"\n";
    let forget =
        "begin; echo nix-cache | claim; forget_daily; cd \"$state\"; ls -d nix-cache; touch -d 2026-01-01 measured\n";
    let shown = |script: &str| said(place.path(), script).contains("nix-cache\n");
    assert_eq!(said(place.path(), make), "");
    assert!(shown(&format!("rb_most_kept=700\n{forget}")));
    let living = Living::begin(place.path(), "echo nix-cache | claim");
    assert!(shown(&format!("rb_most_kept=1\n{forget}")));
    drop(living);
    let once_a_day = format!("rb_most_kept=1; mkdir -p \"$state\"; touch \"$state/measured\"\n{forget}");
    assert!(shown(&once_a_day));
    assert!(said(place.path(), &format!("rb_most_kept=1\n{forget}")).contains("No such file"));
}

/// A run that was killed holds nothing, and the next run removes what it left. A run that is on is left alone.
#[test]
fn what_a_killed_run_has_left_is_taken_away() {
    let place = tempfile::tempdir().unwrap();
    let look = "cd \"$state\"; for run in run.*; do cat \"$run/share\"; done";
    let socket = format!("/tmp/rebuild-{}.socket", std::process::id());
    let begin =
        format!("rb_socket='{socket}'; begin; cp \"$work/share\" shared; echo mirrors/x | claim; : >'{socket}'");
    let living = Living::run(place.path(), &begin);
    let both = std::fs::read_to_string(place.path().join("shared")).unwrap();
    let (share, socket) = both.split_once('\n').unwrap();
    let socket = Path::new(socket.trim_end());
    assert!(
        share.starts_with("/dev/shm/rebuild.") || share.starts_with("/var/tmp/rebuild."),
        "{share}"
    );
    assert!(Path::new(share.trim()).is_dir());
    assert!(said(place.path(), &format!("begin\n{look}")).contains(share));
    assert!(socket.exists());
    drop(living);
    let all = said(place.path(), &format!("begin\n{look}"));
    assert_eq!(all.trim().lines().count(), 1, "{all}");
    assert!(!all.contains(share));
    assert!(!Path::new(share).exists() && !socket.exists());
}

/// A list with a path outside of where runs make their directories is not followed.
#[test]
fn only_a_runs_own_directory_is_taken_away() {
    let place = tempfile::tempdir().unwrap();
    let named = place.path().join("important");
    std::fs::create_dir(&named).unwrap();
    for text in [
        named.display().to_string(),
        format!("/dev/shm/rebuild.x/../../..{}", named.display()),
    ] {
        let leave =
            format!("mkdir -p \"$state/run.1\"; echo '{text}' >\"$state/run.1/share\"; begin; ls -d \"$state/run.1\"");
        assert!(said(place.path(), &leave).contains("No such file"));
        assert!(named.is_dir(), "{text}");
    }
}

#[test]
fn results_are_rooted_for_a_week_and_the_last_few_for_longer() {
    let place = tempfile::tempdir().unwrap();
    let make = "begin
        for n in 10 11 12 13 14 15 16; do
            mkdir -p \"$state/results/$n\"; touch -d \"$n days ago\" \"$state/results/$n\"
        done
        mkdir \"$state/results/new\"
        forget_results; ls \"$state/results\" | tr '\\n' ' '
        for n in 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48; do
            mkdir \"$state/results/$n\"
        done
        forget_results; ls \"$state/results\" | wc -l";
    let living = Living::begin(place.path(), "echo results/16 | claim");
    assert_eq!(said(place.path(), make), "10 11 12 16 new 33\n");
    drop(living);
}

/// What other clients left is forgotten, too, but not while one of their runs is on.
#[test]
fn who_has_not_come_for_long_is_forgotten() {
    let place = tempfile::tempdir().unwrap();
    for name in ["gone", "client"] {
        said(
            place.path(),
            &format!("state=$PWD/cache/{name}; begin; mkdir \"$state/trees\""),
        );
    }
    let living = Living::begin(place.path(), "state=$PWD/cache/on; begin; echo x | claim");
    let script = "begin; touch -d '70 days ago' cache/gone cache/on; forget_clients; ls cache";
    assert_eq!(said(place.path(), script), "client\non\n");
    // One that cannot keep its name will not come at all.
    for name in ["once-old", "once-young"] {
        said(
            place.path(),
            &format!("state=$PWD/cache/{name} rb_client_stays=no; begin; rm -r \"$work\""),
        );
    }
    let script = "begin; touch -d '9 days ago' cache/once-old cache/on cache/client
        touch -d '6 days ago' cache/once-young; forget_clients; ls cache";
    assert_eq!(said(place.path(), script), "client\non\nonce-young\n");
    drop(living);
}

/// Eight runs at once, each with more mirrors than are kept. All mirrors are whole and the run's own, which a copy by
/// `cp -al` beside an `rm -rf` would not be.
#[test]
fn many_runs_at_once_do_not_take_what_another_uses() {
    let place = tempfile::tempdir().unwrap();
    said(
        place.path(),
        "mkdir files; for n in 1 2 3 4 5 6 7 8 9; do mkdir files/$n; for m in 1 2 3 4 5 6 7 8 9; do echo $n >files/$n/$m; done; done",
    );
    let script = "files=files
        begin
        forget_before_boot
        last=none
        for n in 1 2 3 4 5 6; do
            # Some of them are the same as another run's.
            digest=$((number / 2))-$n
            receive \"$digest\" \"$last\" none >>\"$work/events\"
            cp -al \"$state/mirrors/$digest\" \"$work/mirror\" || fail copy
            [ \"$(find \"$work/mirror\" -type f | wc -l)\" -eq 81 ] || fail incomplete
            rm -rf \"$work/mirror\"
            last=$digest
        done
        # Only the first of a run begins with nothing: its base is its own.
        [ \"$(grep -c 'receiving none' \"$work/events\")\" -le 1 ] || fail base
        rm -rf \"$work\"
        echo whole";
    let runs = (0..8).map(|number| shell(place.path(), &format!("number={number}\n{script}")));
    for run in runs.collect::<Vec<_>>() {
        let output = run.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "whole\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// If another user has changed what is kept, it is sent anew, and no run gets the changed one.
#[test]
fn what_was_changed_there_is_thrown_away() {
    let place = tempfile::tempdir().unwrap();
    said(place.path(), "mkdir files; echo mine >files/f");
    let receive = |words: &str| {
        let script = format!(
            "files=files; proof=$(cd files && eval \"$prove\"); begin; forget_before_boot
             receive {words} \"$proof\"; cat \"$state/mirrors/$mirror/f\""
        );
        said(place.path(), &script)
    };
    let change = "echo theirs >\"$state/mirrors/a/f\"";
    assert_eq!(receive("a none"), "@rebuild receiving none\n@rebuild need \nmine\n");
    assert_eq!(receive("a none"), "@rebuild receiving have\n@rebuild need \nmine\n");
    said(place.path(), change);
    assert_eq!(
        receive("a a"),
        "@rebuild damaged\n@rebuild receiving none\n@rebuild need \nmine\n"
    );
    // The same holds for a base of another mirror.
    said(place.path(), "echo more >\"$state/mirrors/a/more\"");
    assert_eq!(
        receive("b a"),
        "@rebuild receiving base\n@rebuild damaged\n@rebuild receiving none\n@rebuild need \nmine\n"
    );
    assert_eq!(said(place.path(), "ls \"$state/mirrors\""), "b\n");
    // A mirror that never becomes what is meant does not go to and fro for ever.
    let script = "files=files; begin; forget_before_boot; receive c none 0000";
    assert_eq!(
        said(place.path(), script),
        "@rebuild receiving none\n@rebuild damaged\nfailed mirror 1\n"
    );
}

/// A run that is slow to see that something is damaged does not take away what a quicker run has put there instead.
#[test]
fn only_what_was_looked_at_is_taken_away() {
    let place = tempfile::tempdir().unwrap();
    let looked = "begin; mkdir -p \"$state/mirrors/m\"; looked_at=$(which_it_is \"$state/mirrors/m\")";
    let renewed = "mkdir \"$state/new\"; rmdir \"$state/mirrors/m\"; mv \"$state/new\" \"$state/mirrors/m\"";
    let taken = "take_away mirrors/m \"$looked_at\"; ls \"$state/mirrors\"; rm -rf \"$state/mirrors\"";
    assert_eq!(said(place.path(), &format!("{looked}; {renewed}; {taken}")), "m\n");
    assert_eq!(said(place.path(), &format!("{looked}; {taken}")), "");
}
