//! This machine's Nix settings, read from the same files and variables as Nix itself reads (manual: `nix.conf`), because
//! starting a Nix program to be told them would cost the client what it is to be spared.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Settings that change what an evaluation gives; the evaluator gets the client's. The others (builders, caches,
/// sandbox...) are the builder's own affair; `access-tokens` are secrets.
const OF_EVALUATION: [&str; 13] = [
    "accept-flake-config",
    "allow-import-from-derivation",
    "allow-unsafe-native-code-during-evaluation",
    "allowed-uris",
    "experimental-features",
    "extra-experimental-features",
    "flake-registry",
    "max-call-depth",
    "nix-path",
    "pure-eval",
    "restrict-eval",
    "tarball-ttl",
    "use-registries",
];

/// The settings in force here, by name; those that nobody set are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NixSettings {
    values: BTreeMap<String, String>,
}

impl NixSettings {
    /// Reads them for a process whose environment is `variable`.
    ///
    /// Files that are missing or cannot be read count as empty, as they do for Nix.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut settings = Self::default();
        for file in files(&variable) {
            settings.read_file(&file, 0);
        }
        if let Some(text) = variable("NIX_CONFIG") {
            settings.read_text(&text.to_string_lossy(), Path::new("/"), 0);
        }
        settings
    }

    /// One setting's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Those that change an evaluation, as the text of a `nix.conf`.
    #[must_use]
    pub fn of_evaluation(&self) -> String {
        OF_EVALUATION
            .iter()
            .filter_map(|name| Some(format!("{name} = {}\n", self.get(name)?)))
            .collect()
    }

    /// The system that this machine's Nix evaluates for: the setting `system`, or what Nix was built for.
    #[must_use]
    pub fn system(&self) -> String {
        match self.get("system") {
            Some(system) => system.to_owned(),
            None => format!("{}-linux", own_cpu()),
        }
    }

    fn read_file(&mut self, file: &Path, depth: u8) {
        if let Ok(text) = std::fs::read_to_string(file) {
            self.read_text(&text, file.parent().unwrap_or(Path::new("/")), depth);
        }
    }

    /// Later lines win; `extra-NAME` of a list is added to what NAME has.
    fn read_text(&mut self, text: &str, directory: &Path, depth: u8) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("include" | "!include"), Some(file)) if depth < 10 => {
                    self.read_file(&directory.join(file), depth + 1);
                }
                (Some(name), Some("=")) => {
                    let value: Vec<&str> = words.collect();
                    self.set(name, &value.join(" "));
                }
                _ => {}
            }
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let before = name.strip_prefix("extra-").and(self.values.get(name)).cloned();
        let value = match before {
            Some(before) => format!("{before} {value}"),
            None => value.to_owned(),
        };
        // A list that is set anew forgets what was added to it before.
        self.values.remove(&format!("extra-{name}"));
        self.values.insert(name.to_owned(), value);
    }
}

/// Nix's files in the order in which it applies them: the machine's, then the user's, whose first counts most.
fn files(variable: &impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let machine = path("NIX_CONF_DIR").unwrap_or_else(|| PathBuf::from("/etc/nix"));
    let mut files = vec![machine.join("nix.conf")];

    let mut of_user: Vec<PathBuf> = Vec::new();
    if let Some(list) = variable("NIX_USER_CONF_FILES") {
        of_user.extend(std::env::split_paths(&list));
    } else {
        let home = path("HOME");
        let own = path("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
        let shared = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| OsString::from("/etc/xdg"));
        of_user.extend(
            own.into_iter()
                .chain(std::env::split_paths(&shared))
                .map(|directory| directory.join("nix/nix.conf")),
        );
    }
    files.extend(of_user.into_iter().rev());
    files
}

/// The CPU that this program, and so this machine's Nix, was built for, in Nix's words. Not the kernel's: a 32-bit
/// system may run on a 64-bit kernel.
fn own_cpu() -> String {
    match std::env::consts::ARCH {
        "x86" => "i686".to_owned(),
        // Rust knows one "arm"; the kernel knows the version, unless it is a 64-bit one.
        "arm" => match nix::sys::utsname::uname() {
            Ok(name) if name.machine().as_encoded_bytes().starts_with(b"armv6") => "armv6l".to_owned(),
            _ => "armv7l".to_owned(),
        },
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> NixSettings {
        NixSettings::read(|name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_machine_then_the_user_then_the_environment() {
        let directory = tempfile::tempdir().unwrap();
        let conf = directory.path().join("nix.conf");
        let user = directory.path().join("user.conf");
        let included = directory.path().join("more.conf");
        std::fs::write(
            &conf,
            "# comment\nsystem = aarch64-linux # a Pi\nrestrict-eval = true\n!include more.conf\n!include absent\n",
        )
        .unwrap();
        std::fs::write(&included, "tarball-ttl = 7\nsubstituters =\n").unwrap();
        std::fs::write(&user, "restrict-eval=true\nrestrict-eval = false\n").unwrap();
        let directory = directory.path().to_str().unwrap();
        let settings = read(&[
            ("NIX_CONF_DIR", directory),
            ("NIX_USER_CONF_FILES", user.to_str().unwrap()),
            ("NIX_CONFIG", "nix-path = a=b  c\nextra-experimental-features = x"),
        ]);
        assert_eq!(settings.system(), "aarch64-linux");
        assert_eq!(settings.get("substituters"), Some(""));
        assert_eq!(
            settings.of_evaluation(),
            "extra-experimental-features = x\nnix-path = a=b c\nrestrict-eval = false\ntarball-ttl = 7\n"
        );
    }

    #[test]
    fn extra_values_add_up_until_the_list_is_set_anew() {
        let settings = read(&[
            ("NIX_CONF_DIR", "/absent"),
            ("NIX_USER_CONF_FILES", ""),
            (
                "NIX_CONFIG",
                "extra-allowed-uris = a\nallowed-uris = b\nextra-allowed-uris = c\nextra-allowed-uris = d",
            ),
        ]);
        assert_eq!(settings.get("allowed-uris"), Some("b"));
        assert_eq!(settings.get("extra-allowed-uris"), Some("c d"));
    }

    #[test]
    fn without_the_setting_the_system_is_this_programs_own() {
        let settings = read(&[("NIX_CONF_DIR", "/absent"), ("NIX_USER_CONF_FILES", "")]);
        assert!(
            settings.system().starts_with(std::env::consts::ARCH),
            "{}",
            settings.system()
        );
    }
}
