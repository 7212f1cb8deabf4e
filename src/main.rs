//! The program: arguments, settings, plan, carrying out, exit status.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;

use rebuild::{
    Arguments, Failure, OwnNix, Places, Plan, QUESTION, RunLog, Settings, Signals, Surroundings, abort_at_other_panics,
    answer, carry_out, describe, exit_code, facts, reporter, result, say, verbosity,
};

fn main() -> ExitCode {
    abort_at_other_panics();
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == QUESTION) {
        // It does not matter if the shell no longer listens.
        let _ = result(&answer(words, &Places::here()));
        return ExitCode::SUCCESS;
    }
    let mut log = None;
    match rebuild(&Arguments::parse(), &mut log) {
        Ok(()) => {
            if let Some(log) = log {
                log.succeeds();
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            if let Some(text) = describe(&error) {
                say(&text);
            }
            if let Some(line) = log.and_then(|log| log.fails(&error)) {
                say(&line);
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Runs the program from its arguments to the last word. `log` gets the log of the run, if the run keeps one.
fn rebuild(arguments: &Arguments, log: &mut Option<Arc<RunLog>>) -> Result<()> {
    let signals = Signals::listen()?;
    let around = surroundings()?;
    let settings = Settings::gather(arguments, &around)?;
    let reporter = reporter(verbosity(arguments));
    let nix = OwnNix::read(&around, &arguments.common.option, &arguments.evaluation.include);
    let facts = facts(arguments, &settings, &around, &nix, &signals)?;
    let plan = Plan::new(arguments, &settings, &facts)?;
    if let (true, Some(what)) = (around.directory_is_gone, plan.of_the_current_directory()) {
        return Err(Failure::new(format!(
            "the current directory does not exist any more, and {what} would be in it"
        ))
        .with_remedy("go to one that exists: cd")
        .into());
    }
    let (kept, reporter) = RunLog::begin(&plan, &settings, &around, &nix, reporter);
    *log = kept;
    carry_out(&plan, &around, &nix, reporter, &signals)
}

/// Collects everything that the process was started with.
fn surroundings() -> Result<Surroundings> {
    let current = std::env::current_dir();
    let directory_is_gone = current.is_err();
    if directory_is_gone {
        // Nix and git refuse to start without a current directory. A run that needs the directory is refused (see
        // above).
        std::env::set_current_dir("/")?;
    }
    Ok(Surroundings {
        words: std::env::args_os().collect(),
        variables: std::env::vars_os().collect(),
        directory: current.unwrap_or_else(|_| "/".into()),
        directory_is_gone,
        own_name: nix::unistd::gethostname()?.to_string_lossy().into_owned(),
    })
}
