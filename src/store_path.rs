//! Store paths. Another machine's word for one is not taken unread.

use std::fmt;
use std::path::Path;

use crate::failure::Failure;

/// An object of the Nix store: `/nix/store/HASH-NAME` with nothing after it (manual: "Store path").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePath(String);

impl StorePath {
    /// Reads a store path.
    ///
    /// # Errors
    /// Fails if the text is no store path.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._?=".contains(c));
        let is_hash =
            |hash: &str| hash.len() == 32 && hash.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase());
        match text.strip_prefix("/nix/store/").and_then(|base| base.split_once('-')) {
            Some((hash, name)) if is_hash(hash) && is_name(name) => Ok(Self(text.to_owned())),
            _ => Err(Failure::new(format!("'{}' is not a store path", text.escape_debug()))),
        }
    }

    /// Returns it as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name that follows the hash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, name)| name)
    }

    /// Returns it as a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "/nix/store/00000000000000000000000000000000";

    #[test]
    fn store_paths() {
        for name in ["-x", "-nixos-system-pi-25.05", "-a+b?c=d_e.drv"] {
            assert!(StorePath::parse(&format!("{HASH}{name}")).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_no_store_path() {
        for text in [
            "",
            "/etc/passwd",
            "/nix/store/.links",
            "/nix/store/0000-x",
            "/nix/store/../../etc-x",
            "--option",
        ] {
            assert!(StorePath::parse(text).is_err(), "{text}");
        }
        for rest in ["", "-", "-a/b", "-a b", "-a\n", "-a'"] {
            assert!(StorePath::parse(&format!("{HASH}{rest}")).is_err(), "{rest}");
        }
    }
}
