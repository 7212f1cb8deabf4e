//! One connection to another machine, on which everything happens there: files go, a derivation and its output come to
//! be, the output comes back. This side's half of `scripts/`.
//!
//! - [`request`]: what is asked for, as the text that runs there;
//! - [`frames`], [`speaker`]: what goes there;
//! - [`sources`]: which of our files are to be there, and which are there already;
//! - [`lock`]: the flake's lock file, which comes back;
//! - [`rounds`]: when there is more to be sent;
//! - [`reply`]: what comes from there;
//! - [`course`]: what may be said when, and when all has been;
//! - [`conversation`]: the talk, and what each thing comes to that is said in it;
//! - [`promise`]: whether what was built is what was asked for;
//! - [`relay`]: our Nix daemon, lent for the transfer of the result.

#[cfg(test)]
mod alive_tests;
mod conversation;
mod course;
mod diagnosis;
#[cfg(test)]
mod emulation_tests;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod large_tests;
mod listening;
pub mod lock;
mod missing;
mod named;
mod promise;
pub mod relay;
mod reply;
pub mod request;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod roots_tests;
mod rounds;
pub mod sources;
mod speaker;
mod trace;
#[cfg(test)]
mod variables_tests;

pub use conversation::{Answer, Peer, converse};
pub use diagnosis::CannotEvaluate;
