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

