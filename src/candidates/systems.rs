//! The systems of this machine: profiles, generations, specialisations.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Candidate, Places, is_harmless};
use crate::directory;
use crate::generations;

/// Returns the profiles for systems.
pub fn profiles(directory: &Path) -> BTreeSet<String> {
    let all = names(&directory.join("system-profiles"));
    let named = all.iter().filter(|name| !is_generation(name, &all)).cloned();
    named.chain(["system".to_owned()]).collect()
}

/// Returns whether a name is `NAME-12-link` for a profile that exists.
fn is_generation(name: &str, all: &BTreeSet<String>) -> bool {
    let numbered = name.strip_suffix("-link").and_then(|name| name.rsplit_once('-'));
    numbered.is_some_and(|(profile, number)| number.parse::<u64>().is_ok() && all.contains(profile))
}

/// Returns the specialisations of the current system. If it runs as a specialisation, it has none; then they are those
/// of the system that the profile is at.
pub fn specialisations(places: &Places) -> BTreeSet<String> {
    let of = |system: &Path| names(&system.join("specialisation"));
    let running = of(&places.system);
    if running.is_empty() {
        of(&places.profiles.join("system"))
    } else {
        running
    }
}

/// Returns the links to the system's generations, newest first, with what each generation says about itself.
pub fn generations(profiles: &Path) -> Vec<Candidate> {
    let links = generations::links(&profiles.join("system")).unwrap_or_default();
    // A generation that is gone from the store cannot be used.
    let links = links.into_iter().filter(|link| link.path.exists());
    let candidates = links.filter_map(|link| {
        let generation = generations::read(&link, None);
        let current = if link.is_current { " (current)" } else { "" };
        Some(Candidate {
            text: link.path.to_str()?.to_owned(),
            description: Some(format!("{} {}{current}", generation.date, generation.nixos_version)),
        })
    });
    candidates.collect()
}

/// Returns those names in a directory that may be offered to a shell.
fn names(place: &Path) -> BTreeSet<String> {
    let names = directory::names(place).into_iter();
    names.filter(|name| is_harmless(name, "+")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, places, write};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn profiles_and_not_their_generations() {
        let (_root, places) = places();
        let directory = places.profiles.join("system-profiles");
        for name in ["test", "test-1-link", "test-12-link", "x-link", "my-2-link"] {
            write(&directory.join(name), "");
        }
        assert_eq!(ask(&places, &["profiles"]), ["my-2-link", "system", "test", "x-link"]);
        assert_eq!(ask(&places, &["profiles", "t"]), ["test"]);
    }

    #[test]
    fn specialisations_of_the_running_system_or_of_the_profiles() {
        let (_root, places) = places();
        fs::create_dir_all(places.profiles.join("system/specialisation/dark")).unwrap();
        assert_eq!(ask(&places, &["specialisations"]), ["dark"]);
        for name in ["work", "play"] {
            fs::create_dir_all(places.system.join("specialisation").join(name)).unwrap();
        }
        assert_eq!(ask(&places, &["specialisations"]), ["play", "work"]);
    }

    #[test]
    fn generations_are_links_newest_first() {
        let (root, places) = places();
        write(&root.path().join("store/a/nixos-version"), "26.05.1\n");
        let profile = places.profiles.join("system");
        for number in [2, 10] {
            symlink(
                root.path().join("store/a"),
                places.profiles.join(format!("system-{number}-link")),
            )
            .unwrap();
        }
        symlink("/nonexistent", places.profiles.join("system-1-link")).unwrap();
        symlink("system-10-link", &profile).unwrap();
        let seen = ask(&places, &["generations", ""]);
        let paths: Vec<_> = seen.iter().map(|line| line.split_once('\t').unwrap()).collect();
        let path = |number: u64| format!("{}-{number}-link", profile.display());
        assert_eq!(
            paths.iter().map(|(path, _)| (*path).to_owned()).collect::<Vec<_>>(),
            [path(10), path(2)]
        );
        assert!(
            paths[0].1.starts_with("20") && paths[0].1.ends_with(" 26.05.1 (current)"),
            "{seen:?}"
        );
        assert!(paths[1].1.ends_with(" 26.05.1"), "{seen:?}");
        assert_eq!(ask(&places, &["generations", &path(1)[..path(1).len() - 5]]).len(), 1);
        assert_eq!(ask(&places, &["generations", "./x"]), [""; 0]);
    }
}
