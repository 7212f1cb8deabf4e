//! What ssh itself has said.

/// How many bytes are kept. A reason for a failure is a line or two; a banner may be longer.
const MOST: usize = 64 << 10;

/// ssh's last words, which may say why there is no connection.
#[derive(Debug, Default)]
pub struct Said(String);

impl Said {
    /// Takes one more line.
    pub fn hear(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
        if self.0.len() > MOST {
            // Half of it goes at once, so that this is not done with every line.
            let from = self.0.len() - MOST / 2;
            let kept = self
                .0
                .char_indices()
                .map(|(index, _)| index)
                .find(|index| *index >= from);
            self.0.drain(..kept.unwrap_or(from));
        }
    }

    /// Returns everything that is kept, line by line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_kept() {
        let mut said = Said::default();
        said.hear("first");
        assert_eq!(said.text(), "first\n");
        for _ in 0..100_000 {
            said.hear("ü, in between");
        }
        said.hear("Permission denied");
        assert!(said.text().len() <= MOST && said.text().len() > MOST / 4);
        assert!(said.text().ends_with("between\nPermission denied\n"));
        said.hear(&"ü".repeat(MOST));
        assert!(said.text().len() <= MOST);
    }
}
