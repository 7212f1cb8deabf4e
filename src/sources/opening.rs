//! Opening files that other users may change. Between the look at a path and its opening, another user can replace the
//! file by a link to somebody's secret, or by a pipe, whose opening would wait for ever.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

/// No more than this many bytes are read of a file that should have a line or two.
const SHORT: u64 = 1 << 20;

/// Opens the regular file at a place. No link is expected on the way to it: a link that is there by now is an error.
pub(super) fn open(place: &Path) -> io::Result<(File, Metadata)> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | WAITS_FOR_NOBODY)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, place, how) {
        Ok(file) => regular(File::from(file)),
        // Kernels before 5.6, and emulators, do not know this call. Then only the last name is checked not to be a
        // link.
        Err(Errno::ENOSYS | Errno::EPERM) => open_with(place, OFlag::O_NOFOLLOW),
        Err(error) => Err(error.into()),
    }
}

/// Reads all of the regular file at such a place.
///
/// # Errors
/// Returns an error if it cannot be read, or is something else by now.
pub(super) fn read(place: &Path) -> io::Result<Vec<u8>> {
    let (mut file, data) = open(place)?;
    let mut bytes = Vec::with_capacity(usize::try_from(data.len()).unwrap_or(0).min(1 << 24));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the beginning of a regular file; links may lead to it.
pub(super) fn read_short(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, SHORT)
}

/// Reads at most `most` bytes of a regular file; links may lead to it.
pub(super) fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open_with(path, OFlag::empty())?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// With these flags a pipe is opened at once, and then refused, and a terminal does not become this process's own.
const WAITS_FOR_NOBODY: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY);

fn open_with(path: &Path, more: OFlag) -> io::Result<(File, Metadata)> {
    // The mere opening of a device can have an effect.
    if !fs::metadata(path)?.is_file() {
        return Err(no_file());
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((WAITS_FOR_NOBODY | more).bits());
    regular(options.open(path)?)
}

fn regular(file: File) -> io::Result<(File, Metadata)> {
    let data = file.metadata()?;
    if data.is_file() {
        Ok((file, data))
    } else {
        Err(no_file())
    }
}

fn no_file() -> io::Error {
    io::Error::other("it is no regular file any more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = fs::canonicalize(place.path()).unwrap();
        fs::write(path.join("file"), "x").unwrap();
        (place, path)
    }

    #[test]
    fn neither_a_link_nor_one_on_the_way_is_followed() {
        let (_place, path) = place();
        assert_eq!(read(&path.join("file")).unwrap(), b"x");
        symlink("file", path.join("link")).unwrap();
        symlink(".", path.join("way")).unwrap();
        assert!(read(&path.join("link")).is_err());
        assert!(read(&path.join("way/file")).is_err());
        assert_eq!(read_short(&path.join("way/link")).unwrap(), b"x");
        assert!(open_with(&path.join("link"), OFlag::O_NOFOLLOW).is_err());
    }

    #[test]
    fn nobody_waits_at_a_pipe_or_reads_a_device() {
        let (_place, path) = place();
        let pipe = path.join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", path.join("endless")).unwrap();
        assert!(read(&pipe).is_err());
        assert!(read_short(&pipe).is_err());
        assert!(read(Path::new("/dev/zero")).is_err());
        assert!(read_short(&path.join("endless")).is_err());
        assert!(read(&path).is_err());
    }
}
