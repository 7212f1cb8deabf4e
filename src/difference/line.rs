//! A line of `nix store diff-closures`:
//!
//! ```text
//! firefox: 120.0 → 121.0, +2832.0 KiB
//! gone: 2, 3.1 → ∅, -30.2 KiB
//! etc: -1953.1 KiB
//! ```
//!
//! Versions that are on both sides are left out. `∅` means that there is no other version, and `ε` is the version of a
//! name without one. A size is given from 8 KiB on, and it is coloured even where there is no terminal. Nix 2.34 writes
//! no plus sign, and uses larger units.

/// The change of all packages of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageChange {
    pub(super) name: String,
    /// The versions that go.
    pub(super) from: Vec<String>,
    /// The versions that come.
    pub(super) to: Vec<String>,
    /// The change in size, in bytes, as exactly as Nix reports it.
    pub(super) bytes: Option<i64>,
}

/// The sign for no version.
const NONE: &str = "∅";

impl PackageChange {
    /// Reads a line. Returns None if it is no such line, or if it contains something that no store path has in its
    /// name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = console::strip_ansi_codes(text);
        let (name, rest) = text.split_once(": ")?;
        let mut items: Vec<&str> = rest.split(", ").collect();
        let bytes = items.last().and_then(|last| size(last));
        if bytes.is_some() {
            items.pop();
        }
        let versions = items.join(", ");
        let (from, to) = match versions.split_once(" → ") {
            Some((from, to)) => (list(from)?, list(to)?),
            None if items.is_empty() => (Vec::new(), Vec::new()),
            None => return None,
        };
        is_plain(name).then(|| Self {
            name: name.to_owned(),
            from,
            to,
            bytes,
        })
    }
}

fn list(text: &str) -> Option<Vec<String>> {
    if text == NONE {
        return Some(Vec::new());
    }
    let versions = text.split(", ");
    versions
        .map(|version| (version == "ε" || is_plain(version)).then(|| version.to_owned()))
        .collect()
}

/// Returns whether a text has only the characters of store paths.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._?=".contains(c))
}

/// Reads `-1.9 MiB`, and returns bytes.
fn size(text: &str) -> Option<i64> {
    let (number, unit) = text.split_once(' ')?;
    let power = ["B", "KiB", "MiB", "GiB", "TiB"]
        .iter()
        .position(|name| *name == unit)?;
    let is_number = number.chars().all(|c| c.is_ascii_digit() || "+-.".contains(c));
    let number: f64 = number.parse().ok().filter(|_| is_number)?;
    // A number that does not fit becomes the largest one that does.
    #[allow(clippy::cast_possible_truncation, reason = "it is rounded for the eye")]
    Some((number * 1024_f64.powi(i32::try_from(power).ok()?)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, from: &[&str], to: &[&str], bytes: Option<i64>) -> PackageChange {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        PackageChange {
            name: name.to_owned(),
            from: owned(from),
            to: owned(to),
            bytes,
        }
    }

    /// The same two systems, compared by the Nix of Debian bookworm, trixie and sid.
    const RECORDED: [&str; 3] = [
        include_str!("recorded/nix-2.8.txt"),
        include_str!("recorded/nix-2.26.txt"),
        include_str!("recorded/nix-2.34.txt"),
    ];

    #[test]
    fn every_line_of_every_nix_is_read() {
        for recorded in RECORDED {
            let lines: Vec<PackageChange> = recorded
                .lines()
                .map(|text| PackageChange::parse(text).unwrap_or_else(|| unreachable!("{text}")))
                .collect();
            let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
            assert_eq!(
                names.join(" "),
                "a-b added big duck etc firefox firefox-esr gone linux lost multi noversion plain shrinks source"
            );
            for expected in [
                line("a-b", &["2-1.0pre+git"], &["2-1.1pre+git"], None),
                line("gone", &["2", "3.1"], &[], Some(-30924)),
                line("noversion", &[], &["ε"], None),
                line("linux", &["6.1.2"], &["6.1.5"], None),
                line("plain", &[], &[], Some(49971)),
            ] {
                assert!(lines.contains(&expected), "{expected:?}: {lines:?}");
            }
            let of = |name: &str| lines.iter().find(|line| line.name == name).unwrap().bytes.unwrap();
            for (name, bytes) in [
                ("big", 200_000_000_i64),
                ("firefox", 2_900_000),
                ("added", 5_000_000),
                ("etc", -2_000_000),
            ] {
                let off = (of(name) - bytes).abs();
                assert!(off < bytes.abs() / 20, "{name}: {}", of(name));
            }
        }
    }

    #[test]
    fn what_is_no_such_line() {
        for text in [
            "",
            "x",
            "x: ",
            "warning: the group 'nixbld' does not exist",
            "x: 1 -> 2",
            "x: 1 →  2",
            "x: → 2",
            "x: 1 → 2\u{7}",
            "x\u{202e}: 1 → 2",
            "x: 1 → 2, +inf KiB",
            "x: 1 → 2, 3 parsecs",
            ": 1 → 2",
        ] {
            assert_eq!(PackageChange::parse(text), None, "{text:?}");
        }
        // The next Nix may write this.
        assert_eq!(
            PackageChange::parse("x: 1 → 2, 3, 2 TiB"),
            Some(line("x", &["1"], &["2", "3"], Some(2 << 40)))
        );
    }
}
