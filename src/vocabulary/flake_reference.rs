//! A flake's reference, taken apart as Nix does it: `nix flake --help`, "Flake references".

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A reference without the name that may follow a `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlakeReference<'a> {
    /// Its form.
    pub form: Form<'a>,
    /// The directory of the flake in the place that the reference leads to (`?dir=`); empty if the flake is the whole
    /// place.
    pub inside: PathBuf,
}

/// The forms of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// A name that registries know: `NAME`, `NAME/REF`, `flake:NAME/REF/REV`.
    Name(&'a str),
    /// A path, which may be relative to some directory. On a command line, the flake may also be in a directory above
    /// it.
    Path(&'a str),
    /// `SCHEME:REST`.
    Address {
        /// The text before the first colon.
        scheme: &'a str,
        /// The text after it, without the query.
        rest: &'a str,
    },
}

impl<'a> FlakeReference<'a> {
    /// Takes a reference apart. Any text is a reference of some form; this does not check whether there is such a
    /// flake.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        if let Some(name) = name_in(text) {
            return Self {
                form: Form::Name(name),
                inside: PathBuf::new(),
            };
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let inside = query.split('&').find_map(|part| part.strip_prefix("dir="));
        let form = match address.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => Form::Address { scheme, rest },
            _ => Form::Path(address),
        };
        Self {
            form,
            inside: decode(inside.unwrap_or_default()),
        }
    }

    /// Returns whether it leads to another machine, whatever the registries say.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.form, Form::Address { scheme, .. } if !["flake", "path", "git+file", "file"].contains(&scheme))
    }

    /// Returns whether it is a path, so that there has to be a `flake.nix`.
    #[must_use]
    pub fn is_path(&self) -> bool {
        matches!(self.form, Form::Path(_))
    }

    /// Returns whether this text always means the same flake, or one whose files are this machine's: a path, or an address
    /// with a revision or a hash in it. A registry, a branch or a newest version may mean another flake tomorrow.
    #[must_use]
    pub fn is_settled(text: &'a str) -> bool {
        let is_revision =
            |word: &str| [40, 64].contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let reference = Self::read(text);
        let Form::Address { scheme, rest } = reference.form else {
            return reference.is_path();
        };
        if ["path", "git+file", "file"].contains(&scheme) {
            return true;
        }
        let query = text.split_once('?').map_or("", |(_, query)| query);
        let is_locked = query.split('&').any(|part| match part.split_once('=') {
            Some(("rev", value)) => is_revision(value),
            Some(("narHash", value)) => value.starts_with("sha256"),
            _ => false,
        });
        is_locked
            || (["github", "gitlab", "sourcehut"].contains(&scheme) && rest.split('/').nth(2).is_some_and(is_revision))
    }

    /// Returns the `flake.nix` that it leads to on this machine, from this directory. Returns None if there is none, or
    /// if only a registry or another machine knows it.
    #[must_use]
    pub fn file_here(&self, directory: &Path) -> Option<PathBuf> {
        let path = match self.form {
            Form::Path(path) => directory.join(path),
            Form::Address {
                scheme: "path" | "git+file" | "file",
                rest,
            } => directory.join(Form::file_of(rest)),
            Form::Address { .. } | Form::Name(_) => return None,
        };
        file_above(&path.join(&self.inside))
    }
}

/// Returns the real place of the `flake.nix` in a directory or in the first one above it that has one. Like Nix, it
/// does not look above a repository.
#[must_use]
pub fn file_above(directory: &Path) -> Option<PathBuf> {
    let directory = fs::canonicalize(directory).ok()?;
    for above in directory.ancestors() {
        let file = above.join("flake.nix");
        if file.exists() {
            return Some(file);
        }
        if above.join(".git").exists() {
            break;
        }
    }
    None
}

impl Form<'_> {
    /// Returns the file of an address that leads to one (`path:`, `git+file:` and the like). Such an address has no
    /// host, so `//` means nothing.
    #[must_use]
    pub fn file_of(rest: &str) -> PathBuf {
        decode(rest.strip_prefix("//").unwrap_or(rest))
    }
}

/// Reads `REFERENCE[#NAME]` as the value of a flag. The name is that of a configuration, and contains neither `"` nor
/// `#`.
///
/// # Errors
/// Fails if the name cannot be a configuration's, or if Nix would read the reference as a flag.
pub fn split_name<'a>(flag: &str, text: &'a str) -> Result<(&'a str, Option<&'a str>), Failure> {
    let (reference, name) = text.split_once('#').unwrap_or((text, ""));
    if !is_configuration(name) {
        return Err(
            Failure::usage(format!("{flag} '{text}': '{name}' is no name of a configuration"))
                .with_remedy("write REFERENCE#NAME, the name as in nixosConfigurations.NAME, without quotes"),
        );
    }
    not_a_flag(flag, reference)?;
    Ok((reference, Some(name).filter(|name| !name.is_empty())))
}

/// Returns whether a configuration can have this name: it stands between quotes, after a `#`.
#[must_use]
pub fn is_configuration(text: &str) -> bool {
    !text.contains(['#', '"']) && !text.contains(char::is_control)
}

/// Refuses a word that Nix would read as a flag.
///
/// # Errors
/// Fails if the word is one.
pub fn not_a_flag(flag: &str, value: &str) -> Result<(), Failure> {
    if value.starts_with('-') {
        return Err(
            Failure::usage(format!("{flag} {value}: a name that begins with a hyphen"))
                .with_remedy(format!("write it as a path: {flag} ./{value}")),
        );
    }
    Ok(())
}

/// Returns the name in `flake:NAME/REF/REV` or `NAME/REF/REV`, which the registries know.
fn name_in(reference: &str) -> Option<&str> {
    let reference = reference.strip_prefix("flake:").unwrap_or(reference);
    let mut parts = reference.split('/');
    let name = parts.next()?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let of_ref = |c: char| c.is_ascii_alphanumeric() || "@-_+.".contains(c);
    (is_name && parts.count() <= 2 && reference.split('/').skip(1).all(|part| part.chars().all(of_ref))).then_some(name)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Decodes an address: `%20` in an address is a blank in a path.
fn decode(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_machines() {
        for reference in ["github:a/b", "git+https://x/y", "https://x/y.tar.gz"] {
            assert!(FlakeReference::read(reference).is_elsewhere(), "{reference}");
        }
        for reference in ["", ".", "./a:b", "/a:b", "flake:x", "x/y", "path:/x", "git+file:///x"] {
            assert!(!FlakeReference::read(reference).is_elsewhere(), "{reference}");
        }
    }

    #[test]
    fn what_means_the_same_tomorrow() {
        let revision = "0123456789abcdef0123456789abcdef01234567";
        for (text, is_so) in [
            (".", true),
            ("/etc/nixos", true),
            ("path:/etc/nixos", true),
            ("git+file:///etc/nixos?ref=main", true),
            (&format!("github:o/r/{revision}"), true),
            (&format!("git+https://h/r?rev={revision}"), true),
            ("github:o/r?narHash=sha256-x", true),
            ("github:o/r", false),
            ("github:o/r/main", false),
            (&format!("github:o/r/{}", &revision[1..]), false),
            (&format!("git+https://h/r/{revision}?ref=main"), false),
            ("https://h/x.tar.gz", false),
            ("nixpkgs", false),
            (&format!("flake:nixpkgs/{revision}"), false),
            ("github:o/r?rev=main", false),
        ] {
            assert_eq!(FlakeReference::is_settled(text), is_so, "{text}");
        }
    }

    #[test]
    fn paths() {
        for reference in ["", ".", "./a:b", "/a:b", "a/b/c/d", "a b"] {
            assert!(FlakeReference::read(reference).is_path(), "{reference}");
        }
        for reference in ["flake:x", "x/y", "path:/x", "git+file:///x", "github:a/b"] {
            assert!(!FlakeReference::read(reference).is_path(), "{reference}");
        }
    }

    #[test]
    fn the_file_that_it_leads_to() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a b/inner/deep")).unwrap();
        fs::create_dir_all(root.join("a b/repository/.git")).unwrap();
        fs::create_dir_all(root.join("a b/repository/x")).unwrap();
        fs::write(root.join("a b/flake.nix"), "").unwrap();
        let found = |reference: &str| FlakeReference::read(reference).file_here(&root);
        let file = Some(root.join("a b/flake.nix"));
        for reference in [
            "./a b",
            "./a b/inner/deep",
            "./a b/inner?dir=deep",
            "path:./a%20b",
            "git+file:./a%20b/inner?ref=x",
        ] {
            assert_eq!(found(reference), file, "{reference}");
        }
        // A name is the registries', even if there is such a directory; and nothing is looked for above a repository.
        for reference in ["a", "flake:a", "github:a/b", "./a b/repository/x", "./nowhere"] {
            assert_eq!(found(reference), None, "{reference}");
        }
    }
}
