//! How deep the parser would go for a text, and whether it would take long. Both are found from the tokens alone, in
//! linear time.

use rnix::SyntaxKind;
use rnix::tokenize;

/// The number of characters by which the tokenizer may look ahead in all. At each sign and word it looks to the end of
/// what could be a path, so a long row of minus signs takes quadratic time.
const MOST_LOOKED_AHEAD: usize = 8 << 20;

/// The largest sum of the depths of all tokens. When the parser's table of seen nodes grows, the parser goes through
/// the whole depth of each. What people write has less than a tenth of this.
const MOST_DEPTHS: usize = 32 << 20;

/// An open bracket, or the text itself.
struct Level {
    /// The token that closes it.
    closing: Option<SyntaxKind>,
    /// The depth that its contents may have, without the brackets in it.
    depth: usize,
    /// Whether the names in it stand beside each other: this holds after `inherit`, up to the next semicolon.
    inherits: bool,
}

impl Level {
    fn until(closing: Option<SyntaxKind>) -> Self {
        Self {
            closing,
            depth: 0,
            inherits: false,
        }
    }
}

/// Returns a number that is no less than the depth of the parser's recursion and of its tree for a text. Returns None
/// if that is more than `most`, or if parsing would take too long.
pub(super) fn depth(text: &str, most: usize) -> Option<usize> {
    let mut levels = Levels::default();
    let mut ahead = Ahead::default();
    let mut at = 0;
    let mut deepest = 0;
    let mut depths = 0;
    for (kind, token) in tokenize(text) {
        ahead.look(text, at, kind)?;
        at += token.len();
        levels.take(kind);
        deepest = deepest.max(levels.total);
        depths += levels.total;
        if deepest > most || depths > MOST_DEPTHS {
            return None;
        }
    }
    Some(deepest)
}

#[derive(Default)]
struct Levels {
    open: Vec<Level>,
    total: usize,
}

impl Levels {
    fn take(&mut self, kind: SyntaxKind) {
        if kind.is_trivia() || kind == SyntaxKind::TOKEN_STRING_CONTENT {
            return;
        }
        if self.open.is_empty() {
            self.open.push(Level::until(None));
        }
        let Some(last) = self.open.last_mut() else { return };
        if let Some(closing) = closing_of(kind) {
            self.open.push(Level::until(Some(closing)));
            self.total += 1;
        } else if last.closing == Some(kind) {
            // A token that closes another bracket than the last one closes nothing.
            self.total -= 1 + last.depth;
            self.open.pop();
            self.deepen(kind);
        } else if matches!(kind, SyntaxKind::TOKEN_SEMICOLON | SyntaxKind::TOKEN_COMMA) {
            self.total -= last.depth;
            *last = Level::until(last.closing);
        } else {
            last.inherits |= kind == SyntaxKind::TOKEN_INHERIT;
            self.deepen(kind);
        }
    }

    /// Counts a token: an operator, an argument of a function, or a name in a path may each be one level more. A list's
    /// elements are not.
    fn deepen(&mut self, kind: SyntaxKind) {
        let Some(last) = self.open.last_mut() else { return };
        let is_beside =
            last.inherits || (last.closing == Some(SyntaxKind::TOKEN_R_BRACK) && kind != SyntaxKind::TOKEN_OR);
        if !is_beside {
            last.depth += 1;
            self.total += 1;
        }
    }
}

fn closing_of(kind: SyntaxKind) -> Option<SyntaxKind> {
    match kind {
        SyntaxKind::TOKEN_L_BRACE => Some(SyntaxKind::TOKEN_R_BRACE),
        SyntaxKind::TOKEN_L_BRACK => Some(SyntaxKind::TOKEN_R_BRACK),
        SyntaxKind::TOKEN_L_PAREN => Some(SyntaxKind::TOKEN_R_PAREN),
        SyntaxKind::TOKEN_INTERPOL_START => Some(SyntaxKind::TOKEN_INTERPOL_END),
        SyntaxKind::TOKEN_STRING_START => Some(SyntaxKind::TOKEN_STRING_END),
        _ => None,
    }
}

/// How far the tokenizer has looked ahead.
#[derive(Default)]
struct Ahead {
    /// The end of the row of characters that could be a path.
    end: usize,
    total: usize,
}

impl Ahead {
    fn look(&mut self, text: &str, at: usize, kind: SyntaxKind) -> Option<()> {
        if matches!(kind, SyntaxKind::TOKEN_STRING_CONTENT | SyntaxKind::TOKEN_STRING_END) {
            return Some(());
        }
        if self.end <= at {
            let row = text.as_bytes()[at..].iter().take_while(|byte| could_be_path(**byte));
            self.end = at + 1 + row.skip(1).count();
        }
        self.total += self.end - at;
        (self.total <= MOST_LOOKED_AHEAD).then_some(())
    }
}

fn could_be_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"</_.+-".contains(&byte)
}
