//! Finds out in one quick pass that a text has none of some words in it, as it is with nearly every line of a build.

/// The number of pairs of bytes.
const PAIRS: usize = 1 << 16;

/// Words of at least two bytes.
pub(super) struct Sieve {
    /// A bit for each pair of bytes: whether a word begins with it.
    pairs: Vec<u64>,
    words: Vec<Vec<u8>>,
}

impl Sieve {
    pub(super) fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let words: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
        let mut pairs = vec![0; PAIRS / 64];
        for word in &words {
            debug_assert!(word.len() >= 2, "{word:?}");
            if let [one, two, ..] = word[..] {
                let (place, bit) = place(one, two);
                pairs[place] |= bit;
            }
        }
        Self { pairs, words }
    }

    /// Returns whether one of the words is in the text.
    pub(super) fn finds(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        bytes.windows(2).enumerate().any(|(at, pair)| {
            let (place, bit) = place(pair[0], pair[1]);
            self.pairs[place] & bit != 0 && self.words.iter().any(|word| bytes[at..].starts_with(word))
        })
    }
}

/// Returns where the bit of a pair is.
fn place(one: u8, two: u8) -> (usize, u64) {
    let pair = (usize::from(one) << 8) | usize::from(two);
    (pair / 64, 1 << (pair % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_wherever_it_stands() {
        let sieve = Sieve::of(["abcd", "://", "ü", "xx"].into_iter());
        for text in ["abcd", "ab abcd", "x://", "ab:/://", "aü", "éxx", "xxx"] {
            assert!(sieve.finds(text), "{text}");
        }
        for text in ["", "a", "abc", "abcabc", ":/", "u é", "x x"] {
            assert!(!sieve.finds(text), "{text}");
        }
    }
}
