//! Which command gets which flags: section 1.2 of nixos-rebuild's contract, tested with lines that have all flags.

use super::{Scene, full};

/// The groups of flags, as they are typed and as they are passed on.
const COMMON: &str = "-vv --quiet --quiet --max-jobs 3 --cores 2 --keep-going --keep-failed --fallback --repair --option a b --option c d";
/// The flags on another machine, whose users can read arguments: settings go there in another way.
const THERE: &str = "-vv --quiet --quiet --repair";
const OF_COPYING: &str = "-vv --quiet --quiet --option a b --option c d";
const LOG: &str = "--log-format raw";
const EVALUATION: &str = "-I x=/y -I z --show-trace";
const BUILDERS: &str = "--builders ssh://m";
const LOGS: &str = "--print-build-logs";
const FLAKE: &str = "--offline --no-net --accept-flake-config --refresh --impure --recreate-lock-file \
                     --no-update-lock-file --no-write-lock-file --no-registries --commit-lock-file --update-input i \
                     --override-input n path:/n";

const GIVEN: &str = "--impure -s -Q -L --builders ssh://m --show-trace -I x=/y --include z --log-format raw -v --option a b \
                     --repair --fallback -K -k --cores 2 --quiet -j 3 -v --option c d --quiet \
                     --override-input n path:/n --update-input i --commit-lock-file --no-registries \
                     --no-write-lock-file --no-update-lock-file --recreate-lock-file --refresh --accept-flake-config \
                     --no-net --offline";

/// Returns the line without the flags that only flakes have.
fn classic() -> String {
    let given: Vec<&str> = GIVEN.split(' ').collect();
    let end = given.iter().position(|word| *word == "--override-input").unwrap();
    given[1..end].join(" ")
}

fn check(line: &str, expected: &[String]) {
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    Scene::new().makes(line, &expected);
}

const DELIVER: &str = "builder: nix --extra-experimental-features nix-command --log-format internal-json copy \
                       --no-check-sigs --to LENT SYSTEM -s";
const LINK: &str = "nix-store --realise SYSTEM --add-root LINK";

#[test]
fn each_command_of_a_file_gets_its_flags() {
    let all = classic();
    let toplevel = "<nixpkgs/nixos> --attr config.system.build.toplevel";
    check(
        &format!("build {all}"),
        &[format!(
            "nix-build {toplevel} {COMMON} {LOG} {EVALUATION} {BUILDERS} --no-build-output"
        )],
    );
    check(
        &format!("build --build-host builder {all}"),
        &[
            // nixos-rebuild also passes -L and -Q, which nix-instantiate rejects; and it passes -L to nix-build, which
            // rejects it.
            format!("nix-instantiate {toplevel} --add-root ROOT {COMMON} {LOG} {EVALUATION} {BUILDERS}"),
            // --repair is no flag of copying; nixos-rebuild's nix-copy-closure takes it for the host.
            format!("NIX copy --no-check-sigs --to RELAY -s {OF_COPYING} --derivation DRV"),
            // The builder gets no -I: nixpkgs#381457.
            format!("builder: nix-store --log-format internal-json --realise DRV --add-root KEPT {THERE} {BUILDERS}"),
            DELIVER.to_owned(),
            LINK.to_owned(),
        ],
    );
    check(
        &format!("build --target-host target {all}"),
        &[
            format!("nix-build {toplevel} --out-link ROOT {COMMON} {LOG} {EVALUATION} {BUILDERS} --no-build-output"),
            format!("NIX copy --no-check-sigs --to RELAY -s {OF_COPYING} SYSTEM"),
        ],
    );
}

#[test]
fn each_command_of_a_flake_gets_its_flags() {
    let toplevel = ".#nixosConfigurations.\"pi\".config.system.build.toplevel";
    // For a flake, -Q means its other name --no-link, and goes to the build alone.
    check(
        &format!("build --flake .#pi {GIVEN}"),
        &[format!(
            "NIX build --print-out-paths {toplevel} --no-link {COMMON} {LOG} {EVALUATION} {BUILDERS} {LOGS} {FLAKE}"
        )],
    );
    check(
        &format!("build --build-host builder --flake .#pi {GIVEN}"),
        &[
            // nixos-rebuild passes --no-link, which nix eval rejects.
            format!("NIX eval --raw {toplevel}.drvPath {COMMON} {LOG} {EVALUATION} {BUILDERS} {LOGS} {FLAKE}"),
            format!("NIX copy --no-check-sigs --to RELAY -s {OF_COPYING} --derivation DRV"),
            // The builder gets no --override-input: nixpkgs#474413.
            format!("builder: nix-store --log-format internal-json --realise DRV --add-root KEPT {THERE} {BUILDERS}"),
            DELIVER.to_owned(),
            LINK.to_owned(),
        ],
    );
}

/// Settings are in no argument on the builder, nor in one of ssh, and count in the order of the command line.
#[test]
fn settings_go_to_a_builder_by_the_environment() {
    for flake in ["", "--flake .#pi "] {
        let scene = Scene::new();
        let seen = scene.path("seen");
        let stub = scene.read("builder/bin/nix-store");
        let note = format!(
            "case $* in *--realise*) printf '%s\\n' \"$NIX_CONFIG\" >{} ;; esac",
            seen.display()
        );
        scene.stub_on("builder", "nix-store", &format!("{note}\n{stub}"));
        let run = scene.rebuild(&format!(
            "build --build-host builder {flake}--option access-tokens x=POISON -j 3 --option extra-access-tokens y=POISON --option cores 4"
        ));
        assert_eq!(run.code, 0, "{}", run.stderr);
        let settings = std::fs::read_to_string(&seen).unwrap();
        let expected = "max-jobs = 3\naccess-tokens = x=POISON\nextra-access-tokens = y=POISON\ncores = 4\n";
        assert_eq!(settings.trim(), expected.trim());
        let there = |call: &&String| call.starts_with("builder: ") || call.starts_with("ssh ");
        let calls = scene.calls();
        assert!(
            calls.iter().filter(there).all(|call| !call.contains("POISON")),
            "{calls:#?}"
        );
    }
}

/// If a builder could not be told a setting, nothing is begun.
#[test]
fn a_setting_that_cannot_go_unseen_is_refused_first() {
    for host in [
        "--build-host builder",
        "--eval-on builder",
        "--eval-on builder --build-on target",
    ] {
        let scene = Scene::new();
        let run = scene.rebuild(&format!("switch {host} --option access-tokens x=a#b"));
        assert_eq!(run.code, 2, "{host}: {}", run.stderr);
        assert!(
            run.stderr.contains("--option access-tokens: a value with a '#'"),
            "{}",
            run.stderr
        );
        assert_eq!(scene.calls(), Vec::<String>::new());
    }
    check(
        "build --option access-tokens x=a#b",
        &["nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --option access-tokens x=a#b".to_owned()],
    );
}

/// `nix-env`, `nix-channel` and the activation get no flags; neither do commands that only look or make a link.
#[test]
fn what_changes_a_system_gets_no_flags() {
    let scene = Scene::new();
    let run = scene.rebuild(&format!("switch --upgrade --diff {}", classic()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut seen = scene.seen();
    seen.retain(|call| !call.starts_with("nix-build "));
    let expected = [
        "nix-channel --update marked",
        "nix-channel --update nixos",
        "NIX store diff-closures RUNNING SYSTEM",
        "NIX path-info --closure-size RUNNING SYSTEM",
        super::LOCK,
        "UNIT",
        super::SET,
        "switch-to-configuration switch",
    ];
    assert_eq!(seen, expected.map(full));
}

/// These are the questions of `build-image` and `repl`, and `nix edit`.
#[test]
fn each_command_of_the_other_verbs_gets_its_flags() {
    let scene = Scene::new();
    scene.stub("nix-instantiate", "echo '{\"variants\":[\"iso\"],\"file\":null}'");
    scene.stub(
        "nix",
        "case \" $* \" in
         *' --version '*) echo 'nix (Nix) 2.26.3' ;;
         *' metadata '*) echo '{\"url\":\"path:/f\"}' ;;
         *' eval '*) echo '{\"variants\":[\"iso\"],\"file\":null}' ;;
         esac",
    );
    let last = |line: &str, number: usize| {
        scene.write("calls", "");
        scene.rebuild(line);
        let seen = scene.seen();
        seen.get(number).cloned().unwrap_or_else(|| panic!("{line}: {seen:?}"))
    };
    let without_repair = COMMON.replace(" --repair", "");
    for (line, number, ending) in [
        // nixos-rebuild does not pass -I on to it.
        (
            format!("build-image --image-variant iso {}", classic()),
            0,
            format!("\"images\" ]) {COMMON} {EVALUATION} {BUILDERS}"),
        ),
        (
            format!("build-image --image-variant iso --flake .#pi {GIVEN}"),
            0,
            format!("else null; }} {COMMON} {EVALUATION} {BUILDERS} {FLAKE}"),
        ),
        (
            format!("repl {}", classic()),
            1,
            format!("NIX repl --file <nixpkgs/nixos> {COMMON} {LOG} {EVALUATION} {BUILDERS} {LOGS}"),
        ),
        (
            format!("repl --flake .#pi {GIVEN}"),
            1,
            format!("NIX flake metadata --json . {without_repair} {LOG} {EVALUATION} {BUILDERS} {LOGS} {FLAKE}"),
        ),
        (
            format!("repl --flake .#pi {GIVEN}"),
            2,
            format!("{COMMON} {LOG} {EVALUATION} {BUILDERS} {LOGS} {FLAKE}"),
        ),
        (
            format!("edit --flake github:a/b#pi {GIVEN}"),
            0,
            format!(
                "NIX edit {COMMON} {LOG} {EVALUATION} {BUILDERS} {LOGS} {FLAKE} -- github:a/b#nixosConfigurations.\"pi\""
            ),
        ),
    ] {
        let seen = last(&line, number);
        assert!(seen.ends_with(&full(&ending)), "{line}: {seen}");
    }
}
