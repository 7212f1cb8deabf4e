//! Nix's own flags, in groups: a group goes to the commands that take all of it and to no others.
//!
//! The groups and which command gets them are nixos-rebuild's (`nixos-rebuild-ng`, `models.py`), less its mistakes:
//! `--print-build-logs` and `--no-build-output` do not reach those commands that reject them.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueHint};

use crate::failure::Failure;

/// Those of Nix 2.34.
const LOG_FORMATS: [&str; 5] = ["bar", "bar-with-logs", "internal-json", "raw", "raw-with-logs"];

/// Words that the completions offer, where any other may be right, too: which there are depends on the Nix.
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

    /// Build at most so many derivations at once
    #[arg(long, short = 'j', value_name = "N")]
    pub max_jobs: Option<String>,

    /// Let each build use so many cores
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
    /// How much Nix says, as it counts: 3 without any flag, 0 errors alone, 7 everything.
    #[must_use]
    pub fn verbosity(&self) -> u8 {
        3u8.saturating_add(self.verbose).min(7).saturating_sub(self.quiet)
    }

    /// As arguments of a Nix command whose log we read ourselves: all but the log's form.
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

    /// As arguments of a Nix command on another machine: what [`CommonFlags::settings`] does not say, and the search path,
    /// which has no secrets and there would count less than `NIX_PATH`.
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

    /// The settings among them as lines of a `nix.conf`, in the order in which the command line would have them count. On
    /// another machine they must not be arguments, which all of its users can read.
    ///
    /// # Errors
    /// A setting that no line of a `nix.conf` can say: a `#` begins a comment there.
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

    /// As arguments of `nix copy`, which builds nothing.
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

    /// As arguments of a Nix command that writes its log to the user.
    #[must_use]
    pub fn arguments_with_log_format(&self) -> Vec<String> {
        let mut words = Words(self.arguments());
        words.value("--log-format", self.log_format.as_deref());
        words.0
    }

    /// The names and values after `--option`, of the settings that are so called.
    fn options(&self, is_meant: impl Fn(&str) -> bool) -> Vec<&[String]> {
        self.option.chunks_exact(2).filter(|pair| is_meant(&pair[0])).collect()
    }

    /// The value that the user gave to a Nix setting with `--option`; the last one counts.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let pairs = self.option.chunks_exact(2);
        pairs.rev().find(|pair| pair[0] == name).map(|pair| pair[1].as_str())
    }
}

/// A setting that counts before `NIX_PATH` on a command line, and after it in a `nix.conf`.
fn is_of_the_search_path(name: &str) -> bool {
    ["nix-path", "extra-nix-path"].contains(&name)
}

/// Flags that change what is evaluated, or what is said of its errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Nix")]
pub struct EvaluationFlags {
    /// Add a path to the Nix search path: PATH or NAME=PATH
    #[arg(long, short = 'I', value_name = "PATH", value_hint = ValueHint::AnyPath, action = ArgAction::Append)]
    pub include: Vec<String>,

    /// Show where in the configuration an evaluation error came from
    #[arg(long)]
    pub show_trace: bool,

    /// With --eval-host: let the configuration read this environment variable, though it may be a secret
    #[arg(long, value_name = "NAME", action = ArgAction::Append, help_heading = "Where the work is done", hide_short_help = true)]
    pub send_env: Vec<String>,
}

impl EvaluationFlags {
    /// As arguments of `nix-instantiate` or `nix-build`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        for entry in &self.include {
            words.value("-I", Some(entry));
        }
        words.flag("--show-trace", self.show_trace);
        words.0
    }
}

/// Flags that only the evaluation of a flake has.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Flakes")]
pub struct FlakeFlags {
    /// Accept the Nix settings that the flake asks for
    #[arg(long, hide_short_help = true)]
    pub accept_flake_config: bool,

    /// Look for new versions of what was fetched before
    #[arg(long, hide_short_help = true)]
    pub refresh: bool,

    /// Let the evaluation see the environment, <names> and files outside the flake
    #[arg(long)]
    pub impure: bool,

    /// Make the lock file anew
    #[arg(long, hide_short_help = true)]
    pub recreate_lock_file: bool,

    /// Fail if the lock file would change
    #[arg(long, hide_short_help = true)]
    pub no_update_lock_file: bool,

    /// Do not write a changed lock file
    #[arg(long, hide_short_help = true)]
    pub no_write_lock_file: bool,

    /// Look up no flake by a name of the registries
    #[arg(long, hide_short_help = true)]
    pub no_registries: bool,

    /// Commit a changed lock file
    #[arg(long, hide_short_help = true)]
    pub commit_lock_file: bool,

    /// Update one input in the lock file; may be given more than once
    #[arg(long, value_name = "INPUT", action = ArgAction::Append, hide_short_help = true)]
    pub update_input: Vec<String>,

    /// Use another flake for an input; may be given more than once
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"], value_hint = ValueHint::AnyPath, action = ArgAction::Append)]
    pub override_input: Vec<String>,

    /// Take what was fetched before as new enough, and use no substituters
    #[arg(long, hide_short_help = true)]
    pub offline: bool,

    /// As --offline
    #[arg(long, hide_short_help = true)]
    pub no_net: bool,
}

impl FlakeFlags {
    /// As arguments of Nix's new commands that evaluate.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        words.flag("--offline", self.offline);
        words.flag("--no-net", self.no_net);
        words.flag("--accept-flake-config", self.accept_flake_config);
        words.flag("--refresh", self.refresh);
        words.flag("--impure", self.impure);
        words.flag("--recreate-lock-file", self.recreate_lock_file);
        words.flag("--no-update-lock-file", self.no_update_lock_file);
        words.flag("--no-write-lock-file", self.no_write_lock_file);
        words.flag("--no-registries", self.no_registries);
        words.flag("--commit-lock-file", self.commit_lock_file);
        for input in &self.update_input {
            words.value("--update-input", Some(input));
        }
        for pair in self.override_input.chunks_exact(2) {
            words
                .0
                .extend(["--override-input".to_owned(), pair[0].clone(), pair[1].clone()]);
        }
        words.0
    }

    /// One of those that were given, by its name.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        self.arguments().into_iter().next()
    }
}

/// Flags of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Nix")]
pub struct BuildFlags {
    /// Machines to which Nix may give builds
    #[arg(long, value_name = "MACHINES", hide_short_help = true)]
    pub builders: Option<String>,

    /// Show the logs of builds
    #[arg(long, short = 'L')]
    pub print_build_logs: bool,

    /// Do not show the logs of builds
    #[arg(long, short = 'Q', visible_alias = "no-link", hide_short_help = true)]
    pub no_build_output: bool,
}

impl BuildFlags {
    /// As arguments of `nix-build`. No version of it has `--print-build-logs`: it shows logs unless it is told not to.
    #[must_use]
    pub fn nix_build_arguments(&self) -> Vec<String> {
        let mut words = Words(self.realise_arguments());
        words.flag("--no-build-output", self.no_build_output);
        words.0
    }

    /// As arguments of Nix's new commands. They have no `--no-build-output`: they show no logs unless they are told to.
    #[must_use]
    pub fn nix_arguments(&self) -> Vec<String> {
        let mut words = Words(self.realise_arguments());
        words.flag("--print-build-logs", self.print_build_logs);
        words.0
    }

    /// As arguments of `nix-store --realise` or `nix-instantiate`, whose log we read ourselves.
    #[must_use]
    pub fn realise_arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        words.value("--builders", self.builders.as_deref());
        words.0
    }
}

/// Flags of copying between stores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Nix")]
pub struct CopyFlags {
    /// Let the receiving machine fetch from its own substituters what they have
    #[arg(long, short = 's', visible_alias = "substitute-on-destination")]
    pub use_substitutes: bool,
}

impl CopyFlags {
    /// As arguments of `nix copy` or `nix-copy-closure`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        words.flag("-s", self.use_substitutes);
        words.0
    }
}

/// One line of a `nix.conf`.
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

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, name: &str, given: bool) {
        if given {
            self.0.push(name.to_owned());
        }
    }

    fn value(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.extend([name.to_owned(), value.to_owned()]);
        }
    }

    fn count(&mut self, letter: char, count: u8) {
        if count > 0 {
            self.0.push(format!("-{}", letter.to_string().repeat(count.into())));
        }
    }
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

    /// To Nix, of whatever version, `NIX_PATH` counts before a `nix.conf`, and the command line before both.
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

    /// What would be a comment, another line, or no setting at all.
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

    /// As they stand in nixos-rebuild's manual, which is the order in which its commands have them.
    #[test]
    fn the_flags_of_flakes() {
        let flags = FlakeFlags {
            accept_flake_config: true,
            refresh: true,
            impure: true,
            recreate_lock_file: true,
            no_update_lock_file: true,
            no_write_lock_file: true,
            no_registries: true,
            commit_lock_file: true,
            update_input: vec!["a".into(), "b".into()],
            override_input: ["c", "path:/d", "e", "f/g"].map(String::from).to_vec(),
            offline: true,
            no_net: true,
        };
        assert_eq!(
            flags.arguments().join(" "),
            "--offline --no-net --accept-flake-config --refresh --impure --recreate-lock-file --no-update-lock-file \
             --no-write-lock-file --no-registries --commit-lock-file --update-input a --update-input b \
             --override-input c path:/d --override-input e f/g"
        );
        assert_eq!(flags.first().as_deref(), Some("--offline"));
        assert_eq!(FlakeFlags::default().first(), None);
    }

    #[test]
    fn log_flags_reach_those_that_know_them() {
        let flags = BuildFlags {
            builders: Some("ssh://x".into()),
            print_build_logs: true,
            no_build_output: true,
        };
        assert_eq!(flags.realise_arguments(), ["--builders", "ssh://x"]);
        assert_eq!(flags.nix_arguments(), ["--builders", "ssh://x", "--print-build-logs"]);
        assert_eq!(
            flags.nix_build_arguments(),
            ["--builders", "ssh://x", "--no-build-output"]
        );
    }
}
