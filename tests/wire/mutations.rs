//! Every fixture frame cut, flipped and scrambled: nothing panics, nothing grows, and no single flipped bit in an
//! advertisement's headers is taken for the original.

use crate::receive;
use crate::support::pcap::{fixtures, read_fixture};
use carp::wire::carp::{Advertisement, checksum_ok, verify};
use carp::wire::{Frame, frame};
use std::collections::BTreeSet;

/// The frames of all captures, each once.
fn frames() -> BTreeSet<Vec<u8>> {
    fixtures()
        .iter()
        .flat_map(|name| read_fixture(name))
        .map(|record| record.bytes)
        .collect()
}

/// All that a receiver does with bytes from outside, short of the digest.
fn digest_nothing(bytes: &[u8]) {
    match frame::parse(bytes) {
        Ok(Frame::Advertisement {
            src,
            dst,
            ttl,
            payload,
            ..
        }) => {
            assert!(payload.len() + 34 <= bytes.len(), "more payload than frame");
            let addresses = crate::addresses(src, dst);
            let verdict = verify(ttl, payload, addresses);
            assert!(verdict.is_err() || (payload.len() >= 36 && checksum_ok(payload, addresses)));
            if let Ok(advertisement) = Advertisement::parse(payload) {
                assert!(!advertisement.to_string().is_empty());
            }
        }
        Ok(Frame::Arp(packet)) => {
            assert_eq!(carp::wire::arp::reply(&packet, packet.dst_mac).len(), 42)
        }
        Ok(Frame::Solicitation(asked)) => {
            assert!(!asked.target.is_multicast());
            let answer = carp::wire::nd::Advertisement::answer(&asked, asked.dst_mac, false);
            assert_eq!(answer.emit().len(), 86);
        }
        Ok(Frame::NeighbourAdvertisement(answer)) => assert!(!answer.target.is_multicast()),
        Ok(Frame::Other) | Err(_) => {}
    }
}

/// Xorshift: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

fn folded(bytes: &[u8], mut sum: u32) -> [u8; 2] {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    }
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// Makes the IPv4 or ICMPv6 checksum right again, so that what is behind it gets to see the damage.
fn heal(bytes: &mut [u8]) {
    match bytes.get(12..14) {
        Some([0x08, 0x00]) if bytes.len() >= 34 => {
            let end = (14 + usize::from(bytes[14] & 15) * 4).clamp(34, bytes.len());
            bytes[24..26].fill(0);
            let sum = folded(&bytes[14..end], 0);
            bytes[24..26].copy_from_slice(&sum);
        }
        Some([0x86, 0xdd]) if bytes.len() >= 58 && bytes[20] == 58 => {
            let length = u32::from(u16::from_be_bytes([bytes[18], bytes[19]]));
            let end = (54 + length as usize).clamp(58, bytes.len());
            bytes[56..58].fill(0);
            let sum = folded(&bytes[22..end], length + 58);
            bytes[56..58].copy_from_slice(&sum);
        }
        _ => {}
    }
}

#[test]
fn cut_anywhere() {
    for frame in frames() {
        for length in 0..frame.len() {
            digest_nothing(&frame[..length]);
            let mut healed = frame[..length].to_vec();
            heal(&mut healed);
            digest_nothing(&healed);
        }
    }
}

#[test]
fn any_byte_changed() {
    for frame in frames() {
        for at in 0..frame.len() {
            for byte in [
                0,
                0xff,
                frame[at] ^ 1,
                frame[at] ^ 0x80,
                frame[at].wrapping_add(1),
            ] {
                let mut changed = frame.clone();
                changed[at] = byte;
                digest_nothing(&changed);
                heal(&mut changed);
                digest_nothing(&changed);
            }
        }
    }
}

#[test]
fn scrambled() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for frame in frames() {
        for _ in 0..100 {
            let mut changed = frame.clone();
            for _ in 0..=dice.below(8) {
                let at = dice.below(changed.len());
                changed[at] = dice.byte();
            }
            match dice.below(4) {
                0 => changed.truncate(dice.below(frame.len())),
                1 => changed.extend_from_slice(&frame),
                _ => {}
            }
            if dice.below(2) == 0 {
                heal(&mut changed);
            }
            digest_nothing(&changed);
        }
    }
}

#[test]
fn one_flipped_bit_never_passes_for_the_original() {
    let mut flips = 0;
    for frame in frames() {
        let Ok(original) = receive_if_advertisement(&frame) else {
            continue;
        };
        // The others have options, padding or a tail, which nobody sums.
        if frame.len() != if original.src.is_ipv4() { 70 } else { 90 } {
            continue;
        }
        // Of IPv6 headers no checksum speaks; of IPv4, from the header on.
        let first = if original.src.is_ipv4() { 14 } else { 54 };
        for bit in first * 8..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                receive_if_advertisement(&flipped).is_err(),
                "bit {bit} of {frame:02x?}"
            );
            flips += 1;
        }
    }
    assert!(flips > 900 * 36 * 8, "{flips}");
}

/// As `receive`, and an error too if it is no advertisement.
fn receive_if_advertisement(bytes: &[u8]) -> Result<crate::Received, ()> {
    match frame::parse(bytes) {
        Ok(Frame::Advertisement { .. }) => receive(bytes).map_err(|_| ()),
        _ => Err(()),
    }
}
