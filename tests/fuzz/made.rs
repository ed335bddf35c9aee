//! Frames made field by field from what a LAN with carp(4) on it says, then edited: most come near something that is read.

use crate::corpus::{Edit, edited, from};
use crate::script::Said;
use bolero::TypeGenerator;
use carp::wire::arp::{Operation, Packet};
use carp::wire::ip::ALL_NODES;
use carp::wire::{MacAddr, nd};
use std::net::{Ipv4Addr, Ipv6Addr};

const MACS: [MacAddr; 6] = [
    MacAddr([2, 0, 0, 0, 0, 1]),
    MacAddr([0, 0, 0x5e, 0, 1, 1]),
    MacAddr::BROADCAST,
    MacAddr::ZERO,
    MacAddr([1, 0, 0x5e, 0, 0, 18]),
    MacAddr([0x33, 0x33, 0xff, 0, 0, 0x10]),
];
const INET: [Ipv4Addr; 6] = [
    Ipv4Addr::new(192, 0, 2, 10),
    Ipv4Addr::new(192, 0, 2, 2),
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::BROADCAST,
    Ipv4Addr::new(224, 0, 0, 18),
    Ipv4Addr::LOCALHOST,
];
const INET6: [Ipv6Addr; 7] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x10),
    ALL_NODES,
    Ipv6Addr::UNSPECIFIED,
    Ipv6Addr::LOCALHOST,
];

/// Numbers choose from the tables above.
#[derive(Debug, Clone, TypeGenerator)]
enum Kind {
    Advertisement(Said),
    Arp {
        reply: bool,
        macs: [u8; 4],
        sender: u8,
        target: u8,
    },
    Solicitation {
        macs: [u8; 2],
        addresses: [u8; 3],
        option: Option<u8>,
    },
    Answer {
        macs: [u8; 2],
        addresses: [u8; 3],
        flags: [bool; 3],
        option: Option<u8>,
    },
}

/// One of them after some edits; `sums` says whether checksums are made right afterwards.
#[derive(Debug, Clone, TypeGenerator)]
pub struct Made {
    kind: Kind,
    #[generator(bolero::produce::<Vec<Edit>>().with().len(0..4usize))]
    edits: Vec<Edit>,
    sums: bool,
}

fn mac(number: u8) -> MacAddr {
    *from(&MACS, number.into())
}

fn inet(number: u8) -> Ipv4Addr {
    *from(&INET, number.into())
}

fn inet6(number: u8) -> Ipv6Addr {
    *from(&INET6, number.into())
}

impl Kind {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Advertisement(said) => said.bytes(),
            Self::Arp {
                reply,
                macs,
                sender,
                target,
            } => Packet {
                src_mac: mac(macs[0]),
                dst_mac: mac(macs[1]),
                operation: [Operation::Request, Operation::Reply][usize::from(*reply)],
                sender_mac: mac(macs[2]),
                sender_ip: inet(*sender),
                target_mac: mac(macs[3]),
                target_ip: inet(*target),
            }
            .emit(),
            Self::Solicitation {
                macs,
                addresses,
                option,
            } => nd::Solicitation {
                src_mac: mac(macs[0]),
                dst_mac: mac(macs[1]),
                src: inet6(addresses[0]),
                dst: inet6(addresses[1]),
                target: inet6(addresses[2]),
                source_link_layer: option.map(mac),
            }
            .emit(),
            Self::Answer {
                macs,
                addresses,
                flags: [router, solicited, overriding],
                option,
            } => nd::Advertisement {
                src_mac: mac(macs[0]),
                dst_mac: mac(macs[1]),
                src: inet6(addresses[0]),
                dst: inet6(addresses[1]),
                target: inet6(addresses[2]),
                router: *router,
                solicited: *solicited,
                overriding: *overriding,
                target_link_layer: option.map(mac),
            }
            .emit(),
        }
    }
}

impl Made {
    pub fn bytes(&self) -> Vec<u8> {
        edited(self.kind.bytes(), &self.edits, self.sums)
    }
}
