//! Directories and sockets of one run, which nobody else may use, whatever the user's umask says.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;
use tempfile::TempDir;

/// A new directory in `place` that only we can enter; it goes with the value.
///
/// # Errors
/// When it cannot be made.
pub fn directory(place: &Path) -> io::Result<TempDir> {
    let directory = tempfile::Builder::new()
        .prefix("rebuild.")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(place)?;
    // A umask may have taken something away.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700))?;
    Ok(directory)
}

/// A socket at a path in a [`directory`]. That is shut to others before there is a socket; the socket's own mode says the
/// same once more.
///
/// # Errors
/// When it cannot be made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether the other end of a connection is a process of this user: what the kernel says (`SO_PEERCRED`), not the peer.
#[must_use]
pub fn is_ours(peer: &UnixStream) -> bool {
    getsockopt(peer, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    /// Only says what it has made: a umask is the whole process's.
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
