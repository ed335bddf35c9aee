//! The 14 bytes in front of everything; must not know what they carry.

use super::{Error, MacAddr};
use pnet::packet::Packet as _;
use pnet::packet::ethernet::{EtherType, EthernetPacket, MutableEthernetPacket};
use pnet::util::MacAddr as PnetMac;

/// Bytes of an Ethernet header without tag.
pub(super) const HEADER_LEN: usize = 14;

impl From<PnetMac> for MacAddr {
    fn from(mac: PnetMac) -> Self {
        Self(mac.octets())
    }
}

impl From<MacAddr> for PnetMac {
    fn from(mac: MacAddr) -> Self {
        mac.0.into()
    }
}

/// What an Ethernet header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub src: MacAddr,
    pub dst: MacAddr,
    pub ethertype: EtherType,
}

/// Splits a frame into header and payload. A tag is not looked through: it shows as its own EtherType.
pub(super) fn parse(bytes: &[u8]) -> Result<(Header, &[u8]), Error> {
    let view = EthernetPacket::new(bytes).ok_or(Error::Truncated)?;
    let header = Header {
        src: view.get_source().into(),
        dst: view.get_destination().into(),
        ethertype: view.get_ethertype(),
    };
    debug_assert_eq!(view.payload().len(), bytes.len() - HEADER_LEN);
    Ok((header, &bytes[HEADER_LEN..]))
}

/// A frame with its header written and `payload` zero bytes behind. The driver pads it to 60 bytes where needed.
pub(super) fn emit(header: Header, payload: usize) -> Vec<u8> {
    let mut frame = vec![0; HEADER_LEN + payload];
    let mut view =
        MutableEthernetPacket::new(&mut frame).expect("the frame was made with a header's length");
    view.set_source(header.src.into());
    view.set_destination(header.dst.into());
    view.set_ethertype(header.ethertype);
    frame
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pnet::packet::ethernet::EtherTypes;

    const BYTES: [u8; 16] = [
        0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x07, 0x08, 0x00, 0x00,
        0x00,
    ];

    #[test]
    fn parses() {
        let (header, payload) = parse(&BYTES).unwrap();
        assert_eq!(header.dst.to_string(), "01:00:5e:00:00:12");
        assert_eq!(header.src, MacAddr::of_vhid(7));
        assert_eq!(header.ethertype, EtherTypes::Ipv4);
        assert_eq!(payload, [0, 0]);
    }

    #[test]
    fn emits_what_it_parsed() {
        let (header, payload) = parse(&BYTES).unwrap();
        assert_eq!(emit(header, payload.len()), BYTES);
    }

    #[test]
    fn thirteen_bytes_are_no_frame() {
        assert_eq!(parse(&BYTES[..13]).unwrap_err(), Error::Truncated);
        assert!(parse(&BYTES[..14]).unwrap().1.is_empty());
    }
}
