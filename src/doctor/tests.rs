//! From the script's words to the report, as plain values; and the scripts themselves in a shell.

mod judgements;
mod scripts;
