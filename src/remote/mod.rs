//! What every script of ours at the end of an ssh, or of a shell here, has in common, whatever it is for.
//!
//! - [`script`]: its text, with our words quoted;
//! - [`channel`]: the talk with it;
//! - [`frames`]: a stream of files inside of what it reads;
//! - [`relay`]: a Nix daemon that is lent to it;
//! - [`daemon`]: how that daemon is reached.

pub mod channel;
pub mod daemon;
pub mod frames;
pub mod relay;
pub mod script;
