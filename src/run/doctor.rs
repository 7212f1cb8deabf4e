//! `rebuild doctor`.

use std::io::IsTerminal;

use anyhow::Result;

use super::gather::gather;
use super::programs;
use crate::conditions::{Condition, Words};
use crate::context::Context;
use crate::doctor::{self, Examined, Finding, Looks, Outcome, Patient, Report, Roles, Verdict};
use crate::failure::{Failure, Told};
use crate::harmless::{self, Colours};
use crate::host::{Host, Place};
use crate::output;
use crate::own_nix::named_configuration;
use crate::plan::{Checkup, Configuration};
use crate::process::quote::shell_word;
use crate::surroundings::Surroundings;

/// How wide a line is where nobody says how wide the terminal is.
const COLUMNS: usize = 80;

/// Looks at every machine that takes part, and prints what was found: that is the result.
///
/// # Errors
/// Something is amiss, which the report has told; or a signal has come.
pub(super) fn examine(checkup: &Checkup, context: &Context) -> Result<()> {
    let report = report(checkup, context)?;
    let text = if checkup.json {
        serde_json::to_string_pretty(&doctor::json(&report))? + "\n"
    } else {
        // Some of it are the words of other machines, and of ssh.
        harmless::text(&doctor::shown(&report, looks(context.around)), Colours::Kept)
    };
    output::result(&text)?;
    if report.count(Verdict::Bad) > 0 {
        return Err(Told { code: 1 }.into());
    }
    Ok(())
}

fn report(checkup: &Checkup, context: &Context) -> Result<Report> {
    let mut report = Report::default();
    let mut own = of_this_machine(checkup, context);
    let own_system = context.nix.settings.system();
    let here = roles(checkup, &Place::Here);
    let patient = patient(None, here, Some(&own_system), checkup);
    own.extend(doctor::examine(&patient, context)?.findings);
    report.machines.push(examined(None, here, own));
    let mut system = (checkup.target == Place::Here).then(|| own_system.clone());
    for host in checkup.hosts() {
        let roles = roles(checkup, &Place::There(host.clone()));
        // Nobody knows the target's system before it has been visited; what it says of itself then counts.
        let known = if roles.is_changed {
            None
        } else {
            system.as_deref().or(Some(&own_system))
        };
        let Outcome { findings, system: told } =
            doctor::examine(&self::patient(Some(host), roles, known, checkup), context)?;
        if roles.is_changed {
            system = told;
        }
        report.machines.push(examined(Some(host), roles, findings));
    }
    report.next = next(checkup, context.around)?;
    Ok(report)
}

fn roles(checkup: &Checkup, place: &Place) -> Roles {
    Roles {
        evaluates: checkup.candidates.evaluators.contains(place),
        builds: checkup.candidates.builders().contains(place),
        is_changed: checkup.target == *place,
    }
}

fn patient<'a>(host: Option<&'a Host>, roles: Roles, system: Option<&'a str>, checkup: &Checkup) -> Patient<'a> {
    Patient {
        host,
        roles,
        system,
        elevation: checkup.elevation,
        lends: checkup.lends && (roles.builds || roles.evaluates),
    }
}

fn examined(host: Option<&Host>, roles: Roles, findings: Vec<Finding>) -> Examined {
    let words = [
        (roles.evaluates, "evaluates"),
        (roles.builds, "builds"),
        (roles.is_changed, "is changed"),
    ];
    Examined {
        host: host.cloned(),
        roles: words
            .into_iter()
            .filter(|(is_so, _)| *is_so)
            .map(|(_, word)| word)
            .collect(),
        findings,
    }
}

/// Looks at what needs no visit: who is named, the programs, the configuration.
fn of_this_machine(checkup: &Checkup, context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(named(checkup));
    let programs: &[&str] = if checkup.hosts().is_empty() {
        &["nix-store", "nix-env"]
    } else {
        &["ssh", "nix-store", "nix-env"]
    };
    let path = context.around.variable("PATH");
    findings.push(
        match programs::missing(programs, path.as_ref(), &context.around.directory) {
            Some(failure) => doctor::of_failure(Condition::Programs, &failure),
            None => Finding::good(Condition::Programs, "are in PATH"),
        },
    );
    findings.push(configuration(checkup, context));
    findings
}

fn named(checkup: &Checkup) -> Finding {
    let mut names: Vec<String> = checkup.candidates.hosts().map(Host::to_string).collect();
    names.dedup();
    match (names.is_empty(), checkup.is_named) {
        (false, _) => Finding::good(Condition::Named, names.join(", ")),
        (true, true) => Finding::good(Condition::Named, "this one, as was said"),
        (true, false) => Finding::amiss(
            Condition::Named,
            Verdict::Bad,
            "no machine is named that evaluates or builds: this one does it all",
            &Words::default(),
        ),
    }
}

fn configuration(checkup: &Checkup, context: &Context) -> Finding {
    let found = checkup
        .configuration
        .clone()
        .map_err(anyhow::Error::from)
        .and_then(|configuration| {
            if checkup.candidates.evaluators.iter().any(|place| place.host().is_some()) {
                context.nix.settings.may_go()?;
                gather(&configuration, None, context.around, context.nix)?;
            } else if configuration == Configuration::Classic {
                classic(context)?;
            }
            Ok(configuration.to_string())
        });
    match found {
        Ok(name) => Finding::good(Condition::Configuration, name),
        Err(error) => {
            let failure = error
                .downcast::<Failure>()
                .unwrap_or_else(|error| Failure::new(format!("{error:#}")));
            let mut finding = doctor::of_failure(Condition::Configuration, &failure);
            let by_table = || Condition::Configuration.remedy(&Words::default());
            finding.remedy = finding.remedy.or_else(|| Some(by_table()));
            finding
        }
    }
}

/// What an evaluation here looks for first.
fn classic(context: &Context) -> Result<(), Failure> {
    let amiss = |message: String| Err(Failure::of(Condition::Configuration, message, &Words::default()));
    if !context.nix.knows("nixpkgs") {
        return amiss("<nixpkgs> is not in the Nix search path of this user".to_owned());
    }
    match named_configuration(context.around, &context.nix.search_path) {
        None => amiss("no configuration: neither NIXOS_CONFIG nor <nixos-config> names one".to_owned()),
        Some((entry, _)) if !entry.exists() => amiss(format!("the configuration {} does not exist", entry.display())),
        Some(_) => Ok(()),
    }
}

/// Returns what to type when nothing is amiss.
fn next(checkup: &Checkup, around: &Surroundings) -> Result<Vec<String>> {
    if checkup.hosts().is_empty() {
        return Ok(vec!["Next: rebuild switch".to_owned()]);
    }
    let mut flags = String::new();
    for flag in &checkup.flags {
        flags.push(' ');
        flags.push_str(&String::from_utf8_lossy(&shell_word(flag)?));
    }
    let program = around
        .words
        .first()
        .map_or_else(|| "rebuild".into(), |word| word.to_string_lossy().into_owned());
    Ok(vec![
        "Next:".to_owned(),
        format!("  {program} build{flags}     changes nothing, and leaves ./result"),
        format!("  {program} switch{flags}"),
    ])
}

/// Returns what the terminal takes. Where none is, a file or a program reads it: it gets no colours.
fn looks(around: &Surroundings) -> Looks {
    let is_plain =
        around.text("TERM").is_none_or(|term| term.is_empty() || term == "dumb") || around.is_set("NO_COLOR");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| around.text(name));
    let is_utf = |text: String| ["utf-8", "utf8"].iter().any(|name| text.to_lowercase().ends_with(name));
    let is_terminal = std::io::stdout().is_terminal();
    let columns = console::Term::stdout()
        .size_checked()
        .map_or(COLUMNS, |(_, columns)| usize::from(columns));
    Looks {
        unicode: !is_plain
            && locale
                .filter(|text| !text.is_empty())
                .map(is_utf)
                .next()
                .unwrap_or(false),
        colours: is_terminal && !is_plain,
        columns: if is_terminal { columns } else { COLUMNS },
    }
}
