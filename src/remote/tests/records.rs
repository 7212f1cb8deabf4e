//! Work that outlives its connection (scripts/records.sh and held.sh). An ordinary user runs it, with each shell that
//! this machine has, and with only the programs that the library says it needs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

const EVENTS: &str = include_str!("../scripts/events.sh");
const RECORDS: &str = include_str!("../scripts/records.sh");
const HELD: &str = include_str!("../scripts/held.sh");

/// The user that runs the scripts if root runs the tests.
const NOBODY: u32 = 65534;

/// The words of each `sh`, and whether the programs are busybox's as well, as far as it has them.
const SHELLS: [(&[&str], bool); 3] = [
    (&["dash"], false),
    (&["bash", "--posix"], false),
    (&["busybox", "sh"], true),
];

fn found(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

fn head(script: &str) -> String {
    let lines = script.lines().skip(1).take_while(|line| line.starts_with('#'));
    lines.map(|line| line.trim_start_matches('#')).collect()
}

/// Returns the programs that the two heads say are needed.
fn programs() -> BTreeSet<String> {
    let records = head(RECORDS);
    let (_, list) = records.split_once("`event`; ").unwrap();
    let (list, _) = list.split_once("; a system").unwrap();
    let held = head(HELD);
    let (_, more) = held.split_once("Needs ").unwrap();
    let (more, _) = more.split_once(';').unwrap();
    let names = list.split(',').chain(more.split(" and "));
    names.map(|name| name.trim().to_owned()).collect()
}

/// Returns the programs that busybox has. Debian's has no flock.
fn applets() -> BTreeSet<String> {
    let output = Command::new("busybox").arg("--list").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A directory with records and programs.
struct RecordsPlace {
    place: TempDir,
    shell: &'static [&'static str],
}

impl RecordsPlace {
    fn new(shell: &'static [&'static str], is_busybox: bool) -> Self {
        let place = tempfile::tempdir().unwrap();
        if nix::unistd::geteuid().is_root() {
            chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let this = Self { place, shell };
        fs::create_dir(this.path("bin")).unwrap();
        let applets = if is_busybox { applets() } else { BTreeSet::new() };
        for name in programs() {
            let program = found(if applets.contains(&name) { "busybox" } else { &name }).unwrap();
            symlink(program, this.path("bin").join(name)).unwrap();
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Returns a script of a session, which may `start NAME JOB`.
    fn script(&self, text: &str) -> String {
        let place = self.place.path().display();
        let shell = found(self.shell[0]).unwrap();
        let words = [&[shell.to_str().unwrap()], &self.shell[1..]].concat().join(" ");
        format!(
            "set -u; umask 077; place={place} records={place}/records; cd $place
             PATH=$place/bin; export PATH place; exec 2>&1
             begin() {{ lock_records && begin_record \"$1\" \"$held$2\" some words; }}
             start() {{ begin \"$@\" && secure_record && start_job {words} \"$record/job\" \"$record\"; unlock_records; }}
             held='{}\nhold_record \"$1\"\n'\n{EVENTS}{RECORDS}\n{text}",
            HELD.replace('\'', "'\\''"),
        )
    }

    fn command(&self, text: &str) -> Command {
        let mut command = Command::new(found(self.shell[0]).unwrap());
        command.args(&self.shell[1..]).args(["-c", &self.script(text)]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        if nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn spawn(&self, text: &str) -> Child {
        self.command(text).spawn().unwrap()
    }

    fn says_bytes(&self, text: &str) -> Vec<u8> {
        self.spawn(text).wait_with_output().unwrap().stdout
    }

    fn says(&self, text: &str) -> String {
        String::from_utf8(self.says_bytes(text)).unwrap()
    }

    /// Makes the gate at which a job waits with `read -r _ <gate`, until `opens`.
    fn gate(&self) {
        mkfifo(&self.path("gate"), Mode::from_bits_truncate(0o666)).unwrap();
        fs::set_permissions(self.path("gate"), fs::Permissions::from_mode(0o666)).unwrap();
    }

    /// Opens the gate. If no job waits there yet, waits for one.
    fn opens(&self) {
        let mut gate = File::options().write(true).open(self.path("gate")).unwrap();
        gate.write_all(b"go\n").unwrap();
    }

    fn ages(&self, name: &str, date: &str) {
        let mut touch = Command::new("touch");
        touch.args(["-d", date]).arg(self.path("records").join(name));
        assert!(touch.status().unwrap().success());
    }
}

/// Runs a test with each shell of this machine.
fn everywhere(test: impl Fn(&RecordsPlace)) {
    for (shell, is_busybox) in SHELLS {
        if found(shell[0]).is_some() {
            test(&RecordsPlace::new(shell, is_busybox));
        } else {
            skipped(&format!("there is no {} on this machine", shell[0]));
        }
    }
}

/// Says that something was skipped. This is not done by eprintln, which cargo hides when all went well.
fn skipped(why: &str) {
    let _ = std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes());
}

/// Returns the counted bytes, and the events that came in between.
fn heard(mut said: &[u8]) -> (Vec<u8>, Vec<String>) {
    let (mut output, mut events) = (Vec::new(), Vec::new());
    while !said.is_empty() {
        let end = said.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&said[..end]).unwrap();
        let event = line.strip_prefix("@rebuild ").unwrap_or_else(|| panic!("{line}"));
        said = &said[end + 1..];
        match event.strip_prefix("chunk ") {
            Some(length) => {
                let (chunk, rest) = said.split_at(length.parse().unwrap());
                output.extend(chunk);
                said = rest;
            }
            None => events.push(event.to_owned()),
        }
    }
    events.retain(|event| event != "alive");
    (output, events)
}

/// Reads on until this line comes.
fn wait_for(line: &str, reader: &mut impl BufRead) {
    let mut said = String::new();
    while said.trim_end() != line {
        said.clear();
        assert_ne!(reader.read_line(&mut said).unwrap(), 0, "{line} does not come");
    }
}

/// The output may have bytes that are no text, and text that looks like an event.
#[test]
fn what_a_job_says_comes_byte_for_byte_from_wherever_one_goes_on() {
    everywhere(|place| {
        let mut bytes = b"@rebuild ended all 0\n@rebuild chunk 7\n\0\xff\r\n\n\n".to_vec();
        bytes.extend((0..200_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()));
        bytes.extend(b"@rebuild lost");
        fs::write(place.path("bytes"), &bytes).unwrap();
        let job = "head -c 300000 <\"$place/bytes\"; end_record this and 3";
        let said = place.says_bytes(&format!("start one '{job}'; follow_record one 0"));
        assert!(heard(&said) == (bytes.clone(), vec!["ended this and 3".to_owned()]));
        for offset in [
            1,
            20,
            21,
            22,
            37,
            38,
            41,
            100_000,
            bytes.len() - 1,
            bytes.len(),
            bytes.len() + 9,
        ] {
            let (output, events) = heard(&place.says_bytes(&format!("follow_record one {offset}")));
            assert!(output == bytes.get(offset..).unwrap_or_default(), "{offset}");
            assert_eq!(events, ["ended this and 3"]);
        }
        let told = place.says("tell_record one; tell_record none || echo none");
        let rest = told.strip_prefix("@rebuild record one some words ").unwrap();
        let (time, rest) = rest.split_once('\n').unwrap();
        assert!(time.parse::<u64>().unwrap() > 1_000_000_000);
        assert_eq!(rest, "@rebuild ended this and 3\nnone\n");
    });
}

/// A session can end as soon as it has started the job, whatever the session had open, and others can follow the job.
#[test]
fn a_job_belongs_to_no_session_and_several_may_follow_it() {
    everywhere(|place| {
        place.gate();
        let job = "printf begin; read -r _ <\"$place/gate\"; printf end; end_record over";
        // This waits until no process has the stream any more.
        let said = place.says(&format!("exec 3>&1 4>&1 5>&1 6>&1; start one '{job}'"));
        assert_eq!(said, "");
        assert!(place.says("tell_record one").ends_with("@rebuild running\n"));
        let follower = || {
            let mut child = place.spawn("follow_record one 0");
            let mut reader = BufReader::new(child.stdout.take().unwrap());
            wait_for("@rebuild chunk 5", &mut reader);
            (child, reader)
        };
        let mut followers = [follower(), follower()];
        place.opens();
        for (child, reader) in &mut followers {
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).unwrap();
            assert!(child.wait().unwrap().success());
            let all = [b"@rebuild chunk 5\n", rest.as_slice()].concat();
            assert_eq!(heard(&all), (b"beginend".to_vec(), vec!["ended over".to_owned()]));
        }
    });
}

/// The word that the job lives is said between pieces of its output, and never in one.
#[test]
fn a_job_that_says_nothing_lives() {
    everywhere(|place| {
        place.gate();
        let job = "printf begin; read -r _ <\"$place/gate\"; printf end; end_record over";
        let mut child = place.spawn(&format!("start one '{job}'; follow_record one 0"));
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        wait_for("begin@rebuild alive", &mut reader);
        wait_for("@rebuild alive", &mut reader);
        place.opens();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        child.wait().unwrap();
        assert_eq!(heard(&rest), (b"end".to_vec(), vec!["ended over".to_owned()]));
    });
}

#[test]
fn a_job_that_is_killed_is_lost() {
    everywhere(|place| {
        let job = "echo $$; echo running; exec 7<>\"$place/gate\"; read -r _ <&7; end_record over";
        place.gate();
        let mut child = place.spawn(&format!("start one '{job}'; follow_record one 0"));
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        wait_for("running", &mut reader);
        let log = fs::read_to_string(place.path("records/one/log")).unwrap();
        let id: i32 = log.lines().next().unwrap().parse().unwrap();
        kill(Pid::from_raw(id), Signal::SIGKILL).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        child.wait().unwrap();
        assert!(rest.ends_with("@rebuild lost\n"), "{rest}");
        assert!(place.says("tell_record one").ends_with("\n@rebuild lost\n"));
        // The disk may have only a part of its last word.
        fs::write(place.path("records/one/status"), "ov").unwrap();
        assert_eq!(place.says("tell_end \"$records/one\""), "@rebuild lost\n");
    });
}

/// What a job leaves running is not the job, and does not hold the record.
#[test]
fn what_a_job_leaves_running_does_not_hold_it() {
    everywhere(|place| {
        place.gate();
        let job = "leave() { { read -r _ <\"$place/gate\"; } & return 3; }; code=0
             without_record leave || code=$?; kill -KILL $$";
        let said = place.says_bytes(&format!("start one '{job}'; follow_record one 0"));
        assert_eq!(heard(&said), (Vec::new(), vec!["lost".to_owned()]));
        place.opens();
    });
}

#[test]
fn who_is_killed_before_the_job_begins_leaves_it_unstarted() {
    everywhere(|place| {
        let said = place.says("begin one ''; tell_record one; kill -KILL $$");
        assert!(said.ends_with("@rebuild running\n"), "{said}");
        let said = place.says("tell_record one; follow_record one 0");
        assert!(said.ends_with("\n@rebuild unstarted\n@rebuild unstarted\n"), "{said}");
        // The disk had the names of the files, but not yet their content.
        for about in ["", "some wor"] {
            fs::write(place.path("records/one/about"), about).unwrap();
            assert_eq!(place.says("tell_record one || echo none"), "none\n");
        }
    });
}

#[test]
fn a_name_is_taken_once() {
    everywhere(|place| {
        let text = "lock_records; unlock_records; code=0
             begin_record one '' words 2>/dev/null || code=$?; echo \"status $code\"";
        let children: Vec<_> = (0..8).map(|_| place.spawn(text)).collect();
        let said = children
            .into_iter()
            .map(|child| child.wait_with_output().unwrap().stdout);
        let mut said: Vec<_> = said.map(|said| String::from_utf8(said).unwrap()).collect();
        said.sort();
        assert_eq!(said[0], "status 0\n");
        assert!(said[1..].iter().all(|said| said == "status 1\n"), "{said:?}");
        // A job does not begin either if nobody expects it any more.
        let text = "bar_record one || echo begun; bar_record late && begin late '' 2>/dev/null; echo $?";
        assert_eq!(place.says(text), "begun\n1\n");
        // What has begun has begun, whatever has become of its description.
        let text = ": >\"$records/one/begun\"; : >\"$records/one/about\"; bar_record one || echo begun";
        assert_eq!(place.says(text), "begun\n");
    });
}

/// Another client may have heard the job's end and forgotten the job.
#[test]
fn what_was_counted_of_a_log_that_vanishes_comes() {
    everywhere(|place| {
        for program in ["wc", "tail"] {
            place.says("start one 'printf \"some text\"; end_record over'; follow_record one 0");
            let removing = format!("{program}() {{ rm -rf \"$records/one\"; command {program} \"$@\"; }}");
            let said = place.says(&format!("{removing}; follow_record one 5"));
            assert_eq!(said, "@rebuild chunk 4\ntext@rebuild lost\n", "{program}");
            assert_eq!(place.says("follow_record one 0"), "@rebuild lost\n");
        }
    });
}

/// A machine may have no clock of its own, so that the time jumps by years.
#[test]
fn what_is_forgotten_is_old_and_does_not_run() {
    everywhere(|place| {
        place.gate();
        let job = "end_record over";
        let names = ["new", "heard", "just-heard", "left", "of-1970", "heard-in-1970"];
        for name in names {
            place.says(&format!("start {name} '{job}'; follow_record {name} 0"));
        }
        place.says("start long 'read -r _ <\"$place/gate\"'");
        place.says("for name in heard just-heard heard-in-1970; do mark_heard $name; done");
        place.ages("heard/heard", "3 minutes ago");
        place.ages("left", "9 days ago");
        place.ages("long", "9 days ago");
        place.ages("of-1970", "1970-01-02");
        place.ages("heard-in-1970", "1970-01-02");
        place.ages("heard-in-1970/heard", "1970-01-02");
        let left = || -> BTreeSet<String> {
            let entries = fs::read_dir(place.path("records")).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name != "changing").collect()
        };
        let expected = ["just-heard", "long", "new", "of-1970"].map(str::to_owned);
        for _ in 0..2 {
            assert_eq!(place.says("forget_records 1 7"), "");
            assert_eq!(left(), BTreeSet::from(expected.clone()));
        }
        place.opens();
        place.says("follow_record long 0");
        place.ages("long", "9 days ago");
        place.says("forget_records 1 7; records=/nowhere forget_records 1 7");
        assert!(!left().contains("long"));
    });
}

/// Runs a script with a small disk for the records, as the user that runs the tests. Returns None if no disk can be
/// mounted.
fn on_a_small_disk(place: &RecordsPlace, options: &str, text: &str) -> Option<String> {
    let records = place.path("records");
    fs::create_dir_all(&records).unwrap();
    fs::write(place.path("script"), place.script(text)).unwrap();
    let mount = format!(
        "mount -t tmpfs -o {options} none {} && echo mounted &&",
        records.display()
    );
    let shell = place.shell.join(" ");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{mount} exec {shell} {}", place.path("script").display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.strip_prefix("mounted\n").map(str::to_owned)
}

#[test]
fn a_disk_without_room_is_seen_before_a_job_starts() {
    everywhere(|place| {
        let text = "may_record || { echo no room; ls() { echo \"$@\"; }; ls \"$records\"/*; }";
        let Some(said) = on_a_small_disk(place, "size=32k", text) else {
            return skipped("no disk can be mounted in a namespace here");
        };
        assert!(said.contains("no room\n") && said.ends_with("/records/*\n"), "{said}");
        let said = on_a_small_disk(place, "size=200k", text).unwrap();
        assert_eq!(said, "");
        // Whatever does not fit any more, the record is there as a whole or not at all.
        let (mut whole, mut none) = (0, 0);
        let sizes = (17..30).step_by(3).map(|pages| format!("size={}k", pages * 4));
        for options in sizes.chain((2..14).map(|files| format!("size=1m,nr_inodes={files}"))) {
            let text = "code=0; begin one 'end_record over' >/dev/null || code=$?
                [ -e \"$records/one\" ] && echo $code there || echo $code gone
                [ $code != 0 ] || { rm -rf \"$records/one\"; start one 'end_record over'; follow_record one 0; }";
            match on_a_small_disk(place, &options, text).unwrap().as_str() {
                "0 there\n@rebuild ended over\n" => whole += 1,
                said if said.starts_with("0 there\n@rebuild alive\n") && said.ends_with("\n@rebuild ended over\n") => {
                    whole += 1;
                }
                // The directory of all records could not be made, or something in this record's.
                said if said.ends_with("1 gone\n") || said.ends_with("2 gone\n") => none += 1,
                said => panic!("{options}: {said}"),
            }
        }
        assert!(whole > 2 && none > 2, "{whole} {none}");
    });
}

/// If a build fills the disk, how it ended is known all the same.
#[test]
fn a_job_that_fills_the_disk_comes_to_its_end() {
    everywhere(|place| {
        let job = "head -c 9000000 /dev/zero >\"$record/fill\"; end_record over 1";
        let text = format!("start one '{job}'; follow_record one 999999");
        let Some(said) = on_a_small_disk(place, "size=512k", &text) else {
            return skipped("no disk can be mounted in a namespace here");
        };
        assert!(said.ends_with("@rebuild ended over 1\n"), "{said}");
    });
}

/// Lines of code, without comments.
fn code(script: &str) -> impl Iterator<Item = &str> {
    script.lines().map(str::trim).filter(|line| !line.starts_with('#'))
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn functions(script: &str) -> BTreeSet<&str> {
    let names = script.lines().filter_map(|line| line.split_once("() {"));
    names
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(is_of_a_name))
        .collect()
}

/// The library is for every job, whatever it is for.
#[test]
fn the_library_knows_of_no_use_of_it() {
    for word in ["root", "sudo", "systemd", "unit", "profile", "generation", "activation"] {
        for text in [RECORDS, HELD] {
            let mut words = text.split(|c: char| !is_of_a_name(c));
            assert!(!words.any(|found| found.to_lowercase().starts_with(word)), "{word}");
        }
    }
}

#[test]
fn the_head_of_the_library_names_what_it_takes_and_gives() {
    for script in [RECORDS, HELD] {
        let head = head(script);
        for line in code(script) {
            let used = line.split('$').skip(1).map(|rest| rest.trim_start_matches(['{', '(']));
            let names = used.filter_map(|rest| rest.split(|c: char| !is_of_a_name(c)).next());
            let set = line.split_once('=').map(|(name, _)| name);
            let read = line
                .split("read -r ")
                .nth(1)
                .and_then(|rest| rest.split([' ', ';']).next());
            for name in names.chain(set).chain(read) {
                let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_of_a_name);
                let is_called = line.contains(&format!("$({name} "));
                assert!(
                    !is_name || is_called || head.contains(&format!("${name}")),
                    "{name}: {line}"
                );
            }
        }
    }
    // Everything that it says it gives is there.
    let (_, list) = RECORDS
        .split_once("(what the job itself calls is in held.sh):\n")
        .unwrap();
    let given = list.lines().take_while(|line| line.starts_with("#   "));
    let given = given.flat_map(|line| line[4..].split("  ").next().unwrap().split(','));
    for name in given.map(|words| words.trim().split(' ').next().unwrap()) {
        assert!(functions(RECORDS).contains(name), "{name}");
    }
}

/// One shell reads these scripts together.
#[test]
fn no_script_of_a_builder_has_a_function_of_the_librarys() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let ours = &functions(RECORDS) | &functions(HELD);
    assert!(ours.len() > 18, "{ours:?}");
    for directory in ["builder/scripts", "remote/scripts"] {
        for entry in fs::read_dir(source.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            if text != RECORDS && text != HELD {
                assert_eq!(functions(&text).intersection(&ours).next(), None, "{}", path.display());
            }
        }
    }
}
