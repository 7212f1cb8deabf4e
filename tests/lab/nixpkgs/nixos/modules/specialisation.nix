# specialisation.NAME.configuration: the same configuration once more, with that module on top. What is read from there is a
# whole configuration again, as in the real one: config.specialisation.NAME.configuration.system.build.vm.
{ config, lib, again, ... }:
let
  evaluate = _: definitions: {
    configuration = (again.evalConfig {
      inherit (again) system specialArgs;
      # Without specialisations of its own, or it would never end.
      modules = again.modules ++ map (definition: definition.configuration) definitions
        ++ [{ specialisation = lib.mkForce { }; }];
    }).config;
  };
in
{
  options.specialisation = lib.mkOption { default = { }; type = lib.types.rawAttrs; apply = lib.mapAttrs evaluate; };
  options.system.build.specialisations = lib.mkOption { };

  config.system.build.specialisations =
    lib.mapAttrs (_: specialisation: specialisation.configuration.system.build.toplevel) config.specialisation;
}
