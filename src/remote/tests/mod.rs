//! The shell libraries that scripts share, run for real by the shells of this machine.

mod records;
