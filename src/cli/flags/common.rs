//! The flags that every Nix command has, and the settings that these flags give.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{ArgAction, Args};

use super::Words;
use crate::failure::Failure;

/// The formats of Nix 2.34.
const LOG_FORMATS: [&str; 5] = ["bar", "bar-with-logs", "internal-json", "raw", "raw-with-logs"];

/// Words that the completions offer. Any other word may be right, too, because the words depend on the Nix.
#[derive(Debug, Clone, Copy)]
struct Offered(&'static [&'static str]);

impl TypedValueParser for Offered {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// Flags that every Nix command understands.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Nix")]
pub struct CommonFlags {
    /// Say more; may be given more than once
    #[arg(long, short, action = ArgAction::Count)]
    pub verbose: u8,

    /// Say less; may be given more than once
    #[arg(long, action = ArgAction::Count, hide_short_help = true)]
    pub quiet: u8,

    /// Build at most N derivations at once
    #[arg(long, short = 'j', value_name = "N")]
    pub max_jobs: Option<String>,

    /// Let each build use N cores
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub cores: Option<String>,

    /// The format of the log: raw has plain lines, and those that end in -with-logs the logs of builds
    #[arg(long, value_name = "FORMAT", value_parser = Offered(&LOG_FORMATS), hide_possible_values = true, hide_short_help = true)]
    pub log_format: Option<String>,

    /// Go on with other builds after one has failed
    #[arg(long, short = 'k')]
    pub keep_going: bool,

    /// Keep the directory of a failed build
    #[arg(long, short = 'K', hide_short_help = true)]
    pub keep_failed: bool,

    /// Build what cannot be fetched
    #[arg(long, hide_short_help = true)]
    pub fallback: bool,

    /// Repair damaged store paths
    #[arg(long, hide_short_help = true)]
    pub repair: bool,

    /// Set a Nix option
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"], action = ArgAction::Append)]
    pub option: Vec<String>,
}

impl CommonFlags {
    /// Returns how much Nix says, as Nix counts it: 3 without any flag, 0 for errors alone, 7 for everything.
    #[must_use]
    pub fn verbosity(&self) -> u8 {
        3u8.saturating_add(self.verbose).min(7).saturating_sub(self.quiet)
    }

    /// Returns them as arguments of a Nix command whose log this program reads: all except the log's format.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        words.count('v', self.verbose);
        for _ in 0..self.quiet {
            words.flag("--quiet", true);
        }
        words.value("--max-jobs", self.max_jobs.as_deref());
        words.value("--cores", self.cores.as_deref());
        words.flag("--keep-going", self.keep_going);
        words.flag("--keep-failed", self.keep_failed);
        words.flag("--fallback", self.fallback);
        words.flag("--repair", self.repair);
        for pair in self.option.chunks_exact(2) {
            words
                .0
                .extend(["--option".to_owned(), pair[0].clone(), pair[1].clone()]);
        }
        words.0
    }

    /// Returns them as arguments of a Nix command on another machine: what [`CommonFlags::settings`] does not say, and
    /// the search path. The search path has no secrets, and in a file it would count less than `NIX_PATH`.
    #[must_use]
    pub fn arguments_there(&self) -> Vec<String> {
        let no_settings = Self {
            verbose: self.verbose,
            quiet: self.quiet,
            repair: self.repair,
            option: self.options(is_of_the_search_path).concat(),
            ..Self::default()
        };
        no_settings.arguments()
    }

    /// Returns the settings among them as lines of a `nix.conf`, in the order in which they count on a command line. On
    /// another machine they must not be arguments, because all users of that machine can read these.
    ///
    /// # Errors
    /// Fails for a setting that no line of a `nix.conf` can express: a `#` begins a comment there.
    pub fn settings(&self) -> Result<String, Failure> {
        let switch = |name, given: bool| given.then_some((name, "true"));
        let flags = [
            self.max_jobs.as_deref().map(|number| ("max-jobs", number)),
            self.cores.as_deref().map(|number| ("cores", number)),
            switch("keep-going", self.keep_going),
            switch("keep-failed", self.keep_failed),
            switch("fallback", self.fallback),
        ];
        let options = self.options(|name| !is_of_the_search_path(name));
        let options = options.iter().map(|pair| (pair[0].as_str(), pair[1].as_str()));
        flags
            .into_iter()
            .flatten()
            .chain(options)
            .map(|(name, value)| setting_line(name, value))
            .collect()
    }

    /// Returns them as arguments of `nix copy`, which builds nothing.
    #[must_use]
    pub fn arguments_of_copying(&self) -> Vec<String> {
        let of_copying = Self {
            verbose: self.verbose,
            quiet: self.quiet,
            option: self.option.clone(),
            ..Self::default()
        };
        of_copying.arguments()
    }

    /// Returns them as arguments of a Nix command that writes its log to the user.
    #[must_use]
    pub fn arguments_with_log_format(&self) -> Vec<String> {
        let mut words = Words(self.arguments());
        words.value("--log-format", self.log_format.as_deref());
        words.0
    }

    /// Returns the names and values after `--option` for the settings whose names satisfy `is_meant`.
    fn options(&self, is_meant: impl Fn(&str) -> bool) -> Vec<&[String]> {
        self.option.chunks_exact(2).filter(|pair| is_meant(&pair[0])).collect()
    }

    /// Returns the value that the user gave to a Nix setting with `--option`; the last one counts.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let pairs = self.option.chunks_exact(2);
        pairs.rev().find(|pair| pair[0] == name).map(|pair| pair[1].as_str())
    }
}

/// Returns whether it is a setting that counts before `NIX_PATH` on a command line, and after it in a `nix.conf`.
fn is_of_the_search_path(name: &str) -> bool {
    ["nix-path", "extra-nix-path"].contains(&name)
}

/// Returns one line of a `nix.conf`.
fn setting_line(name: &str, value: &str) -> Result<String, Failure> {
    let is_name = |name: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        !name.is_empty() && name != "include" && name.chars().all(is_letter)
    };
    if !is_name(name) {
        return Err(Failure::usage(format!(
            "--option {}: no setting of Nix has such a name",
            name.escape_debug()
        )));
    }
    if value.contains(['#', '\n']) {
        return Err(Failure::usage(format!(
            "--option {name}: a value with a '#' or a line break cannot go to another machine unseen by its users"
        ))
        .with_remedy(
            "set it in the nix.conf of that machine\nor evaluate and build here: --eval-on '' --build-on ''",
        ));
    }
    Ok(format!("{name} = {value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_flags_in_the_order_of_their_declaration() {
        let flags = CommonFlags {
            verbose: 2,
            cores: Some("3".into()),
            keep_going: true,
            option: ["a", "b", "c", "d e"].map(String::from).to_vec(),
            log_format: Some("raw".into()),
            ..CommonFlags::default()
        };
        let expected = [
            "-vv",
            "--cores",
            "3",
            "--keep-going",
            "--option",
            "a",
            "b",
            "--option",
            "c",
            "d e",
        ];
        assert_eq!(flags.arguments(), expected);
        assert_eq!(flags.arguments_with_log_format()[10..], ["--log-format", "raw"]);
    }

    #[test]
    fn settings_are_lines_and_the_rest_are_arguments() {
        let pair = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
        let flags = CommonFlags {
            verbose: 2,
            quiet: 1,
            repair: true,
            max_jobs: Some("2".into()),
            cores: Some("3".into()),
            keep_going: true,
            keep_failed: true,
            fallback: true,
            log_format: Some("raw".into()),
            option: [
                pair("access-tokens", "a=b c=d"),
                pair("extra-access-tokens", "e=f"),
                pair("max-jobs", "4"),
            ]
            .concat(),
        };
        assert_eq!(
            flags.settings().unwrap(),
            "max-jobs = 2\ncores = 3\nkeep-going = true\nkeep-failed = true\nfallback = true\n\
             access-tokens = a=b c=d\nextra-access-tokens = e=f\nmax-jobs = 4\n"
        );
        assert_eq!(flags.arguments_there(), ["-vv", "--quiet", "--repair"]);
    }

    /// In every version of Nix, `NIX_PATH` counts before a `nix.conf`, and the command line before both.
    #[test]
    fn the_search_path_stays_on_the_command_line() {
        let option = ["nix-path", "a=/a", "cores", "2", "extra-nix-path", "b=/b"];
        let flags = CommonFlags {
            option: option.map(str::to_owned).into(),
            ..CommonFlags::default()
        };
        assert_eq!(flags.settings().unwrap(), "cores = 2\n");
        let there = ["--option", "nix-path", "a=/a", "--option", "extra-nix-path", "b=/b"];
        assert_eq!(flags.arguments_there(), there);
    }

    /// These would be a comment, another line, or no setting at all.
    #[test]
    fn what_is_no_line_of_a_nix_conf_is_refused() {
        for (name, value) in [
            ("x", "a#b"),
            ("x", "a\nbuilders = b"),
            ("x y", "a"),
            ("include", "f"),
            ("!include", "f"),
            ("", ""),
        ] {
            let option = vec![name.to_owned(), value.to_owned()];
            let flags = CommonFlags {
                option,
                ..CommonFlags::default()
            };
            assert!(flags.settings().is_err(), "{name} {value}");
        }
        let option = vec!["builders".to_owned(), String::new()];
        let flags = CommonFlags {
            option,
            ..CommonFlags::default()
        };
        assert_eq!(flags.settings().unwrap(), "builders = \n");
    }

    #[test]
    fn the_last_option_of_a_name_counts() {
        let flags = CommonFlags {
            option: ["system", "a", "cores", "1", "system", "b"].map(String::from).to_vec(),
            ..CommonFlags::default()
        };
        assert_eq!(flags.setting("system"), Some("b"));
        assert_eq!(flags.setting("max-jobs"), None);
    }
}
