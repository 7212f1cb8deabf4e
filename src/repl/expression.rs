//! The expressions that `nix repl` loads, as text of the Nix language. It loads the names of an attribute set.

use crate::plan::expression::string;

/// Returns one of a flake's `nixosConfigurations`, with the names that its modules know and the names of the flake.
///
/// It must open even if the configuration is wrong, because that is when a user looks at it. So nothing of the
/// configuration is evaluated except `specialArgs`, and even these are left out if they end with an error.
#[must_use]
pub fn of_flake(address: &str, name: &str) -> String {
    let help = format!(
        "\nThe flake {address}, nixosConfigurations.{name}:\n\
         \x20 config, options, pkgs, lib, extendModules, and what is in its specialArgs\n\
         \x20 flake, inputs\n\
         :r loads it again, :? shows all commands\n"
    );
    let missing = format!("the flake {address} has no nixosConfigurations.{name}; it has: ");
    format!(
        "let
  flake = builtins.getFlake {address};
  systems = flake.nixosConfigurations or {{ }};
  system = systems.{name} or (throw ({missing} + builtins.concatStringsSep \", \" (builtins.attrNames systems)));
  special = builtins.tryEval (let names = system._module.specialArgs or {{ }}; in builtins.seq names names);
in
builtins.seq system (builtins.trace {help} ((if special.success then special.value else {{ }}) // {{
  inherit flake;
  inherit (flake) inputs;
  inherit (system) config options;
  pkgs = system.pkgs or system.config._module.args.pkgs;
  lib = system.lib or system.pkgs.lib;
  extendModules = system.extendModules or (throw \"this NixOS has no extendModules\");
}}))
",
        address = string(address),
        name = string(name),
        missing = string(&missing),
        help = string(&help),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_flakes_address_or_name_is_code() {
        let text = of_flake("path:/a\"${b}", "p\"i${c}");
        assert!(text.contains(r#"builtins.getFlake "path:/a\"\${b}";"#), "{text}");
        assert!(text.contains(r#"systems."p\"i\${c}" or"#), "{text}");
        let code = text.replace("\\$", "").replace("(value: name:", "");
        assert!(!code.contains("${"), "{text}");
        for name in [
            "config",
            "options",
            "pkgs",
            "lib",
            "extendModules",
            "flake",
            "inputs",
            "specialArgs",
        ] {
            assert!(text.contains(name), "{name}");
        }
    }
}
