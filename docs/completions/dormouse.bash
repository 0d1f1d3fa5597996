# bash completion for dormouse
_dormouse() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
    [ "$word" = = ] && word=
    [ "$before" = = ] && before=${COMP_WORDS[COMP_CWORD-2]}
    if [ "$COMP_CWORD" = 1 ]; then
        words='proxy help version manual completion'
    else
        case $before in
        --proxy-protocol) words='v1 v2' ;;
        --at-limit) words='refuse queue' ;;
        --log-level) words='err warning notice info debug' ;;
        *) words='--connections-max= --exit-idle-time= --proxy-protocol= --wait= --at-limit= --connect-timeout= --idle-timeout= --half-close-timeout= --drain-timeout= --listen= --log-level= --help --version' ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _dormouse dormouse
