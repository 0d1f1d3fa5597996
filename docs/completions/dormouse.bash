# bash completion for dormouse
_dormouse_services() {
    local i control= line
    for ((i = 2; i < COMP_CWORD; i++)); do
        [ "${COMP_WORDS[i]}" = --control ] || continue
        control=${COMP_WORDS[i+1]}
        [ "$control" = = ] && control=${COMP_WORDS[i+2]}
    done
    timeout 1 "${COMP_WORDS[0]}" status ${control:+"--control=$control"} 2>/dev/null | {
        read -r line
        while IFS= read -r line; do
            case $line in ' '*) ;; *) echo "${line%% *}" ;; esac
        done
    }
}
_dormouse() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
    [ "$word" = = ] && word=
    [ "$before" = = ] && before=${COMP_WORDS[COMP_CWORD-2]}
    if [ "$COMP_CWORD" = 1 ]; then
        words='run reload check convert status top wake sleep freeze thaw drain undrain explain demo proxy help version manual completion'
    else
        case ${COMP_WORDS[1]}:$before in
        run:--config) ;;
        run:--sandbox) words='none strict' ;;
        run:--directory) ;;
        run:--engine) ;;
        run:--ready) words='connect notify healthy' ;;
        run:--overflow) words='refuse queue' ;;
        run:--wake-on) words='connect data' ;;
        run:--foreign-listener) words='refuse allow' ;;
        run:--at-limit) words='refuse queue' ;;
        run:--accept-proxy) words='all' ;;
        run:--proxy-protocol) words='v1 v2' ;;
        run:--peer-credentials) words='own pass' ;;
        run:--log-level) words='err warning notice info debug' ;;
        run:--log) words='text tcplog json' ;;
        run:--control) ;;
        run:*) words="--config= --name= --listen= --to= --exec= --uid= --gid= --sandbox= --directory= --unit= --user --system --container= --engine= --start-command= --stop-command= --freeze-command= --thaw-command= --status-command= --wol= --ready= --settle= --idle= --freeze= --quiet= --minimum-uptime= --keep-warm= --hold= --hold-max= --overflow= --wake-on= --wake-allow= --foreign-listener= --start-timeout= --stop-timeout= --stop-foreign --no-replay --maxconn= --at-limit= --accept-proxy= --proxy-protocol= --peer-credentials= --connect-timeout= --idle-timeout= --half-close-timeout= --client-timeout= --server-timeout= --tunnel-timeout= --session-timeout= --drain-timeout= --no-restrict-self --log-level= --log= --control= --http= --http-host= --help" ;;
        reload:*) words="--pid= --help" ;;
        check:--config) ;;
        check:*) words="--config= --drop-in --polkit --help" ;;
        convert:--output) ;;
        convert:*) words="--output= --help" ;;
        proxy:--proxy-protocol) words='v1 v2' ;;
        proxy:--at-limit) words='refuse queue' ;;
        proxy:--log-level) words='err warning notice info debug' ;;
        proxy:*) words="--connections-max= --exit-idle-time= --proxy-protocol= --wait= --at-limit= --connect-timeout= --idle-timeout= --half-close-timeout= --drain-timeout= --listen= --log-level= --help --version" ;;
        status:--control) ;;
        status:*) words="--control= --json --watch --help $(_dormouse_services)" ;;
        top:--control) ;;
        top:*) words="--control= --interval= --help" ;;
        wake:--control) ;;
        wake:*) words="--control= --help $(_dormouse_services)" ;;
        sleep:--control) ;;
        sleep:*) words="--control= --help $(_dormouse_services)" ;;
        freeze:--control) ;;
        freeze:*) words="--control= --help $(_dormouse_services)" ;;
        thaw:--control) ;;
        thaw:*) words="--control= --help $(_dormouse_services)" ;;
        drain:--control) ;;
        drain:*) words="--control= --help $(_dormouse_services)" ;;
        undrain:--control) ;;
        undrain:*) words="--control= --help $(_dormouse_services)" ;;
        explain:--control) ;;
        explain:*) words="--control= --help $(_dormouse_services)" ;;
        help:*) words="--help run reload check convert status top wake sleep freeze thaw drain undrain explain demo proxy help version manual completion" ;;
        version:*) words="--help" ;;
        manual:*) words="--help dormouse proxy run reload check convert status top toml" ;;
        completion:*) words="--help bash" ;;
        demo:*) words="--help" ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _dormouse dormouse
