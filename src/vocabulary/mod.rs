//! Values that the command line, the settings and the plan share. They are here so that none of the three depends on
//! another for them.

mod address;
mod confirmation;
mod elevation;
mod fallback;
mod flake_reference;

pub use address::{ADDRESS, address};
pub use confirmation::{Confirmation, Proof};
pub use elevation::{Elevation, Rights};
pub use fallback::Fallback;
pub use flake_reference::{FlakeReference, Form, file_above, is_configuration, not_a_flag, split_name};
