//! What is never in a log: this is the one rule for it.
//!
//! - Known secrets are looked for in every text, whoever says it, and a word with their name stands in their place.
//!   Known are: the values of Nix's settings that may be secret (`nix_settings::table::may_be_secret`), from the
//!   command line, `NIX_CONFIG` and the files; the passwords of Nix's `netrc-file`; the command that wakes a machine; and
//!   the values of all environment variables but paths and those that everybody may read
//!   (`sources::environment::is_public`).
//! - User names and passwords in addresses, values of an address's query that are named like secrets, and tokens of the
//!   usual kinds are left out wherever they stand.
//! - Passwords that are typed, contents of files and what is sent to another machine are no events, so they never come
//!   here.
//!
//! Nobody can know every secret: what a build prints, for example, is in the log. So its head asks the user to read it.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;

use crate::nix_settings::machines_directory;
use crate::nix_settings::table::may_be_secret;
use crate::own_nix::OwnNix;
use crate::sources::environment::{STARTS, is_public, is_secret_name, is_secret_value};
use crate::surroundings::Surroundings;

use super::sieve::Sieve;

/// What stands before the user, the password and the host in an address.
const AUTHORITY: &str = "://";

/// The least bytes of a secret that is looked for: fewer are found in any text.
const LEAST: usize = 4;

/// The least bytes of a value that is not known to be a secret.
const LEAST_OF_OTHERS: usize = 6;

/// The least bytes of a token of a usual kind, with its beginning.
const LEAST_OF_TOKENS: usize = 20;

/// The most bytes that are read of a file of passwords.
const LONGEST_NETRC: u64 = 64 << 10;

/// The known secrets of a run.
pub(super) struct Secrets {
    /// A secret and its name. Of two that begin alike, the longer one comes first.
    known: Vec<(String, String)>,
    /// By the first byte, which of them begin with it.
    beginnings: Vec<Vec<usize>>,
    /// All that may have to be left out has one of these words in it: known secrets, and signs of others.
    sieve: Sieve,
}

impl Secrets {
    /// Collects them. `options` is the command line's `--option NAME VALUE`, as one list; `wake` is the command that wakes
    /// a machine.
    pub(super) fn of(around: &Surroundings, nix: &OwnNix, options: &[String], wake: Option<&str>) -> Self {
        let mut known = Vec::new();
        for line in wake.iter().flat_map(|command| command.lines()) {
            add(line.trim(), "wake", LEAST_OF_OTHERS, &mut known);
        }
        for pair in options.chunks_exact(2) {
            of_setting(&pair[0], &pair[1], &mut known);
        }
        for (name, value) in nix.settings.all() {
            of_setting(name, value, &mut known);
        }
        for (name, value) in &around.variables {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            if name == "NIX_CONFIG" {
                of_nix_config(&value, &mut known);
            } else {
                of_variable(&name, &value, &mut known);
            }
        }
        of_netrc(&netrc(around, nix), &mut known);
        known.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        known.dedup_by(|one, other| one.0 == other.0);
        let mut beginnings = vec![Vec::new(); 256];
        for (index, (secret, _)) in known.iter().enumerate() {
            beginnings[usize::from(secret.as_bytes()[0])].push(index);
        }
        let signs = STARTS.into_iter().chain([AUTHORITY]);
        let sieve = Sieve::of(known.iter().map(|(secret, _)| secret.as_str()).chain(signs));
        Self {
            known,
            beginnings,
            sieve,
        }
    }

    /// Returns the text without secrets.
    pub(super) fn without<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.sieve.finds(text) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(self.taken_out(text))
    }

    /// Takes secrets out of a text that may have some.
    pub(super) fn taken_out(&self, text: &str) -> String {
        without_tokens(&without_credentials(self.without_known(text)))
    }

    fn without_known(&self, text: &str) -> String {
        let mut kept = String::with_capacity(text.len());
        let mut from = 0;
        let mut at = 0;
        while let Some(first) = text.as_bytes().get(at) {
            let candidates = self.beginnings[usize::from(*first)].iter();
            let found = candidates
                .map(|index| &self.known[*index])
                .find(|(secret, _)| text.as_bytes()[at..].starts_with(secret.as_bytes()));
            let Some((secret, name)) = found else {
                at += 1;
                continue;
            };
            kept.push_str(&text[from..at]);
            kept.push_str(&left_out(name));
            at += secret.len();
            from = at;
        }
        kept.push_str(&text[from..]);
        kept
    }

    /// Returns the words of a command line without secrets, even those that are too short to be looked for.
    pub(super) fn without_in_words(&self, words: &[String]) -> Vec<String> {
        let is_value = |index: usize| {
            let name = words.get(index.checked_sub(1)?)?;
            let is_option = words.get(index.checked_sub(2)?)? == "--option";
            (is_option && may_be_secret(name)).then_some(name)
        };
        let words = words.iter().enumerate();
        words
            .map(|(index, word)| is_value(index).map_or_else(|| self.without(word).into_owned(), |name| left_out(name)))
            .collect()
    }
}

fn left_out(name: &str) -> String {
    format!("[left out: {name}]")
}

fn add(secret: &str, name: &str, least: usize, known: &mut Vec<(String, String)>) {
    if secret.len() >= least.max(1) {
        known.push((secret.to_owned(), name.to_owned()));
    }
}

/// Adds what is secret of a setting: its value, and of each of its words what comes after the host or the name.
fn of_setting(name: &str, value: &str, known: &mut Vec<(String, String)>) {
    if !may_be_secret(name) {
        return;
    }
    let is_surely = !is_true_or_so(value) && (name.ends_with("access-tokens") || is_secret_name(name));
    let least = if is_surely { LEAST } else { LEAST_OF_OTHERS };
    for word in value.split_whitespace() {
        let secret = word.split_once('=').map_or(word, |(_, secret)| secret);
        add(secret, name, least, known);
        // A token of GitLab has its kind before it. A secret with a quotation mark looks different in a shell's words.
        for part in secret.split([':', '\'', '"', '\\']) {
            add(part, name, least, known);
        }
    }
}

fn is_true_or_so(value: &str) -> bool {
    ["true", "false"].contains(&value)
}

/// Adds what is secret in `NIX_CONFIG`. In a line that is no setting, all words may be.
fn of_nix_config(text: &str, known: &mut Vec<(String, String)>) {
    for line in text.lines() {
        match line.split_once('=') {
            Some((name, value)) if !name.trim().contains(char::is_whitespace) => {
                of_setting(name.trim(), value, known);
            }
            _ if line.trim_start().starts_with(['#', '!']) || line.trim_start().starts_with("include") => {}
            _ => of_setting("NIX_CONFIG", line, known),
        }
    }
}

/// Adds what is secret of an environment variable.
fn of_variable(name: &str, value: &str, known: &mut Vec<(String, String)>) {
    let is_path = value.split(':').all(|part| part.starts_with('/')) && !value.contains('\n');
    let is_surely = is_secret_name(name) || is_secret_value(value);
    if is_public(name, value) || (is_path && !is_surely) || name.starts_with("BASH_FUNC_") {
        return;
    }
    if !is_surely {
        add(value.trim(), name, LEAST_OF_OTHERS, known);
        return;
    }
    // A secret of several lines is shown line by line.
    for line in value.lines().map(str::trim) {
        add(line, name, LEAST, known);
        for part in line.split(['\'', '"', '\\']) {
            add(part, name, LEAST, known);
        }
    }
}

/// Returns the file from which Nix takes passwords for addresses; nothing if there is none, or if it is not this user's
/// to read: then Nix has not read it, either.
fn netrc(around: &Surroundings, nix: &OwnNix) -> String {
    let named = nix.settings.get("netrc-file").map(PathBuf::from);
    let file = named.unwrap_or_else(|| machines_directory(around).join("netrc"));
    let mut start = Vec::new();
    let read = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(file);
    let read = read.and_then(|file| file.take(LONGEST_NETRC).read_to_end(&mut start));
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&start).into_owned())
}

/// Adds the passwords of a file of curl's: each word after `password`.
pub(super) fn of_netrc(text: &str, known: &mut Vec<(String, String)>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.windows(2).filter(|pair| pair[0] == "password") {
        for part in pair[1].split(['"', '\\']) {
            add(part, "netrc", LEAST, known);
        }
    }
}

/// Takes user names and passwords out of addresses, and secrets out of their queries.
fn without_credentials(text: String) -> String {
    if !text.contains(AUTHORITY) {
        return text;
    }
    let mut gone: Vec<Range<usize>> = Vec::new();
    for (colon, mark) in text.match_indices(AUTHORITY) {
        let scheme = text[..colon]
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
            .next();
        let start = colon + mark.len();
        let ends = |c: char| c.is_whitespace() || "'\"`<>|\\".contains(c);
        let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
        let address = &text[start..end];
        let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@') {
            // In an address of ssh, the name alone says who logs in.
            let is_ssh = scheme.is_some_and(|scheme| scheme.contains("ssh"));
            match user.split_once(':') {
                Some((name, _)) if is_ssh => gone.push(start + name.len() + 1..start + user.len()),
                None if is_ssh => {}
                _ => gone.push(start..start + user.len()),
            }
        }
        let mut at = start + address.find('?').map_or(address.len(), |mark| mark + 1);
        for whole in text[at..end].split('&') {
            let pair = whole.split('#').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=').filter(|(name, _)| is_secret_name(name)) {
                let from = at + name.len() + 1;
                gone.push(from..from + value.len());
            }
            at += whole.len() + 1;
        }
    }
    without_ranges(&text, gone, "in an address")
}

/// Takes tokens of the usual kinds out.
fn without_tokens(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut gone: Vec<Range<usize>> = Vec::new();
    for start in STARTS {
        for (at, _) in text.match_indices(start) {
            let is_begun = text[..at].chars().next_back().is_none_or(|c| !is_part(c) && c != '/');
            let length = text[at..].find(|c| !is_part(c)).unwrap_or(text.len() - at);
            let has_digit = text[at..at + length].bytes().any(|byte| byte.is_ascii_digit());
            if is_begun && length >= LEAST_OF_TOKENS && has_digit {
                gone.push(at..at + length);
            }
        }
    }
    without_ranges(text, gone, "a token")
}

/// Takes these places out of a text. They may overlap.
fn without_ranges(text: &str, mut gone: Vec<Range<usize>>, name: &str) -> String {
    gone.retain(|range| !range.is_empty());
    gone.sort_by_key(|range| range.start);
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for range in gone {
        if range.start >= from {
            kept.push_str(&text[from..range.start]);
            kept.push_str(&left_out(name));
        }
        from = from.max(range.end);
    }
    kept + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(variables: &[(&str, &str)], options: &[&str]) -> Secrets {
        let variables = [&[("NIX_CONF_DIR", "/nonexistent"), ("HOME", "/nonexistent")], variables].concat();
        let around = Surroundings::with(&variables);
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        Secrets::of(&around, &OwnNix::read(&around, &options, &[]), &options, None)
    }

    #[test]
    fn secrets_of_settings() {
        let config =
            "access-tokens = github.com=GITHUB gitlab.com=PAT:GITLAB\nsubstituters = https://cache\nbroken TOKEN1";
        let secrets = secrets(
            &[("NIX_CONFIG", config)],
            &[
                "extra-access-tokens",
                "h=it'sone",
                "of-a-plugin",
                "unknown",
                "cores",
                "123456",
                "access-tokens",
                "xy",
            ],
        );
        for (text, expected) in [
            (
                "401 of github.com with GITHUB",
                "401 of github.com with [left out: access-tokens]",
            ),
            ("x GITLAB y", "x [left out: access-tokens] y"),
            (
                "--option extra-access-tokens 'h=it'\\''sone'",
                "--option extra-access-tokens 'h=it'\\''[left out: extra-access-tokens]'",
            ),
            ("unknown", "[left out: of-a-plugin]"),
            ("cores = 123456, https://cache", "cores = 123456, https://cache"),
            ("TOKEN1", "[left out: NIX_CONFIG]"),
        ] {
            assert_eq!(secrets.without(text), expected);
        }
        let words = [
            "rebuild",
            "--option",
            "access-tokens",
            "xy",
            "--option",
            "cores",
            "123456",
        ]
        .map(str::to_owned);
        let shown = secrets.without_in_words(&words).join(" ");
        assert_eq!(
            shown,
            "rebuild --option access-tokens [left out: access-tokens] --option cores 123456"
        );
    }

    #[test]
    fn secrets_of_curls_file() {
        let place = tempfile::tempdir().unwrap();
        let text =
            "machine h\n\tlogin me password of-h\nmachine i login you password \"of i\\\"s\"\npassword abc\npassword";
        for (file, variables) in [("netrc", vec![]), ("mine", vec!["netrc-file"])] {
            let file = place.path().join(file);
            std::fs::write(&file, text).unwrap();
            let options = variables.iter().map(|name| (*name).to_owned());
            let options: Vec<String> = options.flat_map(|name| [name, file.display().to_string()]).collect();
            let around = Surroundings::with(&[
                ("NIX_CONF_DIR", place.path().to_str().unwrap()),
                ("HOME", "/nonexistent"),
            ]);
            let secrets = Secrets::of(&around, &OwnNix::read(&around, &options, &[]), &options, None);
            assert_eq!(
                secrets.without("of-h me you abc"),
                "[left out: netrc] me you abc",
                "{options:?}"
            );
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn secrets_of_variables() {
        let secrets = secrets(
            &[
                ("EDITION", "edition-one"),
                ("DB_PASSWORD", "1234"),
                ("KEY_FILE", "-----BEGIN\nline of it\n"),
                ("USER", "somebody"),
                ("REBUILD_EVAL_HOST", "builder"),
                ("OTHER", "/etc/nixos"),
                ("TERM", "xterm-256color"),
                ("SHORT", "short"),
            ],
            &[],
        );
        for (text, expected) in [
            ("trace: edition-one", "trace: [left out: EDITION]"),
            ("1234 123", "[left out: DB_PASSWORD] 123"),
            ("line of it", "[left out: KEY_FILE]"),
            (
                "somebody@builder:/etc/nixos xterm-256color short ü",
                "somebody@builder:/etc/nixos xterm-256color short ü",
            ),
        ] {
            assert_eq!(secrets.without(text), expected);
        }
    }

    #[test]
    fn of_two_secrets_the_longer_one_counts() {
        let secrets = secrets(&[("A_TOKEN", "abcd"), ("B_TOKEN", "abcdef")], &[]);
        assert_eq!(
            secrets.without("abcdefabcdüabc"),
            "[left out: B_TOKEN][left out: A_TOKEN]üabc"
        );
    }

    #[test]
    fn secrets_that_nobody_told() {
        let secrets = secrets(&[], &[]);
        let address = "[left out: in an address]";
        for (text, expected) in [
            (
                "get 'https://u:p@h/x?ref=main': 403",
                format!("get 'https://{address}@h/x?ref=main': 403"),
            ),
            ("git+https://TOKEN@h/x", format!("git+https://{address}@h/x")),
            (
                "ssh://me@h ssh-ng://me:pw@h:22",
                format!("ssh://me@h ssh-ng://me:{address}@h:22"),
            ),
            (
                "https://h/?a=1&access_token=T&b=2#k=v",
                format!("https://h/?a=1&access_token={address}&b=2#k=v"),
            ),
            (
                "https://h/?a=1#üx&token=T#&b=2&c#=&pass=é",
                format!("https://h/?a=1#üx&token={address}#&b=2&c#=&pass={address}"),
            ),
            (
                "with ghp_0123456789abcdefABCDEF, no",
                "with [left out: a token], no".to_owned(),
            ),
            (
                "/nix/store/0000-sk-lib-2-0123456789abcdef sk-no",
                "/nix/store/0000-sk-lib-2-0123456789abcdef sk-no".to_owned(),
            ),
            (
                "got: sha256-AbCdEf0123456789AbCdEf0123456789=",
                "got: sha256-AbCdEf0123456789AbCdEf0123456789=".to_owned(),
            ),
        ] {
            assert_eq!(secrets.without(text), expected);
        }
    }
}
