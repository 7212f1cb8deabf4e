//! A program named `ssh` that runs ssh with this program's options. It is for Nix, which splits `NIX_SSHOPTS` at every
//! blank.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::quote::shell_word;

/// Puts it into a directory of its own, which has to come first in `PATH`.
///
/// # Errors
/// Fails if there is no ssh, or if it cannot be written.
pub(super) fn put_into(place: &Path, options: &[String], path: Option<&OsString>) -> Result<PathBuf> {
    let real = which::which_in("ssh", path, "/")?;
    let mut text = b"#!/bin/sh\nexec ".to_vec();
    text.extend(shell_word(real)?);
    for option in options {
        text.push(b' ');
        text.extend(shell_word(option)?);
    }
    text.extend(b" \"$@\"\n");
    let directory = tempfile::Builder::new().prefix("bin").tempdir_in(place)?.keep();
    let program = directory.join("ssh");
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
    Ok(directory)
}

/// Returns whether every Nix, old or new, takes the word from `NIX_SSHOPTS` as it is.
pub(super) fn is_one_word_to_nix(word: &str) -> bool {
    !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn options_with_blanks_and_quotes_stay_words() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().join("real");
        fs::create_dir(&real).unwrap();
        fs::write(real.join("ssh"), "#!/bin/sh\nprintf '<%s>' \"$@\"\n").unwrap();
        fs::set_permissions(real.join("ssh"), fs::Permissions::from_mode(0o700)).unwrap();
        let options = ["-o".to_owned(), "ProxyCommand=nc 'a b' %h".to_owned()];
        let directory = put_into(place.path(), &options, Some(&real.into_os_string())).unwrap();
        let output = Command::new(directory.join("ssh"))
            .args(["host", "x y"])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "<-o><ProxyCommand=nc 'a b' %h><host><x y>"
        );
        assert!(!is_one_word_to_nix(&options[1]) && is_one_word_to_nix(&options[0]));
    }
}
