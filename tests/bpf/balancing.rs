//! Several vhosts of one carpN, each with a gate of its own, and MACs that do not tell a vhid: on every data plane.

use super::site::{A, BOTH, C, Site, V, numbers};
use super::support::frames::{Frame, arp_request, echo_request, tagged};
use super::support::wire::Wire;
use carp::dataplane::bpf::Means;
use carp::dataplane::{Balancing, Gate, Port, fold, share};
use carp::linux::clock;
use carp::time::Instant;
use carp::wire::MacAddr;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// OpenBSD's for `balancing ip`, of vhid 7.
const GROUP: MacAddr = MacAddr([1, 0, 0x5e, 0, 1, 7]);
const THREE: [(u8, MacAddr); 3] = [(7, V), (8, MacAddr::of_vhid(8)), (9, MacAddr::of_vhid(9))];

/// The copier, then the programs in both ways.
fn all() -> impl Iterator<Item = Option<Means>> {
    std::iter::once(None).chain(BOTH.map(Some))
}

fn settle() {
    std::thread::sleep(Duration::from_millis(30));
}

/// An echo request to carp1's address under this MAC.
fn to(mac: MacAddr, seq: u16) -> Vec<u8> {
    let from = (C, "192.0.2.13".parse().unwrap());
    echo_request(from, (mac, "192.0.2.1".parse().unwrap()), 1, seq)
}

/// Fails when a MAC that an admin chose is not found, or the one that it stands for still is.
#[test]
fn a_chosen_mac_is_served() {
    if !super::begin() {
        return;
    }
    let chosen = MacAddr([2, 0, 0x5e, 0x12, 0x34, 0x56]);
    for means in all() {
        let mut site = Site::with(means, &[(7, chosen)], Balancing::Mac);
        site.a.outlet("eth0").accept_unicast(chosen).unwrap();
        site.gate_of(7, Gate::Open);
        let (carp1, from_a, out) = (site.carp1(), site.a.sends("eth0"), site.c.outlet("eth0"));
        for frame in [
            to(V, 1),
            to(chosen, 2),
            tagged(&to(chosen, 3), 0x8100, 10),
            to(A, 4),
        ] {
            out.send(&frame).unwrap();
        }
        assert_eq!(numbers(&carp1, 1), [2], "{means:?}");
        let leaves = |mark: Instant| from_a.after(mark, |f| f.echo().is_some_and(|e| e.ident == 2));
        let by_carp1 = site.by_carp1();
        let pong = {
            let client = (C, "192.0.2.13".parse().unwrap());
            echo_request((chosen, "192.0.2.1".parse().unwrap()), client, 2, 1)
        };
        let mark = clock::now();
        by_carp1.send(&pong).unwrap();
        settle();
        assert_eq!(leaves(mark).len(), 1, "{means:?}");
        assert_eq!(leaves(mark)[0].src(), chosen);
        // It is given up again.
        site.gate_of(7, Gate::Shut);
        let mark = clock::now();
        let _ = by_carp1.send(&pong);
        out.send(&to(chosen, 5)).unwrap();
        assert!(!numbers(&carp1, 1).contains(&5), "{means:?}");
        assert!(leaves(mark).is_empty(), "{means:?}");
    }
}

/// Fails when vhosts of one carpN share a gate or a lease, or when what is for the second is not for carpN's own MAC there.
#[test]
fn each_vhost_has_what_is_sent_to_its_own_mac() {
    if !super::begin() {
        return;
    }
    for means in all() {
        let mut site = Site::with(means, &THREE, Balancing::Mac);
        let (carp1, out) = (site.carp1(), site.c.outlet("eth0"));
        let mut sent = 0;
        let mut arrive = |what| {
            sent += 10;
            for (vhid, mac) in THREE {
                out.send(&to(mac, sent + u16::from(vhid - 7))).unwrap();
            }
            let heard = numbers(&carp1, 1).into_iter();
            let heard: Vec<_> = heard
                .filter(|seq| *seq >= sent)
                .map(|seq| seq - sent)
                .collect();
            (heard, what)
        };
        site.gate_of(7, Gate::Open);
        assert_eq!(arrive("the first"), (vec![0], "the first"), "{means:?}");
        site.gate_of(8, Gate::Inward);
        assert_eq!(arrive("two"), (vec![0, 1], "two"), "{means:?}");
        site.gate_of(7, Gate::Shut);
        site.gate_of(9, Gate::Open);
        assert_eq!(arrive("others"), (vec![1, 2], "others"), "{means:?}");
        site.plane.set_lease(site.port.id, 9, clock::now());
        assert_eq!(arrive("a lease"), (vec![1], "a lease"), "{means:?}");
        let heard = carp1.after(Instant::ZERO, |f| f.echo().is_some_and(|e| e.request));
        assert!(heard.iter().all(|f| f.dst() == V), "{means:?}");
        // One that leaves the port is shut.
        let mut fewer = site.port.clone();
        fewer.vhosts.remove(1);
        site.plane.change_port(fewer);
        assert_eq!(arrive("fewer"), (vec![], "fewer"), "{means:?}");
    }
}

/// What the host sends by carp1, as it leaves eth0.
struct Leaving {
    from_a: Wire,
    by_carp1: carp::linux::packet::PacketSocket,
    /// What carp1's own MAC is.
    mac: MacAddr,
}

impl Leaving {
    fn of(site: &Site) -> Self {
        Self {
            from_a: site.a.sends("eth0"),
            by_carp1: site.by_carp1(),
            mac: site.port.mac,
        }
    }

    /// The Ethernet source of a packet.
    fn packet(&self, seq: u16) -> Option<MacAddr> {
        let client = (C, "192.0.2.13".parse().unwrap());
        let frame = echo_request((self.mac, "192.0.2.1".parse().unwrap()), client, 2, seq);
        let mark = clock::now();
        let _ = self.by_carp1.send(&frame);
        let ours = |f: &Frame| f.echo().is_some_and(|e| (e.ident, e.seq) == (2, seq));
        let quiet = Duration::from_millis(100);
        self.from_a.seek(mark, quiet, ours).map(|f| f.src())
    }

    /// The Ethernet source of an ARP request, and whom it names as asker.
    fn request(&self) -> Option<(MacAddr, MacAddr, Ipv4Addr)> {
        let asked: Ipv4Addr = "192.0.2.99".parse().unwrap();
        let asker = (self.mac, "192.0.2.1".parse().unwrap());
        let mark = clock::now();
        let _ = self
            .by_carp1
            .send(&arp_request(asker, asked, MacAddr::BROADCAST));
        let ours = |f: &Frame| f.arp().is_some_and(|p| p.tpa == asked);
        let heard = self.from_a.seek(mark, Duration::from_millis(100), ours)?;
        let arp = heard.arp().unwrap();
        Some((heard.src(), arp.sha, arp.spa))
    }
}

/// Fails when a MAC leaves whose vhost is not MASTER here, or an ARP request paints the shared address on everybody.
#[test]
fn what_leaves_names_a_vhost_that_is_master_here() {
    if !super::begin() {
        return;
    }
    let shared = Ipv4Addr::new(192, 0, 2, 1);
    for means in all() {
        let mut site = Site::with(means, &THREE, Balancing::Mac);
        let leaving = Leaving::of(&site);
        let (eight, nine) = (THREE[1].1, THREE[2].1);
        site.gate_of(7, Gate::Open);
        site.gate_of(9, Gate::Open);
        assert_eq!(leaving.packet(1), Some(V), "{means:?}");
        assert_eq!(leaving.request(), Some((V, V, shared)), "{means:?}");
        site.gate_of(7, Gate::Yielded);
        assert_eq!(leaving.packet(2), Some(nine), "{means:?}");
        assert_eq!(leaving.request(), Some((nine, nine, shared)), "{means:?}");
        let probing = Port {
            probes: true,
            ..site.port.clone()
        };
        site.plane.change_port(probing);
        let nobody = Ipv4Addr::UNSPECIFIED;
        assert_eq!(leaving.request(), Some((nine, nine, nobody)), "{means:?}");
        site.gate_of(8, Gate::Open);
        site.plane.set_lease(site.port.id, 9, clock::now());
        assert_eq!(leaving.packet(3), Some(eight), "{means:?}");
        site.gate_of(8, Gate::Shut);
        assert_eq!(leaving.packet(4), Some(A), "{means:?}: yielded");
        assert_eq!(leaving.request(), None, "{means:?}: yielded");
        site.plane.set_lease(site.port.id, 7, clock::now());
        assert_eq!(leaving.packet(5), None, "{means:?}");
    }
}

/// Fails when the source of what leaves is one that a switch must not learn, or not the one that it should.
#[test]
fn where_all_hosts_hear_all_what_leaves_is_learnt_or_not() {
    if !super::begin() {
        return;
    }
    let shared = Ipv4Addr::new(192, 0, 2, 1);
    for means in all() {
        for (balancing, group, source) in [
            (Balancing::Unlearnt, GROUP, A),
            (Balancing::Unlearnt, V, A),
            (Balancing::Learnt, V, V),
        ] {
            let mut site = Site::with(means, &[(7, group), THREE[1], THREE[2]], balancing);
            let leaving = Leaving::of(&site);
            assert_eq!(leaving.packet(1), None, "{means:?}");
            for vhid in [8, 7] {
                site.gate_of(vhid, Gate::Open);
                assert_eq!(leaving.packet(vhid.into()), Some(source), "{means:?}");
                assert_eq!(
                    leaving.request(),
                    Some((source, group, shared)),
                    "{means:?}"
                );
                site.gate_of(vhid, Gate::Shut);
            }
        }
    }
}

type Form = fn(&[u8]) -> Vec<u8>;

/// Forms of a packet; the fold is of its addresses in all of them.
const FORMS: [Form; 4] = [
    <[u8]>::to_vec,
    |frame| with_header(frame, 60, [58, 0, 1, 4, 0, 0, 0, 0]),
    |frame| fragment(frame, 0),
    |frame| fragment(frame, 8),
];

/// An IPv6 packet with a header more; an IPv4 packet as it is.
fn with_header(frame: &[u8], kind: u8, header: [u8; 8]) -> Vec<u8> {
    let mut out = frame.to_vec();
    if frame[12..14] == [0x86, 0xdd] {
        let length = u16::from_be_bytes([frame[18], frame[19]]) + 8;
        out[18..20].copy_from_slice(&length.to_be_bytes());
        out[20] = kind;
        out.splice(54..54, header);
    }
    out
}

/// A fragment with more to come, at this offset in bytes.
fn fragment(frame: &[u8], offset: u8) -> Vec<u8> {
    let mut out = with_header(frame, 44, [58, 0, 0, offset | 1, 0, 0, 0, 9]);
    if frame[12..14] == [8, 0] {
        // Where there was "don't fragment"; RFC 1624 for the checksum.
        let flags = 0x2000 + u32::from(offset / 8);
        let sum = u32::from(u16::from_be_bytes([out[24], out[25]])) + 0x4000 + (0xffff - flags);
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        out[20..22].copy_from_slice(&u16::try_from(flags).unwrap().to_be_bytes());
        out[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    out
}

/// Fails when the programs or the copier choose another vhost than [`share`] says, for any kind of packet.
#[test]
fn the_addresses_of_a_packet_select_its_vhost() {
    if !super::begin() {
        return;
    }
    let four: Vec<(u8, MacAddr)> = (7..11).map(|vhid| (vhid, MacAddr::of_vhid(vhid))).collect();
    for means in all() {
        for (count, group, balancing) in [
            (2, GROUP, Balancing::Unlearnt),
            (3, V, Balancing::Unlearnt),
            (4, V, Balancing::Learnt),
        ] {
            let mut vhosts = four[..count].to_vec();
            vhosts[0].1 = group;
            let mut site = Site::with(means, &vhosts, balancing);
            // It hears the group as the daemon lets it.
            let hears = site.a.outlet("eth0");
            hears.accept_multicast(GROUP).unwrap();
            hears.accept_unicast(V).unwrap();
            let carp1 = site.carp1();
            let out = site.c.outlet("eth0");
            for mine in 0..1 << count {
                let bit = |place: usize| mine >> place & 1 == 1;
                for (place, (vhid, _)) in vhosts.iter().enumerate() {
                    let gate = if bit(place) { Gate::Open } else { Gate::Shut };
                    site.gate_of(*vhid, gate);
                }
                let mark = clock::now();
                let mut expected = BTreeSet::new();
                for (packet, from, shared) in packets(group, mine) {
                    out.send(&packet).unwrap();
                    if bit(share(from, shared, count).unwrap()) {
                        expected.insert(from);
                    }
                }
                std::thread::sleep(Duration::from_millis(60));
                let arrived = carp1.after(mark, |f| f.ip_source().is_some());
                assert!(arrived.iter().all(|f| f.dst() == V), "{means:?}");
                let arrived: BTreeSet<IpAddr> =
                    arrived.iter().filter_map(Frame::ip_source).collect();
                assert_eq!(arrived, expected, "{means:?} {balancing:?} {mine:b}");
            }
        }
    }
}

/// Packets to the shared addresses, in each form and with consecutive sources, each with its addresses.
fn packets(group: MacAddr, round: u16) -> Vec<(Vec<u8>, IpAddr, IpAddr)> {
    let shared: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let mut packets = Vec::new();
    for (number, form) in (0u8..).zip(FORMS) {
        for host in 0..5u8 {
            let low = 20 + number * 10 + host;
            let sources = [
                IpAddr::from([198, 51, 100, low]),
                IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, low.into())),
            ];
            for (from, shared) in sources.into_iter().zip(shared) {
                let echo = echo_request((C, from), (group, shared), 3, round);
                packets.push((form(&echo), from, shared));
            }
        }
    }
    packets
}

/// Fails when anything but a unicast IP packet is held to the fold, or a real multicast packet of the same MAC is taken.
#[test]
fn what_is_no_packet_of_the_group_is_everybodys_or_nobodys() {
    if !super::begin() {
        return;
    }
    for means in all() {
        let mut site = Site::with(means, &[(7, GROUP), THREE[1]], Balancing::Unlearnt);
        site.a.outlet("eth0").accept_multicast(GROUP).unwrap();
        let (carp1, out) = (site.carp1(), site.c.outlet("eth0"));
        let client: Ipv4Addr = "192.0.2.13".parse().unwrap();
        let mut reply = arp_request((C, client), Ipv4Addr::UNSPECIFIED, GROUP);
        reply[21] = 2;
        let from = (C, IpAddr::V4(client));
        let multicast = echo_request(from, (GROUP, "224.0.1.7".parse().unwrap()), 4, 1);
        let cut = [&GROUP.0[..], &C.0, &[8, 0, 0x45]].concat();
        let arrive = || {
            let mark = clock::now();
            for frame in [&reply, &multicast, &cut] {
                out.send(frame).unwrap();
            }
            std::thread::sleep(Duration::from_millis(60));
            let heard = carp1.after(mark, |f| f.src() == C);
            heard.iter().map(Frame::ethertype).collect::<Vec<_>>()
        };
        assert_eq!(arrive(), [0u16; 0], "{means:?}");
        for vhid in [7, 8] {
            site.gate_of(vhid, Gate::Open);
            assert_eq!(arrive(), [0x0806], "{means:?} {vhid}");
            site.gate_of(vhid, Gate::Shut);
        }
    }
}

/// The vectors of the fixture, made by reading OpenBSD's rule.
#[test]
fn the_fold_is_openbsds() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/carp-vectors.json"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = file["balancing"]["ip_fold"].as_array().unwrap();
    assert!(vectors.len() >= 5);
    for vector in vectors {
        let address = |key: &str| vector[key].as_str().unwrap().parse::<IpAddr>().unwrap();
        let (src, dst) = (address("src"), address("dst"));
        let expected = u32::from_str_radix(vector["fold"].as_str().unwrap(), 16).unwrap();
        assert_eq!(fold(src, dst), expected, "{vector}");
        for count in 2..=4 {
            let place = vector[format!("mod{count}")].as_u64().unwrap();
            let got = share(src, dst, count).unwrap();
            assert_eq!(u64::try_from(got).unwrap(), place, "{vector}");
        }
    }
}
