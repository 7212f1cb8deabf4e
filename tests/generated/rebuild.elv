
use str

# What a flag's values are: how many, and what to ask the program for, 'files', 'words' or 'free'.
var rebuild-values = [
@rows@
]

var rebuild-verbs = [
@verbs@
]

var rebuild-flags = [
@flags@
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
