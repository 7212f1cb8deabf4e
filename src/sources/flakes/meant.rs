//! What the attributes of a reference are in a lock file, from its text, as far as that is sure in every Nix.

use serde_json::{Value, json};

use crate::vocabulary::{FlakeReference, Form};

/// The forges, whose references are `FORGE:OWNER/REPO[/REF-OR-REV]`.
const FORGES: [&str; 3] = ["github", "gitlab", "sourcehut"];

/// The number of digits of a git revision.
const REVISION: usize = 40;

/// Some attributes with their values; null for one that must not be there.
pub(super) type Attributes = Vec<(&'static str, Value)>;

/// Returns the attributes of `NAME[/REF[/REV]]`.
pub(super) fn of_name(text: &str) -> Attributes {
    let text = text.strip_prefix("flake:").unwrap_or(text);
    let mut parts = text.split('/');
    let id = parts.next().unwrap_or_default();
    let (reference, revision) = match (parts.next(), parts.next()) {
        (Some(only), None) if is_revision(only) => (None, Some(only)),
        found => found,
    };
    vec![
        ("type", json!("indirect")),
        ("id", json!(id)),
        ("ref", json!(reference)),
        ("rev", json!(revision)),
    ]
}

/// Returns the attributes of a reference.
pub(super) fn of_reference(text: &str) -> Attributes {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    if !address
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._~/:@+".contains(c))
    {
        return Vec::new();
    }
    match FlakeReference::read(text).form {
        Form::Name(_) => of_name(text),
        Form::Address { scheme, .. } if FORGES.contains(&scheme) => of_forge(address, query).unwrap_or_default(),
        Form::Address { scheme, rest } => match scheme.strip_prefix("git+") {
            Some(inner @ ("https" | "http" | "ssh")) => {
                let mut found = vec![("type", json!("git")), ("url", json!(format!("{inner}:{rest}")))];
                found.extend(of_query(query).unwrap_or_default());
                found
            }
            None if ["https", "http"].contains(&scheme) && query.is_empty() => vec![("url", json!(address))],
            _ => Vec::new(),
        },
        Form::Path(_) => Vec::new(),
    }
}

fn of_forge(address: &str, query: &str) -> Option<Attributes> {
    let (forge, path) = address.split_once(':')?;
    let mut parts = path.splitn(3, '/');
    let mut found = vec![
        ("type", json!(forge)),
        ("owner", json!(parts.next()?)),
        ("repo", json!(parts.next()?)),
    ];
    match parts.next().filter(|last| !last.is_empty()) {
        None => found.extend(of_query(query).unwrap_or_default()),
        Some(last) if is_revision(last) => found.extend([("rev", json!(last)), ("ref", Value::Null)]),
        Some(last) => found.extend([("ref", json!(last)), ("rev", Value::Null)]),
    }
    Some(found)
}

/// Returns what a query says of the revision. None if it says anything that is not known here.
fn of_query(query: &str) -> Option<Attributes> {
    let (mut reference, mut revision) = (Value::Null, Value::Null);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            (_, value) if value.contains(['%', '+']) => return None,
            ("ref", value) => reference = json!(value),
            ("rev", value) => revision = json!(value),
            ("dir" | "submodules" | "shallow" | "host", _) => {}
            _ => return None,
        }
    }
    Some(vec![("ref", reference), ("rev", revision)])
}

fn is_revision(text: &str) -> bool {
    text.len() == REVISION && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sure() {
        let rev = "0123456789012345678901234567890123456789";
        let of = |text: &str| {
            let found = of_reference(text).into_iter();
            let found = found.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("-")));
            found.collect::<Vec<_>>().join(" ")
        };
        let with_rev = |start: &str| format!("{start}{rev}");
        for (text, expected) in [
            ("nixpkgs", "type=indirect id=nixpkgs ref=- rev=-"),
            ("flake:nixpkgs/x", "type=indirect id=nixpkgs ref=x rev=-"),
            ("github:a/b", "type=github owner=a repo=b ref=- rev=-"),
            ("github:a/b/c/d", "type=github owner=a repo=b ref=c/d rev=-"),
            ("gitlab:a/b?ref=c&dir=d", "type=gitlab owner=a repo=b ref=c rev=-"),
            ("github:a/b?x=c", "type=github owner=a repo=b"),
            ("gitlab:a%2Fb/c", ""),
            (
                "git+https://me@h:1/x.git?ref=y",
                "type=git url=https://me@h:1/x.git ref=y rev=-",
            ),
            ("git+ssh://git@h/x?lfs=1", "type=git url=ssh://git@h/x"),
            ("https://h/x.tar.gz", "url=https://h/x.tar.gz"),
            ("https://h/x.tar.gz?y=1", ""),
            ("git+file:///x", ""),
            ("path:/x", ""),
            ("./x", ""),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        assert_eq!(
            of(&with_rev("github:a/b/")),
            with_rev("type=github owner=a repo=b rev=") + " ref=-"
        );
        assert_eq!(
            of(&with_rev("nixpkgs/")),
            with_rev("type=indirect id=nixpkgs ref=- rev=")
        );
    }
}
