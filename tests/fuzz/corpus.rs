//! The frames of the captures, and edits that keep most of a frame valid.

use crate::pcap::{fixtures, read_fixture};
use bolero::TypeGenerator;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Every frame of every capture, each once.
pub static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let frames: BTreeSet<Vec<u8>> = fixtures()
        .iter()
        .flat_map(|name| read_fixture(name))
        .map(|record| record.bytes)
        .collect();
    frames.into_iter().collect()
});

/// One change to bytes. Places are taken modulo their length.
#[derive(Debug, Clone, TypeGenerator)]
pub enum Edit {
    Set(u8, u8),
    Flip(u8, #[generator(0..8)] u8),
    Add(u8, u8),
    Cut(u8),
    Grow(u8, u8),
    Remove(u8, #[generator(1..9)] u8),
    Insert(u8, [u8; 2]),
    /// What is behind this place comes from another frame.
    Splice(u8, u16),
}

/// A frame of the captures after some edits; `sums` says whether checksums are made right afterwards.
#[derive(Debug, Clone, TypeGenerator)]
pub struct Edited {
    frame: u16,
    #[generator(bolero::produce::<Vec<Edit>>().with().len(0..6usize))]
    edits: Vec<Edit>,
    sums: bool,
}

impl Edited {
    pub fn bytes(&self) -> Vec<u8> {
        edited(from(&FRAMES, self.frame).clone(), &self.edits, self.sums)
    }
}

/// The frame after the edits, its checksums made right if asked for.
pub fn edited(mut bytes: Vec<u8>, edits: &[Edit], sums: bool) -> Vec<u8> {
    for edit in edits {
        edit.apply(&mut bytes, &FRAMES);
    }
    if sums {
        repair(&mut bytes);
    }
    bytes
}

/// One of them, by number.
pub fn from<T>(all: &[T], number: u16) -> &T {
    &all[usize::from(number) % all.len()]
}

impl Edit {
    pub fn apply(&self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let length = bytes.len().max(1);
        let place = |at: u8| usize::from(at) % length;
        let at = |at: u8| place(at).min(bytes.len().saturating_sub(1));
        match *self {
            _ if bytes.is_empty() => {}
            Self::Set(to, value) => {
                let at = at(to);
                bytes[at] = value;
            }
            Self::Flip(to, bit) => {
                let at = at(to);
                bytes[at] ^= 1 << bit;
            }
            Self::Add(to, value) => {
                let at = at(to);
                bytes[at] = bytes[at].wrapping_add(value);
            }
            Self::Cut(to) => bytes.truncate(place(to)),
            Self::Grow(more, value) => bytes.resize(bytes.len() + usize::from(more), value),
            Self::Remove(to, count) => {
                let end = (place(to) + usize::from(count)).min(bytes.len());
                bytes.drain(place(to)..end);
            }
            Self::Insert(to, new) => {
                bytes.splice(place(to)..place(to), new);
            }
            Self::Splice(to, other) => {
                let other = from(others, other);
                bytes.truncate(place(to));
                bytes.extend(other.iter().skip(place(to)));
            }
        }
    }
}

/// The Internet checksum (RFC 1071).
fn folded(bytes: &[u8], mut sum: u32) -> [u8; 2] {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    }
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Makes the checksums right of what looks like IPv4, CARP behind it or behind IPv6, or ICMPv6.
pub fn repair(bytes: &mut [u8]) {
    let carp = match bytes.get(12..14) {
        Some([0x08, 0x00]) if bytes.len() >= 34 => {
            let end = (14 + usize::from(bytes[14] & 15) * 4).clamp(34, bytes.len());
            bytes[24..26].fill(0);
            let sum = folded(&bytes[14..end], 0);
            bytes[24..26].copy_from_slice(&sum);
            (bytes[23] == 112).then_some(end)
        }
        Some([0x86, 0xdd]) if bytes.len() >= 58 && bytes[20] == 58 => {
            let length = usize::from(u16::from_be_bytes([bytes[18], bytes[19]]));
            let end = (54 + length).clamp(58, bytes.len());
            bytes[56..58].fill(0);
            let sum = folded(&bytes[22..end], length as u32 + 58);
            bytes[56..58].copy_from_slice(&sum);
            None
        }
        Some([0x86, 0xdd]) if bytes.len() >= 54 && bytes[20] == 112 => Some(54),
        _ => None,
    };
    if let Some(header) = carp
        && let Some(carp) = bytes.get_mut(header..header + 36)
    {
        carp[6..8].fill(0);
        let sum = folded(carp, 0);
        carp[6..8].copy_from_slice(&sum);
    }
}
