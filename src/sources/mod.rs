//! Which of the client's files an evaluation elsewhere needs, and their stream.
//!
//! - [`literals`]: what a Nix file names;
//! - [`collect`]: the files that follow from these, and those that never leave this machine;
//! - [`environment`]: the variables that go along;
//! - [`flakes`]: what of this machine a flake consists of;
//! - `git`: what git knows of a repository;
//! - [`mirror`]: what is there of them on the other machine, as a value;
//! - `opening`: files that may not be what they were a moment ago;
//! - `pins`: where the store has what a hash names;
//! - [`record`]: what the last evaluation needed, kept for the next;
//! - [`releases`]: what another machine may fetch itself;
//! - [`archive`]: files as a tar stream.

pub mod answered;
pub mod archive;
pub mod bare;
pub mod collect;
pub mod environment;
pub mod flakes;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod generations;
mod git;
mod guard;
pub mod large;
pub mod literals;
pub mod mirror;
mod opening;
mod pins;
pub mod proof;
pub mod record;
pub mod releases;
