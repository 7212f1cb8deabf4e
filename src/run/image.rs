//! The choice of the disk image that is built.

use crate::failure::Failure;
use crate::plan::argv::Images;

/// Returns the file of the image if it is known. Fails with the names of all images if none has this name.
pub(super) fn choose(variant: &str, images: Images) -> Result<Option<String>, Failure> {
    if images.variants.iter().any(|name| name == variant) {
        return Ok(images.file);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_chosen_among_those_that_there_are() {
        let images = || Images {
            variants: vec!["iso".into(), "raw".into()],
            file: Some("iso/x.iso".into()),
        };
        assert_eq!(choose("iso", images()), Ok(Some("iso/x.iso".into())));
        for variant in ["", "is"] {
            let failure = choose(variant, images()).unwrap_err();
            assert!(failure.remedy().unwrap().contains("\n  iso\n  raw"), "{failure}");
        }
    }
}
