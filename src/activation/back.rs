//! What is said of a change that failed, or was not confirmed, and went back (`scripts/back.sh`, `scripts/confirm.sh`).

use super::ProfileChange;
use super::reply::two;
use crate::failure::Failure;

/// The exit status of a run whose change failed or was not confirmed, and whose target is as it was before. No other program has it:
/// `switch-to-configuration` ends with an error number of Perl's at most (133), a signal's is at most 192, systemd's own
/// begin at 200, and ssh's is 255.
const WENT_BACK: u8 = 195;

/// The same, but the target could not go back whole.
const COULD_NOT_GO_BACK: u8 = 196;

/// How a target went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WayBack {
    /// The exit status of the `switch-to-configuration` that failed. None if the change was not confirmed.
    pub(super) code: Option<u8>,
    /// The exit status with which the profile went back. None if it had not been changed.
    pub(super) profile: Option<u8>,
    /// The exit status of the `switch-to-configuration` of the system before. None if there was nothing to activate.
    pub(super) system: Option<u8>,
    /// The profile's generation before the change and now, where there are both.
    pub(super) generations: Option<[u64; 2]>,
}

impl WayBack {
    /// Reads what the record has: the part at which the change ended, its exit status, and the words after that.
    pub(super) fn of(part: &str, code: u8, words: &[String]) -> Option<Self> {
        let [profile, system, generations @ ..] = words else {
            return None;
        };
        Some(Self {
            code: (part == "back").then_some(code),
            profile: status(profile)?,
            system: status(system)?,
            generations: two(generations),
        })
    }

    /// Whether the profile and the system are those of before. Units that failed on the way back, too, change nothing
    /// about that: they may have failed before the change.
    fn is_whole(self) -> bool {
        matches!(self.profile, None | Some(0)) && matches!(self.system, None | Some(0 | 4))
    }

    /// Returns what the user is told whose change it was.
    pub(super) fn failure(self, action: &str, on: &str, profile: &ProfileChange) -> Failure {
        let what = format!("{action} on {on} {}", self.reason());
        let mut lines: Vec<String> = self.of_system(action).into_iter().collect();
        lines.extend(self.of_profile(profile));
        if self.code.is_none() && profile.path().is_some() {
            lines.push("profile and boot default were never changed".to_owned());
        }
        let failure = if self.is_whole() {
            Failure::new(format!("{what}: it went back")).with_code(WENT_BACK)
        } else {
            lines.push(format!("or {}", self.other_way()));
            Failure::new(format!("{what}, and it could not go back")).with_code(COULD_NOT_GO_BACK)
        };
        failure.with_remedy(lines.join("\n"))
    }

    /// Returns what the next user is told, after the connection broke.
    pub(super) fn told(self) -> String {
        let what = format!("it {}", self.reason());
        if !self.is_whole() {
            return format!("{what}, and it could not go back: {}", self.other_way());
        }
        let units = match self.system {
            Some(4) => "; units failed there all the same: see there systemctl --failed",
            _ => "",
        };
        format!("{what}, and it went back to what it had before{units}")
    }

    fn reason(self) -> String {
        let Some(code) = self.code else {
            return "was not confirmed in time".to_owned();
        };
        let meaning = match code {
            2 => " (a part of the activation failed)",
            3 => " (systemd has not taken in all of it)",
            4 => " (units failed)",
            11 => " (another activation was under way)",
            _ => "",
        };
        format!("failed with exit status {code}{meaning}")
    }

    /// What is left to do if the target could not go back. What was not confirmed is not what is booted.
    fn other_way(self) -> &'static str {
        match self.code {
            Some(_) => "reboot it into the generation before, from the boot loader's menu",
            None => "reboot it: it boots what it booted before",
        }
    }

    fn of_system(self, action: &str) -> Option<String> {
        let before = if action == "boot" {
            "the system that is booted"
        } else {
            "the system that runs"
        };
        Some(match self.system? {
            0 if self.code.is_none() => format!("{before} is the one of before again"),
            0 => format!("{before} is the one of before again; what failed stands above"),
            4 => format!(
                "{before} is the one of before again, but units failed all the same: see there systemctl --failed"
            ),
            code @ (2 | 3) => format!(
                "{before} is the one of before again, but a part of its activation failed (exit status {code}): what it \
                 says stands above"
            ),
            code => format!(
                "the system of before could not be activated (exit status {code}): what it says stands above, after the \
                 command, which is to be run as root there"
            ),
        })
    }

    fn of_profile(self, profile: &ProfileChange) -> Option<String> {
        let path = profile.path()?.display();
        Some(match (self.profile?, self.generations) {
            (0, Some([before, now])) if before == now => format!("{path} is at generation {now} again"),
            (0, Some([_, now])) => format!("{path} is at generation {now} now, which has the system of before"),
            (0, None) => format!("{path} is as it was before"),
            (_, Some([before, now])) => format!(
                "{path} is at generation {now}, and was at {before}; to put it back, as root there: nix-env -p {path} \
                 --switch-generation {before}"
            ),
            (_, None) => format!("{path} is not as it was before"),
        })
    }
}

/// Returns the failure of a change that a boot has undone before it was confirmed.
pub(super) fn rebooted(action: &str, on: &str) -> Failure {
    Failure::new(format!(
        "{on} was booted anew before {action} was confirmed: it has booted what it booted before"
    ))
    .with_code(WENT_BACK)
    .with_remedy("to see there why: journalctl -b -1")
}

/// Returns the failure of a change that was cut off before it was confirmed, so that nothing brings it back but a boot.
pub(super) fn cut_off(action: &str, on: &str) -> Failure {
    Failure::new(format!("{action} on {on} was killed before it was confirmed"))
        .with_code(COULD_NOT_GO_BACK)
        .with_remedy(
            "reboot it: it boots what it booted before
or run the same command again",
        )
}

/// Reads an exit status, or None if there is none (`-`). Returns None if it is neither.
#[allow(clippy::option_option, reason = "the outer one says whether it could be read")]
fn status(word: &str) -> Option<Option<u8>> {
    if word == "-" {
        Some(None)
    } else {
        word.parse().ok().map(Some)
    }
}
