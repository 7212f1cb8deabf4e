//! `rebuild doctor` among stand-ins: each step from nothing to a machine at which nothing is amiss.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use crate::stubs::{Run, Stage};

/// Programs that a run wants on this machine.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.stub("nix-store", "echo 'nix-store (Nix) 2.26.3'");
    stage
}

/// What is said of a condition, with its mark, from its line to the next one.
fn said<'a>(run: &'a Run, title: &str) -> &'a str {
    let marks = ["  ok  ", "  BAD ", "  !   ", "  ?   "];
    let start = marks.iter().find_map(|mark| run.stdout.find(&format!("{mark}{title}")));
    let start = start.unwrap_or_else(|| panic!("nothing of '{title}': {}", run.stdout));
    let rest = &run.stdout[start..];
    let end = marks.iter().filter_map(|mark| rest[2..].find(mark)).min();
    &rest[..end.map_or(rest.len(), |end| end + 2)]
}

/// Without any host, the first step is to name one.
#[test]
fn who_has_named_nobody_is_told_to() {
    let run = stage().rebuild("doctor");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(said(&run, "a machine that evaluates").starts_with("  BAD"));
    assert!(said(&run, "a machine that evaluates").contains("rebuild doctor --eval-on HOST"));
    // It was asked for, so it is no fault.
    let run = stage().rebuild("doctor --eval-on=");
    assert!(
        said(&run, "a machine that evaluates").starts_with("  ok"),
        "{}",
        run.stdout
    );
}

/// The report alone goes to stdout, and it tells why there is no connection, and what to do.
#[test]
fn each_way_not_to_get_in_has_its_remedy() {
    for (ssh, title, parts) in [
        (
            "echo 'ssh: Could not resolve hostname builder: Name or service not known' >&2; exit 255",
            "its name",
            &[
                "no machine is known by the name 'builder'",
                "\n          Host builder\n            HostName ADDRESS\n",
            ][..],
        ),
        (
            "echo 'ssh: Could not resolve hostname builder: Temporary failure in name resolution' >&2; exit 255",
            "a name server",
            &["getent hosts builder"],
        ),
        (
            "echo 'ssh: connect to host builder port 22: Connection refused' >&2; exit 255",
            "reached by ssh",
            &["does sshd run there? try: ssh builder true"],
        ),
        (
            "echo 'Host key verification failed.' >&2; exit 255",
            "its host key",
            &["look at it once, as the user that runs rebuild: ssh builder"],
        ),
        (
            "echo 'builder: Permission denied (publickey).' >&2; exit 255",
            "accepts this user's key",
            &[
                "this user has no key yet: ssh-keygen -t ed25519\n",
                "ssh-copy-id builder",
            ],
        ),
        (
            "echo 'This account is not available.'; exit 1",
            "runs our script",
            &["ssh builder /bin/sh -c true"],
        ),
    ] {
        let stage = stage();
        stage.write("ssh-config", "Host builder\n IdentityFile /nonexistent/key\n");
        stage.stub("ssh", ssh);
        let run = stage.rebuild("doctor --eval-on builder");
        assert_eq!(run.code, 1, "{ssh}: {}", run.stderr);
        assert!(run.stdout.is_ascii() && !run.stderr.contains("error"), "{}", run.stderr);
        let text = said(&run, title);
        assert!(text.starts_with("  BAD"), "{text}");
        for part in parts {
            let folded = text.replace("\n      ", " ");
            assert!(text.contains(part) || folded.contains(part), "{part}: {text}");
        }
        // What cannot be looked at is not told.
        assert!(!run.stdout.contains("Nix's daemon"), "{}", run.stdout);
        assert!(
            run.stdout
                .ends_with("will not work as it is. When that is mended: rebuild doctor\n"),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn a_user_with_a_key_is_not_told_to_make_one() {
    let stage = stage();
    stage.write("key", "x");
    stage.write(
        "ssh-config",
        &format!("Host builder\n IdentityFile {}\n", stage.path("key").display()),
    );
    stage.stub("ssh", "echo 'builder: Permission denied (publickey).' >&2; exit 255");
    let run = stage.rebuild("doctor --eval-on builder");
    let text = said(&run, "accepts this user's key");
    assert!(
        !text.contains("ssh-keygen") && text.contains("ssh-copy-id builder"),
        "{text}"
    );
}

/// A builder on which the script runs for real; its Nix is a stand-in.
fn with_builder(nix_build: &str) -> Stage {
    let stage = stage();
    stage.hosts(&["builder"], "exit 255");
    stage.stub_on(
        "builder",
        "nix-store",
        "case $* in --version) echo 'nix-store (Nix) 2.26.3' ;; esac",
    );
    stage.stub_on("builder", "nix-build", nix_build);
    stage
}

/// One login; all of it is told; and nothing of it stays there.
#[test]
fn one_visit_tells_everything() {
    let stage = with_builder("");
    let run = stage.rebuild("doctor --eval-on builder");
    for title in [
        "reached by ssh",
        "its host key",
        "accepts this user's key",
        "runs our script",
        "large packets",
        "the clock",
        "tar",
    ] {
        assert!(said(&run, title).starts_with("  ok"), "{}", run.stdout);
    }
    assert!(said(&run, "large packets").contains("16 KiB there and back"));
    assert!(said(&run, "forwards a socket").len() > 10);
    assert_eq!(stage.read("builder/logins").lines().count(), 1);
    assert_eq!(stage.sh("ls -A builder/home/.cache"), "");
    assert!(run.stderr.starts_with("connecting to builder..."), "{}", run.stderr);
}

#[test]
fn programs_get_json_alone() {
    let stage = with_builder("");
    let run = stage.rebuild("doctor --eval-on builder --json");
    let value: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let machines = value["machines"].as_array().unwrap();
    assert_eq!(machines.len(), 2);
    assert!(machines[0]["machine"].is_null() && machines[1]["machine"] == "builder");
    assert_eq!(machines[1]["roles"], serde_json::json!(["evaluates", "builds"]));
    for own in machines[1]["conditions"].as_array().unwrap() {
        assert!(own["title"].is_string() && own["seen"].is_string(), "{own}");
        assert!(
            ["good", "weak", "bad", "unknown"].contains(&own["verdict"].as_str().unwrap()),
            "{own}"
        );
    }
    assert_eq!(run.code == 0, value["good"] == true, "{}", run.stdout);
}

/// The target is visited first, because it says which system the others build for.
#[test]
fn each_machine_is_visited_once_and_the_target_first() {
    let stage = stage();
    stage.hosts(&["builder", "target", "other"], "exit 255");
    for name in ["builder", "target", "other"] {
        stage.stub_on(
            name,
            "nix-store",
            "case $* in --version) echo 'nix-store (Nix) 2.26.3' ;; esac",
        );
        stage.stub_on(name, "nix-build", "");
    }
    stage.stub_on(
        "target",
        "nix",
        "case $* in *show-config*) echo 'system = riscv64-linux' ;; *) exit 1 ;; esac",
    );
    let run = stage.rebuild("doctor --eval-on builder --build-on other --target-host target");
    let order: Vec<_> = [
        "target, which is changed",
        "builder, which evaluates",
        "other, which builds",
    ]
    .iter()
    .map(|heading| {
        run.stdout
            .find(heading)
            .unwrap_or_else(|| panic!("{heading}: {}", run.stdout))
    })
    .collect();
    assert!(order.is_sorted(), "{}", run.stdout);
    for name in ["builder", "target", "other"] {
        assert_eq!(stage.read(&format!("{name}/logins")).lines().count(), 1);
    }
    let built = stage
        .calls()
        .into_iter()
        .find(|call| call.starts_with("other: nix-build"));
    if let Some(built) = built {
        assert!(stage.read("calls").contains("riscv64-linux"), "{built}");
    }
}

/// Small packets come through and large ones do not: the login works, and then nothing comes. The wait has an end.
#[test]
fn a_link_that_loses_large_packets_is_told() {
    let cases = [
        // The second script never comes.
        (
            "hear_script; say hello; exec sleep 300",
            "of a script that was sent there",
        ),
        // It comes, and nothing comes back.
        (
            "hear_script; say hello; say looks large-packets; say is heard 16384; exec sleep 300",
            "back",
        ),
    ];
    // Both wait at the same time.
    let started = cases.map(|(does, part)| {
        let stage = stage();
        stage.stub("ssh", does);
        let running = stage.start("doctor --eval-on builder");
        (stage, running, part)
    });
    for (_stage, running, part) in started {
        let run = running.finish_within(std::time::Duration::from_secs(60));
        let run = run.expect("the doctor waits for ever");
        let text = said(&run, "large packets").replace("\n      ", " ");
        assert!(
            text.starts_with("  BAD") && text.contains(part) && text.contains("mtu 1280"),
            "{text}"
        );
        assert_eq!(run.code, 1);
    }
}

/// What is no doctor's word ends the visit, and is no verdict about the machine.
#[test]
fn a_machine_that_says_something_else_is_not_believed() {
    let stage = stage();
    stage.stub(
        "ssh",
        "hear_script; say hello; say is clock 0; say evaluated /nix/store/x; sleep 300",
    );
    let run = stage.rebuild("doctor --eval-on builder");
    assert!(
        run.stdout.contains("says 'evaluated /nix/store/x' out of turn"),
        "{}",
        run.stdout.replace("\n      ", " ")
    );
}

/// A clock at 1970, as on a Pi that has none.
#[test]
fn a_clock_that_stands_at_1970_is_told() {
    let stage = stage();
    stage.stub("ssh", "hear_script; say hello; say is clock 0; say finished");
    let run = stage.rebuild("doctor --eval-on builder");
    let text = said(&run, "the clock");
    assert!(
        text.starts_with("  BAD") && text.contains("builder is behind") && text.contains("timedatectl"),
        "{text}"
    );
}

/// The configuration is looked for as a run looks for it.
#[test]
fn a_configuration_that_is_not_there_is_told() {
    let stage = stage();
    stage.variable("NIX_PATH", "");
    let run = stage.rebuild("doctor --eval-on builder");
    let text = said(&run, "the configuration");
    assert!(text.starts_with("  BAD") && text.contains("-I nixpkgs=PATH"), "{text}");
}

#[test]
fn a_signal_ends_it() {
    let stage = stage();
    stage.stub("ssh", "hear_script; say hello; : >greeted; exec sleep 300");
    let mut running = stage.start("doctor --eval-on builder");
    stage.wait_for("greeted");
    running.signal("INT");
    let run = running.finish();
    assert_eq!((run.code, run.stdout.as_str()), (130, ""));
}

/// The report is a result, and a terminal shows it.
#[test]
fn a_machine_gives_the_terminal_no_orders() {
    let orders = "$(printf 'MARK\\033]0;t\\007\\033[2J\\302\\2332J')";
    let stage = with_builder("");
    stage.stub_on(
        "builder",
        "nix-store",
        &format!("echo \"nix-store (Nix) 2.26.3{orders}\""),
    );
    let shut = self::stage();
    shut.stub("ssh", &format!("echo \"{orders}\" >&2; exit 255"));
    for stage in [stage, shut] {
        let run = stage.rebuild("doctor --eval-on builder");
        assert!(run.stdout.contains("MARK"), "{}{}", run.stdout, run.stderr);
        let orders = run.stdout.chars().chain(run.stderr.chars());
        let orders: String = orders.filter(|c| c.is_control() && *c != '\n').collect();
        assert_eq!(orders, "", "{:?}", run.stdout);
    }
}
