//! Where the store has what a lock file names.

use std::path::PathBuf;

use data_encoding::BASE64;
use nix_base32::to_nix_base32;
use sha2::{Digest, Sha256};

use crate::sources::mirror::hexadecimal;

/// The store path of an input with this `narHash` (`sha256-BASE64`): Nix needs no more than that it is there.
pub(super) fn store_path(nar_hash: &str) -> Option<PathBuf> {
    let hash = BASE64.decode(nar_hash.strip_prefix("sha256-")?.as_bytes()).ok()?;
    let hash = hexadecimal(&hash);
    if hash.len() != 64 {
        return None;
    }
    let digest = Sha256::digest(format!("source:sha256:{hash}:/nix/store:source"));
    let mut folded = [0_u8; 20];
    for (at, byte) in digest.iter().enumerate() {
        folded[at % 20] ^= byte;
    }
    Some(PathBuf::from(format!("/nix/store/{}-source", to_nix_base32(&folded))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `nix-store --print-fixed-path --recursive sha256 HASH source` says.
    #[test]
    fn as_nix_says() {
        assert_eq!(
            store_path("sha256-knb9U7Sdy/YWj4gjrvFIevLuTiMEt+5kEtunmYK5CoY="),
            Some("/nix/store/4a533n824y0ifl2f7nas9gpqm67qzfba-source".into())
        );
        for text in ["", "sha256-", "sha256-AAAA", "sha512-AAAA", "sha256-\u{e9}"] {
            assert_eq!(store_path(text), None, "{text}");
        }
    }
}
