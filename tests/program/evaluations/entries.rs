//! The client's files as they come, whatever they are and are called, and what becomes of those that are gone; a link that
//! breaks on the way.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::{BUILD, Builder};

/// What is there below a directory, a line each: name, kind, whether it may be run, where it leads and what is in it.
fn listing(directory: &Path) -> String {
    let list = r"find . -mindepth 1 -printf '%P|%y|%l|' \( -type f -perm -100 -printf x -o -printf - \) \
        \( -type f -exec sha256sum {} \; -o -printf '\n' \) | LC_ALL=C sort";
    let output = Command::new("sh")
        .args(["-c", list])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn evaluates_all(builder: &Builder) -> Vec<String> {
    let evaluated = builder.evaluates();
    let (here, there) = (
        listing(&builder.path("client/nixos/d")),
        listing(&builder.mirrored("client/nixos/d")),
    );
    assert_eq!(there, here);
    assert_eq!(evaluated.events("damaged"), [""; 0]);
    evaluated.rounds().into_iter().map(str::to_owned).collect()
}

/// Every kind of entry that there is, by every kind of name; and then each becomes something else, or is gone.
#[test]
fn every_kind_of_entry_comes_and_goes() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.path ./d;");
    let make = "mkdir -p client/nixos/d/empty client/nixos/d/-n client/nixos/d/sub/sub; cd client/nixos/d
        echo a >file; echo b >'two words'; echo c >\"$(printf 'new\\nline')\"; echo d >-rf; echo e >--; echo f >-n/--help
        echo g >\"$(printf 'octets-\\377\\200')\"; printf 'no end' >'*'; : >nothing; head -c 70000 /dev/zero >zeros
        echo h >program; chmod 755 program; echo i >'a\\b'; echo j >'@rebuild finished'; echo k >sub/sub/deep
        ln -s file link; ln -s ../motd up; ln -s nowhere dangling; ln -s . loop; ln -s 'two words' ' -> '; ln -s sub to-sub";
    builder.sh(make);
    assert_eq!(evaluates_all(&builder), ["none", "base", "base"]);

    // One of each goes, and others become something else: a directory a file, a file a link, and the other way.
    let change =
        "cd client/nixos/d; rm 'two words' -- -rf \"$(printf 'octets-\\377\\200')\" \"$(printf 'new\\nline')\" dangling
        rm -r empty sub; echo was a directory >sub; rm file; ln -s program file; rm link; mkdir link; echo x >link/in
        chmod 644 program; rm zeros; mkdir zeros; echo more >>./--; rm to-sub; ln -s nothing to-sub";
    builder.sh(change);
    assert_eq!(evaluates_all(&builder)[0], "base");
    // All of it.
    builder.sh("rm -r client/nixos/d; mkdir client/nixos/d; echo last >client/nixos/d/last");
    assert_eq!(evaluates_all(&builder)[0], "base");
    assert!(
        builder
            .mirrored("client/nixos/d")
            .join(OsStr::from_bytes(b"last"))
            .exists()
    );
}

/// Wherever the link breaks among the files, nothing of what has come counts, and the next run sends it whole.
#[test]
fn a_link_that_breaks_among_the_files() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("motd = builtins.readFile ./motd;\nx = builtins.readFile ./bulk;");
    builder.write("client/nixos/motd", "good morning");
    builder.sh("head -c 20000 /dev/urandom | od -An -tx1 >client/nixos/bulk");
    for bytes in [5_000, 40_000] {
        builder.write("cut", &bytes.to_string());
        let (run, said) = builder.run(BUILD);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (255, ""),
            "{bytes}: {}{said}",
            run.stderr
        );
        builder.nothing_is_left();
        assert!(
            builder.sh("ls -A builder/home/.cache/rebuild/*/mirrors").is_empty(),
            "{bytes}: {said}"
        );
        builder.sh("rm cut");
    }
    assert_eq!(builder.evaluates().rounds(), ["none"]);

    // And what is there is not spoilt by half of a change.
    let before = listing(&builder.mirrors()[0]);
    builder.sh("head -c 20000 /dev/urandom | od -An -tx1 >client/nixos/bulk; rm client/nixos/motd; echo new >client/nixos/motd");
    builder.write("cut", "40000");
    let (run, said) = builder.run(BUILD);
    assert_eq!(run.code, 255, "{}{said}", run.stderr);
    assert_eq!((builder.mirrors().len(), listing(&builder.mirrors()[0])), (1, before));
    builder.nothing_is_left();
    builder.sh("rm cut");
    assert_eq!(builder.evaluates().rounds(), ["base"]);
}
