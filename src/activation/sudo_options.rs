//! `NIX_SUDOOPTS`: the user's own options for sudo.

use crate::failure::Failure;
use crate::process::quote::words;
use crate::surroundings::Surroundings;
use crate::vocabulary::Elevation;

const VARIABLE: &str = "NIX_SUDOOPTS";

/// Letters after which a value comes, in the same word or the next (sudo 1.9, sudo-rs).
const WITH_VALUE: &str = "CDghpRrTtUu";

/// Options with which sudo does not run the command that follows, or runs it in another form, or runs it without
/// waiting for it.
const IN_THE_WAY: [(char, &str); 8] = [
    ('i', "login"),
    ('s', "shell"),
    ('b', "background"),
    ('e', "edit"),
    ('l', "list"),
    ('v', "validate"),
    ('K', "remove-timestamp"),
    ('V', "version"),
];

/// Returns the words of `NIX_SUDOOPTS`.
///
/// # Errors
/// The variable is no text that a shell could read; or, if sudo makes this user root, it has an option with which sudo
/// does not run our command.
pub(super) fn read(around: &Surroundings, by: Elevation) -> Result<Vec<String>, Failure> {
    let Some(text) = around.text(VARIABLE) else {
        return Ok(Vec::new());
    };
    let options = words(VARIABLE, &text)?;
    match in_the_way(&options).filter(|_| by == Elevation::Sudo) {
        None => Ok(options),
        Some(option) => Err(Failure::usage(format!(
            "{VARIABLE} ({text}) has {option}, with which sudo does not run our command as it is: nothing was done"
        ))
        .with_remedy(format!(
            "leave it out of {VARIABLE}; what root runs has an environment of its own anyway"
        ))),
    }
}

fn in_the_way(options: &[String]) -> Option<String> {
    let mut words = options.iter();
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix("--") {
            if IN_THE_WAY.iter().any(|(_, long)| *long == name) {
                return Some(word.clone());
            }
            continue;
        }
        let letters = word.strip_prefix('-').unwrap_or_default();
        let own: String = letters
            .chars()
            .take_while(|letter| !WITH_VALUE.contains(*letter))
            .collect();
        if let Some(letter) = own.chars().find(|own| IN_THE_WAY.iter().any(|(short, _)| short == own)) {
            return Some(format!("-{letter}"));
        }
        // The next word is the value.
        if own.len() + 1 == letters.len() {
            words.next();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(options: &str, by: Elevation) -> Option<String> {
        let around = Surroundings::with(&[(VARIABLE, options)]);
        read(&around, by).err().map(|failure| failure.to_string())
    }

    #[test]
    fn options_under_which_our_command_does_not_run_are_named() {
        for (options, named) in [
            ("-i", "-i"),
            ("-Hi", "-i"),
            ("--login", "--login"),
            ("-u root -s", "-s"),
            ("-p 'a b' -b", "-b"),
            ("-n -l", "-l"),
            ("-e", "-e"),
            ("--validate", "--validate"),
        ] {
            let said = said(options, Elevation::Sudo).unwrap_or_default();
            assert!(
                said.contains(&format!("NIX_SUDOOPTS ({options}) has {named},")),
                "{options}: {said}"
            );
        }
    }

    #[test]
    fn values_are_no_options_and_others_stand() {
        for options in [
            "",
            "-H",
            "-n",
            "-k",
            "-A",
            "-E --preserve-env='A B'",
            "-u is",
            "-uis",
            "-Hu lib",
            "--user=builder",
            "-g sbin -H",
            "-p -i",
            "-psudo",
        ] {
            assert_eq!(said(options, Elevation::Sudo), None, "{options}");
        }
        assert_eq!(said("-i", Elevation::Doas), None);
        assert!(said("'", Elevation::None).is_some());
    }
}
