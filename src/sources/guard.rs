//! What never leaves this machine, and what does not leave it as a whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether a file is a secret of this machine itself, or no file at all but a window into its kernel: no evaluation has
/// business with it. The list is of what is usual; it cannot be whole.
pub(super) fn is_forbidden(path: &Path) -> bool {
    const PLACES: [&str; 18] = [
        "/dev",
        "/proc",
        "/run",
        "/sys",
        "/etc/NetworkManager/system-connections",
        "/etc/gshadow",
        "/etc/gshadow-",
        "/etc/krb5.keytab",
        "/etc/nix/secret-key",
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/sudoers",
        "/etc/sudoers.d",
        "/etc/wireguard",
        "/etc/wpa_supplicant.conf",
        "/nix/var/nix/db",
        "/var/lib/iwd",
        "/var/lib/sops-nix",
    ];
    const IN_A_HOME: [&str; 6] = [".aws", ".gnupg", ".netrc", ".password-store", ".ssh", "sops"];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Under .ssh, what is no key is public or harmless and may belong to a configuration.
    let is_key = !name.ends_with(".pub") && !["authorized_keys", "config", "known_hosts"].contains(&&*name);
    let in_a_home = path.ancestors().skip(1).filter_map(Path::file_name).any(|parent| {
        let parent = parent.to_string_lossy();
        IN_A_HOME.contains(&&*parent) && (parent != ".ssh" || is_key) && (parent != "sops" || name == "keys.txt")
    });
    PLACES.iter().any(|place| path.starts_with(place))
        || (path.starts_with("/etc/ssh") && name.ends_with("_key"))
        || name == ".netrc"
        || in_a_home
}

/// Whether every user of this machine may read a file.
pub(super) fn is_public(file: &Path) -> bool {
    let allows = |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|data| data.permissions().mode() & bit != 0);
    allows(file, 0o004) && file.ancestors().skip(1).all(|directory| allows(directory, 0o001))
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
            "/root/.ssh/builder_key",
            "/root/.netrc",
            "/root/.aws/credentials",
            "/root/.config/sops/age/keys.txt",
            "/run/secrets/wifi",
            "/proc/kcore",
            "/etc/sudoers.d/admin",
        ] {
            assert!(is_forbidden(Path::new(path)), "{path}");
        }
        for path in [
            "/etc/shadows.nix",
            "/etc/ssh/ssh_host_ed25519_key.pub",
            "/root/.ssh/id_ed25519.pub",
            "/root/.ssh/authorized_keys",
            "/etc/nixos/sops/default.nix",
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
