//! Nix's commands on this machine, with their log for the display.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Result;

use crate::context::Context;
use crate::plan::{Configuration, Flake, NixFlags};
use crate::process::Invocation;
use crate::progress::nix_log::{Activity, LogLine};
use crate::progress::{Builder, Event, Work};
use crate::vocabulary::{FlakeReference, file_above};

/// Makes Nix write its log in the form that this program reads.
const LOG_FORMAT: [&str; 2] = ["--log-format", "internal-json"];

/// Runs a command of Nix, shows what its log says, and returns what it prints. `first` is the phase that it begins
/// with: from the first build on, it builds.
///
/// # Errors
/// Fails as [`Invocation::run`] does.
pub(super) fn run(command: Invocation, first: Work, context: &Context) -> Result<Vec<u8>> {
    context.tell(Event::Trace(format!("$ {command}")));
    let command = command.own_args(LOG_FORMAT);
    context.tell(Event::Builder(Builder::default()));
    context.tell(Event::phase(first, None));
    let mut builds = None;
    let mut each = |line: &str| {
        let Some(event) = Event::of_nix(line) else { return };
        match &event {
            Event::Nix(LogLine::Start {
                id,
                activity: Activity::Builds,
            }) => {
                builds = Some(*id);
                context.tell(Event::phase(Work::Building, None));
            }
            // An evaluation may need builds, and goes on after them.
            Event::Nix(LogLine::Stop { id }) if builds == Some(*id) => context.tell(Event::phase(first, None)),
            Event::Nix(LogLine::Start {
                activity: Activity::Build { derivation, .. },
                ..
            }) => {
                let wanted = system_of(Path::new(derivation));
                let builder = wanted.map(|wanted| Builder::here(std::env::consts::ARCH, &wanted));
                context.tell(Event::Builder(builder.unwrap_or_default()));
            }
            _ => {}
        }
        context.tell(event);
    };
    let output = command.capture_and_watch(&mut each, context.signals);
    context.tell(Event::Idle);
    output
}

/// Returns the system that a derivation is for: in the derivation's file, it is the first text of its own after the
/// three lists.
fn system_of(derivation: &Path) -> Option<String> {
    let text = std::fs::read(derivation).ok()?;
    let start = text.windows(3).position(|bytes| bytes == b"],\"")? + 3;
    let length = text[start..].iter().position(|byte| *byte == b'"')?;
    String::from_utf8(text[start..start + length].to_owned()).ok()
}

/// Returns whether this program reads Nix's log. It does not if the user has asked for a format, nor if Nix may have to
/// ask the user something: Nix does not ask while it writes its log for a program.
pub(super) fn is_log_ours(configuration: Option<&Configuration>, flags: &NixFlags, context: &Context) -> bool {
    if flags.common.log_format.is_some() {
        return false;
    }
    let Some(Configuration::Flake(flake)) = configuration else {
        return true;
    };
    let is_anybody_here = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let accepts = || {
        let given = flags.common.setting("accept-flake-config").map(str::to_owned);
        let set = || context.nix.of_files.get("accept-flake-config").map(str::to_owned);
        flake.flags.accept_flake_config || given.or_else(set).as_deref() == Some("true")
    };
    !is_anybody_here || accepts() || !wants_settings(flake, &context.around.directory)
}

/// Returns whether a flake asks for settings, or may ask for them: for a flake on another machine, nobody knows yet.
fn wants_settings(flake: &Flake, directory: &Path) -> bool {
    let file = FlakeReference::read(&flake.reference).file_here(directory);
    // The name may be a registry's, and a directory's as well.
    let file = file.or_else(|| file_above(&directory.join(&flake.reference)));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.is_none_or(|text| text.contains("nixConfig"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_stands_after_the_lists() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            r#"Derive([("out","/nix/store/x-y","","")],[("/nix/store/a.drv",["out"]),("/nix/store/b.drv",["out"])],["/nix/store/s"],"aarch64-linux","/bin/sh",["-c","],\"no"],[("name","y")])"#,
        )
        .unwrap();
        assert_eq!(system_of(file.path()).as_deref(), Some("aarch64-linux"));
        assert_eq!(system_of(Path::new("/nonexistent.drv")), None);
    }

    #[test]
    fn which_flakes_ask() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
            std::fs::write(directory.path().join(name).join("flake.nix"), text).unwrap();
        };
        write("plain/sub/deeper", "");
        std::fs::remove_file(directory.path().join("plain/sub/deeper/flake.nix")).unwrap();
        write("plain", "{ outputs = _: { }; }");
        write("asking", "{ nixConfig.bash-prompt = \"x\"; outputs = _: { }; }");
        let root = directory.path().display();
        for (reference, expected) in [
            (format!("{root}/plain"), false),
            ("./plain".to_owned(), false),
            ("plain/sub/deeper".to_owned(), false),
            (format!("path:{root}/plain?narHash=x"), false),
            (format!("git+file://{root}/plain"), false),
            (format!("{root}/asking"), true),
            (format!("path:{root}?dir=asking"), true),
            ("github:owner/repository".to_owned(), true),
            ("git+ssh://host/path".to_owned(), true),
        ] {
            let flake = Flake {
                reference: reference.clone(),
                name: None,
                flags: crate::cli::flags::FlakeFlags::default(),
            };
            assert_eq!(wants_settings(&flake, directory.path()), expected, "{reference}");
        }
    }
}
