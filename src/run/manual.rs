//! The manual.

use std::io::IsTerminal;

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::Arguments;
use crate::process::Invocation;
use crate::process::signals::Signals;

/// Opens the manual page, or prints the help if there is no manual page.
pub(super) fn show(signals: &Signals) -> Result<()> {
    if std::io::stdout().is_terminal() {
        let page = Invocation::new("man").args(["8", "rebuild"]);
        if page.interactively(signals).is_ok() {
            return Ok(());
        }
    }
    Arguments::command().print_long_help()?;
    Ok(())
}
