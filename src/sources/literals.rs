//! What a Nix file names: its path literals, its `<lookups>`, and the environment variables that it asks for.
//!
//! A hint and not a proof: strings that are used as paths are not seen.

use std::collections::BTreeSet;

use rnix::ast::{self, InterpolPart};
use rnix::{Root, SyntaxNode};
use rowan::ast::AstNode;

/// What one file names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Literals {
    /// Path literals as they are written, up to their first `${`: `./a.nix`, `../b`, `/c`, `~/d`.
    pub paths: BTreeSet<String>,
    /// The names in angle brackets.
    pub lookups: BTreeSet<String>,
    /// The names given to `getEnv`.
    pub variables: BTreeSet<String>,
    /// Strings that are absolute paths or addresses of this machine (`path:`, `git+file:`), up to their first `${`; they
    /// may be read as files, or be no more than text.
    pub strings: BTreeSet<String>,
}

impl Literals {
    /// Reads them from a file's text. A text with errors in it gives what can be read: saying what is wrong is Nix's.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut found = Self::default();
        for node in Root::parse(text).syntax().descendants() {
            found.visit(&node);
        }
        found
    }

    fn visit(&mut self, node: &SyntaxNode) {
        if let Some(path) = ast::Path::cast(node.clone()) {
            let Some(InterpolPart::Literal(start)) = path.parts().into_iter().next() else {
                return;
            };
            let text = start.text();
            if path.is_search() {
                self.lookups.insert(text.trim_matches(['<', '>']).to_owned());
            } else {
                self.paths.insert(text.to_owned());
            }
        } else if let Some(string) = ast::Str::cast(node.clone()) {
            if let Some(InterpolPart::Literal(start)) = string.normalized_parts().into_iter().next() {
                let is_ours = ["/", "path:", "git+file:"].iter().any(|kind| start.starts_with(kind));
                self.strings.extend(Some(start).filter(|_| is_ours));
            }
        } else if let Some(call) = ast::Apply::cast(node.clone()) {
            self.variables.extend(variable_of(&call));
        }
    }
}

/// The name in `getEnv "NAME"` or `builtins.getEnv "NAME"`.
fn variable_of(call: &ast::Apply) -> Option<String> {
    let is_get_env = match call.lambda()? {
        ast::Expr::Ident(name) => name.to_string() == "getEnv",
        ast::Expr::Select(select) => select.attrpath()?.attrs().last()?.to_string() == "getEnv",
        _ => false,
    };
    let ast::Expr::Str(argument) = call.argument()? else {
        return None;
    };
    match argument.normalized_parts().as_slice() {
        [InterpolPart::Literal(name)] if is_get_env => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn every_kind_of_literal() {
        let found = Literals::of(
            r#"
            { lib, ... }: {
              imports = [ ./a.nix ../b /etc/c.nix ~/d.nix <home-manager/nixos> (./e + "/f.nix") ]
                ++ map (name: ./hosts/${name}.nix) [ "x" ];
              a = builtins.getEnv "SECRET" + lib.getEnv "OTHER" + builtins.getEnv (toString 1);
              text = "/etc/string ./not";
              more = [ "/etc/${name}.conf" "not/absolute" ];
            }"#,
        );
        assert_eq!(
            found.paths,
            set(&["./a.nix", "../b", "/etc/c.nix", "~/d.nix", "./e", "./hosts/"])
        );
        assert_eq!(found.lookups, set(&["home-manager/nixos"]));
        assert_eq!(found.variables, set(&["SECRET", "OTHER"]));
        assert_eq!(found.strings, set(&["/etc/string ./not", "/etc/", "/f.nix"]));
    }

    #[test]
    fn a_broken_file_gives_what_can_be_read() {
        assert_eq!(Literals::of("{ a = ./x.nix; b = ").paths, set(&["./x.nix"]));
    }
}
