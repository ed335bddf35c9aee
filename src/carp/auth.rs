//! HMAC-SHA1 as carp(4) does it; must not know state, timers or who sent what.
//!
//! The message is version, type, vhid, every shared address in ascending order, counter. All but
//! the counter is constant until the configuration changes, so the keyed context behind it is kept and cloned.

use super::config::{Key, Vhid};
use crate::wire::MacAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Version and type as they are hashed: two bytes, unlike the one byte 0x21 of the header.
const VERSION_AND_TYPE: [u8; 2] = [2, 1];

/// In front of what is hashed for [`Auth::seal`]: no advertisement begins so.
const SEAL: &[u8] = b"counter of carp for Linux";

/// Which addresses a digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// All of them: FreeBSD, NetBSD, DragonFly, UCARP.
    Orig,
    /// Without link-local IPv6 addresses: OpenBSD.
    NoV6Ll,
}

/// Which kinds a received digest equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Both: no link-local address is shared.
    Either,
    /// One only.
    Only(Kind),
}

/// The keyed contexts of one vhost. Never printed.
#[derive(Clone)]
pub struct Auth {
    orig: Hmac<Sha1>,
    /// Only where it differs from `orig`.
    nov6ll: Option<Hmac<Sha1>>,
    /// Over a label and the vhid.
    seal: Hmac<Sha1>,
}

impl Auth {
    /// The contexts for a key, a vhid and the shared addresses in any order.
    #[must_use]
    pub fn new(key: &Key, vhid: Vhid, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::with_mac(key, vhid, None, addresses)
    }

    /// The same for a carpN with an Ethernet address of the admin's choice, which OpenBSD hashes.
    #[must_use]
    pub fn with_mac(
        key: &Key,
        vhid: Vhid,
        mac: Option<MacAddr>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let hashed = hashed(addresses);
        let without: Vec<IpAddr> = hashed
            .iter()
            .copied()
            .filter(|a| !is_link_local(a))
            .collect();
        let nov6ll = (without.len() < hashed.len()).then(|| context(key, vhid, mac, &without));
        Self {
            orig: context(key, vhid, mac, &hashed),
            nov6ll,
            seal: seal(key, vhid),
        }
    }

    /// The digest of an advertisement with this counter.
    #[must_use]
    pub fn digest(&self, kind: Kind, counter: u64) -> [u8; 20] {
        let context = match kind {
            Kind::Orig => &self.orig,
            Kind::NoV6Ll => self.nov6ll.as_ref().unwrap_or(&self.orig),
        };
        let mut mac = context.clone();
        mac.update(&counter.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// A number that only who has the key can tell from `body`: by it hosts of ours know each other's counters. The
    /// addresses have no part in it.
    #[must_use]
    pub fn seal(&self, body: u64) -> u64 {
        let mut mac = self.seal.clone();
        mac.update(&body.to_be_bytes());
        let digest: [u8; 20] = mac.finalize().into_bytes().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Compares a received digest with both kinds, each in constant time and none left out because of the other.
    #[must_use]
    pub fn verify(&self, counter: u64, digest: &[u8; 20]) -> Option<Verified> {
        let equals = |context: &Hmac<Sha1>| {
            let mut mac = context.clone();
            mac.update(&counter.to_be_bytes());
            mac.verify_slice(digest).is_ok()
        };
        let orig = equals(&self.orig);
        match self.nov6ll.as_ref().map(equals) {
            None => orig.then_some(Verified::Either),
            Some(_) if orig => Some(Verified::Only(Kind::Orig)),
            Some(other) => other.then_some(Verified::Only(Kind::NoV6Ll)),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(..)")
    }
}

/// What is hashed of an address list: ascending, IPv4 first, each address once, without those that name nobody.
#[must_use]
pub fn hashed(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let sorted: BTreeSet<IpAddr> = addresses.into_iter().filter(|a| !is_nobody(a)).collect();
    sorted.into_iter().collect()
}

/// RFC 2104 pads the key with zeros, so BSD's 20-byte array and its unpadded phrase are the same key.
fn keyed(key: &Key) -> Hmac<Sha1> {
    Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length")
}

fn seal(key: &Key, vhid: Vhid) -> Hmac<Sha1> {
    let mut mac = keyed(key);
    mac.update(SEAL);
    mac.update(&[vhid.get()]);
    mac
}

fn context(key: &Key, vhid: Vhid, mac: Option<MacAddr>, addresses: &[IpAddr]) -> Hmac<Sha1> {
    let mut hmac = keyed(key);
    hmac.update(&VERSION_AND_TYPE);
    if let Some(mac) = mac {
        hmac.update(&mac.0);
    }
    hmac.update(&[vhid.get()]);
    for address in addresses {
        match address {
            IpAddr::V4(v4) => hmac.update(&v4.octets()),
            IpAddr::V6(v6) => hmac.update(&v6.octets()),
        }
    }
    hmac
}

fn is_nobody(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => *v4 == Ipv4Addr::UNSPECIFIED || *v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => *v6 == Ipv6Addr::UNSPECIFIED || v6.to_bits() == u128::MAX,
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
