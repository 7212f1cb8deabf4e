//! The scripts of the other machine, run for real by a shell of this one, a part at a time.

mod kept;
mod roots;
mod variables;
