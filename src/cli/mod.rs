//! The command line: nixos-rebuild's, with a host for each role.
//!
//! One definition makes the parser, `--help`, the completions and the option part of the manual.

pub mod flags;

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum, ValueHint};

use crate::vocabulary::{Elevation, Fallback};
use flags::{BuildFlags, CommonFlags, CopyFlags, EvaluationFlags, FlakeFlags};

/// What the user typed.
#[derive(Debug, Parser)]
#[command(
    name = "rebuild",
    version,
    about = "nixos-rebuild for small machines: evaluate and build on a stronger host, switch here",
    override_usage = "rebuild VERB [OPTION...]",
    help_template = template(),
    after_help = "Nix's other flags, and what each of these means: rebuild help",
    after_long_help = "",
    args_override_self = true,
    disable_help_flag = true
)]
pub struct Arguments {
    /// What to do
    // The template lists the verbs, each with what it does, on a line of its own.
    #[arg(value_enum, default_value_t = Verb::Help, hide_default_value = true, hide_short_help = true, hide_long_help = true)]
    pub verb: Verb,

    /// Who does what.
    #[command(flatten)]
    pub roles: RoleFlags,

    /// What is evaluated.
    #[command(flatten)]
    pub configuration: ConfigurationFlags,

    /// What becomes of the result.
    #[command(flatten)]
    pub activation: ActivationFlags,

    /// How the user becomes root.
    #[command(flatten)]
    pub rights: RightsFlags,

    /// Flags of single verbs.
    #[command(flatten)]
    pub verbs: VerbFlags,

    /// What has to do with settings.
    #[command(flatten)]
    pub settings: SettingFlags,

    /// Flags that every Nix command understands.
    #[command(flatten)]
    pub common: CommonFlags,

    /// Flags of the evaluation.
    #[command(flatten)]
    pub evaluation: EvaluationFlags,

    /// Flags of flakes.
    #[command(flatten)]
    pub flake: FlakeFlags,

    /// Flags of the build.
    #[command(flatten)]
    pub build: BuildFlags,

    /// Flags of copying between stores.
    #[command(flatten)]
    pub copy: CopyFlags,

    /// Flags that are understood and mean nothing, or something by another name.
    #[command(flatten)]
    pub other: OtherFlags,

    /// Print help
    // The help fills a screen or two; the manual has everything.
    #[arg(short, long, help_heading = None, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
}

/// What to do with the configuration; the words are nixos-rebuild's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verb {
    /// Build, make it the default at boot, and activate it
    Switch,
    /// Build and make it the default for booting
    Boot,
    /// Build and activate it now, until the next boot
    Test,
    /// Keep a change that waits to be confirmed
    Confirm,
    /// Build and leave a link named 'result' here
    Build,
    /// Show what would be built or fetched
    #[value(alias = "dry-run")]
    DryBuild,
    /// Build and show what activating it would change
    DryActivate,
    /// Build a script that runs it in a virtual machine
    BuildVm,
    /// The same, with the boot loader
    BuildVmWithBootloader,
    /// Build a disk image
    BuildImage,
    /// Open the configuration in an editor
    Edit,
    /// Open the configuration in 'nix repl'
    Repl,
    /// List the generations of the profile
    ListGenerations,
    /// Show what runs on the builder, or has ended there
    Status,
    /// Follow what runs on the builder
    Attach,
    /// End what runs on the builder
    Cancel,
    /// Look at what a run needs, and say what to do
    Doctor,
    /// Open the manual
    Help,
}

/// Returns the help: the verbs, then the flags in groups.
fn template() -> String {
    let verbs = Verb::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let lines = verbs.map(|verb| {
        let help = verb.get_help().map(ToString::to_string).unwrap_or_default();
        format!("  {:24}  {help}\n", verb.get_name())
    });
    let lines: String = lines.collect();
    format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\nVerbs:\n{lines}\n{{all-args}}{{after-help}}\n")
}

/// The help of `--release-site`.
const RELEASE_SITE: &str = "Where the evaluator fetches the release that this machine's channel is; '': it is sent \
                            (default: https://releases.nixos.org)";

/// `--eval-host`, `--build-host`, `--target-host`, and how they are dealt with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Hosts")]
pub struct RoleFlags {
    /// Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers
    #[arg(long, visible_alias = "eval-on", value_name = "HOST[,HOST...]", value_hint = ValueHint::Hostname)]
    pub eval_host: Option<String>,

    /// Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers
    #[arg(long, visible_alias = "build-on", value_name = "HOST[,HOST...]", value_hint = ValueHint::Hostname)]
    pub build_host: Option<String>,

    /// Activate there; evaluate and build here unless the other two say otherwise
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub target_host: Option<String>,

    /// What to do if the evaluator or builder cannot be reached
    #[arg(long, value_enum, value_name = "HOW")]
    pub if_unreachable: Option<Fallback>,

    /// If none of them answers: run this command here, once, and wait for the first that wakes
    #[arg(long, value_name = "COMMAND")]
    pub wake: Option<String>,

    /// How long to wait for that (default: 120)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub wake_timeout: Option<u32>,

    /// If the link breaks while the work goes on there: how long to try to connect again; 0: not at all (default: 900)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86400))]
    pub reconnect_timeout: Option<u32>,

    /// How long the work there goes on while nobody follows it (default: 43200)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub unattended_timeout: Option<u32>,

    /// Where the evaluator fetches the release that this machine's channel is; '': it is sent (default:
    /// <https://releases.nixos.org>)
    #[arg(long, value_name = "URL", help = RELEASE_SITE, value_parser = crate::vocabulary::address)]
    pub release_site: Option<String>,

    /// Lend no Nix daemon to the builder: the result is fetched by a second connection
    #[arg(long)]
    pub no_lend: bool,

    /// With --eval-host: evaluate here as well, and go on only if both give the same derivation
    #[arg(long)]
    pub verify_eval: bool,
}

/// Which file or flake is the configuration.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigurationFlags {
    /// A flake (default: the current directory) and one of its nixosConfigurations (default: the target's name)
    #[arg(long, short = 'F', value_name = "URI[#NAME]", value_hint = ValueHint::AnyPath, num_args = 0..=1, default_missing_value = ".", overrides_with = "no_flake", value_parser = no_verb)]
    pub flake: Option<String>,

    /// No flake, even if there is an /etc/nixos/flake.nix
    #[arg(long, overrides_with = "flake")]
    pub no_flake: bool,

    /// A Nix file, or a directory with a system.nix or default.nix, that evaluates to a configuration or a set of them
    #[arg(long, short = 'f', value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub file: Option<String>,

    /// Where in the file the configuration is; without --file in ./system.nix, ./default.nix, <nixos-system> or
    /// /etc/nixos/system.nix
    #[arg(long, short = 'A', value_name = "ATTRIBUTE")]
    pub attr: Option<String>,
}

/// Refuses a verb as a flake: in `--flake switch`, nixos-rebuild takes the verb for the flake, and then shows its
/// manual.
fn no_verb(text: &str) -> Result<String, String> {
    if Verb::from_str(text, false).is_ok() {
        return Err(format!("this is a verb: write {text} --flake, or --flake ./{text}"));
    }
    Ok(text.to_owned())
}

/// What becomes of the result.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Activation")]
pub struct ActivationFlags {
    /// Use the profile /nix/var/nix/profiles/system-profiles/NAME
    #[arg(long, short = 'p', value_name = "NAME", default_value = "system")]
    pub profile_name: String,

    /// Activate this specialisation of the configuration, or build its virtual machine or image
    #[arg(long, short = 'c', value_name = "NAME")]
    pub specialisation: Option<String>,

    /// Go back to the generation before the current one; nothing is built
    #[arg(long)]
    pub rollback: bool,

    /// Take a system that was built before; nothing is built
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, conflicts_with_all = ["rollback", "flake", "file", "attr"])]
    pub store_path: Option<PathBuf>,

    /// Update root's channel 'nixos' first, and those with a file .update-on-nixos-rebuild
    #[arg(long)]
    pub upgrade: bool,

    /// Update all of root's channels first
    #[arg(long)]
    pub upgrade_all: bool,

    /// Show which packages change
    #[arg(long)]
    pub diff: bool,

    /// Show which packages change, then ask whether to go on: before switch, boot and test
    #[arg(long, short = 'a')]
    pub ask: bool,

    /// If the activation fails, activate the system of before again, and put the profile back: switch, boot and test
    #[arg(long)]
    pub rollback_on_failure: bool,

    /// Go back unless it is confirmed within so many seconds (60) that the machine can be reached: switch and test
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60", overrides_with = "no_confirm", value_parser = clap::value_parser!(u32).range(1..=86400))]
    pub confirm: Option<u32>,

    /// With --confirm, for this machine: confirm it by reaching HOST (default: the builder; '': by rebuild confirm)
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname)]
    pub confirm_by: Option<String>,

    /// Install the boot loader again
    #[arg(long)]
    pub install_bootloader: bool,
}

/// How the user becomes root on the machine that is changed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Privileges")]
pub struct RightsFlags {
    /// Become root by this program where the system is changed
    #[arg(long, value_enum, value_name = "HOW")]
    pub elevate: Option<Elevation>,

    /// As --elevate sudo
    #[arg(long)]
    pub sudo: bool,

    /// Ask for the password here, once, before the long work; as --elevate sudo if that is not given
    #[arg(long, short = 'S', visible_alias = "ask-sudo-password")]
    pub ask_elevate_password: bool,
}

/// Flags that only one verb has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Single verbs")]
pub struct VerbFlags {
    /// build-image: which image; without it, the images are listed
    #[arg(long, value_name = "VARIANT")]
    pub image_variant: Option<String>,

    /// build: leave when the builder builds; switch, boot, test: go on as a unit of systemd
    #[arg(long)]
    pub detach: bool,

    /// list-generations, status, doctor, --show-settings: as JSON
    #[arg(long)]
    pub json: bool,

    /// attach, cancel: the job whose name begins like this
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,

    /// cancel: all jobs that run
    #[arg(long, conflicts_with = "job")]
    pub all: bool,
}

/// The settings themselves, and how one that a file or the environment turns on is turned off for this once; of a flag
/// and its opposite the last one counts.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingFlags {
    /// Show what applies and where it came from, and do nothing else
    #[arg(long)]
    pub show_settings: bool,

    /// Keep no log of this run for bug reports
    #[arg(long, hide_short_help = true, overrides_with = "log")]
    pub no_log: bool,

    /// The opposite of --no-log
    #[arg(long, hide = true, overrides_with = "no_log")]
    pub log: bool,

    /// The opposite of --no-lend
    #[arg(long, hide = true, overrides_with = "no_lend")]
    pub lend: bool,

    /// The opposite of --verify-eval
    #[arg(long, hide = true, overrides_with = "verify_eval")]
    pub no_verify_eval: bool,

    /// The opposite of --ask
    #[arg(long, hide = true, overrides_with = "ask")]
    pub no_ask: bool,

    /// The opposite of --diff
    #[arg(long, hide = true, overrides_with = "diff")]
    pub no_diff: bool,

    /// The opposite of --rollback-on-failure
    #[arg(long, hide = true, overrides_with = "rollback_on_failure")]
    pub no_rollback_on_failure: bool,

    /// The opposite of --confirm
    #[arg(long, hide = true, overrides_with = "confirm")]
    pub no_confirm: bool,

    /// The opposite of --use-substitutes
    #[arg(long, hide = true, overrides_with = "use_substitutes")]
    pub no_use_substitutes: bool,
}

/// Accepted for nixos-rebuild's sake.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Compatibility")]
pub struct OtherFlags {
    /// Accepted: this program never builds and starts another version of itself
    #[arg(long, hide_short_help = true)]
    pub no_reexec: bool,

    /// Show what this program does, and not more of Nix
    #[arg(long, hide_short_help = true)]
    pub debug: bool,

    /// Old name of --no-reexec
    #[arg(long, hide = true)]
    pub fast: bool,

    /// Old name of --sudo
    #[arg(long, hide = true)]
    pub use_remote_sudo: bool,

    /// Old name of --install-bootloader
    #[arg(long, hide = true)]
    pub install_grub: bool,

    /// Accepted: there never is a terminal on the other side
    #[arg(long, hide = true)]
    pub no_ssh_tty: bool,

    /// Accepted: Nix is never built first
    #[arg(long, hide = true)]
    pub no_build_nix: bool,
}

#[cfg(test)]
mod tests;
