//! This machine's Nix settings, read from the same files and variables that Nix itself reads (manual: `nix.conf`). A
//! Nix program could tell them, but its start would cost the client the very work that it is to be spared.

pub mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::surroundings::{Directory, Surroundings};
use table::{Decision, decision, is_known};

/// The settings in force on this machine, by name; those that nobody set are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NixSettings {
    values: BTreeMap<String, NixSetting>,
    /// The place of the first line at which every Nix command fails.
    broken: Option<String>,
}

/// What is known of a setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct NixSetting {
    /// The value that it was set to; None if Nix's default holds.
    set: Option<String>,
    /// What `extra-NAME` has added to that value, or to Nix's default.
    added: Option<String>,
    /// Whether the command line has set it.
    is_typed: bool,
}

impl NixSettings {
    /// Reads the settings of this machine and user.
    ///
    /// Files that are missing or cannot be read count as empty, as they do for Nix.
    #[must_use]
    pub fn read(around: &Surroundings) -> Self {
        let mut settings = Self::default();
        // This variable is Nix's own way to set a setting; Nix's files come after it.
        let aborts = around.text("NIX_ABORT_ON_WARN");
        if aborts.is_some_and(|text| ["1", "true", "yes"].contains(&text.as_str())) {
            settings.set("abort-on-warn", "true");
        }
        for file in files(around) {
            settings.read_file(&file, 0);
        }
        if let Some(text) = around.variable("NIX_CONFIG") {
            settings.read_text(&text.to_string_lossy(), Path::new("NIX_CONFIG"), 0);
        }
        settings
    }

    /// Returns the settings with those of the command line added: `--option NAME VALUE`, given as one list of names and
    /// values.
    #[must_use]
    pub fn with_options(&self, options: &[String]) -> Self {
        let mut settings = self.clone();
        for pair in options.chunks_exact(2) {
            settings.set(&pair[0], &pair[1]);
            if let Some(value) = settings.values.get_mut(&pair[0]) {
                value.is_typed = true;
            }
        }
        settings
    }

    /// Returns the value that a setting was set to.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.set.as_deref()
    }

    /// Returns the names of the settings that were set or added to, with their values.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().flat_map(|(name, value)| {
            let values = [&value.set, &value.added].into_iter().flatten();
            values.map(move |value| (name.as_str(), value.as_str()))
        })
    }

    /// Returns whether the command line has set it (and not only added to it).
    #[must_use]
    pub fn is_typed(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.is_typed)
    }

    /// Returns what was added to Nix's own default of a setting that was not set.
    #[must_use]
    pub fn added(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.added.as_deref()
    }

    /// Returns the settings for an evaluation on another machine ([`table`]), as the text of a `nix.conf`. What was
    /// added to a setting that is not set is added there, too: to the default of that machine's Nix.
    #[must_use]
    pub fn of_evaluation(&self) -> String {
        let carried = self
            .values
            .iter()
            .filter(|(name, _)| decision(name) == Decision::Carried);
        carried
            .flat_map(|(name, value)| {
                let set = value.set.as_ref().map(|text| format!("{name} = {text}\n"));
                let added = value.added.as_ref().map(|text| format!("extra-{name} = {text}\n"));
                set.into_iter().chain(added)
            })
            .collect()
    }

    /// Checks whether another machine may evaluate with these settings.
    ///
    /// # Errors
    /// Fails if one of them makes an evaluation run programs or code of the machine that it is on, or if the Nix on
    /// this machine would read none of them.
    pub fn may_go(&self) -> Result<(), Failure> {
        if let Some(place) = &self.broken {
            return Err(Failure::new(format!("Nix does not read its settings: {place}"))
                .with_remedy("its own words: nix-instantiate --version"));
        }
        let in_force = |value: &&str| !["", "false"].contains(value);
        let refused = self.values.iter().find_map(|(name, value)| {
            let text = [&value.set, &value.added]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .find(in_force)?;
            (decision(name) == Decision::Refused).then_some((name, text))
        });
        let Some((name, text)) = refused else { return Ok(()) };
        Err(Failure::new(format!(
            "the Nix setting {name} = {text} would have the evaluation run another machine's programs or code"
        ))
        .with_remedy("evaluate here: --eval-on ''\nthe build can be there all the same: --build-on"))
    }

    /// Returns the settings that are carried and switched on: a Nix that does not know them would evaluate without them.
    #[must_use]
    pub fn decisive(&self) -> Vec<String> {
        let is_on = |value: &NixSetting| {
            value
                .set
                .as_deref()
                .is_some_and(|text| !["", "false", "ignore"].contains(&text))
        };
        let decisive = self
            .values
            .iter()
            .filter(|(name, value)| is_known(name) && is_on(value));
        decisive
            .filter(|(name, _)| decision(name) == Decision::Carried)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Returns the system that this machine's Nix evaluates for: the setting `system`, or the system that Nix was built
    /// for.
    #[must_use]
    pub fn system(&self) -> String {
        match self.get("system") {
            Some(system) => system.to_owned(),
            None => format!("{}-linux", own_cpu()),
        }
    }

    fn read_file(&mut self, file: &Path, depth: u8) {
        if let Ok(text) = std::fs::read_to_string(file) {
            self.read_text(&text, file, depth);
        }
    }

    /// Reads a text. Later lines overrule earlier ones.
    fn read_text(&mut self, text: &str, file: &Path, depth: u8) {
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [word @ ("include" | "!include"), included] => {
                    let path = file.parent().unwrap_or(Path::new("/")).join(included);
                    if word == "include" && !path.exists() {
                        self.is_broken(file, number, &format!("there is no {}", path.display()));
                    } else if depth < 10 {
                        self.read_file(&path, depth + 1);
                    }
                }
                [name, "=", ref value @ ..] => self.set(name, &value.join(" ")),
                _ => self.is_broken(file, number, "it is no setting"),
            }
        }
    }

    /// Notes a broken line. The line itself is not repeated, because it may contain a token.
    fn is_broken(&mut self, file: &Path, number: usize, why: &str) {
        let place = format!("{}, line {}: {why}", file.display(), number + 1);
        self.broken.get_or_insert(place);
    }

    /// Sets a setting. `extra-NAME` adds to NAME's value; a new value for NAME drops what was added before.
    fn set(&mut self, name: &str, value: &str) {
        let append = |before: &str| format!("{before} {value}").trim().to_owned();
        let Some(base) = name.strip_prefix("extra-").filter(|_| name != "extra-platforms") else {
            let set = Some(value.to_owned());
            self.values.insert(
                name.to_owned(),
                NixSetting {
                    set,
                    ..NixSetting::default()
                },
            );
            return;
        };
        let known = self.values.entry(base.to_owned()).or_default();
        match &mut known.set {
            Some(before) => *before = append(before),
            None => known.added = Some(append(known.added.as_deref().unwrap_or_default())),
        }
    }
}

/// Returns Nix's files in the order in which Nix applies them: the machine's, then the user's, of which the first
/// counts most.
fn files(around: &Surroundings) -> Vec<PathBuf> {
    let mut files = vec![machines_directory(around).join("nix.conf")];
    let mut of_user: Vec<PathBuf> = Vec::new();
    if let Some(list) = around.variable("NIX_USER_CONF_FILES") {
        of_user.extend(std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()));
    } else {
        let shared = around.text("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".to_owned());
        of_user.push(around.nix_directory(Directory::Config).join("nix.conf"));
        of_user.extend(
            std::env::split_paths(&shared)
                .filter(|path| !path.as_os_str().is_empty())
                .map(|directory| directory.join("nix/nix.conf")),
        );
    }
    files.extend(of_user.into_iter().rev());
    files
}

/// Returns the directory of the machine's own files of Nix.
#[must_use]
pub fn machines_directory(around: &Surroundings) -> PathBuf {
    let named = around.variable("NIX_CONF_DIR").filter(|value| !value.is_empty());
    named.map_or_else(|| PathBuf::from("/etc/nix"), PathBuf::from)
}

/// Returns the CPU that this program, and so this machine's Nix, was built for, in Nix's words. It need not be the
/// kernel's: a 32-bit system may run on a 64-bit kernel.
fn own_cpu() -> String {
    match std::env::consts::ARCH {
        "x86" => "i686".to_owned(),
        // Rust knows a single "arm". The kernel knows the version, unless it is a 64-bit kernel.
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
        NixSettings::read(&Surroundings::with(variables))
    }

    fn of(text: &str) -> NixSettings {
        read(&[
            ("NIX_CONF_DIR", "/absent"),
            ("NIX_USER_CONF_FILES", ""),
            ("NIX_CONFIG", text),
        ])
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
    fn a_variable_that_is_a_setting_counts() {
        for (value, expected) in [
            ("1", "abort-on-warn = true\n"),
            ("yes", "abort-on-warn = true\n"),
            ("0", ""),
        ] {
            let settings = read(&[("NIX_CONF_DIR", "/nowhere"), ("NIX_ABORT_ON_WARN", value)]);
            assert_eq!(settings.of_evaluation(), expected, "{value}");
        }
        let unset = [
            ("NIX_CONF_DIR", "/nowhere"),
            ("NIX_ABORT_ON_WARN", "true"),
            ("NIX_CONFIG", "abort-on-warn = false"),
        ];
        assert_eq!(read(&unset).of_evaluation(), "abort-on-warn = false\n");
    }

    #[test]
    fn extra_values_add_up_until_the_list_is_set_anew() {
        let settings = of("extra-allowed-uris = a\nallowed-uris = b\nextra-allowed-uris = c\nextra-allowed-uris = d");
        assert_eq!(settings.get("allowed-uris"), Some("b c d"));
        assert_eq!(settings.of_evaluation(), "allowed-uris = b c d\n");
    }

    /// Such settings add to Nix's own default.
    #[test]
    fn what_is_added_to_nothing_stays_an_addition() {
        let settings = of("extra-nix-path = nixpkgs=/a\nextra-nix-path = b=/b");
        assert_eq!(
            (settings.get("nix-path"), settings.added("nix-path")),
            (None, Some("nixpkgs=/a b=/b"))
        );
        let settings = settings.with_options(&["extra-nix-path".into(), "c=/c".into()]);
        assert_eq!(settings.added("nix-path"), Some("nixpkgs=/a b=/b c=/c"));
        assert_eq!(
            of("extra-experimental-features = x\nextra-allowed-uris = y").of_evaluation(),
            "extra-allowed-uris = y\nextra-experimental-features = x\n"
        );
    }

    #[test]
    fn what_changes_an_evaluation_goes_and_what_nobody_knows_too() {
        let settings = of(
            "allow-dirty = false\nwarn-dirty = false\nabort-on-warn = true\naccess-tokens = a=b\n\
             binary-caches = x\nextra-platforms = y\nof-a-later-nix = z\nlint-url-literals = fatal",
        );
        assert_eq!(
            settings.of_evaluation(),
            "abort-on-warn = true\nallow-dirty = false\nlint-url-literals = fatal\nof-a-later-nix = z\nwarn-dirty = false\n"
        );
        assert_eq!(settings.decisive(), ["abort-on-warn", "lint-url-literals"]);
    }

    /// Nix fails at these lines, with its own words for them (seen with 2.26), and does not read what comes after.
    #[test]
    fn what_nix_does_not_read_is_refused() {
        for (text, place) in [
            ("garbage", "NIX_CONFIG, line 1: it is no setting"),
            (
                "cores = 3 # x\n\naccess-tokens github.com=T",
                "NIX_CONFIG, line 3: it is no setting",
            ),
            ("include /none/x", "NIX_CONFIG, line 1: there is no /none/x"),
            ("include a b", "NIX_CONFIG, line 1: it is no setting"),
        ] {
            let message = of(text).may_go().unwrap_err().to_string();
            assert!(message.ends_with(place), "{message}");
        }
        for text in ["", "# x", "cores =", "!include /none/x", "  a = b c"] {
            assert!(of(text).may_go().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_would_run_the_others_code_is_refused() {
        for (text, refused) in [
            ("allow-unsafe-native-code-during-evaluation = true", true),
            ("allow-unsafe-native-code-during-evaluation = false", false),
            ("plugin-files = /lib/x.so", true),
            ("extra-plugin-files = /lib/x.so", true),
            ("plugin-files =", false),
        ] {
            assert_eq!(of(text).may_go().is_err(), refused, "{text}");
        }
        let option = ["plugin-files".to_owned(), "/x.so".to_owned()];
        assert!(NixSettings::default().with_options(&option).may_go().is_err());
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
