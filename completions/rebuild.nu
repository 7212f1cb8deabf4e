# Made of the definition of the command line by: UPDATE=1 cargo test --test generated
module completions {

  # Asks the program, or a link to it if that is all there is. Without an answer nushell offers files.
  def rebuild-candidates [kind: string, context: string] {
    let typed = ($context | split row " " | last | str replace --regex "^--[^=]*=" "" | str trim --char '"')
    let answer = try {
      ^rebuild --candidates $kind $typed e> /dev/null
    } catch {
      try { ^nixos-rebuild --candidates $kind $typed e> /dev/null } catch { "" }
    }
    let found = ($answer | lines | each {|line| $line | split row "\t" | {value: $in.0, description: ($in.1? | default "")} })
    if ($found | is-empty) { null } else { {options: {sort: false}, completions: $found} }
  }

  def "nu-complete rebuild hosts" [context: string] {
    rebuild-candidates hosts $context
  }

  def "nu-complete rebuild profiles" [context: string] {
    rebuild-candidates profiles $context
  }

  def "nu-complete rebuild specialisations" [context: string] {
    rebuild-candidates specialisations $context
  }

  def "nu-complete rebuild generations" [context: string] {
    rebuild-candidates generations $context
  }

  def "nu-complete rebuild configurations" [context: string] {
    rebuild-candidates configurations $context
  }

  def "nu-complete rebuild verb" [] {
    [ "switch" "boot" "test" "confirm" "build" "dry-build" "dry-activate" "build-vm" "build-vm-with-bootloader" "build-image" "edit" "repl" "list-generations" "status" "attach" "cancel" "doctor" "help" ]
  }

  def "nu-complete rebuild if_unreachable" [] {
    [ "fail" "local" ]
  }

  def "nu-complete rebuild elevate" [] {
    [ "none" "sudo" "run0" "doas" ]
  }

  def "nu-complete rebuild log_format" [] {
    [ "bar" "bar-with-logs" "internal-json" "raw" "raw-with-logs" ]
  }

  # nixos-rebuild for small machines: evaluate and build on a stronger host, switch here
  export extern rebuild [
    --eval-host: string@"nu-complete rebuild hosts"       # Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers
    --eval-on: string@"nu-complete rebuild hosts"         # Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers
    --build-host: string@"nu-complete rebuild hosts"      # Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers
    --build-on: string@"nu-complete rebuild hosts"        # Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers
    --target-host: string@"nu-complete rebuild hosts"     # Activate there; evaluate and build here unless the other two say otherwise
    --if-unreachable: string@"nu-complete rebuild if_unreachable" # What to do if the evaluator or builder cannot be reached
    --wake: string            # If none of them answers: run this command here, once, and wait for the first that wakes
    --wake-timeout: string    # How long to wait for that (default: 120)
    --reconnect-timeout: string # If the link breaks while the work goes on there: how long to try to connect again; 0: not at all (default: 900)
    --unattended-timeout: string # How long the work there goes on while nobody follows it (default: 43200)
    --release-site: string    # Where the evaluator fetches the release that this machine's channel is; '': it is sent (default: https://releases.nixos.org)
    --no-lend                 # Lend no Nix daemon to the builder: the result is fetched by a second connection
    --verify-eval             # With --eval-host: evaluate here as well, and go on only if both give the same derivation
    --flake(-F): path@"nu-complete rebuild configurations"         # A flake (default: the current directory) and one of its nixosConfigurations (default: the target's name)
    --no-flake                # No flake, even if there is an /etc/nixos/flake.nix
    --file(-f): path          # A Nix file, or a directory with a system.nix or default.nix, that evaluates to a configuration or a set of them
    --attr(-A): string        # Where in the file the configuration is; without --file in ./system.nix, ./default.nix, <nixos-system> or /etc/nixos/system.nix
    --profile-name(-p): string@"nu-complete rebuild profiles" # Use the profile /nix/var/nix/profiles/system-profiles/NAME
    --specialisation(-c): string@"nu-complete rebuild specialisations" # Activate this specialisation of the configuration, or build its virtual machine or image
    --rollback                # Go back to the generation before the current one; nothing is built
    --store-path: path@"nu-complete rebuild generations"        # Take a system that was built before; nothing is built
    --upgrade                 # Update root's channel 'nixos' first, and those with a file .update-on-nixos-rebuild
    --upgrade-all             # Update all of root's channels first
    --diff                    # Show which packages change
    --ask(-a)                 # Show which packages change, then ask whether to go on: before switch, boot and test
    --rollback-on-failure     # If the activation fails, activate the system of before again, and put the profile back: switch, boot and test
    --confirm: string         # Go back unless it is confirmed within so many seconds (60) that the machine can be reached: switch and test
    --confirm-by: string@"nu-complete rebuild hosts"      # With --confirm, for this machine: confirm it by reaching HOST (default: the builder; '': by rebuild confirm)
    --install-bootloader      # Install the boot loader again
    --elevate: string@"nu-complete rebuild elevate" # Become root by this program where the system is changed
    --sudo                    # As --elevate sudo
    --ask-elevate-password(-S) # Ask for the password here, once, before the long work; as --elevate sudo if that is not given
    --ask-sudo-password       # Ask for the password here, once, before the long work; as --elevate sudo if that is not given
    --image-variant: string   # build-image: which image; without it, the images are listed
    --detach                  # build: leave when the builder builds; switch, boot, test: go on as a unit of systemd
    --json                    # list-generations, status, doctor, --show-settings: as JSON
    --job: string             # attach, cancel: the job whose name begins like this
    --all                     # cancel: all jobs that run
    --show-settings           # Show what applies and where it came from, and do nothing else
    --no-log                  # Keep no log of this run for bug reports
    --log                     # The opposite of --no-log
    --lend                    # The opposite of --no-lend
    --no-verify-eval          # The opposite of --verify-eval
    --no-ask                  # The opposite of --ask
    --no-diff                 # The opposite of --diff
    --no-rollback-on-failure  # The opposite of --rollback-on-failure
    --no-confirm              # The opposite of --confirm
    --no-use-substitutes      # The opposite of --use-substitutes
    --verbose(-v)             # Say more; may be given more than once
    --quiet                   # Say less; may be given more than once
    --max-jobs(-j): string    # Build at most N derivations at once
    --cores: string           # Let each build use N cores
    --log-format: string@"nu-complete rebuild log_format" # The format of the log: raw has plain lines, and those that end in -with-logs the logs of builds
    --keep-going(-k)          # Go on with other builds after one has failed
    --keep-failed(-K)         # Keep the directory of a failed build
    --fallback                # Build what cannot be fetched
    --repair                  # Repair damaged store paths
    --option: string          # Set a Nix option
    --include(-I): path       # Add a path to the Nix search path: PATH or NAME=PATH
    --show-trace              # Show where in the configuration an evaluation error came from
    --send-env: string        # With --eval-host: let the configuration read this environment variable, though it may be a secret
    --no-eval-cache           # With --eval-host: evaluate even if nothing has changed
    --accept-flake-config     # Accept the Nix settings that the flake asks for
    --refresh                 # Look for new versions of what was fetched before
    --impure                  # Let the evaluation see the environment, <names> and files outside the flake
    --recreate-lock-file      # Make the lock file anew
    --no-update-lock-file     # Fail if the lock file would change
    --no-write-lock-file      # Do not write a changed lock file
    --no-registries           # Look up no flake by a name of the registries
    --commit-lock-file        # Commit a changed lock file
    --update-input: string    # Update one input in the lock file; may be given more than once
    --override-input: path    # Use another flake for an input; may be given more than once
    --offline                 # Take what was fetched before as new enough, and use no substituters
    --no-net                  # As --offline
    --builders: string        # Machines to which Nix may give builds
    --print-build-logs(-L)    # Show the logs of builds
    --no-build-output(-Q)     # Do not show the logs of builds
    --no-link                 # Do not show the logs of builds
    --use-substitutes(-s)     # Let the receiving machine fetch from its own substituters what they have
    --substitute-on-destination # Let the receiving machine fetch from its own substituters what they have
    --no-reexec               # Accepted: this program never builds and starts another version of itself
    --debug                   # Show what this program does, and not more of Nix
    --fast                    # Old name of --no-reexec
    --use-remote-sudo         # Old name of --sudo
    --install-grub            # Old name of --install-bootloader
    --no-ssh-tty              # Accepted: there never is a terminal on the other side
    --no-build-nix            # Accepted: Nix is never built first
    --help(-h)                # Print help
    --version(-V)             # Print version
    verb?: string@"nu-complete rebuild verb" # What to do
  ]

  # For a link of this name.
  # nixos-rebuild for small machines: evaluate and build on a stronger host, switch here
  export extern nixos-rebuild [
    --eval-host: string@"nu-complete rebuild hosts"       # Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers
    --eval-on: string@"nu-complete rebuild hosts"         # Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers
    --build-host: string@"nu-complete rebuild hosts"      # Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers
    --build-on: string@"nu-complete rebuild hosts"        # Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers
    --target-host: string@"nu-complete rebuild hosts"     # Activate there; evaluate and build here unless the other two say otherwise
    --if-unreachable: string@"nu-complete rebuild if_unreachable" # What to do if the evaluator or builder cannot be reached
    --wake: string            # If none of them answers: run this command here, once, and wait for the first that wakes
    --wake-timeout: string    # How long to wait for that (default: 120)
    --reconnect-timeout: string # If the link breaks while the work goes on there: how long to try to connect again; 0: not at all (default: 900)
    --unattended-timeout: string # How long the work there goes on while nobody follows it (default: 43200)
    --release-site: string    # Where the evaluator fetches the release that this machine's channel is; '': it is sent (default: https://releases.nixos.org)
    --no-lend                 # Lend no Nix daemon to the builder: the result is fetched by a second connection
    --verify-eval             # With --eval-host: evaluate here as well, and go on only if both give the same derivation
    --flake(-F): path@"nu-complete rebuild configurations"         # A flake (default: the current directory) and one of its nixosConfigurations (default: the target's name)
    --no-flake                # No flake, even if there is an /etc/nixos/flake.nix
    --file(-f): path          # A Nix file, or a directory with a system.nix or default.nix, that evaluates to a configuration or a set of them
    --attr(-A): string        # Where in the file the configuration is; without --file in ./system.nix, ./default.nix, <nixos-system> or /etc/nixos/system.nix
    --profile-name(-p): string@"nu-complete rebuild profiles" # Use the profile /nix/var/nix/profiles/system-profiles/NAME
    --specialisation(-c): string@"nu-complete rebuild specialisations" # Activate this specialisation of the configuration, or build its virtual machine or image
    --rollback                # Go back to the generation before the current one; nothing is built
    --store-path: path@"nu-complete rebuild generations"        # Take a system that was built before; nothing is built
    --upgrade                 # Update root's channel 'nixos' first, and those with a file .update-on-nixos-rebuild
    --upgrade-all             # Update all of root's channels first
    --diff                    # Show which packages change
    --ask(-a)                 # Show which packages change, then ask whether to go on: before switch, boot and test
    --rollback-on-failure     # If the activation fails, activate the system of before again, and put the profile back: switch, boot and test
    --confirm: string         # Go back unless it is confirmed within so many seconds (60) that the machine can be reached: switch and test
    --confirm-by: string@"nu-complete rebuild hosts"      # With --confirm, for this machine: confirm it by reaching HOST (default: the builder; '': by rebuild confirm)
    --install-bootloader      # Install the boot loader again
    --elevate: string@"nu-complete rebuild elevate" # Become root by this program where the system is changed
    --sudo                    # As --elevate sudo
    --ask-elevate-password(-S) # Ask for the password here, once, before the long work; as --elevate sudo if that is not given
    --ask-sudo-password       # Ask for the password here, once, before the long work; as --elevate sudo if that is not given
    --image-variant: string   # build-image: which image; without it, the images are listed
    --detach                  # build: leave when the builder builds; switch, boot, test: go on as a unit of systemd
    --json                    # list-generations, status, doctor, --show-settings: as JSON
    --job: string             # attach, cancel: the job whose name begins like this
    --all                     # cancel: all jobs that run
    --show-settings           # Show what applies and where it came from, and do nothing else
    --no-log                  # Keep no log of this run for bug reports
    --log                     # The opposite of --no-log
    --lend                    # The opposite of --no-lend
    --no-verify-eval          # The opposite of --verify-eval
    --no-ask                  # The opposite of --ask
    --no-diff                 # The opposite of --diff
    --no-rollback-on-failure  # The opposite of --rollback-on-failure
    --no-confirm              # The opposite of --confirm
    --no-use-substitutes      # The opposite of --use-substitutes
    --verbose(-v)             # Say more; may be given more than once
    --quiet                   # Say less; may be given more than once
    --max-jobs(-j): string    # Build at most N derivations at once
    --cores: string           # Let each build use N cores
    --log-format: string@"nu-complete rebuild log_format" # The format of the log: raw has plain lines, and those that end in -with-logs the logs of builds
    --keep-going(-k)          # Go on with other builds after one has failed
    --keep-failed(-K)         # Keep the directory of a failed build
    --fallback                # Build what cannot be fetched
    --repair                  # Repair damaged store paths
    --option: string          # Set a Nix option
    --include(-I): path       # Add a path to the Nix search path: PATH or NAME=PATH
    --show-trace              # Show where in the configuration an evaluation error came from
    --send-env: string        # With --eval-host: let the configuration read this environment variable, though it may be a secret
    --no-eval-cache           # With --eval-host: evaluate even if nothing has changed
    --accept-flake-config     # Accept the Nix settings that the flake asks for
    --refresh                 # Look for new versions of what was fetched before
    --impure                  # Let the evaluation see the environment, <names> and files outside the flake
    --recreate-lock-file      # Make the lock file anew
    --no-update-lock-file     # Fail if the lock file would change
    --no-write-lock-file      # Do not write a changed lock file
    --no-registries           # Look up no flake by a name of the registries
    --commit-lock-file        # Commit a changed lock file
    --update-input: string    # Update one input in the lock file; may be given more than once
    --override-input: path    # Use another flake for an input; may be given more than once
    --offline                 # Take what was fetched before as new enough, and use no substituters
    --no-net                  # As --offline
    --builders: string        # Machines to which Nix may give builds
    --print-build-logs(-L)    # Show the logs of builds
    --no-build-output(-Q)     # Do not show the logs of builds
    --no-link                 # Do not show the logs of builds
    --use-substitutes(-s)     # Let the receiving machine fetch from its own substituters what they have
    --substitute-on-destination # Let the receiving machine fetch from its own substituters what they have
    --no-reexec               # Accepted: this program never builds and starts another version of itself
    --debug                   # Show what this program does, and not more of Nix
    --fast                    # Old name of --no-reexec
    --use-remote-sudo         # Old name of --sudo
    --install-grub            # Old name of --install-bootloader
    --no-ssh-tty              # Accepted: there never is a terminal on the other side
    --no-build-nix            # Accepted: Nix is never built first
    --help(-h)                # Print help
    --version(-V)             # Print version
    verb?: string@"nu-complete rebuild verb" # What to do
  ]

}

export use completions *
