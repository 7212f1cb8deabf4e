//! Settings from a file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::definition::{advice, by_name};
use super::kind::Statement;
use super::{Layer, Source, SourcedValue};
use crate::failure::Failure;
use crate::process::quote::shell_word;

/// Nobody writes a larger file by hand.
const MOST_BYTES: u64 = 1 << 20;

/// Reads a file for a process of this user. A file that does not exist says nothing. Neither does a file that others
/// may have written, about which there is a warning.
///
/// # Errors
/// Fails if the file cannot be read, if it is no JSON, or if it says what no setting says.
pub(super) fn read(path: &Path, user: u32, warnings: &mut Vec<String>) -> Result<Layer, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::usage(format!("{} cannot be read: {error}", path.display()))
            .with_remedy(format!("look at it: ls -lL {}", shown(path)))
    };
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Layer::new());
        }
        Err(error) => return Err(cannot(error)),
    };
    // This looks at the file that is open, not at the one that has its name now.
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(
            Failure::usage(format!("{} is no file", path.display())).with_remedy("settings are a file with JSON in it")
        );
    }
    if let Some(distrust) = Distrust::of(&metadata, user) {
        warnings.push(distrust.warning(path));
        return Ok(Layer::new());
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(cannot)?;
    parse(&text, path)
}

/// Opens the file without waiting for the other end of a pipe.
fn open(path: &Path) -> std::io::Result<File> {
    let options = OFlag::O_NONBLOCK.bits();
    OpenOptions::new().read(true).custom_flags(options).open(path)
}

/// The reason why a file is not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distrust {
    /// Users other than its owner may write it.
    OthersWrite,
    /// Root does not obey what another user has written: sudo may leave that user's HOME in place.
    BelongsTo(u32),
}

impl Distrust {
    fn of(metadata: &Metadata, user: u32) -> Option<Self> {
        Self::of_numbers(metadata.mode(), metadata.uid(), user)
    }

    fn of_numbers(mode: u32, owner: u32, user: u32) -> Option<Self> {
        if mode & 0o022 != 0 {
            Some(Self::OthersWrite)
        } else if user == 0 && owner != 0 {
            Some(Self::BelongsTo(owner))
        } else {
            None
        }
    }

    fn warning(self, path: &Path) -> String {
        let name = path.display();
        let shown = shown(path);
        match self {
            Self::OthersWrite => format!(
                "{name} is not obeyed: others than its owner may write it\n  to have it obeyed: chmod go-w {shown}"
            ),
            Self::BelongsTo(owner) => format!(
                "{name} is not obeyed: it belongs to another user (uid {owner}), and this is root\n  \
                 root's settings are in {}; to have this file obeyed: chown root: {shown}",
                super::SYSTEM
            ),
        }
    }
}

fn shown(path: &Path) -> String {
    shell_word(path).map_or_else(
        |_| path.display().to_string(),
        |word| String::from_utf8_lossy(&word).into_owned(),
    )
}

fn parse(text: &str, path: &Path) -> Result<Layer, Failure> {
    let mut json = serde_json::Deserializer::from_str(text);
    let layer = json.deserialize_map(Keys { path });
    layer
        .and_then(|layer| json.end().map(|()| layer))
        .map_err(|error| refused(&error, path))
}

fn refused(error: &serde_json::Error, path: &Path) -> Failure {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let text = text
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&text);
    Failure::usage(format!("{}, line {line}, column {column}: {text}", path.display()))
        .with_remedy("what may stand there: man rebuild.json")
}

/// A JSON object of settings that is read key by key, so that an error can name its place.
struct Keys<'a> {
    path: &'a Path,
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Layer;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("an object: { \"evalHost\": \"builder\" }")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Layer, A::Error> {
        let mut layer = Layer::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(definition) = by_name(&name) else {
                let advice = advice(&name, |definition| definition.name, "");
                return Err(A::Error::custom(format!(
                    "'{}' is no setting: {advice}",
                    name.escape_debug()
                )));
            };
            let said = definition.kind.of_json(map.next_value()?);
            let value = match said.map_err(|allowed| A::Error::custom(format!("{name} is {allowed}")))? {
                Statement::Nothing => continue,
                Statement::TheDefault => None,
                Statement::This(value) => Some(value),
            };
            let source = Source::File(self.path.to_owned());
            if layer.insert(definition.key, SourcedValue { value, source }).is_some() {
                return Err(A::Error::custom(format!("{name} is said twice")));
            }
        }
        Ok(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::super::kind::SettingValue;
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn parsed(text: &str) -> Result<Layer, Failure> {
        parse(text, Path::new("/etc/rebuild.json"))
    }

    #[test]
    fn a_file_says_what_it_says_and_nothing_more() {
        let layer = parsed("{ \"evalHost\": \"b\",\n  \"lend\": false, \"flake\": \"\" }\n").unwrap();
        assert_eq!(layer.len(), 3);
        assert_eq!(layer[&Key::EvalHost].value, Some(SettingValue::Text("b".into())));
        assert_eq!(layer[&Key::Lend].value, Some(SettingValue::Switch(false)));
        assert_eq!(layer[&Key::Flake].value, None);
        assert_eq!(layer[&Key::Lend].source, Source::File("/etc/rebuild.json".into()));
        assert!(parsed("{}").unwrap().is_empty());
    }

    #[test]
    fn what_is_refused_has_its_place_and_what_is_allowed() {
        for (text, message) in [
            (
                "{\n  \"evalHots\": \"b\"\n}",
                "/etc/rebuild.json, line 2, column 12: 'evalHots' is no setting: did you mean evalHost?",
            ),
            ("{ \"targetHost\": \"b\" }", "is said by each command"),
            (
                "{\n\n \"lend\": \"yes\" }",
                "line 3, column 16: lend is true or false, not \"yes\"",
            ),
            (
                "{ \"fallback\": \"never\" }",
                "fallback is \"fail\" or \"local\", not \"never\"",
            ),
            ("{ \"evalHost\": null }", "not null"),
            ("{ \"lend\": true, \"lend\": false }", "lend is said twice"),
            ("{ \"lend\": true", "line 1, column 14: EOF while parsing"),
            ("{ \"lend\": true, }", "trailing comma"),
            ("{} {}", "trailing characters"),
            ("", "EOF while parsing"),
            ("[]", "an object: { \"evalHost\": \"builder\" }"),
            ("evalHost = b", "expected value"),
        ] {
            let failure = parsed(text).unwrap_err();
            assert_eq!(failure.code(), 2, "{text}");
            assert!(failure.to_string().contains(message), "{text}: {failure}");
            assert!(failure.to_string().starts_with("/etc/rebuild.json, line "), "{failure}");
        }
    }

    #[test]
    fn whose_files_are_obeyed() {
        use Distrust::{BelongsTo, OthersWrite};
        for (mode, owner, user, expected) in [
            (0o100_644, 1000, 1000, None),
            (0o100_600, 1000, 1000, None),
            (0o100_444, 0, 1000, None),
            (0o100_644, 0, 0, None),
            (0o100_664, 1000, 1000, Some(OthersWrite)),
            (0o100_646, 0, 0, Some(OthersWrite)),
            (0o100_666, 0, 1000, Some(OthersWrite)),
            (0o100_644, 1000, 0, Some(BelongsTo(1000))),
        ] {
            let seen = Distrust::of_numbers(mode, owner, user);
            assert_eq!(seen, expected, "{mode:o} {owner} {user}");
        }
        let warning = BelongsTo(1000).warning(Path::new("/home/a b/x"));
        assert!(warning.contains("chown root: '/home/a b/x'"), "{warning}");
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self, text: &str, mode: u32) -> PathBuf {
            let path = self.0.path().join("rebuild.json");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    /// Reads a file as its owner.
    fn read_as_owner(path: &Path) -> (Result<Layer, Failure>, Vec<String>) {
        let mut warnings = Vec::new();
        let user = nix::unistd::geteuid().as_raw();
        (read(path, user, &mut warnings), warnings)
    }

    #[test]
    fn a_missing_file_is_nothing_and_one_that_others_write_a_warning() {
        let place = Folder(tempfile::tempdir().unwrap());
        for missing in ["nothing", "nowhere/rebuild.json"] {
            let (layer, warnings) = read_as_owner(&place.0.path().join(missing));
            assert_eq!((layer.unwrap().len(), warnings.len()), (0, 0));
        }
        let (layer, warnings) = read_as_owner(&place.file("{ \"lend\": false }", 0o644));
        assert_eq!((layer.unwrap().len(), warnings.len()), (1, 0));
        for mode in [0o664, 0o646, 0o666] {
            // Not even its mistakes are reported.
            let path = place.file("no JSON", mode);
            let (layer, warnings) = read_as_owner(&path);
            assert!(layer.unwrap().is_empty());
            let advice = format!("chmod go-w {}", path.display());
            assert!(warnings[0].contains(&advice), "{warnings:?}");
        }
        // A file takes the place of the directory.
        let (layer, _) = read_as_owner(&place.file("{}", 0o644).join("rebuild.json"));
        assert!(layer.unwrap().is_empty());
    }

    /// The file at the end of the link is examined: home-manager and NixOS make links into the store.
    #[test]
    fn a_link_is_as_good_as_what_it_leads_to() {
        let place = Folder(tempfile::tempdir().unwrap());
        let path = place.file("{ \"lend\": false }", 0o444);
        let link = place.0.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read_as_owner(&link).0.unwrap().len(), 1);
        place.file("{ \"lend\": false }", 0o666);
        assert_eq!(read_as_owner(&link).1.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let place = Folder(tempfile::tempdir().unwrap());
        let failure = read_as_owner(place.0.path()).0.unwrap_err();
        assert!(failure.to_string().ends_with(" is no file"), "{failure}");
        let pipe = place.0.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let failure = read_as_owner(&pipe).0.unwrap_err();
        assert!(failure.to_string().ends_with("pipe is no file"), "{failure}");
        let path = place.0.path().join("bytes");
        fs::write(&path, b"{ \"evalHost\": \"\xff\" }").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let failure = read_as_owner(&path).0.unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains("bytes cannot be read: "), "{failure}");
    }
}
