//! The settings that exist. This one table gives the files' schema, the variables, `--show-settings`, and the checks of
//! the manual and of the NixOS module.

use std::borrow::Cow;

use super::kind::{SettingKind, SettingValue, Statement};
use crate::cli::Arguments;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Who evaluates, and builds if nothing else is said.
    EvalHost,
    /// Who builds.
    BuildHost,
    /// What becomes of a run whose evaluator or builder cannot be reached.
    Fallback,
    /// What wakes the evaluator or builder.
    Wake,
    /// How long a machine may take to wake.
    WakeTimeout,
    /// How long a run tries to come back to work elsewhere after its link broke, or 0.
    ReconnectTimeout,
    /// How long work elsewhere goes on that nobody follows.
    UnattendedTimeout,
    /// Where releases of channels are.
    ReleaseSite,
    /// Whether this machine's Nix daemon is lent to the builder.
    Lend,
    /// Whether evaluations are compared.
    VerifyEval,
    /// How the user becomes root.
    Elevate,
    /// Whether there is a question before an activation.
    Ask,
    /// Whether the packages that change are shown.
    Diff,
    /// Whether the target goes back if the activation fails.
    RollbackOnFailure,
    /// How many seconds a change waits to be confirmed, or 0.
    Confirm,
    /// The machine that confirms a change of this machine by being reached.
    ConfirmBy,
    /// Whether the receiving machine fetches what it can by itself.
    UseSubstitutes,
    /// The configuration, if it is a flake.
    Flake,
    /// Whether a log of the run is kept.
    Log,
}

/// Everything that there is to know of a setting.
pub struct Definition {
    /// The setting.
    pub key: Key,
    /// Its name in the files.
    pub name: &'static str,
    /// Its environment variable.
    pub variable: &'static str,
    /// The flags of the command line that say the same or the opposite.
    pub flags: &'static [&'static str],
    /// The values that it may have.
    pub kind: SettingKind,
    /// The value that applies if nobody says anything; if this is None, `about` says what applies.
    pub default: Option<SettingValue>,
    /// One line for the manual.
    pub about: &'static str,
    /// What the command line says about it.
    pub(super) typed: fn(&Arguments) -> Statement,
}

const fn word(text: &'static str) -> SettingValue {
    SettingValue::Text(Cow::Borrowed(text))
}

fn text(given: Option<&String>) -> Statement {
    given.map_or(Statement::Nothing, |text| {
        Statement::This(SettingValue::Text(text.clone().into()))
    })
}

/// Returns the hosts of a flag: one, or several with commas between.
fn hosts(given: Option<&String>) -> Statement {
    match given.filter(|text| text.contains(',')) {
        Some(list) => Statement::This(SettingValue::List(list.split(',').map(str::to_owned).collect())),
        None => text(given),
    }
}

fn pair(yes: bool, no: bool) -> Statement {
    match (yes, no) {
        (true, _) => Statement::This(SettingValue::Switch(true)),
        (false, true) => Statement::This(SettingValue::Switch(false)),
        (false, false) => Statement::Nothing,
    }
}

/// Returns the name of an enumeration's value, as the command line and the files have it.
fn name<T: clap::ValueEnum>(value: &T) -> Statement {
    value.to_possible_value().map_or(Statement::Nothing, |value| {
        Statement::This(SettingValue::Text(value.get_name().to_owned().into()))
    })
}

fn number(given: Option<u32>) -> Statement {
    given.map_or(Statement::Nothing, |number| {
        Statement::This(SettingValue::Number(number))
    })
}

fn confirm(arguments: &Arguments) -> Statement {
    match arguments.activation.confirm {
        Some(seconds) => Statement::This(SettingValue::Number(seconds)),
        None if arguments.settings.no_confirm => Statement::This(SettingValue::Number(0)),
        None => Statement::Nothing,
    }
}

fn elevate(arguments: &Arguments) -> Statement {
    match &arguments.rights.elevate {
        Some(elevation) => name(elevation),
        None if arguments.rights.sudo || arguments.other.use_remote_sudo => name(&crate::vocabulary::Elevation::Sudo),
        None => Statement::Nothing,
    }
}

/// Returns the flake. Anything else that is named as the configuration takes a flake's place.
fn flake(arguments: &Arguments) -> Statement {
    let given = &arguments.configuration;
    let names = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    match &given.flake {
        None if given.no_flake || names(&given.file) || names(&given.attr) => Statement::TheDefault,
        flake => text(flake.as_ref()),
    }
}

/// All settings, in the order in which they are shown.
pub static ALL: [Definition; 19] = [
    Definition {
        key: Key::EvalHost,
        name: "evalHost",
        variable: "REBUILD_EVAL_HOST",
        flags: &["--eval-host"],
        kind: SettingKind::Hosts,
        default: Some(word("")),
        about: "The machine that evaluates, and builds too unless buildHost says otherwise; of several, the first that answers",
        typed: |arguments| hosts(arguments.roles.eval_host.as_ref()),
    },
    Definition {
        key: Key::BuildHost,
        name: "buildHost",
        variable: "REBUILD_BUILD_HOST",
        flags: &["--build-host"],
        kind: SettingKind::Hosts,
        default: None,
        about: "The machine that builds, if it is not the one that evaluates; of several, the first that answers",
        typed: |arguments| hosts(arguments.roles.build_host.as_ref()),
    },
    Definition {
        key: Key::Fallback,
        name: "fallback",
        variable: "REBUILD_FALLBACK",
        flags: &["--if-unreachable"],
        kind: SettingKind::Choice(&["fail", "local"]),
        default: Some(word("fail")),
        about: "If those cannot be reached: end, or evaluate and build on this machine",
        typed: |arguments| arguments.roles.if_unreachable.as_ref().map_or(Statement::Nothing, name),
    },
    Definition {
        key: Key::Wake,
        name: "wake",
        variable: "REBUILD_WAKE",
        flags: &["--wake"],
        kind: SettingKind::Command,
        default: None,
        about: "If none of those answers: the command by which one of them wakes",
        typed: |arguments| match arguments.roles.wake.as_deref() {
            Some(command) if command.trim().is_empty() => Statement::TheDefault,
            _ => text(arguments.roles.wake.as_ref()),
        },
    },
    Definition {
        key: Key::WakeTimeout,
        name: "wakeTimeout",
        variable: "REBUILD_WAKE_TIMEOUT",
        flags: &["--wake-timeout"],
        kind: SettingKind::Seconds,
        default: Some(SettingValue::Number(120)),
        about: "How many seconds that may take",
        typed: |arguments| number(arguments.roles.wake_timeout),
    },
    Definition {
        key: Key::ReconnectTimeout,
        name: "reconnectTimeout",
        variable: "REBUILD_RECONNECT_TIMEOUT",
        flags: &["--reconnect-timeout"],
        kind: SettingKind::SecondsOrOff,
        default: Some(SettingValue::Number(15 * 60)),
        about: "How many seconds to try to connect again while the work goes on there; 0: not at all",
        typed: |arguments| number(arguments.roles.reconnect_timeout),
    },
    Definition {
        key: Key::UnattendedTimeout,
        name: "unattendedTimeout",
        variable: "REBUILD_UNATTENDED_TIMEOUT",
        flags: &["--unattended-timeout"],
        // What a job has made is kept for a week.
        kind: SettingKind::SecondsUpTo(7 * 24 * 60 * 60),
        default: Some(SettingValue::Number(12 * 60 * 60)),
        about: "How many seconds the work there goes on while nobody follows it, in whole minutes",
        typed: |arguments| number(arguments.roles.unattended_timeout),
    },
    Definition {
        key: Key::ReleaseSite,
        name: "releaseSite",
        variable: "REBUILD_RELEASE_SITE",
        flags: &["--release-site"],
        kind: SettingKind::Address,
        default: Some(word("https://releases.nixos.org")),
        about: "Where the evaluator fetches the release that this machine's channel is, instead of being sent it; '': it does not",
        typed: |arguments| text(arguments.roles.release_site.as_ref()),
    },
    Definition {
        key: Key::Lend,
        name: "lend",
        variable: "REBUILD_LEND",
        flags: &["--lend", "--no-lend"],
        kind: SettingKind::Switch,
        default: Some(SettingValue::Switch(true)),
        about: "Lend this machine's Nix daemon to the builder, for it to send the result",
        typed: |arguments| pair(arguments.settings.lend, arguments.roles.no_lend),
    },
    Definition {
        key: Key::VerifyEval,
        name: "verifyEval",
        variable: "REBUILD_VERIFY_EVAL",
        flags: &["--verify-eval", "--no-verify-eval"],
        kind: SettingKind::Switch,
        default: Some(SettingValue::Switch(false)),
        about: "Evaluate here as well, and go on only if both give the same derivation",
        typed: |arguments| pair(arguments.roles.verify_eval, arguments.settings.no_verify_eval),
    },
    Definition {
        key: Key::Elevate,
        name: "elevate",
        variable: "REBUILD_ELEVATE",
        flags: &["--elevate"],
        kind: SettingKind::Choice(&["none", "sudo", "run0", "doas"]),
        default: Some(word("none")),
        about: "The program by which the user becomes root where the system is changed",
        typed: elevate,
    },
    Definition {
        key: Key::Ask,
        name: "ask",
        variable: "REBUILD_ASK",
        flags: &["--ask", "--no-ask"],
        kind: SettingKind::Switch,
        default: Some(SettingValue::Switch(false)),
        about: "Ask before a system is activated",
        typed: |arguments| pair(arguments.activation.ask, arguments.settings.no_ask),
    },
    Definition {
        key: Key::Diff,
        name: "diff",
        variable: "REBUILD_DIFF",
        flags: &["--diff", "--no-diff"],
        kind: SettingKind::Switch,
        default: Some(SettingValue::Switch(false)),
        about: "Show which packages change",
        typed: |arguments| pair(arguments.activation.diff, arguments.settings.no_diff),
    },
    Definition {
        key: Key::RollbackOnFailure,
        name: "rollbackOnFailure",
        variable: "REBUILD_ROLLBACK_ON_FAILURE",
        flags: &["--rollback-on-failure", "--no-rollback-on-failure"],
        kind: SettingKind::Switch,
        default: Some(SettingValue::Switch(false)),
        about: "If the activation fails, activate the system of before again, and put the profile back",
        typed: |arguments| {
            pair(
                arguments.activation.rollback_on_failure,
                arguments.settings.no_rollback_on_failure,
            )
        },
    },
    Definition {
        key: Key::Confirm,
        name: "confirm",
        variable: "REBUILD_CONFIRM",
        flags: &["--confirm", "--no-confirm"],
        kind: SettingKind::SecondsOrOff,
        default: Some(SettingValue::Number(0)),
        about: "How many seconds a switch or test waits to be confirmed before it goes back; 0: it needs no confirmation",
        typed: confirm,
    },
    Definition {
        key: Key::ConfirmBy,
        name: "confirmBy",
        variable: "REBUILD_CONFIRM_BY",
        flags: &["--confirm-by"],
        kind: SettingKind::Hosts,
        default: None,
        about: "The machine that confirms a change of this machine by being reached; without it the builder; '': a person does",
        typed: |arguments| hosts(arguments.activation.confirm_by.as_ref()),
    },
    Definition {
        key: Key::UseSubstitutes,
        name: "useSubstitutes",
        variable: "REBUILD_USE_SUBSTITUTES",
        flags: &["--use-substitutes", "--no-use-substitutes"],
        kind: SettingKind::Switch,
        default: Some(SettingValue::Switch(false)),
        about: "Let the receiving machine fetch from its own substituters what they have",
        typed: |arguments| pair(arguments.copy.use_substitutes, arguments.settings.no_use_substitutes),
    },
    Definition {
        key: Key::Flake,
        name: "flake",
        variable: "REBUILD_FLAKE",
        flags: &["--flake", "--no-flake"],
        kind: SettingKind::Flake,
        default: None,
        about: "The flake that is the configuration; without it, it is looked for as nixos-rebuild does",
        typed: flake,
    },
    Definition {
        key: Key::Log,
        name: "log",
        variable: "REBUILD_LOG",
        flags: &["--log", "--no-log"],
        kind: SettingKind::Switch,
        default: Some(SettingValue::Switch(true)),
        about: "Keep a log of the run for bug reports",
        typed: |arguments| pair(arguments.settings.log, arguments.settings.no_log),
    },
];

/// Each command itself says which machine and which profile is changed: a forgotten setting must not change a system
/// elsewhere.
const NEVER: [&str; 2] = ["targetHost", "profileName"];

/// Returns the setting of this name in a file.
pub(super) fn by_name(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.name == name)
}

/// Returns the setting of this environment variable.
pub(super) fn by_variable(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.variable == name)
}

/// Returns what an unknown name may mean, as the end of a message. `of` returns a setting's known name; `in_common` is
/// a beginning that all known names share, which does not count as likeness.
pub(super) fn advice(unknown: &str, of: fn(&Definition) -> &'static str, in_common: &str) -> String {
    let plain = |name: &str| {
        let name = name.strip_prefix(in_common).unwrap_or(name);
        name.replace(['-', '_'], "").to_lowercase()
    };
    if NEVER.iter().any(|name| plain(name) == plain(unknown)) {
        return "which machine and profile are changed is said by each command".to_owned();
    }
    // The likeness is measured as by the command line's own parser.
    let likeness = |definition: &Definition| strsim::jaro(&plain(unknown), &plain(of(definition)));
    let nearest = ALL.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|definition| likeness(definition) > 0.7) {
        Some(definition) => format!("did you mean {}?", of(definition)),
        None => format!("there are: {}", ALL.iter().map(of).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{Elevation, Fallback};
    use clap::{CommandFactory, ValueEnum};

    #[test]
    fn names_variables_and_flags_belong_together() {
        let command = Arguments::command();
        for definition in &ALL {
            let words = definition.name.chars().fold(String::from("REBUILD_"), |text, c| {
                text + if c.is_uppercase() { "_" } else { "" } + &c.to_uppercase().to_string()
            });
            assert_eq!(definition.variable, words);
            for flag in definition.flags {
                let is_known = command
                    .get_arguments()
                    .any(|argument| argument.get_long().is_some_and(|long| flag[2..] == *long));
                assert!(is_known, "{flag}");
            }
        }
    }

    #[test]
    fn every_setting_is_there_once() {
        let mut keys: Vec<Key> = ALL.iter().map(|definition| definition.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
    }

    /// A file may choose exactly what the command line may choose.
    #[test]
    fn choices_are_those_of_the_command_line() {
        fn names<T: ValueEnum>() -> Vec<String> {
            let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            values.map(|value| value.get_name().to_owned()).collect()
        }
        for definition in &ALL {
            let SettingKind::Choice(choices) = definition.kind else {
                continue;
            };
            let expected = match definition.key {
                Key::Fallback => names::<Fallback>(),
                Key::Elevate => names::<Elevation>(),
                other => unreachable!("{other:?}"),
            };
            assert_eq!(choices, expected);
        }
    }

    #[test]
    fn what_is_meant_by_a_wrong_name() {
        let key = |name| advice(name, |definition| definition.name, "");
        for (name, nearest) in [
            ("evalHots", "evalHost"),
            ("eval-host", "evalHost"),
            ("EVAL_HOST", "evalHost"),
            ("builHost", "buildHost"),
            ("fallbak", "fallback"),
            ("verify", "verifyEval"),
            ("use-substitute", "useSubstitutes"),
        ] {
            assert_eq!(key(name), format!("did you mean {nearest}?"), "{name}");
        }
        assert!(key("xyz").starts_with("there are: evalHost, buildHost, "));
        for name in ["targetHost", "target-host", "profileName"] {
            assert!(key(name).contains("is said by each command"), "{name}");
        }
        let variable = |name| advice(name, |definition| definition.variable, "REBUILD_");
        assert_eq!(variable("REBUILD_EVALHOST"), "did you mean REBUILD_EVAL_HOST?");
        // It is no likeness that both begin in the same way.
        assert!(variable("REBUILD_XYZ").starts_with("there are: "));
        assert!(variable("REBUILD_TARGET_HOST").contains("is said by each command"));
    }
}
