# fish completion for carp(8); written by `carp completions fish`

complete -c carp -f
complete -c carp -n __fish_use_subcommand -a ifconfig -d 'Show and configure carp interfaces, in OpenBSD\'s words'
complete -c carp -n __fish_use_subcommand -a sysctl -d 'Show and set net.inet.carp.allow, preempt, log and replay'
complete -c carp -n __fish_use_subcommand -a netstat -d 'Show the counters of the protocol: netstat -s -p carp'
complete -c carp -n __fish_use_subcommand -a netstart -d 'Make the interfaces what the files of /etc/carp say'
complete -c carp -n __fish_use_subcommand -a dump -d 'Show the running configuration as the files that netstart reads'
complete -c carp -n __fish_use_subcommand -a import -d 'Turn files of FreeBSD and NetBSD into hostname.carpN files'
complete -c carp -n __fish_use_subcommand -a daemon -d 'Serve this network namespace, in the foreground, logging to standard error'
complete -c carp -n __fish_use_subcommand -a demo -d 'Build a network in namespaces and show a failover in it'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s n -d 'Print values without their names'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s q -d 'Say nothing about what was set'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s a -d 'All names, as without any'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -s w -d 'Needed by older systems to set a value'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s s -d 'Show the counters; twice: only those that are not 0'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s p -d 'Of this protocol; there is only carp'
complete -c carp -n '__fish_seen_subcommand_from netstat' -s v -d 'Also what no BSD counts'
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
complete -c carp -n '__fish_seen_subcommand_from demo' -l family -d 'Which addresses the group shares'
complete -c carp -n '__fish_seen_subcommand_from demo' -l advbase -d 'Seconds between advertisements, 0 to 254'
complete -c carp -n '__fish_seen_subcommand_from demo' -l advskew -d 'Skews of a and b, each 0 to 254; with equal ones nobody preempts'
complete -c carp -n '__fish_seen_subcommand_from demo' -l pcap -d 'Write one pcapng per event, with one interface block per bridge port'
complete -c carp -n '__fish_seen_subcommand_from demo' -l json -d 'Print one JSON object on standard output instead of the table'
complete -c carp -n '__fish_seen_subcommand_from demo' -l keep -d 'At the end, leave the lab up until Ctrl-C and print how to enter it'
# Behind an interface's name, after one of these words.
function __carp_after
    set -l typed (commandline -opc)
    test "$typed[2]" = ifconfig; and test (count $typed) -gt 2; and contains -- "$typed[-1]" $argv
end
# Behind an interface's name, where a word may stand.
function __carp_word
    set -l typed (commandline -opc)
    test "$typed[2]" = ifconfig; and test (count $typed) -gt 2; and not __carp_after vhid pass advbase advskew netmask prefixlen broadcast carpdev state passfile
end
complete -c carp -n 'test (commandline -opc)[-1] = ifconfig' -a '(path basename /sys/class/net/carp*)'
complete -c carp -n '__carp_after carpdev' -a '(path basename /sys/class/net/*)'
complete -c carp -n '__carp_after state' -a 'init backup master'
complete -c carp -n '__carp_after passfile' -F
complete -c carp -n __carp_word -a 'create' -d 'make the interface; any other word makes a missing one, too'
complete -c carp -n __carp_word -a 'destroy' -d 'say goodbye and remove the interface'
complete -c carp -n __carp_word -a 'up' -d 'take part; an address does this, too'
complete -c carp -n __carp_word -a 'down' -d 'say goodbye and take no part; the configuration stays'
complete -c carp -n __carp_word -a 'vhid' -d 'the group, 1 to 255'
complete -c carp -n __carp_word -a 'pass' -d 'the group\'s passphrase, 19 bytes count; - reads it from standard input'
complete -c carp -n __carp_word -a 'passfile' -d 'the passphrase is the first line of this file'
complete -c carp -n __carp_word -a 'advbase' -d 'seconds between advertisements, 0 to 254'
complete -c carp -n __carp_word -a 'advskew' -d '1/256 seconds added to advbase, 0 to 254: the higher, the later MASTER'
complete -c carp -n __carp_word -a 'state' -d 'go to init, backup or master now'
complete -c carp -n __carp_word -a 'carpdev' -d 'the interface that carries the group'
complete -c carp -n __carp_word -a 'inet' -d 'the address is IPv4, as without it'
complete -c carp -n __carp_word -a 'inet6' -d 'the address is IPv6'
complete -c carp -n __carp_word -a 'alias' -d 'add the address, replace none; -alias removes it'
complete -c carp -n __carp_word -a '-alias' -d 'undo alias'
complete -c carp -n __carp_word -a 'delete' -d 'remove the address; without one the first inet one'
complete -c carp -n __carp_word -a 'netmask' -d 'as 255.255.255.0 or 0xffffff00; else /n, prefixlen, or by class'
complete -c carp -n __carp_word -a 'prefixlen' -d 'the prefix length; an inet6 address has 64 without it'
complete -c carp -n __carp_word -a 'broadcast' -d 'taken when it is the network\'s, which it is anyway'
complete -c carp -n '__fish_seen_subcommand_from sysctl' -a 'net.inet.carp.allow net.inet.carp.preempt net.inet.carp.log net.inet.carp.replay'
complete -c carp -n '__fish_seen_subcommand_from netstart dump' -a '(path basename /sys/class/net/carp*)'
complete -c carp -n '__fish_seen_subcommand_from import' -F
