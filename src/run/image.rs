//! The choice of the disk image that is built.

use std::path::{Component, Path};

use crate::failure::Failure;
use crate::harmless;
use crate::plan::argv::Images;

/// Returns the file of the image if it is known. `evaluator` is who has said it.
///
/// # Errors
/// Fails with the names of all images if none has this name, or if the file is none in the image: its path is printed
/// for the user and for scripts, and an evaluator must not lead them elsewhere.
pub(super) fn choose(variant: &str, images: Images, evaluator: &str) -> Result<Option<String>, Failure> {
    if images.variants.iter().any(|name| name == variant) {
        return match images.file {
            Some(file) if !is_inside(&file) => Err(Failure::new(format!(
                "{evaluator} says that the file of the image '{variant}' lies outside of it: {}",
                harmless::name(&file)
            ))
            .with_remedy(format!(
                "config.system.build.images.{variant}.passthru.filePath says where it lies"
            ))),
            file => Ok(file),
        };
    }
    let message = match variant {
        "" => "which image is to be built?".to_owned(),
        _ => format!("there is no image '{variant}'"),
    };
    Err(Failure::usage(message).with_remedy(format!(
        "--image-variant NAME, which is one of:\n  {}",
        images.variants.join("\n  ")
    )))
}

/// Returns whether a path leads to something below the place from which it is taken, and is shown as it is.
fn is_inside(file: &str) -> bool {
    let mut parts = Path::new(file).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_))) && harmless::name(file) == file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed is where the user, or a script, takes the image from.
    #[test]
    fn a_file_is_below_its_image() {
        for file in ["/dev/sda", "../x", "iso/../../x", ".", "", "x\u{1b}[2J", "a\nb"] {
            let images = Images {
                variants: vec!["iso".into()],
                file: Some(file.into()),
            };
            let failure = choose("iso", images, "builder").unwrap_err();
            assert!(failure.to_string().contains("outside"), "{failure}");
        }
    }

    #[test]
    fn an_image_is_chosen_among_those_that_there_are() {
        let images = || Images {
            variants: vec!["iso".into(), "raw".into()],
            file: Some("iso/x.iso".into()),
        };
        assert_eq!(choose("iso", images(), "builder"), Ok(Some("iso/x.iso".into())));
        for variant in ["", "is"] {
            let failure = choose(variant, images(), "builder").unwrap_err();
            assert!(failure.remedy().unwrap().contains("\n  iso\n  raw"), "{failure}");
        }
    }
}
