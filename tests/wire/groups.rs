//! What the hosts in each capture were configured with: the key to its advertisements.

/// What a group's hosts were configured with, and how many advertisements that made.
pub struct Group {
    pub vhid: u8,
    pub pass: &'static str,
    pub addresses: &'static [&'static str],
    pub count: usize,
}

const fn group(
    vhid: u8,
    pass: &'static str,
    addresses: &'static [&'static str],
    count: usize,
) -> Group {
    Group {
        vhid,
        pass,
        addresses,
        count,
    }
}

/// A capture: its ARP packets, solicitations, neighbour advertisements, other frames, and advertisements by group.
pub struct Capture(pub &'static str, pub [usize; 4], pub &'static [Group]);

/// The four usual address lists.
const V4: &[&str] = &["192.0.2.10"];
const DUAL: &[&str] = &["192.0.2.10", "2001:db8::10"];
const V6: &[&str] = &["2001:db8::11"];
const UCARP: &[&str] = &["192.0.2.1"];
const FISH: &str = "foobar-fish";

#[rustfmt::skip]
pub const CAPTURES: &[Capture] = &[
    Capture("freebsd-15port-unicast.pcap", [12, 23, 5, 2], &[group(10, "secret", DUAL, 29)]),
    Capture("freebsd-backup-silence.pcap", [7, 6, 0, 3], &[group(6, "secret", DUAL, 1)]),
    // The second key is what FreeBSD 13 keeps of the first when `ab` is written over it.
    Capture("freebsd-demotion.pcap", [15, 0, 0, 0], &[
        group(21, "secret", &["192.0.2.21"], 44), group(21, "ab\0ret", &["192.0.2.21"], 3)]),
    Capture("freebsd-dual-stack.pcap", [21, 14, 8, 7], &[
        group(2, "secret", DUAL, 44), group(2, "secret", &["192.0.2.10", "2001:db8::10", "2001:db8::11"], 32)]),
    Capture("freebsd-family-loss.pcap", [7, 6, 0, 0], &[group(8, "secret", DUAL, 46)]),
    Capture("freebsd-garp-answers.pcap", [9, 0, 0, 0], &[]),
    Capture("freebsd-netbsd-v6.pcap", [8, 4, 0, 0], &[
        group(4, "secret", V6, 17), group(4, "secret", &["192.0.2.10", "2001:db8::11"], 10)]),
    // vhid 41 was given a passphrase of 25 characters: the first 19 are the key.
    Capture("freebsd-source-address.pcap", [7, 2, 0, 0], &[
        group(40, "secret", &["192.0.2.10", "192.0.2.20"], 5),
        group(40, "secret", &["192.0.2.10", "192.0.2.20", "2001:db8::10"], 6),
        group(40, "secret", DUAL, 6),
        group(41, "1234567890123456789", &["192.0.2.30"], 14)]),
    Capture("freebsd-tie-linklocal-senderr.pcap", [15, 11, 1, 2], &[
        group(7, "secret", V4, 6), group(7, "secret", &["192.0.2.10", "2001:db8::10", "fe80::10"], 46)]),
    Capture("freebsd-timing.pcap", [0, 0, 0, 0], &[
        group(11, "secret", &["192.0.2.11"], 14), group(12, "secret", &["192.0.2.12"], 14),
        group(13, "secret", &["192.0.2.13"], 12), group(14, "secret", &["192.0.2.14"], 10),
        group(15, "secret", &["192.0.2.15"], 7), group(16, "secret", &["192.0.2.16"], 7),
        group(17, "secret", &["192.0.2.17"], 6), group(18, "secret", &["192.0.2.18"], 7)]),
    Capture("freebsd-ucarp-netbsd-mixed.pcap", [18, 0, 0, 0], &[group(3, "secret", V4, 54)]),
    Capture("freebsd-v4-election.pcap", [20, 0, 0, 0], &[group(1, "secret", V4, 48)]),
    Capture("netbsd-arpbalance-hash.pcap", [107, 0, 0, 0], &[
        group(1, "secret", V4, 12), group(2, "secret", V4, 16)]),
    Capture("netbsd-arpbalance-order.pcap", [44, 0, 0, 0], &[group(1, "secret", V4, 7), group(2, "secret", V4, 7)]),
    Capture("netbsd-arpbalance-stock.pcap", [156, 0, 0, 0], &[
        group(1, "secret", V4, 12), group(2, "secret", V4, 16)]),
    Capture("netbsd-demotion.pcap", [5, 0, 0, 0], &[group(21, "secret", V4, 15)]),
    Capture("netbsd-timing.pcap", [17, 0, 0, 5], &[
        group(11, "secret", &["192.0.2.11"], 11), group(12, "secret", &["192.0.2.12"], 10),
        group(13, "secret", &["192.0.2.13"], 9), group(14, "secret", &["192.0.2.14"], 7),
        group(15, "secret", &["192.0.2.15"], 5), group(16, "secret", &["192.0.2.16"], 5),
        group(17, "secret", &["192.0.2.17"], 31), group(18, "secret", &["192.0.2.18"], 4)]),
    Capture("netbsd-ucarp-mixed.pcap", [12, 0, 0, 0], &[group(1, "secret", V4, 46), group(1, "wrong", V4, 2)]),
    Capture("netbsd-v4-election.pcap", [9, 0, 0, 0], &[group(1, "secret", V4, 38)]),
    Capture("netbsd-v4-splitbrain.pcap", [6, 0, 0, 0], &[group(7, "secret", V4, 21), group(7, "other", V4, 3)]),
    Capture("netbsd-v4-with-v6-address.pcap", [8, 9, 6, 4], &[group(3, "secret", DUAL, 12)]),
    Capture("netbsd-v6.pcap", [12, 0, 0, 0], &[
        group(4, "secret", V6, 20), group(4, "secret", &["2001:db8::11", "2001:db8::12"], 19),
        group(5, "secret", DUAL, 14)]),
    Capture("ucarp-bad-password.pcap", [4, 0, 0, 4], &[group(1, FISH, UCARP, 4), group(1, "other-secret", UCARP, 4)]),
    Capture("ucarp-carrier-loss.pcap", [10, 0, 0, 5], &[group(1, FISH, UCARP, 24)]),
    Capture("ucarp-debian-ifupdown-seed-config.pcap", [8, 0, 0, 6], &[group(1, FISH, &["192.0.2.252"], 17)]),
    Capture("ucarp-equal-masters.pcap", [5, 0, 0, 2], &[group(1, FISH, UCARP, 10)]),
    Capture("ucarp-failover-kill9.pcap", [7, 0, 0, 6], &[group(1, FISH, UCARP, 17)]),
    Capture("ucarp-mcast-group.pcap", [2, 0, 0, 2], &[group(255, "0123456789abcdefghi", &["192.0.2.2"], 3)]),
    Capture("ucarp-nomcast.pcap", [4, 0, 0, 0], &[group(1, FISH, UCARP, 5)]),
    Capture("ucarp-preferred-slow-master-preempt.pcap", [5, 0, 0, 4], &[group(1, FISH, UCARP, 9)]),
    Capture("ucarp-sigterm.pcap", [4, 0, 0, 8], &[group(1, FISH, UCARP, 8)]),
    Capture("ucarp-slow-upscript.pcap", [7, 0, 0, 0], &[group(1, "pw", UCARP, 12)]),
    Capture("ucarp-start-master.pcap", [2, 0, 0, 4], &[group(1, FISH, UCARP, 5)]),
    Capture("ucarp-usr2.pcap", [4, 0, 0, 6], &[group(1, FISH, UCARP, 11)]),
    Capture("ucarp-vhid42-advbase2-skew100.pcap", [1, 0, 0, 4], &[group(42, "love", UCARP, 2)]),
];
