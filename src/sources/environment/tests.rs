use super::*;

fn environment(sent: &[&str]) -> Environment {
    let variables = [
        ("HOME", "/root"),
        ("PATH", "/bin"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("NIXPKGS_ALLOW_UNFREE", "1"),
        ("NIXOS_REBUILD_NO_SYSTEMD_RUN", "1"),
        ("COLOUR", "red"),
        ("SSH_CONNECTION", "here"),
        ("NIX_CONFIG", "access-tokens = x"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let sent: Vec<String> = sent.iter().map(|name| (*name).to_owned()).collect();
    Environment::new(variables.into(), &sent)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn asked(names: &[&str], computes_names: bool) -> Asked {
    Asked {
        names: set(names),
        computes_names,
    }
}

fn missed(names: &[&str]) -> Missed {
    Missed {
        names: set(names),
        ..Missed::default()
    }
}

fn computed(words: &[&str]) -> Missed {
    Missed {
        computing: vec!["/x.nix".into()],
        words: set(words),
        ..Missed::default()
    }
}

fn names(chosen: &Chosen) -> Vec<&str> {
    chosen.set.iter().map(|(name, _)| name.to_str().unwrap()).collect()
}

#[test]
fn what_nixpkgs_reads_and_what_is_asked_for_by_name() {
    let always = ["HOME", "NIXPKGS_ALLOW_UNFREE", "NIXOS_REBUILD_NO_SYSTEMD_RUN"];
    let chosen = environment(&[]).chosen(&Asked::default());
    assert_eq!(names(&chosen), always);
    assert!(chosen.withheld.is_superset(&set(&[
        "PATH",
        "COLOUR",
        "TMPDIR",
        "NIX_REMOTE",
        "AWS_SECRET_ACCESS_KEY"
    ])));
    let chosen = environment(&[]).chosen(&asked(&["COLOUR", "PATH", "UNSET"], false));
    assert_eq!(names(&chosen).len(), 5);
    assert!(!chosen.withheld.contains("PATH"));
}

#[test]
fn computed_names_may_be_any_but_a_secrets() {
    let chosen = environment(&[]).chosen(&asked(&[], true));
    assert!(names(&chosen).contains(&"COLOUR"));
    assert!(!names(&chosen).contains(&"AWS_SECRET_ACCESS_KEY"));
    let chosen = environment(&[]).chosen(&asked(&["AWS_SECRET_ACCESS_KEY"], true));
    assert!(names(&chosen).contains(&"AWS_SECRET_ACCESS_KEY"));
}

/// A module in the store, which nobody has read beforehand, asks for a variable.
#[test]
fn what_an_evaluation_turns_out_to_ask_for_is_sent_or_refused() {
    let mut environment = environment(&[]);
    let nothing = Asked::default();
    let new = environment
        .want(&missed(&["COLOUR", "PATH", "TMPDIR"]), &nothing)
        .unwrap();
    assert_eq!(new, set(&["COLOUR", "PATH", "TMPDIR"]));
    let chosen = environment.chosen(&nothing);
    assert!(names(&chosen).contains(&"COLOUR") && names(&chosen).contains(&"PATH"));
    assert_eq!(chosen.unset, ["TMPDIR"]);
    assert!(environment.want(&missed(&["COLOUR"]), &nothing).unwrap().is_empty());
    // The next run needs no second evaluation for it.
    let mut next = self::environment(&[]);
    next.remember(environment.wanted().clone());
    next.remember(set(&["AWS_SECRET_ACCESS_KEY", "NIX_REMOTE"]));
    assert_eq!(next.wanted(), &set(&["COLOUR", "PATH", "TMPDIR"]));
    for (name, remedy) in [
        ("AWS_SECRET_ACCESS_KEY", "--send-env AWS_SECRET_ACCESS_KEY"),
        ("NIX_REMOTE", "--eval-on ''"),
        ("NIX_CONFIG", "--eval-on ''"),
        ("XDG_CACHE_HOME", "--eval-on ''"),
    ] {
        let failure = environment.want(&missed(&[name]), &nothing).unwrap_err();
        let text = format!("{failure:?}");
        assert!(text.contains(name) && text.contains(remedy), "{text}");
    }
}

#[test]
fn a_secret_is_known_by_its_name_or_its_value() {
    for (name, value, secret) in [
        ("API_KEY", "", true),
        ("PGPASS", "x", true),
        ("GIT_AUTHOR_NAME", "me", false),
        ("DATABASE", "postgres://me:hunter2@db/x", true),
        ("DATABASE", "postgres://me@db/x?a=b:c@d", false),
        ("WHATEVER", "ghp_x", true),
        ("WHATEVER", "-----BEGIN OPENSSH PRIVATE KEY-----", true),
        ("COLOUR", "red", false),
        ("MYSQL_PWD", "hunter2", true),
        ("OP_SESSION_my", "x", true),
        ("CARD_PIN", "1234", true),
        ("SPINNER", "dots", false),
        ("OLDPWD", "/etc", false),
        ("DESKTOP_SESSION", "plasma", false),
        ("BW", "7Zk0wq+3S/pTeb2XN9fGv1rQxUo8aJyLmC4dHs==", true),
        ("PICTURES", "/home/Me/Pictures/of-2026-and-2027", false),
        ("BRANCH", "feature/many-things-of-2026-and-2027", false),
    ] {
        let environment = Environment::new(vec![(name.into(), value.into())], &[]);
        assert_eq!(environment.is_secret(name), secret, "{name}={value}");
    }
}

#[test]
fn the_user_may_send_a_secret() {
    let environment = environment(&["AWS_SECRET_ACCESS_KEY", "NIX_REMOTE"]);
    let chosen = environment.chosen(&Asked::default());
    assert!(names(&chosen).contains(&"AWS_SECRET_ACCESS_KEY"));
    assert!(chosen.withheld.contains("NIX_REMOTE"));
}

/// Every bash exports `_` to the programs that it starts; a configuration means it only if it names it.
#[test]
fn the_last_command_s_name_is_no_computed_one() {
    let nothing = Asked::default();
    let mut environment = environment(&[]);
    environment.variables.push(("_".into(), "/usr/bin/rebuild".into()));
    let guessed = environment.want(&computed(&["NIXOS", "_", "CONFIG"]), &nothing);
    assert_eq!(guessed.unwrap(), set(&[]));
    assert!(environment.want(&missed(&["_"]), &nothing).is_err());
}

#[test]
fn computed_names_are_made_of_what_the_files_have() {
    let nothing = Asked::default();
    for (words, refused) in [
        (&["AWS_SECRET_ACCESS_KEY"][..], true),
        (&["AWS_SECRET", "_ACCESS", "_KEY"], true),
        (&["aws_secret", "_access_key", "toUpper"], true),
        (&["aws_secret", "_access_key"], false),
        (&["FOO", "BAR", "KEY", "AWS_"], false),
        (&["NIX_", "REMOTE"], true),
    ] {
        assert_eq!(
            environment(&[]).want(&computed(words), &nothing).is_err(),
            refused,
            "{words:?}"
        );
    }
    let mut environment = environment(&[]);
    assert_eq!(
        environment.want(&computed(&["TMP", "DIR", "COL"]), &nothing).unwrap(),
        set(&["TMPDIR"])
    );
    assert_eq!(environment.chosen(&nothing).unset, ["TMPDIR"]);
    assert!(
        environment
            .want(&computed(&["TMP", "DIR", "COL"]), &nothing)
            .unwrap()
            .is_empty()
    );
}
