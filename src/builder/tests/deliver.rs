//! Which sockets scripts/deliver.sh uses.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::private;

/// sshd makes the socket, with a mode that its administrator chooses.
#[test]
fn a_socket_that_others_can_use_over_there_is_not_used() {
    let place = private::directory(Path::new("/tmp")).unwrap();
    let socket = place.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let is_used = || {
        let script = format!(
            "work=${{1%/*}}\n{}\nis_private \"$1\"",
            include_str!("../scripts/deliver.sh")
        );
        let mut command = Command::new("sh");
        command
            .args(["-uc", &script, "sh"])
            .arg(&socket)
            .env("work", place.path());
        command.output().unwrap().status.success()
    };
    for (mode, expected) in [
        (0o600, true),
        (0o666, false),
        (0o660, false),
        (0o622, false),
        (0o777, false),
    ] {
        fs::set_permissions(&socket, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(is_used(), expected, "{mode:o}");
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    // A socket that another user has made there first.
    if nix::unistd::geteuid().is_root() {
        chown(&socket, Some(1234), None).unwrap();
        assert!(!is_used());
    }
}
