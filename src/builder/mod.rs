//! One connection to another machine, on which everything happens there: files go, a derivation and its output come to
//! be, the output comes back. This side's half of `scripts/`.
//!
//! - [`request`]: what is asked for: an [`evaluation`], a build ([`realisation`]), a [`delivery`];
//! - [`parts`]: that as the text that runs there, of the scripts that it needs;
//! - [`sources`]: which of our files are to be there, and which are there already;
//! - [`lock`]: the flake's lock file, which comes back;
//! - [`rounds`]: when there is more to be sent;
//! - [`reply`]: what comes from there;
//! - [`course`]: what may be said when, and when all has been;
//! - [`conversation`]: the talk, and what each thing comes to that is said in it;
//! - [`promise`]: whether what was built is what was asked for.

mod conversation;
mod course;
pub mod delivery;
mod diagnosis;
pub mod evaluation;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod lock;
mod missing;
mod named;
mod parts;
mod promise;
pub mod realisation;
mod reply;
pub mod request;
mod rounds;
pub mod sources;
mod stage;
#[cfg(test)]
mod tests;
mod trace;

pub use conversation::{Answer, Peer, converse};
pub use diagnosis::CannotEvaluate;
