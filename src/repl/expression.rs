//! What `nix repl` loads, as text of the Nix language. It loads the names of an attribute set.

use std::path::Path;

/// A text as a literal of the Nix language.
#[must_use]
pub fn string(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            // Each `$`, and not only those of `${`: then what comes before it does not matter.
            '"' | '\\' | '$' => literal.extend(['\\', character]),
            '\n' => literal.push_str("\\n"),
            // Nix reads a bare one as a line's end.
            '\r' => literal.push_str("\\r"),
            _ => literal.push(character),
        }
    }
    literal.push('"');
    literal
}

/// One of a flake's `nixosConfigurations`, with the names that its modules know, and those of the flake.
///
/// It must open where the configuration is wrong, for then one looks at it. So nothing of the configuration is evaluated
/// but `specialArgs`, and not even these are taken where that ends with an error.
#[must_use]
pub fn of_flake(address: &str, name: &str) -> String {
    let help = format!(
        "\nThe flake {address}, nixosConfigurations.{name}:\n\
         \x20 config, options, pkgs, lib, extendModules, and what is in its specialArgs\n\
         \x20 flake, inputs\n\
         :r loads it again, :? shows all commands\n"
    );
    let missing = format!("the flake {address} has no nixosConfigurations.{name}; it has: ");
    format!(
        "let
  flake = builtins.getFlake {address};
  systems = flake.nixosConfigurations or {{ }};
  system = systems.{name} or (throw ({missing} + builtins.concatStringsSep \", \" (builtins.attrNames systems)));
  special = builtins.tryEval (let names = system._module.specialArgs or {{ }}; in builtins.seq names names);
in
builtins.seq system (builtins.trace {help} ((if special.success then special.value else {{ }}) // {{
  inherit flake;
  inherit (flake) inputs;
  inherit (system) config options;
  pkgs = system.pkgs or system.config._module.args.pkgs;
  lib = system.lib or system.pkgs.lib;
  extendModules = system.extendModules or (throw \"this NixOS has no extendModules\");
}}))
",
        address = string(address),
        name = string(name),
        missing = string(&missing),
        help = string(&help),
    )
}

/// An attribute of a file, found as `nix-build` finds it: functions on the way are called with what they have defaults
/// for.
#[must_use]
pub fn of_file(file: &str, attribute: &str, directory: &Path) -> String {
    let names: Vec<String> = attribute_path(attribute).iter().map(|name| string(name)).collect();
    format!(
        "let call = value: if builtins.isFunction value then value {{ }} else value; in
builtins.foldl' (value: name: (call value).${{name}}) (import {}) [ {} ]
",
        imported(file, directory),
        names.join(" ")
    )
}

/// What `nix-build` takes for a file: a `<name>`, an address, or a path.
fn imported(file: &str, directory: &Path) -> String {
    if let Some(name) = file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        return format!("(builtins.findFile builtins.nixPath {})", string(name));
    }
    if file.contains("://") || file.starts_with("channel:") {
        return format!("(builtins.fetchTarball {})", string(file));
    }
    format!("(/. + {})", string(&directory.join(file).to_string_lossy()))
}

/// The names of an attribute path: `a.b`, or `a."b.c"`.
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
    fn nothing_of_a_flakes_address_or_name_is_code() {
        let text = of_flake("path:/a\"${b}", "p\"i${c}");
        assert!(text.contains(r#"builtins.getFlake "path:/a\"\${b}";"#), "{text}");
        assert!(text.contains(r#"systems."p\"i\${c}" or"#), "{text}");
        let code = text.replace("\\$", "").replace("(value: name:", "");
        assert!(!code.contains("${"), "{text}");
        for name in [
            "config",
            "options",
            "pkgs",
            "lib",
            "extendModules",
            "flake",
            "inputs",
            "specialArgs",
        ] {
            assert!(text.contains(name), "{name}");
        }
    }

    #[test]
    fn files_as_nix_build_names_them() {
        let here = Path::new("/home/me");
        for (file, expected) in [
            (
                "<nixos-system>",
                r#"(builtins.findFile builtins.nixPath "nixos-system")"#,
            ),
            ("system.nix", r#"(/. + "/home/me/system.nix")"#),
            ("/srv/my hosts", r#"(/. + "/srv/my hosts")"#),
            ("https://h/x.tar.gz", r#"(builtins.fetchTarball "https://h/x.tar.gz")"#),
        ] {
            let text = of_file(file, "a.\"b.c\"", here);
            assert!(
                text.contains(&format!("(import {expected}) [ \"a\" \"b.c\" ]")),
                "{text}"
            );
        }
    }
}
