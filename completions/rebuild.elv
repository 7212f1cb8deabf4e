# Made of the definition of the command line by: UPDATE=1 cargo test --test generated

use str

# What a flag's values are: how many, and what to ask the program for, 'files', 'words' or 'free'.
var rebuild-values = [
    &--eval-host=[1 hosts]
    &--eval-on=[1 hosts]
    &--build-host=[1 hosts]
    &--build-on=[1 hosts]
    &--target-host=[1 hosts]
    &--if-unreachable=[1 words fail local]
    &--wake=[1 free]
    &--wake-timeout=[1 free]
    &--reconnect-timeout=[1 free]
    &--unattended-timeout=[1 free]
    &--release-site=[1 free]
    &--flake=[1 configurations files]
    &-F=[1 configurations files]
    &--file=[1 files]
    &-f=[1 files]
    &--attr=[1 free]
    &-A=[1 free]
    &--profile-name=[1 profiles]
    &-p=[1 profiles]
    &--specialisation=[1 specialisations]
    &-c=[1 specialisations]
    &--store-path=[1 generations files]
    &--confirm=[1 free]
    &--confirm-by=[1 hosts]
    &--elevate=[1 words none sudo run0 doas]
    &--image-variant=[1 free]
    &--job=[1 free]
    &--max-jobs=[1 free]
    &-j=[1 free]
    &--cores=[1 free]
    &--log-format=[1 words bar bar-with-logs internal-json raw raw-with-logs]
    &--option=[2 free]
    &--include=[1 files]
    &-I=[1 files]
    &--send-env=[1 free]
    &--update-input=[1 free]
    &--override-input=[2 files]
    &--builders=[1 free]
]

var rebuild-verbs = [
    [switch 'Build, make it the default at boot, and activate it']
    [boot 'Build and make it the default for booting']
    [test 'Build and activate it now, until the next boot']
    [confirm 'Keep a change that waits to be confirmed']
    [build 'Build and leave a link named ''result'' here']
    [dry-build 'Show what would be built or fetched']
    [dry-activate 'Build and show what activating it would change']
    [build-vm 'Build a script that runs it in a virtual machine']
    [build-vm-with-bootloader 'The same, with the boot loader']
    [build-image 'Build a disk image']
    [edit 'Open the configuration in an editor']
    [repl 'Open the configuration in ''nix repl''']
    [list-generations 'List the generations of the profile']
    [status 'Show what runs on the builder, or has ended there']
    [attach 'Follow what runs on the builder']
    [cancel 'End what runs on the builder']
    [doctor 'Look at what a run needs, and say what to do']
    [help 'Open the manual']
]

var rebuild-flags = [
    [--eval-host 'Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers']
    [--eval-on 'Evaluate there, and build there too unless --build-host says otherwise; of several, the first that answers']
    [--build-host 'Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers']
    [--build-on 'Build there; evaluate here unless --eval-host says otherwise; of several, the first that answers']
    [--target-host 'Activate there; evaluate and build here unless the other two say otherwise']
    [--if-unreachable 'What to do if the evaluator or builder cannot be reached']
    [--wake 'If none of them answers: run this command here, once, and wait for the first that wakes']
    [--wake-timeout 'How long to wait for that (default: 120)']
    [--reconnect-timeout 'If the link breaks while the work goes on there: how long to try to connect again; 0: not at all (default: 900)']
    [--unattended-timeout 'How long the work there goes on while nobody follows it (default: 43200)']
    [--release-site 'Where the evaluator fetches the release that this machine''s channel is; '''': it is sent (default: https://releases.nixos.org)']
    [--no-lend 'Lend no Nix daemon to the builder: the result is fetched by a second connection']
    [--verify-eval 'With --eval-host: evaluate here as well, and go on only if both give the same derivation']
    [--flake 'A flake (default: the current directory) and one of its nixosConfigurations (default: the target''s name)']
    [-F 'A flake (default: the current directory) and one of its nixosConfigurations (default: the target''s name)']
    [--no-flake 'No flake, even if there is an /etc/nixos/flake.nix']
    [--file 'A Nix file, or a directory with a system.nix or default.nix, that evaluates to a configuration or a set of them']
    [-f 'A Nix file, or a directory with a system.nix or default.nix, that evaluates to a configuration or a set of them']
    [--attr 'Where in the file the configuration is; without --file in ./system.nix, ./default.nix, <nixos-system> or /etc/nixos/system.nix']
    [-A 'Where in the file the configuration is; without --file in ./system.nix, ./default.nix, <nixos-system> or /etc/nixos/system.nix']
    [--profile-name 'Use the profile /nix/var/nix/profiles/system-profiles/NAME']
    [-p 'Use the profile /nix/var/nix/profiles/system-profiles/NAME']
    [--specialisation 'Activate this specialisation of the configuration, or build its virtual machine or image']
    [-c 'Activate this specialisation of the configuration, or build its virtual machine or image']
    [--rollback 'Go back to the generation before the current one; nothing is built']
    [--store-path 'Take a system that was built before; nothing is built']
    [--upgrade 'Update root''s channel ''nixos'' first, and those with a file .update-on-nixos-rebuild']
    [--upgrade-all 'Update all of root''s channels first']
    [--diff 'Show which packages change']
    [--ask 'Show which packages change, then ask whether to go on: before switch, boot and test']
    [-a 'Show which packages change, then ask whether to go on: before switch, boot and test']
    [--rollback-on-failure 'If the activation fails, activate the system of before again, and put the profile back: switch, boot and test']
    [--confirm 'Go back unless it is confirmed within so many seconds (60) that the machine can be reached: switch and test']
    [--confirm-by 'With --confirm, for this machine: confirm it by reaching HOST (default: the builder; '''': by rebuild confirm)']
    [--install-bootloader 'Install the boot loader again']
    [--elevate 'Become root by this program where the system is changed']
    [--sudo 'As --elevate sudo']
    [--ask-elevate-password 'Ask for the password here, once, before the long work; as --elevate sudo if that is not given']
    [--ask-sudo-password 'Ask for the password here, once, before the long work; as --elevate sudo if that is not given']
    [-S 'Ask for the password here, once, before the long work; as --elevate sudo if that is not given']
    [--image-variant 'build-image: which image; without it, the images are listed']
    [--detach 'build: leave when the builder builds; switch, boot, test: go on as a unit of systemd']
    [--json 'list-generations, status, doctor, --show-settings: as JSON']
    [--job 'attach, cancel: the job whose name begins like this']
    [--all 'cancel: all jobs that run']
    [--show-settings 'Show what applies and where it came from, and do nothing else']
    [--no-log 'Keep no log of this run for bug reports']
    [--verbose 'Say more; may be given more than once']
    [-v 'Say more; may be given more than once']
    [--quiet 'Say less; may be given more than once']
    [--max-jobs 'Build at most N derivations at once']
    [-j 'Build at most N derivations at once']
    [--cores 'Let each build use N cores']
    [--log-format 'The format of the log: raw has plain lines, and those that end in -with-logs the logs of builds']
    [--keep-going 'Go on with other builds after one has failed']
    [-k 'Go on with other builds after one has failed']
    [--keep-failed 'Keep the directory of a failed build']
    [-K 'Keep the directory of a failed build']
    [--fallback 'Build what cannot be fetched']
    [--repair 'Repair damaged store paths']
    [--option 'Set a Nix option']
    [--include 'Add a path to the Nix search path: PATH or NAME=PATH']
    [-I 'Add a path to the Nix search path: PATH or NAME=PATH']
    [--show-trace 'Show where in the configuration an evaluation error came from']
    [--send-env 'With --eval-host: let the configuration read this environment variable, though it may be a secret']
    [--no-eval-cache 'With --eval-host: evaluate even if nothing has changed']
    [--accept-flake-config 'Accept the Nix settings that the flake asks for']
    [--refresh 'Look for new versions of what was fetched before']
    [--impure 'Let the evaluation see the environment, <names> and files outside the flake']
    [--recreate-lock-file 'Make the lock file anew']
    [--no-update-lock-file 'Fail if the lock file would change']
    [--no-write-lock-file 'Do not write a changed lock file']
    [--no-registries 'Look up no flake by a name of the registries']
    [--commit-lock-file 'Commit a changed lock file']
    [--update-input 'Update one input in the lock file; may be given more than once']
    [--override-input 'Use another flake for an input; may be given more than once']
    [--offline 'Take what was fetched before as new enough, and use no substituters']
    [--no-net 'As --offline']
    [--builders 'Machines to which Nix may give builds']
    [--print-build-logs 'Show the logs of builds']
    [-L 'Show the logs of builds']
    [--no-build-output 'Do not show the logs of builds']
    [--no-link 'Do not show the logs of builds']
    [-Q 'Do not show the logs of builds']
    [--use-substitutes 'Let the receiving machine fetch from its own substituters what they have']
    [--substitute-on-destination 'Let the receiving machine fetch from its own substituters what they have']
    [-s 'Let the receiving machine fetch from its own substituters what they have']
    [--no-reexec 'Accepted: this program never builds and starts another version of itself']
    [--debug 'Show what this program does, and not more of Nix']
    [--help 'Print help']
    [-h 'Print help']
    [--version 'Print version']
    [-V 'Print version']
]

# Asks the program. The command that is completed may be an alias, a link, or nixos-rebuild itself, which knows no such
# question: so it is the last that is asked.
fn rebuild-ask {|command kind typed|
    var program = $command
    if (not (str:has-suffix $command '/rebuild')) {
        if (or (has-external rebuild) (not (has-external $command))) {
            set program = rebuild
        }
    }
    try {
        (external $program) --candidates $kind $typed 2>/dev/null | from-lines | each {|line|
            var parts = [(str:split &max=2 "\t" $line)]
            if (== (count $parts) 2) {
                edit:complex-candidate $parts[0] &display=$parts[0]'  '$parts[1]
            } else {
                put $line
            }
        }
    } catch _ {
        nop
    }
}

fn rebuild-described {|rows|
    each {|row| edit:complex-candidate $row[0] &display=$row[0]'  '$row[1] } $rows
}

fn rebuild-offer {|command value typed|
    if (eq $value[0] words) {
        all $value[1..]
    } elif (eq $value[0] files) {
        edit:complete-filename $typed
    } elif (not-eq $value[0] free) {
        rebuild-ask $command $value[0] $typed
        if (and (> (count $value) 1) (not (str:contains $typed '#'))) {
            edit:complete-filename $typed
        }
    }
}

set edit:completion:arg-completer[rebuild] = {|@words|
    var command = $words[0]
    var typed = $words[-1]
    if (and (str:has-prefix $typed '--') (str:contains $typed '=')) {
        var flag rest = (str:split &max=2 '=' $typed)
        if (has-key $rebuild-values $flag) {
            rebuild-offer $command $rebuild-values[$flag][1..] $rest | each {|candidate|
                var stem = $candidate
                if (not-eq (kind-of $candidate) string) {
                    set stem = $candidate[stem]
                }
                put $flag'='$stem
            }
        }
        return
    }
    if (not (str:has-prefix $typed '-')) {
        for back [1 2] {
            var place = (- (count $words) 1 $back)
            if (and (> $place 0) (has-key $rebuild-values $words[$place])) {
                var value = $rebuild-values[$words[$place]]
                if (<= $back $value[0]) {
                    rebuild-offer $command $value[1..] $typed
                    return
                }
                break
            }
        }
        var seen = $false
        for word $words[1..-1] {
            for row $rebuild-verbs {
                if (eq $word $row[0]) {
                    set seen = $true
                }
            }
        }
        if (not $seen) {
            rebuild-described $rebuild-verbs
            return
        }
    }
    rebuild-described $rebuild-flags
}

# For an alias or a link of this name.
set edit:completion:arg-completer[nixos-rebuild] = $edit:completion:arg-completer[rebuild]
