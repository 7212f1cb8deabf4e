//! The version of a Nix.

/// The first two numbers of a version: everything that this program asks about depends on these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NixVersion {
    major: u32,
    minor: u32,
}

impl NixVersion {
    /// Makes the version `MAJOR.MINOR`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Reads the last word of a text: "2.26.3", or what `nix --version` prints ("nix (Nix) 2.26.3", "nix (Lix)
    /// 2.93.0-pre"). Returns None if that is no version.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let word = text.split_whitespace().next_back()?;
        let mut numbers = word
            .split(|character: char| !character.is_ascii_digit())
            .map_while(|number| number.parse().ok());
        Some(Self::new(numbers.next()?, numbers.next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_numbers_count() {
        for (text, expected) in [
            ("2.26.3", Some((2, 26))),
            ("nix (Nix) 2.8.0pre20220512_d354fc3", Some((2, 8))),
            ("nix (Lix, like Nix) 2.93.0-devel", Some((2, 93))),
            ("3.0", Some((3, 0))),
            ("2", None),
            ("nix", None),
            ("2.99999999999", None),
            ("", None),
        ] {
            let expected = expected.map(|(major, minor)| NixVersion::new(major, minor));
            assert_eq!(NixVersion::read(text), expected, "{text}");
        }
    }

    #[test]
    fn ten_is_more_than_nine() {
        assert!(NixVersion::new(2, 10) > NixVersion::new(2, 9));
        assert!(NixVersion::new(3, 0) > NixVersion::new(2, 34));
    }
}
