//! The text of Nix files, for hints: the one door to the parser.
//!
//! The text is whatever lies in a file, and the parser is made for text that is mostly right: it recurses as deep as the
//! text says, takes quadratic time for some, and its convenient methods panic at a string without an end. A hint never ends a
//! run, so what is too much for the parser is not given to it, what is broken is read as far as it goes, and a panic
//! is an answer like any other. What is wrong with a file Nix says, when it reads it.

mod bounds;
mod literal;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::Once;
use std::thread;

use rnix::{Parse, Root, SyntaxNode};

pub use literal::{path, start, whole};

/// As deep a text is read where we stand: a thread costs more than most files.
const SHALLOW: usize = 150;

/// The deepest text that is read at all.
const DEEPEST: usize = 1000;

/// The stack for one of those, in bytes: 32 KiB for each level. It takes memory only as far as it is used.
const STACK: usize = 32 << 20;

/// The longest text that is read, in bytes: a tree is some twenty times as large.
const LONGEST: usize = 2 << 20;

thread_local! {
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// Parses a text and gives what is seen in it; nothing for one that is too much for the parser.
///
/// A text with errors is seen as far as the parser made something of it.
pub fn read<T: Send>(text: &str, look: impl FnOnce(&SyntaxNode) -> T + Send) -> Option<T> {
    parsed(text, |parse| look(&parse.syntax()))
}

/// The same of a text that has no errors; nothing for any other.
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

/// What this gives, or nothing if it panics, of which nothing is said.
pub fn caught<T>(read: impl FnOnce() -> T) -> Option<T> {
    hush();
    let before = IS_READING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    IS_READING.set(before);
    result.ok()
}

/// A panic of the parser is not told to anybody.
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

/// From now on a panic anywhere else ends the program, with its message, in whichever thread it is: the others would wait
/// for that thread.
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
