#compdef tortie
# Completion of tortie for zsh: asks the program for each word.

_tortie() {
    local program=${commands[tortie]:-tortie} entry value
    [[ $words[1] == */* ]] && program=${~words[1]}
    local -a entries open closed
    entries=(${(f)"$(_TORTIE_COMPLETE=zsh $program -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)"})
    for entry in $entries; do
        value=${${entry%%$'\t'*}//:/\\:}
        [[ $entry == *$'\t'* ]] && entry="$value:${entry#*$'\t'}" || entry=$value
        # No blank behind what goes on.
        if [[ $value == *[=/:.,] ]]; then
            open+=("$entry")
        else
            closed+=("$entry")
        fi
    done
    (( $#closed )) && _describe -V tortie closed
    (( $#open )) && _describe -V tortie open -S ''
    (( $#entries ))
}

# The first question makes zsh read this file: it is answered, too.
if [[ $funcstack[1] == _tortie ]]; then
    _tortie "$@"
else
    compdef _tortie tortie
fi
