//! Problems that are found before the long work, and messages that lead to a remedy.

use super::*;
use crate::scenarios::Scene;

/// Runs a line that is refused, and checks that nothing of the long work was begun.
fn refused(stage: &Stage, line: &str, message: &str, remedy: &str) {
    let run = stage.rebuild(line);
    assert_ne!(run.code, 0, "{line}: {}", run.stderr);
    assert_eq!(run.stdout, "", "{line}");
    assert!(
        run.stderr.contains(message) && run.stderr.contains(remedy),
        "{line}: {}",
        run.stderr
    );
    let begun: Vec<String> = stage
        .calls()
        .into_iter()
        .filter(|call| call.starts_with("nix") || call.contains("switch-to-configuration"))
        .collect();
    assert!(begun.is_empty(), "{line}: {begun:?}");
}

/// Nix would refuse to make this link after the build, here or on the other machine.
#[test]
fn a_result_that_cannot_be_linked_is_refused_before_the_build() {
    for line in [
        "build --eval-on builder --no-lend",
        "build --build-on builder",
        "build",
        "build --flake .",
    ] {
        for (preparation, message) in [
            ("mkdir result", "/result is no link into the store"),
            ("ln -s /etc result", "/result is no link into the store"),
            (": >result", "/result is no link into the store"),
        ] {
            let stage = Stage::new();
            stage.stub("nix", "");
            stage.stub("nix-build", "");
            stage.stub("nix-instantiate", "");
            stage.sh(preparation);
            refused(&stage, line, message, "move it away, or build in another directory");
            assert!(stage.calls().is_empty());
        }
    }
}

/// In a directory like /tmp, what another user has built stays theirs. (Here it is root's link, and a user who is not
/// root.)
#[test]
fn a_result_of_another_user_in_a_sticky_directory_is_refused_before_the_build() {
    let scene = Scene::new();
    scene.typed_by(1000);
    scene.stub("nix-build", "echo BUILT >>calls");
    scene.prepare(
        "mkdir -m 1777 \"$root/run/shared\"; ln -s /nix/store/00000000000000000000000000000000-x \"$root/run/shared/result\"",
    );
    for (directory, is_refused) in [("/run/shared", true), ("/var/tmp", false)] {
        let run = scene.rebuild_in(directory, "build");
        let is_said = run
            .stderr
            .contains("/run/shared/result is another user's, and in /run/shared nobody may replace");
        assert_eq!(is_said, is_refused, "{}", run.stderr);
        assert_eq!(scene.read("calls").contains("BUILT"), !is_refused);
    }
}

/// A user who has deleted their current directory can still do what needs none.
#[test]
fn without_a_current_directory_only_what_needs_one_fails() {
    let stage = Stage::new();
    stage.stub("nix-build", &format!("pwd >&2; echo {SYSTEM}"));
    let run = stage.rebuild_from_nowhere("dry-build");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        stage.calls()[0].starts_with("nix-build <nixpkgs/nixos>"),
        "{:?}",
        stage.calls()
    );
    for (line, what) in [
        ("build", "the link 'result'"),
        ("dry-build --flake .", "the flake .#"),
        ("dry-build --file x.nix", "the configuration x.nix"),
    ] {
        let run = stage.rebuild_from_nowhere(line);
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        let expected = format!("error: the current directory does not exist any more, and {what}");
        assert!(run.stderr.contains(&expected), "{line}: {}", run.stderr);
    }
    let run = stage.rebuild_from_nowhere("--show-settings");
    assert_eq!(run.code, 0, "{}", run.stderr);
    // The message is about the profile, which does not exist, and not about the directory.
    let run = stage.rebuild_from_nowhere("list-generations");
    assert!(run.stderr.contains("there is no profile /nix/"), "{}", run.stderr);
}

/// A change that cannot be noted is refused before the build, and not each time after it.
#[test]
fn a_target_that_can_note_no_change_is_refused_before_the_build() {
    for (line, on) in [
        ("switch", "this machine"),
        ("switch --target-host target", "target"),
        ("boot --rollback --target-host target", "target"),
    ] {
        let scene = Scene::new();
        // Nothing else stops root.
        scene.prepare(": >\"$root/var/lib/rebuild\"");
        refused(
            &scene,
            line,
            &format!("a change of {on} cannot be noted in /var/lib/rebuild there"),
            "df /var/lib/rebuild",
        );
    }
}

/// A kernel that does not fit is found out by the boot loader, after the build; so little room is said before it. It
/// refuses nothing, because the new system may have the kernel that is there already.
#[test]
fn little_room_for_kernels_is_said_before_the_build() {
    for line in ["switch", "switch --target-host target"] {
        let scene = Scene::new();
        scene.prepare("mkdir -p \"$root/boot\"; mount -t tmpfs -o size=1m none \"$root/boot\"");
        let run = scene.rebuild(line);
        let warning = run
            .stderr
            .find("only 1 MiB free in /boot: there may be no room for another kernel");
        let end = run.stderr.find("Done. ");
        assert!(
            warning.is_some() && end.is_some() && warning < end,
            "{line}: {}",
            run.stderr
        );
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    }
}

/// However little room there is, either the change is made and its end is heard, or nothing has begun. (A shell whose
/// `exec` or `:` cannot open its file ends at once.)
#[test]
fn where_files_cannot_be_made_a_change_is_whole_or_none() {
    let mut ends = std::collections::BTreeSet::new();
    for files in 1..16 {
        let scene = Scene::new();
        scene.prepare(&format!(
            "mkdir \"$root/var/lib/rebuild\"; mount -t tmpfs -o nr_inodes={files} none \"$root/var/lib/rebuild\""
        ));
        let run = scene.rebuild("switch");
        let is_changed = scene.calls().iter().any(|call| call.starts_with("nix-env -p"));
        let said = ["cannot be noted in /var/lib/rebuild", "could not be started"]
            .iter()
            .any(|words| run.stderr.contains(words));
        assert!(
            if is_changed {
                run.code == 0
            } else {
                run.code != 0 && said
            },
            "{files}: {}",
            run.stderr
        );
        ends.insert(is_changed);
    }
    assert_eq!(ends.len(), 2);
}

/// With `NIX_SUDOOPTS="-u x"`, or `runas_default` in the sudoers file, sudo succeeds, but the user is not root.
#[test]
fn a_sudo_that_makes_somebody_else_is_refused_before_the_build() {
    let scene = Scene::new();
    scene.user_on("target", 1000);
    scene.prepare(": >\"$root/var/lib/rebuild\"");
    refused(
        &scene,
        "switch --target-host target --sudo",
        "sudo on target makes this user somebody, and not root: nothing was changed",
        "NIX_SUDOOPTS='-u root' rebuild",
    );
    // A target that only receives needs root for its daemon.
    for line in [
        "build --build-on builder --target-host target --sudo",
        "dry-activate --target-host target --sudo",
    ] {
        refused(
            &scene,
            line,
            "sudo on target makes this user somebody, and not root",
            "runas_default in the sudoers file",
        );
    }
}

/// `sudo -i` takes the command apart: the run waited for ever.
#[test]
fn options_for_sudo_that_run_something_else_are_refused() {
    for (line, options) in [
        ("switch --sudo", "-i"),
        ("switch --target-host target --sudo", "-H --background"),
        ("build --build-on builder --target-host target --sudo", "-Hs"),
    ] {
        let scene = Scene::new();
        scene.typed_by(1000);
        scene.user_on("target", 1000);
        scene.variable("NIX_SUDOOPTS", options);
        refused(
            &scene,
            line,
            &format!("NIX_SUDOOPTS ({options}) has "),
            "leave it out of NIX_SUDOOPTS",
        );
    }
}

/// sudo refuses before it looks at any password.
#[test]
fn a_sudo_that_wants_a_terminal_is_no_wrong_password() {
    let says = "echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1";
    for (line, typed, where_there_is_none) in [
        (
            "switch --target-host target --sudo",
            "",
            "target wants a terminal, and there is none over ssh",
        ),
        (
            "switch --target-host target -S",
            "secret\n",
            "target wants a terminal, and there is none over ssh",
        ),
        (
            "boot --rollback --sudo",
            "",
            "this machine wants a terminal, and there is none here",
        ),
    ] {
        let scene = Scene::new();
        scene.user_on("target", 1000);
        scene.typed_by(1000);
        scene.typed(typed);
        scene.stub("sudo", says);
        scene.stub_on("target", "sudo", says);
        let message = format!("sudo on {where_there_is_none}");
        refused(&scene, line, &message, "!requiretty");
    }
}

/// A profile that leads to a store path directly, made by hand, is at no generation; nor is one whose link has another
/// name.
#[test]
fn a_rollback_of_a_profile_without_generations_says_so() {
    for (line, on, link) in [
        ("switch --rollback", "this machine", "\"$system\""),
        (
            "test --rollback --target-host target",
            "target",
            "/nix/store/x-nixos-system-pi-25.05.123",
        ),
        ("boot --rollback", "this machine", "system-2.5-link"),
        ("boot --rollback", "this machine", "system-1-link"),
    ] {
        let scene = Scene::new();
        scene.prepare(&format!("ln -sfn {link} \"$profiles/system\""));
        let message = format!("error: /nix/var/nix/profiles/system has no generation before the current one on {on}");
        refused(&scene, line, &message, "");
        let run = scene.rebuild(line);
        // No shell adds a message of its own.
        assert!(!run.stderr.contains("umber"), "{line}: {}", run.stderr);
    }
}

/// The link of a generation outlives its system if somebody deletes the system by force.
#[test]
fn a_rollback_to_a_system_that_is_gone_says_so() {
    for (line, on) in [
        ("switch --rollback", "this machine"),
        ("test --rollback --target-host target", "target"),
    ] {
        for preparation in [
            "rm -rf \"$root${system%-pi}-old\"",
            // The link leads to no store, or to itself.
            "ln -sfn /nonexistent/a/b \"$profiles/system-1-link\"",
            "ln -sfn system-1-link \"$profiles/system-1-link\"",
        ] {
            let scene = Scene::new();
            scene.prepare(preparation);
            refused(
                &scene,
                line,
                &format!(
                    "the system of the generation before the current one of /nix/var/nix/profiles/system is not on {on} any more"
                ),
                "rebuild list-generations",
            );
        }
    }
}

/// The program that hands the password to run0, at its new place: it reads the password on descriptor 3.
const AGENT: &str = r#"mkdir -p "$root$system/sw/bin"
cat >"$root$system/sw/bin/polkit-stdin-agent" <<'END'
#!/bin/sh
IFS= read -r password <&3
[ "$password" = secret ] || exit 1
while [ "$1" != run0 ]; do shift; done
exec "$@"
END
chmod 755 "$root$system/sw/bin/polkit-stdin-agent"
"#;

/// nixos-rebuild asks for the password only when it activates.
#[test]
fn an_agent_that_comes_with_the_new_system_is_enough_for_run0() {
    let line = "switch --elevate run0 -S";
    for (typed, agent, code) in [("secret\n", AGENT, 0), ("wrong\n", AGENT, 1), ("secret\n", "", 127)] {
        let scene = Scene::new();
        scene.typed_by(1000);
        scene.typed(typed);
        scene.prepare(agent);
        let run = scene.rebuild(line);
        assert_eq!(run.code, code, "{typed}{agent}: {}", run.stderr);
        assert!(
            run.stderr.contains(
                "this machine has no polkit-stdin-agent, which hands the password to run0: if the new system has it"
            ),
            "{}",
            run.stderr
        );
        let changed = scene.calls().iter().any(|call| call.starts_with("nix-env"));
        assert_eq!(changed, code == 0, "{:?}", scene.calls());
    }
    // Root receives what comes from another machine, and does so before the agent exists.
    let scene = Scene::new();
    scene.typed_by(1000);
    scene.typed("secret\n");
    scene.prepare(AGENT);
    refused(
        &scene,
        &format!("{line} --build-on builder"),
        "this machine has no polkit-stdin-agent",
        "--elevate sudo",
    );
}

/// Three things may be killed on the builder for want of memory. If it is its daemon, Nix says only that the daemon is
/// gone.
#[test]
fn what_was_killed_on_a_builder_is_told_with_what_to_do() {
    let evaluates = "hear_script; say hello /usr/bin x86_64-linux; say receiving none; hear_change >/dev/null; say need; say evaluating";
    let fell = r#"printf '@nix {"action":"msg","level":0,"msg":"error: Nix daemon disconnected unexpectedly (maybe it crashed?)"}\n'"#;
    // The second text is that of Nix 2.8.
    let (gone, old) = (
        "Nix daemon disconnected unexpectedly (maybe it crashed?)",
        "unexpected end-of-file",
    );
    for (ending, code, message, remedy) in [
        (
            "say evaluation-failed 137; read -r answer".to_owned(),
            137,
            "Nix on builder was killed, which ended the evaluation: probably builder ran out of memory",
            "ssh builder sudo dmesg",
        ),
        (
            format!("say evaluated {DRV}; say building; say failed build 137"),
            137,
            "Nix on builder was killed, which ended the build: probably builder ran out of memory",
            "--max-jobs 1",
        ),
        (
            format!("say evaluated {DRV}; say building; {fell}; say failed build 1"),
            1,
            "Nix daemon disconnected unexpectedly",
            "ssh builder sudo journalctl -u nix-daemon",
        ),
        (
            format!("{fell}; say evaluation-failed 1; read -r answer"),
            1,
            "Nix daemon disconnected unexpectedly",
            "if builder ran out of memory",
        ),
        (
            format!(
                "say evaluated {DRV}; say building; {}; say failed build 1",
                fell.replace(gone, old)
            ),
            1,
            "error: unexpected end-of-file",
            "ssh builder sudo journalctl -u nix-daemon",
        ),
        (
            format!("say evaluated {DRV}; say building; say failed build 1"),
            1,
            "the build on builder failed",
            "",
        ),
    ] {
        let stage = Stage::new();
        stage.stub("ssh", &format!("{evaluates}; {ending}; exit {code}"));
        let run = stage.rebuild("build --eval-on builder");
        assert_eq!(run.code, code, "{ending}: {}", run.stderr);
        assert!(
            run.stderr.contains(message) && run.stderr.contains(remedy),
            "{ending}: {}",
            run.stderr
        );
        let speaks = run.stderr.contains("ran out of memory");
        assert_eq!(speaks, !remedy.is_empty(), "{ending}: {}", run.stderr);
    }
}

/// What `kill -9` leaves of a run goes with the next run; with a `repl` by an older Nix it is a file.
#[test]
fn what_a_killed_repl_has_left_goes_with_the_next_run() {
    let stage = Stage::new();
    stage.write("tmp/.keep", "");
    stage.variable("TMPDIR", &stage.path("tmp").display().to_string());
    stage.write("kill", "");
    stage.stub(
        "nix",
        "[ \"$1\" != --version ] || { echo 'nix (Nix) 2.8.0'; exit; }
         find tmp -type f >used
         [ ! -e kill ] || { rm kill; kill -9 $PPID; }",
    );
    assert_eq!(stage.rebuild("repl --file x.nix --attr a").code, -1);
    assert_eq!(stage.sh("ls tmp").lines().count(), 1);
    stage.sh("touch -d '1 hour ago' tmp/*");
    assert_eq!(stage.rebuild("repl --file x.nix --attr a").code, 0);
    assert_eq!(stage.sh("ls tmp"), "");
    assert_eq!(stage.read("used").lines().count(), 1 + 1, "{}", stage.read("used"));
}

/// PAM may ask for a touch of a key before the password, or for a code. Then a program that has only the password is
/// refused: that agent (it answers the first question and no other, nixpkgs#540098), and sudo as well. The user is told
/// before the long work.
#[test]
fn where_pam_asks_for_more_than_a_password_that_is_named() {
    let refuses = "IFS= read -r first; echo 'Failed to start transient service unit: Access denied' >&2; exit 1";
    let files = |service: &str, text: &str| {
        format!(
            "mount -t tmpfs -o mode=755 none \"$root/etc/pam.d\"
             cat >\"$root/etc/pam.d/{service}\" <<'END'\n{text}\nEND
             echo 'auth [success=1 default=ignore] pam_google_authenticator.so nullok' >\"$root/etc/pam.d/common-auth\"
             echo '@include polkit-1' >\"$root/etc/pam.d/round\""
        )
    };
    // The files are NixOS's, Debian's and Fedora's, and one that includes itself.
    let nixos = "auth sufficient /nix/store/x-pam_u2f-1.3.1/lib/security/pam_u2f.so cue # u2f (order 10900)\n\
                 auth sufficient /nix/store/x-linux-pam-1.6.1/lib/security/pam_unix.so likeauth try_first_pass\n\
                 auth required /nix/store/x-linux-pam-1.6.1/lib/security/pam_deny.so\n\
                 session required /nix/store/x/lib/security/pam_not_asked.so";
    for (line, service, text, expected) in [
        (
            "switch --target-host target --elevate run0 -S",
            "polkit-1",
            nixos,
            "by pam_u2f: -S has",
        ),
        (
            "switch --target-host target -S",
            "sudo",
            "@include common-auth\n@include common-account",
            "by pam_google_authenticator",
        ),
        (
            "test --target-host target --elevate run0 -S",
            "polkit-1",
            "auth\tsubstack\tround\n-auth optional pam_fprintd.so",
            "by pam_fprintd",
        ),
        (
            "switch --target-host target --elevate run0 -S",
            "polkit-1",
            "auth required pam_unix.so",
            "",
        ),
    ] {
        let scene = Scene::new();
        scene.user_on("target", 1000);
        scene.typed("secret\n");
        scene.prepare(&files(service, text));
        scene.stub_on(
            "target",
            "polkit-stdin-agent",
            &refuses.replace("read -r first", "read -r first <&3"),
        );
        scene.stub_on("target", "sudo", refuses);
        let remedy = if expected.is_empty() {
            "\n  nothing was changed\n"
        } else {
            "--target-host root@HOST"
        };
        refused(
            &scene,
            line,
            "the password is wrong, or somebody may not become root",
            remedy,
        );
        let run = scene.rebuild(line);
        assert!(run.stderr.contains(expected), "{line}: {}", run.stderr);
        let names = run.stderr.contains("PAM there asks");
        assert_eq!(names, !expected.is_empty(), "{line}: {}", run.stderr);
        // It asks once and no more: a key may count its answers.
        let asked = scene
            .calls()
            .iter()
            .filter(|call| call.starts_with("target: polkit-stdin-agent"))
            .count();
        assert!(asked <= 2, "{:?}", scene.calls());
    }
    // If the agent comes with the new system, the user is told before that system is built.
    let scene = Scene::new();
    scene.typed_by(1000);
    scene.typed("secret\n");
    scene.prepare(&files("polkit-1", nixos));
    let run = scene.rebuild("switch --elevate run0 -S");
    let (before, _) = run.stderr.split_once("building the system").unwrap();
    assert!(
        before.contains("PAM there has pam_u2f for it, so it may be refused then"),
        "{}",
        run.stderr
    );
}

/// A file that this user may not read would make the evaluation fail on this machine, too; other users' rights do not
/// matter.
#[test]
fn a_file_that_this_user_may_not_read_is_said_so() {
    for (place, preparation, expected) in [
        (
            "etc/shut.nix",
            "chmod 000 etc/shut.nix",
            "/etc/shut.nix, which this user may not read: look at it with ls -ld",
        ),
        ("etc/shut/x.nix", "chmod 000 etc/shut", "\nerror: opening file '"),
        (
            "etc/mine",
            "chmod 600 etc/mine",
            "/etc/mine; not everybody here may read it, so it is sent only if",
        ),
    ] {
        let stage = Stage::new();
        stage.write(place, "1");
        let path = stage.path(place).display().to_string();
        stage.write("looked", &format!("@rebuild looked {path}\n"));
        stage.write(
            "error",
            &format!(r#"@nix {{"action":"msg","level":0,"msg":"error: opening file '{path}': Permission denied"}}"#),
        );
        stage.stub(
            "ssh",
            "hear_script
             say hello /usr/bin x; say receiving none; hear_change >files.tar; say need; say evaluating
             cat error; echo; say evaluation-failed 1
             while read -r word rest && [ \"$word\" != stop ]; do
                hear_files >environment; say receiving base; hear_files >removed; hear_change >more.tar; say need; say evaluating
                case $word in
                open) cat looked; say looked-around ;;
                *) cat error; echo; say evaluation-failed 1 ;;
                esac
             done
             exit 1",
        );
        let run = stage.rebuild_by_nobody(preparation, "build --eval-on builder --no-lend");
        assert!(run.stderr.contains(expected), "{place}: {}", run.stderr);
        let blames_others = run.stderr.contains("not everybody here may read it");
        assert_eq!(blames_others, place == "etc/mine", "{place}: {}", run.stderr);
        stage.sh("chmod -R u+rwX etc");
    }
}
