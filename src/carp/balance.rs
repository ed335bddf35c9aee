//! Which of several virtual hosts an asker belongs to; pure, must not know who is MASTER or what was asked.
//!
//! All hosts of a group come to the same answer, so exactly one of them, the MASTER of that vhid, answers.

use super::config::{Key, Selector};
use crate::wire::MacAddr;
use sha1::{Digest, Sha1};
use std::net::IpAddr;

/// An asker as all hosts of the segment see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Its address; unspecified while it only looks whether an address is taken.
    pub ip: IpAddr,
    /// Its Ethernet address as it tells it: the ARP sender, the source link-layer option; where it tells none, the source of
    /// its frame.
    pub mac: MacAddr,
}

/// The place of the virtual host for an asker, below `count`; `None` when there is none.
#[must_use]
pub fn select(selector: Selector, key: &Key, asker: Asker, count: usize) -> Option<usize> {
    match selector {
        Selector::Source => place(source(asker.ip), count),
        Selector::Mac { big_endian, .. } => {
            let hash = MacHash::new(key, big_endian);
            place(hash.of(asker.mac).into(), count)
        }
    }
}

fn place(number: u128, count: usize) -> Option<usize> {
    let place = number.checked_rem(u128::try_from(count).ok()?)?;
    usize::try_from(place).ok()
}

/// An address as an unsigned integer, of 32 bits or of 128: consecutive askers take turns, and a probe, which has no
/// address, is the first virtual host's.
#[must_use]
pub fn source(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// OpenBSD 4's and NetBSD's hash of an Ethernet address, keyed with the passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacHash {
    /// Two words of a digest over the key.
    keys: [u32; 2],
    /// The first four bytes of the key.
    first: u32,
}

impl MacHash {
    /// `big_endian`: as a big-endian host of theirs reads the digest. It is one over the inner pad of HMAC and two bytes, so
    /// the vhid has no part in it.
    #[must_use]
    pub fn new(key: &Key, big_endian: bool) -> Self {
        let mut block = [0x36; 64];
        for (padded, byte) in block.iter_mut().zip(key.as_bytes()) {
            *padded ^= byte;
        }
        let digest = Sha1::new()
            .chain_update(block)
            .chain_update([2, 1])
            .finalize();
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(digest.chunks_exact(4)) {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            *word = if big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            };
        }
        let [k0, k1, k2, k3, ..] = *key.as_bytes();
        Self {
            keys: [words[0] ^ words[1], words[2] ^ words[3]],
            first: u32::from_le_bytes([k0, k1, k2, k3]),
        }
    }

    /// The two words taken from the digest.
    #[must_use]
    pub const fn keys(&self) -> [u32; 2] {
        self.keys
    }

    /// The hash of one address: one round of Jenkins' 96-bit mix.
    #[must_use]
    pub fn of(&self, MacAddr([m0, m1, m2, m3, m4, m5]): MacAddr) -> u32 {
        let mut a = 0x9e37_79b9_u32.wrapping_add(u32::from_le_bytes([m0, m1, m2, m3]));
        let mut b = self.keys[0].wrapping_add(u32::from_le_bytes([m4, m5, 0, 0]));
        let mut c = self.keys[1].wrapping_add(self.first);
        for [right, left, last] in [[13, 8, 13], [12, 16, 5], [3, 10, 15]] {
            a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> right);
            b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << left);
            c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> last);
        }
        c
    }
}
