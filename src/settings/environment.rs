//! Settings from environment variables.

use std::ffi::OsString;

use super::definition::{advice, by_variable};
use super::kind::Statement;
use super::{Layer, Source, SourcedValue};
use crate::failure::Failure;

/// The names of all these variables begin with this.
const PREFIX: &str = "REBUILD_";

/// Reads the variables. A variable that begins like one of these and is none may belong to another program: it gives a
/// warning.
///
/// # Errors
/// Fails for a value that the setting cannot have.
pub(super) fn read(variables: &[(OsString, OsString)], warnings: &mut Vec<String>) -> Result<Layer, Failure> {
    let mut layer = Layer::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        let Some(definition) = by_variable(name) else {
            let advice = advice(name, |definition| definition.variable, PREFIX);
            warnings.push(format!("{name} has no meaning: {advice}"));
            continue;
        };
        // A value that is no text has no meaning for any of them.
        let said = definition.kind.of_variable(&value.to_string_lossy());
        let said = said.map_err(|allowed| Failure::usage(format!("{name} is {allowed}")).with_remedy(remedy(name)))?;
        let value = match said {
            Statement::Nothing => continue,
            Statement::TheDefault => None,
            Statement::This(value) => Some(value),
        };
        let source = Source::Variable(definition.variable);
        layer.insert(definition.key, SourcedValue { value, source });
    }
    Ok(layer)
}

fn remedy(name: &str) -> String {
    format!("set it to one of these, or do not set it: unset {name}")
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::super::kind::SettingValue;
    use super::*;

    fn read_of(variables: &[(&str, &str)]) -> (Result<Layer, Failure>, Vec<String>) {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut warnings = Vec::new();
        (read(&variables, &mut warnings), warnings)
    }

    #[test]
    fn variables_are_read_by_their_kind() {
        let (layer, warnings) = read_of(&[("REBUILD_LEND", "no"), ("REBUILD_EVAL_HOST", ""), ("REBUILD_FLAKE", "")]);
        let layer = layer.unwrap();
        assert!(warnings.is_empty());
        assert_eq!(layer[&Key::Lend].value, Some(SettingValue::Switch(false)));
        assert_eq!(layer[&Key::Lend].source, Source::Variable("REBUILD_LEND"));
        assert_eq!(layer[&Key::EvalHost].value, Some(SettingValue::Text("".into())));
        assert_eq!(layer[&Key::Flake].value, None);
        assert_eq!(layer.len(), 3);
    }

    #[test]
    fn what_may_be_somebody_elses_is_a_warning_with_the_nearest_name() {
        let (layer, warnings) = read_of(&[
            ("REBUILD_EVALHOST", "x"),
            ("REBUILD_TARGET_HOST", "x"),
            ("NIXOS_REBUILD_X", "x"),
        ]);
        assert!(layer.unwrap().is_empty());
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert_eq!(
            warnings[0],
            "REBUILD_EVALHOST has no meaning: did you mean REBUILD_EVAL_HOST?"
        );
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_is_allowed() {
        let failure = read_of(&[("REBUILD_DIFF", "sometimes")]).0.unwrap_err();
        assert_eq!(failure.code(), 2);
        assert_eq!(
            failure.to_string(),
            "REBUILD_DIFF is 1, true, yes, 0, false or no, not 'sometimes'"
        );
    }
}
