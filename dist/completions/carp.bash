# bash completion for carp(8); written by `carp completions bash`

_carp() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} links list= name=2
    links=$(cd /sys/class/net && echo *)
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'ifconfig sysctl netstat netstart dump import daemon upgrade demo' -- "$current")
        return
    fi
    [ "${COMP_WORDS[2]}" != --as ] || name=4
    case $previous in
    --as) mapfile -t COMPREPLY < <(compgen -W 'openbsd freebsd9 freebsd netbsd' -- "$current") ; return ;;
    --dataplane) mapfile -t COMPREPLY < <(compgen -W 'auto tcx clsact copy' -- "$current") ; return ;;
    state) mapfile -t COMPREPLY < <(compgen -W 'init backup master' -- "$current") ; return ;;
    input) mapfile -t COMPREPLY < <(compgen -W 'redirect accept' -- "$current") ; return ;;
    esac
    case ${COMP_WORDS[1]},$current in
    ifconfig,-*) list='--as' ;;
    sysctl,-*) list='-n -q -a -e -N -i -w --as' ;;
    netstat,-*) list='-s -p -v -i -I -b -n --as' ;;
    netstart,-*) list='-n -d' ;;
    dump,-*) list='-k -w -f -d' ;;
    import,-*) list='-w -f -c -d' ;;
    daemon,-*) list='--dataplane' ;;
    upgrade,-*) list='--changed' ;;
    demo,-*) list='--family --advbase --advskew --pcap --json --keep' ;;
    esac
    case ${COMP_WORDS[1]} in
    ifconfig)
        if [ "$COMP_CWORD" -eq "$name" ]; then
            list="$list $(compgen -W "$links" -- carp)"
        elif [ "${COMP_WORDS[name]}" = -g ]; then
            [ "$COMP_CWORD" -ne $((name + 2)) ] || list='carpdemote -carpdemote drain undrain'
        else
            case $previous in
            carpdev) list=$links ;;
            passfile) mapfile -t COMPREPLY < <(compgen -f -- "$current") ; return ;;
            vhid|pass|advbase|advskew|netmask|prefixlen|broadcast|carpnodes|balancing|hash|carppeer|peer|peer6|lladdr|description|descr|group|-group|mtu|metric|rdomain) return ;;
            *) list='create destroy up down vhid pass passfile advbase advskew state input capture -capture carpdev -carpdev inet inet6 alias -alias delete netmask prefixlen broadcast -inet -inet6 carpnodes balancing hash -hash drain -drain undrain carppeer -carppeer peer peer6 mcast mcast6 lladdr -lladdr description descr -description -descr group -group mtu metric debug -debug rdomain -rdomain link0 link1 link2 -link0 -link1 -link2' ;;
            esac
        fi ;;
    sysctl) list="$list net.inet.carp.allow net.inet.carp.preempt net.inet.carp.log net.inet.carp.replay net.inet.carp.dataplane net.inet.carp.grace net.inet.carp.demotion net.inet.carp.senderr_demotion_factor net.inet.carp.ifdown_demotion_factor net.inet.carp.dscp net.inet.carp.arpbalance net.inet.carp.suppress_preempt" ;;
    netstat) [ "$COMP_CWORD" -ne 2 ] || list="$list peers" ;;
    netstart | dump) list="$list $(compgen -W "$links" -- carp)" ;;
    import | upgrade) [ -n "$list" ] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
    [ -z "$list" ] || mapfile -t COMPREPLY < <(compgen -W "$list" -- "$current")
}
complete -o bashdefault -F _carp carp
