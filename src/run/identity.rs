//! The identity by which a builder knows this machine's user: a random number, which is made once and kept. A host name
//! could belong to many machines (NixOS gives the same one to all) and to two users, and may change; it stands before
//! the number for people who look around on the builder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::builder::request::Client;
use crate::directory;
use crate::failure::Failure;
use crate::private;
use crate::progress::{Event, Reporter};
use crate::sources::mirror::hexadecimal;
use crate::surroundings::{Directory, Surroundings};
use crate::written;

/// The number of bytes of the random number.
const LENGTH: usize = 8;

/// Returns this user's identity. If it cannot be kept, it is made for this run alone, and the user is told.
pub(super) fn client(around: &Surroundings, reporter: &Reporter) -> Client {
    let place = place(around);
    let (number, stays) = kept(&place).map_or_else(
        |error| {
            reporter.tell(Event::Text(format!(
                "warning: cannot keep this user's name for builders in {}: {error}\n  so they keep nothing of this run",
                place.display()
            )));
            (random().unwrap_or_else(|_| process_number()), false)
        },
        |number| (number, true),
    );
    let name = format!("{}-{number}", host_name(&around.own_name));
    Client { name, stays }
}

/// Checks that this user is known again by what goes on without them.
///
/// # Errors
/// Their identity cannot be kept, so nobody would find the work, nor bring its result home.
pub(super) fn require(around: &Surroundings) -> Result<(), Failure> {
    let place = place(around);
    kept(&place).map(drop).map_err(|error| {
        Failure::new(format!(
            "--detach: this user's name for builders cannot be kept in {} ({error}), and without it no later run finds the \
             work: nothing was begun",
            place.display()
        ))
        .with_remedy(
            "let this user write there, or name another directory, in the later runs as well: XDG_STATE_HOME=DIR rebuild ...\n\
             or stay until it is done: without --detach",
        )
    })
}

/// Returns the place of the number. It is in the user's state, not in a cache, so that a user who empties their cache
/// keeps their identity.
fn place(around: &Surroundings) -> PathBuf {
    around.own_directory(Directory::State).join("rebuild/client")
}

/// Returns the number that is kept there; makes it if there is none. If two runs make one at the same time, both get
/// the same number.
fn kept(file: &Path) -> io::Result<String> {
    if let Some(number) = read(file)? {
        return Ok(number);
    }
    let directory = file.parent().unwrap_or(Path::new("/"));
    directory::make_private(directory)?;
    let number = random()?;
    let line = format!("{number}\n");
    if written::make(file, line.as_bytes())? {
        return Ok(number);
    }
    if let Some(number) = read(file)? {
        return Ok(number);
    }
    // The file holds no number, but for example half of one, from a full disk.
    written::keep(file, line.as_bytes())?;
    Ok(number)
}

fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok().and_then(|text| number_of(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn number_of(text: &str) -> Option<String> {
    let number = text.strip_suffix('\n')?;
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (number.len() == 2 * LENGTH && number.chars().all(is_digit)).then(|| number.to_owned())
}

fn random() -> io::Result<String> {
    Ok(hexadecimal(&private::random::<LENGTH>()?))
}

/// Returns a number for a system without even /dev/urandom: no other process that runs now has it.
fn process_number() -> String {
    format!("{:016x}", std::process::id())
}

/// Returns a host name in a form that can be a file name.
fn host_name(own_name: &str) -> String {
    let kept = own_name.chars().map(|c| {
        if c.is_ascii_alphanumeric() || "-_".contains(c) {
            c
        } else {
            '-'
        }
    });
    let name: String = kept.collect();
    if name.is_empty() { "client".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Observer;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Arc, Mutex};

    /// The texts that were reported, which are shared with the end that sends them.
    #[derive(Clone, Default)]
    struct Texts(Arc<Mutex<Vec<String>>>);

    impl Observer for Texts {
        fn see(&self, _: Option<&str>, event: Event) {
            if let Event::Text(text) = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    fn client_of(variables: &[(&str, &str)]) -> (Client, Vec<String>) {
        let seen = Texts::default();
        let client = client(&Surroundings::with(variables), &Reporter::new(seen.clone()));
        let said = seen.0.lock().unwrap().clone();
        (client, said)
    }

    #[test]
    fn host_names_are_file_names() {
        assert_eq!(host_name("pi.lan/../x"), "pi-lan----x");
        assert_eq!(host_name(""), "client");
    }

    #[test]
    fn it_is_made_once_and_kept_for_its_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().to_str().unwrap();
        let (first, said) = client_of(&[("HOME", own)]);
        assert!(first.stays && said.is_empty());
        assert_eq!(first.name.len(), "pi-".len() + 16, "{}", first.name);
        assert!(first.name.starts_with("pi-"));
        // An empty or relative variable does not count.
        assert_eq!(client_of(&[("HOME", own), ("XDG_STATE_HOME", "")]).0, first);
        assert_eq!(client_of(&[("HOME", own), ("XDG_STATE_HOME", "x/y")]).0, first);
        let file = home.path().join(".local/state/rebuild/client");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Another user is another client, and a user with another state is, too.
        let other = tempfile::tempdir().unwrap();
        let other = other.path().to_str().unwrap();
        assert_ne!(client_of(&[("HOME", other)]).0, first);
        assert_ne!(client_of(&[("HOME", own), ("XDG_STATE_HOME", other)]).0, first);
    }

    #[test]
    fn what_is_no_number_is_made_anew() {
        for text in [
            "",
            "0123",
            "0123456789abcdef",
            "../../../../../x\n",
            "0123456789ABCDEF\n",
        ] {
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("rebuild/client");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            let number = kept(&file).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), format!("{number}\n"));
            assert_eq!(kept(&file).unwrap(), number);
        }
    }

    /// Several first runs happen at once.
    #[test]
    fn all_who_make_it_at_once_agree() {
        for _ in 0..50 {
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("rebuild/client");
            let makers: Vec<_> = (0..8)
                .map(|_| {
                    let file = file.clone();
                    std::thread::spawn(move || kept(&file).unwrap())
                })
                .collect();
            let numbers: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
            assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
        }
    }

    /// Whoever leaves has to be known when they come back; and the name that is made for that is kept.
    #[test]
    fn who_leaves_needs_a_name_that_stays() {
        let home = tempfile::tempdir().unwrap();
        let around = Surroundings::with(&[("HOME", home.path().to_str().unwrap())]);
        require(&around).unwrap();
        assert!(place(&around).exists());
        let failure = require(&Surroundings::with(&[("HOME", "/proc/none")])).unwrap_err();
        assert!(
            failure.to_string().contains("/proc/none/.local/state/rebuild/client"),
            "{failure}"
        );
        assert!(failure.remedy().unwrap().contains("XDG_STATE_HOME=DIR"), "{failure}");
    }

    /// A home can be read-only, even for root.
    #[test]
    fn where_it_cannot_be_kept_it_is_this_runs_alone() {
        let (first, said) = client_of(&[("HOME", "/proc/none")]);
        assert!(!first.stays);
        assert!(said[0].contains("/proc/none/.local/state/rebuild/client"), "{said:?}");
        assert_ne!(client_of(&[("HOME", "/proc/none")]).0.name, first.name);
    }
}
