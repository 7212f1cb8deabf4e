# /etc/nixos/configuration.nix of the VM test's client. Beside it: client.nix, network.json, and this repository.
{ lib, modulesPath, ... }:
{
  imports = [
    (modulesPath + "/testing/test-instrumentation.nix")
    (modulesPath + "/virtualisation/qemu-vm.nix")
    (lib.modules.importJSON ./network.json)
    ./client.nix
    ./rebuild/module.nix
  ];

  boot.loader.grub.enable = false;
  environment.etc.greeting.text = "evaluated elsewhere\n";
}
