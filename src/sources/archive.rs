//! Files as a tar stream.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

use super::mirror::{Entry, Identity, Kind};

/// How much of a stream there was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files with their content.
    pub files: u64,
    /// Their contents' bytes.
    pub bytes: u64,
}

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

/// Writes what is to be there of each path under its name, less the first `/`.
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
/// As [`write_items`].
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
            return self.file(path, name, [0o600, OWNERS]);
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
            Entry::Shut(Kind::Directory) => self.empty(name, EntryType::Directory, NOBODYS, 0),
            Entry::Shut(Kind::Other) => self.empty(name, EntryType::Fifo, NOBODYS, 0),
            // Where modes do not count (view.sh, "discover"), a module that is not there yet is an empty one.
            Entry::Shut(Kind::File) if name.extension().is_some_and(|extension| extension == "nix") => {
                self.bytes(name, b"{ }\n", NOBODYS, 0)
            }
            // Of an empty one nothing would be read, and so nothing be told by its access time.
            Entry::Shut(Kind::File) => self.bytes(name, b"\n", NOBODYS, 0),
            Entry::Content {
                executable,
                mtime,
                identity: identity @ Identity::Digest(_),
            } => {
                let bytes = fs::read(path)?;
                if Identity::of_bytes(&bytes) != *identity {
                    return Err(io::Error::other(
                        "it has changed while it was read: run the same command again",
                    ));
                }
                self.count(bytes.len() as u64);
                self.bytes(name, &bytes, if *executable { OWNERS } else { 0o600 }, *mtime)
            }
            // Nobody has leave to write what we do not know by its digest: what has leave is held against it (proof.rs).
            Entry::Content { .. } => self.file(path, name, [0o400, 0o500]),
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

    /// The modes are those of a file, and of one that may be executed.
    fn file(&mut self, path: &Path, name: &Path, modes: [u32; 2]) -> io::Result<()> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let mode = modes[usize::from(executable)];
        let mut header = header(EntryType::Regular, mode, metadata.mtime(), metadata.len());
        self.count(metadata.len());
        // The header has promised so many bytes: a file that changes meanwhile is cut or filled up.
        let exactly = file.chain(io::repeat(0)).take(metadata.len());
        self.tar.append_data(&mut header, name, exactly)
    }
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
    use super::*;
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
}
