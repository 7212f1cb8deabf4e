//! The inputs that are written in a `flake.nix`. Nix demands that they are plain literals.

use std::collections::BTreeSet;

use rnix::SyntaxNode;
use rnix::ast::{self, Attr, Entry, Expr, HasEntry, Root};
use rowan::ast::AstNode;
use serde_json::{Map, Value};

use super::meant;
use crate::nix_text;

/// Inputs of inputs are not looked for below the depth to which Nix itself would follow them.
const DEEPEST: usize = 100;

/// An input as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// `url = "..."`, or the name of an input about which nothing is written.
    Reference(String),
    /// `{ type = "..."; ... }`
    Attributes(Value),
}

/// Returns all inputs that the text has, with those that it gives to the inputs of its inputs.
pub(super) fn inputs(text: &str) -> Vec<Input> {
    nix_text::read(text, inputs_in).unwrap_or_default()
}

fn inputs_in(root: &SyntaxNode) -> Vec<Input> {
    let Some(Expr::AttrSet(flake)) = Root::cast(root.clone()).and_then(|root| root.expr()) else {
        return Vec::new();
    };
    let whole = value_of(&flake, DEEPEST);
    let mut found = Vec::new();
    let mut waiting: Vec<&Value> = vec![&whole["inputs"]];
    while let Some(inputs) = waiting.pop() {
        for input in inputs.as_object().into_iter().flat_map(Map::values) {
            if let Some(url) = input["url"].as_str() {
                found.push(Input::Reference(url.to_owned()));
            } else if input["type"].is_string() {
                found.push(Input::Attributes(input.clone()));
            }
            waiting.push(&input["inputs"]);
        }
    }
    let is_named = |name: &String| {
        ["url", "type", "follows"]
            .iter()
            .any(|key| !whole["inputs"][name][key].is_null())
    };
    let names = arguments(&flake).into_iter();
    found.extend(
        names
            .filter(|name| name != "self" && !is_named(name))
            .map(Input::Reference),
    );
    found
}

/// The text's own words about one of the flake's own inputs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// `url = "..."`.
    Reference(String),
    /// `type = "..."` and the like.
    Attributes(Value),
    /// Nothing: the registries know the name.
    Name(String),
    /// `follows = "..."`, perhaps with something else, or what cannot be read here.
    Other,
}

impl Named {
    /// Returns whether the attributes `original` of a reference can belong to this input. Nothing is said about what is
    /// not sure here ([`meant`]).
    pub(super) fn is_meant_by(&self, original: &Value) -> bool {
        self.sure().iter().all(|(key, value)| original[key] == *value)
    }

    /// Returns whether this may be another input than the one of these attributes.
    pub(super) fn may_not_be(&self, original: &Value) -> bool {
        let is_whole = match self {
            Self::Name(_) => true,
            Self::Reference(text) => !text.contains('?') && !self.sure().is_empty(),
            Self::Attributes(_) | Self::Other => false,
        };
        !is_whole || !self.is_meant_by(original)
    }

    /// Returns the attributes that are sure.
    fn sure(&self) -> meant::Attributes {
        match self {
            Self::Name(name) => meant::of_name(name),
            Self::Reference(text) => meant::of_reference(text),
            Self::Attributes(attributes) => ["type", "owner", "repo", "id", "ref", "rev"]
                .into_iter()
                .filter_map(|key| Some((key, attributes.get(key)?.clone())))
                .filter(|(_, value)| value.is_string())
                .collect(),
            Self::Other => Vec::new(),
        }
    }

    /// Returns whether it can only be an input of its own, which follows no other.
    pub(super) fn is_own(&self) -> bool {
        !matches!(self, Self::Other)
    }
}

/// The text's own words about inputs.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The flake's own inputs by their names, and those that `outputs` takes besides.
    pub(super) inputs: Vec<(String, Named)>,
    /// The inputs of inputs about which the text says anything: `a/b`.
    pub(super) given: BTreeSet<String>,
}

/// Returns what the text says about inputs. Returns None if that cannot be read here, or if the text is no flake.
pub(super) fn written(text: &str) -> Option<Written> {
    nix_text::read_sound(text, named_in).flatten()
}

fn named_in(root: &SyntaxNode) -> Option<Written> {
    let Some(Expr::AttrSet(flake)) = Root::cast(root.clone()).and_then(|root| root.expr()) else {
        return None;
    };
    let whole = value_of(&flake, DEEPEST);
    let inputs = match &whole["inputs"] {
        Value::Object(inputs) => inputs.clone(),
        Value::Null if !says_inputs(&flake) => Map::new(),
        _ => return None,
    };
    let mut found: Vec<(String, Named)> = Vec::new();
    for (name, input) in inputs.iter().filter(|(name, _)| *name != "self") {
        let says = |key: &str| input.get(key).is_some();
        let named = match (input["url"].as_str(), input["type"].as_str()) {
            _ if says("follows") || !input.is_object() => Named::Other,
            (Some(url), None) if !says("type") => Named::Reference(url.to_owned()),
            (None, Some(_)) if !says("url") => Named::Attributes(input.clone()),
            (None, None) if !says("url") && !says("type") => Named::Name(name.clone()),
            _ => Named::Other,
        };
        found.push((name.clone(), named));
    }
    for name in arguments(&flake) {
        if name != "self" && !inputs.contains_key(&name) {
            found.push((name.clone(), Named::Name(name)));
        }
    }
    Some(Written {
        given: given_below(&inputs),
        inputs: found,
    })
}

/// Returns the inputs of inputs that a text has something about.
fn given_below(inputs: &Map<String, Value>) -> BTreeSet<String> {
    let mut given = BTreeSet::new();
    let below = |way: &str, input: &Value| {
        let inner = input["inputs"].as_object().into_iter().flat_map(Map::iter);
        let inner = inner.map(|(name, input)| (format!("{way}/{name}"), input.clone()));
        inner.collect::<Vec<_>>()
    };
    let mut waiting: Vec<(String, Value)> = inputs.iter().flat_map(|(name, input)| below(name, input)).collect();
    while let Some((way, input)) = waiting.pop() {
        waiting.extend(below(&way, &input));
        given.insert(way);
    }
    given
}

/// Returns whether anything in the text may be `inputs`.
fn says_inputs(flake: &ast::AttrSet) -> bool {
    flake
        .syntax()
        .children()
        .any(|child| child.text().to_string().trim_start().starts_with("inputs"))
}

/// Returns a set's literals as JSON, no deeper than `deepest` names.
fn value_of(set: &ast::AttrSet, deepest: usize) -> Value {
    let mut value = Value::Object(Map::new());
    for entry in set.entries() {
        let Entry::AttrpathValue(entry) = entry else { continue };
        let (Some(path), Some(expression)) = (entry.attrpath(), entry.value()) else {
            continue;
        };
        let Some(names) = path.attrs().map(name_of).collect::<Option<Vec<String>>>() else {
            continue;
        };
        let Some(left) = deepest.checked_sub(names.len()) else {
            continue;
        };
        let inner = match expression {
            Expr::AttrSet(inner) => value_of(&inner, left),
            Expr::Str(string) => nix_text::whole(&string).map_or(Value::Null, Value::String),
            _ => Value::Null,
        };
        put(&mut value, &names, inner);
    }
    value
}

/// Puts a value at a path of names: `a.b = x` and `a.c = y` make one set.
fn put(value: &mut Value, names: &[String], inner: Value) {
    match (names, value) {
        ([], Value::Object(known)) => {
            if let Value::Object(more) = inner {
                known.extend(more);
            }
        }
        ([], value) => *value = inner,
        ([first, rest @ ..], value) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            if let Value::Object(known) = value {
                put(known.entry(first.clone()).or_insert(Value::Null), rest, inner);
            }
        }
    }
}

fn name_of(attr: Attr) -> Option<String> {
    match attr {
        Attr::Ident(name) => Some(name.to_string()),
        Attr::Str(name) => nix_text::whole(&name),
        Attr::Dynamic(_) => None,
    }
}

/// Returns the names that `outputs` takes: `outputs = { self, nixpkgs }: ...`.
fn arguments(flake: &ast::AttrSet) -> Vec<String> {
    let outputs = flake.entries().find_map(|entry| match entry {
        Entry::AttrpathValue(entry) if entry.attrpath()?.syntax().text() == "outputs" => entry.value(),
        _ => None,
    });
    let Some(Expr::Lambda(lambda)) = outputs else {
        return Vec::new();
    };
    match lambda.param() {
        Some(ast::Param::Pattern(pattern)) => {
            let names = pattern.pat_entries().filter_map(|entry| entry.ident());
            names.map(|name| name.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stands_there() {
        let mut found = inputs(
            r#"{
              description = "path:/no";
              inputs.a.url = "path:/a";
              inputs = { b = { url = "git+file:///b"; inputs.c.url = "/c"; }; "d".type = "path"; };
              inputs.d.path = "/d";
              inputs.a.inputs.f.follows = "b";
              inputs.h.flake = false;
              outputs = { self, a, h, registered, ... }@inputs: { x = { url = "/no"; type = "path"; }; };
            }"#,
        );
        found.sort_by_key(|input| format!("{input:?}"));
        let reference = |text: &str| Input::Reference(text.into());
        assert_eq!(
            found,
            [
                Input::Attributes(json!({ "type": "path", "path": "/d" })),
                reference("/c"),
                reference("git+file:///b"),
                reference("h"),
                reference("path:/a"),
                reference("registered"),
            ]
        );
        for text in ["", "{", "x: x", "{ inputs = import ./x; outputs = x: x; }"] {
            assert_eq!(inputs(text), [], "{text}");
        }
    }
}
