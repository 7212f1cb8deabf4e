//! What the first look at the target says of its room, before the long work. Too little is a warning and ends no run:
//! nobody knows yet what the new system takes.

use crate::conditions::room::{Bounds, OF_BOOT, OF_SYSTEM, size};
use crate::conditions::{Condition, Words};

/// So many KiB are free in the file system that is mounted at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Free {
    pub(super) kib: u64,
    pub(super) place: String,
}

/// Returns the warnings. `on` is the target's name.
pub(super) fn warnings(room: &[Free], on: &str) -> Vec<String> {
    let warning = |free: &Free| {
        let (condition, bounds, what): (_, Bounds, _) = if free.place.starts_with("/boot") {
            (Condition::BootRoom, OF_BOOT, "another kernel")
        } else {
            (Condition::StoreRoom, OF_SYSTEM, "a new system")
        };
        let remedy = condition.remedy(&Words::default()).replace('\n', "\n  ");
        (free.kib < bounds.bad).then(|| {
            let (place, free) = (&free.place, size(free.kib));
            format!("warning: {on} has only {free} free in {place}: there may be no room for {what}\n  {remedy}")
        })
    };
    room.iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_by_place() {
        let free = |kib, place: &str| Free {
            kib,
            place: place.to_owned(),
        };
        let told = warnings(&[free(100, "/"), free(20_000, "/boot/firmware")], "target");
        assert!(
            told[0].starts_with("warning: target has only 100 KiB free in /: there may be no room for a new system\n")
        );
        assert!(
            told[1]
                .contains("19 MiB free in /boot/firmware: there may be no room for another kernel\n  as root there: ")
        );
        assert_eq!(
            warnings(&[free(500_000, "/nix"), free(60_000, "/boot")], "target"),
            Vec::<String>::new()
        );
    }
}
