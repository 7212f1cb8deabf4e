# Made of the definition of the command line by: UPDATE=1 cargo test --test generated

# Asks the program. The command that is completed may be an alias, a link, or nixos-rebuild itself, which knows no such
# question: so it is the last that is asked.
function __rebuild_candidates --argument-names kind
    set -l program (commandline -opc)[1]
    if not string match -q '*/rebuild' -- $program; or not test -x "$program"
        # fish puts 'rebuild' for the name of a link.
        set program rebuild
        command -q rebuild; or set program nixos-rebuild
    end
    set -l typed (commandline -ct | string replace -r '^--[^=]*=' '' | string unescape)
    command $program --candidates $kind "$typed" 2>/dev/null
end

complete -c rebuild -l eval-host -l eval-on -d 'Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers' -r -f -k -a "(__rebuild_candidates hosts)"
complete -c rebuild -l build-host -l build-on -d 'Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers' -r -f -k -a "(__rebuild_candidates hosts)"
complete -c rebuild -l target-host -d 'Activate there; evaluate and build here unless the other two say otherwise' -r -f -k -a "(__rebuild_candidates hosts)"
complete -c rebuild -l if-unreachable -d 'What to do if the evaluator or builder cannot be reached' -r -f -a "fail\t'End, and say what to type (default)'
local\t'Evaluate and build here'"
complete -c rebuild -l wake -d 'If none of them answers: run this command here, once, and wait for the first that wakes' -r -f
complete -c rebuild -l wake-timeout -d 'How long to wait for that (default: 120)' -r -f
complete -c rebuild -l reconnect-timeout -d 'If the link breaks while the work goes on there: how long to try to connect again; 0: not at all (default: 900)' -r -f
complete -c rebuild -l unattended-timeout -d 'How long the work there goes on while nobody follows it (default: 43200)' -r -f
complete -c rebuild -l release-site -d 'Where the evaluator fetches the release that this machine\'s channel is; \'\': it is sent (default: https://releases.nixos.org)' -r -f
complete -c rebuild -s F -l flake -d 'A flake (default: the current directory) and one of its nixosConfigurations (default: the target\'s name)' -r -F -k -a "(__rebuild_candidates configurations)"
complete -c rebuild -s f -l file -d 'A Nix file, or a directory with a system.nix or default.nix, that evaluates to a configuration or a set of them' -r -F
complete -c rebuild -s A -l attr -d 'Where in the file the configuration is; without --file in ./system.nix, ./default.nix, <nixos-system> or /etc/nixos/system.nix' -r -f
complete -c rebuild -s p -l profile-name -d 'Use the profile /nix/var/nix/profiles/system-profiles/NAME' -r -f -k -a "(__rebuild_candidates profiles)"
complete -c rebuild -s c -l specialisation -d 'Activate this specialisation of the configuration, or build its virtual machine or image' -r -f -k -a "(__rebuild_candidates specialisations)"
complete -c rebuild -l store-path -d 'Take a system that was built before; nothing is built' -r -F -k -a "(__rebuild_candidates generations)"
complete -c rebuild -l confirm -d 'Go back unless it is confirmed within so many seconds (60) that the machine can be reached: switch and test' -r -f
complete -c rebuild -l confirm-by -d 'With --confirm, for this machine: confirm it by reaching HOST (default: the builder; \'\': by rebuild confirm)' -r -f -k -a "(__rebuild_candidates hosts)"
complete -c rebuild -l elevate -d 'Become root by this program where the system is changed' -r -f -a "none\t'None: the user is root, or it is not needed'
sudo\t'sudo or sudo-rs'
run0\t'systemd\'s run0'
doas\t'doas'"
complete -c rebuild -l image-variant -d 'build-image: which image; without it, the images are listed' -r -f
complete -c rebuild -l job -d 'attach, cancel: the job whose name begins like this' -r -f
complete -c rebuild -s j -l max-jobs -d 'Build at most N derivations at once' -r -f
complete -c rebuild -l cores -d 'Let each build use N cores' -r -f
complete -c rebuild -l log-format -d 'The format of the log: raw has plain lines, and those that end in -with-logs the logs of builds' -r -f -a "bar\t''
bar-with-logs\t''
internal-json\t''
raw\t''
raw-with-logs\t''"
complete -c rebuild -l option -d 'Set a Nix option' -r -f
complete -c rebuild -s I -l include -d 'Add a path to the Nix search path: PATH or NAME=PATH' -r -F
complete -c rebuild -l send-env -d 'With --eval-host: let the configuration read this environment variable, though it may be a secret' -r -f
complete -c rebuild -l update-input -d 'Update one input in the lock file; may be given more than once' -r -f
complete -c rebuild -l override-input -d 'Use another flake for an input; may be given more than once' -r -F
complete -c rebuild -l builders -d 'Machines to which Nix may give builds' -r -f
complete -c rebuild -l no-lend -d 'Lend no Nix daemon to the builder: the result is fetched by a second connection'
complete -c rebuild -l verify-eval -d 'With --eval-host: evaluate here as well, and go on only if both give the same derivation'
complete -c rebuild -l no-flake -d 'No flake, even if there is an /etc/nixos/flake.nix'
complete -c rebuild -l rollback -d 'Go back to the generation before the current one; nothing is built'
complete -c rebuild -l upgrade -d 'Update root\'s channel \'nixos\' first, and those with a file .update-on-nixos-rebuild'
complete -c rebuild -l upgrade-all -d 'Update all of root\'s channels first'
complete -c rebuild -l diff -d 'Show which packages change'
complete -c rebuild -s a -l ask -d 'Show which packages change, then ask whether to go on: before switch, boot and test'
complete -c rebuild -l rollback-on-failure -d 'If the activation fails, activate the system of before again, and put the profile back: switch, boot and test'
complete -c rebuild -l install-bootloader -d 'Install the boot loader again'
complete -c rebuild -l sudo -d 'As --elevate sudo'
complete -c rebuild -s S -l ask-elevate-password -l ask-sudo-password -d 'Ask for the password here, once, before the long work; as --elevate sudo if that is not given'
complete -c rebuild -l detach -d 'build: leave when the builder builds; switch, boot, test: go on as a unit of systemd'
complete -c rebuild -l json -d 'list-generations, status, doctor, --show-settings: as JSON'
complete -c rebuild -l all -d 'cancel: all jobs that run'
complete -c rebuild -l show-settings -d 'Show what applies and where it came from, and do nothing else'
complete -c rebuild -l no-log -d 'Keep no log of this run for bug reports'
complete -c rebuild -l log -d 'The opposite of --no-log'
complete -c rebuild -l lend -d 'The opposite of --no-lend'
complete -c rebuild -l no-verify-eval -d 'The opposite of --verify-eval'
complete -c rebuild -l no-ask -d 'The opposite of --ask'
complete -c rebuild -l no-diff -d 'The opposite of --diff'
complete -c rebuild -l no-rollback-on-failure -d 'The opposite of --rollback-on-failure'
complete -c rebuild -l no-confirm -d 'The opposite of --confirm'
complete -c rebuild -l no-use-substitutes -d 'The opposite of --use-substitutes'
complete -c rebuild -s v -l verbose -d 'Say more; may be given more than once'
complete -c rebuild -l quiet -d 'Say less; may be given more than once'
complete -c rebuild -s k -l keep-going -d 'Go on with other builds after one has failed'
complete -c rebuild -s K -l keep-failed -d 'Keep the directory of a failed build'
complete -c rebuild -l fallback -d 'Build what cannot be fetched'
complete -c rebuild -l repair -d 'Repair damaged store paths'
complete -c rebuild -l show-trace -d 'Show where in the configuration an evaluation error came from'
complete -c rebuild -l no-eval-cache -d 'With --eval-host: evaluate even if nothing has changed'
complete -c rebuild -l accept-flake-config -d 'Accept the Nix settings that the flake asks for'
complete -c rebuild -l refresh -d 'Look for new versions of what was fetched before'
complete -c rebuild -l impure -d 'Let the evaluation see the environment, <names> and files outside the flake'
complete -c rebuild -l recreate-lock-file -d 'Make the lock file anew'
complete -c rebuild -l no-update-lock-file -d 'Fail if the lock file would change'
complete -c rebuild -l no-write-lock-file -d 'Do not write a changed lock file'
complete -c rebuild -l no-registries -d 'Look up no flake by a name of the registries'
complete -c rebuild -l commit-lock-file -d 'Commit a changed lock file'
complete -c rebuild -l offline -d 'Take what was fetched before as new enough, and use no substituters'
complete -c rebuild -l no-net -d 'As --offline'
complete -c rebuild -s L -l print-build-logs -d 'Show the logs of builds'
complete -c rebuild -s Q -l no-build-output -l no-link -d 'Do not show the logs of builds'
complete -c rebuild -s s -l use-substitutes -l substitute-on-destination -d 'Let the receiving machine fetch from its own substituters what they have'
complete -c rebuild -l no-reexec -d 'Accepted: this program never builds and starts another version of itself'
complete -c rebuild -l debug -d 'Show what this program does, and not more of Nix'
complete -c rebuild -l fast -d 'Old name of --no-reexec'
complete -c rebuild -l use-remote-sudo -d 'Old name of --sudo'
complete -c rebuild -l install-grub -d 'Old name of --install-bootloader'
complete -c rebuild -l no-ssh-tty -d 'Accepted: there never is a terminal on the other side'
complete -c rebuild -l no-build-nix -d 'Accepted: Nix is never built first'
complete -c rebuild -s h -l help -d 'Print help'
complete -c rebuild -s V -l version -d 'Print version'
complete -c rebuild -f
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a switch -d 'Build, make it the default at boot, and activate it'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a boot -d 'Build and make it the default for booting'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a test -d 'Build and activate it now, until the next boot'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a confirm -d 'Keep a change that waits to be confirmed'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a build -d 'Build and leave a link named \'result\' here'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a dry-build -d 'Show what would be built or fetched'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a dry-activate -d 'Build and show what activating it would change'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a build-vm -d 'Build a script that runs it in a virtual machine'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a build-vm-with-bootloader -d 'The same, with the boot loader'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a build-image -d 'Build a disk image'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a edit -d 'Open the configuration in an editor'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a repl -d 'Open the configuration in \'nix repl\''
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a list-generations -d 'List the generations of the profile'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a status -d 'Show what runs on the builder, or has ended there'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a attach -d 'Follow what runs on the builder'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a cancel -d 'End what runs on the builder'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a doctor -d 'Look at what a run needs, and say what to do'
complete -c rebuild -n 'not __fish_seen_subcommand_from switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help' -a help -d 'Open the manual'

# For an alias or a link of this name.
complete -c nixos-rebuild -w rebuild
