//! The verbs that make a system: where the system comes from, where it goes, and what happens to it there.

use std::path::PathBuf;
use std::time::Duration;

use super::confirmation::confirmation;
use super::detachment::{Detachment, detachment};
use super::product::check_name;
use super::{
    Candidates, Configuration, Facts, IfUnreachable, Installable, NixFlags, Product, ProductKind, named, profile,
};
use crate::cli::{Arguments, Verb};
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::settings::{Key, Settings};
use crate::vocabulary::{Confirmation, Elevation, Fallback, Rights};

/// A run that makes a system and then does something with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The channels that are updated first, if any are.
    pub upgrade: Option<Channels>,
    /// Where the system comes from.
    pub origin: Origin,
    /// How the run goes on if the machine that is to make the system cannot be reached.
    pub if_unreachable: IfUnreachable,
    /// The machine that gets the system.
    pub target: Place,
    /// The user's rights on that machine.
    pub rights: Rights,
    /// The profile, on the target.
    pub profile: PathBuf,
    /// What happens to the system.
    pub outcome: Outcome,
    /// Whether the packages that change are shown.
    pub diff: bool,
    /// Whether the user is asked before the change.
    pub ask: bool,
    /// The flags for Nix.
    pub flags: NixFlags,
    /// What becomes of work elsewhere while nobody follows it.
    pub absence: Absence,
    /// Where releases of channels are, for a machine that fetches one itself; empty if none does.
    pub release_site: String,
    /// What goes on without the user, if they want to leave.
    pub detach: Option<Detachment>,
}

/// What becomes of work elsewhere while this machine does not follow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Absence {
    /// How long a run tries to come back after its link broke. Zero: it does not try.
    pub reconnect: Duration,
    /// How long the work goes on that nobody follows.
    pub unattended: Duration,
}

/// Channels of this machine's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// The channel of NixOS, and those that are marked to be updated with it.
    OfNixos,
    /// All of root's channels.
    All,
}

/// Where a system comes from.
#[allow(clippy::large_enum_variant, reason = "there is one in a run")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The system is evaluated and built.
    Made(Making),
    /// The system is the target's generation before the current one.
    PreviousGeneration,
    /// The system was built before: it is this store path, or what this link leads to.
    Path(PathBuf),
}

/// What is evaluated and built, and which machines do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// What is evaluated.
    pub configuration: Configuration,
    /// The part of it that is built.
    pub product: Product,
    /// The machine that evaluates.
    pub evaluator: Place,
    /// The machine that builds.
    pub builder: Place,
    /// Whether the evaluation of another machine is compared with an evaluation on this machine.
    pub verify_evaluation: bool,
}

/// What happens to the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the run only says what would be built.
    DryBuild,
    /// A link named `result` in the current directory, if the target is here.
    Link,
    /// An image has to be chosen first: the run lists the images.
    ListImages,
    /// The steps of an activation.
    Activate(ActivationPlan),
}

/// The steps of an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationPlan {
    /// Whether the profile first gets a new generation, or goes back by one.
    pub sets_profile: bool,
    /// The action's word for `switch-to-configuration`.
    pub action: &'static str,
    /// The specialisation that is activated instead of the system itself.
    pub specialisation: Option<String>,
    /// Whether the boot loader is installed again.
    pub install_bootloader: bool,
    /// Whether the target goes back if the activation fails.
    pub goes_back: bool,
    /// What is to confirm the change, if it goes back without that.
    pub confirmation: Option<Confirmation>,
}

impl Deployment {
    pub(super) fn new(
        arguments: &Arguments,
        settings: &Settings,
        facts: &Facts,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let ask = asks(arguments, settings, facts)?;
        let target = place(arguments.roles.target_host.as_deref(), facts)?.unwrap_or(Place::Here);
        let outcome = outcome(arguments, settings, facts, &target)?;
        let candidates = Candidates::new(settings, facts)?;
        let origin = origin(arguments, settings, facts, &target, &candidates)?;
        let activates = matches!(outcome, Outcome::Activate(_));
        let rights = rights(arguments, settings, facts, &target, activates)?;
        let profile = profile(&arguments.activation.profile_name)?;
        let detach = detachment(arguments, settings, &origin, &outcome, &candidates)?;
        let mut if_unreachable = IfUnreachable::new(settings, &origin, candidates, &target);
        if detach == Some(Detachment::Builder) {
            // A setting does not make this machine build for somebody who wants to leave.
            if_unreachable.then = Fallback::Fail;
        }
        let plan = Self {
            upgrade: upgrade(arguments, facts, rights, &origin, warnings)?,
            if_unreachable,
            detach,
            origin,
            target,
            rights,
            profile,
            outcome,
            diff: (settings.diff() || arguments.activation.ask || ask) && arguments.verb != Verb::DryBuild,
            ask,
            flags: NixFlags::of(arguments, settings),
            absence: Absence {
                reconnect: settings.reconnect_timeout(),
                unattended: settings.unattended_timeout(),
            },
            release_site: settings.release_site().to_owned(),
        };
        plan.leaves_no_channels()?;
        Ok(plan)
    }

    /// Returns the hosts that the run may log in to, each once.
    #[must_use]
    pub fn hosts(&self) -> Vec<&Host> {
        let mut hosts: Vec<&Host> = Vec::new();
        let confirmation = self.outcome.activation().and_then(|it| it.confirmation.as_ref());
        let confirms = confirmation.map_or(&[][..], Confirmation::hosts);
        let works = self.if_unreachable.candidates.hosts().chain(self.target.host());
        for host in works.chain(confirms) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// Returns whether this verb changes something that a person may want to be asked about.
pub(super) fn changes_the_system(verb: Verb) -> bool {
    matches!(verb, Verb::Switch | Verb::Boot | Verb::Test)
}

/// Returns whether the user is asked. Refuses the run before the long work if nobody can answer after it.
fn asks(arguments: &Arguments, settings: &Settings, facts: &Facts) -> Result<bool, Failure> {
    let asks = settings.ask() && changes_the_system(arguments.verb);
    if asks && !facts.has_terminal {
        return Err(Failure::usage("--ask: there is no terminal to ask on").with_remedy(
            "run it at a terminal, or without the question: --no-ask
to see what would change: rebuild build --diff",
        ));
    }
    Ok(asks)
}

pub(super) fn place(text: Option<&str>, facts: &Facts) -> Result<Option<Place>, Failure> {
    Ok(text.map(|text| Place::read(text, &facts.own)).transpose()?)
}

pub(super) fn verb_name(verb: Verb) -> String {
    let value = clap::ValueEnum::to_possible_value(&verb);
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn origin(
    arguments: &Arguments,
    settings: &Settings,
    facts: &Facts,
    target: &Place,
    candidates: &Candidates,
) -> Result<Origin, Failure> {
    let (given, verb) = (&arguments.activation, arguments.verb);
    let meaningless = |flag: &str| Err(Failure::usage(format!("{flag} has no meaning for {}", verb_name(verb))));
    let activates = matches!(verb, Verb::Switch | Verb::Boot | Verb::Test | Verb::DryActivate);
    if given.rollback {
        if !activates && verb != Verb::Build {
            return meaningless("--rollback");
        }
        return Ok(Origin::PreviousGeneration);
    }
    if let Some(path) = &given.store_path {
        if !activates {
            return meaningless("--store-path");
        }
        return Ok(Origin::Path(path.clone()));
    }
    let (evaluator, builder) = candidates.first();
    if candidates.hosts().next().is_some() {
        // The settings are checked before an evaluation on this machine, which may be long.
        arguments.common.settings()?;
    }
    let target_name = match target {
        Place::Here => Some(facts.own.host_name()),
        Place::There(_) => None,
    };
    let (given, flags) = (named(arguments, settings), arguments.flake.clone());
    Ok(Origin::Made(Making {
        configuration: Configuration::choose(&given, flags, &facts.found, target_name)?,
        product: product(arguments)?,
        verify_evaluation: verify_evaluation(settings, &evaluator)?,
        evaluator,
        builder,
    }))
}

fn product(arguments: &Arguments) -> Result<Product, Failure> {
    let kind = match arguments.verb {
        Verb::BuildVm => ProductKind::Vm,
        Verb::BuildVmWithBootloader => ProductKind::VmWithBootLoader,
        Verb::BuildImage => {
            let variant = arguments.verbs.image_variant.clone().unwrap_or_default();
            if !variant.is_empty() {
                check_name("--image-variant", &variant)?;
            }
            ProductKind::Image(variant)
        }
        // A system contains its specialisations.
        _ => return Ok(Product::SYSTEM),
    };
    let specialisation = specialisation(arguments).cloned();
    if let Some(name) = &specialisation {
        check_name("--specialisation", name)?;
    }
    Ok(Product { kind, specialisation })
}

/// Returns the specialisation. An empty name counts as none, as with nixos-rebuild: an alias may take it from a
/// variable.
fn specialisation(arguments: &Arguments) -> Option<&String> {
    arguments
        .activation
        .specialisation
        .as_ref()
        .filter(|name| !name.is_empty())
}

/// Returns whether evaluations are compared. If `--eval-host` names this machine, there is nothing to compare: its
/// evaluation is the one on this machine.
fn verify_evaluation(settings: &Settings, evaluator: &Place) -> Result<bool, Failure> {
    let is_typed = settings.is_typed(Key::VerifyEval);
    if is_typed && settings.verify_eval() && settings.eval_hosts().is_none() {
        return Err(
            Failure::usage("--verify-eval compares with the evaluation on another machine, and none is named")
                .with_remedy("name it: --eval-on HOST"),
        );
    }
    Ok(settings.verify_eval() && evaluator.host().is_some())
}

/// Returns whether the target goes back if the activation fails. The setting is for the verbs that change something; the
/// flag with another verb is a mistake.
fn goes_back(arguments: &Arguments, settings: &Settings) -> Result<bool, Failure> {
    if !settings.rollback_on_failure() || changes_the_system(arguments.verb) {
        return Ok(settings.rollback_on_failure());
    }
    if settings.is_typed(Key::RollbackOnFailure) {
        let verb = verb_name(arguments.verb);
        return Err(Failure::usage(format!(
            "--rollback-on-failure has no meaning for {verb}: it changes no system"
        ))
        .with_remedy("it is for switch, boot and test"));
    }
    Ok(false)
}

fn outcome(arguments: &Arguments, settings: &Settings, facts: &Facts, target: &Place) -> Result<Outcome, Failure> {
    let goes_back = goes_back(arguments, settings)?;
    let confirmation = confirmation(arguments, settings, facts, target)?;
    let (action, sets_profile) = match arguments.verb {
        Verb::DryBuild => return without_specialisation(arguments, Outcome::DryBuild),
        Verb::Build => return without_specialisation(arguments, Outcome::Link),
        Verb::BuildImage => return image(arguments, facts),
        Verb::Switch => ("switch", true),
        Verb::Boot => ("boot", true),
        Verb::Test => ("test", false),
        Verb::DryActivate => ("dry-activate", false),
        _ => return Ok(Outcome::Link),
    };
    let specialisation = specialisation(arguments).cloned();
    if let Some(name) = &specialisation {
        check_name("--specialisation", name)?;
        if arguments.verb == Verb::Boot {
            return Err(Failure::usage(format!(
                "boot --specialisation {name}: the boot loader's menu offers all of them"
            ))
            .with_remedy("leave --specialisation out, and choose it at the next boot"));
        }
    }
    Ok(Outcome::Activate(ActivationPlan {
        sets_profile,
        action,
        specialisation,
        install_bootloader: arguments.activation.install_bootloader || arguments.other.install_grub,
        goes_back,
        confirmation,
    }))
}

fn without_specialisation(arguments: &Arguments, outcome: Outcome) -> Result<Outcome, Failure> {
    match specialisation(arguments) {
        None => Ok(outcome),
        Some(name) => Err(Failure::usage(format!(
            "{} --specialisation {name}: all of them are built with the system",
            verb_name(arguments.verb)
        ))
        .with_remedy("leave --specialisation out")),
    }
}

fn image(arguments: &Arguments, facts: &Facts) -> Result<Outcome, Failure> {
    let target = place(arguments.roles.target_host.as_deref(), facts)?;
    if target.is_some_and(|target| target != Place::Here) {
        return Err(
            Failure::usage("build-image --target-host: an image is no system of a machine")
                .with_remedy("leave --target-host out"),
        );
    }
    let chosen = arguments
        .verbs
        .image_variant
        .as_deref()
        .is_some_and(|name| !name.is_empty());
    Ok(if chosen { Outcome::Link } else { Outcome::ListImages })
}

/// `activates` says whether root is needed in any case.
pub(super) fn rights(
    arguments: &Arguments,
    settings: &Settings,
    facts: &Facts,
    target: &Place,
    activates: bool,
) -> Result<Rights, Failure> {
    let given = &arguments.rights;
    let elevation = match settings.elevate() {
        Elevation::None if given.ask_elevate_password && given.elevate.is_none() => Elevation::Sudo,
        elevation => elevation,
    };
    match elevation {
        Elevation::None if given.ask_elevate_password => {
            return Err(Failure::usage("--ask-elevate-password: for what, with --elevate none?")
                .with_remedy("write --elevate sudo, or leave one of them out"));
        }
        Elevation::Doas if given.ask_elevate_password => {
            return Err(Failure::usage("doas takes no password but from a terminal")
                .with_remedy("allow it without one in doas.conf (nopass), or write --elevate sudo"));
        }
        _ => {}
    }
    let is_here = *target == Place::Here;
    if is_here && facts.is_root {
        return Ok(Rights::default());
    }
    if is_here && elevation == Elevation::None && activates {
        // The run would fail all the same, but after the long work.
        return Err(Failure::new("only root can activate a configuration")
            .with_remedy("sudo rebuild ..., or rebuild --sudo ... if this user's own ssh key is to be used\nto see whether it builds: rebuild build ..."));
    }
    Ok(Rights {
        elevation,
        ask_password: given.ask_elevate_password,
    })
}

/// Returns which channels are updated. nixos-rebuild also updates the channels if the system is a flake, and says
/// afterwards that this was in vain.
fn upgrade(
    arguments: &Arguments,
    facts: &Facts,
    rights: Rights,
    origin: &Origin,
    warnings: &mut Vec<String>,
) -> Result<Option<Channels>, Failure> {
    let channels = match (arguments.activation.upgrade, arguments.activation.upgrade_all) {
        (_, true) => Channels::All,
        (true, false) => Channels::OfNixos,
        (false, false) => return Ok(None),
    };
    let making = match origin {
        Origin::Made(making) => making,
        Origin::PreviousGeneration | Origin::Path(_) => {
            warnings.push("--upgrade has no effect: nothing is evaluated".to_owned());
            return Ok(None);
        }
    };
    if let Configuration::Flake(flake) = &making.configuration {
        let place = if flake.reference.is_empty() {
            "."
        } else {
            &flake.reference
        };
        let by = match making.evaluator {
            Place::Here => format!("nix flake update --flake {place}"),
            // This machine fetches nothing then.
            Place::There(_) => "--recreate-lock-file (all), --update-input NAME (one)".to_owned(),
        };
        warnings.push(format!(
            "--upgrade has no effect on a flake: its inputs are updated by: {by}"
        ));
        return Ok(None);
    }
    if !facts.is_root && rights.elevation == Elevation::None {
        return Err(Failure::new("only root can update root's channels").with_remedy("rebuild --sudo ..."));
    }
    Ok(Some(channels))
}

impl Making {
    /// Returns what is built, as Nix's commands take it.
    #[must_use]
    pub fn subject(&self) -> Installable<'_> {
        self.configuration.subject(&self.product.attribute())
    }
}

impl Outcome {
    /// Returns whether something is made that stays.
    #[must_use]
    pub fn builds(&self) -> bool {
        !matches!(self, Self::DryBuild | Self::ListImages)
    }

    /// Returns whether the run is for something that stays: a dry run only tells.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.builds()
            && self
                .activation()
                .is_none_or(|activation| activation.action != "dry-activate")
    }

    /// Returns the activation, if the target's system is changed or asked to say what would change.
    #[must_use]
    pub fn activation(&self) -> Option<&ActivationPlan> {
        match self {
            Self::Activate(activation) => Some(activation),
            _ => None,
        }
    }
}

impl Origin {
    /// Returns what is made, if something is.
    #[must_use]
    pub fn making(&self) -> Option<&Making> {
        match self {
            Self::Made(making) => Some(making),
            Self::PreviousGeneration | Self::Path(_) => None,
        }
    }
}
