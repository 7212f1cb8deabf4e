//! Where the logs are: `logs/NUMBER.log` in this program's directory for state. A number and not the time says which is
//! the newest, because a Pi without a clock says 1970.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::directory;
use crate::harmless;
use crate::surroundings::{Directory, Surroundings};

/// The number of runs whose logs are kept.
const MOST: usize = 10;

/// How often another run may be quicker to take the next number.
const TRIES: usize = 100;

/// Returns the directory of this user's logs.
pub(super) fn directory(around: &Surroundings) -> PathBuf {
    around.own_directory(Directory::State).join("rebuild/logs")
}

/// Makes the file of this run, which is locked as long as it is open, and removes the oldest logs.
///
/// # Errors
/// Fails if it cannot be made, or if the directory is another user's.
pub(super) fn new_file(directory: &Path) -> io::Result<(PathBuf, Flock<File>)> {
    if directory.symlink_metadata().is_err() {
        check_above(directory)?;
        directory::make_private(directory)?;
    }
    let held = own(directory)?;
    // Whatever becomes of the directory's name from now on, this is the directory.
    let inside = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    let mut made = None;
    for _ in 0..TRIES {
        let number = numbers(&inside)?.last().copied().unwrap_or_default();
        let name = format!("{}.log", number.checked_add(1).ok_or(io::ErrorKind::StorageFull)?);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(inside.join(&name));
        match file {
            Ok(file) => {
                made = Some((name, file));
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let (name, file) = made.ok_or(io::ErrorKind::AlreadyExists)?;
    // A umask may have taken some rights away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)?;
    prune(&inside);
    Ok((directory.join(name), file))
}

/// Checks that the directory would be made where this user's own files are, or root's: directories of root's in another
/// user's home would be in that user's way.
fn check_above(directory: &Path) -> io::Result<()> {
    let above = directory
        .ancestors()
        .skip(1)
        .find_map(|path| Some((path, fs::metadata(path).ok()?)));
    match above {
        Some((path, data)) if ![0, nix::unistd::geteuid().as_raw()].contains(&data.uid()) => Err(is_anothers(path)),
        _ => Ok(()),
    }
}

fn is_anothers(path: &Path) -> io::Error {
    let message = format!("{} is another user's", harmless::name(&path.to_string_lossy()));
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

/// Opens the directory, if it is this user's own, and shuts it to all others. sudo may leave another user's
/// `XDG_STATE_HOME` in place, and root must not write where that user may put links.
fn own(directory: &Path) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let held = File::options().read(true).custom_flags(flags.bits()).open(directory)?;
    let data = held.metadata()?;
    if data.uid() != nix::unistd::geteuid().as_raw() {
        return Err(is_anothers(directory));
    }
    if data.mode() & 0o777 != 0o700 {
        held.set_permissions(Permissions::from_mode(0o700))?;
    }
    Ok(held)
}

/// Returns the numbers of all logs, the oldest first.
fn numbers(inside: &Path) -> io::Result<Vec<u64>> {
    let names = fs::read_dir(inside)?.flatten().map(|entry| entry.file_name());
    let mut numbers: Vec<u64> = names.filter_map(|name| number(name.to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".log")?.parse().ok()?;
    (format!("{number}.log") == name).then_some(number)
}

/// Removes the oldest logs, but none whose run goes on. If one cannot be removed, that is no reason not to run.
fn prune(inside: &Path) {
    let numbers = numbers(inside).unwrap_or_default();
    for number in &numbers[..numbers.len().saturating_sub(MOST)] {
        let path = inside.join(format!("{number}.log"));
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags.bits()).open(&path);
        let is_over = file.is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok());
        if is_over {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let logs = place.path().join("state/rebuild/logs");
        (place, logs)
    }

    #[test]
    fn the_last_ten_stay_and_those_of_runs_that_go_on() {
        let (_place, logs) = place();
        let (path, running) = new_file(&logs).unwrap();
        assert_eq!(path, logs.join("1.log"));
        for other in ["notes.txt", "007.log", "x.log"] {
            fs::write(logs.join(other), "").unwrap();
        }
        for number in 2..=15 {
            assert_eq!(new_file(&logs).unwrap().0, logs.join(format!("{number}.log")));
        }
        let expected: Vec<u64> = std::iter::once(1).chain(6..=15).collect();
        assert_eq!(numbers(&logs).unwrap(), expected);
        drop(running);
        new_file(&logs).unwrap();
        assert_eq!(numbers(&logs).unwrap(), (7..=16).collect::<Vec<u64>>());
        assert_eq!(fs::read_dir(&logs).unwrap().count(), 13);
    }

    #[test]
    fn nobody_else_may_read_them() {
        let (_place, logs) = place();
        fs::create_dir_all(&logs).unwrap();
        fs::set_permissions(&logs, Permissions::from_mode(0o777)).unwrap();
        let (path, _file) = new_file(&logs).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&logs), mode(&path)), (0o700, 0o600));
    }

    #[test]
    fn several_runs_at_once_have_files_of_their_own() {
        let (_place, logs) = place();
        let files: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| new_file(&logs).unwrap())).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let mut paths: Vec<&PathBuf> = files.iter().map(|(path, _)| path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!((paths.len(), numbers(&logs).unwrap()), (8, (1..=8).collect()));
    }

    #[test]
    fn a_directory_that_is_no_own_one_gets_none() {
        let (place, logs) = place();
        let elsewhere = place.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::create_dir_all(logs.parent().unwrap()).unwrap();
        symlink(&elsewhere, &logs).unwrap();
        assert!(new_file(&logs).is_err());
        fs::remove_file(&logs).unwrap();
        fs::write(&logs, "").unwrap();
        assert!(new_file(&logs).is_err());
        fs::remove_file(&logs).unwrap();
        if nix::unistd::geteuid().is_root() {
            fs::create_dir(&logs).unwrap();
            std::os::unix::fs::chown(&logs, Some(12345), None).unwrap();
            assert!(new_file(&logs).is_err());
            // sudo may leave XDG_STATE_HOME in place.
            let home = place.path().join("home");
            fs::create_dir(&home).unwrap();
            std::os::unix::fs::chown(&home, Some(12345), None).unwrap();
            assert!(new_file(&home.join(".local/state/rebuild/logs")).is_err());
            assert_eq!(fs::read_dir(home).unwrap().count(), 0);
        }
        assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
    }
}
