//! Text of other machines, and of files and names, made safe for a terminal: the terminal must not do anything but show
//! it. A terminal obeys what it is shown: it moves the cursor, changes its title, fills the clipboard, or types an
//! answer.

use std::fmt::Write;

use console::AnsiCodeIterator;

/// What happens to colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// They stay, and end with the text.
    Kept,
    /// They are taken out.
    Dropped,
}

/// The sequence that ends all colours.
const PLAIN: &str = "\u{1b}[0m";

/// Returns a text, which may have several lines, without anything that a terminal would act on. Tabs and ends of lines
/// stay, and so do colours if they are wanted. If a line was overwritten, its last form stays.
#[must_use]
pub fn text(text: &str, colours: Colours) -> String {
    // Most texts contain nothing that a terminal would act on, and stay as they are.
    if !text.chars().any(|c| !matches!(c, '\t' | '\n') && acts(c)) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut is_coloured = false;
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            shown.push('\n');
        }
        let line = line.trim_end_matches('\r');
        let last = line.rsplit('\r').next().unwrap_or(line);
        // The text is taken line by line: a sequence without an end then removes no more than its line.
        for (part, is_sequence) in AnsiCodeIterator::new(last) {
            if !is_sequence {
                shown.extend(part.chars().filter(|c| *c == '\t' || !acts(*c)));
            } else if colours == Colours::Kept && is_colour(part) {
                is_coloured = part != PLAIN && part != "\u{1b}[m";
                shown.push_str(part);
            }
        }
    }
    if is_coloured {
        shown.push_str(PLAIN);
    }
    shown
}

/// Returns a name or a value on one line. Two different names look different: whatever a terminal would act on is spelt
/// out.
#[must_use]
pub fn name(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        if acts(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Returns a text in JSON, in which whatever a terminal would act on is spelt out as JSON has it. Ends of lines stay: they
/// stand between the parts of the text, and in no string.
#[must_use]
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !acts(c) {
            shown.push(c);
        } else {
            // None of these characters is beyond 16 bits.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        }
    }
    shown
}

/// Returns whether a terminal does anything else with the character than show it: control characters, also those above
/// 0x7f, and characters that change the direction of writing.
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control()
}

/// Returns whether a sequence chooses colours and the like (ECMA-48's SGR) and nothing else.
fn is_colour(sequence: &str) -> bool {
    let numbers = sequence.strip_prefix("\u{1b}[").and_then(|rest| rest.strip_suffix('m'));
    numbers.is_some_and(|numbers| numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other machines may try to do, and what is left of it.
    const ORDERS: [(&str, &str); 12] = [
        ("a\u{1b}]52;c;aGk=\u{7}b", "ab"),
        ("a\u{1b}]0;title\u{1b}\\b", "ab"),
        ("a\u{1b}[2J\u{1b}[1;1Hb", "ab"),
        ("a\u{1b}[?1049hb", "ab"),
        ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
        ("a\u{9b}2Jb", "ab"),
        ("a\u{9d}0;title\u{7}b", "a0;titleb"),
        ("a\u{8}\u{7}\u{0}\u{7f}b", "ab"),
        ("abc\rab", "ab"),
        ("ab\r\nab\r", "ab\nab"),
        ("a\u{202e}\u{2066}\u{200f}\u{61c}b", "ab"),
        ("a\u{1b}]8;;http://x\nb", "a\nb"),
    ];

    #[test]
    fn a_text_gives_a_terminal_no_orders() {
        for (order, expected) in ORDERS {
            for colours in [Colours::Kept, Colours::Dropped] {
                assert_eq!(text(order, colours), expected, "{order:?}");
            }
        }
        // This is no whole sequence: its text is just text.
        assert_eq!(text("a\u{1b}", Colours::Kept), "a");
        assert_eq!(text("\u{1b}\u{1b}[31;2x\u{1b}", Colours::Kept), "x");
    }

    #[test]
    fn json_means_the_same_and_gives_no_orders() {
        let told = "a\u{9b}2J\u{202e}b\u{1b}\n\u{7f}é";
        let shown = json(&format!("{:#}\n", serde_json::json!({ "x": [told] })));
        assert!(!shown.chars().any(|c| c != '\n' && acts(c)), "{shown:?}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["x"][0], told);
    }

    #[test]
    fn colours_tabs_and_lines_are_harmless() {
        let nix = "\u{1b}[31;1merror:\u{1b}[0m\tno\n  \u{1b}[35mx\u{1b}[m";
        assert_eq!(text(nix, Colours::Kept), nix);
        assert_eq!(text(nix, Colours::Dropped), "error:\tno\n  x");
        // The colour does not go on into what follows.
        assert_eq!(text("\u{1b}[8mhidden", Colours::Kept), "\u{1b}[8mhidden\u{1b}[0m");
        let shown = text(nix, Colours::Kept);
        assert_eq!(text(&shown, Colours::Kept), shown);
    }

    #[test]
    fn a_name_is_spelt_out() {
        assert_eq!(
            name("/a b/\u{1b}[2Jé\nx\t\u{9b}\u{202e}"),
            "/a b/\\u{1b}[2Jé\\nx\\t\\u{9b}\\u{202e}"
        );
        assert_eq!(name("ü → x"), "ü → x");
    }
}
