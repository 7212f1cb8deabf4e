//! The completions in the real shells: somebody types at a terminal, and what counts is what the program is called
//! with.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::terminal::{PROMPT, Terminal};
use super::{bash, elvish, fish, nushell, zsh};

/// A home with hosts, a directory with a flake, and the program.
struct Stage {
    root: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            root: tempfile::tempdir().unwrap(),
        };
        stage.write("home/.ssh/config", "Host builder\nHost *.lan\nInclude more\n");
        stage.write("home/.ssh/more", "Host rack\n");
        stage.write(
            "here/flake.nix",
            "{ outputs = { self }: { nixosConfigurations = { pi = 1; box = 2; }; }; }",
        );
        stage.write("here/system.nix", "");
        // It answers as the program does, being it, and else notes what it is called with.
        let program = format!(
            "#!/bin/sh\n[ \"$1\" != --candidates ] || exec {} \"$@\"\n\
             printf '%s|' \"$@\" >\"$NOTE.new\" && mv \"$NOTE.new\" \"$NOTE\"\n",
            env!("CARGO_BIN_EXE_rebuild")
        );
        for directory in ["bin", "other"] {
            stage.write(&format!("{directory}/rebuild"), &program);
            let file = stage.path(&format!("{directory}/rebuild"));
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink("rebuild", stage.path("bin/nixos-rebuild")).unwrap();
        // With nothing but the link.
        fs::create_dir(stage.path("alone")).unwrap();
        symlink("../bin/rebuild", stage.path("alone/nixos-rebuild")).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, program: &str, directory: &str) -> Command {
        let mut command = Command::new(which::which(program).unwrap());
        let path = format!("{}:/usr/bin:/bin", self.path(directory).display());
        command.env_clear().env("PATH", path).env("NOTE", self.path("note"));
        command
            .env("HOME", self.path("home"))
            .env("TERM", "xterm")
            .env("LANG", "C.UTF-8");
        command.current_dir(self.path("here"));
        command
    }

    /// What the program is called with when this line is typed, a word after the other; and what was shown.
    fn called(&self, terminal: &mut Terminal, line: &str) -> (String, String) {
        let note = self.path("note");
        let _ = fs::remove_file(&note);
        terminal.type_keys(line);
        let shown = terminal.take_shown();
        terminal.run(&note);
        let text = fs::read_to_string(&note).unwrap();
        let words: Vec<_> = text.split_terminator('|').collect();
        (words.join(" "), shown + &terminal.take_shown())
    }

    fn check<'a>(&self, terminal: &mut Terminal, cases: impl IntoIterator<Item = &'a (&'a str, &'a str)>) {
        let mut wrong = String::new();
        for (line, expected) in cases {
            let (called, shown) = self.called(terminal, line);
            if called != *expected {
                writeln!(wrong, "{line:?}\n  is {called:?}\n  and not {expected:?}\n{shown}").unwrap();
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

/// What is typed, and what the program is then called with. In every shell.
const CASES: &[(&str, &str)] = &[
    ("rebuild sw\t", "switch"),
    ("rebuild switch --verify\t", "switch --verify-eval"),
    ("rebuild --eval-on builder dry-b\t", "--eval-on builder dry-build"),
    ("rebuild switch --eval-on bu\t", "switch --eval-on builder"),
    ("rebuild switch --target-host ra\t", "switch --target-host rack"),
    ("rebuild switch --build-host me@bu\t", "switch --build-host me@builder"),
    (
        "rebuild switch --build-on ssh://me@bu\t",
        "switch --build-on ssh://me@builder",
    ),
    ("rebuild build --file sys\t", "build --file system.nix"),
    ("rebuild build --store-path sys\t", "build --store-path system.nix"),
    ("rebuild test --elevate do\t", "test --elevate doas"),
    ("rebuild build --log-format int\t", "build --log-format internal-json"),
    ("rebuild boot --profile-name sy\t", "boot --profile-name system"),
    // A link.
    ("nixos-rebuild sw\t", "switch"),
    ("nixos-rebuild switch --eval-on bu\t", "switch --eval-on builder"),
];

/// Where `#` in a word begins no comment, as it does in Elvish.
const CASES_OF_FLAKES: &[(&str, &str)] = &[
    ("rebuild build --flake .#p\t", "build --flake .#pi"),
    ("rebuild build -F .#bo\t", "build -F .#box"),
    ("rebuild build --flake=.#p\t", "build --flake=.#pi"),
];

/// The same for Elvish.
const CASES_OF_FLAKES_QUOTED: &[(&str, &str)] = &[
    ("rebuild build --flake '.#p\t", "build --flake .#pi"),
    ("rebuild build '--flake=.#p\t", "build --flake=.#pi"),
];

/// A program that is not in PATH, of which Elvish and nushell know nothing.
const CASES_BY_PATH: &[(&str, &str)] = &[("../other/rebuild switch --eval-on bu\t", "switch --eval-on builder")];

/// With a `=`; where nushell offers nothing.
const CASES_OF_ONE_WORD: &[(&str, &str)] = &[
    ("rebuild switch --eval-host=bu\t", "switch --eval-host=builder"),
    ("rebuild switch --eval-host=me@bu\t", "switch --eval-host=me@builder"),
    ("rebuild test --elevate=do\t", "test --elevate=doas"),
    ("rebuild build --file=sys\t", "build --file=system.nix"),
];

/// Where the link is all there is, and where the name is an alias.
const CASES_OF_THE_OTHER_NAME: &[(&str, &str)] = &[
    ("nixos-rebuild sw\t", "switch"),
    ("nixos-rebuild switch --eval-on bu\t", "switch --eval-on builder"),
];

fn all() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    CASES
        .iter()
        .chain(CASES_OF_FLAKES)
        .chain(CASES_BY_PATH)
        .chain(CASES_OF_ONE_WORD)
}

fn is_installed(program: &str) -> bool {
    let found = which::which(program).is_ok();
    if !found {
        // Not by eprintln, which cargo hides when all went well.
        let _ = writeln!(std::io::stderr(), "skipped: there is no {program} on this machine");
    }
    found
}

/// bash with the file read at its start, after these lines.
fn start_bash(stage: &Stage, directory: &str, before: &str) -> Terminal {
    let file = stage.write("rebuild.bash", &bash::completion());
    let text = format!("PS1='{PROMPT}'\n{before}\nsource {}\n", file.display());
    let start = stage.write("bashrc", &text);
    let mut command = stage.command("bash", directory);
    command.args(["--noprofile", "--rcfile"]).arg(start).arg("-i");
    Terminal::start(&mut command)
}

#[test]
fn bash_completes() {
    let stage = Stage::new();
    stage.check(&mut start_bash(&stage, "bin", ""), all());
    stage.check(&mut start_bash(&stage, "alone", ""), CASES_OF_THE_OTHER_NAME);
    let alias = "alias nixos-rebuild=rebuild";
    stage.check(&mut start_bash(&stage, "other", alias), CASES_OF_THE_OTHER_NAME);
}

#[test]
fn bash_completes_with_bash_completion() {
    let theirs = "/usr/share/bash-completion/bash_completion";
    if !Path::new(theirs).exists() {
        let _ = writeln!(std::io::stderr(), "skipped: there is no {theirs} on this machine");
        return;
    }
    let stage = Stage::new();
    let mut terminal = start_bash(&stage, "bin", &format!("source {theirs}"));
    stage.check(&mut terminal, all());
    // Words are others where another command completes the rest of its line.
    let after = [(
        "nice rebuild switch --eval-host=me@bu\t",
        "switch --eval-host=me@builder",
    )];
    stage.check(&mut terminal, &after);
}

#[test]
fn bash_offers_what_may_follow() {
    let stage = Stage::new();
    let mut terminal = start_bash(
        &stage,
        "bin",
        "bind 'set show-all-if-ambiguous on'; bind 'set page-completions off'",
    );
    for (line, has, has_not) in [
        ("rebuild \t", "dry-activate", "--eval-host"),
        ("rebuild switch \t", "--eval-host", "dry-activate"),
        ("rebuild switch --eval-host \t", "rack", "flake.nix"),
        ("rebuild build --flake \t", ".#box", "rack"),
        ("rebuild build --flake \t", "flake.nix", "rack"),
        ("rebuild build --option cores \t", "", "switch"),
        ("rebuild build --option cores 2 --no-\t", "--no-lend", "--fast"),
        ("rebuild build --attr \t", "", "flake.nix"),
        ("rebuild build --eval-host=nobody\t", "", "flake.nix"),
    ] {
        // Away with the line, and another in its place: when that has run, all has been shown.
        let (_, shown) = stage.called(&mut terminal, &format!("{line}\x15rebuild done"));
        assert!(shown.contains(has) && !shown.contains(has_not), "{line:?}: {shown}");
    }
}

#[test]
fn bash_leaves_a_completion_of_nixos_rebuild_itself() {
    let stage = Stage::new();
    let file = stage.write("rebuild.bash", &bash::completion());
    let script = format!(
        "complete -F _theirs nixos-rebuild; source {}; complete -p nixos-rebuild",
        file.display()
    );
    let output = stage
        .command("bash", "bin")
        .args(["--norc", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "complete -F _theirs nixos-rebuild\n"
    );
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn zsh_completes() {
    if !is_installed("zsh") {
        return;
    }
    // The two ways to load it: from fpath, and by sourcing.
    for load in [
        "fpath=($HOME/functions $fpath); compinit -u -D",
        "compinit -u -D; source $HOME/functions/_rebuild",
    ] {
        let stage = Stage::new();
        stage.write("home/functions/_rebuild", &zsh::completion());
        let start = |directory: &str, more: &str| {
            let text = format!("PS1='{PROMPT}'\nautoload -U compinit; {load}\n{more}\n");
            stage.write("home/.zshrc", &text);
            Terminal::start(stage.command("zsh", directory).args(["-d", "-i"]))
        };
        stage.check(&mut start("bin", ""), all());
        stage.check(&mut start("alone", ""), CASES_OF_THE_OTHER_NAME);
        let alias = "alias nixos-rebuild=rebuild";
        stage.check(&mut start("other", alias), CASES_OF_THE_OTHER_NAME);
    }
}

#[test]
fn fish_completes() {
    if !is_installed("fish") {
        return;
    }
    let stage = Stage::new();
    let file = stage.write("rebuild.fish", &fish::completion());
    let start = |directory: &str, more: &str| {
        let text = format!(
            "function fish_prompt; printf '{PROMPT}'; end\nset -g fish_greeting\n\
             set -g fish_autosuggestion_enabled 0\nsource {}\n{more}\n",
            file.display()
        );
        stage.write("home/.config/fish/config.fish", &text);
        Terminal::start(stage.command("fish", directory).arg("-i"))
    };
    stage.check(&mut start("bin", ""), all());
    stage.check(&mut start("alone", ""), CASES_OF_THE_OTHER_NAME);
    let alias = "alias nixos-rebuild=rebuild";
    stage.check(&mut start("other", alias), CASES_OF_THE_OTHER_NAME);
    let complete = |line: &str| {
        let output = stage
            .command("fish", "bin")
            .args(["-c", &format!("complete -C '{line}'")])
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        let shown = String::from_utf8(output.stdout).unwrap();
        let words = shown.lines().map(|line| line.split('\t').next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(complete("rebuild switch sw"), [""; 0]);
    assert_eq!(complete("rebuild -I /et"), ["/etc/"]);
    assert_eq!(complete("rebuild --eval-host "), ["builder", "rack"]);
}

#[test]
fn elvish_completes() {
    if !is_installed("elvish") {
        return;
    }
    let stage = Stage::new();
    let file = stage.write("rebuild.elv", &elvish::completion());
    let start = |directory: &str, more: &str| {
        let text = format!(
            "set edit:prompt = {{ put '{PROMPT}' }}\nset edit:rprompt = {{ nop }}\neval (slurp < {})\n{more}\n",
            file.display()
        );
        let rc = stage.write("rc.elv", &text);
        Terminal::start(stage.command("elvish", directory).arg("-rc").arg(rc))
    };
    stage.check(&mut start("bin", ""), CASES);
    stage.check(&mut start("alone", ""), CASES_OF_THE_OTHER_NAME);
    let alias = "fn nixos-rebuild {|@words| rebuild $@words }";
    stage.check(&mut start("other", alias), CASES_OF_THE_OTHER_NAME);
    // Elvish quotes a word with a = in it. That is more than the end of what was typed, so it asks.
    let lines: Vec<_> = CASES_OF_FLAKES_QUOTED
        .iter()
        .chain(CASES_OF_ONE_WORD)
        .map(|(line, called)| (format!("{line}\r"), *called))
        .collect();
    let cases: Vec<_> = lines.iter().map(|(line, called)| (line.as_str(), *called)).collect();
    stage.check(&mut start("bin", ""), &cases);
}

#[test]
fn nushell_completes() {
    if !is_installed("nu") {
        return;
    }
    let stage = Stage::new();
    let file = stage.write("rebuild.nu", &nushell::completion());
    let start = |directory: &str, more: &str| {
        let text = format!(
            "$env.config.show_banner = false\n$env.PROMPT_COMMAND = {{|| '{PROMPT}' }}\n\
             $env.PROMPT_COMMAND_RIGHT = {{|| '' }}\n$env.PROMPT_INDICATOR = ''\nuse {} *\n{more}\n",
            file.display()
        );
        let config = stage.write("config.nu", &text);
        Terminal::start(stage.command("nu", directory).arg("--config").arg(config))
    };
    let mut terminal = start("bin", "");
    stage.check(&mut terminal, CASES);
    // nushell gives flags on in their long form.
    let of_flakes = [
        ("rebuild build --flake .#p\t", "build --flake .#pi"),
        ("rebuild build -F .#bo\t", "build --flake .#box"),
    ];
    stage.check(&mut terminal, &of_flakes);
    stage.check(&mut start("alone", ""), CASES_OF_THE_OTHER_NAME);
    let alias = "alias nixos-rebuild = rebuild";
    stage.check(&mut start("other", alias), CASES_OF_THE_OTHER_NAME);
}

/// What it said would stand in the user's prompt.
#[test]
fn the_program_is_silent_whatever_it_is_asked() {
    let stage = Stage::new();
    let here = env!("CARGO_BIN_EXE_rebuild");
    for words in [
        &[][..],
        &["users"],
        &["hosts", "a", "b"],
        &["hosts", "--help"],
        &["configurations", "/nonexistent#"],
    ] {
        let output = stage
            .command(here, "bin")
            .arg("--candidates")
            .args(words)
            .output()
            .unwrap();
        let said = output.stdout.len() + output.stderr.len();
        assert!(output.status.success() && said == 0, "{words:?}: {output:?}");
    }
    let mut nowhere = stage.command(here, "bin");
    nowhere
        .args(["--candidates", "hosts"])
        .stdout(fs::File::open("/dev/null").unwrap());
    let output = nowhere.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    // It is nobody's flag: not in another place, nor in the help.
    let elsewhere = stage
        .command(here, "bin")
        .args(["build", "--candidates"])
        .output()
        .unwrap();
    assert!(!elsewhere.status.success(), "{elsewhere:?}");
    let help = stage.command(here, "bin").arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("--candidates"));
}
