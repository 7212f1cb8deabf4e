
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
            cand --eval-host 'Evaluate there, and build there too unless --build-host says otherwise'
            cand --eval-on 'Evaluate there, and build there too unless --build-host says otherwise'
            cand --build-host 'Build there; evaluate here unless --eval-host says otherwise'
            cand --build-on 'Build there; evaluate here unless --eval-host says otherwise'
            cand -p 'Use the profile /nix/var/nix/profiles/system-profiles/NAME'
            cand --profile-name 'Use the profile /nix/var/nix/profiles/system-profiles/NAME'
            cand -j 'Build at most so many derivations at once'
            cand --max-jobs 'Build at most so many derivations at once'
            cand --cores 'Let each build use so many cores'
            cand --log-format 'The format of Nix''s log (local runs)'
            cand --option 'Set a Nix option'
            cand -I 'Add a path to the Nix search path: PATH or NAME=PATH'
            cand --include 'Add a path to the Nix search path: PATH or NAME=PATH'
            cand --builders 'Machines to which Nix may give builds'
            cand -F 'A flake: not in this version'
            cand --flake 'A flake: not in this version'
            cand --target-host 'A third machine: not in this version'
            cand --no-lend 'Fetch the result with nix-copy-closure; do not lend this machine''s Nix daemon to the builder'
            cand --install-bootloader 'Install the boot loader again'
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
            cand -L 'Show the logs of builds'
            cand --print-build-logs 'Show the logs of builds'
            cand -Q 'Do not show the logs of builds'
            cand --no-build-output 'Do not show the logs of builds'
            cand --no-link 'Do not show the logs of builds'
            cand -s 'Let the receiving machine fetch from its own substituters what they have'
            cand --use-substitutes 'Let the receiving machine fetch from its own substituters what they have'
            cand --substitute-on-destination 'Let the receiving machine fetch from its own substituters what they have'
            cand --no-reexec 'Accepted: this program never builds and starts another version of itself'
            cand --no-flake 'The classic configuration even if there is an /etc/nixos/flake.nix'
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
