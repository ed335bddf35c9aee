//! Tests of `nd.rs`.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::wire::frame;

/// FreeBSD's answer to Linux for its own address.
const BYTES: [u8; 86] = [
    0x02, 0xfb, 0x5d, 0, 0, 1, 0x02, 0xfb, 0x5d, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58,
    255, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0xfb, 0x5d, 0xff, 0xfe, 0, 0, 2, 0xfe, 0x80, 0, 0, 0, 0,
    0, 0, 0, 0xfb, 0x5d, 0xff, 0xfe, 0, 0, 1, 0x88, 0, 0xd0, 0xef, 0x60, 0, 0, 0, 0x20, 1, 0x0d,
    0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 1, 0x02, 0xfb, 0x5d, 0, 0, 2,
];
const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
const ASKER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const VMAC: MacAddr = MacAddr::of_vhid(9);

fn value() -> Advertisement {
    Advertisement {
        src_mac: MacAddr([0x02, 0xfb, 0x5d, 0, 0, 2]),
        dst_mac: MacAddr([0x02, 0xfb, 0x5d, 0, 0, 1]),
        src: "fe80::fb:5dff:fe00:2".parse().unwrap(),
        dst: "fe80::fb:5dff:fe00:1".parse().unwrap(),
        target: "2001:db8::2".parse().unwrap(),
        router: false,
        solicited: true,
        overriding: true,
        target_link_layer: Some(MacAddr([0x02, 0xfb, 0x5d, 0, 0, 2])),
    }
}

fn solicitation(value: Solicitation) -> Result<Solicitation, Error> {
    let bytes = value.emit();
    match frame::parse(&bytes)? {
        Frame::Solicitation(parsed) => Ok(parsed),
        other => panic!("not a solicitation: {other:?}"),
    }
}

/// Applies `change` to a good advertisement, makes its checksum right again, and parses it.
fn changed(change: impl Fn(&mut [u8; 86])) -> Result<Frame<'static>, Error> {
    let mut bytes = BYTES;
    change(&mut bytes);
    bytes[56..58].fill(0);
    let [src, dst] =
        [22, 38].map(|at| Ipv6Addr::from_octets(bytes[at..at + 16].try_into().unwrap()));
    let sum = util::ipv6_checksum(&bytes[54..], 1, &[], &src, &dst, Icmpv6);
    bytes[56..58].copy_from_slice(&sum.to_be_bytes());
    match frame::parse(&bytes)? {
        Frame::NeighbourAdvertisement(value) => Ok(Frame::NeighbourAdvertisement(value)),
        _ => Ok(Frame::Other),
    }
}

#[test]
fn parses() {
    assert_eq!(
        frame::parse(&BYTES),
        Ok(Frame::NeighbourAdvertisement(value()))
    );
}

#[test]
fn emits() {
    assert_eq!(value().emit(), BYTES);
}

#[test]
fn solicitations_round_trip() {
    let asked = Solicitation::multicast(ASKER_MAC, ASKER, VIP);
    assert_eq!(asked.dst, "ff02::1:ff00:10".parse::<Ipv6Addr>().unwrap());
    assert_eq!(asked.dst_mac.to_string(), "33:33:ff:00:00:10");
    assert_eq!(solicitation(asked), Ok(asked));
    let unicast = Solicitation {
        dst: VIP,
        dst_mac: VMAC,
        source_link_layer: None,
        ..asked
    };
    assert_eq!(solicitation(unicast), Ok(unicast));
}

#[test]
fn an_answer_goes_to_the_asker() {
    let asked = Solicitation::multicast(ASKER_MAC, ASKER, VIP);
    let answer = Advertisement::answer(&asked, VMAC, true);
    assert_eq!((answer.dst, answer.dst_mac), (ASKER, ASKER_MAC));
    assert_eq!(
        (answer.src, answer.src_mac, answer.target_link_layer),
        (VIP, VMAC, Some(VMAC))
    );
    assert!(answer.router && answer.solicited && answer.overriding);
    let proxied = Solicitation {
        src_mac: MacAddr([2; 6]),
        ..asked
    };
    assert_eq!(
        Advertisement::answer(&proxied, VMAC, true).dst_mac,
        ASKER_MAC,
        "the option counts"
    );
    let silent = Solicitation {
        source_link_layer: None,
        ..asked
    };
    assert_eq!(
        Advertisement::answer(&silent, VMAC, true).dst_mac,
        ASKER_MAC,
        "else the Ethernet source"
    );
    let hostile = Solicitation {
        source_link_layer: Some(MacAddr::BROADCAST),
        ..asked
    };
    assert_eq!(
        Advertisement::answer(&hostile, VMAC, true).dst_mac,
        ASKER_MAC,
        "never a group"
    );
}

#[test]
fn a_probe_is_answered_to_all_nodes() {
    let probe = Solicitation::multicast(ASKER_MAC, Ipv6Addr::UNSPECIFIED, VIP);
    assert_eq!(solicitation(probe), Ok(probe));
    assert!(probe.is_probe());
    let answer = Advertisement::answer(&probe, VMAC, false);
    assert_eq!(answer, Advertisement::unsolicited(VMAC, VIP, false));
    assert_eq!(
        (answer.dst, answer.dst_mac.to_string()),
        (ip::ALL_NODES, "33:33:00:00:00:01".to_owned())
    );
    assert!(!answer.solicited && answer.overriding && !answer.router);
}

#[test]
fn solicitations_that_rfc_4861_forbids_are_refused() {
    let good = Solicitation::multicast(ASKER_MAC, ASKER, VIP);
    let probe = Solicitation::multicast(ASKER_MAC, Ipv6Addr::UNSPECIFIED, VIP);
    for bad in [
        Solicitation {
            target: ip::ALL_NODES,
            ..good
        },
        Solicitation {
            src: ip::ALL_NODES,
            ..good
        },
        Solicitation {
            source_link_layer: Some(ASKER_MAC),
            ..probe
        },
        Solicitation { dst: VIP, ..probe },
        Solicitation {
            dst: ip::ALL_NODES,
            ..probe
        },
    ] {
        assert_eq!(solicitation(bad), Err(Error::Neighbour), "{bad:?}");
    }
}

#[test]
fn advertisements_that_rfc_4861_forbids_are_refused() {
    assert!(matches!(
        changed(|_| ()),
        Ok(Frame::NeighbourAdvertisement(_))
    ));
    assert_eq!(
        changed(|bytes| bytes[21] = 254),
        Err(Error::Neighbour),
        "hop limit"
    );
    assert_eq!(
        changed(|bytes| bytes[55] = 1),
        Err(Error::Neighbour),
        "code"
    );
    assert_eq!(
        changed(|bytes| bytes[62] = 0xff),
        Err(Error::Neighbour),
        "group as target"
    );
    assert_eq!(
        changed(|bytes| bytes[38] = 0xff),
        Err(Error::Neighbour),
        "solicited, to a group"
    );
    assert_eq!(
        changed(|bytes| bytes[79] = 0),
        Err(Error::Neighbour),
        "option of length 0"
    );
    assert_eq!(
        changed(|bytes| bytes[79] = 32),
        Err(Error::Neighbour),
        "option of 256 bytes"
    );
    assert_eq!(
        changed(|bytes| bytes[54] = 137),
        Ok(Frame::Other),
        "redirects are not read"
    );
    let mut bytes = BYTES;
    bytes[57] ^= 1;
    assert_eq!(frame::parse(&bytes), Err(Error::Neighbour), "checksum");
}

#[test]
fn shows_itself_in_one_line() {
    assert_eq!(
        value().to_string(),
        "ND 2001:db8::2 is-at 02:fb:5d:00:00:02 solicited override"
    );
    let asked = Solicitation::multicast(ASKER_MAC, ASKER, VIP);
    assert_eq!(
        asked.to_string(),
        "ND who-has 2001:db8::10 tell fe80::7 (02:00:00:00:00:07)"
    );
}
