//! The last word: what was made, and where it is.

use std::path::Path;

use anyhow::Result;

use crate::directory;
use crate::output;
use crate::plan::ProductKind;
use crate::store_path::StorePath;

/// Says what the run has made. `file` is the file of an image in what was built.
pub(super) fn report(kind: &ProductKind, made: &StorePath, file: Option<&str>) -> Result<()> {
    let path = made.as_path();
    match kind {
        ProductKind::System => done("The new configuration is", made.as_str()),
        ProductKind::Vm | ProductKind::VmWithBootLoader => {
            done("The virtual machine can be started by running", &starter(path))
        }
        ProductKind::Image(_) => {
            let path = file.map_or_else(|| path.to_owned(), |file| path.join(file));
            done("The disk image can be found in", &path.to_string_lossy())
        }
    }
}

/// Returns the program that starts a virtual machine.
fn starter(result: &Path) -> String {
    let programs = result.join("bin");
    let mut names = directory::names(&programs).into_iter();
    let starter = names.find(|name| name.starts_with("run-") && name.ends_with("-vm"));
    // If it is on another machine, it cannot be seen from here.
    let path = starter.map_or_else(|| result.to_owned(), |name| programs.join(name));
    path.to_string_lossy().into_owned()
}

/// Writes the last line of all, "Done. ...", after the summary; the path alone goes to stdout.
fn done(text: &str, path: &str) -> Result<()> {
    output::begin(&format!("Done. {text} "));
    output::result(&format!("{path}\n")).map_err(|failure| {
        output::say("");
        failure.with_remedy(format!("all else was done. {text} {path}")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_machine_is_started_by_its_own_program() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(starter(directory.path()), directory.path().to_string_lossy());
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        for name in ["other", "run-pi-vm"] {
            std::fs::write(directory.path().join("bin").join(name), "").unwrap();
        }
        assert!(starter(directory.path()).ends_with("/bin/run-pi-vm"));
    }
}
