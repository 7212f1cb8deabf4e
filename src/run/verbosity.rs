//! How much the user wants to be told.

use crate::cli::Arguments;
use crate::progress::Verbosity;

/// Returns how much the user asked for. Of Nix's log formats, `raw` means plain lines, and all others mean the live
/// display; those that end in `-with-logs` also ask for the logs of builds.
#[must_use]
pub fn verbosity(arguments: &Arguments) -> Verbosity {
    let format = arguments.common.log_format.as_deref().unwrap_or_default();
    let logs = arguments.build.print_build_logs || format.ends_with("-with-logs");
    Verbosity {
        level: i16::from(arguments.common.verbose) - i16::from(arguments.common.quiet),
        build_logs: logs && !arguments.build.no_build_output,
        plain: format.starts_with("raw"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_log_format_says_how_it_is_shown() {
        let seen = |line: &str| {
            let words = std::iter::once("rebuild").chain(line.split(' '));
            let Verbosity { build_logs, plain, .. } = verbosity(&Arguments::parse_from(words));
            (build_logs, plain)
        };
        assert_eq!(seen("build"), (false, false));
        assert_eq!(seen("build --log-format raw"), (false, true));
        assert_eq!(seen("build --log-format=raw-with-logs"), (true, true));
        assert_eq!(seen("build --log-format bar-with-logs"), (true, false));
        assert_eq!(seen("build -L"), (true, false));
        assert_eq!(seen("build -L -Q"), (false, false));
    }
}
