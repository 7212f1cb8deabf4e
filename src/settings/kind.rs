//! What a setting may be, in a file and in a variable.

use std::borrow::Cow;

use crate::host::Host;
use crate::vocabulary::split_name;

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A machine in ssh's words, or the empty string: this machine.
    Host,
    /// A flake in the words of `--flake`.
    Flake,
    /// Yes or no.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// What a setting is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, or one word of a choice.
    Text(Cow<'static, str>),
    /// Yes or no.
    Switch(bool),
}

/// What one place says of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing: another place may.
    Nothing,
    /// What applies if nobody says anything.
    TheDefault,
    /// This.
    This(Value),
}

impl Kind {
    /// What a file says.
    ///
    /// # Errors
    /// What is allowed.
    pub(super) fn of_json(self, value: serde_json::Value) -> Result<Said, String> {
        let shown = value.to_string();
        let said = match (self, value) {
            (Self::Switch, serde_json::Value::Bool(value)) => Some(Said::This(Value::Switch(value))),
            (Self::Switch, _) => None,
            (_, serde_json::Value::String(text)) => self.of_word(text),
            _ => None,
        };
        said.ok_or_else(|| format!("{}, not {shown}", self.in_json()))
    }

    /// What a variable says.
    ///
    /// # Errors
    /// What is allowed.
    pub(super) fn of_variable(self, text: &str) -> Result<Said, String> {
        let said = match (self, text.to_ascii_lowercase().as_str()) {
            (Self::Switch | Self::Choice(_), "") => Some(Said::TheDefault),
            (Self::Switch, "1" | "true" | "yes") => Some(Said::This(Value::Switch(true))),
            (Self::Switch, "0" | "false" | "no") => Some(Said::This(Value::Switch(false))),
            (Self::Switch, _) => None,
            _ => self.of_word(text.to_owned()),
        };
        let allowed = match self {
            Self::Switch => "1, true, yes, 0, false or no".to_owned(),
            _ => self.in_json(),
        };
        said.ok_or_else(|| format!("{allowed}, not '{}'", text.escape_debug()))
    }

    fn of_word(self, text: String) -> Option<Said> {
        match self {
            Self::Switch => return None,
            // Which machine is this one is not known yet; what is a name at all is the same everywhere.
            Self::Host if text.is_empty() => {}
            Self::Host => _ = Host::parse(&text).ok()?,
            Self::Flake if text.is_empty() => return Some(Said::TheDefault),
            Self::Flake => _ = split_name("--flake", &text).ok()?,
            Self::Choice(words) => _ = words.iter().find(|word| **word == text)?,
        }
        Some(Said::This(Value::Text(text.into())))
    }

    /// What a file may say, in words that follow "is".
    #[must_use]
    pub fn in_json(self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
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

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Text(text) => Self::from(text.as_ref()),
            Value::Switch(value) => Self::from(*value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CHOICE: Kind = Kind::Choice(&["fail", "local", "x"]);

    fn text(text: &str) -> Said {
        Said::This(Value::Text(text.to_owned().into()))
    }

    #[test]
    fn what_a_file_may_say() {
        for (kind, value, expected) in [
            (Kind::Switch, json!(true), Said::This(Value::Switch(true))),
            (Kind::Switch, json!(false), Said::This(Value::Switch(false))),
            (Kind::Host, json!("me@builder"), text("me@builder")),
            (Kind::Host, json!("ssh://builder:2222"), text("ssh://builder:2222")),
            (Kind::Host, json!(""), text("")),
            (Kind::Flake, json!("/etc/nixos#pi"), text("/etc/nixos#pi")),
            (Kind::Flake, json!(""), Said::TheDefault),
            (CHOICE, json!("local"), text("local")),
        ] {
            assert_eq!(kind.of_json(value.clone()), Ok(expected), "{kind:?} {value}");
        }
        for (kind, value, message) in [
            (Kind::Switch, json!("yes"), "true or false, not \"yes\""),
            (Kind::Switch, json!(1), "true or false, not 1"),
            (Kind::Switch, json!(null), "true or false, not null"),
            (Kind::Host, json!(["a"]), "this machine, not [\"a\"]"),
            (Kind::Host, json!("-oProxyCommand=x"), "not \"-oProxyCommand=x\""),
            (Kind::Host, json!("a b"), "not \"a b\""),
            (Kind::Flake, json!(1), "as for --flake, not 1"),
            (Kind::Flake, json!("-x"), "not \"-x\""),
            (Kind::Flake, json!(".#\"x\""), "as for --flake, not"),
            (CHOICE, json!("Local"), "\"fail\", \"local\" or \"x\", not \"Local\""),
            (CHOICE, json!(""), "not \"\""),
            (CHOICE, json!(true), "or \"x\", not true"),
        ] {
            let error = kind.of_json(value.clone()).unwrap_err();
            assert!(error.contains(message), "{kind:?} {value}: {error}");
        }
    }

    #[test]
    fn what_a_variable_may_say() {
        for word in ["1", "true", "yes", "YES"] {
            assert_eq!(Kind::Switch.of_variable(word), Ok(Said::This(Value::Switch(true))));
        }
        for word in ["0", "false", "no", "False"] {
            assert_eq!(Kind::Switch.of_variable(word), Ok(Said::This(Value::Switch(false))));
        }
        assert_eq!(CHOICE.of_variable("fail"), Ok(text("fail")));
        for kind in [Kind::Switch, Kind::Flake, CHOICE] {
            assert_eq!(kind.of_variable(""), Ok(Said::TheDefault), "{kind:?}");
        }
        // As on the command line, that is this machine.
        assert_eq!(Kind::Host.of_variable(""), Ok(text("")));
        for (kind, word) in [(Kind::Switch, "on"), (Kind::Host, "a b"), (CHOICE, "never")] {
            let error = kind.of_variable(word).unwrap_err();
            assert!(error.ends_with(&format!(", not '{word}'")), "{error}");
        }
    }
}
