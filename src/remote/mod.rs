//! What every script of ours at the end of an ssh, or of a shell here, has in common, whatever it is for.
//!
//! - [`script`]: its text, with our words quoted;
//! - [`channel`]: the talk with it;
//! - [`frames`]: a stream of files inside of what it reads;
//! - [`relay`]: a Nix daemon that is lent to it;
//! - [`daemon`]: how that daemon is reached.
//!
//! What their texts share is in `scripts/`: what they say (`events.sh`), the builder's talk (`channel.sh`), where Nix is
//! (`nix.sh`), and work that outlives a connection (`records.sh`, and `held.sh` for the work itself).

pub mod channel;
pub mod daemon;
pub mod frames;
pub mod relay;
pub mod script;
#[cfg(test)]
mod tests;
