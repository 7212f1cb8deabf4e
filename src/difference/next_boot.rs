//! The parts of a system that a machine takes into use only when it boots.

/// The parts of a new system that differ from what was booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextBoot {
    /// The kernel's versions, before and after, if they are known and differ.
    versions: Option<(String, String)>,
    parts: Vec<BootPart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BootPart {
    Kernel,
    Modules,
    Initrd,
    Parameters,
}

impl NextBoot {
    /// Reads what the target says: two versions, with `-` for an unknown one, and the parts that differ. Returns None
    /// for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (from, to) = (words.next()?, words.next()?);
        let parts: Vec<BootPart> = words.filter_map(BootPart::named).collect();
        let is_version = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
            text != "-" && text.len() < 80 && text.chars().all(plain)
        };
        let known = is_version(from) && is_version(to) && from != to;
        (!parts.is_empty()).then(|| Self {
            versions: known.then(|| (from.to_owned(), to.to_owned())),
            parts,
        })
    }

    /// Returns it as one line. `action` is the activation's action, which decides what is booted next.
    #[must_use]
    pub fn hint(&self, action: &str, specialisation: Option<&str>) -> String {
        let has = |part| self.parts.contains(&part);
        let (mut names, mut are_many, mut versions) = (Vec::new(), false, String::new());
        // A new kernel brings its modules along, and both bring a new initrd.
        if has(BootPart::Kernel) {
            names.push("the kernel");
        } else if has(BootPart::Modules) {
            names.push("the kernel's modules");
            are_many = true;
        } else if has(BootPart::Initrd) {
            names.push("the initrd");
        }
        if let (Some((from, to)), true) = (&self.versions, has(BootPart::Kernel) || has(BootPart::Modules)) {
            versions = format!(" ({from} → {to})");
        }
        if has(BootPart::Parameters) {
            names.push("the kernel's parameters");
            are_many = true;
        }
        let (has, it_is) = if are_many {
            ("have", "they are")
        } else {
            ("has", "it is")
        };
        let when = match (action, specialisation) {
            ("test", None) => "a boot into this system, and test leaves the next one as it was",
            ("test", Some(_)) => "a boot into this specialisation, and test leaves the next one as it was",
            (_, Some(_)) => "the next boot into this specialisation",
            (_, None) => "the next boot",
        };
        format!(
            "{} {has} changed{versions}: {it_is} in use after {when}",
            names.join(" and ")
        )
    }
}

impl BootPart {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "kernel" => Self::Kernel,
            "kernel-modules" => Self::Modules,
            "initrd" => Self::Initrd,
            "kernel-params" => Self::Parameters,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_next_boot() {
        for (said, action, hint) in [
            (
                "6.1.2 6.1.5 kernel kernel-modules initrd",
                "switch",
                "the kernel has changed (6.1.2 → 6.1.5): it is in use after the next boot",
            ),
            (
                "6.1.5 6.1.5 kernel kernel-modules initrd kernel-params",
                "boot",
                "the kernel and the kernel's parameters have changed: they are in use after the next boot",
            ),
            (
                "6.1.5 6.1.5 kernel-modules initrd",
                "switch",
                "the kernel's modules have changed: they are in use after the next boot",
            ),
            (
                "- - initrd",
                "test",
                "the initrd has changed: it is in use after a boot into this system, and test leaves the next one as it was",
            ),
            (
                "- 6.1.5 kernel-params",
                "switch",
                "the kernel's parameters have changed: they are in use after the next boot",
            ),
        ] {
            assert_eq!(NextBoot::parse(said).unwrap().hint(action, None), hint, "{said}");
        }
        assert_eq!(
            NextBoot::parse("- - kernel").unwrap().hint("switch", Some("mobile")),
            "the kernel has changed: it is in use after the next boot into this specialisation"
        );
    }

    #[test]
    fn what_is_no_answer_and_versions_that_are_none() {
        for text in ["", "-", "6.1.2 6.1.5", "6.1.2 6.1.5 firmware"] {
            assert_eq!(NextBoot::parse(text), None, "{text}");
        }
        let hint = NextBoot::parse("6\u{7}1 6.2 kernel").unwrap().hint("boot", None);
        assert_eq!(hint, "the kernel has changed: it is in use after the next boot");
    }
}
