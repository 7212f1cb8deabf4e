//! `--show-settings`.

use serde_json::{Map, json};

use super::definition::ALL;
use super::kind::SettingValue;
use super::{Key, Settings, SourcedValue};
use crate::harmless;
use crate::table;

impl Settings {
    /// Returns what applies and where it came from, one setting a line.
    #[must_use]
    pub fn table(&self) -> String {
        let rows = ALL.iter().map(|definition| {
            let (value, source) = self.shown(definition.key);
            let value = value.map_or_else(|| "-".to_owned(), |value| plain(&value));
            [definition.name.to_owned(), value, source]
        });
        let heading = ["setting", "value", "from"].map(str::to_owned);
        let rows: Vec<[String; 3]> = std::iter::once(heading).chain(rows).collect();
        table::lines(&rows, [usize::MAX; 3]).join("\n") + "\n"
    }

    /// Returns the same as JSON: an object with `value` and `source` for each setting.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let entries = ALL.iter().map(|definition| {
            let (value, source) = self.shown(definition.key);
            let value = value.as_ref().map_or(serde_json::Value::Null, Into::into);
            (definition.name.to_owned(), json!({ "value": value, "source": source }))
        });
        entries.collect::<Map<_, _>>().into()
    }

    fn shown(&self, key: Key) -> (Option<SettingValue>, String) {
        let SourcedValue { value, source } = self.held(key);
        // The evaluator builds, too.
        if key == Key::BuildHost && value.is_none() {
            return (self.held(Key::EvalHost).value, "evalHost".to_owned());
        }
        (value, source.to_string())
    }
}

/// Returns a value on one line, as it can be typed; nothing if it is this machine.
fn plain(value: &SettingValue) -> String {
    match value {
        SettingValue::Text(text) if text.is_empty() => "''".to_owned(),
        SettingValue::Text(text) => harmless::name(text),
        SettingValue::List(texts) => harmless::name(&texts.join(",")),
        SettingValue::Switch(value) => value.to_string(),
        SettingValue::Number(number) => number.to_string(),
    }
}
