# Asks the program. The command that is completed may be an alias, a link, or nixos-rebuild itself, which knows no such
# question: so it is the last that is asked. The kind is the last argument; before it are compadd's.
_rebuild_candidates() {
    local program=$words[1] line
    local -a values shown
    if [[ $program != */rebuild || ! -x $program ]]; then
        program=${commands[rebuild]:-${commands[$words[1]]:-}}
    fi
    [[ -n $program ]] || return 1
    for line in ${(f)"$("$program" --candidates "$argv[-1]" "${(Q)PREFIX}" 2>/dev/null)"}; do
        values+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    compadd "${@[1,-2]}" -o nosort -d shown -a values
}

_rebuild_candidates_or_files() {
    local ret=1
    _rebuild_candidates "$@" && ret=0
    _files "${@[1,-2]}" && ret=0
    return ret
}

