//! Files as a tar stream.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::mirror::{Entry, FileKind, Identity};
use super::opening;
use crate::progress::{Amount, Counter};

/// Writes what the mirror holds of each path under the path's name without its first `/`, exactly as it was collected.
/// Each file is compared, while it is sent, with the identity that it had when it was collected. If a file changes
/// meanwhile, the stream stays without its end, and the other side keeps nothing of it.
///
/// # Errors
/// Returns an error if a file cannot be read or has changed since it was collected, or if the stream cannot be written.
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
/// Fails as [`write_entries`] does.
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
            // Where modes do not count (view.sh, "discover"), an empty module stands for one whose content is not there
            // yet.
            Entry::Shut(FileKind::File) if name.extension().is_some_and(|extension| extension == "nix") => {
                self.bytes(name, b"{ }\n", NOBODYS, 0)
            }
            // Nix would read nothing from an empty file, so its access time would tell nothing.
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
        // Nobody may write a file that is not known by its digest: a file that may be written is checked against its
        // digest (proof.rs).
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

    /// Writes a file of a store path. Of the file's times, only the time of its content counts: the store may make
    /// other files of the same content links to it, which changes its other times.
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

/// Reads exactly as many bytes of a file as the header has promised, or fails: no bytes are made up.
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

/// Says that a file was replaced if it has become a link; any other error of reading speaks for itself.
fn changed_kind(error: io::Error) -> io::Error {
    let is_link = error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32);
    if is_link { changed() } else { error }
}

fn mode(executable: bool) -> u32 {
    if executable { OWNERS } else { 0o600 }
}

/// Only the owner gets rights, because the files lie on another machine. Of a mode, Nix itself keeps only whether a
/// file can be executed.
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
mod tests;
