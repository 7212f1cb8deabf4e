# As the real one's, as far as a system's flake needs it.
{
  outputs = { self }: {
    lib = import ./lib // {
      nixosSystem = import ./nixos/lib/eval-config.nix;
    };
  };
}
