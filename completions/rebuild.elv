
use builtin;
use str;

set edit:completion:arg-completer[rebuild] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'rebuild'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'rebuild'= {
            cand switch 'Build, make it the default for booting, and activate it now'
            cand boot 'Build and make it the default for booting'
            cand test 'Build and activate it now, until the next boot'
            cand build 'Build and leave a link named ''result'' here'
            cand dry-build 'Show what would be built or fetched'
            cand dry-activate 'Build and show what activating it would change'
            cand build-vm 'Build a script that starts the system in a virtual machine'
            cand build-vm-with-bootloader 'The same, with the boot loader'
            cand build-image 'Build a disk image'
            cand edit 'Open the configuration in an editor'
            cand repl 'Open the configuration in ''nix repl'''
            cand list-generations 'List the generations of the profile'
            cand help 'Open the manual'
            cand --eval-host 'Evaluate there, and build there too unless --build-host says otherwise'
            cand --eval-on 'Evaluate there, and build there too unless --build-host says otherwise'
            cand --build-host 'Build there; evaluate here unless --eval-host says otherwise'
            cand --build-on 'Build there; evaluate here unless --eval-host says otherwise'
            cand --target-host 'Activate there; evaluate and build here unless the other two say otherwise'
            cand --if-unreachable 'If the evaluator or builder cannot be reached'
            cand -F 'A flake (default: the current directory) and one of its nixosConfigurations (default: the target''s name)'
            cand --flake 'A flake (default: the current directory) and one of its nixosConfigurations (default: the target''s name)'
            cand -f 'A Nix file, or a directory with a default.nix, that evaluates to a configuration or a set of them'
            cand --file 'A Nix file, or a directory with a default.nix, that evaluates to a configuration or a set of them'
            cand -A 'Where in the file the configuration is; without --file in ./system.nix, <nixos-system> or /etc/nixos/system.nix'
            cand --attr 'Where in the file the configuration is; without --file in ./system.nix, <nixos-system> or /etc/nixos/system.nix'
            cand -p 'Use the profile /nix/var/nix/profiles/system-profiles/NAME'
            cand --profile-name 'Use the profile /nix/var/nix/profiles/system-profiles/NAME'
            cand -c 'Activate this specialisation of the configuration, or build its virtual machine or image'
            cand --specialisation 'Activate this specialisation of the configuration, or build its virtual machine or image'
            cand --store-path 'Take a system that was built before; nothing is built'
            cand --elevate 'Become root by this program where the system is changed'
            cand --image-variant 'build-image: which image; without it, those that there are are listed'
            cand -j 'Build at most so many derivations at once'
            cand --max-jobs 'Build at most so many derivations at once'
            cand --cores 'Let each build use so many cores'
            cand --log-format 'The format of Nix''s log (local runs)'
            cand --option 'Set a Nix option'
            cand -I 'Add a path to the Nix search path: PATH or NAME=PATH'
            cand --include 'Add a path to the Nix search path: PATH or NAME=PATH'
            cand --update-input 'Update one input in the lock file; may be given more than once'
            cand --override-input 'Use another flake for an input; may be given more than once'
            cand --builders 'Machines to which Nix may give builds'
            cand --no-lend 'Lend no Nix daemon to the builder: the result is fetched by a second connection'
            cand --verify-eval 'With --eval-host: evaluate here as well, and go on only if both give the same derivation'
            cand --no-flake 'No flake, even if there is an /etc/nixos/flake.nix'
            cand --rollback 'Go back to the generation before the current one; nothing is built'
            cand --upgrade 'Update root''s channel ''nixos'' first, and those with a file .update-on-nixos-rebuild'
            cand --upgrade-all 'Update all of root''s channels first'
            cand --diff 'Show which packages change'
            cand -a 'Show which packages change, then ask whether to go on: before switch, boot and test'
            cand --ask 'Show which packages change, then ask whether to go on: before switch, boot and test'
            cand --install-bootloader 'Install the boot loader again'
            cand --sudo 'As --elevate sudo'
            cand -S 'Ask for the password here, once, before the long work; as --elevate sudo if that is not given'
            cand --ask-elevate-password 'Ask for the password here, once, before the long work; as --elevate sudo if that is not given'
            cand --ask-sudo-password 'Ask for the password here, once, before the long work; as --elevate sudo if that is not given'
            cand --json 'list-generations, --show-settings: as JSON'
            cand --show-settings 'Show what applies and where it came from, and do nothing else'
            cand --lend 'The opposite of --no-lend'
            cand --no-verify-eval 'The opposite of --verify-eval'
            cand --no-ask 'The opposite of --ask'
            cand --no-diff 'The opposite of --diff'
            cand --no-use-substitutes 'The opposite of --use-substitutes'
            cand -v 'Say more; may be given more than once'
            cand --verbose 'Say more; may be given more than once'
            cand --quiet 'Say less; may be given more than once'
            cand -k 'Go on with other builds after one has failed'
            cand --keep-going 'Go on with other builds after one has failed'
            cand -K 'Keep the directory of a failed build'
            cand --keep-failed 'Keep the directory of a failed build'
            cand --fallback 'Build what cannot be fetched'
            cand --repair 'Repair damaged store paths'
            cand --show-trace 'Show where in the configuration an evaluation error came from'
            cand --accept-flake-config 'Accept the Nix settings that the flake asks for'
            cand --refresh 'Look for new versions of what was fetched before'
            cand --impure 'Let the evaluation see the environment, <names> and files outside the flake'
            cand --recreate-lock-file 'Make the lock file anew'
            cand --no-update-lock-file 'Fail if the lock file would change'
            cand --no-write-lock-file 'Do not write a changed lock file'
            cand --no-registries 'Look up no flake by a name of the registries'
            cand --commit-lock-file 'Commit a changed lock file'
            cand --offline 'Take what was fetched before as new enough, and use no substituters'
            cand --no-net 'As --offline'
            cand -L 'Show the logs of builds'
            cand --print-build-logs 'Show the logs of builds'
            cand -Q 'Do not show the logs of builds'
            cand --no-build-output 'Do not show the logs of builds'
            cand --no-link 'Do not show the logs of builds'
            cand -s 'Let the receiving machine fetch from its own substituters what they have'
            cand --use-substitutes 'Let the receiving machine fetch from its own substituters what they have'
            cand --substitute-on-destination 'Let the receiving machine fetch from its own substituters what they have'
            cand --no-reexec 'Accepted: this program never builds and starts another version of itself'
            cand --debug 'Show what this program does, and not more of Nix'
            cand --fast 'Old name of --no-reexec'
            cand --use-remote-sudo 'Old name of --sudo'
            cand --install-grub 'Old name of --install-bootloader'
            cand --no-ssh-tty 'Accepted: there never is a terminal on the other side'
            cand --no-build-nix 'Accepted: Nix is never built first'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
    ]
    $completions[rebuild]
}

# For an alias or a link of this name.
set edit:completion:arg-completer[nixos-rebuild] = $edit:completion:arg-completer[rebuild]
