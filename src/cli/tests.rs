use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("rebuild").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn the_verb_stands_anywhere() {
    for line in [
        "switch --eval-on builder -v",
        "--eval-on builder switch -v",
        "-v --eval-host=builder switch",
        "--option a b switch -v --eval-host builder",
    ] {
        let arguments = parse(line).unwrap();
        assert_eq!(arguments.verb, Verb::Switch, "{line}");
        assert_eq!(arguments.roles.eval_host.as_deref(), Some("builder"), "{line}");
    }
}

#[test]
fn dry_run_is_dry_build() {
    assert_eq!(parse("dry-run").unwrap().verb, Verb::DryBuild);
}

#[test]
fn an_alias_with_a_host_can_be_overridden() {
    let arguments = parse("--eval-on builder switch --eval-on ").unwrap_err();
    assert_eq!(arguments.kind(), clap::error::ErrorKind::InvalidValue);
    let arguments = Arguments::try_parse_from(["rebuild", "--eval-on", "builder", "switch", "--eval-on", ""]).unwrap();
    assert_eq!(arguments.roles.eval_host.as_deref(), Some(""));
}

#[test]
fn a_flake_is_no_verb() {
    for line in ["build --flake", "--flake . build", "build -F", "build -F."] {
        assert_eq!(parse(line).unwrap().configuration.flake.as_deref(), Some("."), "{line}");
    }
    // nixos-rebuild takes the verb for the flake, and shows its manual.
    for line in ["--flake switch", "switch --flake build"] {
        let text = parse(line).unwrap_err().to_string();
        assert!(text.contains("this is a verb: write"), "{text}");
    }
}

#[test]
fn of_flake_and_no_flake_the_last_one_counts() {
    for (line, flake, no_flake) in [
        ("build --flake . --no-flake", None, true),
        ("build --no-flake --flake .", Some("."), false),
        ("build --no-flake --flake . --no-flake", None, true),
    ] {
        let given = parse(line).unwrap().configuration;
        assert_eq!((given.flake.as_deref(), given.no_flake), (flake, no_flake), "{line}");
    }
}

/// Every setting is turned off for one run in the same way.
#[test]
fn of_a_flag_and_its_opposite_the_last_one_counts() {
    for (yes, no) in [
        ("--no-lend", "--lend"),
        ("--verify-eval", "--no-verify-eval"),
        ("--diff", "--no-diff"),
        ("-a", "--no-ask"),
        ("-s", "--no-use-substitutes"),
    ] {
        let given = |line: &str| {
            let Arguments {
                roles,
                activation,
                copy,
                settings,
                ..
            } = parse(line).unwrap();
            let flags = [
                roles.no_lend,
                roles.verify_eval,
                activation.diff,
                activation.ask,
                copy.use_substitutes,
            ];
            let opposites = [
                settings.lend,
                settings.no_verify_eval,
                settings.no_diff,
                settings.no_ask,
                settings.no_use_substitutes,
            ];
            (flags.contains(&true), opposites.contains(&true))
        };
        assert_eq!(given(&format!("build {yes} {no}")), (false, true), "{yes} {no}");
        assert_eq!(given(&format!("build {no} {yes}")), (true, false), "{no} {yes}");
    }
}

#[test]
fn the_help_is_short_and_fits_80_columns() {
    for word in ["-h", "--help"] {
        let help = parse(word).unwrap_err().to_string();
        let verbs = help.split("\n\n").find(|part| part.starts_with("Verbs:")).unwrap();
        assert_eq!(verbs.lines().count(), 1 + Verb::value_variants().len());
        assert!(verbs.lines().all(|line| line.len() <= 80), "{verbs}");
        assert!(help.contains("--eval-host") && help.contains("rebuild help"), "{help}");
        // Nix's less common flags are left to the manual.
        assert!(!help.contains("--no-registries"), "{help}");
    }
}

#[test]
fn an_unknown_flag_names_the_nearest() {
    let text = parse("switch --eval-hots x").unwrap_err().to_string();
    assert!(text.contains("--eval-host"), "{text}");
}
