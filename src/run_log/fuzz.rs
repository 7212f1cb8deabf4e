//! What is left out of a log, for `crate::fuzz`.

use super::secrets::{Secrets, of_netrc};
use crate::fuzz::{FuzzTarget, text};
use crate::own_nix::OwnNix;
use crate::surroundings::Surroundings;

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "secrets in a log",
    files: &["run_log/secrets.rs", "run_log/sieve.rs"],
    examples: &[
        b"abcd\nab abcdabcdefgh --option x 'abcd'",
        "p\u{e4}ss\nget https://u:p\u{e4}ss@h/?token=p\u{e4}ss&x=1#y ssh://me:pw@h".as_bytes(),
        b"machine h login me password abcd\nget password \"ab\\\"cdef\" abcd",
        "abcd\nhttps://h/?a=1#\u{fc}x&token=T#&b=2&c#=&pass=\u{e9}".as_bytes(),
        b"x:y@z\nhttps://x:p@h?u=https://y:q@z&token=t ghp_0123456789abcdefABCDEF",
    ],
    read: |bytes| {
        let whole = text(bytes).replace('\0', "");
        let (secret, rest) = whole.split_once('\n').unwrap_or((&whole, ""));
        let around = Surroundings::with(&[("NIX_CONF_DIR", "/nonexistent"), ("A_TOKEN", secret)]);
        let secrets = Secrets::of(&around, &OwnNix::read(&around, &[], &[]), &[], None);
        let mut passwords = Vec::new();
        of_netrc(&whole, &mut passwords);
        assert!(
            passwords
                .iter()
                .all(|(password, _)| password.len() >= 4 && whole.contains(password))
        );
        let mut left = secrets.without(rest).into_owned();
        assert_eq!(left, secrets.taken_out(rest), "the sieve lets through what is none");
        assert_eq!(secrets.without_in_words(&[rest.to_owned()]), [left.clone()]);
        for name in ["A_TOKEN", "in an address", "a token"] {
            left = left.replace(&format!("[left out: {name}]"), "\0");
        }
        let secret = secret.trim();
        assert!(secret.len() < 4 || !left.contains(secret), "{secret:?} {left:?}");
    },
}];
