//! What a builder says, for `crate::fuzz`.

use super::missing::{self, Missing};
use super::preflight::Lack;
use super::reply::BuilderEvent;
use super::trace;
use super::{conversation, course, jobs, promise};
use crate::fuzz::{FuzzTarget, text};

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "a builder's course",
        files: &["builder/course.rs"],
        examples: &[
            b"\x10hello /bin x\nway user\nreceiving none\nneed\nnix 2.26\nevaluating\nlock-line {\nevaluated x\n\
              platform a b\nbuilding\nbuilt y\ncopying\ncopied\nfinished",
            b"\0hello /bin x\nreceiving base\nneed\nevaluating\nrefused x\nevaluation-failed 1\n[look]\nreceiving base\n\
              need\nevaluating\nlooked /x\nlooked-around\n[again]\ndamaged\nreceiving none\nneed a\nevaluating\nasked-for X\n\
              variables\n[good]\nevaluated x\nbuilding\nbuilt y\nfinished",
            b"\x81hello /bin x\nchannels x\nfinished",
            b"\x21hello /bin x\nbuilding\nbuilt y\nno-socket\nfinished",
            b"\0hello /bin x\nreceiving none\nneed\nevaluating\njob a.1\nevaluated x\nended\njoined b.1 5\n[back]\nhello /bin x\n\
              building\nbuilt y\nended\nfinished",
            b"\0hello /bin x\nreceiving none\nneed\nevaluating\njob a.1\nfailed build 1\nlost\nfailed gone 1",
            b"\x40hello /bin x\nreceiving have\nneed\nevaluating\nvalue {}\nfinished\nfinished\nfailed build 1",
            b"\x04hello a b\nreceiving none\nneed\nevaluating\nevaluation-failed 1\n[stop]\nlock-line {\nfailed evaluate 1",
        ],
        read: course::look_at,
    },
    FuzzTarget {
        name: "what a job says",
        files: &["builder/conversation/following.rs"],
        examples: &[b"\x03one\n@rebuild evaluated x\n\n\r\nno end", b"\x01\xff\0\n@nix {}\n"],
        read: conversation::look_at_job,
    },
    FuzzTarget {
        name: "what is told of jobs",
        files: &["builder/jobs/told.rs", "builder/jobs/shown.rs", "builder/job_end.rs"],
        examples: &[
            b"record ab.1 pi: x y 1700000000\naged 62 -\nbuilds /nix/store/00000000000000000000000000000000-x.drv 20\nfollowed\n\
              @nix {\"action\":\"start\",\"id\":3,\"level\":0,\"parent\":0,\"text\":\"\",\"type\":104}\n\
              @nix {\"action\":\"result\",\"fields\":[1,7,2,0],\"id\":3,\"type\":105}\nrunning\nfinished",
            b"record ab.2 x 1\naged 62 30\nheard\nended failed build 1\nrecord ab.3 \xc2\x9b2J 1\nlost\nfinished",
            b"record ab.2 x 1\nended built /nix/store/00000000000000000000000000000000-x.drv \
              /nix/store/11111111111111111111111111111111-x\nrecord b y 2\nended joins d ab.1 5\nfinished",
        ],
        read: jobs::look_at,
    },
    FuzzTarget {
        name: "derivations and what is built of them",
        files: &["builder/promise.rs"],
        examples: &[
            b"Derive([(\"out\",\"/nix/store/00000000000000000000000000000000-x\",\"\",\"\"),(\"dev\",\"/nix/store/y\",\"\",\"\")],[],[]",
            b"/nix/store/00000000000000000000000000000000-x-1.drv\n/nix/store/11111111111111111111111111111111-x-1-dev",
            b"/nix/store/00000000000000000000000000000000-x.drv\n/nix/store/11111111111111111111111111111111-xy",
            b"Derive([(\"out\",\"\",\"r:sha256\",\"\")])",
        ],
        read: |bytes| promise::look_at(&text(bytes)),
    },
    FuzzTarget {
        name: "a builder's events",
        files: &["builder/reply.rs"],
        examples: &[
            b"@rebuild hello /nix/store/x/bin x86_64-linux",
            b"@rebuild receiving base",
            b"@rebuild logout me",
            b"@rebuild need a b c",
            b"@rebuild evaluation-failed 1",
            b"@rebuild looked /etc/x\0y",
            b"@rebuild refused newfstatat(AT_FDCWD</etc>, \"x\", 0) = -1",
            b"@rebuild lock-line {",
            b"@rebuild value {\"a\": 1}",
            b"@rebuild evaluated /nix/store/00000000000000000000000000000000-x.drv",
            b"@rebuild built /nix/store/00000000000000000000000000000000-x",
            b"@rebuild platform aarch64-linux x86_64-linux",
            b"@rebuild failed build 1",
            b"@rebuild channels /nix/store/00000000000000000000000000000000-user-environment",
            b"@rebuild channels",
            b"@rebuild way user",
            b"@rebuild job ab.1",
            b"@rebuild joined ab.1 17",
            b"@rebuild record ab.1 pi: x y 1700000000",
            b"@rebuild lost",
            b"@rebuild room 123456 7890123",
            b"@rebuild finished",
        ],
        read: |bytes| {
            if let Some(reply) = BuilderEvent::parse(bytes) {
                assert!(bytes.starts_with(b"@rebuild "), "{reply:?}");
            }
        },
    },
    FuzzTarget {
        name: "strace",
        files: &["builder/trace.rs"],
        examples: &[
            b"newfstatat(AT_FDCWD</etc/nixos>, \"x \\303\\244\", {st_mode=S_IFREG}, 0) = -1 EACCES",
            b"openat(3</a>, \"\\\"\\n\\x41\", O_RDONLY) = 4</b>",
        ],
        read: |bytes| {
            let found = trace::paths(bytes);
            assert!(found.iter().all(|path| path.is_absolute()), "{found:?}");
            assert!(found.len() <= bytes.len());
        },
    },
    FuzzTarget {
        name: "Nix's errors",
        files: &["builder/missing.rs"],
        examples: &[
            b"error: getting status of '/etc/x': No such file or directory",
            b"error: path '/nix/store/00000000000000000000000000000000-x' is not valid",
            b"error: file 'nixpkgs/../../x' was not found in the Nix search path (add it using $NIX_PATH or -I)",
            "error: opening file ‘/a’: Permission denied\nfatal: could not find repository at '/b'".as_bytes(),
            b"error: filesystem error: x: Permission denied [\"/a\"] [/b]",
            b"unable to download 'https://x': a",
        ],
        read: |bytes| {
            let said = text(bytes);
            let found = missing::missing(&said);
            let is_theirs = |text: &str| text.len() <= said.len();
            for missing in &found {
                match missing {
                    Missing::Lookup(name) => assert!(is_theirs(name), "{name}"),
                    Missing::Path(path) | Missing::Repository(path) | Missing::StorePath(path) => {
                        assert!(path.is_absolute(), "{missing:?}");
                    }
                    Missing::Fetched | Missing::Unnamed => {}
                }
            }
        },
    },
    FuzzTarget {
        name: "what a build lacks",
        files: &["builder/preflight.rs"],
        examples: &[
            b"error: a 'x86_64-linux' with features {big-parallel} is required to build 'x', but I am a 'y' with features {}",
            b"error: Cannot build 'x'. Reason: missing system features Required features: {a, b} Available features: {a}",
            b"Reason: platform mismatch Required system: 'riscv64-linux' Current system: 'x86_64-linux'",
        ],
        read: |bytes| {
            let said = text(bytes);
            if let Some(Lack::Features(words) | Lack::System(words)) = Lack::read(&said) {
                assert!(words.len() <= said.len(), "{words}");
            }
        },
    },
];
