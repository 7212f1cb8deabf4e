//! `rebuild`: nixos-rebuild for small machines.
//!
//! The course of a run: [`cli`] reads the command line, [`settings`] supply what it does not say, [`plan`] makes a
//! plain value of both, and [`run`] carries it out. Another machine's part goes through [`builder`], with the files
//! that [`sources`] found; [`activation`] changes a target. What the user sees goes to [`progress`] as events.
//! [`process`] starts every process, and [`output`] prints every line. `docs/design.md` says why.

mod activation;
mod builder;
mod candidates;
mod cli;
mod conditions;
mod context;
mod difference;
mod directory;
mod doctor;
mod edit;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod generations;
mod harmless;
mod host;
mod nix_settings;
mod nix_text;
mod nix_version;
mod output;
mod own_nix;
mod plan;
mod private;
mod process;
mod progress;
mod remote;
mod repl;
mod run;
mod run_log;
mod settings;
mod sources;
mod ssh;
mod store_path;
mod surroundings;
mod table;
mod vocabulary;
mod written;

// These are the parts that the program and its tests use. The rooms are private, so that the compiler reports what
// nobody uses.
pub use candidates::{CandidateKind, Places, QUESTION, answer};
pub use cli::{Arguments, Verb};
pub use conditions::ALL as CONDITIONS;
pub use failure::{Failure, describe, exit_code};
pub use host::{OwnNames, Place};
pub use nix_text::abort_at_other_panics;
pub use output::{result, say};
pub use own_nix::OwnNix;
pub use plan::argv::{OutLink, build as build_command, evaluate as evaluation_command};
pub use plan::{Channels, Deployment, Facts, Making, Origin, Outcome, Plan, Task};
pub use process::signals::Signals;
pub use progress::reporter;
pub use run::{carry_out, facts, verbosity};
pub use run_log::RunLog;
pub use settings::{ALL as SETTINGS, SettingKind, Settings};
pub use surroundings::Surroundings;
