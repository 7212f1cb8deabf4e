//! All generations of a profile. What a generation alone knows of itself, its own program is asked for.

use std::path::Path;
use std::thread;

use anyhow::{Result, anyhow};

use super::{Generation, Link, links, read, reviser};
use crate::failure::Failure;
use crate::process::Invocation;
use crate::process::signals::Signals;

/// The number of programs at a time, on a machine with as many processors.
const AT_ONCE: usize = 8;

/// The profile's generations, newest first.
///
/// # Errors
/// When there is no such profile, and for a signal that asks us to stop.
pub fn list(profile: &Path, signals: &Signals) -> Result<Vec<Generation>> {
    let links = links(profile).map_err(|error| {
        Failure::new(format!("there is no profile {}: {error}", profile.display()))
            .with_remedy("is this NixOS? another profile is named by --profile-name NAME")
    })?;
    let workers = thread::available_parallelism().map_or(1, usize::from).min(AT_ONCE);
    let share = links.len().div_ceil(workers).max(1);
    let generations = thread::scope(|scope| {
        // A list: all must be started before the first is waited for.
        let shares: Vec<_> = links
            .chunks(share)
            .map(|links| scope.spawn(|| some(links, signals)))
            .collect();
        let joined = shares.into_iter().map(thread::ScopedJoinHandle::join);
        let lists = joined.map(|list| list.unwrap_or_else(|_| Err(anyhow!("a thread has failed"))));
        lists.collect::<Result<Vec<_>>>()
    })?;
    Ok(generations.concat())
}

fn some(links: &[Link], signals: &Signals) -> Result<Vec<Generation>> {
    links
        .iter()
        .map(|link| {
            let revision = reviser(link).and_then(|program| {
                let output = Invocation::new(program)
                    .arg("--configuration-revision")
                    .quietly(signals);
                Some(String::from_utf8_lossy(&output.ok()?).trim().to_owned())
            });
            signals.check()?;
            Ok(read(link, revision))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::UNKNOWN;
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    /// A profile whose systems have a `nixos-version` of this text each.
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

    /// As nixos-rebuild says it: an error is `Unknown`; what is printed is taken, even if it is nothing.
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
