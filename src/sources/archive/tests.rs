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

/// Unpacks the stream with the machine's own tar: odd names, long names, modes, links, empty directories.
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

/// Passes on what is written to it, and calls a function when a given number of bytes has been written.
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

/// Sends a file of `size` bytes; `event` happens to the file when `when` bytes have been sent.
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

/// Waits until the kernel's clock, by which it dates changes, has moved on.
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
        // What is appended to the file after all the promised bytes have been read does not change what was sent.
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
    // A file that was opened stays whole even if it has no name any more.
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

/// Names, links and what is absent are all of one moment, the moment of the collection: whatever changes later, the
/// evaluation never sees half of a change.
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
