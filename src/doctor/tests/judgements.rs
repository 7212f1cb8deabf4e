//! What facts mean.

use std::collections::BTreeSet;

use crate::conditions::{ALL, Condition};
use crate::doctor::facts::{Facts, Told};
use crate::doctor::finding::{Examined, Finding, Report, Verdict};
use crate::doctor::judge::judge;
use crate::doctor::shown::{Looks, json, shown};
use crate::doctor::{Patient, Roles};
use crate::host::Place;
use crate::vocabulary::Elevation;

/// A builder at which nothing is amiss.
const GOOD: &str = "machine x86_64-linux\nuser 1000 me\nmemory 16000 0 0\nnix /usr/bin\nversion 2.26.3\nroom-store 90000000 /\n\
                    room-tmp 90000000 /\nforwards yes\ndaemon yes\ntrusted no\nbinfmt POCF yes /usr/bin/qemu-aarch64-static\n\
                    builds native aarch64-linux\nfeature big-parallel yes\nfeature kvm yes\nhas tar\nroom-cache 90000000 /\n\
                    way user\ntimes yes\nlogout yes";

/// A target at which nothing is amiss.
const TARGET: &str = "machine aarch64-linux\nuser 0 root\nmemory 900 0 0\nnix /run/bin\nversion 2.26.3\nnixos yes\n\
                      room-store 90000000 /\nroom-boot 300000 /boot\nroom-state 9000000 /\nstate yes\nroot is";

fn facts(text: &str) -> Facts {
    let mut facts = Facts::default();
    for line in text.lines() {
        match Told::parse(format!("@rebuild is {line}").as_bytes()) {
            Some(Told::Fact(name, value)) => facts.hear(name, value),
            other => panic!("{line}: {other:?}"),
        }
    }
    facts
}

fn judged(text: &str, roles: Roles, elevation: Elevation) -> Vec<Finding> {
    let place = Place::parse("me@builder", "pi").unwrap();
    let patient = Patient {
        host: place.host(),
        roles,
        system: Some("aarch64-linux"),
        elevation,
        lends: true,
    };
    judge(&facts(text), &patient)
}

const WORKS: Roles = Roles {
    evaluates: true,
    builds: true,
    is_changed: false,
};
const CHANGED: Roles = Roles {
    evaluates: false,
    builds: false,
    is_changed: true,
};

/// The good facts with the lines that begin with these names put in place of theirs.
fn with(good: &str, others: &str) -> String {
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let replaced: BTreeSet<String> = others.lines().map(|line| name(line.trim_start_matches('-'))).collect();
    let kept = good.lines().filter(|line| !replaced.contains(&name(line)));
    let added = others.lines().filter(|line| !line.starts_with('-'));
    kept.chain(added).collect::<Vec<_>>().join("\n")
}

#[test]
fn where_nothing_is_amiss_there_are_only_ticks() {
    for (text, roles, least) in [(GOOD, WORKS, 12), (TARGET, CHANGED, 7)] {
        let findings = judged(text, roles, Elevation::None);
        for finding in &findings {
            assert_eq!(finding.verdict, Verdict::Good, "{finding:?}");
            assert_eq!(finding.remedy, None);
        }
        assert!(findings.len() >= least, "{findings:#?}");
    }
}

/// What is different; the condition, its verdict, and parts of what is said and of the remedy.
type Case = (&'static str, Condition, Verdict, &'static str, &'static str);

const OF_BUILDERS: &[Case] = &[
    (
        "nix",
        Condition::Nix,
        Verdict::Bad,
        "me@builder has no Nix",
        "ssh me@builder nix-store --version",
    ),
    ("-version", Condition::Nix, Verdict::Unknown, "says no version", ""),
    (
        "daemon refused error: cannot open",
        Condition::Daemon,
        Verdict::Bad,
        "may not use the Nix there (error: cannot open)",
        "systemctl start nix-daemon.socket",
    ),
    (
        "daemon silent",
        Condition::Daemon,
        Verdict::Bad,
        "does not answer within 20 s",
        "allowed-users",
    ),
    (
        "daemon none",
        Condition::Daemon,
        Verdict::Bad,
        "no daemon lets it in",
        "nix-users",
    ),
    ("daemon own", Condition::Daemon, Verdict::Good, "this user's own", ""),
    ("trusted yes", Condition::Daemon, Verdict::Good, "trusts this user", ""),
    (
        "no-place /home/me/.cache",
        Condition::Cache,
        Verdict::Bad,
        "/home/me/.cache",
        "XDG_CACHE_HOME",
    ),
    ("no-share", Condition::Room, Verdict::Bad, "/dev/shm", "df -h /dev/shm"),
    (
        "room-cache 100 /home",
        Condition::Room,
        Verdict::Bad,
        "100 KiB free in /home",
        "df",
    ),
    (
        "room-cache 500000 /home",
        Condition::Room,
        Verdict::Weak,
        "488 MiB free in /home",
        "df",
    ),
    (
        "room-store 1000 /nix",
        Condition::BuildRoom,
        Verdict::Bad,
        "has no room to build in: 1000 KiB free in /nix",
        "nix-collect-garbage",
    ),
    (
        "room-tmp 100 /tmp",
        Condition::BuildRoom,
        Verdict::Bad,
        "100 KiB free in /tmp",
        "df",
    ),
    (
        "room-store 3000000 /nix",
        Condition::BuildRoom,
        Verdict::Weak,
        "2.8 GiB free in /nix",
        "df",
    ),
    (
        "builds option aarch64-linux",
        Condition::Platform,
        Verdict::Good,
        "emulated by qemu-aarch64-static; its nix.conf does not say so",
        "",
    ),
    (
        "builds no-platform aarch64-linux\n-binfmt",
        Condition::Platform,
        Verdict::Bad,
        "Nix on me@builder does not build for aarch64-linux",
        "extra-platforms = aarch64-linux",
    ),
    (
        "builds no-platform aarch64-linux",
        Condition::Platform,
        Verdict::Bad,
        "has an emulator: extra-platforms is missing (and this user is not trusted",
        "boot.binfmt.emulatedSystems",
    ),
    (
        "builds no-emulator aarch64-linux\n-binfmt",
        Condition::Emulator,
        Verdict::Bad,
        "its kernel has none registered",
        "apt install qemu-user-static",
    ),
    (
        "builds no-emulator aarch64-linux\nbinfmt OC yes /usr/bin/qemu-x",
        Condition::Emulator,
        Verdict::Bad,
        "without the flag F",
        "extra-sandbox-paths = /usr/bin/qemu-x",
    ),
    (
        "builds no-emulator aarch64-linux\nbinfmt F no /usr/bin/qemu-x",
        Condition::Emulator,
        Verdict::Bad,
        "/usr/bin/qemu-x is registered and not there",
        "apt install",
    ),
    (
        "builds probe-jobs aarch64-linux",
        Condition::Jobs,
        Verdict::Bad,
        "it may start no job",
        "max-jobs = auto",
    ),
    (
        "builds probe-hook aarch64-linux",
        Condition::Hook,
        Verdict::Bad,
        "post-build-hook",
        "show-config",
    ),
    (
        "builds probe-space aarch64-linux",
        Condition::BuildRoom,
        Verdict::Bad,
        "no room to build in",
        "df",
    ),
    (
        "builds probe-read-only aarch64-linux",
        Condition::Writable,
        Verdict::Bad,
        "read-only",
        "mount",
    ),
    (
        "builds probe-users aarch64-linux",
        Condition::BuildUsers,
        Verdict::Bad,
        "no users to build as",
        "build-users-group",
    ),
    (
        "builds probe aarch64-linux\nsaid error: no such luck",
        Condition::Builds,
        Verdict::Bad,
        "failed to build a test program: error: no such luck",
        "nix-build --check",
    ),
    (
        "-builds",
        Condition::Platform,
        Verdict::Unknown,
        "no test program of aarch64-linux",
        "",
    ),
    (
        "feature big-parallel no\nfeature kvm yes",
        Condition::Features,
        Verdict::Bad,
        "lacks the feature big-parallel",
        "extra-system-features = big-parallel",
    ),
    (
        "feature big-parallel yes\nfeature kvm no\nfeature nixos-test no",
        Condition::Features,
        Verdict::Weak,
        "lacks the feature kvm, nixos-test",
        "\"kvm nixos-test\"",
    ),
    ("-has", Condition::Tar, Verdict::Bad, "has no tar", "command -v tar"),
    (
        "way none",
        Condition::Namespaces,
        Verdict::Bad,
        "does not let its users make user namespaces",
        "sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "way sudo",
        Condition::Namespaces,
        Verdict::Good,
        "sudo takes their place",
        "",
    ),
    (
        "times no",
        Condition::AccessTimes,
        Verdict::Weak,
        "notes no access times",
        "noatime",
    ),
    (
        "version 2.8.0",
        Condition::Noticed,
        Verdict::Weak,
        "Nix 2.8.0 on me@builder does not notice",
        "--verify-eval",
    ),
    (
        "version 2.8.0\nhas strace",
        Condition::Noticed,
        Verdict::Good,
        "strace sees",
        "",
    ),
    (
        "logout no me",
        Condition::Logout,
        Verdict::Weak,
        "me@builder ends what me leaves running at the logout (KillUserProcesses=yes)",
        "loginctl enable-linger me (",
    ),
    (
        "logout moved",
        Condition::Logout,
        Verdict::Good,
        "its user's own systemd",
        "",
    ),
    (
        "memory 1000 500 0",
        Condition::Memory,
        Verdict::Weak,
        "me@builder has only 1500 MiB of memory",
        "--max-jobs 1",
    ),
    (
        "memory 16000 500 700",
        Condition::Memory,
        Verdict::Weak,
        "of which its user may take 700 MiB",
        "swap",
    ),
    (
        "forwards no",
        Condition::Forwarding,
        Verdict::Weak,
        "me@builder does not forward sockets",
        "AllowTcpForwarding",
    ),
    (
        "forwards open",
        Condition::Forwarding,
        Verdict::Weak,
        "StreamLocalBindMask",
        "port-forwarding",
    ),
];

const OF_TARGETS: &[Case] = &[
    (
        "nixos no",
        Condition::NixOs,
        Verdict::Bad,
        "me@builder is not a NixOS system",
        "--target-host",
    ),
    (
        "user 1000 me\nroot no",
        Condition::Root,
        Verdict::Bad,
        "me is not root on me@builder",
        "--sudo",
    ),
    (
        "user 1000 me\nroot could sudo",
        Condition::Root,
        Verdict::Weak,
        "sudo needs no password there",
        "--sudo",
    ),
    (
        "user 1000 me\nroot by sudo",
        Condition::Root,
        Verdict::Good,
        "becomes root by sudo",
        "",
    ),
    (
        "state no",
        Condition::State,
        Verdict::Bad,
        "cannot be noted in /var/lib/rebuild",
        "df /var/lib/rebuild",
    ),
    (
        "state unknown",
        Condition::State,
        Verdict::Unknown,
        "only root can tell",
        "",
    ),
    ("room-state 3 /", Condition::State, Verdict::Bad, "3 KiB free", "df"),
    (
        "room-store 100000 /nix",
        Condition::StoreRoom,
        Verdict::Bad,
        "no room for a new system in /nix/store",
        "nix-collect-garbage -d",
    ),
    (
        "room-boot 300000 /boot\nroom-boot 20000 /boot/firmware",
        Condition::BootRoom,
        Verdict::Bad,
        "no room for another kernel in /boot: 19 MiB free in /boot/firmware",
        "configurationLimit",
    ),
    (
        "room-boot 60000 /boot",
        Condition::BootRoom,
        Verdict::Weak,
        "58 MiB free in /boot",
        "rebuild boot",
    ),
];

#[test]
fn each_thing_that_is_amiss_has_its_verdict_and_its_remedy() {
    for (good, roles, cases) in [(GOOD, WORKS, OF_BUILDERS), (TARGET, CHANGED, OF_TARGETS)] {
        for (others, condition, verdict, said, remedy) in cases {
            let findings = judged(&with(good, others), roles, Elevation::None);
            let found = findings
                .iter()
                .find(|finding| finding.condition == *condition && finding.verdict == *verdict);
            let found = found.unwrap_or_else(|| panic!("{others}: {findings:#?}"));
            assert!(found.seen.contains(said), "{others}: {found:?}");
            assert!(
                found.remedy.clone().unwrap_or_default().contains(remedy),
                "{others}: {found:?}"
            );
            let has_remedy = matches!(verdict, Verdict::Bad | Verdict::Weak);
            assert_eq!(found.remedy.is_some(), has_remedy, "{others}: {found:?}");
        }
    }
}

#[test]
fn a_password_that_is_asked_for_is_no_cross() {
    let text = with(TARGET, "user 1000 me\nroot asks sudo");
    let findings = judged(&text, CHANGED, Elevation::Sudo);
    let found = findings
        .iter()
        .find(|finding| finding.condition == Condition::Root)
        .unwrap();
    assert_eq!(found.verdict, Verdict::Unknown);
    assert!(found.seen.contains("with -S"), "{found:?}");
}

/// Whatever a machine leaves out, that alone is no reason for a cross: nobody can tell.
#[test]
fn what_is_not_told_is_not_bad() {
    for (good, roles) in [(GOOD, WORKS), (TARGET, CHANGED)] {
        for line in good.lines() {
            let name = line.split(' ').next().unwrap();
            if ["nix", "has"].contains(&name) {
                // Of these two it is told that they are there.
                continue;
            }
            let findings = judged(&with(good, &format!("-{name}")), roles, Elevation::None);
            let bad: Vec<_> = findings
                .iter()
                .filter(|finding| finding.verdict == Verdict::Bad)
                .collect();
            assert!(bad.is_empty(), "without {name}: {bad:?}");
        }
    }
    assert_eq!(judged("user 0 root", WORKS, Elevation::None), []);
}

/// Of each condition of the table the doctor can say whether it holds.
#[test]
fn nobody_forgets_a_condition() {
    let mut seen: BTreeSet<Condition> = BTreeSet::new();
    for (good, roles, cases) in [(GOOD, WORKS, OF_BUILDERS), (TARGET, CHANGED, OF_TARGETS)] {
        for (others, ..) in cases {
            let findings = judged(&with(good, others), roles, Elevation::None);
            seen.extend(findings.iter().map(|finding| finding.condition));
        }
    }
    // These are seen before the script runs (`visit.rs`, `ssh/reasons.rs`), or on this machine (`run/doctor.rs`).
    seen.extend([
        Condition::Named,
        Condition::Programs,
        Condition::Configuration,
        Condition::NameServer,
        Condition::Name,
        Condition::Interface,
        Condition::Reached,
        Condition::HostKey,
        Condition::Keys,
        Condition::Script,
        Condition::LargePackets,
        Condition::Clock,
    ]);
    for about in ALL.iter().filter_map(|row| row.about.as_ref()) {
        assert!(seen.contains(&about.condition), "nobody looks at {}", about.word);
    }
}

#[test]
fn only_whole_and_known_lines_count() {
    assert_eq!(Told::parse(b"@rebuild hello"), Some(Told::Hello));
    assert_eq!(
        Told::parse(b"@rebuild is setting system-features kvm x"),
        Some(Told::Fact("setting".into(), "system-features kvm x".into()))
    );
    assert_eq!(
        Told::parse(b"@rebuild looks daemon"),
        Some(Told::Looks("daemon".into()))
    );
    for line in [
        "hello",
        "@rebuild hello x",
        "@rebuild is",
        "@rebuild is A b",
        "@rebuild failed x",
        "@rebuild looks",
        "@rebuild",
    ] {
        assert_eq!(Told::parse(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn a_machine_that_tells_without_end_is_not_kept_whole() {
    let mut facts = Facts::default();
    for number in 0..10_000 {
        let letters: String = number
            .to_string()
            .bytes()
            .map(|byte| char::from(byte - b'0' + b'a'))
            .collect();
        facts.hear(letters, String::new());
        facts.hear("a".into(), String::new());
    }
    assert!(facts.all("a").count() <= 64);
}

fn report(findings: Vec<Finding>) -> Report {
    let host = Place::parse("me@builder", "pi").unwrap().host().cloned();
    Report {
        machines: vec![Examined {
            host,
            roles: vec!["evaluates", "builds"],
            findings,
        }],
        next: vec!["Next: rebuild switch".to_owned()],
    }
}

#[test]
fn it_is_shown_by_lines_with_marks() {
    let findings = judged(&with(GOOD, "times no\nway none"), WORKS, Elevation::None);
    let some: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| [Condition::Nix, Condition::Namespaces, Condition::AccessTimes].contains(&finding.condition))
        .collect();
    let looks = Looks {
        unicode: true,
        colours: false,
        columns: 60,
    };
    let text = shown(&report(some.clone()), looks);
    let expected = "me@builder, which evaluates and builds
  ✓ Nix: 2.26.3, in /usr/bin
  ✗ user namespaces: me@builder does not let its users make
    user namespaces, which an evaluation there needs
      to change it, as root on me@builder: sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=10000
      (those that it has; or let its user run sudo without a password)
  ! access times: the file system of ~/.cache on me@builder
    notes no access times
      it is mounted with noatime: without that option an evaluation needs fewer rounds
      or let what is kept lie elsewhere there: XDG_CACHE_HOME

1 thing will not work as it is. When that is mended: rebuild doctor
";
    assert_eq!(text, expected);
    let plain = shown(&report(some), Looks::default());
    assert!(
        plain.is_ascii() && plain.contains("\n  ok  Nix: 2.26.3") && plain.contains("\n  BAD user namespaces: "),
        "{plain}"
    );
}

#[test]
fn the_last_line_says_what_follows() {
    let looks = Looks {
        colours: true,
        ..Looks::default()
    };
    let of = |others: &str| shown(&report(judged(&with(GOOD, others), WORKS, Elevation::None)), looks);
    assert!(of("").ends_with("Nothing is amiss. Next: rebuild switch\n"));
    assert!(of("times no").ends_with("It will work; 1 thing could be better. Next: rebuild switch\n"));
    assert!(of("way none\n-has").ends_with("2 things will not work as it is. When that is mended: rebuild doctor\n"));
    assert!(of("way none").contains("\u{1b}[31mBAD\u{1b}[0m user namespaces"));
}

#[test]
fn programs_get_everything_as_json() {
    let value = json(&report(judged(&with(GOOD, "way none"), WORKS, Elevation::None)));
    assert_eq!(
        (&value["good"], &value["machines"][0]["machine"]),
        (&false.into(), &"me@builder".into())
    );
    let conditions = value["machines"][0]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|own| own["condition"] == "namespaces").unwrap();
    assert_eq!(found["verdict"], "bad");
    assert!(found["remedy"].as_str().unwrap().contains("sysctl"));
    let good = json(&report(judged(GOOD, WORKS, Elevation::None)));
    assert_eq!(good["good"], true);
    assert!(good["machines"][0]["conditions"][0]["remedy"].is_null());
}

/// serde escapes what JSON forbids, and a terminal obeys more than that.
#[test]
fn no_report_gives_a_terminal_orders() {
    let seen = "it says: \u{1b}[2Jx\u{9b}2Jy\u{202e}z";
    let mut finding = Finding::unknown(Condition::Builds, seen);
    finding.remedy = Some("type\u{9b}2J\nthis\u{8}".to_owned());
    let text = serde_json::to_string_pretty(&json(&report(vec![finding]))).unwrap();
    assert!(crate::fuzz::is_harmless(&text), "{text:?}");
    assert!(text.contains("it says: xyz") && text.contains("type\\nthis"), "{text}");
}
