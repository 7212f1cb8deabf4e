//! Reads what strace says of calls that were refused.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Returns the paths that a call names, which strace writes with `-y` as `newfstatat(AT_FDCWD</etc/nixos>, "x
/// \303\244", ...`.
pub(super) fn paths(call: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directory = PathBuf::new();
    let mut rest = call;
    while let Some(start) = rest.iter().position(|byte| matches!(byte, b'"' | b'<')) {
        let end = if rest[start] == b'"' { b'"' } else { b'>' };
        let (text, after) = unescape(&rest[start + 1..], end);
        let path = PathBuf::from(OsString::from_vec(text));
        if end == b'>' {
            directory = path;
        } else {
            found.push(directory.join(path));
            directory = PathBuf::new();
        }
        rest = after;
    }
    found.retain(|path| path.is_absolute() && path != Path::new("/"));
    found
}

/// Returns the bytes up to an `end` that is not escaped, and the bytes after it.
fn unescape(text: &[u8], end: u8) -> (Vec<u8>, &[u8]) {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match (*first, after) {
            (byte, _) if byte == end => break,
            (b'\\', [b'0'..=b'7', ..]) => {
                let length = after
                    .iter()
                    .take(3)
                    .take_while(|byte| (b'0'..=b'7').contains(byte))
                    .count();
                let value = after[..length]
                    .iter()
                    .fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0'));
                bytes.push(value);
                rest = &after[length..];
            }
            (b'\\', [escaped, after @ ..]) => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'v' => 0x0b,
                    b'f' => 0x0c,
                    other => *other,
                });
                rest = after;
            }
            (byte, _) => bytes.push(byte),
        }
    }
    (bytes, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_several_kinds() {
        for (call, expected) in [
            (r#"123 lstat("/etc/nixos/x y", 0x7ffd)"#, vec!["/etc/nixos/x y"]),
            (
                r#"newfstatat(AT_FDCWD</srv/a\76b>, "c\n\"\\1", 0x7f, 0)"#,
                vec!["/srv/a>b/c\n\"\\1"],
            ),
            (
                r#"openat(AT_FDCWD</root>, "/etc/\303\2441\1", O_RDONLY)"#,
                vec!["/etc/ä1\u{1}"],
            ),
            (r#"openat(5</srv>, "x", O_RDONLY)"#, vec!["/srv/x"]),
            (r#"rename("/a", "/b")"#, vec!["/a", "/b"]),
            (r#"open("relative", O_RDONLY)"#, vec![]),
            ("nothing <of", vec![]),
            ("", vec![]),
        ] {
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(paths(call.as_bytes()), expected, "{call}");
        }
    }

    /// Reads what strace itself writes, if it is installed.
    #[test]
    fn what_strace_writes() {
        let directory = tempfile::tempdir().unwrap();
        let name = "a \"b\" <c> ä\\1\n\u{1}2";
        let output = std::process::Command::new("strace")
            .args(["-f", "-qq", "-y", "-Z", "-e", "trace=%file", "cat", name])
            .current_dir(directory.path())
            .output();
        let Ok(output) = output else {
            crate::output::say("strace is not here: not tried");
            return;
        };
        if output.stderr.starts_with(b"strace: ") {
            crate::output::say("strace may not trace here: not tried");
            return;
        }
        let real = directory.path().canonicalize().unwrap().join(name);
        let mut lines = output.stderr.split(|byte| *byte == b'\n');
        assert!(lines.any(|line| paths(line).contains(&real)), "{output:?}");
    }
}
