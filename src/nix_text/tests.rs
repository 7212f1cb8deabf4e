use super::*;
use std::fs;
use std::path::{Path, PathBuf};

use rnix::ast;
use rowan::ast::AstNode;

use crate::sources::literals::Literals;

fn strings(text: &str) -> Vec<Option<String>> {
    let see = |root: &SyntaxNode| {
        root.descendants()
            .filter_map(ast::Str::cast)
            .map(|string| whole(&string))
            .collect()
    };
    read(text, see).unwrap()
}

/// Runs all code of this program that reads Nix files.
fn everything_of(text: &str) {
    let _ = Literals::of(text);
    crate::sources::flakes::look_at(text);
    crate::candidates::look_at(text);
}

#[test]
fn a_missing_quote_is_no_crash_and_takes_no_other_hint_away() {
    for text in [
        "{ imports = [ ./a.nix ]; networking.hostName = \"pi; }",
        "{ imports = [ ./a.nix ]; networking.hostName = ''pi; }",
        "{ imports = [ ./a.nix ]; networking.hostName = \"${pi; }",
        "{ imports = [ ./a.nix ]; networking.hostName = \"a${pi}b; }",
        "{ imports = [ ./a.nix ]; networking.hostName = \"pi\\",
        "{ imports = [ ./a.nix ]; x.\"y = 1; }",
        "{ imports = [ ./a.nix ]; x = inherit \"y; }",
        "{ imports = [ ./a.nix ./b ${x} ]; }",
        "{ imports = [ ./a.nix ./b/ ]; x = ~/; }",
        "{ imports = [ ./a.nix <a b> <a ]; }",
    ] {
        everything_of(text);
        assert!(Literals::of(text).paths.contains("./a.nix"), "{text}");
    }
}

#[test]
fn strings_as_they_are_meant() {
    let text = r#"[ "" "a\"b" "a${x}" ''
      two
        lines
    '' "open ]"#;
    let expected = [Some(""), Some("a\"b"), None, Some("two\n  lines\n"), None];
    assert_eq!(strings(text), expected.map(|text| text.map(str::to_owned)));
}

/// Returns texts that go deep in some parser or other: the middle of each is repeated `times` times.
fn deep(times: usize) -> Vec<String> {
    [
        ("", "[", "]"),
        ("", "(", ")"),
        ("", "((a: ", "))"),
        ("", "{ a = ", "; }"),
        ("{ inputs.a", ".b", " = 1; }"),
        ("{ inputs", ".b", " = { url = ''x''; }; }"),
        ("{ nixosConfigurations = ", "{ inputs = ", "; }; }"),
        ("{ nixosConfigurations = ", "{} // ", "{}; }"),
        ("{ nixosConfigurations = ", "let in ", "{}; }"),
        ("", "rec { a = ", "; }"),
        ("", "a: ", "a"),
        ("", "{ a, b }@c: ", "a"),
        ("", "{ a ? ", "}: a"),
        ("", "!", "a"),
        ("", "! ", "a"),
        ("", "-", "1"),
        ("", "- ", "1"),
        ("", "a.", "b"),
        ("a", ".b or a", ""),
        ("a", " or a", ""),
        ("a", " ? a", ""),
        ("", "a ++ ", "b"),
        ("", "a // ", "b"),
        ("", "a + ", "b"),
        ("", "a -> ", "b"),
        ("", "a <| ", "b"),
        ("", "a |> ", "b"),
        ("", "a==", "b"),
        ("", "f ", "x"),
        ("f", " (x)", ""),
        ("", "f (", ")"),
        ("", "getEnv (", ")"),
        ("", "\"${", "}\""),
        ("", "''${", "}''"),
        ("", "./a${", "}"),
        ("{ a.", "${a.", "}"),
        ("", "let a = 1; in ", "a"),
        ("", "let a = ", "; in a"),
        ("", "with a; ", "a"),
        ("", "assert a; ", "a"),
        ("", "if a then a else ", "a"),
        ("", "if ", " then a else a"),
        ("{ inherit", " a", "; }"),
        ("{ inherit (", "(", ") a; }"),
        ("", "/* ", ""),
        ("", "<a", ">"),
        ("", "a/", ""),
        ("", "a:b", ""),
        ("", "'", ""),
        ("", "[ ( } ", ""),
        ("", "( a ; ++ ", ""),
        ("", "{ ) } ++ ", ""),
        ("", "[ , ] ++ ", ""),
        ("", "\"a\" + ", ""),
    ]
    .iter()
    .flat_map(|(begin, middle, end)| {
        let whole = format!("{begin}{}{}", middle.repeat(times), end.repeat(times));
        let open = format!("{begin}{}{end}", middle.repeat(times));
        [whole, open]
    })
    .collect()
}

/// The parser alone would use up the stack for these, or take minutes.
#[test]
fn however_deep_a_text_is_it_is_read_or_left() {
    for times in [130, 600, 40_000] {
        for text in deep(times) {
            everything_of(&text);
        }
    }
    let is_left = |text: &str| read(text, |_| ()).is_none();
    for (begin, middle) in [
        ("", "["),
        ("", "!"),
        ("", "-"),
        ("", "a ++ "),
        ("a", ".b or a"),
        ("", "f "),
        ("", "((a: "),
    ] {
        let text = |times: usize| format!("{begin}{}", middle.repeat(times));
        assert!(!is_left(&text(200)), "{middle}");
        assert!(is_left(&text(20_000)), "{middle}");
    }
}

#[test]
fn deep_and_long_at_once_is_left() {
    let text = format!("{}{}", "[".repeat(900), "{ } ".repeat(100_000));
    assert!(text.len() < LONGEST && read(&text, |_| ()).is_none());
}

#[test]
fn what_people_write_is_read() {
    let long = format!(
        "[ {} ] ++ [ {} ]",
        "./a.nix ".repeat(5000),
        "\"x\" { a = 1; } (f x) ".repeat(5000)
    );
    let names = format!("{{ inherit (lib) {}; }}", "name ".repeat(20_000));
    let nested = format!(
        "{{ a = {} ./a.nix {}; }}",
        "[ { a = (".repeat(100),
        "); } ]".repeat(100)
    );
    for text in [long, names, nested] {
        assert!(read(&text, |_| ()).is_some(), "{}", &text[..60]);
    }
}

#[test]
fn a_panic_is_no_answer_and_says_nothing() {
    assert_eq!(read("1", |_| panic!("quietly")), None::<()>);
    assert_eq!(read("1", |_| 2), Some(2));
}

fn nix_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if !path.ends_with("target") && !path.ends_with(".git") {
                nix_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "nix") {
            found.push(path);
        }
    }
}

/// In every Nix file of this repository, each character that Nix's grammar knows is removed, doubled and inserted, and
/// the text is cut off there. As many places are tried as can be read in a second or two.
#[test]
fn no_mutation_of_a_file_is_a_crash() {
    let mut files = Vec::new();
    nix_files(Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    let mut mutated = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let text: String = text.chars().take(2500).collect();
        let places: Vec<usize> = text
            .char_indices()
            .filter(|(_, c)| "\"'${}[]();:=./<>-+\\\n".contains(*c))
            .map(|(at, _)| at)
            .collect();
        // Over all files every place has its turn, and each time the test runs these are the same places.
        for at in places.iter().step_by(1 + places.len() / 25) {
            let (before, after) = text.split_at(*at);
            let less = &after[1..];
            let inserted =
                ["\"", "''", "${", "}", "[", "(", "\\", "./", "$", "/"].map(|more| format!("{before}{more}{after}"));
            let others = [
                format!("{before}{less}"),
                format!("{before}{}{after}", &after[..1]),
                before.to_owned(),
            ];
            for text in inserted.iter().chain(&others) {
                everything_of(text);
                mutated += 1;
            }
        }
    }
    assert!(mutated > 1000, "{mutated}");
}

/// Only this module calls the parser.
#[test]
fn nobody_else_calls_the_parser() {
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with("nix_text") {
                    waiting.push(path);
                }
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            for word in ["Root::parse", "normalized_parts", "InterpolPart", "rnix::tokenize"] {
                assert!(!text.contains(word), "{word} in {}", path.display());
            }
        }
    }
}
