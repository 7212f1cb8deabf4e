//! The scripts of the other machine, run for real by a shell of this one, a part at a time.

mod alive;
mod emulation;
mod kept;
mod large;
mod room;
mod roots;
mod variables;
