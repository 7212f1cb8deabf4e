//! One connection to another machine, an evaluator or a builder, over which the whole run there goes: files go out, a
//! derivation and its output are made, the output comes back. This is the client's half of `scripts/`.
//!
//! - [`request`]: what is asked for: an [`evaluation`], a build ([`realisation`]), a [`delivery`], an [`upgrade`] of channels;
//! - [`parts`]: the text that runs there for a request, made of the scripts that it needs;
//! - [`sources`]: which of the client's files have to be there, and which are there already;
//! - [`lock`]: the flake's lock file, which comes back;
//! - [`rounds`]: when there is more to be sent;
//! - [`reply`]: what comes from there;
//! - [`course`]: what may be said when, and when everything has been said;
//! - [`conversation`]: the talk, and what follows from each event in it;
//! - [`broken_link`]: when a new connection is tried after a link broke while work goes on there;
//! - [`promise`]: whether what was built is what was asked for;
//! - [`stage`]: the part of a run there that failed, and [`diagnosis`]: what the user reads about it;
//! - [`missing`] and [`trace`]: which files an evaluation lacks, as its errors and its system calls say;
//! - [`named`]: how files are named on the screen;
//! - [`jobs`]: what is asked about jobs there, apart from the runs that began them; [`job_end`]: what one came to.
//!
//! The room [`crate::sources`] finds out which files an evaluation needs; `sources` here keeps account of those that one
//! evaluator has.

mod broken_link;
mod conversation;
mod course;
pub mod delivery;
mod diagnosis;
pub mod evaluation;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod job_end;
pub mod jobs;
pub mod lock;
mod missing;
mod named;
mod parts;
mod preflight;
mod promise;
mod question;
pub mod realisation;
mod reply;
pub mod request;
mod rounds;
pub mod sources;
mod stage;
#[cfg(test)]
mod tests;
mod trace;
pub mod upgrade;

pub use conversation::{Answer, Peer, Question, converse};
pub use diagnosis::{AskedMeanwhile, CannotEvaluate};
