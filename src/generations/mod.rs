//! The generations of a profile, as they can be read without Nix.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod listing;
mod table;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Local};
use serde::Serialize;

use crate::directory::names;

pub use listing::list;
pub use table::table;

/// A generation, with nixos-rebuild's names for its fields. What cannot be read is `Unknown` or missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "the names are those of nixos-rebuild's JSON")]
pub struct Generation {
    /// Its number.
    pub generation: u64,
    /// When the system came into the store, in local time: `2026-11-24 08:30:00`.
    pub date: String,
    /// What its file `nixos-version` says.
    pub nixos_version: String,
    /// The version of its kernel.
    pub kernel_version: String,
    /// `system.configurationRevision`. If it is not set, `nixos-version` fails, and this is `Unknown`.
    pub configuration_revision: String,
    /// The names of its specialisations.
    pub specialisations: Vec<String>,
    /// Whether the profile is at this generation.
    pub current: bool,
}

/// The word for what cannot be read.
const UNKNOWN: &str = "Unknown";

/// The place of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationLink {
    /// Its number.
    pub number: u64,
    /// The link in the profile's directory.
    pub path: PathBuf,
    /// Whether the profile is at this generation.
    pub is_current: bool,
}

/// Returns the links of a profile's generations, newest first. The profile's own name may contain hyphens (at these,
/// nixos-rebuild ends with an error of Python's).
///
/// # Errors
/// Fails if there is no such profile.
pub fn links(profile: &Path) -> io::Result<Vec<GenerationLink>> {
    let current = fs::read_link(profile)?;
    let (Some(directory), Some(name)) = (profile.parent(), profile.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}-", name.to_string_lossy());
    let mut links: Vec<GenerationLink> = fs::read_dir(directory)?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(&prefix)?.strip_suffix("-link")?;
            Some(GenerationLink {
                number: number.parse().ok()?,
                is_current: current.file_name() == Some(&name),
                path: entry.path(),
            })
        })
        .collect();
    links.sort_by_key(|link| std::cmp::Reverse(link.number));
    Ok(links)
}

/// Reads a generation. `revision` is what its `nixos-version --configuration-revision` printed, if it succeeded.
#[must_use]
pub fn read(link: &GenerationLink, revision: Option<String>) -> Generation {
    let system = &link.path;
    let text = |name: &str| {
        let text = fs::read_to_string(system.join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Generation {
        generation: link.number,
        date: date(system).unwrap_or_else(|| UNKNOWN.to_owned()),
        nixos_version: text("nixos-version").unwrap_or_else(|| UNKNOWN.to_owned()),
        kernel_version: names(&system.join("kernel-modules/lib/modules"))
            .into_iter()
            .next()
            .unwrap_or_else(|| UNKNOWN.to_owned()),
        configuration_revision: revision.unwrap_or_else(|| UNKNOWN.to_owned()),
        specialisations: names(&system.join("specialisation")).into_iter().collect(),
        current: link.is_current,
    }
}

/// Returns the program of a generation that knows its revision, if there is one.
#[must_use]
pub fn reviser(link: &GenerationLink) -> Option<PathBuf> {
    let program = link.path.join("sw/bin/nixos-version");
    program.exists().then_some(program)
}

/// Returns when a system was made. It follows the link to the store path, and takes the time at which the store path
/// itself last changed.
fn date(system: &Path) -> Option<String> {
    let made = fs::metadata(system).ok()?;
    let time = DateTime::from_timestamp(made.ctime(), 0)?;
    Some(time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Makes a profile of this name with the generations 1, 2 and 10; 2 is the current one, and 1 is gone from the
    /// store.
    fn profile(name: &str) -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let system = place.path().join("store/system");
        for directory in [
            "kernel-modules/lib/modules/6.6.0",
            "specialisation/b",
            "specialisation/a",
        ] {
            fs::create_dir_all(system.join(directory)).unwrap();
        }
        fs::write(system.join("nixos-version"), "26.05pre\n").unwrap();
        for number in [2, 10] {
            symlink(&system, place.path().join(format!("{name}-{number}-link"))).unwrap();
        }
        symlink("/nonexistent/system", place.path().join(format!("{name}-1-link"))).unwrap();
        symlink(format!("{name}-2-link"), place.path().join(name)).unwrap();
        // These belong to other profiles.
        for other in ["other-7-link", "x-link", "-link"] {
            symlink(&system, place.path().join(format!("{name}-{other}"))).unwrap();
        }
        let path = place.path().join(name);
        (place, path)
    }

    #[test]
    fn a_profile_of_any_name_newest_first() {
        for name in ["system", "my-test", "my-2-link"] {
            let (_place, profile) = profile(name);
            let links = links(&profile).unwrap();
            let numbers: Vec<_> = links.iter().map(|link| (link.number, link.is_current)).collect();
            assert_eq!(numbers, [(10, false), (2, true), (1, false)], "{name}");
        }
    }

    #[test]
    fn what_a_generation_has_and_what_it_has_no_more() {
        let (_place, profile) = profile("system");
        let links = links(&profile).unwrap();
        let seen = read(&links[1], Some("abc".into()));
        assert_eq!(
            (seen.nixos_version.as_str(), seen.kernel_version.as_str(), seen.current),
            ("26.05pre", "6.6.0", true)
        );
        assert_eq!(seen.specialisations, ["a", "b"]);
        assert_eq!(seen.date.len(), "2026-11-24 08:30:00".len());
        let gone = read(&links[2], None);
        assert_eq!(
            (
                gone.date.as_str(),
                gone.nixos_version.as_str(),
                gone.kernel_version.as_str()
            ),
            (UNKNOWN, UNKNOWN, UNKNOWN)
        );
    }

    #[test]
    fn json_has_nixos_rebuilds_keys_in_its_order() {
        let generation = Generation {
            generation: 2,
            date: "2026-11-24 08:30:00".into(),
            nixos_version: "26.05".into(),
            kernel_version: "6.6.0".into(),
            configuration_revision: String::new(),
            specialisations: vec!["a".into()],
            current: true,
        };
        assert_eq!(
            serde_json::to_string_pretty(&[generation]).unwrap(),
            r#"[
  {
    "generation": 2,
    "date": "2026-11-24 08:30:00",
    "nixosVersion": "26.05",
    "kernelVersion": "6.6.0",
    "configurationRevision": "",
    "specialisations": [
      "a"
    ],
    "current": true
  }
]"#
        );
    }

    #[test]
    fn no_profile_is_an_error() {
        assert!(links(Path::new("/nonexistent/system")).is_err());
    }
}
