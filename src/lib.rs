//! `rebuild`: nixos-rebuild for small machines.
//!
//! The way of a run: [`cli`] reads the command line, [`settings`] say what it leaves unsaid, [`plan`] makes a plain value
//! of both, [`run`] carries it out. Another machine's part goes through [`builder`], with the files that [`sources`] found;
//! a target is changed by [`activation`]. What there is to see goes to [`progress`] as events; every process is started by
//! [`process`], every line printed by [`output`]. `docs/design.md` says why.

pub mod activation;
pub mod builder;
pub mod candidates;
pub mod cli;
pub mod context;
pub mod difference;
pub mod directory;
pub mod edit;
pub mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod generations;
pub mod harmless;
pub mod host;
pub mod nix_settings;
pub mod nix_text;
pub mod nix_version;
pub mod output;
pub mod own_nix;
pub mod plan;
pub mod private;
pub mod process;
pub mod progress;
pub mod remote;
pub mod repl;
pub mod run;
pub mod settings;
pub mod sources;
pub mod ssh;
pub mod store_path;
pub mod surroundings;
pub mod table;
pub mod vocabulary;
pub mod written;
