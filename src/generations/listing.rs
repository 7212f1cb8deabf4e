//! All generations of a profile. If only a generation itself knows something, its own program is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, anyhow};

use super::{Generation, GenerationLink, links, read, reviser};
use crate::failure::Failure;
use crate::process::Invocation;
use crate::process::signals::Signals;

/// At most this many programs run at a time, on a machine with at least as many processors.
const AT_ONCE: usize = 8;

/// What the programs of generations say; None for a program that does not know.
type Revisions = BTreeMap<PathBuf, Option<String>>;

/// Returns the profile's generations, newest first.
///
/// # Errors
/// Fails if there is no such profile, or if a signal asks this program to stop.
pub fn list(profile: &Path, signals: &Signals) -> Result<Vec<Generation>> {
    let links = links(profile).map_err(|error| {
        Failure::new(format!("there is no profile {}: {error}", profile.display()))
            .with_remedy("is this NixOS? another profile is named by --profile-name NAME")
    })?;
    let programs: Vec<Option<PathBuf>> = links.iter().map(real_reviser).collect();
    let revisions = revisions(&links, &programs, signals)?;
    let generations = links.iter().zip(&programs).map(|(link, program)| {
        let revision = program.as_ref().and_then(|program| revisions.get(program)?.clone());
        read(link, revision)
    });
    Ok(generations.collect())
}

/// Returns the real place of a generation's program. Most generations share one: the program differs only where nixpkgs
/// or the configuration's revision differs.
fn real_reviser(link: &GenerationLink) -> Option<PathBuf> {
    fs::canonicalize(reviser(link)?).ok()
}

/// Asks each program once, however many generations have it: a process for each generation took two minutes for 4,000.
fn revisions(links: &[GenerationLink], programs: &[Option<PathBuf>], signals: &Signals) -> Result<Revisions> {
    let known = links.iter().zip(programs);
    let known = known.filter_map(|(link, program)| Some((program.clone()?, reviser(link)?)));
    // The program is asked under the name that it has in a generation.
    let distinct: Vec<(PathBuf, PathBuf)> = known.collect::<BTreeMap<_, _>>().into_iter().collect();
    let workers = thread::available_parallelism().map_or(1, usize::from).min(AT_ONCE);
    let share = distinct.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        // The threads are collected in a list, because all must be started before the first one is waited for.
        let shares: Vec<_> = distinct
            .chunks(share)
            .map(|programs| scope.spawn(|| ask(programs, signals)))
            .collect();
        let joined = shares.into_iter().map(thread::ScopedJoinHandle::join);
        let answers = joined.map(|answers| answers.unwrap_or_else(|_| Err(anyhow!("a thread has failed"))));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        Ok(answers.into_iter().flatten().collect())
    })
}

fn ask(programs: &[(PathBuf, PathBuf)], signals: &Signals) -> Result<Revisions> {
    let answers = programs.iter().map(|(real, program)| {
        let output = Invocation::new(program)
            .arg("--configuration-revision")
            .quietly(signals);
        signals.check()?;
        let revision = output
            .ok()
            .map(|output| String::from_utf8_lossy(&output).trim().to_owned());
        Ok((real.clone(), revision))
    });
    answers.collect()
}

#[cfg(test)]
mod tests {
    use super::super::UNKNOWN;
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Makes a profile; each text is what the `nixos-version` of one system says.
    fn profile(place: &Path, systems: &[&str]) -> PathBuf {
        for (index, text) in systems.iter().enumerate() {
            let program = place.join(format!("{index}/sw/bin/nixos-version"));
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            fs::write(&program, text).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            symlink(
                place.join(index.to_string()),
                place.join(format!("my-test-{index}-link")),
            )
            .unwrap();
        }
        symlink("my-test-1-link", place.join("my-test")).unwrap();
        place.join("my-test")
    }

    /// The result is nixos-rebuild's: an error becomes `Unknown`; what is printed is taken, even if it is empty.
    #[test]
    fn each_system_says_its_own_revision_and_the_order_stays() {
        let place = tempfile::tempdir().unwrap();
        let systems = [
            "#!/bin/sh\n[ \"$1\" = --configuration-revision ] && echo abc",
            "#!/bin/sh\necho 'it is unknown' >&2; exit 1",
            "#!/bin/sh\n",
            "\u{7f}ELF of another processor",
            "#!/bin/sh\nsleep 0.1; echo last",
        ];
        let profile = profile(place.path(), &systems);
        symlink("/nonexistent/system", place.path().join("my-test-7-link")).unwrap();
        let all = list(&profile, &Signals::listen().unwrap()).unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|one| (one.generation, one.configuration_revision.as_str(), one.current))
            .collect();
        assert_eq!(
            seen,
            [
                (7, UNKNOWN, false),
                (4, "last", false),
                (3, UNKNOWN, false),
                (2, "", false),
                (1, UNKNOWN, true),
                (0, "abc", false),
            ]
        );
    }

    /// With thousands of generations, a process for each takes minutes.
    #[test]
    fn a_program_that_generations_share_is_asked_once() {
        let place = tempfile::tempdir().unwrap();
        let asked = place.path().join("asked");
        let one = format!("#!/bin/sh\necho >>'{}'; echo abc", asked.display());
        let profile = profile(place.path(), &[&one, "#!/bin/sh\necho of its own"]);
        for number in 2..40 {
            // It is as in the store: another system has a link to the same program.
            let programs = place.path().join(format!("{number}/sw/bin"));
            fs::create_dir_all(&programs).unwrap();
            symlink(
                place.path().join("0/sw/bin/nixos-version"),
                programs.join("nixos-version"),
            )
            .unwrap();
            symlink(
                place.path().join(number.to_string()),
                place.path().join(format!("my-test-{number}-link")),
            )
            .unwrap();
        }
        let all = list(&profile, &Signals::listen().unwrap()).unwrap();
        assert_eq!(all.len(), 40);
        for one in all {
            let expected = if one.generation == 1 { "of its own" } else { "abc" };
            assert_eq!(one.configuration_revision, expected, "{}", one.generation);
        }
        assert_eq!(fs::read_to_string(asked).unwrap(), "\n");
    }

    #[test]
    fn no_profile_is_an_error_that_names_it() {
        let error = list(Path::new("/nonexistent/system"), &Signals::listen().unwrap()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("there is no profile /nonexistent/system: "),
            "{error}"
        );
    }
}
