//! This machine's Nix as a command line uses it. It is read once for a run.

pub mod search_path;

use std::path::PathBuf;

use crate::nix_settings::NixSettings;
use crate::surroundings::Surroundings;
use search_path::SearchPath;

/// The variable that names the classic configuration.
const VARIABLE: &str = "NIXOS_CONFIG";

/// The settings and the search path of this machine's Nix.
#[derive(Debug, Clone)]
pub struct OwnNix {
    /// The settings of the machine and its user.
    pub of_files: NixSettings,
    /// The same settings with those of the command line (`--option`).
    pub settings: NixSettings,
    /// The places where `<name>` is looked for.
    pub search_path: SearchPath,
}

impl OwnNix {
    /// Reads them. `options` are the command line's `--option NAME VALUE`, as one list; `include` are its `-I`.
    #[must_use]
    pub fn read(around: &Surroundings, options: &[String], include: &[String]) -> Self {
        let of_files = NixSettings::read(around);
        let settings = of_files.with_options(options);
        let search_path = SearchPath::of(include, around, &settings);
        Self {
            of_files,
            settings,
            search_path,
        }
    }

    /// Returns whether the search path has this name, on this machine or at an address.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.search_path.find(name).is_some() || self.search_path.is_address(name)
    }
}

/// Returns the file or directory of the classic configuration, and what names it: first the variable, then the search
/// path, as in nixos/lib/from-env.nix.
#[must_use]
pub fn named_configuration(around: &Surroundings, search_path: &SearchPath) -> Option<(PathBuf, &'static str)> {
    let named = around.variable(VARIABLE).filter(|value| !value.is_empty());
    let by_variable = named.map(|value| (around.directory.join(value), VARIABLE));
    by_variable.or_else(|| Some((search_path.find("nixos-config")?, "<nixos-config>")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_variable_goes_before_the_search_path() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("one.nix");
        std::fs::write(&file, "").unwrap();
        let search_path = SearchPath::of_variable(&format!("nixos-config={}", file.display()), Path::new("/"));
        for (value, expected) in [
            ("/other.nix", (PathBuf::from("/other.nix"), VARIABLE)),
            ("", (file.clone(), "<nixos-config>")),
        ] {
            let around = Surroundings::with(&[(VARIABLE, value)]);
            assert_eq!(named_configuration(&around, &search_path), Some(expected));
        }
        assert_eq!(named_configuration(&Surroundings::with(&[]), &SearchPath::none()), None);
    }

    #[test]
    fn what_the_command_line_says_counts() {
        let around = Surroundings::with(&[("NIX_CONF_DIR", "/nonexistent")]);
        let options = ["system", "riscv64-linux"].map(str::to_owned);
        let nix = OwnNix::read(&around, &options, &["x=https://h/x.tar.gz".to_owned()]);
        assert_eq!(
            (nix.settings.get("system"), nix.of_files.get("system")),
            (Some("riscv64-linux"), None)
        );
        assert!(nix.knows("x") && !nix.knows("y"));
    }
}
