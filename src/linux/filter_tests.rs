//! The filter programs, run by an interpreter of the classic BPF they use; must not open a socket.
#![allow(clippy::unwrap_used)]

use super::*;

/// A frame as the kernel shows it to a filter: the outer tag is metadata.
#[derive(Default, Clone)]
struct Seen {
    bytes: Vec<u8>,
    packet_type: u32,
    mark: u32,
    tag: Option<(u32, u32)>,
}

fn seen(bytes: Vec<u8>) -> Seen {
    Seen {
        bytes,
        ..Seen::default()
    }
}

fn passes(filter: &Filter, frame: &Seen) -> bool {
    run(&filter.program, frame)
}

fn run(program: &[Instruction], frame: &Seen) -> bool {
    let load = |offset: u32, length: usize| -> Option<u32> {
        match offset {
            PACKET_TYPE => Some(frame.packet_type),
            MARK => Some(frame.mark),
            VLAN_TAG_PRESENT => Some(u32::from(frame.tag.is_some())),
            VLAN_TAG => Some(frame.tag.map_or(0, |t| t.1)),
            VLAN_PROTOCOL => Some(frame.tag.map_or(0, |t| t.0)),
            _ => {
                let at = usize::try_from(offset).unwrap();
                let bytes = frame.bytes.get(at..at + length)?;
                Some(
                    bytes
                        .iter()
                        .fold(0, |all, byte| all << 8 | u32::from(*byte)),
                )
            }
        }
    };
    let (mut at, mut a) = (0usize, 0u32);
    loop {
        let i = program[at];
        at += 1;
        match i.code {
            LD_W | LD_H | LD_B => {
                let length = match i.code {
                    LD_W => 4,
                    LD_H => 2,
                    _ => 1,
                };
                match load(i.k, length) {
                    Some(value) => a = value,
                    None => return false,
                }
            }
            AND => a &= i.k,
            JA => at += usize::try_from(i.k).unwrap(),
            JEQ => at += usize::from(if a == i.k { i.jt } else { i.jf }),
            JSET => at += usize::from(if a & i.k != 0 { i.jt } else { i.jf }),
            RET => return i.k != 0,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

const CLIENT: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

fn ethernet(to: MacAddr, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to.0[..], &CLIENT.0, &kind.to_be_bytes(), payload].concat()
}

fn ipv4(protocol: u8, options: usize) -> Vec<u8> {
    let mut header = vec![0; 20 + options];
    header[0] = 0x45 + u8::try_from(options / 4).unwrap();
    header[9] = protocol;
    ethernet(
        MacAddr([1, 0, 0x5e, 0, 0, 18]),
        0x0800,
        &[header, vec![0; 36]].concat(),
    )
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 40];
    header[0] = 0x60;
    header[6] = next;
    ethernet(
        MacAddr([0x33, 0x33, 0, 0, 0, 18]),
        0x86dd,
        &[&header[..], payload].concat(),
    )
}

fn arp(operation: u16, target: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4];
    body.extend(operation.to_be_bytes());
    body.extend([0; 16]);
    body.extend(target.octets());
    ethernet(MacAddr::BROADCAST, 0x0806, &body)
}

fn icmp6(kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    ipv6(58, &body)
}

fn addresses(n: u32) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let v4 = (0..n)
        .map(|i| Ipv4Addr::from_bits(0xc000_0200 + i))
        .collect();
    let v6 = (0..n)
        .map(|i| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::try_from(i).unwrap()))
        .collect();
    (v4, v6)
}

#[test]
fn none_refuses_everything() {
    for filter in [
        Filter::none(),
        Filter::unicast_to(&[]),
        Filter::neighbours(Vantage::Wire, &[], &[]),
    ] {
        assert!(!passes(&filter, &seen(ipv4(112, 0))));
        assert_eq!(filter.program.len(), 1);
    }
}

#[test]
fn advertisements_of_both_families_pass_and_nothing_else() {
    let filter = Filter::advertisements(Vantage::Wire);
    let options = [112, 0, 5, 2, 0, 0, 1, 0];
    let report = [58, 0, 5, 2, 0, 0, 1, 0, 143];
    for (frame, expected) in [
        (ipv4(112, 0), true),
        (ipv4(112, 40), true),
        (ipv4(6, 0), false),
        (ipv4(2, 4), false),
        (ipv6(112, &[0; 36]), true),
        (ipv6(0, &options), true),
        (ipv6(60, &options), true),
        (ipv6(44, &options), true),
        (ipv6(0, &[60, 0, 5, 2, 0, 0, 1, 0]), true),
        (ipv6(0, &report), false),
        (ipv6(58, &[135; 24]), false),
        (ipv6(17, &[0; 8]), false),
        (arp(1, Ipv4Addr::LOCALHOST), false),
        (vec![0; 13], false),
        (ipv6(0, &[]), false),
        (vec![], false),
    ] {
        assert_eq!(
            passes(&filter, &seen(frame.clone())),
            expected,
            "{frame:02x?}"
        );
    }
}

#[test]
fn neighbours_pass_for_the_listed_targets_only() {
    let (v4, v6) = addresses(3);
    let filter = Filter::neighbours(Vantage::Wire, &v4, &v6);
    for address in &v4 {
        assert!(passes(&filter, &seen(arp(1, *address))));
        assert!(
            !passes(&filter, &seen(arp(2, *address))),
            "an ARP reply is none of ours"
        );
    }
    for address in &v6 {
        assert!(passes(&filter, &seen(icmp6(135, *address))));
        let mut answer = icmp6(136, *address);
        answer[38..54].fill(0xff);
        assert!(
            !passes(&filter, &seen(answer.clone())),
            "nor is an advertisement to others"
        );
        answer[38..54].copy_from_slice(&address.octets());
        assert!(passes(&filter, &seen(answer)), "but to a shared address");
    }
    assert!(!passes(
        &filter,
        &seen(arp(1, "192.0.2.77".parse().unwrap()))
    ));
    for word in 0..4 {
        let mut octets = v6[1].octets();
        octets[word * 4] ^= 0x40;
        assert!(
            !passes(&filter, &seen(icmp6(135, octets.into()))),
            "word {word} is compared"
        );
    }
    let only_v4 = Filter::neighbours(Vantage::Wire, &v4, &[]);
    assert!(!passes(&only_v4, &seen(icmp6(135, v6[0]))));
}

#[test]
fn neighbours_beyond_a_program_look_at_no_address() {
    let (v4, v6) = addresses(300);
    assert!(Filter::neighbours(Vantage::Wire, &v4, &v6).program.len() <= 4096);
    assert!(!passes(
        &Filter::neighbours(Vantage::Wire, &v4, &v6),
        &seen(arp(1, Ipv4Addr::LOCALHOST))
    ));
    assert!(passes(
        &Filter::neighbours(Vantage::Wire, &v4, &v6),
        &seen(icmp6(135, v6[299]))
    ));
    let (v4, v6) = addresses(500);
    let filter = Filter::neighbours(Vantage::Wire, &v4, &v6);
    assert!(filter.program.len() < 100);
    assert!(passes(&filter, &seen(arp(1, Ipv4Addr::LOCALHOST))));
    assert!(passes(&filter, &seen(icmp6(135, Ipv6Addr::LOCALHOST))));
    assert!(!passes(&filter, &seen(arp(2, v4[0]))));
    assert!(passes(&filter, &seen(icmp6(136, v6[0]))));
    assert!(!passes(&filter, &seen(icmp6(137, v6[0]))));
}

#[test]
fn unicast_passes_by_the_whole_destination() {
    let mut macs: Vec<MacAddr> = (1..=255).map(MacAddr::of_vhid).collect();
    macs.push(MacAddr([2, 3, 4, 5, 6, 7]));
    let filter = Filter::unicast_to(&macs);
    assert!(filter.program.len() < 600);
    for mac in &macs {
        assert!(
            passes(&filter, &seen(ethernet(*mac, 0x0800, &[0; 46]))),
            "{mac}"
        );
    }
    for other in [
        MacAddr([0, 0, 0x5e, 0, 1, 0]),
        MacAddr([0, 0, 0x5e, 0, 2, 1]),
        MacAddr([2, 3, 4, 5, 6, 8]),
        MacAddr([0, 3, 4, 5, 6, 7]),
        MacAddr::BROADCAST,
    ] {
        assert!(
            !passes(&filter, &seen(ethernet(other, 0x0800, &[0; 46]))),
            "{other}"
        );
    }
    let coarse = |mac| run(&filter.coarse, &seen(ethernet(mac, 0x0800, &[])));
    assert!(coarse(CLIENT) && !coarse(MacAddr::BROADCAST));
}

#[test]
fn tags_and_own_frames_are_refused_by_all() {
    let (v4, v6) = addresses(1);
    let vm = MacAddr::of_vhid(1);
    for (filter, frame) in [
        (Filter::advertisements(Vantage::Wire), ipv4(112, 0)),
        (Filter::advertisements(Vantage::Wire), ipv6(112, &[0; 36])),
        (Filter::neighbours(Vantage::Wire, &v4, &v6), arp(1, v4[0])),
        (
            Filter::neighbours(Vantage::Wire, &v4, &v6),
            icmp6(135, v6[0]),
        ),
        (Filter::unicast_to(&[vm]), ethernet(vm, 0x0800, &[0; 46])),
    ] {
        let tagged = |kind, tag| Seen {
            tag: Some((kind, tag)),
            ..seen(frame.clone())
        };
        assert!(passes(&filter, &seen(frame.clone())));
        assert!(
            passes(&filter, &tagged(0x8100, 0)),
            "VID 0 is a priority, not a VLAN"
        );
        assert!(
            passes(&filter, &tagged(0x8100, 0xe000)),
            "whatever the priority"
        );
        assert!(!passes(&filter, &tagged(0x8100, 10)));
        assert!(!passes(&filter, &tagged(0x8100, 0xe00a)));
        assert!(!passes(&filter, &tagged(0x88a8, 0)));
        assert!(!passes(&filter, &tagged(0x88a8, 10)));
        let third_party = Seen {
            packet_type: 3,
            ..seen(frame.clone())
        };
        assert!(
            passes(&filter, &third_party),
            "the virtual MAC is not carpdev's"
        );
        assert!(!passes(
            &filter,
            &Seen {
                packet_type: OUTGOING,
                ..seen(frame.clone())
            }
        ));
        for kind in [0x8100u16, 0x88a8] {
            let mut inner = frame.clone();
            inner.splice(12..12, [kind.to_be_bytes(), [0, 10]].concat());
            assert!(
                !passes(
                    &filter,
                    &Seen {
                        tag: Some((0x8100, 0)),
                        ..seen(inner)
                    }
                ),
                "a second tag"
            );
        }
    }
}

#[test]
fn at_the_stack_another_hosts_frames_pass_only_when_they_were_withheld_for_us() {
    let (v4, v6) = addresses(1);
    let vantage = Vantage::Stack {
        withheld: 77,
        tagged: 79,
    };
    for (filter, frame) in [
        (Filter::advertisements(vantage), ipv4(112, 0)),
        (Filter::advertisements(vantage), ipv6(112, &[0; 36])),
        (Filter::neighbours(vantage, &v4, &v6), arp(1, v4[0])),
        (Filter::neighbours(vantage, &v4, &v6), icmp6(135, v6[0])),
    ] {
        let passes = |packet_type, mark| {
            let bytes = frame.clone();
            let seen = Seen {
                packet_type,
                mark,
                ..seen(bytes)
            };
            passes(&filter, &seen)
        };
        for ours in 0..OTHER_HOST {
            assert!(passes(ours, 0) && passes(ours, 5));
            assert!(!passes(ours, 79), "it had a tag");
        }
        assert!(passes(OTHER_HOST, 77));
        assert!(!passes(OTHER_HOST, 0) && !passes(OTHER_HOST, 78));
        assert!(!passes(OUTGOING, 0) && !passes(OUTGOING, 77));
    }
}
