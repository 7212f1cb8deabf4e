//! What an evaluation error says of files that were not sent.

use std::path::PathBuf;

/// Something that the evaluator asked for and did not find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// A path.
    Path(PathBuf),
    /// A name of the search path.
    Lookup(String),
}

/// Reads the error messages of Nix 2.8 to 2.34 and Lix. What is no such message gives nothing; whether the client has the
/// path is not known here.
pub(super) fn missing(error: &str) -> Vec<Missing> {
    let plain = console::strip_ansi_codes(error);
    let mut found = Vec::new();
    for line in plain.lines() {
        let quoted = line.split(['\'', '‘', '’']).skip(1).step_by(2);
        if line.contains("was not found in the Nix search path") {
            found.extend(quoted.take(1).map(|name| Missing::Lookup(name.to_owned())));
        } else if ["does not exist", "No such file or directory"]
            .iter()
            .any(|text| line.contains(text))
        {
            found.extend(
                quoted
                    .filter(|text| text.starts_with('/'))
                    .map(|path| Missing::Path(path.into())),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_several_versions() {
        for (text, expected) in [
            (
                "error: getting status of '/etc/nixos/x.nix': No such file or directory",
                vec![Missing::Path("/etc/nixos/x.nix".into())],
            ),
            (
                "error:\n  … while evaluating\n\u{1b}[31;1merror:\u{1b}[0m path '\u{1b}[35;1m/a b/c\u{1b}[0m' does not exist",
                vec![Missing::Path("/a b/c".into())],
            ),
            (
                "error: opening file '/etc/hostname': No such file or directory",
                vec![Missing::Path("/etc/hostname".into())],
            ),
            (
                "error: file 'home-manager/nixos' was not found in the Nix search path (add it using $NIX_PATH or -I)",
                vec![Missing::Lookup("home-manager/nixos".into())],
            ),
            ("error: attribute 'x' missing at /etc/nixos/x.nix:1:1", vec![]),
        ] {
            assert_eq!(missing(text), expected, "{text}");
        }
    }
}
