//! Runs the other machine's scripts for real, in a shell of this machine, a part at a time.

mod alive;
mod deliver;
mod emulation;
pub(super) mod example;
mod heap;
mod jobs;
mod kept;
mod large;
mod logout;
mod parts;
mod room;
mod roots;
mod times;
mod variables;
