//! What a Nix file names: path literals, `<lookups>`, and the environment variables that it asks for.
//!
//! This is a hint, not a proof: strings that are used as paths are not seen.

use std::collections::BTreeSet;

use rnix::SyntaxNode;
use rnix::ast::{self, Attr};
use rowan::ast::AstNode;

use super::environment::Asked;
use crate::nix_text;

/// The things that one file names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Literals {
    /// Path literals as they are written, up to their first `${`: `./a.nix`, `../b`, `/c`, `~/d`.
    pub paths: BTreeSet<String>,
    /// The names in angle brackets.
    pub lookups: BTreeSet<String>,
    /// The environment variables that it asks for.
    pub asked: Asked,
    /// Strings that are absolute paths or addresses of this machine (`path:`, `git+file:`), up to their first `${`.
    /// They may be read as files, or be plain text.
    pub strings: BTreeSet<String>,
}

impl Literals {
    /// Reads them from a file's text. If the text has errors, what can be read is returned: it is Nix that says what is
    /// wrong. A text that cannot be read at all may still ask for any variable.
    #[must_use]
    pub fn of(text: &str) -> Self {
        nix_text::read(text, Self::in_tree).unwrap_or_else(|| Self {
            asked: Asked {
                computes_names: text.contains("getEnv"),
                ..Asked::default()
            },
            ..Self::default()
        })
    }

    fn in_tree(root: &SyntaxNode) -> Self {
        let mut found = Self::default();
        for node in root.descendants() {
            found.visit(&node);
        }
        if found.asked.computes_names {
            // As in map builtins.getEnv [ "A" "B" ].
            let strings = root
                .descendants()
                .filter_map(ast::Str::cast)
                .filter_map(|string| nix_text::whole(&string));
            found.asked.names.extend(strings.filter(|text| is_name(text)));
        }
        found
    }

    fn visit(&mut self, node: &SyntaxNode) {
        if let Some(path) = ast::Path::cast(node.clone()) {
            let Some(text) = nix_text::path(&path) else { return };
            if path.is_search() {
                self.lookups.insert(text.trim_matches(['<', '>']).to_owned());
            } else {
                self.paths.insert(text);
            }
        } else if let Some(string) = ast::Str::cast(node.clone()) {
            let is_ours = |text: &String| ["/", "path:", "git+file:"].iter().any(|kind| text.starts_with(kind));
            self.strings.extend(nix_text::start(&string).filter(is_ours));
        } else if is_get_env(node) {
            match argument_of(node) {
                Some(name) => _ = self.asked.names.insert(name),
                None => self.asked.computes_names = true,
            }
        }
    }
}

/// Returns whether the node is `getEnv` or `builtins.getEnv`, as a whole.
fn is_get_env(node: &SyntaxNode) -> bool {
    if let Some(select) = ast::Select::cast(node.clone()) {
        let last = select.attrpath().and_then(|path| path.attrs().last());
        return matches!(last, Some(Attr::Ident(name)) if name.syntax().text() == "getEnv");
    }
    // It must not be a part of `builtins.getEnv`, nor the name of an attribute.
    ast::Ident::cast(node.clone()).is_some_and(|name| name.syntax().text() == "getEnv")
        && node
            .parent()
            .is_none_or(|parent| ast::Attrpath::cast(parent.clone()).is_none() && ast::Inherit::cast(parent).is_none())
}

/// Returns the name in `getEnv "NAME"`, from the node of the function.
fn argument_of(function: &SyntaxNode) -> Option<String> {
    let mut call = function.parent()?;
    while ast::Paren::can_cast(call.kind()) {
        call = call.parent()?;
    }
    let mut argument = ast::Apply::cast(call)?.argument()?;
    while let ast::Expr::Paren(inner) = argument {
        argument = inner.expr()?;
    }
    match argument {
        ast::Expr::Str(text) => nix_text::whole(&text),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
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
              a = builtins.getEnv "SECRET" + lib.getEnv ("OTHER");
              text = "/etc/string ./not";
              more = [ "/etc/${name}.conf" "not/absolute" ];
            }"#,
        );
        assert_eq!(
            found.paths,
            set(&["./a.nix", "../b", "/etc/c.nix", "~/d.nix", "./e", "./hosts/"])
        );
        assert_eq!(found.lookups, set(&["home-manager/nixos"]));
        assert_eq!(found.asked.names, set(&["SECRET", "OTHER"]));
        assert!(!found.asked.computes_names);
        assert_eq!(found.strings, set(&["/etc/string ./not", "/etc/", "/f.nix"]));
    }

    #[test]
    fn computed_names_of_variables() {
        let found = Literals::of(r#"map builtins.getEnv [ "A" "not a name" ] ++ [ (builtins.getEnv ("B" + "C")) ]"#);
        assert!(found.asked.computes_names);
        assert_eq!(found.asked.names, set(&["A", "B", "C"]));
        assert!(
            !Literals::of("{ getEnv = 1; inherit (builtins) getEnv; }")
                .asked
                .computes_names
        );
    }

    #[test]
    fn a_broken_file_gives_what_can_be_read() {
        assert_eq!(Literals::of("{ a = ./x.nix; b = ").paths, set(&["./x.nix"]));
    }
}
