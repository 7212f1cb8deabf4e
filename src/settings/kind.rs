//! The values that a setting may have, in a file and in a variable.

use std::borrow::Cow;

use crate::host::Host;
use crate::vocabulary::split_name;

/// The kinds of values that a setting may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// A machine in ssh's words; the empty string means this machine.
    Host,
    /// A flake in the words of `--flake`.
    Flake,
    /// Yes or no.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A number of seconds, or 0: not at all.
    SecondsOrOff,
}

/// A day. Whoever wants to wait for longer has meant something else.
const MOST_SECONDS: u32 = 86_400;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// A text, or one word of a choice.
    Text(Cow<'static, str>),
    /// Yes or no.
    Switch(bool),
    /// A number.
    Number(u32),
}

/// What one place says about a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// The place says nothing, but another place may.
    Nothing,
    /// The place asks for what applies if nobody says anything.
    TheDefault,
    /// The place gives this value.
    This(SettingValue),
}

impl SettingKind {
    /// Reads what a file says.
    ///
    /// # Errors
    /// Fails with the values that are allowed.
    pub(super) fn of_json(self, value: serde_json::Value) -> Result<Statement, String> {
        let shown = value.to_string();
        let said = match (self, value) {
            (Self::Switch, serde_json::Value::Bool(value)) => Some(Statement::This(SettingValue::Switch(value))),
            (Self::SecondsOrOff, serde_json::Value::Number(number)) => number.as_u64().and_then(Self::seconds_or_off),
            (Self::Switch | Self::SecondsOrOff, _) => None,
            (_, serde_json::Value::String(text)) => self.of_word(text),
            _ => None,
        };
        said.ok_or_else(|| format!("{}, not {shown}", self.in_json()))
    }

    /// Reads what a variable says.
    ///
    /// # Errors
    /// Fails with the values that are allowed.
    pub(super) fn of_variable(self, text: &str) -> Result<Statement, String> {
        let said = match (self, text.to_ascii_lowercase().as_str()) {
            (Self::Switch | Self::Choice(_) | Self::SecondsOrOff, "") => Some(Statement::TheDefault),
            (Self::SecondsOrOff, number) => number.parse().ok().and_then(Self::seconds_or_off),
            (Self::Switch, "1" | "true" | "yes") => Some(Statement::This(SettingValue::Switch(true))),
            (Self::Switch, "0" | "false" | "no") => Some(Statement::This(SettingValue::Switch(false))),
            (Self::Switch, _) => None,
            _ => self.of_word(text.to_owned()),
        };
        let allowed = match self {
            Self::Switch => "1, true, yes, 0, false or no".to_owned(),
            _ => self.in_json(),
        };
        said.ok_or_else(|| format!("{allowed}, not '{}'", text.escape_debug()))
    }

    fn seconds_or_off(number: u64) -> Option<Statement> {
        let number = u32::try_from(number).ok().filter(|number| *number <= MOST_SECONDS)?;
        Some(Statement::This(SettingValue::Number(number)))
    }

    fn of_word(self, text: String) -> Option<Statement> {
        match self {
            Self::Switch | Self::SecondsOrOff => return None,
            // It is not known yet which host is this machine; but what can be a name is the same on every machine.
            Self::Host if text.is_empty() => {}
            Self::Host => _ = Host::parse(&text).ok()?,
            Self::Flake if text.is_empty() => return Some(Statement::TheDefault),
            Self::Flake => _ = split_name("--flake", &text).ok()?,
            Self::Choice(words) => _ = words.iter().find(|word| **word == text)?,
        }
        Some(Statement::This(SettingValue::Text(text.into())))
    }

    /// Returns what a file may say, in words that follow "is".
    #[must_use]
    pub fn in_json(self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::SecondsOrOff => format!("a number of seconds up to {MOST_SECONDS}, or 0: not at all"),
            Self::Host => {
                "a string, [user@]host or ssh://[user@]host[:port], or the empty one: this machine".to_owned()
            }
            Self::Flake => "a string, URI[#NAME] as for --flake".to_owned(),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let (last, others) = words.split_last().map_or(("", &[][..]), |(last, all)| (last, all));
                format!("{} or {last}", others.join(", "))
            }
        }
    }
}

impl From<&SettingValue> for serde_json::Value {
    fn from(value: &SettingValue) -> Self {
        match value {
            SettingValue::Text(text) => Self::from(text.as_ref()),
            SettingValue::Switch(value) => Self::from(*value),
            SettingValue::Number(number) => Self::from(*number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CHOICE: SettingKind = SettingKind::Choice(&["fail", "local", "x"]);

    fn text(text: &str) -> Statement {
        Statement::This(SettingValue::Text(text.to_owned().into()))
    }

    fn seconds(number: u32) -> Statement {
        Statement::This(SettingValue::Number(number))
    }

    #[test]
    fn what_a_file_may_say() {
        for (kind, value, expected) in [
            (
                SettingKind::Switch,
                json!(true),
                Statement::This(SettingValue::Switch(true)),
            ),
            (
                SettingKind::Switch,
                json!(false),
                Statement::This(SettingValue::Switch(false)),
            ),
            (SettingKind::Host, json!("me@builder"), text("me@builder")),
            (
                SettingKind::Host,
                json!("ssh://builder:2222"),
                text("ssh://builder:2222"),
            ),
            (SettingKind::Host, json!(""), text("")),
            (SettingKind::Flake, json!("/etc/nixos#pi"), text("/etc/nixos#pi")),
            (SettingKind::Flake, json!(""), Statement::TheDefault),
            (CHOICE, json!("local"), text("local")),
            (SettingKind::SecondsOrOff, json!(60), seconds(60)),
            (SettingKind::SecondsOrOff, json!(0), seconds(0)),
        ] {
            assert_eq!(kind.of_json(value.clone()), Ok(expected), "{kind:?} {value}");
        }
        for (kind, value, message) in [
            (SettingKind::Switch, json!("yes"), "true or false, not \"yes\""),
            (SettingKind::Switch, json!(1), "true or false, not 1"),
            (SettingKind::Switch, json!(null), "true or false, not null"),
            (SettingKind::Host, json!(["a"]), "this machine, not [\"a\"]"),
            (SettingKind::Host, json!("-oProxyCommand=x"), "not \"-oProxyCommand=x\""),
            (SettingKind::Host, json!("a b"), "not \"a b\""),
            (SettingKind::Flake, json!(1), "as for --flake, not 1"),
            (SettingKind::Flake, json!("-x"), "not \"-x\""),
            (SettingKind::Flake, json!(".#\"x\""), "as for --flake, not"),
            (CHOICE, json!("Local"), "\"fail\", \"local\" or \"x\", not \"Local\""),
            (CHOICE, json!(""), "not \"\""),
            (SettingKind::SecondsOrOff, json!("60"), "or 0: not at all, not \"60\""),
            (SettingKind::SecondsOrOff, json!(-1), "not -1"),
            (SettingKind::SecondsOrOff, json!(1.5), "not 1.5"),
            (SettingKind::SecondsOrOff, json!(86401), "not 86401"),
            (SettingKind::SecondsOrOff, json!(true), "not true"),
            (CHOICE, json!(true), "or \"x\", not true"),
        ] {
            let error = kind.of_json(value.clone()).unwrap_err();
            assert!(error.contains(message), "{kind:?} {value}: {error}");
        }
    }

    #[test]
    fn what_a_variable_may_say() {
        for word in ["1", "true", "yes", "YES"] {
            assert_eq!(
                SettingKind::Switch.of_variable(word),
                Ok(Statement::This(SettingValue::Switch(true)))
            );
        }
        for word in ["0", "false", "no", "False"] {
            assert_eq!(
                SettingKind::Switch.of_variable(word),
                Ok(Statement::This(SettingValue::Switch(false)))
            );
        }
        assert_eq!(CHOICE.of_variable("fail"), Ok(text("fail")));
        assert_eq!(SettingKind::SecondsOrOff.of_variable("86400"), Ok(seconds(86_400)));
        for kind in [
            SettingKind::Switch,
            SettingKind::Flake,
            CHOICE,
            SettingKind::SecondsOrOff,
        ] {
            assert_eq!(kind.of_variable(""), Ok(Statement::TheDefault), "{kind:?}");
        }
        // As on the command line, the empty string means this machine.
        assert_eq!(SettingKind::Host.of_variable(""), Ok(text("")));
        for (kind, word) in [
            (SettingKind::Switch, "on"),
            (SettingKind::Host, "a b"),
            (CHOICE, "never"),
            (SettingKind::SecondsOrOff, "1m"),
            (SettingKind::SecondsOrOff, "-1"),
        ] {
            let error = kind.of_variable(word).unwrap_err();
            assert!(error.ends_with(&format!(", not '{word}'")), "{error}");
        }
    }
}
