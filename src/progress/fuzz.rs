//! Nix's log, for `crate::fuzz`.

use std::time::{Duration, Instant};

use super::layout::Layout;
use super::nix_log::LogLine;
use super::watches::Watches;
use super::{Event, Verbosity, Work};
use crate::fuzz::{FuzzTarget, is_harmless, text};

/// The size of a small terminal.
const SIZE: (usize, usize) = (12, 40);

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "the display",
        files: &["progress/watch.rs", "progress/builds.rs", "progress/layout.rs", "progress/recorded.rs"],
        examples: &[
            b"@nix {\"action\":\"start\",\"id\":1,\"level\":3,\"type\":105,\"fields\":[\"/nix/store/x-a\\u001b[2J.drv\",\"ssh://m\",1,1]}\n\
              @nix {\"action\":\"result\",\"id\":1,\"type\":104,\"fields\":[\"build\\u0007Phase\"]}\n\
              @nix {\"action\":\"result\",\"id\":1,\"type\":101,\"fields\":[\"\\u001b]0;t\\u0007line \\r over\"]}\n\
              @nix {\"action\":\"msg\",\"level\":0,\"msg\":\"\\u001b[31;1merror:\\u001b[0m builder for '/nix/store/x-a.drv' failed with exit code 1;\\n       last 1 log lines:\\n       > line\"}\n\
              @nix {\"action\":\"stop\",\"id\":1}",
            b"@nix {\"action\":\"start\",\"id\":2,\"type\":104,\"text\":\"\"}\n\
              @nix {\"action\":\"result\",\"id\":2,\"type\":105,\"fields\":[18446744073709551615,18446744073709551615,1,1]}\n\
              @nix {\"action\":\"start\",\"id\":3,\"type\":103,\"text\":\"copying 5 paths\"}\n\
              @nix {\"action\":\"result\",\"id\":3,\"type\":106,\"fields\":[101,99999999999999]}\n\
              @nix {\"action\":\"result\",\"id\":3,\"type\":105,\"fields\":[1,0,0,18446744073709551615]}",
            "these 2 derivations will be built:\n\u{9b}2J \u{202e}x\n\x1b[31mred".as_bytes(),
        ],
        read: |bytes| look_at(&text(bytes)),
    },
    FuzzTarget {
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

/// Shows lines of Nix, and other lines: nothing that is shown orders a terminal, and the live lines fit into it.
fn look_at(text: &str) {
    let start = Instant::now();
    let verbosity = Verbosity {
        level: 1,
        build_logs: true,
        ..Verbosity::default()
    };
    let (layout, mut watches) = (Layout::new(), Watches::new(verbosity, true, start));
    _ = watches.see(None, Event::phase(Work::Building, None), start);
    for (number, line) in text.lines().take(200).enumerate() {
        let now = start + Duration::from_millis(700 * number as u64);
        let event = LogLine::parse(line).map_or_else(|| Event::Text(line.to_owned()), Event::Nix);
        for line in watches.see(None, event, now) {
            assert!(is_harmless(&line.plain()), "{line:?}");
        }
        watches.tick(now);
        let lines = layout.lines(&watches, SIZE.0, SIZE.1, now);
        assert!(lines.len() <= SIZE.0, "{lines:?}");
        for line in lines {
            let plain = console::strip_ansi_codes(&line);
            assert!(is_harmless(&plain) && !plain.contains('\n'), "{line:?}");
            assert!(console::measure_text_width(&line) < SIZE.1, "{line:?}");
        }
    }
}
