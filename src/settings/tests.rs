use super::*;
use clap::Parser;

/// The texts of the places, strongest last; no variable of a setting may be given twice.
pub(crate) struct WrittenPlaces<'a> {
    pub(crate) system: &'a str,
    pub(crate) user: &'a str,
    pub(crate) environment: &'a [(&'a str, &'a str)],
}

impl Settings {
    pub(crate) fn of_places(arguments: &Arguments, places: &WrittenPlaces) -> Result<Self, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let user = nix::unistd::geteuid().as_raw();
        let mut warnings = Vec::new();
        let mut file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            if !text.is_empty() {
                std::fs::write(&path, text).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                std::fs::set_permissions(&path, mode).unwrap();
            }
            file::read(&path, user, &mut warnings)
        };
        let files = [file("system", places.system)?, file("user", places.user)?];
        let variables: Vec<_> = places
            .environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let environment = environment::read(&variables, &mut warnings)?;
        Ok(Self {
            warnings,
            ..Self::resolve(arguments, files.into_iter().chain([environment]))
        })
    }
}

fn arguments(line: &str) -> Arguments {
    let words = line.split_whitespace().map(|word| if word == "''" { "" } else { word });
    Arguments::try_parse_from(["rebuild"].into_iter().chain(words)).unwrap()
}

fn settings(line: &str, system: &str, user: &str, environment: &[(&str, &str)]) -> Settings {
    let places = WrittenPlaces {
        system,
        user,
        environment,
    };
    Settings::of_places(&arguments(line), &places).unwrap()
}

/// For each setting: what each place says about it, and how that is shown. No two neighbours are the same.
const EACH: [(Key, [&str; 4], [&str; 4]); 19] = [
    (
        Key::EvalHost,
        ["\"s\"", "[\"u\", \"v\"]", "e,f", "--eval-on t,x"],
        ["s", "u,v", "e,f", "t,x"],
    ),
    (
        Key::BuildHost,
        ["\"s\"", "\"u\"", "e", "--build-on t"],
        ["s", "u", "e", "t"],
    ),
    (
        Key::Fallback,
        ["\"local\"", "\"fail\"", "local", "--if-unreachable fail"],
        ["local", "fail", "local", "fail"],
    ),
    (Key::Wake, ["\"s\"", "\"u\"", "e", "--wake t"], ["s", "u", "e", "t"]),
    (
        Key::WakeTimeout,
        ["1", "2", "3", "--wake-timeout 4"],
        ["1", "2", "3", "4"],
    ),
    (
        Key::ReconnectTimeout,
        ["1", "0", "3", "--reconnect-timeout 0"],
        ["1", "0", "3", "0"],
    ),
    (
        Key::UnattendedTimeout,
        ["1", "2", "604800", "--unattended-timeout 4"],
        ["1", "2", "604800", "4"],
    ),
    (
        Key::ReleaseSite,
        ["\"http://s\"", "\"\"", "https://e/x", "--release-site http://t"],
        ["http://s", "", "https://e/x", "http://t"],
    ),
    (
        Key::Lend,
        ["false", "true", "0", "--lend"],
        ["false", "true", "false", "true"],
    ),
    (
        Key::VerifyEval,
        ["true", "false", "yes", "--no-verify-eval"],
        ["true", "false", "true", "false"],
    ),
    (
        Key::Elevate,
        ["\"sudo\"", "\"run0\"", "doas", "--sudo"],
        ["sudo", "run0", "doas", "sudo"],
    ),
    (
        Key::Ask,
        ["true", "false", "1", "--no-ask"],
        ["true", "false", "true", "false"],
    ),
    (
        Key::Diff,
        ["true", "false", "true", "--no-diff"],
        ["true", "false", "true", "false"],
    ),
    (
        Key::RollbackOnFailure,
        ["true", "false", "yes", "--no-rollback-on-failure"],
        ["true", "false", "true", "false"],
    ),
    (
        Key::Confirm,
        ["10", "20", "30", "--confirm=40"],
        ["10", "20", "30", "40"],
    ),
    (
        Key::ConfirmBy,
        ["\"s\"", "\"u\"", "", "--confirm-by t"],
        ["s", "u", "", "t"],
    ),
    (
        Key::UseSubstitutes,
        ["true", "false", "yes", "--no-use-substitutes"],
        ["true", "false", "true", "false"],
    ),
    (
        Key::Flake,
        ["\"/s\"", "\"/u#x\"", "/e", "--flake ."],
        ["/s", "/u#x", "/e", "."],
    ),
    (
        Key::Log,
        ["false", "true", "no", "--log"],
        ["false", "true", "false", "true"],
    ),
];

/// For every setting, the command line counts before the environment, the environment before the user's file, that
/// before the machine's file, and that before nothing.
#[test]
fn the_stronger_place_counts() {
    for (key, [system, user, variable, flags], shown) in EACH {
        let definition = ALL.iter().find(|definition| definition.key == key).unwrap();
        let object = |value: &str| format!("{{ \"{}\": {value} }}", definition.name);
        let (system, user) = (object(system), object(user));
        let environment = [(definition.variable, variable)];
        let seen = |settings: &Settings| {
            let held = settings.held(key);
            let value = match held.value {
                Some(SettingValue::Text(text)) => text.into_owned(),
                Some(SettingValue::List(texts)) => texts.join(","),
                Some(SettingValue::Switch(value)) => value.to_string(),
                Some(SettingValue::Number(number)) => number.to_string(),
                None => String::new(),
            };
            (value, held.source)
        };
        let place = |settings: &Settings, expected: &str| {
            let (value, source) = seen(settings);
            assert_eq!(value, expected, "{}", definition.name);
            source
        };
        let file = |source: Source, name: &str| {
            let Source::File(path) = source else {
                unreachable!("{}: {source:?}", definition.name)
            };
            assert!(path.ends_with(name), "{}", definition.name);
        };
        file(place(&settings("build", &system, "", &[]), shown[0]), "system");
        file(place(&settings("build", &system, &user, &[]), shown[1]), "user");
        let source = place(&settings("build", &system, &user, &environment), shown[2]);
        assert_eq!(source, Source::Variable(definition.variable));
        let typed = settings(&format!("build {flags}"), &system, &user, &environment);
        assert_eq!(place(&typed, shown[3]), Source::CommandLine);
        assert!(typed.is_typed(key) && !settings("build", &system, &user, &environment).is_typed(key));
        // The places in between may say nothing.
        file(place(&settings("build", "", &user, &[]), shown[1]), "user");
        let source = place(&settings("build", &system, "", &environment), shown[2]);
        assert_eq!(source, Source::Variable(definition.variable));
        assert_eq!(
            place(&settings(&format!("build {flags}"), "", "", &[]), shown[3]),
            Source::CommandLine
        );
        assert_eq!(seen(&settings("build", "", "", &[])).1, Source::Default);
    }
}

#[test]
fn every_setting_is_in_the_table_of_this_test() {
    let keys: Vec<Key> = EACH.iter().map(|(key, ..)| *key).collect();
    let all: Vec<Key> = ALL.iter().map(|definition| definition.key).collect();
    assert_eq!(keys, all);
}

/// What the table gives as a default is what the program does by default.
#[test]
fn the_defaults_are_those_of_the_table() {
    let settings = settings("build", "", "", &[]);
    assert_eq!((settings.eval_hosts(), settings.build_hosts()), (None, None));
    assert_eq!((settings.wake(), settings.wake_timeout().as_secs()), (None, 120));
    assert_eq!(
        (settings.fallback(), settings.elevate()),
        (Fallback::Fail, Elevation::None)
    );
    assert!(settings.lend());
    assert!(!settings.verify_eval() && !settings.ask() && !settings.diff() && !settings.use_substitutes());
    assert_eq!(settings.flake(), None);
    for definition in &ALL {
        if let (SettingKind::Choice(_), Some(SettingValue::Text(word))) = (definition.kind, &definition.default) {
            let of_type = match definition.key {
                Key::Fallback => Fallback::default().to_possible_value(),
                Key::Elevate => Elevation::default().to_possible_value(),
                other => unreachable!("{other:?}"),
            };
            assert_eq!(of_type.unwrap().get_name(), word);
        }
    }
}

#[test]
fn an_empty_variable_takes_back_what_files_say() {
    let system = "{ \"evalHost\": \"s\", \"lend\": false, \"elevate\": \"sudo\", \"flake\": \"/s\" }";
    let empty = [
        ("REBUILD_EVAL_HOST", ""),
        ("REBUILD_LEND", ""),
        ("REBUILD_ELEVATE", ""),
        ("REBUILD_FLAKE", ""),
    ];
    let settings = settings("build", system, "", &empty);
    assert_eq!(settings.eval_hosts(), Some(vec![""]));
    assert_eq!(
        (settings.lend(), settings.elevate(), settings.flake()),
        (true, Elevation::None, None)
    );
    assert_eq!(settings.held(Key::Lend).source, Source::Variable("REBUILD_LEND"));
}

/// "Local, this once" takes one flag, whatever any file says.
#[test]
fn an_evaluator_of_a_stronger_place_builds_too() {
    let both = "{ \"evalHost\": \"a\", \"buildHost\": \"b\" }";
    let builder = "{ \"buildHost\": \"b\" }";
    for (line, system, user, environment, expected) in [
        ("build", both, "", &[][..], (Some("a"), Some("b"))),
        ("build --eval-host ''", both, "", &[], (Some(""), None)),
        ("build --eval-host c", both, "", &[], (Some("c"), None)),
        (
            "build --eval-host c --build-host d",
            both,
            "",
            &[],
            (Some("c"), Some("d")),
        ),
        ("build --build-host d", both, "", &[], (Some("a"), Some("d"))),
        ("build", both, "", &[("REBUILD_EVAL_HOST", "e")], (Some("e"), None)),
        ("build", builder, "{ \"evalHost\": \"u\" }", &[], (Some("u"), None)),
        ("build", "{ \"evalHost\": \"s\" }", builder, &[], (Some("s"), Some("b"))),
    ] {
        let settings = settings(line, system, user, environment);
        let one = |host: Option<&'static str>| host.map(|host| vec![host]);
        let expected = (one(expected.0), one(expected.1));
        assert_eq!((settings.eval_hosts(), settings.build_hosts()), expected, "{line}");
    }
}

#[test]
fn another_configuration_takes_the_place_of_a_flake() {
    let flake = |line: &str| {
        let settings = settings(line, "{ \"flake\": \"/s\" }", "", &[]);
        settings.flake().map(str::to_owned)
    };
    assert_eq!(flake("build").as_deref(), Some("/s"));
    for line in ["build --no-flake", "build --file x", "build --attr y"] {
        assert_eq!(flake(line), None, "{line}");
    }
    assert_eq!(flake("build --flake .#x").as_deref(), Some(".#x"));
    assert_eq!(flake("build --file '' --attr ''").as_deref(), Some("/s"));
}

#[test]
fn the_table_is_aligned_and_says_where_from() {
    let shown = settings(
        "switch --diff",
        "",
        "{ \"evalHost\": \"me@builder\" }",
        &[("REBUILD_LEND", "0")],
    )
    .table();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), ALL.len() + 1);
    assert_eq!(lines[0], "setting            value                       from");
    assert!(
        lines[1].starts_with("evalHost           me@builder                  /"),
        "{shown}"
    );
    assert!(lines[1].ends_with("/user"), "{shown}");
    assert_eq!(lines[2], "buildHost          me@builder                  evalHost");
    assert_eq!(lines[3], "fallback           fail                        default");
    assert_eq!(lines[4], "wake               -                           default");
    assert_eq!(lines[5], "wakeTimeout        120                         default");
    assert_eq!(lines[6], "reconnectTimeout   900                         default");
    assert_eq!(lines[7], "unattendedTimeout  43200                       default");
    assert_eq!(lines[8], "releaseSite        https://releases.nixos.org  default");
    assert_eq!(lines[9], "lend               false                       REBUILD_LEND");
    assert_eq!(lines[13], "diff               true                        command line");
    assert_eq!(lines[15], "confirm            0                           default");
    assert_eq!(lines[18], "flake              -                           default");
    let none = settings("", "", "", &[]).table();
    assert!(
        none.contains("\nevalHost           ''                          default\nbuildHost          ''                          evalHost\n"),
        "{none}"
    );
    // A terminal must not get orders.
    let odd = settings("", "", "{ \"flake\": \"/a\\u001b[2Jb\" }", &[]).table();
    assert!(odd.contains("/a\\u{1b}[2Jb"), "{odd}");
}

#[test]
fn as_json_each_has_a_value_and_a_source() {
    let json = settings("switch --diff", "", "", &[("REBUILD_BUILD_HOST", "b,c")]).json();
    let names: Vec<&str> = ALL.iter().map(|definition| definition.name).collect();
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_by_key(|key| names.iter().position(|name| name == key));
    assert_eq!(keys, names);
    for (name, value, source) in [
        ("evalHost", serde_json::json!(""), "default"),
        ("buildHost", serde_json::json!(["b", "c"]), "REBUILD_BUILD_HOST"),
        ("wakeTimeout", serde_json::json!(120), "default"),
        ("diff", serde_json::json!(true), "command line"),
        ("flake", serde_json::Value::Null, "default"),
    ] {
        assert_eq!(
            json[name],
            serde_json::json!({ "value": value, "source": source }),
            "{name}"
        );
    }
}

#[test]
fn where_the_users_file_is() {
    let file = |variables: &[(&str, &str)]| users_file(&Surroundings::with(variables));
    let home = ("HOME", "/home/me");
    assert_eq!(file(&[home]), Some("/home/me/.config/rebuild.json".into()));
    assert_eq!(file(&[home, ("XDG_CONFIG_HOME", "/c")]), Some("/c/rebuild.json".into()));
    for without_meaning in ["", "relative"] {
        assert_eq!(
            file(&[home, ("XDG_CONFIG_HOME", without_meaning)]),
            Some("/home/me/.config/rebuild.json".into())
        );
    }
    assert_eq!(file(&[]), None);
}
