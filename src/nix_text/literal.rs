//! Literals in a parsed text, whole or broken. The parser's own methods for literals panic at broken ones.

use rnix::SyntaxKind;
use rnix::ast::{self, InterpolPart};
use rnix::{NodeOrToken, SyntaxNode};
use rowan::ast::AstNode;

/// Returns the value of a string without `${`.
#[must_use]
pub fn whole(string: &ast::Str) -> Option<String> {
    if !is_sound(string.syntax()) {
        return None;
    }
    match string.normalized_parts().as_slice() {
        [] => Some(String::new()),
        [InterpolPart::Literal(text)] => Some(text.clone()),
        _ => None,
    }
}

/// Returns a string's value up to its first `${`; None if it begins with that.
#[must_use]
pub fn start(string: &ast::Str) -> Option<String> {
    if !is_sound(string.syntax()) {
        return None;
    }
    match string.normalized_parts().into_iter().next() {
        Some(InterpolPart::Literal(text)) => Some(text),
        _ => None,
    }
}

/// Returns a path as it is written, up to its first `${`; None if it is broken.
#[must_use]
pub fn path(path: &ast::Path) -> Option<String> {
    let first = path.syntax().first_child_or_token()?.into_token()?;
    let is_path = matches!(
        first.kind(),
        SyntaxKind::TOKEN_PATH_ABS
            | SyntaxKind::TOKEN_PATH_REL
            | SyntaxKind::TOKEN_PATH_HOME
            | SyntaxKind::TOKEN_PATH_SEARCH
    );
    is_path.then(|| first.text().to_owned())
}

/// Returns whether a string has a beginning and an end, and between them nothing that does not belong there.
fn is_sound(string: &SyntaxNode) -> bool {
    let last = string.last_token().map(|token| token.kind());
    last == Some(SyntaxKind::TOKEN_STRING_END)
        && string.children_with_tokens().all(|part| match part {
            NodeOrToken::Token(token) => matches!(
                token.kind(),
                SyntaxKind::TOKEN_STRING_START | SyntaxKind::TOKEN_STRING_CONTENT | SyntaxKind::TOKEN_STRING_END
            ),
            NodeOrToken::Node(node) => ast::Interpol::can_cast(node.kind()),
        })
}
