//! Copying from one store to another.

use std::ffi::OsString;
use std::path::Path;

use super::making::FLAKES;
use crate::host::Host;
use crate::plan::NixFlags;
use crate::process::Invocation;
use crate::store_path::StorePath;

/// What is copied, with everything that it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cargo<'a> {
    /// A store path.
    Path(&'a StorePath),
    /// A derivation, which is to be built on the other side; without its outputs.
    Derivation(&'a StorePath),
}

impl<'a> Cargo<'a> {
    /// Returns its store path.
    #[must_use]
    pub fn path(self) -> &'a StorePath {
        match self {
            Self::Path(path) | Self::Derivation(path) => path,
        }
    }
}

/// Sends the cargo to the daemon at this socket. The daemon belongs to whoever lends it, so no signature is asked for.
/// This program reads the log.
///
/// `nix-copy-closure --to` is not used: it asks and sends path by path (nixpkgs#499820), and a receiver accepts its
/// paths only from trusted users (nixpkgs#299996).
#[must_use]
pub fn send(cargo: Cargo, socket: &Path, flags: &NixFlags) -> Invocation {
    finish(copy().arg("--to").arg(store_of(socket)), cargo, flags)
}

/// Sends the same from another host, which Nix's own ssh asks: this is for a host to which the daemon itself cannot be
/// lent. This machine keeps nothing of it. ssh knows the port (`Ssh::for_nix`).
#[must_use]
pub fn pass_on(cargo: Cargo, from: &Host, socket: &Path, flags: &NixFlags) -> Invocation {
    let store = format!("ssh://{}", from.address_for_nix());
    let command = copy().args(["--from".to_owned(), store]).arg("--to");
    finish(command.arg(store_of(socket)), cargo, flags)
}

fn copy() -> Invocation {
    let words = ["--log-format", "internal-json", "copy", "--no-check-sigs"];
    Invocation::new("nix").args(FLAKES).args(words)
}

fn store_of(socket: &Path) -> OsString {
    let mut store = OsString::from("unix://");
    store.push(socket);
    store
}

fn finish(command: Invocation, cargo: Cargo, flags: &NixFlags) -> Invocation {
    let command = command
        .args(flags.copy.arguments())
        .args(flags.common.arguments_of_copying());
    match cargo {
        Cargo::Path(path) => command.arg(path.as_str()),
        Cargo::Derivation(path) => command.args(["--derivation", path.as_str()]),
    }
}

/// Fetches a path from a host whose sshd forwards no socket, to a machine that has no daemon.
#[must_use]
pub fn fetch(path: &StorePath, host: &Host, flags: &NixFlags) -> Invocation {
    nix_copy_closure("--from", path, host, flags)
}

/// Brings a path to a host whose Nix accepts it from its ssh user.
#[must_use]
pub fn bring(path: &StorePath, host: &Host, flags: &NixFlags) -> Invocation {
    nix_copy_closure("--to", path, host, flags)
}

/// Returns the command. Its hosts have no port (`run` sets that in `NIX_SSHOPTS`). It does not get `--repair`, which it
/// would take for the host's name.
fn nix_copy_closure(direction: &str, path: &StorePath, host: &Host, flags: &NixFlags) -> Invocation {
    Invocation::new("nix-copy-closure").args(flags.copy.arguments()).args([
        direction,
        &host.address_for_nix(),
        path.as_str(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{CommonFlags, CopyFlags};
    use crate::host::Place;

    fn flags() -> NixFlags {
        NixFlags {
            common: CommonFlags {
                repair: true,
                keep_going: true,
                verbose: 1,
                option: ["cores".into(), "1".into()].into(),
                ..CommonFlags::default()
            },
            copy: CopyFlags { use_substitutes: true },
            ..NixFlags::default()
        }
    }

    fn path() -> StorePath {
        StorePath::parse("/nix/store/00000000000000000000000000000000-x").unwrap()
    }

    fn host(name: &str) -> Host {
        Place::parse(name, "pi").unwrap().host().unwrap().clone()
    }

    /// nixos-rebuild passes `--repair` to nix-copy-closure, which takes it for a host.
    #[test]
    fn copying_gets_only_its_own_flags() {
        let path = path();
        let nix =
            "nix --extra-experimental-features 'nix-command flakes' --log-format internal-json copy --no-check-sigs";
        for (command, expected) in [
            (
                bring(&path, &host("me@b"), &flags()),
                format!("nix-copy-closure -s --to me@b {path}"),
            ),
            (
                fetch(&path, &host("ssh://me@b:2222"), &flags()),
                format!("nix-copy-closure -s --from me@b {path}"),
            ),
            (
                send(Cargo::Path(&path), Path::new("/tmp/x/nix-daemon"), &flags()),
                format!("{nix} --to unix:///tmp/x/nix-daemon -s -v --option cores 1 {path}"),
            ),
            (
                send(Cargo::Derivation(&path), Path::new("/s"), &NixFlags::default()),
                format!("{nix} --to unix:///s --derivation {path}"),
            ),
            (
                pass_on(
                    Cargo::Path(&path),
                    &host("ssh://me@b:2222"),
                    Path::new("/s"),
                    &NixFlags::default(),
                ),
                format!("{nix} --from ssh://me@b --to unix:///s {path}"),
            ),
            // `Ssh::for_nix` adds the zone.
            (
                pass_on(
                    Cargo::Path(&path),
                    &host("ssh://me@[fe80::1%25eth0]:2222"),
                    Path::new("/s"),
                    &NixFlags::default(),
                ),
                format!("{nix} --from 'ssh://me@[fe80::1]' --to unix:///s {path}"),
            ),
            (
                bring(&path, &host("me@::1"), &NixFlags::default()),
                format!("nix-copy-closure --to 'me@[::1]' {path}"),
            ),
        ] {
            assert_eq!(command.to_string(), expected);
        }
    }
}
