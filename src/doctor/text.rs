//! The text that runs on a machine that the doctor visits: the client's words, then `scripts/`, with parts of the
//! scripts that runs have, and last what is looked at.

use std::path::Path;

use super::Patient;
use crate::builder::realisation::probe;
use crate::failure::Failure;
use crate::remote::script::{Script, without_comments};

/// How much goes there and comes back, in bytes, to see whether large packets come through: about ten of the largest that
/// Ethernet has.
pub(super) const ECHO: usize = 16 << 10;

const PARTS: [&str; 9] = [
    include_str!("../remote/scripts/events.sh"),
    include_str!("../remote/scripts/memory.sh"),
    include_str!("../remote/scripts/nix.sh"),
    include_str!("../remote/scripts/emulators.sh"),
    include_str!("../builder/scripts/kept.sh"),
    include_str!("../builder/scripts/way.sh"),
    include_str!("../builder/scripts/emulation.sh"),
    include_str!("scripts/visit.sh"),
    include_str!("scripts/builder.sh"),
];

/// Returns the script that knocks and then reads another one of this length.
pub(super) fn knock(length: usize) -> Result<Vec<u8>, Failure> {
    let mut script = Script::default();
    script.set("rb_size", length.to_string())?;
    script.code(include_str!("scripts/knock.sh"));
    Ok(script.into_bytes())
}

/// Returns the script that looks around. `socket` is the one that ssh makes there.
pub(super) fn visit(patient: &Patient, socket: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let roles = patient.roles;
    let mut script = Script::default();
    script.set("rb_system", patient.system.unwrap_or_default())?;
    script.set(
        "rb_probe",
        if roles.builds {
            probe(patient.system.unwrap_or_default())
        } else {
            String::new()
        },
    )?;
    script.set("rb_socket", socket.unwrap_or(Path::new("")))?;
    script.set("rb_echo", if patient.host.is_some() { ECHO } else { 0 }.to_string())?;
    script.set("rb_elevation", patient.elevation.program())?;
    for part in PARTS.into_iter().chain([include_str!("scripts/target.sh")]) {
        script.text(&without_comments(part));
    }
    let steps = [
        (true, "begin_visit\n"),
        (roles.is_changed, "look_at_target\n"),
        (roles.builds, "look_at_builder\n"),
        // What an evaluation here needs, the client's own Nix has.
        (roles.evaluates && patient.host.is_some(), "look_at_evaluator\n"),
        (true, "end_visit\n"),
    ];
    for (_, step) in steps.into_iter().filter(|(is_taken, _)| *is_taken) {
        script.text(step);
    }
    Ok(script.into_bytes())
}
