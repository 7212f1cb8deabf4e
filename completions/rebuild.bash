# Made of the definition of the command line by: UPDATE=1 cargo test --test generated

# What a flag's values are, and how many: to ask the program for, 'files', 'words' or 'free'.
_rebuild_values() {
    case $1 in
        --eval-host | --eval-on) values=1 value='hosts' ;;
        --build-host | --build-on) values=1 value='hosts' ;;
        --target-host) values=1 value='hosts' ;;
        --if-unreachable) values=1 value='words fail local' ;;
        --wake) values=1 value='free' ;;
        --wake-timeout) values=1 value='free' ;;
        --reconnect-timeout) values=1 value='free' ;;
        --unattended-timeout) values=1 value='free' ;;
        --release-site) values=1 value='free' ;;
        --flake | -F) values=1 value='configurations files' ;;
        --file | -f) values=1 value='files' ;;
        --attr | -A) values=1 value='free' ;;
        --profile-name | -p) values=1 value='profiles' ;;
        --specialisation | -c) values=1 value='specialisations' ;;
        --store-path) values=1 value='generations files' ;;
        --confirm) values=1 value='free' ;;
        --confirm-by) values=1 value='hosts' ;;
        --elevate) values=1 value='words none sudo run0 doas' ;;
        --image-variant) values=1 value='free' ;;
        --job) values=1 value='free' ;;
        --max-jobs | -j) values=1 value='free' ;;
        --cores) values=1 value='free' ;;
        --log-format) values=1 value='words bar bar-with-logs internal-json raw raw-with-logs' ;;
        --option) values=2 value='free' ;;
        --include | -I) values=1 value='files' ;;
        --send-env) values=1 value='free' ;;
        --update-input) values=1 value='free' ;;
        --override-input) values=2 value='files' ;;
        --builders) values=1 value='free' ;;
        *) return 1 ;;
    esac
}

# Asks the program. The command that is completed may be an alias, a link, or nixos-rebuild itself, which knows no such
# question: so it is the last that is asked.
_rebuild_ask() { # COMMAND KIND WORD
    local program=$1 line
    [[ $program == */rebuild && -x $program ]] || program=$(type -P rebuild || type -P "$1") || return
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <("$program" --candidates "$2" "$3" 2>/dev/null)
}

_rebuild() {
    local words=() rest=$COMP_LINE trimmed begin=0 typed values=0 value='' back word i
    COMPREPLY=()

    # readline takes words apart at = : and @, too. Where no blank is between, they are one.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        if ((i == 0)); then
            words=("${COMP_WORDS[0]}")
            rest=${COMP_LINE#*"${COMP_WORDS[0]}"}
            continue
        fi
        if [[ $trimmed != "$rest" ]]; then
            words+=('')
            begin=$((${#COMP_LINE} - ${#trimmed}))
        fi
        words[${#words[@]} - 1]+=${COMP_WORDS[i]}
        rest=${trimmed#"${COMP_WORDS[i]}"}
    done
    typed=${COMP_LINE:begin:COMP_POINT - begin}

    if [[ $typed == --*=* ]]; then
        _rebuild_values "${typed%%=*}" || return
        typed=${typed#*=}
    elif [[ $typed != -* ]]; then
        for back in 1 2; do
            ((${#words[@]} > back + 1)) || break
            word=${words[${#words[@]} - 1 - back]}
            if _rebuild_values "$word"; then
                ((back <= values)) || value=''
                break
            fi
        done
    fi
    typed=${typed#[\"\']}

    case $value in
        '')
            local offered='switch boot test confirm build dry-build dry-activate build-vm build-vm-with-bootloader build-image edit repl list-generations status attach cancel doctor help'
            for word in "${words[@]:1:${#words[@]}-2}"; do
                [[ " $offered " != *" $word "* ]] || offered=
            done
            if [[ -z $offered || $typed == -* ]]; then
                offered='--eval-host --eval-on --build-host --build-on --target-host --if-unreachable --wake --wake-timeout --reconnect-timeout --unattended-timeout --release-site --no-lend --verify-eval --flake -F --no-flake --file -f --attr -A --profile-name -p --specialisation -c --rollback --store-path --upgrade --upgrade-all --diff --ask -a --rollback-on-failure --confirm --confirm-by --install-bootloader --elevate --sudo --ask-elevate-password --ask-sudo-password -S --image-variant --detach --json --job --all --show-settings --no-log --verbose -v --quiet --max-jobs -j --cores --log-format --keep-going -k --keep-failed -K --fallback --repair --option --include -I --show-trace --send-env --no-eval-cache --accept-flake-config --refresh --impure --recreate-lock-file --no-update-lock-file --no-write-lock-file --no-registries --commit-lock-file --update-input --override-input --offline --no-net --builders --print-build-logs -L --no-build-output --no-link -Q --use-substitutes --substitute-on-destination -s --no-reexec --debug --help -h --version -V'
            fi
            COMPREPLY=($(compgen -W "$offered" -- "$typed"))
            ;;
        words\ *) COMPREPLY=($(compgen -W "${value#words }" -- "$typed")) ;;
        files) compopt -o bashdefault -o default ;;
        free) ;;
        *)
            _rebuild_ask "$1" "${value% files}" "$typed"
            if [[ $value == *' files' ]]; then
                if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
                    compopt -o bashdefault -o default
                else
                    compopt -o filenames
                    while IFS= read -r word; do
                        COMPREPLY+=("$word")
                    done < <(compgen -f -- "$typed")
                fi
            fi
            ;;
    esac
    # readline has its own idea of what is to be replaced: the last of the parts.
    rest=${typed%"$2"}
    COMPREPLY=("${COMPREPLY[@]#"$rest"}")
}

complete -o nosort -F _rebuild rebuild
# For an alias or a link of this name. Where nixos-rebuild itself is installed, its completion may have been loaded
# already, and stays.
complete -p nixos-rebuild &>/dev/null || complete -o nosort -F _rebuild nixos-rebuild
