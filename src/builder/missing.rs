//! Reads what an evaluation's error says of files that were not sent.

use std::path::PathBuf;

/// Something that the evaluator asked for and did not find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// A path.
    Path(PathBuf),
    /// A store path on which other store paths may depend.
    StorePath(PathBuf),
    /// A git repository's own files.
    Repository(PathBuf),
    /// A name of the search path.
    Lookup(String),
    /// Something from elsewhere, which the other machine cannot fetch.
    Fetched,
    /// Something that the error names in a way that cannot be read.
    Unnamed,
}

/// Reads the error messages of Nix 2.8 to 2.34, Lix and git. Any other message gives nothing. Whether the client has
/// the path is not known here.
pub(super) fn missing(error: &str) -> Vec<Missing> {
    const SIGNS: [&str; 4] = [
        "does not exist",
        "No such file or directory",
        "Permission denied",
        "read a file:// file",
    ];
    const NOT_FETCHED: [&str; 4] = [
        "unable to download",
        "ailed to fetch",
        "program 'git' failed",
        "program 'hg' failed",
    ];
    let plain = console::strip_ansi_codes(error);
    let mut found = Vec::new();
    for line in plain.lines() {
        if line.contains("does not exist and cannot be created") || line.contains("is not valid") {
            found.extend(paths(line).into_iter().map(|path| Missing::StorePath(path.into())));
        } else if line.contains("was not found in the Nix search path") {
            let mut quoted = line.split(['\'', '‘', '’']).skip(1).step_by(2);
            found.extend(quoted.next().map(|name| Missing::Lookup(name.to_owned())));
        } else if line.contains("could not find repository") || line.contains("is not a Git repository") {
            found.extend(paths(line).into_iter().map(|path| Missing::Repository(path.into())));
        } else if SIGNS.iter().any(|sign| line.contains(sign)) {
            let paths = paths(line);
            // The error has no path, for example because the name has a line break in it.
            found.extend((paths.is_empty() && line.ends_with(": Permission denied")).then_some(Missing::Unnamed));
            found.extend(paths.into_iter().map(|path| Missing::Path(path.into())));
        }
        if NOT_FETCHED.iter().any(|sign| line.contains(sign)) && !line.contains("'file:") {
            found.push(Missing::Fetched);
        }
    }
    found
}

/// Returns the absolute paths in a line: each text in quotes; also everything between the first quote and the last,
/// because a name may have a quote in it; or, without quotes, the text up to the colon before the reason. C++'s own
/// errors have paths in brackets after the reason.
fn paths(line: &str) -> Vec<&str> {
    let is_quote = |c| ['\'', '"', '‘', '’', '«', '»', '`'].contains(&c);
    let mut found: Vec<&str> = line.split(is_quote).skip(1).step_by(2).collect();
    if let (Some((first, _)), Some(last)) = (line.split_once(is_quote), line.rfind(is_quote)) {
        let start = line[first.len()..]
            .char_indices()
            .nth(1)
            .map_or(last, |(width, _)| first.len() + width);
        found.extend(line.get(start..last));
    } else if let Some(start) = line.find(" /") {
        found.extend(line[start + 1..].rsplit_once(": ").map(|(path, _)| path));
    }
    found.extend(
        line.split('[')
            .skip(1)
            .filter_map(|rest| rest.split_once(']'))
            .map(|(path, _)| path),
    );
    // curl's errors have the path after these words.
    found.extend(
        line.split_once("open file ")
            .map(|(_, rest)| rest.trim_end_matches(')')),
    );
    for text in &mut found {
        *text = text.strip_prefix("file://").unwrap_or(text);
    }
    found.retain(|text| text.starts_with('/'));
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_several_versions() {
        for (text, expected) in [
            (
                "error: opening file '/etc/nixos/a\nb': Permission denied",
                vec![Missing::Unnamed],
            ),
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
            (
                "error: reading directory /etc/nixos/my modules: Permission denied",
                vec![Missing::Path("/etc/nixos/my modules".into())],
            ),
            (
                "error: opening file '/etc/nixos/it's.nix': Permission denied",
                vec![
                    Missing::Path("/etc/nixos/it".into()),
                    Missing::Path("/etc/nixos/it's.nix".into()),
                ],
            ),
            (
                "fatal: unable to access '/root/.gitconfig': Permission denied",
                vec![Missing::Path("/root/.gitconfig".into())],
            ),
            (
                "error: filesystem error: status: Permission denied [/root/.nix-defexpr/channels]",
                vec![Missing::Path("/root/.nix-defexpr/channels".into())],
            ),
            (
                "error: could not find repository at '/etc/nixos'",
                vec![Missing::Repository("/etc/nixos".into())],
            ),
            (
                "error: unable to download 'file:///srv/x.tar.gz': Couldn't read a file:// file (37)",
                // The quote in "Couldn't" counts like any other. A path that the client does not have does no harm.
                vec![
                    Missing::Path("/srv/x.tar.gz".into()),
                    Missing::Path("/srv/x.tar.gz': Couldn".into()),
                ],
            ),
            (
                "error: path '/nix/store/x-y' does not exist and cannot be created",
                vec![Missing::StorePath("/nix/store/x-y".into())],
            ),
            (
                "error: unable to download 'https://github.com/x': Could not resolve hostname (6)",
                vec![Missing::Fetched],
            ),
            ("error: attribute 'x' missing at /etc/nixos/x.nix:1:1", vec![]),
        ] {
            assert_eq!(missing(text), expected, "{text}");
        }
    }
}
