//! bash's completion. Not by `clap_complete`: what that writes knows no `--flag=value`, nothing of words that readline
//! takes apart, and offers verbs and flags where a second value belongs.

use std::fmt::Write as _;

use super::definition::{REMARK, flags, verbs};

/// The file.
pub fn completion() -> String {
    let mut rows = String::new();
    let (mut names, verbs) = (Vec::new(), verbs());
    for flag in flags() {
        if flag.values > 0 {
            let row = flag.value.row();
            writeln!(
                rows,
                "        {}) values={} value='{row}' ;;",
                flag.names.join(" | "),
                flag.values
            )
            .unwrap();
        }
        names.extend(flag.names);
    }
    let verbs: Vec<&str> = verbs.iter().map(|(name, _)| name.as_str()).collect();
    let text = include_str!("rebuild.bash");
    let text = text.replace("@rows@\n", &rows);
    let text = text.replace("@flags@", &names.join(" "));
    REMARK.to_owned() + &text.replace("@verbs@", &verbs.join(" "))
}
