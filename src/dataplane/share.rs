//! Which of several vhosts has a packet, by its addresses; must not know frames.

use std::net::IpAddr;

/// OpenBSD's fold of a packet's addresses: the exclusive or of all their 32-bit words, each taken as a big-endian number.
/// Equal for both directions of a flow, and for all of its packets: fragments, any extension header, and the echo reply as
/// well as the request, since only the addresses of the IP header count.
#[must_use]
pub fn fold(src: IpAddr, dst: IpAddr) -> u32 {
    words(src) ^ words(dst)
}

/// The place, in ascending order of their vhids, of the vhost that has this packet; `None` where there is no vhost.
#[must_use]
pub fn share(src: IpAddr, dst: IpAddr, vhosts: usize) -> Option<usize> {
    let count = u32::try_from(vhosts).ok()?;
    let place = fold(src, dst).checked_rem(count)?;
    usize::try_from(place).ok()
}

fn words(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            let (quarters, _) = octets.as_chunks();
            quarters
                .iter()
                .fold(0, |folded, word| folded ^ u32::from_be_bytes(*word))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_ways_are_one_and_nobody_has_nothing() {
        let (a, b) = (
            "192.0.2.1".parse().unwrap(),
            "198.51.100.7".parse().unwrap(),
        );
        assert_eq!(fold(a, b), fold(b, a));
        assert_eq!(fold(a, a), 0);
        assert_eq!(share(a, b, 0), None);
        assert_eq!(share(a, b, 1), Some(0));
        for vhosts in 1..=super::super::VHOSTS {
            assert!(share(a, b, vhosts).unwrap() < vhosts);
        }
    }
}
