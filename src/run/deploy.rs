//! The verbs that make a system, from the first look at the target to the last word.

use std::path::Path;

use anyhow::{Context, Result};

use super::here::Here;
use super::make::{Made, Maker, send_to};
use super::reach::Reach;
use super::{nix_here, question, upgrade};
use crate::difference::NextBoot;
use crate::directory;
use crate::failure::{Declined, Failure};
use crate::host::Place;
use crate::output;
use crate::plan::argv::{self, Images};
use crate::plan::{Activation, Deployment, Kind, Making, Origin};
use crate::process::signals::Signals;
use crate::progress::{Event, Observer, Phase};
use crate::session::relay::Relay;
use crate::ssh::Ssh;
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;
use crate::target::{self, Change, Inquiry, ProfileChange, Receives, Subject, Target, Wants};

/// Does what the plan says. Prints the resulting path, and nothing else, to stdout.
///
/// # Errors
/// What failed. Until the whole system is on the target and looks like one, nothing has been changed.
pub(super) fn deploy(
    plan: &Deployment,
    around: &Surroundings,
    observer: &mut dyn Observer,
    signals: &Signals,
) -> Result<()> {
    let mut ssh = Ssh::new(around)?;
    plan.if_unreachable.hosts.iter().for_each(|host| ssh.hurry(host));
    for host in plan.hosts() {
        ssh.check(host, signals)?;
    }
    share(plan, &mut ssh, signals)?;
    let target = Target::open(&plan.target, wants(plan), &mut ssh, around, observer, signals)?;
    if let Some(channels) = plan.upgrade {
        let root = target.root_here(plan.rights, nix::unistd::geteuid().is_root(), around)?;
        upgrade::channels(channels, &root, signals)?;
    }
    output::say("building the system configuration...");
    let run = Run {
        plan,
        target: &target,
        around,
        ssh: &ssh,
        signals,
    };
    match &plan.origin {
        Origin::Made(making) => {
            let named = Making {
                configuration: making.configuration.clone().named(target.name(), &target.label())?,
                ..making.clone()
            };
            run.made(named, observer)
        }
        Origin::PreviousGeneration => run.finish(&Subject::Previous(&plan.profile), None, observer),
        Origin::Path(path) => run.given(path, observer),
    }
}

/// Who is logged in to more than once: a builder that is not the evaluator, for the derivation and for the build; an
/// evaluator that is asked for images first; and whoever sends by connections of Nix's own. (So is the target, which sees
/// to that itself.)
fn share(plan: &Deployment, ssh: &mut Ssh, signals: &Signals) -> Result<()> {
    let Origin::Made(Making {
        evaluator,
        builder,
        product,
        ..
    }) = &plan.origin
    else {
        return Ok(());
    };
    let asked_twice = matches!(product.kind, Kind::Image(_)) || !plan.flags.lend;
    if let Some(host) = evaluator.host().filter(|_| asked_twice) {
        ssh.share(host, signals)?;
    }
    if let Some(host) = builder.host().filter(|_| builder != evaluator) {
        ssh.share(host, signals)?;
    }
    Ok(())
}

fn wants(plan: &Deployment) -> Wants {
    Wants {
        rights: plan.rights,
        changes: plan.outcome.activation().is_some(),
        receives: receives(plan),
        upgrades: plan.upgrade.is_some(),
    }
}

/// What comes into the target's store, and from where.
fn receives(plan: &Deployment) -> Receives {
    let is_its_own = match &plan.origin {
        Origin::PreviousGeneration => return Receives::Nothing,
        Origin::Made(making) => making.builder == plan.target,
        Origin::Path(_) => plan.target == Place::Here,
    };
    match (plan.outcome.builds(), is_its_own) {
        (false, _) => Receives::Nothing,
        (true, true) => Receives::ItsOwn,
        (true, false) => Receives::FromElsewhere,
    }
}

struct Run<'a> {
    plan: &'a Deployment,
    target: &'a Target,
    around: &'a Surroundings,
    ssh: &'a Ssh,
    signals: &'a Signals,
}

impl Run<'_> {
    fn made(&self, mut making: Making, observer: &mut dyn Observer) -> Result<()> {
        let mut reach = Reach::new(&self.plan.if_unreachable, &self.around.words);
        let connections = reach.try_out(&mut making, self.ssh, observer, self.signals)?;
        let file = match making.product.kind.clone() {
            Kind::Image(variant) => {
                let images = reach.first(&mut making, observer, &|making, observer| {
                    self.maker(making).images(observer)
                })?;
                choose(&variant, images)?
            }
            _ => None,
        };
        let made = reach.first(&mut making, observer, &|making, observer| {
            self.maker(making).make(observer)
        })?;
        drop(connections);
        let Some(made) = made else {
            return Ok(());
        };
        match &making.product.kind {
            Kind::System => self.finish(&Subject::System(&made.path), Some(&making.builder), observer),
            Kind::Vm | Kind::VmWithBootLoader => {
                self.link(&made, &making.builder)?;
                observer.see(Event::Finished { is_the_same: false });
                done(
                    "The virtual machine can be started by running",
                    &starter(made.path.as_path()),
                )
            }
            Kind::Image(_) => {
                self.link(&made, &making.builder)?;
                let path = made.path.as_path();
                let path = file.map_or_else(|| path.to_owned(), |file| path.join(file));
                observer.see(Event::Finished { is_the_same: false });
                done("The disk image can be found in", &path.to_string_lossy())
            }
        }
    }

    fn maker<'b>(&'b self, making: &'b Making) -> Maker<'b> {
        Maker {
            making,
            flags: &self.plan.flags,
            outcome: &self.plan.outcome,
            target: self.target,
            place: &self.plan.target,
            around: self.around,
            ssh: self.ssh,
            signals: self.signals,
        }
    }

    /// `--store-path`.
    fn given(&self, path: &Path, observer: &mut dyn Observer) -> Result<()> {
        let real = std::fs::canonicalize(path)
            .with_context(|| format!("--store-path {}: it is not on this machine", path.display()))?;
        let system = StorePath::parse(&real.to_string_lossy())
            .map_err(|_| Failure::usage(format!("--store-path {}: this is no store path", path.display())))?;
        let relay: Option<Relay> = match &self.plan.target {
            Place::Here => None,
            Place::There(host) => {
                let reads_log = nix_here::is_log_ours(None, &self.plan.flags, self.around);
                let here = Here::new(&self.plan.flags, &self.plan.outcome, reads_log, false, self.signals)?;
                Some(send_to(&here, &system, self.target, self.ssh, host, observer)?)
            }
        };
        let finished = self.finish(&Subject::System(&system), None, observer);
        drop(relay);
        finished
    }

    /// What becomes of a system that is on the target: it is looked at, and everything that can be refused is refused;
    /// then it is linked or activated.
    fn finish(&self, subject: &Subject, builder: Option<&Place>, observer: &mut dyn Observer) -> Result<()> {
        let activation = self.plan.outcome.activation();
        let rolls_back = matches!(subject, Subject::Previous(_));
        let (system, next_boot) = match subject {
            Subject::System(system) if activation.is_none() && !self.plan.diff => ((*system).clone(), None),
            _ => self.inspect(subject, activation, observer)?,
        };
        if self.plan.ask {
            self.ask(activation.map_or("", |activation| activation.action), observer)?;
        }
        // From here on an interrupt is between two changes, not before them.
        self.signals.check()?;
        let mut is_the_same = false;
        let mut incomplete = None;
        match activation {
            None => self.link_system(&system, builder)?,
            Some(activation) => {
                let profile = match (activation.sets_profile, rolls_back) {
                    (false, _) => ProfileChange::Keep,
                    (true, false) => ProfileChange::Set(self.plan.profile.clone()),
                    (true, true) => ProfileChange::Rollback(self.plan.profile.clone()),
                };
                let activation = target::Activation {
                    specialisation: activation.specialisation.clone(),
                    action: activation.action,
                    install_bootloader: activation.install_bootloader,
                };
                let set = (profile != ProfileChange::Keep).then_some(self.plan.profile.as_path());
                is_the_same = self.target.has_all_of(&system, &activation, set);
                let change = Change {
                    system: &system,
                    profile,
                    activation: Some(activation),
                };
                incomplete = self.target.change(&change, self.ssh, observer, self.signals)?;
            }
        }
        let has_changed = incomplete.as_ref().is_none_or(|it| it.has_changed);
        if let (Some(next_boot), Some(activation), true) = (next_boot, activation, has_changed) {
            let hint = next_boot.hint(activation.action, activation.specialisation.as_deref());
            observer.see(Event::Text(hint));
        }
        is_the_same &= incomplete.is_none();
        observer.see(Event::Finished { is_the_same });
        if let Some(incomplete) = incomplete {
            return Err(incomplete.failure.into());
        }
        // Last, for the path that ends this line goes to stdout.
        done("The new configuration is", system.as_str())
    }

    /// Looks at the system and shows what it changes; what is left to say at the end is given back.
    fn inspect(
        &self,
        subject: &Subject,
        activation: Option<&Activation>,
        observer: &mut dyn Observer,
    ) -> Result<(StorePath, Option<NextBoot>)> {
        let inquiry = Inquiry {
            subject: subject.clone(),
            specialisation: activation.and_then(|activation| activation.specialisation.as_deref()),
            diff: self.plan.diff,
            next_boot: activation.is_some_and(|activation| activation.action != "dry-activate"),
        };
        let inspection = self.target.inspect(&inquiry, self.ssh, observer, self.signals)?;
        if let Some(difference) = &inspection.difference {
            for line in difference.lines(inspection.system.as_str()) {
                observer.see(Event::Text(line));
            }
        }
        Ok((inspection.system, inspection.next_boot))
    }

    /// `--ask`: the last thing before the change.
    fn ask(&self, action: &str, observer: &mut dyn Observer) -> Result<()> {
        // What is live on the screen would be in the way.
        observer.see(Event::Phase(Phase::Done));
        let on = self.target.label();
        let question = match action {
            "boot" => format!("Make it the default for booting {on}?"),
            "test" => format!("Activate it on {on}, until the next boot?"),
            _ => format!("Activate it on {on}?"),
        };
        if question::ask(&question, self.signals)? {
            return Ok(());
        }
        Err(Declined(format!("nothing was changed on {on}")).into())
    }

    fn link(&self, made: &Made, builder: &Place) -> Result<()> {
        self.link_system(&made.path, Some(builder))
    }

    /// Leaves `./result`, if it is here. A local build has left it already.
    fn link_system(&self, system: &StorePath, builder: Option<&Place>) -> Result<()> {
        if self.plan.target != Place::Here || builder == Some(&Place::Here) {
            return Ok(());
        }
        let link = self.around.directory.join("result");
        argv::link_result(system, &link).capture(self.signals).map(|_| ())
    }
}

/// The file of the image, if it is known; the names of all if there is none of this name.
fn choose(variant: &str, images: Images) -> Result<Option<String>, Failure> {
    if images.variants.iter().any(|name| name == variant) {
        return Ok(images.file);
    }
    let message = match variant {
        "" => "which image is to be built?".to_owned(),
        _ => format!("there is no image '{variant}'"),
    };
    Err(Failure::usage(message).with_remedy(format!(
        "--image-variant NAME, which is one of:\n  {}",
        images.variants.join("\n  ")
    )))
}

/// The program that starts a virtual machine.
fn starter(result: &Path) -> String {
    let programs = result.join("bin");
    let mut names = directory::names(&programs).into_iter();
    let starter = names.find(|name| name.starts_with("run-") && name.ends_with("-vm"));
    // On another machine it cannot be seen from here.
    let path = starter.map_or_else(|| result.to_owned(), |name| programs.join(name));
    path.to_string_lossy().into_owned()
}

/// The last line: the path alone goes to stdout.
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
    fn an_image_is_chosen_among_those_that_there_are() {
        let images = || Images {
            variants: vec!["iso".into(), "raw".into()],
            file: Some("iso/x.iso".into()),
        };
        assert_eq!(choose("iso", images()), Ok(Some("iso/x.iso".into())));
        for variant in ["", "is"] {
            let failure = choose(variant, images()).unwrap_err();
            assert!(failure.remedy().unwrap().contains("\n  iso\n  raw"), "{failure}");
        }
    }

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
