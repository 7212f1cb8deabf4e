//! D14: whatever a builder claims that its evaluation misses, it gets only what the configuration names or everybody
//! may read.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Play;

const SWITCH: &str = "switch --eval-on builder --no-lend";
const SECRET: &str = "the-secret-itself";

/// The evaluation fails with one text after the other, and looks around in between.
fn asks(texts: &[String]) -> Play {
    let mut acts = "hear_script; greet".to_owned();
    for text in texts {
        acts.push_str("\nasks_by_error \"");
        acts.push_str(text);
        acts.push('"');
        // The client is sent a look if it wants one.
        acts += "\n[ \"$answer\" != open ] || { say looked-around; hear_answer; }";
    }
    acts += "\nasks_by_error 'error: no more'; exit 1";
    let play = Play::new("D14", &acts);
    hide_secrets(&play);
    play
}

fn hide_secrets(play: &Play) {
    for name in ["home/.bash_history", "etc/private/key"] {
        play.stage.write(name, SECRET);
        let shut = fs::Permissions::from_mode(0o600);
        fs::set_permissions(play.stage.path(name), shut).unwrap();
    }
    // Everybody may read everything else, including the way to it.
    fs::set_permissions(play.stage.path(""), fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_sent(play: &Play) -> bool {
    let sent = fs::read(play.stage.path("files.tar")).unwrap();
    sent.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
}

fn gets_nothing(texts: &[String]) -> String {
    let play = asks(texts);
    let run = play.fails(SWITCH, "the evaluation on");
    assert!(!is_sent(&play), "{texts:?}");
    // This shows that the play took place: the client has answered, even if only that it gives up.
    let answers = play.stage.read("answers");
    assert!(
        answers.starts_with("open") || answers.starts_with("stop"),
        "{texts:?}: {answers}"
    );
    run.stderr
}

fn lookup(name: &str) -> String {
    format!("error: file '{name}' was not found in the Nix search path (add it using $NIX_PATH or -I)")
}

#[test]
fn by_a_name_that_leads_out_of_the_search_path() {
    let stage = "$STAGE";
    for name in [
        format!("../../../../../../..{stage}/home/.bash_history"),
        format!("{stage}/home/.bash_history"),
        format!("nixos-config/{stage}/home/.bash_history"),
        "nixpkgs/../home/.bash_history".to_owned(),
        format!("nixpkgs/{stage}/home/.bash_history"),
        "nixos-config/../../private/key".to_owned(),
    ] {
        let stderr = gets_nothing(&[lookup(&name)]);
        assert!(stderr.contains("no file of the configuration has"), "{stderr}");
    }
}

#[test]
fn by_other_words_for_a_path() {
    let way = |path: &str| format!("$STAGE/{path}");
    for text in [
        format!("error: opening file '{}': Permission denied", way("home/.bash_history")),
        format!(
            "error: opening file '{}': Permission denied",
            way("etc/nixos/../private/key")
        ),
        format!(
            "error: opening file '/proc/self/root{}': Permission denied",
            way("home/.bash_history")
        ),
        format!(
            "error: opening file '/.elsewhere{}': Permission denied",
            way("home/.bash_history")
        ),
        format!("error: opening file '{}': Permission denied", way("public/link")),
        format!(
            "error: opening file '{}': Permission denied",
            way("public/way/.bash_history")
        ),
        format!("error: could not find repository at '{}'", way("home/.bash_history/..")),
        format!("error: could not find repository at '{}'", way("public")),
    ] {
        let play = asks(&[text.clone(), text.clone()]);
        play.stage.write("public/.git/HEAD", "x");
        play.stage.write("public/.git/commondir", "../../home");
        play.stage
            .sh("ln -s ../home/.bash_history public/link; ln -s ../home public/way");
        play.fails(SWITCH, "the evaluation on");
        assert!(!is_sent(&play), "{text}");
    }
}

/// The builder asks by the events of a look, and of strace; and for files at which a reader would wait.
#[test]
fn by_what_was_looked_at() {
    let acts = "hear_script; greet
        set -- $STAGE/home/.bash_history $STAGE/etc/nixos/../private/key $STAGE/pipe $STAGE/pipe.nix /dev/tty /nix/store
        for path; do
            say \"refused stat(\\\"$path\\\", 0x1)\"
            say \"unread $path\"
        done
        asks_by_error \"error: opening file '$STAGE/pipe': Permission denied\"
        for path; do say \"looked $path\"; done
        say looked-around; hear_answer
        asks_by_error 'error: no more'";
    let play = Play::new("D14", acts);
    hide_secrets(&play);
    play.stage.sh("mkfifo pipe pipe.nix");
    play.fails(SWITCH, "the evaluation on");
    assert!(!is_sent(&play));
}

/// Whatever it asks for is named; of many files at once, how many more there are. The log of the run names each.
#[test]
fn nothing_is_sent_without_a_word() {
    for (number, more) in [
        (9, ""),
        (10, ""),
        (25, "sending 15 more files that builder asks for; -v names each\n"),
    ] {
        let acts = format!(
            "hear_script; greet
            asks_by_error \"error: opening file '$STAGE/public/f00': Permission denied\"
            for number in $(seq -w 01 {number}); do say \"looked $STAGE/public/f$number\"; done
            say looked-around; hear_answer
            asks_by_error 'error: no more'"
        );
        let play = Play::new("D14", &acts);
        play.stage
            .sh("mkdir public; for number in $(seq -w 01 25); do echo >public/f$number; done");
        let run = play.fails(SWITCH, "the evaluation on");
        let named = |text: &str| text.matches("/public/f").count();
        let shown = run.stderr.lines().filter(|line| line.starts_with("sending /"));
        assert_eq!(shown.map(named).sum::<usize>(), number.min(10), "{}", run.stderr);
        assert_eq!(
            run.stderr.contains(" more files that"),
            !more.is_empty(),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains(more), "{}", run.stderr);
        let log = play.stage.read("home/.local/state/rebuild/logs/1.log");
        let logged = log.lines().filter(|line| line.contains(" sending /"));
        assert_eq!(logged.map(named).sum::<usize>(), number, "{log}");
    }
}

/// Neither the ssh agent nor the display is lent to it, and it gets no terminal.
#[test]
fn by_what_ssh_could_forward() {
    let acts = "printf '%s\\n' \"$@\" >>arguments; hear_script; greet; evaluated; built; say no-socket; say finished";
    let play = Play::new("D14", acts);
    play.stage.variable("NIX_SSHOPTS", "-v");
    play.ends("build --eval-on builder --no-lend");
    let arguments = play.stage.read("arguments");
    for option in ["-a", "-x", "-T"] {
        assert!(arguments.lines().any(|word| word == option), "{option}: {arguments}");
    }
}

/// Of the store, the builder gets only what the evaluation can know of.
#[test]
fn by_the_name_of_a_store_path() {
    // This path exists, and no link but one in /run leads to it.
    let other = crate::SYSTEM.replace("00000000000000000000000000000000", "22222222222222222222222222222222");
    let stderr = gets_nothing(&[format!("error: path '{other}' is not valid")]);
    assert!(stderr.contains("which nothing that was sent names"), "{stderr}");
}

/// A variable that another user's file names is not a variable that the configuration asks for.
#[test]
fn for_a_secret_variable_by_an_accomplices_file() {
    let acts = "hear_script; greet
        asks_by_error \"error: opening file '$STAGE/public/x.nix': Permission denied\"
        say looked-around; hear_answer
        cp environment given
        say asked-for THE_TOKEN; say variables; read -r word; exit 1";
    for file in [
        "builtins.getEnv \"THE_TOKEN\"",
        "builtins.getEnv (builtins.readFile ./x)",
        "[ (import ./y.nix) ]",
    ] {
        let play = Play::new("D14", acts);
        hide_secrets(&play);
        play.stage.write("public/x.nix", file);
        play.stage.write("public/y.nix", "builtins.getEnv \"THE_TOKEN\"");
        play.stage.variable("THE_TOKEN", SECRET);
        play.stage.variable("OTHERS_WORD", SECRET);
        let run = play.run(SWITCH);
        assert!(
            run.code > 0
                && run
                    .stderr
                    .contains("THE_TOKEN, which may be a secret, and was not sent"),
            "{}",
            run.stderr
        );
        assert!(
            play.stage.read("given").contains("NIX_PATH"),
            "{}",
            play.stage.read("given")
        );
        assert!(!play.stage.read("given").contains(SECRET), "{file}");
    }
}

/// Neither a device nor a pipe that another user's repository names is read.
#[test]
fn by_the_settings_of_an_accomplices_repository() {
    for named in ["/dev/zero", "$STAGE/pipe", "/proc/kmsg", "/run/x/../../dev/zero"] {
        let acts = "hear_script; greet
            asks_by_error \"error: could not find repository at '$STAGE/public'\"
            say looked-around; hear_answer; exit 1";
        let play = Play::new("D14", acts);
        hide_secrets(&play);
        let file = named.replace("$STAGE", &play.stage.path("").display().to_string());
        let include = format!("[include]\\n\\tpath = {file}\\n");
        play.stage.sh(&format!(
            "mkfifo pipe; git init -q public; printf '{include}' >>public/.git/config"
        ));
        play.fails(SWITCH, "");
        assert!(play.stage.read("answers").starts_with("open"), "{named}");
    }
}
