//! Directories with very many names, which the view has as they lie there instead of by a link for each.

use std::fs;

use super::Builder;

/// More than are copied.
const MANY: &str = "seq 1 1100";

/// A configuration with such a directory in it, of which `read` is asked for.
fn configured(read: &str) -> Option<Builder> {
    let builder = Builder::new()?;
    builder.configure(&format!("y = builtins.readFile ./motd;\nx = {read};"));
    builder.write("client/nixos/motd", "good morning");
    builder.sh(&format!(
        "mkdir -p client/nixos/d/sub; cd client/nixos/d; {MANY} | while read -r n; do echo \"$n\" >\"f$n\"; done"
    ));
    Some(builder)
}

/// What is mounted below the client's files, as an evaluation that waits sees it.
fn mounted(builder: &Builder) -> Vec<String> {
    builder.hold();
    let run = builder.start(super::BUILD);
    builder.wait_for_evaluations(1);
    let names = builder.sh("cat /proc/$(ls builder/nix/store | sed -n 's/^evaluating\\.//p')/mounts");
    builder.sh("rm -f builder/nix/store/evaluating.*");
    builder.release();
    let run = run.finish();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mounts = names.lines().filter_map(|line| line.split(' ').nth(1));
    mounts
        .filter(|place| place.starts_with("/client"))
        .map(str::to_owned)
        .collect()
}

/// It is mounted where all in it is there; and what is shut in one is a shut door as anywhere else: asked for, it comes, and
/// the rest stays here.
#[test]
fn a_large_directory_is_mounted() {
    for read in ["builtins.path ./d", "builtins.readFile (./d + (\"/f\" + \"1099\"))"] {
        let Some(builder) = configured(read) else { return };
        // So that none of its rounds is a look, for which what is shut is copied.
        let evaluated = builder.evaluates();
        assert_eq!(evaluated.events("evaluation-failed"), ["1"]);
        assert!(evaluated.seen.contains("1099"), "{read}: {}", evaluated.seen);
        assert_eq!(builder.has("1098"), read.contains("path"), "{read}");
        assert_eq!(mounted(&builder), ["/client/nixos/d"], "{read}");
    }
}

/// One file in it changes: only that is sent, what is kept is changed where it lies, and no second copy is kept.
#[test]
fn one_file_of_a_large_directory_changes() {
    let Some(builder) = configured("builtins.path ./d") else {
        return;
    };
    builder.evaluates();
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(builder.mirrored(name)).unwrap().ino()
    };
    let directory = inode("client/nixos/d");
    builder.write("client/nixos/d/f7", "changed");
    builder.sh("rm client/nixos/d/f8; echo new >client/nixos/d/sub/new");
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.rounds()[0], "base");
    assert_eq!(
        fs::read_to_string(builder.mirrored("client/nixos/d/f7")).unwrap(),
        "changed"
    );
    assert!(!builder.mirrored("client/nixos/d/f8").exists());
    assert_eq!(inode("client/nixos/d"), directory, "it was copied");
    assert_eq!(builder.mirrors().len(), 1);
}
