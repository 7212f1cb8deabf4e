//! The scripts of the other machine, run for real by a shell of this one, a part at a time.

mod alive;
mod deliver;
mod emulation;
pub(super) mod example;
mod kept;
mod large;
mod parts;
mod room;
mod roots;
mod variables;
