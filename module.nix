# Both NixOS modules, for people without flakes: `imports = [ /path/to/rebuild/module.nix ];`. Neither does anything
# until it is enabled: programs.rebuild on the weak machine, services.rebuild-builder on the strong one.
{
  imports = [
    ./nix/client.nix
    ./nix/builder.nix
  ];
}
