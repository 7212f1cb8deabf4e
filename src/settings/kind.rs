//! The values that a setting may have, in a file and in a variable.

use std::borrow::Cow;

use crate::host::Host;
use crate::vocabulary::{ADDRESS, address, split_name};

/// The kinds of values that a setting may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// A machine in ssh's words, or several, of which the first that answers is meant; the empty string means this
    /// machine.
    Hosts,
    /// A flake in the words of `--flake`.
    Flake,
    /// Yes or no.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A command for a shell.
    Command,
    /// An address on the web, or the empty string for none.
    Address,
    /// A number of seconds, 1 or more.
    Seconds,
    /// A number of seconds, or 0: not at all.
    SecondsOrOff,
    /// A number of seconds from 1 to this one.
    SecondsUpTo(u32),
}

/// A day. Whoever wants to wait for longer has meant something else.
const MOST_SECONDS: u32 = 86_400;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// A text, or one word of a choice.
    Text(Cow<'static, str>),
    /// Several machines.
    List(Vec<String>),
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
            (Self::Seconds, serde_json::Value::Number(number)) => seconds(number.as_u64()),
            (Self::SecondsOrOff, serde_json::Value::Number(number)) => number.as_u64().and_then(Self::seconds_or_off),
            (Self::SecondsUpTo(most), serde_json::Value::Number(number)) => seconds_up_to(most, number.as_u64()),
            (Self::Switch | Self::Seconds | Self::SecondsOrOff | Self::SecondsUpTo(_), _) => None,
            (Self::Hosts, serde_json::Value::Array(values)) => of_array(values),
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
            (Self::Switch | Self::Choice(_) | Self::Seconds | Self::SecondsOrOff | Self::SecondsUpTo(_), "") => {
                Some(Statement::TheDefault)
            }
            (Self::SecondsOrOff, number) => number.parse().ok().and_then(Self::seconds_or_off),
            (Self::Switch, "1" | "true" | "yes") => Some(Statement::This(SettingValue::Switch(true))),
            (Self::Switch, "0" | "false" | "no") => Some(Statement::This(SettingValue::Switch(false))),
            (Self::Switch, _) => None,
            (Self::Seconds, number) => seconds(number.parse().ok()),
            (Self::SecondsUpTo(most), number) => seconds_up_to(most, number.parse().ok()),
            (Self::Hosts, _) if text.contains(',') => of_list(text.split(',').map(str::to_owned).collect()),
            _ => self.of_word(text.to_owned()),
        };
        let allowed = match self {
            Self::Switch => "1, true, yes, 0, false or no".to_owned(),
            Self::Hosts => format!("{HOST}; or several of them with commas between"),
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
            Self::Switch | Self::Seconds | Self::SecondsOrOff | Self::SecondsUpTo(_) => return None,
            // It is not known yet which host is this machine; but what can be a name is the same on every machine.
            Self::Hosts if text.is_empty() => {}
            // A comma belongs to the lists of variables and of the command line.
            Self::Hosts if text.contains(',') => return None,
            Self::Hosts => _ = Host::parse(&text).ok()?,
            Self::Command if text.trim().is_empty() => return Some(Statement::TheDefault),
            // No argument of a process contains this byte.
            Self::Command if text.contains('\0') => return None,
            Self::Command => {}
            Self::Address => _ = address(&text).ok()?,
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
            Self::Hosts => format!("{HOST}; or a list of such hosts"),
            Self::Command => "a string, a command for a shell".to_owned(),
            Self::Address => format!("{ADDRESS}, or the empty one: none"),
            Self::Seconds => "a number of seconds, 1 or more".to_owned(),
            Self::SecondsUpTo(most) => format!("a number of seconds from 1 to {most}"),
            Self::Flake => "a string, URI[#NAME] as for --flake".to_owned(),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let (last, others) = words.split_last().map_or(("", &[][..]), |(last, all)| (last, all));
                format!("{} or {last}", others.join(", "))
            }
        }
    }
}

/// One host, in words that follow "is".
const HOST: &str = "a string, [user@]host or ssh://[user@]host[:port], or the empty one: this machine";

fn seconds(number: Option<u64>) -> Option<Statement> {
    let number = number.and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| *number > 0)?;
    Some(Statement::This(SettingValue::Number(number)))
}

fn seconds_up_to(most: u32, number: Option<u64>) -> Option<Statement> {
    seconds(number.filter(|number| *number <= u64::from(most)))
}

fn of_array(values: Vec<serde_json::Value>) -> Option<Statement> {
    let texts = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    });
    of_list(texts.collect::<Option<_>>()?)
}

/// Reads a list of hosts. This machine always answers, so a list of hosts to be tried has no empty string.
fn of_list(texts: Vec<String>) -> Option<Statement> {
    let is_host = |text: &String| !text.contains(',') && Host::parse(text).is_ok();
    if texts.is_empty() || !texts.iter().all(is_host) {
        return None;
    }
    Some(Statement::This(SettingValue::List(texts)))
}

impl From<&SettingValue> for serde_json::Value {
    fn from(value: &SettingValue) -> Self {
        match value {
            SettingValue::Text(text) => Self::from(text.as_ref()),
            SettingValue::List(texts) => Self::from(texts.clone()),
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

    fn number(number: u32) -> Statement {
        Statement::This(SettingValue::Number(number))
    }

    fn list(texts: &[&str]) -> Statement {
        let texts = texts.iter().map(|text| (*text).to_owned());
        Statement::This(SettingValue::List(texts.collect()))
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
            (SettingKind::Hosts, json!("me@builder"), text("me@builder")),
            (
                SettingKind::Hosts,
                json!("ssh://builder:2222"),
                text("ssh://builder:2222"),
            ),
            (SettingKind::Hosts, json!(""), text("")),
            (SettingKind::Hosts, json!(["a"]), list(&["a"])),
            (
                SettingKind::Hosts,
                json!(["me@a", "ssh://b:22"]),
                list(&["me@a", "ssh://b:22"]),
            ),
            (SettingKind::Command, json!("a; b\nc"), text("a; b\nc")),
            (SettingKind::Command, json!(" "), Statement::TheDefault),
            (
                SettingKind::Seconds,
                json!(90),
                Statement::This(SettingValue::Number(90)),
            ),
            (SettingKind::Flake, json!("/etc/nixos#pi"), text("/etc/nixos#pi")),
            (SettingKind::Flake, json!(""), Statement::TheDefault),
            (CHOICE, json!("local"), text("local")),
            (SettingKind::SecondsOrOff, json!(60), number(60)),
            (SettingKind::SecondsOrOff, json!(0), number(0)),
            (SettingKind::SecondsUpTo(9), json!(9), number(9)),
        ] {
            assert_eq!(kind.of_json(value.clone()), Ok(expected), "{kind:?} {value}");
        }
        for (kind, value, message) in [
            (SettingKind::Switch, json!("yes"), "true or false, not \"yes\""),
            (SettingKind::Switch, json!(1), "true or false, not 1"),
            (SettingKind::Switch, json!(null), "true or false, not null"),
            (SettingKind::Hosts, json!([]), "or a list of such hosts, not []"),
            (SettingKind::Hosts, json!(["a", ""]), "not [\"a\",\"\"]"),
            (SettingKind::Hosts, json!(["a", "-x"]), "not [\"a\",\"-x\"]"),
            (SettingKind::Hosts, json!(["a", 1]), "not [\"a\",1]"),
            (SettingKind::Hosts, json!([["a"]]), "not [[\"a\"]]"),
            (SettingKind::Hosts, json!("a,b"), "not \"a,b\""),
            (SettingKind::Hosts, json!(["a,b"]), "not [\"a,b\"]"),
            (SettingKind::Command, json!(["a"]), "a command for a shell, not [\"a\"]"),
            (SettingKind::Command, json!("a\0b"), "a command for a shell, not"),
            (SettingKind::Seconds, json!(0), "a number of seconds, 1 or more, not 0"),
            (SettingKind::Seconds, json!(-1), "not -1"),
            (SettingKind::Seconds, json!(1.5), "not 1.5"),
            (SettingKind::Seconds, json!("5"), "not \"5\""),
            (SettingKind::Seconds, json!(5_000_000_000_u64), "not 5000000000"),
            (
                SettingKind::Hosts,
                json!("-oProxyCommand=x"),
                "not \"-oProxyCommand=x\"",
            ),
            (SettingKind::Hosts, json!("a b"), "not \"a b\""),
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
            (
                SettingKind::SecondsUpTo(9),
                json!(0),
                "a number of seconds from 1 to 9, not 0",
            ),
            (SettingKind::SecondsUpTo(9), json!(10), "from 1 to 9, not 10"),
            (SettingKind::SecondsUpTo(9), json!("5"), "from 1 to 9, not \"5\""),
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
        assert_eq!(SettingKind::SecondsOrOff.of_variable("86400"), Ok(number(86_400)));
        for kind in [
            SettingKind::Switch,
            SettingKind::Flake,
            SettingKind::Command,
            SettingKind::Seconds,
            SettingKind::SecondsOrOff,
            SettingKind::SecondsUpTo(9),
            CHOICE,
        ] {
            assert_eq!(kind.of_variable(""), Ok(Statement::TheDefault), "{kind:?}");
        }
        // As on the command line, the empty string means this machine.
        assert_eq!(SettingKind::Hosts.of_variable(""), Ok(text("")));
        assert_eq!(SettingKind::Hosts.of_variable("a,me@b"), Ok(list(&["a", "me@b"])));
        assert_eq!(
            SettingKind::Seconds.of_variable("7"),
            Ok(Statement::This(SettingValue::Number(7)))
        );
        for (kind, word) in [
            (SettingKind::Switch, "on"),
            (SettingKind::Hosts, "a b"),
            (SettingKind::Hosts, "a,"),
            (SettingKind::Hosts, "a, b"),
            (SettingKind::Seconds, "soon"),
            (CHOICE, "never"),
            (SettingKind::SecondsOrOff, "1m"),
            (SettingKind::SecondsOrOff, "-1"),
            (SettingKind::SecondsUpTo(9), "10"),
            (SettingKind::SecondsUpTo(9), "12h"),
        ] {
            let error = kind.of_variable(word).unwrap_err();
            assert!(error.ends_with(&format!(", not '{word}'")), "{error}");
        }
    }
}
