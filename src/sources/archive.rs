//! Files as a tar stream.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

use super::collect::Item;

/// How much of a stream there was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files and links.
    pub files: u64,
    /// Their contents' bytes.
    pub bytes: u64,
}

/// Writes collected files under their absolute paths, less the first `/`.
///
/// # Errors
/// A file that cannot be read, or a stream that cannot be written.
pub fn write_items(items: &[(PathBuf, Item)], to: impl Write) -> Result<Amount> {
    let mut archive = Archive::new(to);
    for (path, item) in items {
        let name = path.strip_prefix("/").unwrap_or(path);
        archive
            .add(path, name, item)
            .with_context(|| format!("cannot send {}", path.display()))?;
    }
    archive.finish()
}

/// Writes whole store paths under their names.
///
/// # Errors
/// As [`write_items`].
pub fn write_trees(names: &[impl AsRef<OsStr>], store: &Path, to: impl Write) -> Result<Amount> {
    let mut archive = Archive::new(to);
    for name in names {
        let path = store.join(name.as_ref());
        archive
            .add_all(&path, Path::new(name.as_ref()))
            .with_context(|| format!("cannot send {}", path.display()))?;
    }
    archive.finish()
}

struct Archive<W: Write> {
    tar: Builder<W>,
    amount: Amount,
}

impl<W: Write> Archive<W> {
    fn new(to: W) -> Self {
        Self {
            tar: Builder::new(to),
            amount: Amount::default(),
        }
    }

    fn finish(self) -> Result<Amount> {
        let amount = self.amount;
        self.tar.into_inner()?.flush()?;
        Ok(amount)
    }

    fn add_all(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if metadata.is_symlink() {
            return self.add(path, name, &Item::Link(fs::read_link(path)?));
        }
        if metadata.is_file() {
            return self.add(path, name, &Item::File);
        }
        self.add(path, name, &Item::Directory)?;
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.add_all(&entry.path(), &name.join(entry.file_name()))?;
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, name: &Path, item: &Item) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(0o700);
        match item {
            Item::Directory => {
                header.set_entry_type(EntryType::Directory);
                header.set_size(0);
                self.tar.append_data(&mut header, name, io::empty())
            }
            Item::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                self.amount.files += 1;
                self.tar.append_link(&mut header, name, target)
            }
            Item::File => {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                // Owner's rights only, for the files lie on another machine; of the mode, Nix itself keeps no more than
                // whether a file can be executed.
                if metadata.permissions().mode() & 0o100 == 0 {
                    header.set_mode(0o600);
                }
                header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
                header.set_size(metadata.len());
                self.amount.files += 1;
                self.amount.bytes += metadata.len();
                // The header has promised so many bytes: a file that changes meanwhile is cut or filled up.
                let exactly = file.chain(io::repeat(0)).take(metadata.len());
                self.tar.append_data(&mut header, name, exactly)
            }
        }
    }
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
        let amount = write_trees(&["tree"], source.path(), &mut stream).unwrap();
        assert_eq!(amount.files, 7);
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
        let error = write_items(&[("/nonexistent/x".into(), Item::File)], Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "cannot send /nonexistent/x");
    }
}
