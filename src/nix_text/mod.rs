//! The text of Nix files, read for hints. All reading goes through this module to the parser.
//!
//! The text may be any file's content, but the parser is made for text that is mostly right: it recurses as deep as the
//! text goes, it takes quadratic time for some texts, and its convenient methods panic at a string without an end. A
//! hint never ends a run. So a text that is too much for the parser is not given to it, a broken text is read as far as
//! possible, and a panic counts as an answer like any other. If a file is wrong, Nix says so when it reads it.

mod bounds;
mod literal;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::Once;
use std::thread;

use rnix::{Parse, Root, SyntaxNode};

pub use literal::{path, start, whole};

/// A text up to this depth is read in the current thread: a new thread costs more than reading most files.
const SHALLOW: usize = 150;

/// The deepest text that is read at all.
const DEEPEST: usize = 1000;

/// The stack for a text of that depth, in bytes: 32 KiB for each level. It takes memory only as far as it is used.
const STACK: usize = 32 << 20;

/// The longest text that is read, in bytes: its tree is some twenty times as large.
const LONGEST: usize = 2 << 20;

thread_local! {
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// Parses a text and returns what `look` sees in it; None if the text is too much for the parser.
///
/// If the text has errors, `look` sees as much of it as the parser could make sense of.
pub fn read<T: Send>(text: &str, look: impl FnOnce(&SyntaxNode) -> T + Send) -> Option<T> {
    parsed(text, |parse| look(&parse.syntax()))
}

/// Does the same for a text without errors; returns None for any other.
pub fn read_sound<T: Send>(text: &str, look: impl FnOnce(&SyntaxNode) -> T + Send) -> Option<T> {
    parsed(text, |parse| parse.errors().is_empty().then(|| look(&parse.syntax()))).flatten()
}

fn parsed<T: Send>(text: &str, look: impl FnOnce(&Parse<Root>) -> T + Send) -> Option<T> {
    if text.len() > LONGEST {
        return None;
    }
    let depth = caught(|| bounds::depth(text, DEEPEST))??;
    let see = move || caught(|| look(&Root::parse(text)));
    if depth <= SHALLOW {
        return see();
    }
    thread::scope(|scope| {
        let reader = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, see);
        reader.ok()?.join().ok().flatten()
    })
}

/// Returns what `read` returns, or None if it panics; nobody is told of the panic.
pub fn caught<T>(read: impl FnOnce() -> T) -> Option<T> {
    hush();
    let before = IS_READING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    IS_READING.set(before);
    result.ok()
}

/// Keeps a panic of the parser from being reported.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_READING.get() {
                before(panic);
            }
        }));
    });
}

/// Makes a panic anywhere else end the program from now on, with its message, in whatever thread it happens: the other
/// threads would wait for that thread.
pub fn abort_at_other_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !IS_READING.get() {
            before(panic);
            process::abort();
        }
    }));
}

#[cfg(test)]
mod tests;
