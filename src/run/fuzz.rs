//! What Nix prints here, and what an evaluator says of images, for `crate::fuzz`.

use std::path::{Component, Path};

use super::here::store_path;
use super::identity::number_of;
use super::image::choose;
use super::nix_here::system_in;
use super::upgrade::elsewhere;
use crate::fuzz::{FuzzTarget, is_harmless, text};

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "images",
        files: &["run/image.rs", "run/deploy.rs"],
        examples: &[
            br#"{"variants":["x","iso"],"file":"iso/x.iso"}"#,
            br#"{"variants":["x"],"file":"../../etc/passwd"}"#,
            br#"{"variants":["x"],"file":null}"#,
        ],
        read: |bytes| {
            let Ok(images) = serde_json::from_slice(bytes) else { return };
            if let Ok(Some(file)) = choose("x", images, "builder") {
                let is_below = |part| matches!(part, Component::Normal(_));
                let path = Path::new("/nix/store/x").join(&file);
                assert!(path.starts_with("/nix/store/x/") && is_harmless(&file), "{file:?}");
                assert!(!file.is_empty() && Path::new(&file).components().all(is_below), "{file:?}");
            }
        },
    },
    FuzzTarget {
        name: "what Nix prints here",
        files: &["run/here.rs", "run/nix_here.rs", "run/identity.rs"],
        examples: &[
            b"x\n/nix/store/00000000000000000000000000000000-x\n",
            br#"Derive([("out","/nix/store/x-y","","")],[("/nix/store/a.drv",["out"])],["/nix/store/s"],"aarch64-linux","/bin/sh",[]"#,
            b"0123456789abcdef\n",
        ],
        read: |bytes| {
            if let Ok(path) = store_path(bytes) {
                assert!(path.as_path().starts_with("/nix/store"), "{path}");
            }
            if let Some(system) = system_in(bytes) {
                assert!(!system.contains('"') && system.len() < bytes.len(), "{system}");
            }
            if let Some(number) = number_of(&text(bytes)) {
                assert_eq!(format!("{number}\n").as_bytes(), bytes);
            }
        },
    },
    FuzzTarget {
        name: "a list of channels",
        files: &["run/upgrade/elsewhere.rs"],
        examples: &[
            b"nixos https://channels.nixos.org/nixos-25.05\nother file:///srv/other\n",
            b"nixos https://me:pw@h/nixos\n-x https://h/x\nnixos\n",
        ],
        read: |bytes| {
            for line in elsewhere::lines_of(&text(bytes)).lines() {
                // nix-channel reads it again: an address and a name, which is no flag.
                let (address, name) = line.split_once(' ').unwrap_or_default();
                assert!(!address.is_empty() && !name.is_empty() && !name.starts_with('-'), "{line:?}");
            }
        },
    },
];
