//! The only way in which this program writes a file that stays: beside its place, and then under its name. So the file
//! is there whole or as it was, whatever ends the writing: a full disk, a signal, a power cut.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, fchown};
use tempfile::NamedTempFile;

/// Linux follows this many links to a file, too.
const MOST_LINKS: usize = 40;

/// Replaces one of the user's files, or makes it. If it is a link, the file that the link leads to is replaced; mode
/// and owner stay as they are. The file is on the disk when this returns.
///
/// # Errors
/// Fails if the file cannot be written, or if nothing can be made beside it: then it is as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = end_of_links(path)?;
    let former = former(&path)?;
    // The file is made as by any program: the umask takes away what it does.
    let mut file = beside(&path, 0o666)?;
    if let Some(former) = former {
        take_after(file.as_file(), &former)?;
    }
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    // Not every file system can do that for a directory.
    let _ = File::open(directory_of(&path)).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Replaces or makes a file of this program's own, which nobody else needs to read, and whose loss costs only time.
///
/// # Errors
/// Fails if it cannot be written.
pub fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = beside(path, 0o600)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Makes a file of this program's own, which nobody else needs to read, unless there is one by now. Returns whether it
/// has made it: if two make the same file at once, only one of them does. The file is on the disk when this returns.
///
/// # Errors
/// Fails if it cannot be written.
pub fn make(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = beside(path, 0o600)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

fn beside(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".rebuild.")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory_of(path))
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| *parent != Path::new(""))
        .unwrap_or(Path::new("."))
}

/// Returns where links lead, whether anything exists there or not.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

/// Returns what is there now. A user who may not write into the file does not get to replace it either, even if the
/// directory's mode would let them.
fn former(path: &Path) -> io::Result<Option<Metadata>> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path);
    let data = match opened {
        Ok(file) => file.metadata()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if data.is_file() {
        Ok(Some(data))
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

/// Gives a file another file's mode and owner. A process that is not root cannot give it away; then the group of the
/// process gets no more rights than everybody.
fn take_after(file: &File, former: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    let mut mode = former.mode() & 0o777;
    if (own.uid(), own.gid()) != (former.uid(), former.gid()) {
        let (owner, group) = (Uid::from_raw(former.uid()), Gid::from_raw(former.gid()));
        let is_given = fchown(file, Some(owner), Some(group)).is_ok() || fchown(file, None, Some(group)).is_ok();
        if !is_given {
            mode &= 0o707 | ((mode & 0o007) << 3);
        }
    }
    file.set_permissions(Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};
    use std::process::{Command, Output};

    fn place() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let file = place.path().join("flake.lock");
        fs::write(&file, "old").unwrap();
        (place, file)
    }

    fn names(place: &Path) -> usize {
        fs::read_dir(place).unwrap().count()
    }

    #[test]
    fn mode_and_owner_stay() {
        let (place, file) = place();
        for mode in [0o640, 0o400, 0o755] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let is_root = nix::unistd::geteuid().is_root();
            if is_root {
                chown(&file, Some(1234), Some(5678)).unwrap();
            } else if mode & 0o200 == 0 {
                assert!(replace(&file, b"new").is_err());
                continue;
            }
            replace(&file, b"new").unwrap();
            let data = fs::metadata(&file).unwrap();
            assert_eq!(data.mode() & 0o7777, mode);
            assert!(!is_root || (data.uid(), data.gid()) == (1234, 5678));
        }
        assert_eq!((fs::read(&file).unwrap(), names(place.path())), (b"new".to_vec(), 1));
        let new = place.path().join("new");
        replace(&new, b"1").unwrap();
        let made = place.path().join("made");
        fs::write(&made, "1").unwrap();
        assert_eq!(fs::metadata(new).unwrap().mode(), fs::metadata(made).unwrap().mode());
    }

    #[test]
    fn links_stay_links() {
        let (place, file) = place();
        let link = place.path().join("link");
        symlink("flake.lock", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let dangling = place.path().join("dangling");
        symlink("made", &dangling).unwrap();
        replace(&dangling, b"new").unwrap();
        assert_eq!(fs::read(place.path().join("made")).unwrap(), b"new");
        symlink("circle", place.path().join("circle")).unwrap();
        assert!(replace(&place.path().join("circle"), b"new").is_err());
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let (place, _) = place();
        assert!(replace(Path::new("/dev/null"), b"new").is_err());
        assert!(replace(place.path(), b"new").is_err());
        let pipe = place.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(replace(&pipe, b"new").is_err());
        assert!(!fs::metadata(&pipe).unwrap().is_file());
    }

    /// This only replaces the file: the limit on room belongs to the whole process.
    #[test]
    #[ignore = "run by the tests below, without room"]
    fn replaces_the_file_that_is_named() {
        let path = PathBuf::from(std::env::var_os("FILE").unwrap());
        replace(&path, &vec![b'x'; 100_000]).unwrap();
    }

    fn replaced(file: &Path, before: &str) -> Output {
        let own = std::env::current_exe().unwrap();
        let words = [
            "--ignored",
            "--exact",
            "written::tests::replaces_the_file_that_is_named",
        ];
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before}; exec \"$@\""), "sh"])
            .arg(own)
            .args(words);
        command.env("FILE", file).output().unwrap()
    }

    #[test]
    fn without_room_the_old_file_stays() {
        let (place, file) = place();
        let output = replaced(&file, "trap '' XFSZ; ulimit -f 16");
        assert!(!output.status.success(), "{output:?}");
        assert_eq!((fs::read(&file).unwrap(), names(place.path())), (b"old".to_vec(), 1));
        // A signal comes in the middle of it.
        let output = replaced(&file, "ulimit -f 16");
        assert!(!output.status.success(), "{output:?}");
        assert_eq!(fs::read(&file).unwrap(), b"old");
        let output = replaced(&file, ":");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::read(&file).unwrap().len(), 100_000);
    }
}
