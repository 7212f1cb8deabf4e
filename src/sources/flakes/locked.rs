//! Where the store has what a lock file names.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// The digits of Nix's own base 32.
const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// The store path of an input with this `narHash` (`sha256-BASE64`): Nix needs no more than that it is there.
pub(super) fn store_path(nar_hash: &str) -> Option<PathBuf> {
    let hash = from_base64(nar_hash.strip_prefix("sha256-")?)?;
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    if hash.len() != 64 {
        return None;
    }
    let digest = Sha256::digest(format!("source:sha256:{hash}:/nix/store:source"));
    let mut folded = [0_u8; 20];
    for (at, byte) in digest.iter().enumerate() {
        folded[at % 20] ^= byte;
    }
    Some(PathBuf::from(format!("/nix/store/{}-source", base32(&folded))))
}

fn base32(bytes: &[u8; 20]) -> String {
    let digits = (0..32).rev().map(|at| {
        let (byte, shift) = (at * 5 / 8, at * 5 % 8);
        let high = bytes.get(byte + 1).copied().unwrap_or(0);
        let pair = u16::from_le_bytes([bytes[byte], high]);
        char::from(DIGITS[usize::from(pair >> shift & 0x1f)])
    });
    digits.collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 & 0x00ff_ffff | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
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
