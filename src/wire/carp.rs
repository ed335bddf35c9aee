//! The CARP advertisement, 36 bytes behind an IP header; must not know keys, states or who is better.

use super::Error;
use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::util;
use std::fmt;
use std::net::Ipv6Addr;

/// The IP protocol number, shared with VRRP.
pub const PROTOCOL: u8 = 112;
/// Bytes of an advertisement; what follows them is not looked at.
pub const LEN: usize = 36;
/// The version, in the high half of the first byte, and whole in the digest.
pub const VERSION: u8 = 2;
/// The only type, in the low half of the first byte, and whole in the digest. No receiver looks at it.
pub const TYPE: u8 = 1;
/// The TTL or hop limit that proves that no router is in between.
pub const TTL: u8 = 255;

/// Counter and digest in 32-bit words; no receiver looks at it.
const AUTHLEN: u8 = 7;
/// Where the checksum is, in 16-bit words.
const CHECKSUM_WORD: usize = 3;
/// Further than any word: nothing is left out of the sum.
const NO_WORD: usize = usize::MAX;

/// What an advertisement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Advertisement {
    /// Virtual host id; 0 is nobody's, but may be on the wire.
    pub vhid: u8,
    /// In 1/256 s; 255 in a goodbye. Not covered by the digest.
    pub advskew: u8,
    /// OpenBSD's demotion counter, 0 from all others. Not covered by the digest.
    pub demote: u8,
    /// In seconds. Not covered by the digest.
    pub advbase: u8,
    /// Eight opaque bytes (most systems count in them, high word first).
    pub counter: [u8; 8],
    /// HMAC-SHA1, see `carp::auth`.
    pub digest: [u8; 20],
}

/// Which bytes the checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// The 36 bytes alone: IPv4 everywhere, IPv6 of OpenBSD, FreeBSD and NetBSD up to 7.
    Plain,
    /// With the IPv6 pseudo-header of these addresses, source first: NetBSD from about 2020.
    PseudoHeader(Ipv6Addr, Ipv6Addr),
}

impl Checksum {
    /// The checksum of these bytes without the word at `skip`; 0 if nothing is skipped and the checksum in them is right.
    fn over(self, bytes: &[u8], skip: usize) -> u16 {
        match self {
            Self::Plain => util::checksum(bytes, skip),
            Self::PseudoHeader(src, dst) => {
                util::ipv6_checksum(bytes, skip, &[], &src, &dst, IpNextHeaderProtocol(PROTOCOL))
            }
        }
    }
}

impl Advertisement {
    /// Reads the first 36 bytes. The checksum is [`verify`]'s, the digest the engine's; type and authlen are nobody's.
    ///
    /// # Errors
    /// [`Error::BadLen`] under 36 bytes, [`Error::BadVer`] if not version 2.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: &[u8; LEN] = bytes.first_chunk().ok_or(Error::BadLen)?;
        if version(bytes) != Some(VERSION) {
            return Err(Error::BadVer);
        }
        let [_, vhid, advskew, _authlen, demote, advbase, _, _, rest @ ..] = bytes;
        let mut counter = [0; 8];
        let mut digest = [0; 20];
        counter.copy_from_slice(&rest[..8]);
        digest.copy_from_slice(&rest[8..]);
        Ok(Self {
            vhid: *vhid,
            advskew: *advskew,
            demote: *demote,
            advbase: *advbase,
            counter,
            digest,
        })
    }

    /// The 36 bytes, with the checksum that all but one system expect.
    #[must_use]
    pub fn emit(&self) -> [u8; LEN] {
        self.emit_with(Checksum::Plain)
    }

    /// The 36 bytes, with the checksum of this form.
    #[must_use]
    pub fn emit_with(&self, form: Checksum) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0] = VERSION << 4 | TYPE;
        bytes[1] = self.vhid;
        bytes[2] = self.advskew;
        bytes[3] = AUTHLEN;
        bytes[4] = self.demote;
        bytes[5] = self.advbase;
        bytes[8..16].copy_from_slice(&self.counter);
        bytes[16..].copy_from_slice(&self.digest);
        let sum = form.over(&bytes, CHECKSUM_WORD);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

impl fmt::Display for Advertisement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            vhid,
            advskew,
            demote,
            advbase,
            counter,
            ..
        } = self;
        let counter = u64::from_be_bytes(*counter);
        write!(
            f,
            "CARP vhid {vhid} advbase {advbase} advskew {advskew} demote {demote} counter {counter:#018x}"
        )
    }
}

/// The version of an advertisement, `None` without bytes.
#[must_use]
pub fn version(bytes: &[u8]) -> Option<u8> {
    bytes.first().map(|first| first >> 4)
}

/// The type of an advertisement, `None` without bytes.
#[must_use]
pub fn kind(bytes: &[u8]) -> Option<u8> {
    bytes.first().map(|first| first & 0x0f)
}

/// The vhid of an advertisement of any version: the BSDs look it up (badvhid) before they look at the version (badver).
#[must_use]
pub fn vhid(bytes: &[u8]) -> Option<u8> {
    bytes.get(1).copied()
}

/// Which form of checksum the first 36 bytes carry; `addresses` are source and destination if it came over IPv6.
#[must_use]
pub fn checksum_form(bytes: &[u8], addresses: Option<(Ipv6Addr, Ipv6Addr)>) -> Option<Checksum> {
    let bytes: &[u8; LEN] = bytes.first_chunk()?;
    let pseudo = addresses.map(|(src, dst)| Checksum::PseudoHeader(src, dst));
    [Some(Checksum::Plain), pseudo]
        .into_iter()
        .flatten()
        .find(|form| form.over(bytes, NO_WORD) == 0)
}

/// True if the first 36 bytes carry a right checksum, over IPv6 of either form.
#[must_use]
pub fn checksum_ok(bytes: &[u8], addresses: Option<(Ipv6Addr, Ipv6Addr)>) -> bool {
    checksum_form(bytes, addresses).is_some()
}

/// All that a BSD checks before it looks up the vhid, in its order: TTL, length, checksum.
///
/// # Errors
/// [`Error::BadTtl`], [`Error::BadLen`], [`Error::BadSum`].
pub fn verify(
    ttl: u8,
    bytes: &[u8],
    addresses: Option<(Ipv6Addr, Ipv6Addr)>,
) -> Result<Checksum, Error> {
    if ttl != TTL {
        return Err(Error::BadTtl);
    }
    if bytes.len() < LEN {
        return Err(Error::BadLen);
    }
    checksum_form(bytes, addresses).ok_or(Error::BadSum)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// OpenBSD's with one demotion: vector v4-openbsd-demote-1.
    const BYTES: [u8; LEN] = [
        0x21, 0x01, 0x00, 0x07, 0x01, 0x01, 0xe6, 0xaa, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
        0x07, 0x14, 0x47, 0xf5, 0x26, 0xc3, 0xc5, 0x39, 0xd1, 0x07, 0xa9, 0x49, 0x7a, 0x90, 0xfd,
        0xbe, 0xe2, 0x8c, 0x1f, 0xb7, 0x13,
    ];
    const SRC: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const DST: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

    fn value() -> Advertisement {
        let mut digest = [0; 20];
        digest.copy_from_slice(&BYTES[16..]);
        let counter = 0x0001_0203_0405_0607_u64.to_be_bytes();
        Advertisement {
            vhid: 1,
            advskew: 0,
            demote: 1,
            advbase: 1,
            counter,
            digest,
        }
    }

    #[test]
    fn deconstructs() {
        assert_eq!(
            (version(&BYTES), kind(&BYTES), vhid(&BYTES)),
            (Some(2), Some(1), Some(1))
        );
        assert_eq!((version(&[]), kind(&[]), vhid(&[0x21])), (None, None, None));
    }

    #[test]
    fn parses() {
        assert_eq!(Advertisement::parse(&BYTES), Ok(value()));
    }

    #[test]
    fn emits() {
        assert_eq!(value().emit(), BYTES);
    }

    #[test]
    fn every_field_survives_the_round_trip() {
        let goodbye = Advertisement {
            vhid: 255,
            advskew: 254,
            demote: 253,
            advbase: 252,
            ..value()
        };
        assert_eq!(Advertisement::parse(&goodbye.emit()), Ok(goodbye));
        assert_eq!(
            Advertisement::parse(&goodbye.emit_with(Checksum::PseudoHeader(SRC, DST))),
            Ok(goodbye)
        );
    }

    #[test]
    fn more_than_36_bytes_are_tolerated_and_not_summed() {
        let longer = [&BYTES[..], &[0xde, 0xad]].concat();
        assert_eq!(Advertisement::parse(&longer), Ok(value()));
        assert_eq!(verify(255, &longer, None), Ok(Checksum::Plain));
    }

    #[test]
    fn type_and_authlen_are_nobodys_but_version_is() {
        let mut odd = BYTES;
        (odd[0], odd[3]) = (0x22, 0);
        assert_eq!(Advertisement::parse(&odd), Ok(value()));
        odd[0] = 0x31;
        assert_eq!(Advertisement::parse(&odd), Err(Error::BadVer));
        assert_eq!(Advertisement::parse(&odd[..35]), Err(Error::BadLen));
    }

    #[test]
    fn the_checks_come_in_the_order_of_the_bsds() {
        let mut bad = BYTES;
        bad[6] ^= 1;
        assert_eq!(verify(254, &bad[..35], None), Err(Error::BadTtl));
        assert_eq!(verify(255, &bad[..35], None), Err(Error::BadLen));
        assert_eq!(verify(255, &bad, None), Err(Error::BadSum));
    }

    #[test]
    fn the_pseudo_header_form_is_accepted_over_ipv6_only() {
        let form = Checksum::PseudoHeader(SRC, DST);
        let bytes = value().emit_with(form);
        assert_ne!(bytes, BYTES);
        assert_eq!(checksum_form(&bytes, Some((SRC, DST))), Some(form));
        assert_eq!(
            checksum_form(&BYTES, Some((SRC, DST))),
            Some(Checksum::Plain)
        );
        assert!(!checksum_ok(&bytes, None));
        assert!(!checksum_ok(&bytes, Some((SRC, SRC))));
    }

    #[test]
    fn both_zeros_of_ones_complement_are_a_right_checksum() {
        let mut bytes = BYTES;
        // Takes the sum without the checksum field to 0xffff, so that the field may be 0x0000 or 0xffff.
        bytes[6..8].fill(0);
        let rest = u16::from_be_bytes([bytes[34], bytes[35]]);
        let missing = util::checksum(&bytes, CHECKSUM_WORD);
        let sum = u32::from(rest) + u32::from(missing);
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        bytes[34..].copy_from_slice(&sum.to_be_bytes());
        assert!(checksum_ok(&bytes, None));
        bytes[6..8].fill(0xff);
        assert!(checksum_ok(&bytes, None));
    }

    #[test]
    fn shows_itself_in_one_line() {
        let line = "CARP vhid 1 advbase 1 advskew 0 demote 1 counter 0x0001020304050607";
        assert_eq!(value().to_string(), line);
    }
}
