//! What never leaves this machine, and what does not leave it as a whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

/// Returns whether a file is a secret of this machine itself, or no file at all but a window into its kernel: no
/// evaluation needs such a file. The list names what is usual; it cannot be complete.
pub(super) fn is_forbidden(path: &Path) -> bool {
    is_of_the_machine(path) || is_secret_by_name(path)
}

/// Returns whether a path is so by its place, whatever it contains.
pub(super) fn is_of_the_machine(path: &Path) -> bool {
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
    // Parts of these belong to users and are no window into the kernel. In /run itself, the names are no secret, and
    // neither are its links.
    const PUBLIC: [&str; 2] = ["/dev/shm", "/run/media"];
    if path == Path::new("/run") {
        return false;
    }
    let is_public = PUBLIC.iter().any(|place| path.starts_with(place));
    (!is_public && PLACES.iter().any(|place| path.starts_with(place)))
        || (path.starts_with("/etc/ssh")
            && path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().ends_with("_key")))
}

/// Returns whether a directory is for the secrets of this machine, and is neither a window into the kernel nor Nix's
/// own.
pub(super) fn is_of_secrets(directory: &Path) -> bool {
    let of_others = ["/dev", "/proc", "/sys", "/nix"];
    is_forbidden(directory) && !of_others.iter().any(|place| directory.starts_with(place))
}

/// Returns whether a file is a secret by its name, as far as the name tells.
fn is_secret_by_name(path: &Path) -> bool {
    const IN_A_HOME: [&str; 6] = [".aws", ".gnupg", ".netrc", ".password-store", ".ssh", "sops"];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A file under .ssh that is no key is public or harmless, and may belong to a configuration.
    let is_key = !name.ends_with(".pub") && !["authorized_keys", "config", "known_hosts"].contains(&&*name);
    let in_a_home = path.ancestors().skip(1).filter_map(Path::file_name).any(|parent| {
        let parent = parent.to_string_lossy();
        IN_A_HOME.contains(&&*parent) && (parent != ".ssh" || is_key) && (parent != "sops" || name == "keys.txt")
    });
    name == ".netrc" || in_a_home
}

/// Returns whether a file has a name that ssh gives to a private key.
pub(super) fn is_named_as_key(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("id_") && !name.ends_with(".pub")
}

/// Returns whether a path in a git directory is something that git itself does not read: the keys of git-crypt.
pub(super) fn is_gits_own_secret(path: &Path) -> bool {
    let mut parts = path
        .components()
        .map(Component::as_os_str)
        .skip_while(|part| *part != ".git");
    parts.any(|part| part == "git-crypt")
}

/// Returns whether a file begins like a private key, or has a token or a password in it. It knows these by the words of
/// the programs that own such files: `OpenSSH`, `OpenSSL`, `GnuPG`, age and sops, git-crypt, AWS, curl (`.netrc`).
pub(super) fn is_secret_content(path: &Path, bytes: &[u8]) -> bool {
    const WORDS: [&str; 14] = [
        "PRIVATE KEY-----",
        "PRIVATE KEY BLOCK-----",
        "AGE-SECRET-KEY-",
        "AGE-PLUGIN-",
        "PuTTY-User-Key-File-",
        "(private-key",
        ":private-key",
        "protected-private-key",
        "GITCRYPTKEY",
        "aws_secret_access_key",
        "aws_session_token",
        "\"SecretAccessKey\"",
        "\"accessToken\"",
        "\"clientSecret\"",
    ];
    // OpenPGP puts a secret key in such a packet.
    let is_packet = matches!(bytes.first(), Some(0x94..=0x97 | 0xc5));
    let has = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
    is_packet || WORDS.iter().any(|word| has(word)) || (path.ends_with(".netrc") && has("password"))
}

/// Returns whether every user of this machine may read a file.
pub(super) fn is_public(file: &Path) -> bool {
    let allows = |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|data| data.permissions().mode() & bit != 0);
    allows(file, 0o004) && file.ancestors().skip(1).all(|directory| allows(directory, 0o001))
}

/// Returns whether every user of this machine may read a directory's names.
pub(super) fn is_listed_for_all(directory: &Path) -> bool {
    let allows = |path: &Path, bits: u32| fs::metadata(path).is_ok_and(|data| data.permissions().mode() & bits == bits);
    allows(directory, 0o005) && directory.ancestors().skip(1).all(|parent| allows(parent, 0o001))
}

/// Returns whether an evaluation elsewhere sees the other machine's path and not this one's, because its programs need
/// it.
pub(super) fn is_the_evaluators(path: &Path) -> bool {
    const PLACES: [&str; 16] = [
        "/bin",
        "/dev",
        "/etc/alternatives",
        "/etc/ca-certificates",
        "/etc/ld.so.conf.d",
        "/etc/pki",
        "/etc/ssl",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/nix/var/nix/daemon-socket",
        "/proc",
        "/sbin",
        "/sys",
        "/usr",
    ];
    PLACES.iter().any(|place| path.starts_with(place))
}

/// Returns whether this machine's own file can be shown in such a place if the configuration names it. Programs, the
/// files that they need to run, and windows into the kernel cannot.
pub(super) fn can_be_shown(path: &Path) -> bool {
    const PLACES: [&str; 5] = ["/dev/shm", "/etc/ca-certificates", "/etc/pki", "/etc/ssl", "/usr"];
    const PROGRAMS: [&str; 5] = ["bin", "lib", "libexec", "sbin", "games"];
    let of_programs = |directory: &str| {
        let rest = path.strip_prefix(directory).ok();
        let name = rest.and_then(|rest| rest.components().next());
        // This includes lib32, libx32 and the like.
        let name = name.map(|name| name.as_os_str().to_string_lossy().into_owned());
        name.is_some_and(|name| PROGRAMS.contains(&&*name) || name.starts_with("lib"))
    };
    PLACES
        .iter()
        .any(|place| path.starts_with(place) && path != Path::new(place))
        && !of_programs("/usr")
        && !of_programs("/usr/local")
}

/// Returns whether a text that is a path in such a place may well be read as this machine's file, and is not just
/// passed on to programs.
pub(super) fn is_text_of_ours(path: &Path) -> bool {
    let of_users = ["/dev/shm", "/usr"].iter().any(|place| path.starts_with(place));
    of_users && can_be_shown(path) && !is_everybodys(path)
}

/// Returns whether a directory in such a place is one in which the evaluator's programs look for what they need.
pub(super) fn is_everybodys(directory: &Path) -> bool {
    const DIRECTORIES: [&str; 13] = [
        "/dev/shm",
        "/etc/ca-certificates",
        "/etc/pki",
        "/etc/ssl",
        "/etc/ssl/certs",
        "/etc/ssl/private",
        "/usr",
        "/usr/local",
        "/usr/local/share",
        "/usr/local/src",
        "/usr/share",
        "/usr/share/ca-certificates",
        "/usr/src",
    ];
    DIRECTORIES.iter().any(|known| directory == Path::new(known))
}

/// Returns whether an evaluation elsewhere sees the other machine's file, unless the configuration names this
/// machine's.
pub(super) fn is_of_both(path: &Path) -> bool {
    const FILES: [&str; 6] = [
        "/etc/group",
        "/etc/hosts",
        "/etc/ld.so.cache",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/resolv.conf",
    ];
    FILES.iter().any(|file| path == Path::new(file))
}

/// Returns whether a directory holds so much of the machine that a literal which names it is no reason to send all
/// names below it: `/. + "/etc/x"` does not mean the whole disk.
pub(super) fn is_too_much(directory: &Path, home: &Path) -> bool {
    let depth = directory.components().count() - 1;
    depth <= 1
        || is_everybodys_to_write(directory)
        || ["/nix/store", "/nix/var", "/var/lib", "/var/log", "/var/cache"]
            .iter()
            .any(|known| directory == Path::new(known))
        || directory == home
        || directory.parent() == Some(Path::new("/home"))
}

/// Returns whether everybody may put files into a directory, as in `/var/tmp`: a file that lies beside the
/// configuration there does not belong to it.
fn is_everybodys_to_write(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|data| data.permissions().mode() & 0o1002 == 0o1002)
}

/// Returns whether a path is a git directory or lies in one.
pub(super) fn is_in_git(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == ".git")
}

/// Returns whether a path in a git directory says which commit is checked out; nixpkgs' own `lib.commitIdFromGitRepo`
/// reads that.
pub(super) fn says_the_commit(path: &Path) -> bool {
    let mut parts = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    let inside = parts.any(|part| part == ".git");
    let name = parts.next();
    inside
        && ["HEAD", "packed-refs", "refs", "commondir"]
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
            "/run/user/1000/x",
            "/proc/kcore",
            "/dev/sda",
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
            "/run",
            "/run/media/me/stick/flake.nix",
            "/dev/shm/configuration.nix",
        ] {
            assert!(!is_forbidden(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn whole_parts_of_the_machine_stay() {
        let home = Path::new("/root");
        for path in ["/", "/etc", "/nix/store", "/root", "/home/me", "/var/lib"] {
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
    fn a_secret_is_one_by_what_is_in_it() {
        for bytes in [
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl".as_slice(),
            b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
            b"# created: now\nAGE-SECRET-KEY-1XYZ",
            b"Created: 2026\nKey: (protected-private-key (rsa",
            b"(11:private-key(3:rsa(1:n",
            b"{ \"startUrl\": \"x\", \"accessToken\": \"y\" }",
            b"\0GITCRYPTKEY\0\0",
            b"[default]\naws_secret_access_key = x",
            b"machine h login me password x",
            b"\x95\x03\xbe\x04",
        ] {
            assert!(
                is_secret_content(Path::new("/c/.netrc"), bytes),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
        // These are a public key, a file encrypted to one, and settings.
        for bytes in [
            b"".as_slice(),
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
            b"me@lab namespaces=\"git\" ssh-ed25519 AAAA",
            b"use-agent\ncharset utf-8\n",
            b"\x85\x02\x0c\x03",
            b"age1qqq\n",
            b"# password logins: none\n",
        ] {
            assert!(
                !is_secret_content(Path::new("/c/.ssh/config"), bytes),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn of_git_its_own_keys_stay() {
        assert!(is_gits_own_secret(Path::new("/c/.git/git-crypt/keys/default")));
        assert!(!is_gits_own_secret(Path::new("/c/git-crypt/.git/config")));
    }

    #[test]
    fn of_git_only_the_commit() {
        for path in ["/c/.git/HEAD", "/c/.git/refs", "/c/.git/refs/heads/main"] {
            assert!(says_the_commit(Path::new(path)), "{path}");
        }
        for path in ["/c/.git", "/c/.git/objects/refs", "/c/.git/config", "/c/HEAD"] {
            assert!(!says_the_commit(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn what_the_evaluator_brings_itself() {
        for path in ["/proc/cpuinfo", "/usr", "/etc/ssl/certs/x"] {
            assert!(is_the_evaluators(Path::new(path)), "{path}");
        }
        for path in ["/etc/passwd", "/etc/nixos", "/usrlocal", "/nix/var/nix/profiles"] {
            assert!(!is_the_evaluators(Path::new(path)), "{path}");
        }
        for path in [
            "/usr/src/c",
            "/usr/local/share/x",
            "/dev/shm/x",
            "/etc/ssl/certs/own.pem",
        ] {
            assert!(can_be_shown(Path::new(path)), "{path}");
        }
        for path in [
            "/usr",
            "/usr/bin/env",
            "/usr/lib64/x",
            "/usr/local/lib/x",
            "/bin/sh",
            "/dev/null",
            "/proc/x",
            "/etc/x",
        ] {
            assert!(!can_be_shown(Path::new(path)), "{path}");
        }
        assert!(is_of_both(Path::new("/etc/passwd")) && !is_of_both(Path::new("/etc/hostname")));
    }
}
