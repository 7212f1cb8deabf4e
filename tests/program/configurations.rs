//! What the command line can name as the configuration, and the commands that follow from it.

use crate::stubs::Stage;
use crate::{DRV, SYSTEM};

#[test]
fn a_flake_is_built_by_one_command() {
    let stage = Stage::new();
    stage.stub("nix", &format!("echo {SYSTEM}"));
    let run = stage.rebuild("build --flake .#pi --impure --override-input nixpkgs path:/n -L");
    run.gives(SYSTEM);
    assert_eq!(
        stage.calls(),
        [
            "nix --extra-experimental-features nix-command flakes build --print-out-paths \
             .#nixosConfigurations.\"pi\".config.system.build.toplevel --print-build-logs --impure \
             --override-input nixpkgs path:/n --log-format internal-json"
        ]
    );
}

#[test]
fn build_host_evaluates_a_flake_here() {
    let stage = Stage::new();
    // There is no newline at the end, as with nix eval --raw.
    stage.stub("nix", &format!("case $* in *' copy '*) ;; *) printf %s {DRV} ;; esac"));
    stage.stub("nix-copy-closure", "");
    stage.stub(
        "ssh",
        &format!("hear_script; say hello /usr/bin x; say building; say built {SYSTEM}; say no-socket; say finished"),
    );
    let run = stage.rebuild("build --flake /x#pi --build-on builder --no-lend --impure --cores 2 -Q");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let calls = stage.calls_but_of_daemons();
    assert_eq!(
        calls[0],
        "nix --extra-experimental-features nix-command flakes eval --raw \
             /x#nixosConfigurations.\"pi\".config.system.build.toplevel.drvPath --cores 2 --impure --log-format internal-json"
    );
    assert!(
        calls[1].contains(" copy --no-check-sigs --to unix:///tmp/rebuild."),
        "{}",
        calls[1]
    );
    assert!(calls[2].starts_with("ssh "), "{}", calls[2]);
    assert!(!stage.read("script").contains("--impure"));
    assert_eq!(calls[3], format!("nix-copy-closure --from builder {SYSTEM}"));
    assert_eq!(calls.len(), 5);
}

/// The places are searched in this order. nixos-rebuild starts `nix-instantiate` to look for `<nixos-system>`, and does
/// not pass the `-I` on to it.
#[test]
fn a_configuration_in_a_file() {
    let stage = Stage::new();
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    stage.write("system.nix", "{ }");
    let own = stage.path("system.nix").display().to_string();
    for (line, words) in [
        ("build", "<nixpkgs/nixos> --attr config".to_owned()),
        ("build --attr a.pi", "system.nix --attr a.pi.config".to_owned()),
        ("build --file /x.nix", "/x.nix --attr config".to_owned()),
        ("build -f . -A pi", "./system.nix --attr pi.config".to_owned()),
        (
            &format!("build -I nixos-system={own}"),
            "<nixos-system> --attr config".to_owned(),
        ),
    ] {
        assert_eq!(stage.rebuild(line).code, 0, "{line}");
        let call = stage.calls().pop().unwrap();
        let rest = call.strip_prefix(&format!("nix-build {words}.system.build.toplevel"));
        assert!(rest.is_some(), "{line}: {call}");
    }
    assert_eq!(stage.calls().len(), 5);
}

#[test]
fn of_an_odd_configuration_nothing_is_run() {
    let stage = Stage::new();
    for (line, message, remedy) in [
        (
            "build --flake . --file x.nix",
            "name two configurations",
            "leave one out",
        ),
        ("build --flake .#a#b", "is no name of a configuration", "REFERENCE#NAME"),
        ("build --attr pi", "there is no ./system.nix", "--file FILE --attr pi"),
        ("--flake build", "this is a verb", "write build --flake"),
        (
            "build --verify-eval",
            "on another machine, and none is named",
            "--eval-on HOST",
        ),
        (
            "build --eval-on builder --flake . --commit-lock-file",
            "--commit-lock-file: the commit would be made",
            "nix flake lock --commit-lock-file",
        ),
    ] {
        let run = stage.rebuild(line);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{line}: {}", run.stderr);
        assert!(
            run.stderr.contains(message) && run.stderr.contains(remedy),
            "{}",
            run.stderr
        );
    }
    assert!(stage.calls().is_empty());
}

/// An alias or a script that always gives these flags must not break.
#[test]
fn flags_of_flakes_without_a_flake_warn_and_reach_no_command() {
    for flags in [
        "--impure",
        "--offline --refresh",
        "--override-input a b --no-registries",
    ] {
        let stage = Stage::new();
        stage.stub("nix-build", &format!("echo {SYSTEM}"));
        let run = stage.rebuild(&format!("build {flags}"));
        assert_eq!(
            (run.code, run.stdout.trim_end()),
            (0, SYSTEM),
            "{flags}: {}",
            run.stderr
        );
        assert!(run.stderr.contains("warning: --"), "{flags}: {}", run.stderr);
        assert!(run.stderr.contains("has no effect: it is for flakes"), "{}", run.stderr);
        let plain = "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --log-format internal-json";
        assert_eq!(stage.calls(), [plain], "{flags}");
    }
}

/// The run never goes on with a warning and another file. What can be shown in such a place is shown
/// (`sources/collect/shown.rs`).
#[test]
fn what_is_named_where_the_evaluator_has_its_own_is_refused_before_anything() {
    let stage = Stage::new();
    let nix_path = format!("nixpkgs={}", stage.path("nixpkgs").display());
    let entry = format!("nixos-config={}", stage.path("etc/nixos/configuration.nix").display());
    for (variable, value, flags, named) in [
        ("NIXOS_CONFIG", "/usr/bin/env", "", "NIXOS_CONFIG names /usr/bin/env"),
        (
            "NIX_PATH",
            "nixos-config=/proc/version:OWN",
            "",
            "-I) names /proc/version",
        ),
        ("NIX_PATH", "nixpkgs=/bin:OWN", "", "-I) names /bin"),
        ("NIXPKGS_CONFIG", "/dev/null", "", "NIXPKGS_CONFIG names /dev/null"),
        ("X", "", "-I nixos-config=/proc/version", "-I) names /proc/version"),
        ("X", "", "--file /proc/version", "--file names /proc/version"),
        ("X", "", "--flake /proc/sys", "--flake names /proc/sys"),
    ] {
        stage.variable("NIX_PATH", &format!("{nix_path}:{entry}"));
        stage.variable("NIXOS_CONFIG", "");
        stage.variable("NIXPKGS_CONFIG", "");
        stage.variable(variable, &value.replace("OWN", &format!("{nix_path}:{entry}")));
        let run = stage.rebuild(&format!("build --eval-on builder {flags}"));
        let case = format!("{variable}={value} {flags}: {}", run.stderr);
        assert_eq!((run.code, stage.calls().len()), (1, 0), "{case}");
        assert!(run.stderr.contains(&format!("{named}: ")), "{case}");
        assert!(run.stderr.contains("or evaluate here: --eval-on ''"), "{case}");
        assert!(!run.stderr.contains("is NIX_PATH set?"), "{case}");
    }
}

#[test]
fn a_flake_needs_nix_itself() {
    let stage = Stage::new();
    stage.variable("PATH", &stage.path("bin").display().to_string());
    let run = stage.rebuild("build --flake .");
    assert_eq!(run.code, 127);
    assert!(run.stderr.contains("error: nix: command not found"), "{}", run.stderr);
}
