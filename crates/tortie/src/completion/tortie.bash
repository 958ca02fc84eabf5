# Completion of tortie for Bash: asks the program for each word.

_tortie() {
    # Bash splits words at `=` and `:`, which belong to values here. What stands together is one word again.
    local line=${COMP_LINE:0:COMP_POINT} words=() i word
    line=${line#*"${COMP_WORDS[0]}"}
    words=("${COMP_WORDS[0]}")
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == COMP_CWORD)); then
            word=${line#"${line%%[![:space:]]*}"}
        fi
        if [[ $line == [[:space:]]* ]]; then
            words+=("$word")
            line=${line#"${line%%[![:space:]]*}"}
        else
            words[-1]+=$word
        fi
        line=${line#"$word"}
    done

    local program
    program=$(type -P -- "${1/#\~\//$HOME/}") || program=tortie
    mapfile -t COMPREPLY < <(_TORTIE_COMPLETE=bash "$program" -- "${words[@]}" 2>/dev/null)

    # No blank behind what goes on.
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=/:.,] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    # Bash replaces only what stands behind the last place at which it splits; within quotes it does not split.
    local current=${words[-1]} splits=${COMP_WORDBREAKS//[!=:]/}
    if [[ -n $splits && $current != [\'\"]* ]]; then
        local kept=${current%"${current##*[$splits]}"}
        COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    fi
}

complete -o nosort -F _tortie tortie 2>/dev/null || complete -F _tortie tortie
