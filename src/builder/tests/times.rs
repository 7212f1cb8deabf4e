//! Which files were read, by their access times, on file systems that keep these and on one that does not.

use std::process::Command;

/// What is told of a file that was read, on a file system that is mounted with this option. None where no namespaces may
/// be made.
fn told(option: &str) -> Option<String> {
    let script = [
        "set -eu
         event() { echo \"$*\"; }
         own() { \"$@\"; }
         mount -t tmpfs -o \"$1\" none \"$PLACE\"
         cd \"$PLACE\"
         work=$PLACE
         mkdir mirror
         echo x >mirror/read
         chmod 000 mirror/read
         touch began
         sleep 0.05
         cat mirror/read >/dev/null\n",
        include_str!("../scripts/mirror.sh"),
        "tell_what_was_read",
    ];
    let place = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script.concat(),
            "sh",
            option,
        ])
        .env("PLACE", place.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("unshare failed") {
        crate::output::say("not tested: no user namespaces here");
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Where nothing is noted, that is told, already in the first round.
#[test]
fn a_file_system_without_access_times_is_told() {
    if let Some(said) = told("noatime") {
        assert_eq!(said, "timeless\n");
    }
}

#[test]
fn a_file_that_was_read_is_told() {
    for option in ["relatime", "strictatime"] {
        if let Some(said) = told(option) {
            assert_eq!(said, "@rebuild looked /read\n", "{option}");
        }
    }
}
