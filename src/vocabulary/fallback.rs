//! How a run goes on if its evaluator or builder cannot be reached.

/// What to do without a machine that cannot be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Fallback {
    /// End, and say what to type (default)
    #[default]
    Fail,
    /// Evaluate and build here
    Local,
}
