# specialisation.NAME.configuration: the same configuration once more, with that module on top.
{ config, lib, again, ... }:
{
  options.specialisation = lib.mkOption { default = { }; type = lib.types.rawAttrs; };
  options.system.build.specialisations = lib.mkOption { };

  config.system.build.specialisations = lib.mapAttrs
    (name: definitions:
      (again.evalConfig {
        inherit (again) system specialArgs;
        # Without specialisations of its own, or it would never end.
        modules = again.modules ++ map (definition: definition.configuration) definitions
          ++ [{ specialisation = lib.mkForce { }; }];
      }).config.system.build.toplevel)
    config.specialisation;
}
