//! The part of a configuration that is built.

use crate::failure::Failure;

/// What is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The kind of the configuration's result.
    pub kind: ProductKind,
    /// The specialisation whose result is built, instead of the configuration's own (nixpkgs#558909). Only a result
    /// that is no system has one, because a system contains its specialisations.
    pub specialisation: Option<String>,
}

/// The kinds of a configuration's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProductKind {
    /// The whole system.
    System,
    /// A script that starts a virtual machine.
    Vm,
    /// The same script, with the boot loader.
    VmWithBootLoader,
    /// The disk image of this variant.
    Image(String),
}

impl Product {
    /// The system.
    pub const SYSTEM: Self = Self {
        kind: ProductKind::System,
        specialisation: None,
    };

    /// Returns its attribute in the configuration.
    #[must_use]
    pub fn attribute(&self) -> String {
        match &self.kind {
            ProductKind::System => self.build("toplevel"),
            ProductKind::Vm => self.build("vm"),
            ProductKind::VmWithBootLoader => self.build("vmWithBootLoader"),
            ProductKind::Image(variant) => format!("{}.{}", self.images(), attribute_name(variant)),
        }
    }

    /// Returns the attribute of all images.
    #[must_use]
    pub fn images(&self) -> String {
        self.build("images")
    }

    fn build(&self, name: &str) -> String {
        match &self.specialisation {
            None => format!("config.system.build.{name}"),
            Some(specialisation) => format!(
                "config.specialisation.{}.configuration.system.build.{name}",
                attribute_name(specialisation)
            ),
        }
    }
}

/// Returns a name for an attribute path, in quotes where it needs them.
fn attribute_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-'".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

/// Refuses a name that cannot stand in an attribute path, or that would lead out of the directory of specialisations.
pub(super) fn check_name(flag: &str, name: &str) -> Result<(), Failure> {
    let odd = |c: char| c.is_control() || "/\"\\$".contains(c);
    if name.is_empty() || name.starts_with('.') || name.contains(odd) {
        return Err(Failure::usage(format!("{flag} '{name}' is not a name")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_what_is_built() {
        let of = |kind, specialisation: Option<&str>| {
            let specialisation = specialisation.map(str::to_owned);
            Product { kind, specialisation }.attribute()
        };
        let image = |name: &str| ProductKind::Image(name.to_owned());
        for (seen, expected) in [
            (of(ProductKind::System, None), "config.system.build.toplevel"),
            (of(ProductKind::Vm, None), "config.system.build.vm"),
            (
                of(ProductKind::VmWithBootLoader, None),
                "config.system.build.vmWithBootLoader",
            ),
            (
                of(image("iso-installer"), None),
                "config.system.build.images.iso-installer",
            ),
            (of(image("2.5 inch"), None), "config.system.build.images.\"2.5 inch\""),
            (
                of(ProductKind::Vm, Some("on.the.go")),
                "config.specialisation.\"on.the.go\".configuration.system.build.vm",
            ),
        ] {
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn names_stay_names() {
        for name in ["", ".", "..", "a/b", "a\"b", "${x}", "a\nb"] {
            assert!(check_name("--specialisation", name).is_err(), "{name}");
        }
        assert!(check_name("--specialisation", "on.the-go 2").is_ok());
    }
}
