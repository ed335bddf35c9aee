//! The codecs against the world: made vectors, captures of real peers, hand-made bad advertisements, and mutations.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "wire/captures.rs"]
mod captures;
#[path = "wire/digest.rs"]
mod digest;
#[path = "wire/groups.rs"]
mod groups;
#[path = "wire/input_cases.rs"]
mod input_cases;
#[path = "wire/mutations.rs"]
mod mutations;
#[path = "wire/vectors.rs"]
mod vectors;

use carp::wire::carp::{Advertisement, Checksum};
use carp::wire::{Error, Frame, frame};
use std::net::{IpAddr, Ipv6Addr};

/// An advertisement that every check of `wire` let pass.
struct Received {
    src: IpAddr,
    dst: IpAddr,
    checksum: Checksum,
    advertisement: Advertisement,
    /// The first 36 bytes behind the IP header.
    bytes: [u8; 36],
}

/// What a receiver does with a frame before it asks for vhid and digest.
///
/// # Panics
/// If the frame is sound but not an advertisement.
fn receive(bytes: &[u8]) -> Result<Received, Error> {
    let Frame::Advertisement {
        src,
        dst,
        ttl,
        payload,
        ..
    } = frame::parse(bytes)?
    else {
        panic!("not an advertisement: {bytes:02x?}");
    };
    let checksum = carp::wire::carp::verify(ttl, payload, addresses(src, dst))?;
    let advertisement = Advertisement::parse(payload)?;
    Ok(Received {
        src,
        dst,
        checksum,
        advertisement,
        bytes: payload[..36].try_into().unwrap(),
    })
}

/// Source and destination for the pseudo-header, if there is one.
fn addresses(src: IpAddr, dst: IpAddr) -> Option<(Ipv6Addr, Ipv6Addr)> {
    match (src, dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => Some((src, dst)),
        _ => None,
    }
}
