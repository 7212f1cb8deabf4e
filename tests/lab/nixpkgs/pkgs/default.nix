# A few packages, and the one way in which everything here is built.
{ system, lib }:

let
  busybox = "${../bin}/busybox";

  # The script runs under an emulated `busybox sh`. Attributes become environment variables, as always.
  run = name: attributes: script:
    derivation ({
      inherit name system;
      builder = busybox;
      args = [ "sh" "-eu" "-c" "${builtins.readFile ./setup.sh}\n${script}" ];
    } // attributes);

  # A program whose interpreter is the emulated shell as well.
  writeProgram = name: text:
    run name { inherit text; passAsFile = [ "text" ]; } ''
      mkdir -p "$out/bin"
      { echo "#!$builder sh"; cat "$textPath"; } > "$out/bin/$name"
      chmod 755 "$out/bin/$name"
    '';
in
{
  inherit run writeProgram busybox;

  writeText = name: text:
    run name { inherit text; passAsFile = [ "text" ]; } ''cat "$textPath" > "$out"'';

  # All `bin` directories in one, by symlinks.
  buildEnv = name: paths:
    run name { inherit paths; } ''
      mkdir -p "$out/bin"
      for path in $paths; do
        for program in "$path"/bin/*; do
          ln -s "$program" "$out/bin/"
        done
      done
    '';

  # Says which CPU it runs on: the proof that the system was built for another one.
  hello = writeProgram "hello" ''
    echo "hello from $(${busybox} uname -m)"
  '';

  linux = version: run "linux-${version}" { inherit version; } ''
    mkdir -p "$out/lib/modules/$version"
    echo "kernel $version for $system" > "$out/Image"
  '';
}
