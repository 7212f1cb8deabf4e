//! Checks that what was built is what the derivation promises. Another run's result must not be taken for this one's.

use std::fs;

use crate::failure::Failure;
use crate::host::Host;
use crate::store_path::StorePath;

/// Reads what came as a derivation.
///
/// # Errors
/// The text is no derivation's path.
pub(super) fn derivation(host: &Host, text: &str) -> Result<StorePath, Failure> {
    let path = StorePath::parse(text).ok();
    let derivation = path.filter(|path| path.name().strip_suffix(".drv").is_some());
    derivation.ok_or_else(|| Failure::new(format!("what {host} evaluated is no derivation: {text}")))
}

/// Reads what came as the output of `derivation`. If the store here has the derivation, its outputs are known.
/// Otherwise only the output's name can be checked.
///
/// # Errors
/// The path is no output of this derivation.
pub(super) fn kept(host: &Host, derivation: Option<&StorePath>, text: &str) -> Result<StorePath, Failure> {
    let built = StorePath::parse(text)
        .map_err(|_| Failure::new(format!("what {host} gives as the result is no store path: {text}")))?;
    let Some(derivation) = derivation else {
        return Err(Failure::new(format!(
            "{host} has built {built} without having been asked to"
        )));
    };
    let outputs = fs::read_to_string(derivation.as_path())
        .ok()
        .and_then(|text| outputs(&text));
    let is_kept = has_its_name(&built, derivation) && outputs.is_none_or(|all| all.iter().any(|one| one == text));
    if is_kept {
        return Ok(built);
    }
    Err(Failure::new(format!(
        "{host} was to build {derivation}, but what it gives is {built}, which is no output of that; nothing was changed"
    ))
    .with_remedy("run the same command again"))
}

/// Whether an output has its derivation's name: `HASH-NAME.drv` has the outputs `HASH-NAME` and `HASH-NAME-OUTPUT`
/// (Nix's manual: "Store path").
fn has_its_name(built: &StorePath, derivation: &StorePath) -> bool {
    let name = derivation.name().strip_suffix(".drv").unwrap_or(derivation.name());
    built
        .name()
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Returns the outputs in the text of a derivation, which begins with them:
/// `Derive([("out","/nix/store/…","",""),…],…`. None if they are not known before the build.
fn outputs(text: &str) -> Option<Vec<String>> {
    let (list, _) = text.strip_prefix("Derive([")?.split_once(']')?;
    let mut outputs = Vec::new();
    for output in list.split('(').skip(1) {
        let path = output.split('"').nth(3)?;
        if path.is_empty() {
            return None;
        }
        outputs.push(path.to_owned());
    }
    Some(outputs)
}

/// Fuzzing: reads any text as a derivation's file, and as what a builder gives for one.
#[cfg(any(test, fuzzing))]
pub(super) fn look_at(text: &str) {
    for path in outputs(text).into_iter().flatten() {
        assert!(
            !path.is_empty() && !path.contains('"') && text.contains(&path),
            "{path}"
        );
    }
    let Ok(crate::host::Place::There(host)) = crate::host::Place::parse("builder", "own") else {
        return;
    };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(derivation) = derivation(&host, first) {
        let name = derivation.name().strip_suffix(".drv").unwrap_or_default();
        if let Ok(built) = kept(&host, Some(&derivation), rest) {
            assert!(built.name().starts_with(name), "{built} {derivation}");
            assert!(built.as_path().starts_with("/nix/store"), "{built}");
        }
    }
    assert!(kept(&host, None, rest).is_err());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;

    const HASH: &str = "/nix/store/00000000000000000000000000000000-";

    fn path(name: &str) -> StorePath {
        StorePath::parse(&format!("{HASH}{name}")).unwrap()
    }

    fn host() -> Host {
        Place::parse("b", "pi").unwrap().host().unwrap().clone()
    }

    #[test]
    fn what_was_built_has_the_derivations_name() {
        let derivation = path("nixos-system-pi-25.05.drv");
        for (name, is_kept) in [
            ("nixos-system-pi-25.05", true),
            ("nixos-system-pi-25.05-dev", true),
            ("nixos-system-other-25.05", false),
            ("nixos-system-pi-25.05.drv", false),
            ("nixos-system-pi-25.051", false),
        ] {
            let built = path(name);
            let result = kept(&host(), Some(&derivation), built.as_str());
            assert_eq!(result.is_ok(), is_kept, "{name}");
            if let Err(error) = result {
                let text = error.to_string();
                assert!(
                    text.contains(derivation.as_str()) && text.contains(built.as_str()),
                    "{text}"
                );
            }
        }
        assert!(kept(&host(), None, path("x").as_str()).is_err());
        assert!(kept(&host(), Some(&derivation), "/etc/passwd").is_err());
    }

    #[test]
    fn an_evaluation_gives_a_derivation() {
        assert!(super::derivation(&host(), path("x.drv").as_str()).is_ok());
        assert!(super::derivation(&host(), path("x").as_str()).is_err());
    }

    #[test]
    fn outputs_of_a_derivations_text() {
        let text = r#"Derive([("dev","/nix/store/a-x-dev","",""),("out","/nix/store/b-x","","")],[("/nix/store/c","#;
        assert_eq!(outputs(text).unwrap(), ["/nix/store/a-x-dev", "/nix/store/b-x"]);
        assert_eq!(outputs(r#"Derive([("out","","r:sha256","")],[],"#), None);
        assert_eq!(outputs("DrvWithVersion("), None);
    }
}
