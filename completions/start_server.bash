# bash completion of start_server, start_server_monitor, einhyrningsins, einhyrningsinsctl and socketmaster.
#
# The first four are asked themselves, as go-flags has it: with GO_FLAGS_COMPLETION set
# they print what the last argument may become, a line each.

# _start_server_words sets words to those of the command line up to the cursor. In
# COMP_WORDS they are split at = and : as well.
_start_server_words() {
    local i word spaced left=${COMP_LINE:0:COMP_POINT}
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        spaced=$left
        left=${left#"${left%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=$left
        if ((i > 0)) && [[ $spaced == "$left" ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        left=${left#"$word"}
    done
}

# _start_server_reply makes COMPREPLY of the lines that it reads and that go on with the
# last word. bash replaces of it what stands behind the last = or :, if it splits there.
_start_server_reply() {
    local line before= breaks= last=${words[${#words[@]} - 1]}
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+='='
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=':'
    [[ $breaks ]] && before=${last%"${last##*[$breaks]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == "$last"* ]] || continue
        [[ $line == *[=/] ]] && compopt -o nospace
        line=${line#"$before"}
        [[ $line == *[!a-zA-Z0-9_./,=:@%+-]* ]] && printf -v line %q "$line"
        COMPREPLY+=("$line")
    done
}

_start_server() {
    local words program
    _start_server_words
    program=${words[0]/#\~/$HOME}
    # Perl's start_server, which may have the same name, would do what stands there.
    [[ $("$program" --version 2>/dev/null) == *go-server-starter* ]] || return
    _start_server_reply < <(GO_FLAGS_COMPLETION=1 "$program" "${words[@]:1}" 2>/dev/null)
}

_socketmaster() {
    local words word
    _start_server_words
    for word in "${words[@]:1:${#words[@]}-2}"; do
        [[ $word == -- ]] && return
    done
    case ${words[${#words[@]} - 1]} in
    -signal=*) _start_server_reply < <(compgen -A signal -P -signal= SIG | sed 's/=SIG/=/') ;;
    -user=*) _start_server_reply < <(compgen -u -P -user=) ;;
    -listen=*) _start_server_reply < <(printf -- '-listen=%s\n' tcp:// tcp4:// tcp6:// unix:// fd://) ;;
    -command=*) ;; # bash's own files
    -*) _start_server_reply < <(printf -- '-%s\n' listen= command= start= signal= user= syslog version help) ;;
    esac
}

complete -o bashdefault -o default -F _start_server start_server start_server_monitor einhyrningsins einhyrningsinsctl
complete -o bashdefault -o default -F _socketmaster socketmaster
