//! One of the targets of `rebuild::fuzz`, named by `REBUILD_FUZZ_TARGET`, for libFuzzer.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rebuild::fuzz::{FuzzTarget, targets};

static CHOSEN: OnceLock<FuzzTarget> = OnceLock::new();

fn chosen() -> &'static FuzzTarget {
    CHOSEN.get_or_init(|| {
        let name = std::env::var("REBUILD_FUZZ_TARGET").unwrap_or_default();
        let mut all = targets().into_iter();
        all.find(|target| target.name == name)
            .unwrap_or_else(|| panic!("REBUILD_FUZZ_TARGET={name}: there is no such target in src/fuzz"))
    })
}

fuzz_target!(|bytes: &[u8]| (chosen().read)(bytes));
