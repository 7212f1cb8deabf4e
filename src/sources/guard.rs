//! What never leaves this machine, and what does not leave it as a whole.

use std::path::Path;

/// Whether a file is a secret of this machine itself: no evaluation has business with it.
pub(super) fn is_forbidden(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let in_etc = ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/krb5.keytab"];
    in_etc.iter().any(|secret| {
        text.strip_prefix(secret)
            .is_some_and(|rest| rest.is_empty() || rest == "-")
    }) || (text.starts_with("/etc/ssh/") && name.ends_with("_key"))
        || (text.contains("/.ssh/") && name.starts_with("id_") && !name.ends_with(".pub"))
        || text.starts_with("/nix/var/nix/db/")
        || text.contains("/.gnupg/")
}

/// Whether a directory is too much of the machine to be sent because a literal names it: `/. + "/etc/x"` does not mean
/// the whole disk. Such a directory is there in the view, with what else was sent of it.
pub(super) fn is_too_much(directory: &Path, home: &Path) -> bool {
    let depth = directory.components().count() - 1;
    let machine = ["proc", "sys", "dev", "run"];
    let top = directory
        .components()
        .nth(1)
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    depth <= 1
        || top.is_some_and(|top| machine.contains(&top.as_str()))
        || ["/nix/store", "/nix/var", "/var/lib", "/var/log", "/var/cache"]
            .iter()
            .any(|known| directory == Path::new(known))
        || directory == home
        || directory.parent() == Some(Path::new("/home"))
}

/// Whether an entry of a directory is left out when the directory is sent as a whole. Of a git directory, only what says
/// which commit is checked out: nixpkgs' own `lib.commitIdFromGitRepo` reads that.
pub(super) fn is_left_out(path: &Path) -> bool {
    let mut parts = path
        .components()
        .rev()
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    let name = parts.next();
    let parent = parts.next();
    parent.as_deref() == Some(".git")
        && !["HEAD", "packed-refs", "refs", "commondir"]
            .iter()
            .any(|kept| name.as_deref() == Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_machine_stay() {
        for path in [
            "/etc/shadow",
            "/etc/shadow-",
            "/etc/ssh/ssh_host_ed25519_key",
            "/root/.ssh/id_ed25519",
            "/home/me/.gnupg/secring.gpg",
            "/nix/var/nix/db/db.sqlite",
        ] {
            assert!(is_forbidden(Path::new(path)), "{path}");
        }
        for path in [
            "/etc/shadows.nix",
            "/etc/ssh/ssh_host_ed25519_key.pub",
            "/root/.ssh/id_ed25519.pub",
            "/etc/nixos/a_key",
        ] {
            assert!(!is_forbidden(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn whole_parts_of_the_machine_stay() {
        let home = Path::new("/root");
        for path in [
            "/",
            "/etc",
            "/nix/store",
            "/root",
            "/home/me",
            "/proc/1",
            "/sys/class",
            "/var/lib",
        ] {
            assert!(is_too_much(Path::new(path), home), "{path}");
        }
        for path in [
            "/etc/nixos",
            "/root/config",
            "/home/me/config",
            "/srv/x",
            "/var/lib/site",
        ] {
            assert!(!is_too_much(Path::new(path), home), "{path}");
        }
    }

    #[test]
    fn of_git_only_the_commit() {
        for path in ["/c/.git/HEAD", "/c/.git", "/c/.git/refs/heads/main", "/c/git/objects"] {
            assert!(!is_left_out(Path::new(path)), "{path}");
        }
        for path in ["/c/.git/objects", "/c/.git/config", "/c/.git/index"] {
            assert!(is_left_out(Path::new(path)), "{path}");
        }
    }
}
