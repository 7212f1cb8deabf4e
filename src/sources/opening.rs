//! Opening files that others may have a hand in: between the look at a path and its opening, a neighbour can put a link to
//! somebody's secret in its place, or a pipe, at which whoever opens it waits for ever.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

/// More is not read of a file that should have a line or two, in bytes.
const SHORT: u64 = 1 << 20;

/// Opens the regular file at a place, on the way to which there is no link: one that is there by now is an error.
pub(super) fn open(place: &Path) -> io::Result<(File, Metadata)> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | WAITS_FOR_NOBODY)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, place, how) {
        Ok(file) => regular(File::from(file)),
        // Kernels before 5.6, and emulators, do not know it; there, the last name at least is no link.
        Err(Errno::ENOSYS | Errno::EPERM) => open_with(place, OFlag::O_NOFOLLOW),
        Err(error) => Err(error.into()),
    }
}

/// All of the regular file at such a place.
///
/// # Errors
/// It cannot be read, or is something else by now.
pub(super) fn read(place: &Path) -> io::Result<Vec<u8>> {
    let (mut file, data) = open(place)?;
    let mut bytes = Vec::with_capacity(usize::try_from(data.len()).unwrap_or(0).min(1 << 24));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The beginning of a regular file to which links may lead.
pub(super) fn read_short(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, SHORT)
}

/// No more than so many bytes of a regular file to which links may lead.
pub(super) fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open_with(path, OFlag::empty())?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A pipe is opened at once, and then refused; a terminal does not become ours.
const WAITS_FOR_NOBODY: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY);

fn open_with(path: &Path, more: OFlag) -> io::Result<(File, Metadata)> {
    // Opening alone can do something to a device.
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
