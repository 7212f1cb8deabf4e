//! The names in a flake's `nixosConfigurations`, as they are written in its text.
//!
//! Nothing is evaluated, so computed names are not found. Two of the functions that make such a set are known: the ones
//! that keep the names written beside them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rnix::SyntaxNode;
use rnix::ast::{self, Attr, BinOpKind, Expr, HasEntry};
use rowan::ast::AstNode;

use super::{Places, is_harmless, text_of};
use crate::nix_text;
use crate::vocabulary::{FlakeReference, Form, file_above};

/// Returns the configurations of the flake that is being typed, or of the one in the current directory:
/// `REFERENCE#NAME`.
pub fn configurations(typed: &str, places: &Places) -> Vec<String> {
    let (reference, is_whole) = match typed.split_once('#') {
        Some((reference, _)) => (reference, true),
        None if typed.is_empty() => (".", false),
        None => (typed, false),
    };
    let Some(file) = flake_file(reference, is_whole, places) else {
        return Vec::new();
    };
    let names = names(&text_of(&file).unwrap_or_default());
    names.into_iter().map(|name| format!("{reference}#{name}")).collect()
}

/// Returns the `flake.nix` that a reference means, if it is on this machine. A reference that may go on (`/etc/nix`)
/// means this directory only; Nix itself also looks in the directories above it.
fn flake_file(reference: &str, is_whole: bool, places: &Places) -> Option<PathBuf> {
    let FlakeReference { form, inside } = FlakeReference::read(reference);
    let (path, looks_above) = match form {
        Form::Address {
            scheme: "path" | "git+file",
            rest,
        } => (Form::file_of(rest), false),
        Form::Path(path) => (PathBuf::from(path), is_whole),
        Form::Address { .. } | Form::Name(_) => return None,
    };
    let directory = match path.strip_prefix("~") {
        Ok(below_home) => places.home.join(below_home),
        Err(_) => places.directory.join(path),
    };
    let directory = directory.join(inside);
    if !looks_above {
        return Some(directory.join("flake.nix"));
    }
    file_above(&directory)
}

/// Returns the names that a flake's text gives to its `nixosConfigurations`. A text with errors gives what can be read.
pub(super) fn names(text: &str) -> BTreeSet<String> {
    let mut names = nix_text::read(text, names_in).unwrap_or_default();
    // The flake may be a stranger's, and some shells do not quote what they are offered. (A ' is common in Nix names;
    // the worst that it does is to leave a quote open.)
    names.retain(|name| is_harmless(name, "'+"));
    names
}

fn names_in(root: &SyntaxNode) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for binding in root.descendants().filter_map(ast::AttrpathValue::cast) {
        let Some(path) = binding.attrpath() else {
            continue;
        };
        let path: Vec<Attr> = path.attrs().collect();
        let Some(place) = path
            .iter()
            .position(|attr| name_of(attr).as_deref() == Some("nixosConfigurations"))
        else {
            continue;
        };
        match path.get(place + 1) {
            Some(attr) => names.extend(name_of(attr)),
            None => names.extend(binding.value().map(keys).unwrap_or_default()),
        }
    }
    names
}

/// Returns the names in a set that is written out.
fn keys(set: Expr) -> Vec<String> {
    match set {
        Expr::AttrSet(set) => {
            let bound = set
                .attrpath_values()
                .filter_map(|binding| binding.attrpath()?.attrs().next());
            let inherited = set.inherits().flat_map(|inherit| inherit.attrs().collect::<Vec<_>>());
            bound.chain(inherited).filter_map(|attr| name_of(&attr)).collect()
        }
        Expr::Paren(inner) => inner.expr().map(keys).unwrap_or_default(),
        Expr::LetIn(inner) => inner.body().map(keys).unwrap_or_default(),
        Expr::With(inner) => inner.body().map(keys).unwrap_or_default(),
        Expr::Assert(inner) => inner.body().map(keys).unwrap_or_default(),
        Expr::BinOp(both) if both.operator() == Some(BinOpKind::Update) => {
            [both.lhs(), both.rhs()].into_iter().flatten().flat_map(keys).collect()
        }
        Expr::Apply(call) => keys_of_call(&call),
        _ => Vec::new(),
    }
}

/// Returns the names in `mapAttrs f { a = …; }` and `genAttrs [ "a" ] f`.
fn keys_of_call(call: &ast::Apply) -> Vec<String> {
    let Some(Expr::Apply(first)) = call.lambda() else {
        return Vec::new();
    };
    let function = match first.lambda() {
        Some(Expr::Ident(name)) => name.to_string(),
        Some(Expr::Select(select)) => {
            let last = select.attrpath().and_then(|path| path.attrs().last());
            last.map(|attr| attr.to_string()).unwrap_or_default()
        }
        _ => return Vec::new(),
    };
    match (function.as_str(), first.argument(), call.argument()) {
        ("mapAttrs", _, Some(set)) => keys(set),
        ("genAttrs", Some(Expr::List(list)), _) => list
            .items()
            .filter_map(|item| match item {
                Expr::Str(text) => nix_text::whole(&text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn name_of(attr: &Attr) -> Option<String> {
    match attr {
        Attr::Ident(name) => Some(name.to_string()),
        Attr::Str(text) => nix_text::whole(text),
        Attr::Dynamic(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, places, write};
    use super::*;

    fn of(outputs: &str) -> Vec<String> {
        let text = format!("{{ inputs.a.url = \"x\"; outputs = {{ self, nixpkgs, ... }}@inputs: {outputs}; }}");
        names(&text).into_iter().collect()
    }

    #[test]
    fn names_that_are_written_out() {
        for (outputs, expected) in [
            (
                "{ nixosConfigurations = { pi = f 1; box = { x = 2; }; }; }",
                &["box", "pi"][..],
            ),
            ("{ nixosConfigurations.pi = f { a = 1; }; packages.x = 2; }", &["pi"]),
            (
                r#"{ nixosConfigurations."pi.lan" = 1; nixosConfigurations = rec { pi' = 1; "x86+1" = 1; }; }"#,
                &["pi'", "pi.lan", "x86+1"],
            ),
            (
                "let x = 1; in rec { nixosConfigurations = let y = 1; in { inherit pi; inherit (y) box; }; }",
                &["box", "pi"],
            ),
            (
                "{ nixosConfigurations = { a = 1; } // (with x; { b = 1; }) // import ./more.nix; }",
                &["a", "b"],
            ),
            (
                "lib.mkFlake { } { flake = { nixosConfigurations.a = 1; }; flake.nixosConfigurations.b = 1; }",
                &["a", "b"],
            ),
            (
                "let nixosConfigurations = { pi = 1; }; in { inherit nixosConfigurations; }",
                &["pi"],
            ),
            (
                r#"{ nixosConfigurations = nixpkgs.lib.genAttrs [ "a" "b" c ] (name: { x = 1; }); }"#,
                &["a", "b"],
            ),
            (
                "{ nixosConfigurations = builtins.mapAttrs (name: f) { a = 1; b = 2; }; }",
                &["a", "b"],
            ),
        ] {
            assert_eq!(of(outputs), expected, "{outputs}");
        }
    }

    #[test]
    fn computed_names_are_not_found() {
        for outputs in [
            "{ nixosConfigurations = import ./hosts inputs; }",
            "{ nixosConfigurations = lib.listToAttrs (map f [ { name = \"a\"; } ]); }",
            "{ nixosConfigurations.${name} = 1; }",
            r#"{ nixosConfigurations."a-${x}" = 1; }"#,
            "{ nixosConfigurations = lib.genAttrs names f; }",
            "{ nixosModules.a = 1; x = self.nixosConfigurations.pi; }",
            r#"{ nixosConfigurations."a\"b" = 1; nixosConfigurations."a#b" = 1; }"#,
        ] {
            assert_eq!(of(outputs), [""; 0], "{outputs}");
        }
    }

    /// A flake that was cloned from somewhere is a stranger's.
    #[test]
    fn names_with_a_meaning_for_shells_are_not_offered() {
        for name in [
            "$(touch PWNED)",
            "q;touch PWNED",
            "`x`",
            "a b",
            "a|b",
            "a>b",
            "a&b",
            "a*",
            "~a",
            "a\\\\b",
            "!!",
            "{a,b}",
            "--sudo",
            "a\\u001b[2J",
            "ü",
            "",
        ] {
            let outputs = format!("{{ nixosConfigurations = {{ \"{name}\" = 1; pi = 1; }}; }}");
            assert_eq!(of(&outputs), ["pi"], "{name}");
        }
    }

    #[test]
    fn a_text_with_errors_gives_what_can_be_read() {
        assert_eq!(of("{ nixosConfigurations.pi = 1; x = "), ["pi"]);
        assert_eq!(of(")("), [""; 0]);
    }

    #[test]
    fn of_the_flake_that_is_being_typed() {
        let (_root, places) = places();
        let flake = |name: &str| format!("{{ outputs = _: {{ nixosConfigurations.{name} = 1; }}; }}");
        write(&places.directory.join("flake.nix"), &flake("pi"));
        write(&places.directory.join("sub/flake.nix"), &flake("sub"));
        write(&places.directory.join("sub/deep/er/file"), "");
        write(&places.directory.join("sub/own/.git"), "");
        write(&places.home.join("nixos/flake.nix"), &flake("home"));
        let absolute = places.home.join("nixos").display().to_string();
        let of_absolute = format!("{absolute}#home");
        for (typed, expected) in [
            ("", &[".#pi"][..]),
            (".", &[".#pi"]),
            (".#", &[".#pi"]),
            ("#", &["#pi"]),
            (".#p", &[".#pi"]),
            (".#x", &[]),
            ("./sub", &["./sub#sub"]),
            ("./sub/#", &["./sub/#sub"]),
            ("path:./sub#", &["path:./sub#sub"]),
            ("path:sub#", &["path:sub#sub"]),
            ("~/nixos", &["~/nixos#home"]),
            ("~/nixos#h", &["~/nixos#home"]),
            ("~other/nixos#", &[]),
            (&absolute, &[&of_absolute]),
            (&format!("path:{absolute}#"), &[&format!("path:{of_absolute}")]),
            (
                &format!("git+file://{absolute}#"),
                &[&format!("git+file://{of_absolute}")],
            ),
            // This is how Nix looks for it, but not while the directory is being typed, and not beyond a repository.
            ("./sub/deep/er#", &["./sub/deep/er#sub"]),
            ("./sub/deep/er", &[]),
            ("path:./sub/deep/er#", &[]),
            ("./sub/own#", &[]),
            // These belong to the registry, or to another machine.
            ("sub#", &[]),
            ("github:a/b#", &[]),
            ("path:./sub?dir=x#", &[]),
            ("/nonexistent#", &[]),
        ] {
            assert_eq!(ask(&places, &["configurations", typed]), expected, "{typed}");
        }
    }
}
