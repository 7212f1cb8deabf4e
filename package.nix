# The program as a Nix package: pkgs.callPackage ./package.nix { }
{
  lib,
  rustPlatform,
  installShellFiles,
}:

rustPlatform.buildRustPackage {
  pname = "rebuild";
  version = (lib.importTOML ./Cargo.toml).package.version;

  src = lib.fileset.toSource {
    root = ./.;
    fileset = lib.fileset.unions [
      ./Cargo.lock
      ./Cargo.toml
      ./completions
      ./man
      ./src
    ];
  };
  cargoLock.lockFile = ./Cargo.lock;

  # The tests need a Debian machine: tests/run.sh.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];
  postInstall = ''
    installManPage man/*
    installShellCompletion --cmd rebuild \
      --bash completions/rebuild.bash \
      --zsh completions/_rebuild \
      --fish completions/rebuild.fish
    # Not every nixpkgs knows these two shells here. Nushell reads its file by itself; in Elvish: use completions/rebuild
    install -Dm644 completions/rebuild.nu -t $out/share/nushell/vendor/autoload
    install -Dm644 completions/rebuild.elv -t $out/share/elvish/lib/completions
  '';

  meta = {
    description = "nixos-rebuild for small machines: evaluate and build on a stronger host, switch here";
    license = with lib.licenses; [
      mit
      asl20
    ];
    mainProgram = "rebuild";
    platforms = lib.platforms.linux;
  };
}
