//! Tests of `ip.rs`.
#![allow(clippy::unwrap_used)]
use super::*;

const MAC: MacAddr = MacAddr::of_vhid(1);
const SRC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SRC6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const CARP: [u8; CARP_LEN] = [0xc5; CARP_LEN];

/// The header of vector v4-single.
const V4: [u8; V4_HEADER_LEN] = [
    0x45, 0x10, 0x00, 0x38, 0x12, 0x34, 0x40, 0x00, 0xff, 0x70, 0xc6, 0xfd, 192, 0, 2, 1, 224, 0,
    0, 18,
];

fn v4() -> Vec<u8> {
    [&V4[..], &CARP].concat()
}

/// Writes a right header checksum.
fn summed(mut packet: Vec<u8>) -> Vec<u8> {
    let header = usize::from(packet[0] & 15) * 4;
    let sum = util::checksum(&packet[..header], 5);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn v6(next: u8, body: &[u8]) -> Vec<u8> {
    let macs = (MAC, GROUP_V6_MAC);
    let frame = v6_frame(macs, (SRC6, GROUP_V6), 0, IpNextHeaderProtocol(next), body);
    frame[ethernet::HEADER_LEN..].to_vec()
}

#[test]
fn groups_have_their_macs() {
    assert_eq!(GROUP_V4_MAC.to_string(), "01:00:5e:00:00:12");
    assert_eq!(GROUP_V6_MAC.to_string(), "33:33:00:00:00:12");
    let mac = |text: &str| multicast_mac(text.parse().unwrap()).map(|mac| mac.to_string());
    assert_eq!(mac("239.192.0.18").unwrap(), "01:00:5e:40:00:12");
    assert_eq!(mac("ff02::1:ff00:a").unwrap(), "33:33:ff:00:00:0a");
    assert_eq!(mac("255.255.255.255").unwrap(), "ff:ff:ff:ff:ff:ff");
    assert_eq!((mac("192.0.2.1"), mac("fe80::1")), (None, None));
}

#[test]
fn parses_v4() {
    let packet = v4();
    let envelope = parse_v4(&packet).unwrap().unwrap();
    assert_eq!((envelope.src, envelope.dst), (SRC.into(), GROUP_V4.into()));
    assert_eq!((envelope.ttl, envelope.payload), (255, &CARP[..]));
}

#[test]
fn emits_v4() {
    let frame = advertisement_v4(MAC, GROUP_V4_MAC, SRC, GROUP_V4, TOS, 0x1234, &CARP);
    assert_eq!(
        frame[..14],
        [1, 0, 0x5e, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, 1, 8, 0]
    );
    assert_eq!(frame[14..], v4());
    let frame = advertisement_v4(MAC, GROUP_V4_MAC, SRC, GROUP_V4, 0xe3, 0x1234, &CARP);
    assert_eq!(frame[15], 0xe3);
}

#[test]
fn parses_and_emits_v6() {
    let frame = advertisement_v6(MAC, GROUP_V6_MAC, SRC6, GROUP_V6, 0xe0, &CARP);
    assert_eq!(frame[12..22], [0x86, 0xdd, 0x6e, 0, 0, 0, 0, 36, 112, 255]);
    let envelope = parse_v6(&frame[14..]).unwrap().unwrap();
    assert_eq!((envelope.src, envelope.dst), (SRC6.into(), GROUP_V6.into()));
    assert_eq!((envelope.ttl, envelope.payload), (255, &CARP[..]));
}

#[test]
fn v4_options_and_padding_are_no_payload() {
    let mut packet = [&V4[..], &[0x94, 4, 0, 0], &CARP, &[0xee; 10]].concat();
    (packet[0], packet[3]) = (0x46, 60);
    let packet = summed(packet);
    assert_eq!(parse_v4(&packet).unwrap().unwrap().payload, CARP);
}

#[test]
fn v4_headers_that_lie_are_refused() {
    let with = |at: usize, byte: u8| {
        let mut packet = v4();
        packet[at] = byte;
        parse_v4(&summed(packet)).map(|_| ())
    };
    assert_eq!(with(0, 0x55), Err(Error::IpHeader), "version 5");
    assert_eq!(with(0, 0x44), Err(Error::IpHeader), "header of 16 bytes");
    assert_eq!(with(3, 19), Err(Error::IpHeader), "shorter than its header");
    assert_eq!(with(3, 57), Err(Error::Hdrops), "longer than the frame");
    assert_eq!(with(6, 0x20), Err(Error::Fragment), "first fragment");
    assert_eq!(with(7, 1), Err(Error::Fragment), "later fragment");
    assert_eq!(with(6, 0x80), Ok(()), "the reserved flag is nobody's");
    assert_eq!(with(9, 17), Ok(()), "UDP is not read");
    let mut packet = v4();
    packet[10] ^= 1;
    assert_eq!(parse_v4(&packet).unwrap_err(), Error::IpHeader, "checksum");
    packet[10..12].fill(0);
    assert_eq!(
        parse_v4(&packet).unwrap_err(),
        Error::IpHeader,
        "checksum left to the card"
    );
    assert_eq!(parse_v4(&packet[..19]).unwrap_err(), Error::Truncated);
}

#[test]
fn v6_options_are_walked_over() {
    let body = [
        &[60, 0, 1, 4, 0, 0, 0, 0, 112, 1, 1, 12],
        &[0; 12][..],
        &CARP,
    ]
    .concat();
    assert_eq!(parse_v6(&v6(0, &body)).unwrap().unwrap().payload, CARP);
}

#[test]
fn v6_headers_that_lie_are_refused() {
    let refusal = |packet: &[u8]| parse_v6(packet).unwrap_err();
    let late_hop_by_hop = [
        &[0, 0, 1, 4, 0, 0, 0, 0, 112, 0, 1, 4, 0, 0, 0, 0],
        &CARP[..],
    ]
    .concat();
    let mut packet = v6(112, &CARP);
    packet[0] = 0x45;
    assert_eq!(refusal(&packet), Error::IpHeader, "version 4");
    packet[0] = 0x60;
    assert_eq!(
        refusal(&packet[..75]),
        Error::Hdrops,
        "longer than the frame"
    );
    assert_eq!(refusal(&packet[..39]), Error::Truncated);
    packet[6] = 58;
    assert_eq!(
        refusal(&packet[..75]),
        Error::Truncated,
        "not carp's to count"
    );
    assert_eq!(
        refusal(&v6(60, &[112, 200, 1, 4, 0, 0, 0, 0])),
        Error::Extension,
        "overlong option header"
    );
    assert_eq!(
        refusal(&v6(60, &[112])),
        Error::Extension,
        "cut within an option header"
    );
    assert_eq!(
        refusal(&v6(60, &late_hop_by_hop)),
        Error::Extension,
        "hop-by-hop behind another"
    );
    assert_eq!(
        refusal(&v6(44, &[112, 0, 0, 1, 0, 0, 0, 0])),
        Error::Fragment
    );
    assert!(
        parse_v6(&v6(44, &[17, 0, 0, 1, 0, 0, 0, 0]))
            .unwrap()
            .is_none(),
        "somebody else's fragment"
    );
    assert!(
        parse_v6(&v6(43, &CARP)).unwrap().is_none(),
        "routing headers are not followed"
    );
}

#[test]
fn the_walk_of_v6_headers_is_bounded() {
    let chain = |count: usize| {
        let mut body = [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
        body[(count - 1) * 8] = 112;
        parse_v6(&v6(60, &[&body[..], &CARP].concat())).map(|found| found.unwrap().payload.len())
    };
    assert_eq!(chain(4), Ok(CARP_LEN));
    assert_eq!(chain(5), Err(Error::Extension));
    assert_eq!(chain(8000), Err(Error::Extension));
}

#[test]
fn a_short_v6_payload_is_left_to_carp() {
    assert_eq!(
        parse_v6(&v6(112, &CARP[..35]))
            .unwrap()
            .unwrap()
            .payload
            .len(),
        35
    );
    assert_eq!(parse_v6(&v6(112, &[])).unwrap().unwrap().payload.len(), 0);
}
