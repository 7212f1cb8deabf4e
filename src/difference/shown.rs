//! A difference for the screen. Whoever shows it removes the colours where there are none.

use console::Style;

use super::Difference;
use super::line::PackageChange;
use crate::table;

/// Columns do not get wider than this, in characters, for a few long names.
const WIDEST_NAME: usize = 28;
const WIDEST_VERSIONS: usize = 32;

impl Difference {
    /// Returns it as lines; `new` is the system that was compared with the running one.
    #[must_use]
    pub fn lines(&self, new: &str) -> Vec<String> {
        // nixos-rebuild begins with these two lines, too.
        let mut lines = vec!["<<< /run/current-system".to_owned(), format!(">>> {new}")];
        for (title, group) in [
            ("changed", &self.changed),
            ("added", &self.added),
            ("removed", &self.removed),
        ] {
            if !group.is_empty() {
                lines.push(format!("{title}:"));
                lines.extend(rows(group));
            }
        }
        if lines.len() == 2 && self.unread.is_empty() {
            lines.push("no package changes".to_owned());
        }
        lines.extend(self.unread.iter().cloned());
        if self.left_out > 0 {
            lines.push(format!("({} more are left out)", self.left_out));
        }
        if let (Some(before), Some(after)) = (self.size_of(&self.current), self.size_of(new)) {
            lines.push(closure(before, after));
        }
        lines
    }
}

fn rows(group: &[PackageChange]) -> Vec<String> {
    let row = |line: &PackageChange| {
        let bytes = line.bytes.map(|bytes| signed(bytes, 2));
        [line.name.clone(), versions(line), bytes.unwrap_or_default()]
    };
    let rows: Vec<[String; 3]> = group.iter().map(row).collect();
    let lines = table::lines(&rows, [WIDEST_NAME, WIDEST_VERSIONS, usize::MAX]);
    lines.iter().map(|line| format!("  {line}")).collect()
}

/// Returns the versions in the two colours that can be read on a light and on a dark background.
fn versions(line: &PackageChange) -> String {
    let in_colour = |versions: &[String], style: Style| {
        let style = style.force_styling(true);
        style.apply_to(versions.join(", ")).to_string()
    };
    let is_named = |versions: &[String]| versions.iter().any(|version| version != "ε");
    let from = in_colour(&line.from, Style::new().red());
    let to = in_colour(&line.to, Style::new().green());
    match (line.from.is_empty(), line.to.is_empty()) {
        (false, false) => format!("{from} → {to}"),
        (true, false) if is_named(&line.to) => to,
        (false, true) if is_named(&line.from) => from,
        // There is no difference, or none that can be seen.
        _ => String::new(),
    }
}

fn closure(before: u64, after: u64) -> String {
    if before == after {
        return format!("closure: {}, as before", size(after, 3));
    }
    let difference = i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(i64::MAX);
    format!(
        "closure: {} → {} ({})",
        size(before, 3),
        size(after, 3),
        signed(difference, 2)
    )
}

fn signed(bytes: i64, digits: usize) -> String {
    let sign = if bytes < 0 { '-' } else { '+' };
    format!("{sign}{}", size(bytes.unsigned_abs(), digits))
}

/// Returns a number of bytes with as many digits as are worth reading.
fn size(bytes: u64, digits: usize) -> String {
    #[allow(clippy::cast_precision_loss, reason = "it is rounded for the eye")]
    let mut number = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        // 999.9 kB would be shown as 1000.
        if number < 999.5 {
            break;
        }
        number /= 1000.0;
        unit = next;
    }
    let before_the_point = match number {
        ..9.95 => 1,
        ..99.5 => 2,
        _ => 3,
    };
    let after_the_point = if unit == "B" {
        0
    } else {
        digits.saturating_sub(before_the_point)
    };
    format!("{number:.after_the_point$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "/nix/store/00000000000000000000000000000000-nixos-system-pi";

    fn shown(recorded: &str, sizes: Option<(u64, u64)>) -> String {
        let mut difference = Difference::with("/nix/store/current".into());
        for line in recorded.lines() {
            difference.hear(line);
        }
        if let Some((before, after)) = sizes {
            difference.measured(NEW, after);
            difference.measured("/nix/store/current", before);
        }
        difference.lines(NEW).join("\n")
    }

    #[test]
    fn groups_with_columns_and_the_sizes_at_last() {
        let expected = format!(
            "<<< /run/current-system
>>> {NEW}
changed:
  a-b      2-1.0pre+git → 2-1.1pre+git
  etc                                   -2.0 MB
  firefox  120.0 → 121.0                +2.9 MB
  linux    6.1.2 → 6.1.5
  multi    1.0 → 1.2
  plain                                 +50 kB
  shrinks                               -900 kB
  source                                -100 kB
added:
  added        0.1  +5.0 MB
  big          1    +200 MB
  duck              +40 kB
  firefox-esr  115
  noversion
removed:
  gone  2, 3.1  -31 kB
  lost
closure: 3.16 MB → 208 MB (+205 MB)"
        );
        for recorded in [
            include_str!("recorded/nix-2.8.txt"),
            include_str!("recorded/nix-2.26.txt"),
            include_str!("recorded/nix-2.34.txt"),
        ] {
            let text = shown(recorded, Some((3_157_416, 208_118_616)));
            assert_eq!(console::strip_ansi_codes(&text), expected);
            assert!(
                text.contains("\u{1b}[31m120.0\u{1b}[0m → \u{1b}[32m121.0\u{1b}[0m"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_long_name_does_not_widen_the_column() {
        let long = "a".repeat(WIDEST_NAME + 1);
        let text = shown(&format!("{long}: 1 → 2\nbc: 1 → 2"), None);
        let text = console::strip_ansi_codes(&text);
        assert!(
            text.ends_with(&format!("changed:\n  {long}  1 → 2\n  bc  1 → 2")),
            "{text}"
        );
    }

    #[test]
    fn there_is_no_column_for_versions_that_nothing_has() {
        let text = shown("etc: -20 KiB\nunits: +40 KiB", None);
        assert!(text.ends_with("changed:\n  etc    -20 kB\n  units  +41 kB"), "{text}");
    }

    #[test]
    fn nothing_and_what_cannot_be_read() {
        let head = format!("<<< /run/current-system\n>>> {NEW}\n");
        assert_eq!(
            shown("", Some((5_000, 5_000))),
            format!("{head}no package changes\nclosure: 5.00 kB, as before")
        );
        assert_eq!(
            shown("x: 1 \u{1b}[31mbecomes\u{1b}[0m 2\u{7}\u{1b}]0;mine\u{7}\u{202e}", None),
            format!("{head}x: 1 becomes 2")
        );
    }

    #[test]
    fn sizes_in_the_digits_that_count() {
        for (bytes, digits, expected) in [
            (0, 2, "0 B"),
            (999, 2, "999 B"),
            (9_940, 2, "9.9 kB"),
            (9_960, 2, "10 kB"),
            (999_600, 2, "1.0 MB"),
            (1_234_000_000, 3, "1.23 GB"),
            (12_340_000_000, 3, "12.3 GB"),
            (u64::MAX, 3, "18446744 TB"),
        ] {
            assert_eq!(size(bytes, digits), expected);
        }
        assert_eq!(
            closure(1_230_000_000, 1_210_000_000),
            "closure: 1.23 GB → 1.21 GB (-20 MB)"
        );
    }
}
