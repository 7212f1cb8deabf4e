//! Text for a shell: the client's words, quoted, and then scripts as they are written.

use std::ffi::OsStr;

use crate::failure::Failure;
use crate::process::quote::shell_word;

/// Text for a shell. The words go as variables and functions, so that no shell text is made by pasting.
#[derive(Debug, Clone, Default)]
pub struct Script(Vec<u8>);

impl Script {
    /// Adds a variable with this value.
    ///
    /// # Errors
    /// The value has a NUL byte in it.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) -> Result<(), Failure> {
        let quoted = shell_word(value)?;
        self.0.extend([name.as_bytes(), b"=", &quoted, b"\n"].concat());
        Ok(())
    }

    /// Adds a function that runs these words, followed by its arguments.
    ///
    /// # Errors
    /// A word has a NUL byte in it.
    pub fn command(&mut self, name: &str, words: &[String]) -> Result<(), Failure> {
        self.function(name, &[quoted(words)?, b" \"$@\"".to_vec()].concat());
        Ok(())
    }

    /// Adds a function that runs its arguments, followed by these words. It stands for a list of words, because sh has
    /// no lists.
    ///
    /// # Errors
    /// A word has a NUL byte in it.
    pub fn wrapper(&mut self, name: &str, words: &[String]) -> Result<(), Failure> {
        self.function(name, &[b" \"$@\"".to_vec(), quoted(words)?].concat());
        Ok(())
    }

    fn function(&mut self, name: &str, body: &[u8]) {
        self.0.extend([name.as_bytes(), b"() {", body, b"; }\n"].concat());
    }

    /// Adds a variable that is "yes" or "no".
    ///
    /// # Errors
    /// Fails as [`Self::set`] does.
    pub fn set_yes(&mut self, name: &str, is_so: bool) -> Result<(), Failure> {
        self.set(name, if is_so { "yes" } else { "no" })
    }

    /// Adds shell text, unchanged.
    pub fn text(&mut self, part: &str) {
        self.0.extend(part.as_bytes());
    }

    /// Adds a script as it goes over the wire ([`without_comments`]).
    pub fn code(&mut self, part: &str) {
        self.text(&without_comments(part));
    }

    /// Returns the whole text.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Returns words for a shell, each with a blank before it.
fn quoted(words: &[String]) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    for word in words {
        text.push(b' ');
        text.extend(shell_word(word)?);
    }
    Ok(text)
}

/// Returns a script without its empty lines and comments: these are for people who read it here, and would be half of
/// what is sent. A quoted text in a script must have no line that begins with `#`, unless that is a comment of the
/// program that reads it.
#[must_use]
pub fn without_comments(script: &str) -> String {
    let lines = script.split_inclusive('\n');
    let lines = lines.filter(|line| !matches!(line.trim_start().bytes().next(), None | Some(b'#')));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn code_is_what_is_no_comment() {
        let mut script = Script::default();
        script.code("# what\n\nsay() {\n\t# how: it's easy\n\techo \"${1#a}\" # so\n}\n");
        assert_eq!(script.into_bytes(), b"say() {\n\techo \"${1#a}\" # so\n}\n");
    }

    #[test]
    fn a_shell_reads_the_words_back() {
        let mut script = Script::default();
        script.set("x", "a 'b' $(c)").unwrap();
        script.command("say", &["printf".into(), "<%s>".into()]).unwrap();
        script.wrapper("and", &["f'g".into(), String::new()]).unwrap();
        script.text("and say \"$x\" 'd e'");
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(std::ffi::OsString::from_vec(script.into_bytes()))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "<a 'b' $(c)><d e><f'g><>");
    }
}
