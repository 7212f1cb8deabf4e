//! Root's channels, before the evaluation.
