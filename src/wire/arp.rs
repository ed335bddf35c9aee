//! ARP for IPv4 on Ethernet (RFC 826, RFC 5227); must not know who owns an address.

use super::ethernet::{self, Header};
use super::{Error, MacAddr};
use pnet::packet::arp::{
    ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket,
};
use pnet::packet::ethernet::EtherTypes;
use std::fmt;
use std::net::Ipv4Addr;

/// Bytes of an ARP packet for IPv4 on Ethernet.
const LEN: usize = 28;

/// What an ARP packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has its address.
    Reply,
}

/// An ARP packet and the Ethernet addresses of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Ethernet source; FreeBSD's replies have the physical MAC here and the virtual one in `sender_mac`.
    pub src_mac: MacAddr,
    /// Ethernet destination.
    pub dst_mac: MacAddr,
    /// Request or reply.
    pub operation: Operation,
    /// Sender hardware address.
    pub sender_mac: MacAddr,
    /// Sender protocol address; 0.0.0.0 in a probe.
    pub sender_ip: Ipv4Addr,
    /// Target hardware address; without meaning in a request.
    pub target_mac: MacAddr,
    /// Target protocol address.
    pub target_ip: Ipv4Addr,
}

impl Packet {
    /// `None` if it is not about IPv4 on Ethernet, or neither request nor reply.
    pub(super) fn parse(header: Header, bytes: &[u8]) -> Result<Option<Self>, Error> {
        let view = ArpPacket::new(bytes).ok_or(Error::Truncated)?;
        let lengths = (view.get_hw_addr_len(), view.get_proto_addr_len());
        let types = (view.get_hardware_type(), view.get_protocol_type());
        if types != (ArpHardwareTypes::Ethernet, EtherTypes::Ipv4) || lengths != (6, 4) {
            return Ok(None);
        }
        let operation = match view.get_operation() {
            ArpOperations::Request => Operation::Request,
            ArpOperations::Reply => Operation::Reply,
            _ => return Ok(None),
        };
        let packet = Self {
            src_mac: header.src,
            dst_mac: header.dst,
            operation,
            sender_mac: view.get_sender_hw_addr().into(),
            sender_ip: view.get_sender_proto_addr(),
            target_mac: view.get_target_hw_addr().into(),
            target_ip: view.get_target_proto_addr(),
        };
        // An answer to a group would be a broadcast that a stranger asked for.
        if operation == Operation::Request && packet.sender_mac.is_multicast() {
            return Err(Error::Neighbour);
        }
        Ok(Some(packet))
    }

    /// The answer to `request`: its target address is at `mac`, which is also the Ethernet source, so that the switch
    /// learns the way with the asker.
    #[must_use]
    pub const fn reply(request: &Self, mac: MacAddr) -> Self {
        Self {
            src_mac: mac,
            dst_mac: request.sender_mac,
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: request.target_ip,
            target_mac: request.sender_mac,
            target_ip: request.sender_ip,
        }
    }

    /// The whole frame, 42 bytes.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let header = Header {
            src: self.src_mac,
            dst: self.dst_mac,
            ethertype: EtherTypes::Arp,
        };
        let mut frame = ethernet::emit(header, LEN);
        let mut view = MutableArpPacket::new(&mut frame[ethernet::HEADER_LEN..])
            .expect("28 bytes hold an ARP packet");
        view.set_hardware_type(ArpHardwareTypes::Ethernet);
        view.set_protocol_type(EtherTypes::Ipv4);
        view.set_hw_addr_len(6);
        view.set_proto_addr_len(4);
        view.set_operation(ArpOperation::from(self.operation));
        view.set_sender_hw_addr(self.sender_mac.into());
        view.set_sender_proto_addr(self.sender_ip);
        view.set_target_hw_addr(self.target_mac.into());
        view.set_target_proto_addr(self.target_ip);
        frame
    }

    /// True if the sender asks whether anybody has an address that it wants itself (RFC 5227 section 2.1.1).
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender_ip.is_unspecified()
    }

    /// True if the sender announces its own address, in a request or in a reply.
    #[must_use]
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip && !self.sender_ip.is_unspecified()
    }
}

impl From<Operation> for ArpOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Request => ArpOperations::Request,
            Operation::Reply => ArpOperations::Reply,
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sender_mac,
            sender_ip,
            target_ip,
            ..
        } = self;
        match self.operation {
            Operation::Request => {
                write!(f, "ARP who-has {target_ip} tell {sender_ip} ({sender_mac})")
            }
            Operation::Reply => write!(f, "ARP {sender_ip} is-at {sender_mac}"),
        }
    }
}

/// The answer to `request` as a frame, see [`Packet::reply`].
#[must_use]
pub fn reply(request: &Packet, mac: MacAddr) -> Vec<u8> {
    Packet::reply(request, mac).emit()
}

/// A broadcast request for `ip` from `ip` at `mac`, target hardware zero: every neighbour entry and every switch
/// learns from it, and it is the form the BSDs send.
#[must_use]
pub fn gratuitous(mac: MacAddr, ip: Ipv4Addr) -> Vec<u8> {
    request(mac, ip, ip)
}

/// A broadcast request for `target` from `sender` at `mac`.
#[must_use]
pub fn request(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let request = Packet {
        src_mac: mac,
        dst_mac: MacAddr::BROADCAST,
        operation: Operation::Request,
        sender_mac: mac,
        sender_ip: sender,
        target_mac: MacAddr::ZERO,
        target_ip: target,
    };
    request.emit()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::{Frame, frame};

    /// FreeBSD's reply for its shared address: the Ethernet source is the physical MAC.
    const BYTES: [u8; 42] = [
        0x02, 0xfb, 0x5d, 0, 0, 2, 0x02, 0xfb, 0x5d, 0, 0, 1, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0,
        2, 0, 0, 0x5e, 0, 1, 9, 192, 0, 2, 10, 0x02, 0xfb, 0x5d, 0, 0, 2, 192, 0, 2, 2,
    ];
    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const ASKER: MacAddr = MacAddr([0x02, 0xfb, 0x5d, 0, 0, 2]);

    fn value() -> Packet {
        Packet {
            src_mac: MacAddr([0x02, 0xfb, 0x5d, 0, 0, 1]),
            dst_mac: ASKER,
            operation: Operation::Reply,
            sender_mac: MacAddr::of_vhid(9),
            sender_ip: VIP,
            target_mac: ASKER,
            target_ip: Ipv4Addr::new(192, 0, 2, 2),
        }
    }

    fn parse(bytes: &[u8]) -> Packet {
        let Ok(Frame::Arp(packet)) = frame::parse(bytes) else {
            panic!("not ARP: {bytes:02x?}")
        };
        packet
    }

    #[test]
    fn parses() {
        assert_eq!(frame::parse(&BYTES), Ok(Frame::Arp(value())));
    }

    #[test]
    fn emits() {
        assert_eq!(value().emit(), BYTES);
    }

    #[test]
    fn ethernet_padding_is_ignored() {
        assert_eq!(parse(&[&BYTES[..], &[0; 18]].concat()), value());
    }

    #[test]
    fn a_reply_goes_to_the_asker_from_the_virtual_mac() {
        let asked = parse(&request(ASKER, Ipv4Addr::new(192, 0, 2, 2), VIP));
        assert_eq!(
            parse(&reply(&asked, MacAddr::of_vhid(9))),
            Packet {
                src_mac: MacAddr::of_vhid(9),
                ..value()
            }
        );
    }

    #[test]
    fn gratuitous_is_a_broadcast_request_with_an_empty_target() {
        let bytes = gratuitous(MacAddr::of_vhid(9), VIP);
        assert_eq!(
            bytes[..22],
            [
                255, 255, 255, 255, 255, 255, 0, 0, 0x5e, 0, 1, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1
            ]
        );
        assert_eq!(
            bytes[22..],
            [
                0, 0, 0x5e, 0, 1, 9, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10
            ]
        );
        assert!(parse(&bytes).is_gratuitous());
        assert!(!parse(&bytes).is_probe());
    }

    #[test]
    fn a_probe_has_no_sender_address() {
        let probe = parse(&request(ASKER, Ipv4Addr::UNSPECIFIED, VIP));
        assert!(probe.is_probe() && !probe.is_gratuitous());
        let nothing = parse(&request(
            ASKER,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
        ));
        assert!(!nothing.is_gratuitous());
    }

    #[test]
    fn what_is_not_ipv4_on_ethernet_is_other() {
        // Hardware type, protocol type, both lengths, operation.
        for at in [15, 16, 18, 19, 21] {
            let mut bytes = BYTES;
            bytes[at] = 99;
            assert_eq!(frame::parse(&bytes), Ok(Frame::Other), "byte {at}");
        }
        assert_eq!(frame::parse(&BYTES[..41]), Err(Error::Truncated));
    }

    #[test]
    fn nobody_answers_to_a_group() {
        let asked = request(MacAddr::BROADCAST, Ipv4Addr::new(192, 0, 2, 2), VIP);
        assert_eq!(frame::parse(&asked), Err(Error::Neighbour));
    }

    #[test]
    fn shows_itself_in_one_line() {
        assert_eq!(
            value().to_string(),
            "ARP 192.0.2.10 is-at 00:00:5e:00:01:09"
        );
        let line = parse(&gratuitous(MacAddr::of_vhid(9), VIP)).to_string();
        assert_eq!(
            line,
            "ARP who-has 192.0.2.10 tell 192.0.2.10 (00:00:5e:00:01:09)"
        );
    }
}
