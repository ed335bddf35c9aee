# fish completion for carp(8); written by `carp completions fish`

complete -c carp -f
complete -c carp -n __fish_use_subcommand -a ifconfig -d 'Show and configure carp interfaces, in OpenBSD\'s words'
complete -c carp -n __fish_use_subcommand -a sysctl -d 'Show and set the names of net.inet.carp'
complete -c carp -n __fish_use_subcommand -a netstat -d 'Show the counters of the protocol (-s) or of the interfaces (-i), or the hosts heard (peers)'
complete -c carp -n __fish_use_subcommand -a netstart -d 'Make the interfaces what the files of /etc/carp say'
complete -c carp -n __fish_use_subcommand -a dump -d 'Show the running configuration as the files that netstart reads'
complete -c carp -n __fish_use_subcommand -a import -d 'Turn files of the BSDs into hostname.carpN files'
complete -c carp -n __fish_use_subcommand -a daemon -d 'Serve this network namespace, in the foreground, logging to standard error'
complete -c carp -n __fish_use_subcommand -a upgrade -d 'Have the running daemon go on as the program that is installed now, without a packet lost'
complete -c carp -n __fish_use_subcommand -a demo -d 'Build a network in namespaces and show a failover in it'
complete -c carp -n '__fish_seen_subcommand_from ifconfig' -l as -x -a 'openbsd freebsd9 freebsd netbsd' -d 'the words and texts of openbsd, freebsd9, freebsd or netbsd'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s n -d 'Print values without their names'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s q -d 'Say nothing about what was set'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s a -d 'All names, as without any; also -A'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s e -d 'Print name=value, whoever\'s manners'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s N -d 'Print names without values'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s i -d 'Say nothing about unknown names, and do nothing for them'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s w -d 'Needed by older systems to set a value'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -l as -x -a 'openbsd freebsd9 freebsd netbsd' -d 'With the manners of openbsd, freebsd9, freebsd or netbsd'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s s -d 'Show the counters of the protocol; twice: only those that are not 0'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s p -d 'Of this protocol; there is only carp'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s v -d 'Also what no BSD counts'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s i -d 'Show the frames that passed each carp interface'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s I -d 'Only of this interface, as with -i'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s b -d 'With -i or -I bytes instead of frames'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s n -d 'Nothing: addresses are shown as numbers anyway'
complete -c carp -n '__fish_seen_subcommand_from netstat' -l as -x -a 'openbsd freebsd9 freebsd netbsd' -d 'In the words of openbsd, freebsd9, freebsd or netbsd'
complete -c carp -n '__fish_seen_subcommand_from netstart' -s n -d 'Change nothing: check, and show what would change'
complete -c carp -n '__fish_seen_subcommand_from netstart' -s d -d 'Directory of the files'
complete -c carp -n '__fish_seen_subcommand_from dump' -s k -d 'With the passphrases, for root'
complete -c carp -n '__fish_seen_subcommand_from dump' -s w -d 'Write the files; needs -k where there is a passphrase'
complete -c carp -n '__fish_seen_subcommand_from dump' -s f -d 'With -w, replace files that differ'
complete -c carp -n '__fish_seen_subcommand_from dump' -s d -d 'Directory of the files'
complete -c carp -n '__fish_seen_subcommand_from import' -s w -d 'Write the files instead of printing them'
complete -c carp -n '__fish_seen_subcommand_from import' -s f -d 'With -w, replace files that differ'
complete -c carp -n '__fish_seen_subcommand_from import' -s c -d 'The carpdev that em0 is called here, or that carpN is to have'
complete -c carp -n '__fish_seen_subcommand_from import' -s d -d 'Directory of the files'
complete -c carp -n '__fish_seen_subcommand_from daemon' -l dataplane -x -a 'auto tcx clsact copy' -d 'What moves frames, as net.inet.carp.dataplane: auto, tcx, clsact or copy'
complete -c carp -n '__fish_seen_subcommand_from upgrade' -l changed -d 'Do nothing when the daemon runs this very file'
complete -c carp -n '__fish_seen_subcommand_from demo' -l family -d 'Which addresses the group shares'
complete -c carp -n '__fish_seen_subcommand_from demo' -l advbase -d 'Seconds between advertisements, 0 to 254'
complete -c carp -n '__fish_seen_subcommand_from demo' -l advskew -d 'Skews of a and b, each 0 to 254; with equal ones nobody preempts'
complete -c carp -n '__fish_seen_subcommand_from demo' -l pcap -d 'Write one pcapng per event, with one interface block per bridge port'
complete -c carp -n '__fish_seen_subcommand_from demo' -l json -d 'Print one JSON object on standard output instead of the table'
complete -c carp -n '__fish_seen_subcommand_from demo' -l keep -d 'At the end, leave the lab up until Ctrl-C and print how to enter it'
# What stands behind ifconfig, without the choice of a personality.
function __carp_typed
    set -l typed (commandline -opc)
    test "$typed[2]" = ifconfig; or return 1
    set -l from 3
    test "$typed[3]" = --as; and set from 5
    test (count $typed) -ge $from; and string join \n -- $typed[$from..]
    return 0
end
# Where the interface's name stands.
function __carp_name
    set -l typed (__carp_typed); and test (count $typed) -eq 0
end
# Behind an interface's name, after one of these words.
function __carp_after
    set -l typed (__carp_typed); and test (count $typed) -gt 0; and contains -- "$typed[-1]" $argv
end
# Behind an interface's name, where a word may stand.
function __carp_word
    set -l typed (__carp_typed); and test (count $typed) -gt 0; and test "$typed[1]" != -g; and not __carp_after vhid pass advbase advskew netmask prefixlen broadcast carpnodes balancing hash carppeer peer peer6 lladdr description descr group -group mtu metric rdomain state input carpdev passfile
end
# Behind the name of an interface group.
function __carp_group
    set -l typed (__carp_typed); and test (count $typed) -eq 2; and test "$typed[1]" = -g
end
complete -c carp -n __carp_group -a 'carpdemote -carpdemote drain undrain'
complete -c carp -n __carp_name -a '(path basename /sys/class/net/carp*)'
complete -c carp -n '__carp_after carpdev' -a '(path basename /sys/class/net/*)'
complete -c carp -n '__carp_after passfile' -F
complete -c carp -n '__carp_after state' -a 'init backup master'
complete -c carp -n '__carp_after input' -a 'redirect accept'
complete -c carp -n __carp_word -a 'create' -d 'make the interface; any other word makes a missing one, too'
complete -c carp -n __carp_word -a 'destroy' -d 'say goodbye and remove the interface'
complete -c carp -n __carp_word -a 'up' -d 'take part; an address does this, too'
complete -c carp -n __carp_word -a 'down' -d 'say goodbye and take no part; the configuration stays'
complete -c carp -n __carp_word -a 'vhid' -d 'the group, 1 to 255'
complete -c carp -n __carp_word -a 'pass' -d 'the group\'s passphrase, 19 bytes count; - reads it from standard input'
complete -c carp -n __carp_word -a 'passfile' -d 'the passphrase is the first line of this file'
complete -c carp -n __carp_word -a 'advbase' -d 'seconds between advertisements, 0 to 255; OpenBSD takes 254 at most'
complete -c carp -n __carp_word -a 'advskew' -d '1/256 seconds added to advbase, 0 to 254: the higher, the later MASTER'
complete -c carp -n __carp_word -a 'state' -d 'go to init, backup or master now'
complete -c carp -n __carp_word -a 'input' -d 'where received frames are seen: redirect (on carpN) or accept (on carpdev)'
complete -c carp -n __carp_word -a 'capture' -d 'show what leaves carpN to who listens there, at some cost'
complete -c carp -n __carp_word -a '-capture' -d 'undo capture'
complete -c carp -n __carp_word -a 'carpdev' -d 'the interface that carries the group'
complete -c carp -n __carp_word -a '-carpdev' -d 'say goodbye and be carried by none; the rest stays'
complete -c carp -n __carp_word -a 'inet' -d 'the address is IPv4, as without it'
complete -c carp -n __carp_word -a 'inet6' -d 'the address is IPv6'
complete -c carp -n __carp_word -a 'alias' -d 'add the address, replace none; -alias removes it'
complete -c carp -n __carp_word -a '-alias' -d 'undo alias'
complete -c carp -n __carp_word -a 'delete' -d 'remove the address; without one the first inet one'
complete -c carp -n __carp_word -a 'netmask' -d 'as 255.255.255.0 or 0xffffff00; else /n, prefixlen, or by class'
complete -c carp -n __carp_word -a 'prefixlen' -d 'the prefix length; an inet6 address has 64 without it'
complete -c carp -n __carp_word -a 'broadcast' -d 'taken when it is the network\'s, which it is anyway'
complete -c carp -n __carp_word -a '-inet' -d 'remove all IPv4 addresses'
complete -c carp -n __carp_word -a '-inet6' -d 'remove all IPv6 addresses'
complete -c carp -n __carp_word -a 'carpnodes' -d 'vhid and advskew of each of up to 32 virtual hosts'
complete -c carp -n __carp_word -a 'balancing' -d 'how several virtual hosts share: arp, ip, ip-stealth, ip-unicast'
complete -c carp -n __carp_word -a 'hash' -d 'by what an asker is assigned to one: source, mac; mac,be mac,order mac,be,order'
complete -c carp -n __carp_word -a '-hash' -d 'as the BSD with this way of balancing does'
complete -c carp -n __carp_word -a 'drain' -d 'leave the addresses to other hosts as long as there is one'
complete -c carp -n __carp_word -a '-drain' -d 'undo drain'
complete -c carp -n __carp_word -a 'undrain' -d 'as -drain'
complete -c carp -n __carp_word -a 'carppeer' -d 'advertise to these IPv4 hosts instead of the multicast group'
complete -c carp -n __carp_word -a '-carppeer' -d 'advertise to the IPv4 multicast group again'
complete -c carp -n __carp_word -a 'peer' -d 'as carppeer'
complete -c carp -n __carp_word -a 'peer6' -d 'advertise to these IPv6 hosts instead of the multicast group'
complete -c carp -n __carp_word -a 'mcast' -d 'as -carppeer'
complete -c carp -n __carp_word -a 'mcast6' -d 'advertise to the IPv6 multicast group again'
complete -c carp -n __carp_word -a 'lladdr' -d 'an Ethernet address for the group, or carpdev: the parent\'s own'
complete -c carp -n __carp_word -a '-lladdr' -d 'the virtual Ethernet address of the vhid again'
complete -c carp -n __carp_word -a 'description' -d 'a text for people; also descr'
complete -c carp -n __carp_word -a 'descr' -d 'as description'
complete -c carp -n __carp_word -a '-description' -d 'no description; also -descr'
complete -c carp -n __carp_word -a '-descr' -d 'as -description'
complete -c carp -n __carp_word -a 'group' -d 'join an interface group'
complete -c carp -n __carp_word -a '-group' -d 'leave an interface group'
complete -c carp -n __carp_word -a 'mtu' -d 'the MTU; the carpdev\'s where that is smaller'
complete -c carp -n __carp_word -a 'metric' -d 'the interface metric, kept and shown'
complete -c carp -n __carp_word -a 'debug' -d 'the DEBUG flag, kept and shown'
complete -c carp -n __carp_word -a '-debug' -d 'no DEBUG flag'
complete -c carp -n __carp_word -a 'rdomain' -d '0 is the only routing domain'
complete -c carp -n __carp_word -a '-rdomain' -d 'routing domain 0, as always'
complete -c carp -n __carp_word -a 'link0' -d 'refused: no link flag means anything here'
complete -c carp -n __carp_word -a 'link1' -d 'as link0'
complete -c carp -n __carp_word -a 'link2' -d 'as link0'
complete -c carp -n __carp_word -a '-link0' -d 'no link flag is set anyway'
complete -c carp -n __carp_word -a '-link1' -d 'as -link0'
complete -c carp -n __carp_word -a '-link2' -d 'as -link0'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -a 'net.inet.carp.allow net.inet.carp.preempt net.inet.carp.log net.inet.carp.replay net.inet.carp.dataplane net.inet.carp.grace net.inet.carp.demotion net.inet.carp.senderr_demotion_factor net.inet.carp.ifdown_demotion_factor net.inet.carp.dscp net.inet.carp.arpbalance net.inet.carp.suppress_preempt'
complete -c carp -n '__fish_seen_subcommand_from netstart dump' -a '(path basename /sys/class/net/carp*)'
complete -c carp -n 'test (commandline -opc)[-1] = netstat' -a peers
complete -c carp -n '__fish_seen_subcommand_from import upgrade' -F
