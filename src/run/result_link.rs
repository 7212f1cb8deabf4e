//! The link `./result`. It is checked before the long work: if it turned out afterwards that the link cannot be made,
//! the build would be lost.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use nix::errno::Errno;

use crate::failure::Failure;
use crate::host::Place;
use crate::plan::{Deployment, Outcome};

/// Checks that Nix will be able to make the link in `directory`, if the plan leaves one.
///
/// # Errors
/// Fails if Nix will not be able to.
pub(super) fn require(plan: &Deployment, directory: &Path) -> Result<(), Failure> {
    if plan.outcome == Outcome::Link && plan.target == Place::Here {
        check(directory)
    } else {
        Ok(())
    }
}

fn check(directory: &Path) -> Result<(), Failure> {
    let link = directory.join("result");
    if let Ok(data) = fs::symlink_metadata(&link) {
        // Nix replaces links of its own making, and nothing else.
        let is_nix_own = data.is_symlink() && fs::read_link(&link).is_ok_and(|to| to.starts_with("/nix/store"));
        if !is_nix_own {
            return Err(Failure::new(format!(
                "{} is no link into the store, and Nix replaces nothing else: nothing was done",
                link.display()
            ))
            .with_remedy("move it away, or build in another directory"));
        }
        if is_anothers_for_good(&data, directory) {
            return Err(Failure::new(format!(
                "{} is another user's, and in {} nobody may replace what is not theirs: nothing was done",
                link.display(),
                directory.display()
            ))
            .with_remedy("build in another directory: cd"));
        }
    }
    // Only a try shows it for certain: rights, a read-only file system, a full one. The file is removed at once.
    let tried = tempfile::Builder::new()
        .prefix(".result-")
        .make_in(directory, |path| symlink("/nix/store", path));
    match tried {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(directory, &error)),
    }
}

/// Returns whether the kernel keeps this user from replacing the link, in a directory like /tmp ("sticky").
fn is_anothers_for_good(link: &Metadata, directory: &Path) -> bool {
    let own = nix::unistd::geteuid();
    fs::metadata(directory).is_ok_and(|place| {
        place.mode() & STICKY != 0 && !own.is_root() && ![place.uid(), link.uid()].contains(&own.as_raw())
    })
}

/// The "sticky" bit of a directory's mode.
const STICKY: u32 = 0o1000;

fn refused(directory: &Path, error: &io::Error) -> Failure {
    let why = match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        Errno::EACCES => "this user may not write there".to_owned(),
        // vfat and exfat, on a boot partition or a stick, answer like this.
        Errno::EPERM => "there are no links on that file system, or that directory may not be changed".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(format!(
        "the link 'result' cannot be made in {}: {why}; nothing was done",
        directory.display()
    ))
    .with_remedy("build in another directory: cd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nix_would_not_replace_is_refused_and_nothing_is_left() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("result");
        assert_eq!(check(place.path()), Ok(()));
        symlink("/nix/store/00000000000000000000000000000000-x", &link).unwrap();
        assert_eq!(check(place.path()), Ok(()));
        fs::remove_file(&link).unwrap();
        symlink("/etc", &link).unwrap();
        assert!(check(place.path()).is_err());
        fs::remove_file(&link).unwrap();
        fs::create_dir(&link).unwrap();
        let failure = check(place.path()).unwrap_err();
        assert!(
            failure.to_string().contains("/result is no link into the store"),
            "{failure}"
        );
        fs::remove_dir(&link).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_nothing_can_be_made_is_said() {
        for directory in ["/proc", "/nonexistent"] {
            let failure = check(Path::new(directory)).unwrap_err();
            let start = format!("the link 'result' cannot be made in {directory}: ");
            assert!(failure.to_string().starts_with(&start), "{failure}");
            assert!(failure.remedy().is_some());
        }
        // On a file system without links, the user's rights are not the reason.
        for (error, why) in [
            (Errno::EACCES, "this user may not write there"),
            (Errno::EPERM, "there are no links on that file system"),
            (Errno::EROFS, "Read-only file system"),
            (Errno::EDQUOT, "quota exceeded"),
        ] {
            let failure = refused(Path::new("/mnt"), &error.into());
            assert!(failure.to_string().contains(why), "{failure}");
        }
    }
}
