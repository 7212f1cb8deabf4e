//! How much room is too little.

/// Bounds for the free room of a place, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// With less than this, what has to go there does not fit.
    pub bad: u64,
    /// With less than this, it may not fit.
    pub weak: u64,
}

/// What an evaluator keeps: nixpkgs alone has some 300 MB as files.
pub const OF_CACHE: Bounds = Bounds {
    bad: 50 << 10,
    weak: 600 << 10,
};

/// A builder's store.
pub const OF_STORE: Bounds = Bounds {
    bad: 300 << 10,
    weak: 5 << 20,
};

/// The directory in which builds lie while they run.
pub const OF_BUILDS: Bounds = Bounds {
    bad: 50 << 10,
    weak: 1 << 20,
};

/// The store of a machine that gets a new system.
pub const OF_SYSTEM: Bounds = Bounds {
    bad: 200 << 10,
    weak: 2 << 20,
};

/// The file system of kernels: one with its initrd takes some 30 to 60 MiB.
pub const OF_BOOT: Bounds = Bounds {
    bad: 35 << 10,
    weak: 100 << 10,
};

/// Returns an amount of KiB in words.
#[must_use]
pub fn size(kib: u64) -> String {
    match kib {
        kib if kib >= 10 << 20 => format!("{} GiB", kib >> 20),
        // A tenth of a GiB, rounded down.
        kib if kib >= 1 << 20 => format!("{}.{} GiB", kib >> 20, ((kib % (1 << 20)) * 10) >> 20),
        kib if kib >= 1 << 10 => format!("{} MiB", kib >> 10),
        kib => format!("{kib} KiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (kib, words) in [
            (0, "0 KiB"),
            (1023, "1023 KiB"),
            (1024, "1 MiB"),
            (1_048_575, "1023 MiB"),
            (1_048_576, "1.0 GiB"),
            (1_600_000, "1.5 GiB"),
            (20 << 20, "20 GiB"),
        ] {
            assert_eq!(size(kib), words);
        }
    }
}
