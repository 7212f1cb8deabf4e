//! What all scripts of ours have in common, whatever they are for. They run at the other end of an ssh, or in a shell
//! here.
//!
//! - [`script`]: its text, with the client's words quoted;
//! - [`channel`]: the talk with it;
//! - [`frames`]: a stream of files inside of what it reads;
//! - [`relay`]: a Nix daemon that is lent to it;
//! - [`daemon`]: how that daemon is reached.
//!
//! The shell text that they share is in `scripts/`: events (`events.sh`), the builder's talk (`channel.sh`), where Nix
//! is (`nix.sh`), how much memory there is (`memory.sh`), and work that outlives a connection (`records.sh`, and `held.sh` for the work itself).

pub mod channel;
pub mod daemon;
pub mod frames;
pub mod relay;
pub mod script;
#[cfg(test)]
mod tests;
