//! The verbs that make a system: carrying out the steps of a run, one after the other (`plan::Step` describes their
//! order).

mod channels;

use std::collections::VecDeque;

use anyhow::{Context as _, Result};

use super::image::choose;
use super::leg::{Made, Maker, bring};
use super::question;
use super::reach::{Reach, link_broke};
use super::report::report;
use super::upgrade::elsewhere::Upgraded;
use crate::activation::{
    self, Change, Connection, Incomplete, Inquiry, ProfileChange, Receives, Subject, Target, Wants,
};
use crate::builder::CannotEvaluate;
use crate::context::Context;
use crate::difference::NextBoot;
use crate::failure::{Declined, Failure};
use crate::host::{Host, Place};
use crate::output;
use crate::plan::argv::{self, Images};
use crate::plan::{ActivationPlan, Deed, Deployment, Leg, Making, Origin, ProductKind, Step};
use crate::progress::{Event, Work};
use crate::store_path::StorePath;

/// Carries out the plan. Prints the resulting path, and nothing else, to stdout.
///
/// # Errors
/// Returns what failed. Nothing has been changed before the whole system is on the target and looks like a system.
pub(super) fn deploy(plan: &Deployment, context: &Context) -> Result<()> {
    prepare(plan, context)?;
    let mut run = Run::new(plan, context);
    while let Some(step) = run.steps.pop_front() {
        if let Err(error) = run.take(&step) {
            run.go_another_way(&step, error)?;
        }
    }
    Ok(())
}

/// Prepares the connections to the hosts of the run.
fn prepare(plan: &Deployment, context: &Context) -> Result<()> {
    for host in plan.if_unreachable.doubtful() {
        context.ssh.hurry(host);
    }
    for host in plan.hosts() {
        context.ssh.check(host, context.signals)?;
    }
    plan.origin
        .making()
        .map_or(Ok(()), |making| share(plan, making, context))
}

/// Shares the connections to hosts that are logged in to more than once. These are: a builder that is not the
/// evaluator, for the derivation and for the build; an evaluator that is first asked for its images, or for channels; and a
/// host that sends by a connection of Nix's own. (The target shares its connection itself.)
fn share(plan: &Deployment, making: &Making, context: &Context) -> Result<()> {
    let Making {
        evaluator,
        builder,
        product,
        ..
    } = making;
    let asked_twice = matches!(product.kind, ProductKind::Image(_)) || !plan.flags.lend || plan.upgrades_there(making);
    if let Some(host) = evaluator.host().filter(|_| asked_twice) {
        context.ssh.share(host, context.signals)?;
    }
    if let Some(host) = builder.host().filter(|_| builder != evaluator) {
        context.ssh.share(host, context.signals)?;
    }
    Ok(())
}

pub(super) fn wants(plan: &Deployment) -> Wants {
    Wants {
        rights: plan.rights,
        changes: plan.outcome.activation().is_some(),
        goes_back_to_running: plan
            .outcome
            .activation()
            .is_some_and(|it| (it.goes_back && it.action != "boot") || it.confirmation.is_some()),
        receives: receives(plan),
        upgrades: plan.upgrade.is_some(),
    }
}

/// Returns what comes into the target's store, and from where.
fn receives(plan: &Deployment) -> Receives {
    let is_its_own = match &plan.origin {
        Origin::PreviousGeneration => return Receives::Nothing,
        Origin::Made(_) => plan
            .if_unreachable
            .candidates
            .builders()
            .iter()
            .all(|place| *place == plan.target),
        Origin::Path(_) => plan.target == Place::Here,
    };
    match (plan.outcome.builds(), is_its_own) {
        (false, _) => Receives::Nothing,
        (true, true) => Receives::ItsOwn,
        (true, false) => Receives::FromElsewhere,
    }
}

/// A run that is under way, with the results of the steps so far.
struct Run<'a> {
    plan: &'a Deployment,
    context: &'a Context<'a>,
    /// The steps that are still to be done.
    steps: VecDeque<Step>,
    target: Option<Target>,
    /// How the system is made, as far as it is known by now.
    making: Option<Making>,
    reach: Reach<'a>,
    /// The connections to the hosts that were tried out.
    connections: Vec<Connection>,
    /// An evaluator that was talked to and cannot evaluate. If it builds, it has been reached already, so a later
    /// failure to reach it means that the link broke.
    reached: Option<Host>,
    /// The file of the image that was chosen, if it is known.
    file: Option<String>,
    /// Whether this machine has updated its channels.
    has_upgraded: bool,
    /// Channels that another machine has updated, if they are new.
    upgraded: Option<Upgraded>,
    /// The derivation that the evaluation must give, for `--verify-eval`.
    expected: Option<StorePath>,
    /// The result of the last leg.
    made: Option<Made>,
    /// The system that was found at its place.
    found: Option<StorePath>,
    next_boot: Option<NextBoot>,
    /// The outcome of an activation that failed. Only `Report` tells the user about it, so no step between `Change` and
    /// `Report` may end the run.
    incomplete: Option<Incomplete>,
    is_the_same: bool,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Deployment, context: &'a Context<'a>) -> Self {
        Self {
            plan,
            context,
            steps: plan.steps().into(),
            target: None,
            making: plan.origin.making().cloned(),
            reach: Reach::new(&plan.if_unreachable, &context.around.words),
            connections: Vec::new(),
            reached: None,
            file: None,
            has_upgraded: false,
            upgraded: None,
            expected: None,
            made: None,
            found: None,
            next_boot: None,
            incomplete: None,
            is_the_same: false,
        }
    }

    /// Carries out one step.
    fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::LogIn => self.log_in(),
            Step::Upgrade(channels) => self.upgrade(*channels),
            Step::UpgradeThere(channels) => self.upgrade_there(*channels),
            Step::Announce => {
                output::say("building the system configuration...");
                Ok(())
            }
            Step::TryOut => self.try_out(),
            Step::ChooseImage => self.choose_image(),
            Step::Compare => {
                self.expected = Some(self.maker()?.own_derivation()?);
                Ok(())
            }
            Step::Work(leg) => self.work(leg),
            Step::BringChannels => self.bring_channels(),
            Step::Inspect => self.inspect(),
            Step::Ask => self.ask(),
            Step::SetChannels => self.set_channels(),
            Step::Link => self.link(),
            Step::Change => self.change(),
            Step::Report => self.report(),
        }
    }

    /// Changes the rest of the run so that it does without what has turned out to be missing, if the plan allows that.
    ///
    /// # Errors
    /// Returns the same error, with the command to type, if there is no other way.
    fn go_another_way(&mut self, step: &Step, error: anyhow::Error) -> Result<()> {
        let is_of_making = matches!(
            step,
            Step::UpgradeThere(_) | Step::ChooseImage | Step::Compare | Step::Work(_)
        );
        let Some(making) = self.making.clone().filter(|_| is_of_making) else {
            return Err(error);
        };
        if let Some(made) = self.made_before(step, &making, &error) {
            self.made = Some(made);
            self.steps = self.plan.steps_of_what_is_here(&making).into();
            self.connections.clear();
            return self.can_be_confirmed_without_work();
        }
        let mut other = if let Some(reason) = error.downcast_ref::<CannotEvaluate>() {
            for line in reason.warning(&making.builder).lines() {
                self.context.tell(Event::Text(line.to_owned()));
            }
            self.reached = Some(reason.host.clone());
            self.reach.settle(&reason.host);
            self.expected = None;
            Making {
                evaluator: Place::Here,
                verify_evaluation: false,
                ..making
            }
        } else {
            let error = link_broke(error, self.reached.as_ref());
            let other = self.reach.without(&making, error, self.context)?;
            self.connections.extend(other.connection);
            share(self.plan, &other.making, self.context)?;
            other.making
        };
        // Another machine may take part late now.
        self.connections.extend(self.reach.try_out(&mut other, self.context)?);
        self.steps = match step {
            Step::UpgradeThere(_) | Step::ChooseImage => self.plan.steps_of(&other),
            _ => self.plan.steps_of_work(&other),
        }
        .into();
        if other.evaluator == Place::Here && !self.has_upgraded {
            // It was to evaluate with channels that another machine has.
            self.upgraded = None;
            if let Some(channels) = self.plan.upgrade {
                self.steps.push_front(Step::Upgrade(channels));
            }
        }
        self.making = Some(other);
        self.can_be_confirmed()
    }

    /// Returns what an earlier run made of the same question, if the evaluator cannot be reached and this machine, which
    /// is the target, still has it.
    fn made_before(&self, step: &Step, making: &Making, error: &anyhow::Error) -> Option<Made> {
        let Step::Work(leg) = step else { return None };
        let evaluator = making.evaluator.host()?;
        let failure = error.downcast_ref::<Failure>()?;
        let is_off = failure.unreachable() == Some(evaluator) && self.reached.is_none() && !self.reach.is_under_way();
        let is_for_this_machine = self.plan.target == Place::Here && self.plan.outcome.builds();
        if !is_off || !is_for_this_machine || leg.on.host() != Some(evaluator) {
            return None;
        }
        let maker = self.maker().ok()?;
        let made = maker.made_before(evaluator)?;
        let text = format!(
            "warning: {failure}\n  unchanged: not evaluated, and {} is there from an earlier run",
            made.path
        );
        for line in text.lines() {
            self.context.tell(Event::Text(line.to_owned()));
        }
        Some(made)
    }

    fn log_in(&mut self) -> Result<()> {
        let target = Target::open(&self.plan.target, wants(self.plan), self.context)?;
        if let Some(making) = &mut self.making {
            making.configuration = making.configuration.clone().named(target.name(), &target.label())?;
        }
        self.target = Some(target);
        match &self.making {
            Some(_) => Ok(()),
            None => self.can_be_confirmed(),
        }
    }

    /// Checks that the change can be confirmed, before the long work. A host that does this work is reached for it.
    fn can_be_confirmed(&self) -> Result<()> {
        let activation = self.plan.outcome.activation();
        let confirmation = activation.and_then(|it| it.confirmation.as_ref());
        let works = |host: &Host| {
            let making = self.making.as_ref();
            making.is_some_and(|it| {
                [&it.evaluator, &it.builder]
                    .iter()
                    .any(|place| place.host() == Some(host))
            })
        };
        if confirmation.is_some_and(|it| it.hosts().iter().any(works)) {
            return Ok(());
        }
        self.can_be_confirmed_without_work()
    }

    /// The same if no host is reached for any work.
    fn can_be_confirmed_without_work(&self) -> Result<()> {
        let activation = self.plan.outcome.activation();
        match activation.and_then(|it| it.confirmation.as_ref()) {
            Some(confirmation) => activation::can_be_confirmed(confirmation, self.context),
            None => Ok(()),
        }
    }

    fn try_out(&mut self) -> Result<()> {
        let (plan, context) = (self.plan, self.context);
        if let Some(making) = &mut self.making {
            self.connections = self.reach.try_out(making, context)?;
            share(plan, making, context)?;
            self.steps = plan.steps_of(making).into();
        }
        self.can_be_confirmed()
    }

    fn choose_image(&mut self) -> Result<()> {
        let maker = self.maker()?;
        let variant = match &maker.making.product.kind {
            ProductKind::Image(variant) => variant.as_str(),
            _ => "",
        };
        let images: Images = match &maker.making.evaluator {
            Place::Here => maker.here(false)?.images(maker.making, variant)?,
            Place::There(evaluator) => {
                let command = argv::images_there(maker.making, variant, &self.plan.flags);
                let answer = maker.errand(evaluator).ask(command)?;
                serde_json::from_str(&answer.value.unwrap_or_default())
                    .with_context(|| format!("{evaluator} printed something else than the images"))?
            }
        };
        let evaluator = maker.making.evaluator.host();
        self.file = choose(
            variant,
            images,
            &evaluator.map_or_else(|| "Nix".to_owned(), ToString::to_string),
        )?;
        self.reach.has_begun();
        Ok(())
    }

    fn work(&mut self, leg: &Leg) -> Result<()> {
        let made = if leg.deed == Deed::Have {
            Some(self.bring(leg)?)
        } else {
            let before = self.made.as_ref().map(|made| &made.path);
            self.maker()?.make(leg, before)?
        };
        if made.is_none() {
            // Nothing was made that something could be done with.
            self.steps.clear();
        }
        // Building the derivation releases what has held it until now.
        self.made = made;
        if !self.steps.iter().any(|step| matches!(step, Step::Work(_))) {
            self.connections.clear();
        }
        Ok(())
    }

    /// Brings a path to the target for `--store-path`.
    fn bring(&self, leg: &Leg) -> Result<Made> {
        let Origin::Path(path) = &self.plan.origin else {
            return Err(Failure::new("nothing is here to be brought").into());
        };
        let real = std::fs::canonicalize(path)
            .with_context(|| format!("--store-path {}: it is not on this machine", path.display()))?;
        let system = StorePath::parse(&real.to_string_lossy())
            .map_err(|_| Failure::usage(format!("--store-path {}: this is no store path", path.display())))?;
        let to = leg.to.as_ref().and_then(Place::host);
        bring(system, to, self.plan, self.target()?, self.context)
    }

    /// Looks at the system and shows what it changes.
    fn inspect(&mut self) -> Result<()> {
        let activation = self.plan.outcome.activation();
        let subject = match &self.made {
            Some(made) => Subject::System(&made.path),
            None => Subject::Previous(&self.plan.profile),
        };
        let inquiry = Inquiry {
            subject,
            specialisation: activation.and_then(|activation| activation.specialisation.as_deref()),
            diff: self.plan.diff,
            next_boot: activation.is_some_and(|activation| activation.action != "dry-activate"),
        };
        let inspection = self.target()?.inspect(&inquiry, self.context)?;
        if let Some(difference) = &inspection.difference {
            for line in difference.lines(inspection.system.as_str()) {
                self.context.tell(Event::Text(line));
            }
        }
        self.next_boot = inspection.next_boot;
        self.found = Some(inspection.system);
        Ok(())
    }

    /// Asks the user for `--ask`: nothing but the setting of channels comes between this and the change.
    fn ask(&self) -> Result<()> {
        // The live display would stand in the way of the question.
        self.context.tell(Event::phase(Work::Asking, self.plan.target.host()));
        let on = self.target()?.label();
        let action = self
            .plan
            .outcome
            .activation()
            .map_or("", |activation| activation.action);
        let question = match action {
            "boot" => format!("Make it the default for booting {on}?"),
            "test" => format!("Activate it on {on}, until the next boot?"),
            _ => format!("Activate it on {on}?"),
        };
        if question::ask(&question, self.context.signals)? {
            return Ok(());
        }
        Err(Declined(format!("nothing was changed on {on}")).into())
    }

    /// Leaves `./result` if the system is on this machine. A local build has left it already.
    fn link(&self) -> Result<()> {
        self.context.signals.check()?;
        let builder = self.making.as_ref().map(|making| &making.builder);
        if self.plan.target != Place::Here || builder == Some(&Place::Here) {
            return Ok(());
        }
        let link = self.context.around.directory.join("result");
        let command = argv::link_result(self.system()?, &link);
        self.context.tell(Event::Trace(format!("$ {command}")));
        command.capture(self.context.signals).map(|_| ())
    }

    fn change(&mut self) -> Result<()> {
        // From here on, an interrupt comes between two changes, and no longer before the first one.
        self.context.signals.check()?;
        let Some(planned) = self.plan.outcome.activation() else {
            return Ok(());
        };
        let system = self.system()?.clone();
        let profile = self.profile_change(planned);
        let activation = activation::Activation {
            specialisation: planned.specialisation.clone(),
            action: planned.action,
            install_bootloader: planned.install_bootloader,
            goes_back: planned.goes_back,
            confirmation: planned.confirmation.clone(),
        };
        let set = (profile != ProfileChange::Keep).then_some(self.plan.profile.as_path());
        let is_the_same = self.target()?.has_all_of(&system, &activation, set);
        let change = Change {
            system: &system,
            profile,
            activation: Some(activation),
        };
        self.incomplete = self.target()?.change(&change, self.context)?;
        self.is_the_same = is_the_same && self.incomplete.is_none();
        Ok(())
    }

    fn profile_change(&self, activation: &ActivationPlan) -> ProfileChange {
        let profile = self.plan.profile.clone();
        match (activation.sets_profile, &self.plan.origin) {
            (false, _) => ProfileChange::Keep,
            (true, Origin::PreviousGeneration) => ProfileChange::Rollback(profile),
            (true, _) => ProfileChange::Set(profile),
        }
    }

    fn report(&self) -> Result<()> {
        let has_changed = self.incomplete.as_ref().is_none_or(|it| it.has_changed);
        let activation = self.plan.outcome.activation();
        if let (Some(next_boot), Some(activation), true) = (&self.next_boot, activation, has_changed) {
            let hint = next_boot.hint(activation.action, activation.specialisation.as_deref());
            self.context.tell(Event::Text(hint));
        }
        let is_the_same = self.is_the_same;
        self.context.tell(Event::Finished { is_the_same });
        if let Some(incomplete) = &self.incomplete {
            return Err(incomplete.failure.clone().into());
        }
        // This comes last, because the path that ends the line goes to stdout.
        let kind = self
            .making
            .as_ref()
            .map_or(&ProductKind::System, |making| &making.product.kind);
        report(kind, self.system()?, self.file.as_deref())
    }

    fn target(&self) -> Result<&Target> {
        self.target.as_ref().context("the target was not looked at yet")
    }

    fn maker(&self) -> Result<Maker<'_>> {
        Ok(Maker {
            plan: self.plan,
            making: self.making.as_ref().context("nothing is to be made")?,
            target: self.target()?,
            context: self.context,
            expected: self.expected.as_ref(),
            channels: self.upgraded.as_ref().map(|upgraded| &upgraded.generation),
        })
    }

    /// Returns the system, or whatever else was made, at its place.
    fn system(&self) -> Result<&StorePath> {
        let made = self.made.as_ref().map(|made| &made.path);
        self.found.as_ref().or(made).context("nothing was made yet")
    }
}
