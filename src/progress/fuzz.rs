//! Nix's log, for `crate::fuzz`.

use super::nix_log::LogLine;
use crate::fuzz::{FuzzTarget, text};

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "Nix's log",
    files: &["progress/nix_log.rs"],
    examples: &[
        br#"@nix {"action":"start","id":1,"level":3,"parent":0,"text":"building","type":105,"fields":["/nix/store/x.drv","",1,1]}"#,
        br#"@nix {"action":"result","id":1,"type":101,"fields":["line"]}"#,
        br#"@nix {"action":"result","id":1,"type":105,"fields":[1,2,3,4]}"#,
        br#"@nix {"action":"result","id":1,"type":106,"fields":[101,99999999999999]}"#,
        br#"@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m x"}"#,
        br#"@nix {"action":"stop","id":18446744073709551615}"#,
    ],
    read: |bytes| {
        let whole = text(bytes);
        if let Some(line) = LogLine::parse(&whole) {
            assert!(whole.starts_with("@nix "));
            let _ = line.is_error();
        }
    },
}];
