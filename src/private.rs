//! Directories and sockets of one run, which no other user may use, whatever the umask says; and numbers that nobody
//! can guess.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// The names of these directories begin with this.
const PREFIX: &str = "rebuild.run.";

/// A directory that is younger than this may not be locked yet.
const YOUNG: Duration = Duration::from_secs(60);

/// The locks of all directories of this process. The kernel frees them when the process ends, in whatever way.
static LOCKS: Mutex<Vec<Flock<File>>> = Mutex::new(Vec::new());

/// Makes a new directory in `place` that only this user can enter; it is removed with the value. First, it removes what
/// killed runs have left in `place`.
///
/// # Errors
/// Fails if the directory cannot be made.
pub fn directory(place: &Path) -> io::Result<TempDir> {
    sweep(place);
    let directory = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(place)
        .map_err(|error| in_words(place, &error))?;
    // A umask may have taken some rights away.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700))?;
    if let Some(lock) = lock(directory.path()) {
        LOCKS.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    }
    Ok(directory)
}

/// Returns the error if a directory cannot be made. The words are for the user, who gets no others.
fn in_words(place: &Path, error: &io::Error) -> io::Error {
    let place = place.display();
    let room = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("; to see what room it has: df -h {place}; df -i {place}")
        }
        _ => String::new(),
    };
    io::Error::new(
        error.kind(),
        format!("this machine cannot make the files of a run in {place}: {error}{room}"),
    )
}

/// Takes a directory's lock, if nobody has it.
fn lock(directory: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(directory).ok()?, FlockArg::LockExclusiveNonblock).ok()
}

/// Removes this user's directories in `place` whose lock no process has any more. If one cannot be removed, that is no
/// reason not to run.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_named = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_named && is_left_behind(&entry) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_left_behind(entry: &fs::DirEntry) -> bool {
    // This looks at the entry itself, not at what a link leads to.
    entry.metadata().is_ok_and(|data| {
        let age = data.modified().ok().and_then(|time| time.elapsed().ok());
        data.is_dir() && data.uid() == geteuid().as_raw() && age.is_some_and(|age| age > YOUNG)
    }) && lock(&entry.path()).is_some()
}

/// Makes a socket at a path in a [`directory`]. The directory is shut to other users before the socket exists; the
/// socket's own mode shuts it once more.
///
/// # Errors
/// Fails if the socket cannot be made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Returns bytes that nobody can guess.
///
/// # Errors
/// Fails if the system has none.
pub fn random<const LENGTH: usize>() -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns whether the other end of a connection is a process of this user. The kernel says so (`SO_PEERCRED`), not the
/// peer.
#[must_use]
pub fn is_ours(peer: &UnixStream) -> bool {
    getsockopt(peer, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// `kill -9` leaves such directories; nothing else is touched.
    #[test]
    fn what_killed_runs_have_left_goes_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let old = |name: &str| {
            let path = place.path().join(name);
            let status = Command::new("touch")
                .args(["-h", "-d", "1 hour ago"])
                .arg(&path)
                .status();
            assert!(status.unwrap().success());
            path
        };
        for name in ["rebuild.run.dead", "rebuild.run.young", "rebuild.other", "run.x"] {
            fs::create_dir_all(place.path().join(name).join("in it")).unwrap();
        }
        fs::create_dir(place.path().join("target")).unwrap();
        std::os::unix::fs::symlink("target", place.path().join("rebuild.run.link")).unwrap();
        fs::write(place.path().join("rebuild.run.file"), "").unwrap();
        let living = directory(place.path()).unwrap();
        let mut stay = vec![living.path().to_owned(), place.path().join("rebuild.run.young")];
        old(living.path().file_name().unwrap().to_str().unwrap());
        for name in [
            "rebuild.other",
            "run.x",
            "rebuild.run.link",
            "rebuild.run.file",
            "target",
        ] {
            stay.push(old(name));
        }
        let dead = old("rebuild.run.dead");
        let another = directory(place.path()).unwrap();
        stay.push(another.path().to_owned());
        assert!(!dead.exists());
        for path in stay {
            assert!(path.symlink_metadata().is_ok(), "{}", path.display());
        }
    }

    /// This only prints what it has made: a umask belongs to the whole process.
    #[test]
    #[ignore = "run by the test below, with other umasks"]
    fn says_the_modes() {
        let directory = directory(Path::new("/tmp")).unwrap();
        let socket = directory.path().join("socket");
        let listener = listen(&socket).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(directory.path()), mode(&socket)), (0o700, 0o600));
        drop(UnixStream::connect(&socket).unwrap());
        assert!(is_ours(&listener.accept().unwrap().0));
    }

    #[test]
    fn shut_whatever_the_umask_is() {
        for umask in ["000", "022", "077", "177", "777"] {
            let own = std::env::current_exe().unwrap();
            let words = [
                "--ignored",
                "--exact",
                "private::tests::says_the_modes",
                "--test-threads=1",
            ];
            let output = Command::new("sh")
                .args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask])
                .arg(own)
                .args(words)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.contains("1 passed"),
                "{umask}: {output:?}"
            );
        }
    }
}
