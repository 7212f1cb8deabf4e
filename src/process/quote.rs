//! The one function that quotes words for a shell, and the one that reads them back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::failure::Failure;

/// Returns a word of shell text that means exactly `word` to any POSIX shell.
///
/// # Errors
/// Fails for a word with a NUL byte, which cannot be said to a shell at all.
pub fn shell_word(word: impl AsRef<OsStr>) -> Result<Vec<u8>, Failure> {
    let bytes = word.as_ref().as_bytes();
    shlex::bytes::try_quote(bytes)
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Failure::usage(format!("'{}' has a NUL byte in it", bytes.escape_ascii())))
}

/// Returns the words in the value of the variable `name`, as a shell reads them.
///
/// # Errors
/// Fails if a quote is not closed.
pub fn words(name: &str, text: &str) -> Result<Vec<String>, Failure> {
    shlex::split(text).ok_or_else(|| Failure::usage(format!("{name} cannot be read, a quote is not closed: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    /// Any shell gives back what was quoted. The shells here are those of the machine that runs the test.
    #[test]
    fn a_shell_reads_back_the_same_word() {
        let all_bytes: Vec<u8> = (1..=255).collect();
        let words: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"plain".to_vec(),
            b"two words".to_vec(),
            b"it's".to_vec(),
            b"$HOME `id` $(id) \"x\" \\ ! * ? ~ # & ; |".to_vec(),
            b"line\nbreak\n".to_vec(),
            b"-n".to_vec(),
            "prüfung".as_bytes().to_vec(),
            all_bytes,
        ];
        for word in words {
            let mut script = b"printf '%s.' ".to_vec();
            script.extend(shell_word(std::ffi::OsString::from_vec(word.clone())).unwrap());
            let output = Command::new("sh")
                .arg("-c")
                .arg(std::ffi::OsString::from_vec(script))
                .output()
                .unwrap();
            let mut expected = word;
            expected.push(b'.');
            assert_eq!(output.stdout, expected);
        }
    }

    #[test]
    fn a_nul_byte_is_refused() {
        assert!(shell_word(OsStr::from_bytes(b"a\0b")).is_err());
    }
}
