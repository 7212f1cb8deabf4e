//! Amounts and durations as text.

use std::time::Duration;

/// Returns bytes as text, in decimal units as disks and networks have them.
pub(super) fn size(bytes: u64) -> String {
    let (divisor, unit) = unit_of(bytes);
    format!("{} {unit}", in_unit(bytes, divisor))
}

/// Returns some bytes and all bytes as text, both in the unit of all: `4.2 of 31.0 MB`.
pub(super) fn size_of(bytes: u64, whole: u64) -> String {
    let (divisor, unit) = unit_of(whole);
    format!("{} of {} {unit}", in_unit(bytes, divisor), in_unit(whole, divisor))
}

fn unit_of(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0..1_000 => (1, "B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    }
}

/// Returns the number with one digit after the point. It is cut and not rounded: 999,999 bytes are not 1000.0 kB.
fn in_unit(bytes: u64, divisor: u64) -> String {
    if divisor == 1 {
        return bytes.to_string();
    }
    format!("{}.{}", bytes / divisor, bytes % divisor * 10 / divisor)
}

/// Returns a number and the word for what is counted: `1 path`, `31 paths`.
pub(super) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Returns how long something has been going on, as text without tenths, which would only flicker.
#[must_use]
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => pair(seconds / 60, "min", seconds % 60, "s"),
        _ => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
    }
}

/// Returns how long something took, as text.
pub(super) fn took(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        let tenths = duration.as_millis() / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    elapsed(duration)
}

/// Returns a time in words: in the largest unit of which it is a whole number.
#[must_use]
pub fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        _ if seconds > 0 && seconds % 3600 == 0 => (seconds / 3600, "hour"),
        _ if seconds > 0 && seconds % 60 == 0 => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

fn pair(number: u64, unit: &str, less: u64, lesser: &str) -> String {
    if less == 0 {
        format!("{number} {unit}")
    } else {
        format!("{number} {unit} {less} {lesser}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_999, "999.9 kB"),
            (4_250_000, "4.2 MB"),
            (12_000_000_000, "12.0 GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(size_of(250_000, 31_000_000), "0.2 of 31.0 MB");
        assert_eq!(size_of(25, 31), "25 of 31 B");
    }

    #[test]
    fn durations() {
        for (millis, going, over) in [
            (90, "0 s", "0.0 s"),
            (2_180, "2 s", "2.1 s"),
            (60_000, "1 min", "1 min"),
            (90_400, "1 min 30 s", "1 min 30 s"),
            (3_900_000, "1 h 5 min", "1 h 5 min"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!((elapsed(duration).as_str(), took(duration).as_str()), (going, over));
        }
    }
}
