//! Files as a tar stream.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::mirror::{Entry, FileKind, Identity};
use super::opening;
use crate::progress::Amount;

/// How much of a stream there is so far, for whoever looks on.
#[derive(Debug, Default)]
pub struct Counter {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// So much.
    #[must_use]
    pub fn amount(&self) -> Amount {
        Amount {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn set(&self, amount: Amount) {
        self.files.store(amount.files, Ordering::Relaxed);
        self.bytes.store(amount.bytes, Ordering::Relaxed);
    }
}

/// Writes what is to be there of each path under its name, less the first `/`: exactly what was collected. What was sent of
/// a file is held against what tells its content from another, so of one that changes meanwhile the stream has no end, and
/// nothing of it is kept.
///
/// # Errors
/// A file that cannot be read or has changed since it was collected, or a stream that cannot be written.
pub fn write_entries<'a>(
    entries: impl IntoIterator<Item = (&'a Path, &'a Entry)>,
    to: impl Write,
    counter: &Counter,
) -> Result<Amount> {
    let mut archive = Archive::new(to, counter);
    for (path, entry) in entries {
        let name = path.strip_prefix("/").unwrap_or(path);
        if name != Path::new("") {
            archive
                .add_entry(path, name, entry)
                .with_context(|| format!("cannot send {}", path.display()))?;
        }
    }
    archive.finish()
}

/// Writes whole store paths under their names.
///
/// # Errors
/// As [`write_entries`].
pub fn write_trees(names: &[impl AsRef<OsStr>], store: &Path, to: impl Write, counter: &Counter) -> Result<Amount> {
    let mut archive = Archive::new(to, counter);
    for name in names {
        let path = store.join(name.as_ref());
        archive
            .add_all(&path, Path::new(name.as_ref()))
            .with_context(|| format!("cannot send {}", path.display()))?;
    }
    archive.finish()
}

struct Archive<'a, W: Write> {
    tar: Builder<W>,
    amount: Amount,
    counter: &'a Counter,
}

impl<'a, W: Write> Archive<'a, W> {
    fn new(to: W, counter: &'a Counter) -> Self {
        counter.set(Amount::default());
        Self {
            tar: Builder::new(to),
            amount: Amount::default(),
            counter,
        }
    }

    fn count(&mut self, bytes: u64) {
        self.amount.files += 1;
        self.amount.bytes += bytes;
        self.counter.set(self.amount);
    }

    fn finish(self) -> Result<Amount> {
        let amount = self.amount;
        self.tar.into_inner()?.flush()?;
        Ok(amount)
    }

    fn add_all(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if metadata.is_symlink() {
            return self.link(name, &fs::read_link(path)?, metadata.mtime());
        }
        if metadata.is_file() {
            return self.unchanging(path, name);
        }
        self.empty(name, EntryType::Directory, OWNERS, metadata.mtime())?;
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.add_all(&entry.path(), &name.join(entry.file_name()))?;
        }
        Ok(())
    }

    fn add_entry(&mut self, path: &Path, name: &Path, entry: &Entry) -> io::Result<()> {
        match entry {
            Entry::Open { mtime } => self.empty(name, EntryType::Directory, OWNERS, mtime.unwrap_or(0)),
            Entry::Link { target, mtime } => self.link(name, target, mtime.unwrap_or(0)),
            Entry::Shut(FileKind::Directory) => self.empty(name, EntryType::Directory, NOBODYS, 0),
            Entry::Shut(FileKind::Other) => self.empty(name, EntryType::Fifo, NOBODYS, 0),
            // Where modes do not count (view.sh, "discover"), a module that is not there yet is an empty one.
            Entry::Shut(FileKind::File) if name.extension().is_some_and(|extension| extension == "nix") => {
                self.bytes(name, b"{ }\n", NOBODYS, 0)
            }
            // Of an empty one nothing would be read, and so nothing be told by its access time.
            Entry::Shut(FileKind::File) => self.bytes(name, b"\n", NOBODYS, 0),
            Entry::Content {
                executable,
                mtime,
                identity: Identity::Made(made),
                ..
            } => {
                let bytes = made.bytes()?;
                self.count(bytes.len() as u64);
                self.bytes(name, bytes, mode(*executable), *mtime)
            }
            Entry::Content {
                executable,
                mtime,
                identity,
            } => self.content(path, name, *executable, *mtime, identity),
        }
    }

    fn empty(&mut self, name: &Path, kind: EntryType, mode: u32, mtime: i64) -> io::Result<()> {
        let mut header = header(kind, mode, mtime, 0);
        self.tar.append_data(&mut header, name, io::empty())
    }

    fn bytes(&mut self, name: &Path, bytes: &[u8], mode: u32, mtime: i64) -> io::Result<()> {
        let mut header = header(EntryType::Regular, mode, mtime, bytes.len() as u64);
        self.tar.append_data(&mut header, name, bytes)
    }

    fn link(&mut self, name: &Path, target: &Path, mtime: i64) -> io::Result<()> {
        let mut header = header(EntryType::Symlink, OWNERS, mtime, 0);
        self.tar.append_link(&mut header, name, target)
    }

    fn content(
        &mut self,
        path: &Path,
        name: &Path,
        executable: bool,
        mtime: i64,
        identity: &Identity,
    ) -> io::Result<()> {
        let (file, before) = opening::open(path).map_err(changed_kind)?;
        let is_by_digest = matches!(identity, Identity::Digest(_));
        let is_same = |data: &Metadata| is_by_digest || Identity::of_metadata(data) == *identity;
        if !is_same(&before) {
            return Err(changed());
        }
        let mut exactly = Exactly {
            file: &file,
            left: before.len(),
            digest: is_by_digest.then(Sha256::new),
        };
        self.count(before.len());
        // Nobody has leave to write what we do not know by its digest: what has leave is held against it (proof.rs).
        let mode = if is_by_digest {
            mode(executable)
        } else {
            mode(executable) & 0o500
        };
        let mut header = header(EntryType::Regular, mode, mtime, before.len());
        self.tar.append_data(&mut header, name, &mut exactly)?;
        let sent = exactly.digest.map(|digest| Identity::Digest(digest.finalize().into()));
        if sent.is_none_or(|sent| sent == *identity) && is_same(&file.metadata()?) {
            return Ok(());
        }
        Err(changed())
    }

    /// A file of a store path. Of its times, only that of its content does not change: others of the same content may be made
    /// links to it.
    fn unchanging(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        let (file, before) = opening::open(path).map_err(changed_kind)?;
        let mode = mode(before.permissions().mode() & 0o100 != 0);
        let mut exactly = Exactly {
            file: &file,
            left: before.len(),
            digest: None,
        };
        self.count(before.len());
        let mut header = header(EntryType::Regular, mode, before.mtime(), before.len());
        self.tar.append_data(&mut header, name, &mut exactly)?;
        let after = file.metadata()?;
        let of_content = |data: &Metadata| (data.len(), data.mtime(), data.mtime_nsec());
        if of_content(&before) == of_content(&after) {
            Ok(())
        } else {
            Err(changed())
        }
    }
}

/// So many bytes of a file as the header has promised, or an error: none are made up.
struct Exactly<F> {
    file: F,
    left: u64,
    digest: Option<Sha256>,
}

impl<F: Read> Read for Exactly<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(changed());
        }
        self.left -= read as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(&buffer[..read]);
        }
        Ok(read)
    }
}

fn changed() -> io::Error {
    io::Error::other("it has changed while it was read: run the same command again")
}

/// A file that has become a link was replaced; what cannot be read any more says so itself.
fn changed_kind(error: io::Error) -> io::Error {
    let is_link = error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32);
    if is_link { changed() } else { error }
}

fn mode(executable: bool) -> u32 {
    if executable { OWNERS } else { 0o600 }
}

/// Owner's rights only, for the files lie on another machine; of the mode, Nix itself keeps no more than whether a file
/// can be executed.
const OWNERS: u32 = 0o700;
const NOBODYS: u32 = 0;

fn header(kind: EntryType, mode: u32, mtime: i64, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(mtime).unwrap_or(0));
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests {
    use super::super::mirror::each;
    use super::*;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    fn unpack(stream: &[u8]) -> tempfile::TempDir {
        let target = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar")
            .args(["-xf", "-", "-C"])
            .arg(target.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(stream).unwrap();
        assert!(tar.wait().unwrap().success());
        target
    }

    /// Against the machine's own tar: odd names, long names, modes, links, empty directories.
    #[test]
    fn files_arrive_as_they_were() {
        let source = tempfile::tempdir().unwrap();
        let tree = source.path().join("tree");
        let long = "d".repeat(120);
        fs::create_dir_all(tree.join("empty")).unwrap();
        fs::create_dir_all(tree.join(&long)).unwrap();
        for name in ["two words", "-rf", "line\nbreak", "ünïcode", &format!("{long}/{long}")] {
            fs::write(tree.join(name), name).unwrap();
        }
        fs::write(tree.join("program"), "x").unwrap();
        fs::set_permissions(tree.join("program"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(tree.join("-rf"), fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("nowhere/at all", tree.join("link")).unwrap();

        let mut stream = Vec::new();
        let counter = Counter::default();
        let amount = write_trees(&["tree"], source.path(), &mut stream, &counter).unwrap();
        assert_eq!((amount.files, counter.amount()), (6, amount));
        let target = unpack(&stream);
        let target = target.path().join("tree");
        for name in ["two words", "-rf", "line\nbreak", "ünïcode", &format!("{long}/{long}")] {
            assert_eq!(fs::read_to_string(target.join(name)).unwrap(), name);
        }
        let mode = |name: &str| fs::metadata(target.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("program"), mode("-rf"), mode("empty")), (0o700, 0o600, 0o700));
        assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("nowhere/at all"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = write_entries(
            [(
                Path::new("/nonexistent/x"),
                &Entry::Content {
                    executable: false,
                    mtime: 0,
                    identity: Identity::of_bytes(b""),
                },
            )],
            Vec::new(),
            &Counter::default(),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "cannot send /nonexistent/x");
    }

    /// Writes away what it is given, and at so many bytes does something else.
    struct Meanwhile<F: FnMut()> {
        left: usize,
        event: F,
    }

    impl<F: FnMut()> Write for Meanwhile<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left > 0 && self.left <= bytes.len() {
                (self.event)();
            }
            self.left = self.left.saturating_sub(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LARGE: usize = 5 << 20;

    fn known(path: &Path, by_stat: bool) -> Vec<(PathBuf, Entry)> {
        let data = fs::metadata(path).unwrap();
        let identity = if by_stat {
            Identity::of_metadata(&data)
        } else {
            Identity::of_file(path, &data).unwrap()
        };
        let content = Entry::Content {
            executable: false,
            mtime: data.mtime(),
            identity,
        };
        vec![(path.to_owned(), content)]
    }

    /// Sends a file of so many bytes, which that happens to when so many bytes have gone.
    fn send(size: usize, by_stat: bool, when: usize, event: impl Fn(&Path)) -> Result<Amount> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, vec![b'a'; size]).unwrap();
        let entries = known(&path, by_stat);
        if when == 0 {
            event(&path);
        }
        let to = Meanwhile {
            left: when,
            event: || event(&path),
        };
        let result = write_entries(each(&entries), to, &Counter::default());
        if let Err(error) = &result {
            assert_eq!(error.to_string(), format!("cannot send {}", path.display()));
        }
        result
    }

    fn cut(path: &Path) {
        fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(10)
            .unwrap();
    }

    fn rewrite(path: &Path) {
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all(&vec![b'b'; usize::try_from(file.metadata().unwrap().len()).unwrap()])
            .unwrap();
    }

    fn lengthen(path: &Path) {
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"more").unwrap();
    }

    fn rewrite_and_set_the_time_back(path: &Path) {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        await_next_time(path);
        rewrite(path);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    /// Until the clock that the kernel dates changes by has gone on.
    fn await_next_time(path: &Path) {
        let probe = path.with_extension("probe");
        let time = || {
            fs::write(&probe, "x").unwrap();
            let data = fs::metadata(&probe).unwrap();
            (data.ctime(), data.ctime_nsec())
        };
        let first = time();
        while time() == first {}
    }

    fn become_a_pipe(path: &Path) {
        fs::remove_file(path).unwrap();
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }

    fn become_a_link(path: &Path) {
        fs::rename(path, path.with_extension("old")).unwrap();
        std::os::unix::fs::symlink(path.with_extension("old"), path).unwrap();
    }

    fn become_a_directory(path: &Path) {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }

    fn replace(path: &Path) {
        let other = path.with_extension("new");
        fs::write(&other, vec![b'b'; LARGE]).unwrap();
        fs::rename(other, path).unwrap();
    }

    fn vanish(path: &Path) {
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_changes_before_or_while_it_is_sent_is_never_half_of_each() {
        let changes: [fn(&Path); 4] = [cut, rewrite, lengthen, rewrite_and_set_the_time_back];
        for (number, change) in changes.into_iter().enumerate() {
            for (size, by_stat) in [(LARGE, true), (LARGE, false), (1000, false), (1000, true)] {
                assert!(send(size, by_stat, 0, change).is_err(), "{number} {size} {by_stat}");
            }
            // What is added after all that was promised has been read leaves what was sent as it was.
            let is_same = number == 2;
            assert_eq!(send(LARGE, false, 1 << 20, change).is_ok(), is_same, "{number}");
        }
        for change in [cut as fn(&Path), lengthen, rewrite_and_set_the_time_back] {
            assert!(send(LARGE, true, 1 << 20, change).is_err());
        }
        assert!(send(LARGE, true, 0, |_| ()).is_ok() && send(LARGE, false, 1 << 20, |_| ()).is_ok());
    }

    #[test]
    fn what_is_no_file_any_more_is_not_sent_and_not_waited_for() {
        for change in [
            become_a_pipe as fn(&Path),
            become_a_link,
            become_a_directory,
            replace,
            vanish,
        ] {
            for by_stat in [true, false] {
                assert!(send(LARGE, by_stat, 0, change).is_err());
            }
        }
        // What was opened stays whole under no name, too.
        for change in [replace as fn(&Path), vanish] {
            assert!(send(LARGE, false, 1 << 20, change).is_ok());
        }
    }

    #[test]
    fn a_large_file_says_what_to_do_and_has_no_zeros_in_it() {
        let error = send(LARGE, true, 1 << 20, cut).unwrap_err();
        let shown = format!("{error:#}");
        assert!(
            shown.ends_with("it has changed while it was read: run the same command again"),
            "{shown}"
        );
    }

    #[test]
    fn of_a_store_path_that_is_cut_nothing_is_made_up() {
        let store = tempfile::tempdir().unwrap();
        let path = store.path().join("tree");
        fs::write(&path, vec![b'a'; LARGE]).unwrap();
        let to = Meanwhile {
            left: 1 << 20,
            event: || cut(&path),
        };
        assert!(write_trees(&["tree"], store.path(), to, &Counter::default()).is_err());
    }

    /// Names and links are of one moment, that of the collection, as is what is not there: whatever comes after, the
    /// evaluation sees nothing half.
    #[test]
    fn names_and_links_are_as_they_were_collected() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        std::os::unix::fs::symlink("before", path("link")).unwrap();
        fs::write(path("gone"), "x").unwrap();
        let link = Entry::Link {
            target: "before".into(),
            mtime: Some(1),
        };
        let entries = [
            (place.path().to_owned(), Entry::Open { mtime: Some(1) }),
            (path("gone"), Entry::Shut(FileKind::File)),
            (path("link"), link),
        ];
        fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink("after", path("link")).unwrap();
        fs::remove_file(path("gone")).unwrap();
        fs::write(path("new"), "x").unwrap();
        let mut stream = Vec::new();
        write_entries(each(&entries), &mut stream, &Counter::default()).unwrap();
        let target = unpack(&stream);
        let there = |name: &str| target.path().join(path(name).strip_prefix("/").unwrap());
        assert_eq!(fs::read_link(there("link")).unwrap(), Path::new("before"));
        assert!(there("gone").exists() && !there("new").exists());
    }
}
