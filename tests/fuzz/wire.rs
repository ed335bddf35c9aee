//! Frames: read without panic, judged alike however they are asked, and written again the same.

use crate::TIME;
use crate::corpus::{Edited, repair};
use crate::made::Made;
use carp::wire::carp::{Advertisement, LEN, checksum_form, kind, verify, version, vhid};
use carp::wire::{Frame, frame};
use std::net::IpAddr;

/// All that can be done with a frame, short of state.
fn receive(bytes: &[u8]) {
    let Ok(parsed) = frame::parse(bytes) else {
        return;
    };
    match parsed {
        Frame::Advertisement {
            src,
            dst,
            ttl,
            payload,
            ..
        } => {
            assert!(payload.len() + 34 <= bytes.len(), "more payload than frame");
            advertisement(src, dst, ttl, payload);
        }
        Frame::Arp(packet) => {
            assert_eq!(frame::parse(&packet.emit()), Ok(Frame::Arp(packet)));
            assert!(!packet.to_string().is_empty());
            assert_eq!(carp::wire::arp::reply(&packet, packet.dst_mac).len(), 42);
        }
        Frame::Solicitation(asked) => {
            assert!(!asked.target.is_multicast());
            assert_eq!(frame::parse(&asked.emit()), Ok(Frame::Solicitation(asked)));
            assert!(!asked.to_string().is_empty());
            let mac = carp::wire::MacAddr::of_vhid(1);
            let answer = carp::wire::nd::Advertisement::answer(&asked, mac, true);
            let again = answer.emit();
            // An answer is one that we would take ourselves.
            assert_eq!(
                frame::parse(&again),
                Ok(Frame::NeighbourAdvertisement(answer))
            );
        }
        Frame::NeighbourAdvertisement(answer) => {
            let again = answer.emit();
            assert_eq!(
                frame::parse(&again),
                Ok(Frame::NeighbourAdvertisement(answer))
            );
            assert!(!answer.to_string().is_empty());
        }
        Frame::Other => {}
    }
}

fn advertisement(src: IpAddr, dst: IpAddr, ttl: u8, payload: &[u8]) {
    let addresses = match (src, dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => Some((src, dst)),
        _ => None,
    };
    let form = verify(ttl, payload, addresses);
    assert_eq!(
        form.is_ok(),
        ttl == 255 && checksum_form(payload, addresses).is_some()
    );
    let Ok(ad) = Advertisement::parse(payload) else {
        assert!(payload.len() < LEN || version(payload) != Some(2));
        return;
    };
    assert_eq!(vhid(payload), Some(ad.vhid));
    assert!(!ad.to_string().is_empty());
    let mut again = ad.emit_with(form.unwrap_or(carp::wire::carp::Checksum::Plain));
    assert_eq!(Advertisement::parse(&again), Ok(ad));
    // What it does not keep: the type and authlen, which no receiver reads.
    again[0] = 0x20 | kind(payload).unwrap();
    let same = again.iter().zip(payload).enumerate();
    let same = same.filter(|(at, (ours, theirs))| ours != theirs && !matches!(at, 3 | 6 | 7));
    assert_eq!(same.count(), 0);
}

#[test]
fn raw_frames() {
    bolero::check!()
        .with_max_len(256)
        .with_test_time(TIME)
        .for_each(|bytes: &[u8]| receive(bytes));
}

#[test]
fn edited_frames() {
    bolero::check!()
        .with_type::<Edited>()
        .with_test_time(TIME)
        .for_each(|edited| receive(&edited.bytes()));
}

#[test]
fn made_frames() {
    bolero::check!()
        .with_type::<Made>()
        .with_test_time(TIME)
        .for_each(|made| receive(&made.bytes()));
}

/// Raw bytes behind sound headers, with or without sound checksums: what no header's check keeps from the decoders inside.
#[test]
fn raw_payloads() {
    bolero::check!()
        .with_max_len(256)
        .with_test_time(TIME)
        .for_each(|bytes: &[u8]| {
            let [pick, payload @ ..] = bytes else { return };
            let mut frame = match pick % 6 {
                0 => behind_inet(payload),
                1 => [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6], payload].concat(),
                // An ARP packet as far as its first eight bytes go.
                2 => {
                    let about = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + (pick >> 7)];
                    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &about, payload].concat()
                }
                3 => behind_inet6(112, payload),
                // A solicitation or an answer as far as its type and code go.
                4 => behind_inet6(58, &[&[135 + (pick >> 7), 0][..], payload].concat()),
                _ => behind_inet6([58, 0, 43, 60][usize::from(pick >> 6)], payload),
            };
            receive(&frame);
            repair(&mut frame);
            receive(&frame);
        });
}

fn behind_inet(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, 1, 8, 0];
    let length = (20 + payload.len() as u16).to_be_bytes();
    frame.extend([0x45, 0x10, length[0], length[1], 0, 0, 0x40, 0]);
    frame.extend([255, 112, 0, 0, 192, 0, 2, 1, 224, 0, 0, 18]);
    frame.extend(payload);
    frame
}

fn behind_inet6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 0x12, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
    let length = (payload.len() as u16).to_be_bytes();
    frame.extend([0x60, 0, 0, 0, length[0], length[1], protocol, 255]);
    frame.extend("fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    frame.extend("ff02::12".parse::<std::net::Ipv6Addr>().unwrap().octets());
    frame.extend(payload);
    frame
}
