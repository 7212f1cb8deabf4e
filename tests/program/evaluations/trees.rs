//! Store paths of the client that the builder lacks.

use super::Builder;

/// A store path of the client, named as the stand-in for Nix names what is in it (`nix-store --add-fixed`).
fn add(builder: &Builder, make: &str) -> String {
    let path = builder.sh(&format!(
        "rm -rf made; mkdir -p made store; {{ {make}; }} >made/source; cd made
         IN_STORE=$PWD/../store ../builder/nix/store/*-nix-2*/bin/nix-store --add-fixed sha256 $PWD/source"
    ));
    path.trim_end().to_owned()
}
