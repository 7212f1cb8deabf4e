//! The user's words as text of the Nix language.

use std::path::Path;

/// Returns a text as a literal of the Nix language.
#[must_use]
pub fn string(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            // Every `$` is escaped, not only the ones in `${`: then the characters before it do not matter.
            '"' | '\\' | '$' => literal.extend(['\\', character]),
            '\n' => literal.push_str("\\n"),
            // Nix reads a bare one as the end of a line.
            '\r' => literal.push_str("\\r"),
            _ => literal.push(character),
        }
    }
    literal.push('"');
    literal
}

/// Returns an attribute of a file, found as `nix-build` finds it: functions on the way are called with their default
/// arguments. Relative paths start from `directory`. Without it they start from where Nix runs; this is for Nix's
/// command line.
#[must_use]
pub fn of_file(file: &str, attribute: &str, directory: Option<&Path>) -> String {
    let names: Vec<String> = attribute_path(attribute).iter().map(|name| string(name)).collect();
    format!(
        "let call = value: if builtins.isFunction value then value {{ }} else value; in \
         builtins.foldl' (value: name: (call value).${{name}}) (import {}) [ {} ]",
        imported(file, directory),
        names.join(" ")
    )
}

/// Returns what `nix-build` takes for a file: a `<name>`, an address of a tarball or a channel, or a path.
fn imported(file: &str, directory: Option<&Path>) -> String {
    if let Some(name) = file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        return format!("(builtins.findFile builtins.nixPath {})", string(name));
    }
    if file.contains("://") || file.starts_with("channel:") {
        return format!("(builtins.fetchTarball {})", string(file));
    }
    match directory {
        Some(directory) => format!("(/. + {})", string(&directory.join(file).to_string_lossy())),
        None if file.starts_with('/') => format!("(/. + {})", string(file)),
        None => format!("(./. + {})", string(&format!("/{file}"))),
    }
}

/// Returns the names of an attribute path: `a.b`, or `a."b.c"`.
fn attribute_path(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            _ => {
                if let Some(name) = names.last_mut() {
                    name.push(character);
                }
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (text, expected) in [
            ("", r#""""#),
            ("a b'c", r#""a b'c""#),
            (r#"say "x""#, r#""say \"x\"""#),
            (r"a\b", r#""a\\b""#),
            ("${a}", r#""\${a}""#),
            ("$${a}$", r#""\$\${a}\$""#),
            (r"\${a}", r#""\\\${a}""#),
            ("a\nb\r\n", r#""a\nb\r\n""#),
            ("ü\t", "\"ü\t\""),
        ] {
            assert_eq!(string(text), expected);
        }
    }

    #[test]
    fn files_as_nix_build_names_them() {
        let here = Path::new("/home/me");
        for (file, from_here, from_nix) in [
            (
                "<nixos-system>",
                r#"(builtins.findFile builtins.nixPath "nixos-system")"#,
                r#"(builtins.findFile builtins.nixPath "nixos-system")"#,
            ),
            (
                "system.nix",
                r#"(/. + "/home/me/system.nix")"#,
                r#"(./. + "/system.nix")"#,
            ),
            ("../${x}", r#"(/. + "/home/me/../\${x}")"#, r#"(./. + "/../\${x}")"#),
            (
                "/srv/my hosts",
                r#"(/. + "/srv/my hosts")"#,
                r#"(/. + "/srv/my hosts")"#,
            ),
            (
                "https://h/x.tar.gz",
                r#"(builtins.fetchTarball "https://h/x.tar.gz")"#,
                r#"(builtins.fetchTarball "https://h/x.tar.gz")"#,
            ),
            (
                "https://h/\"${x}",
                r#"(builtins.fetchTarball "https://h/\"\${x}")"#,
                r#"(builtins.fetchTarball "https://h/\"\${x}")"#,
            ),
            (
                "channel:nixos-unstable",
                r#"(builtins.fetchTarball "channel:nixos-unstable")"#,
                r#"(builtins.fetchTarball "channel:nixos-unstable")"#,
            ),
        ] {
            for (directory, expected) in [(Some(here), from_here), (None, from_nix)] {
                let text = of_file(file, "a.\"b.c\".2d", directory);
                assert!(
                    text.ends_with(&format!("(import {expected}) [ \"a\" \"b.c\" \"2d\" ]")),
                    "{text}"
                );
            }
        }
    }
}
