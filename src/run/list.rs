//! `list-generations`.

use std::path::Path;

use anyhow::Result;

use crate::failure::Failure;
use crate::generations::{self, Generation};
use crate::process::Invocation;
use crate::process::signals::Signals;

/// Prints the profile's generations: they are the result, so to stdout.
pub(super) fn generations(profile: &Path, json: bool, signals: &Signals) -> Result<()> {
    let links = generations::links(profile).map_err(|error| {
        Failure::new(format!("{} has no generations: {error}", profile.display()))
            .with_remedy("is this NixOS? another profile is named by --profile-name NAME")
    })?;
    let mut all: Vec<Generation> = Vec::new();
    for link in &links {
        let revision = match generations::reviser(link) {
            Some(program) => revision(&program, signals)?,
            None => None,
        };
        all.push(generations::read(link, revision));
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        print!("{}", generations::table(&all));
    }
    Ok(())
}

/// What a system says of its revision; nothing where it has none, or cannot run here.
fn revision(program: &Path, signals: &Signals) -> Result<Option<String>> {
    let output = Invocation::new(program)
        .arg("--configuration-revision")
        .quietly(signals);
    signals.check()?;
    let text = output.map(|output| String::from_utf8_lossy(&output).trim().to_owned());
    Ok(text.ok().filter(|text| !text.is_empty()))
}
