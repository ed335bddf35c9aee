//! Addresses, masks and prefixes as ifconfig takes them; must not know words, and asks no name server.
#![forbid(unsafe_code)]

use crate::cli::{because, plain};
use crate::control::Family;
use crate::control::Refusal;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The names of /etc/hosts.
pub type Hosts<'a> = &'a dyn Fn(&str, Family) -> Option<IpAddr>;

/// An address with the prefix length typed behind it, of an interface named `name`.
pub fn read(
    typed: &str,
    family: Family,
    name: &str,
    hosts: Hosts<'_>,
) -> Result<(IpAddr, Option<u8>), Refusal> {
    let (text, length) = match typed.split_once('/') {
        Some((text, length)) => (text, Some(length)),
        None => (typed, None),
    };
    let address = match family {
        Family::Inet => text.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
        Family::Inet6 => inet6(text, name).map(IpAddr::V6),
    };
    let address = address
        .or_else(|| hosts(text, family))
        .ok_or_else(|| bad_value(typed, text, family))?;
    match (length, family) {
        (None, _) => Ok((address, None)),
        // OpenBSD's inet_net_pton takes the whole word or nothing.
        (Some(length), Family::Inet) => prefix(length, family)
            .map(|n| (address, Some(n)))
            .map_err(|_| plain(format!("{typed}: bad value"))),
        (Some(length), Family::Inet6) => Ok((address, Some(prefix(length, family)?))),
    }
}

/// fe80::1%carp1 names the interface that is configured anyway.
fn inet6(text: &str, name: &str) -> Option<Ipv6Addr> {
    match text.split_once('%') {
        Some((address, zone)) if zone == name => {
            address.parse().ok().filter(Ipv6Addr::is_unicast_link_local)
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

fn bad_value(typed: &str, text: &str, family: Family) -> Refusal {
    let refusal = format!("{typed}: bad value");
    match family {
        Family::Inet if text.parse::<Ipv6Addr>().is_ok() => {
            because(refusal, "an IPv6 address needs the word inet6 before it")
        }
        Family::Inet6 if text.parse::<Ipv4Addr>().is_ok() => {
            because(refusal, "an IPv4 address needs no inet6 before it")
        }
        _ => plain(refusal),
    }
}

/// A prefix length. 0 means the whole address: OpenBSD's in_getprefix.
pub fn prefix(typed: &str, family: Family) -> Result<u8, Refusal> {
    let whole = width(family);
    let length =
        number(typed, 0, whole).map_err(|wrong| plain(format!("prefix {typed}: {wrong}")))?;
    Ok(if length == 0 { whole } else { length })
}

/// A mask as its length.
pub fn mask(typed: &str, family: Family) -> Result<u8, Refusal> {
    if family == Family::Inet6 {
        return Err(because(
            format!("{typed}: bad value"),
            "an IPv6 address takes prefixlen, no netmask",
        ));
    }
    let bits = match typed
        .strip_prefix("0x")
        .or_else(|| typed.strip_prefix("0X"))
    {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => typed.parse::<Ipv4Addr>().ok().map(u32::from),
    };
    let bits = bits.ok_or_else(|| plain(format!("{typed}: bad value")))?;
    let length = u8::try_from(bits.leading_ones()).expect("a u32 has at most 32 ones");
    if bits.count_ones() != bits.leading_ones() {
        return Err(because(
            format!("{typed}: bad value"),
            "the ones of a netmask stand without gap",
        ));
    }
    if length == 0 {
        return Err(because(
            format!("{typed}: bad value"),
            "a netmask without ones would be a default route",
        ));
    }
    Ok(length)
}

/// The address with its prefix; without one by class, or 64.
pub fn network(address: IpAddr, length: Option<u8>) -> Result<IpNetwork, Refusal> {
    let unfit = match address {
        IpAddr::V4(a) => a.is_unspecified() || a.is_multicast() || a.is_broadcast(),
        IpAddr::V6(a) => a.is_unspecified() || a.is_multicast() || a.to_ipv4_mapped().is_some(),
    };
    let invalid = |why: String| because("SIOCAIFADDR: Invalid argument", why);
    if unfit {
        return Err(invalid(format!("{address} cannot be a host's address")));
    }
    match address {
        IpAddr::V4(a) => Ipv4Network::new(a, length.unwrap_or(class(a))).map(IpNetwork::V4),
        IpAddr::V6(a) => Ipv6Network::new(a, length.unwrap_or(64)).map(IpNetwork::V6),
    }
    .map_err(|error| invalid(error.to_string()))
}

/// The network's broadcast address as OpenBSD computes it; a /31 has none (RFC 3021).
pub fn broadcast(network: IpNetwork) -> Option<Ipv4Addr> {
    match network {
        IpNetwork::V4(network) if network.prefix() != 31 => Some(network.broadcast()),
        _ => None,
    }
}

/// The prefix length before there was CIDR; class D and E addresses are a host each.
fn class(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        192..224 => 24,
        224.. => 32,
    }
}

const fn width(family: Family) -> u8 {
    match family {
        Family::Inet => 32,
        Family::Inet6 => 128,
    }
}

/// A decimal number within bounds, or strtonum(3)'s word for what is wrong with it.
pub fn number(typed: &str, least: u8, most: u8) -> Result<u8, &'static str> {
    // As strtoll: white space and one sign are no part of the digits.
    let text = typed.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("invalid");
    }
    let value = digits.parse().unwrap_or(u64::MAX);
    match u8::try_from(value) {
        Ok(value) if negative && value > 0 || value < least => Err("too small"),
        Ok(value) if value <= most => Ok(value),
        _ if negative => Err("too small"),
        _ => Err("too large"),
    }
}

/// Looks a name up in the text of /etc/hosts; the first line of the family that has it counts.
pub fn in_hosts(text: &str, name: &str, family: Family) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut fields = line.split('#').next()?.split_whitespace();
        let address: IpAddr = fields.next()?.parse().ok()?;
        let right = address.is_ipv4() == (family == Family::Inet);
        (right && fields.any(|field| field.eq_ignore_ascii_case(name))).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_judged_as_strtonum_does() {
        for (typed, expected) in [
            ("1", Ok(1)),
            ("255", Ok(255)),
            (" +7", Ok(7)),
            ("007", Ok(7)),
            ("0", Err("too small")),
            ("-1", Err("too small")),
            ("-99999999999999999999", Err("too small")),
            ("256", Err("too large")),
            ("99999999999999999999999", Err("too large")),
            ("", Err("invalid")),
            ("x", Err("invalid")),
            ("1x", Err("invalid")),
            ("+-1", Err("invalid")),
            ("0x10", Err("invalid")),
        ] {
            assert_eq!(number(typed, 1, 255), expected, "{typed:?}");
        }
        assert_eq!(number("-0", 0, 254), Ok(0));
        assert_eq!(number("255", 0, 254), Err("too large"));
    }

    #[test]
    fn masks_have_their_ones_on_the_left() {
        for (typed, expected) in [
            ("255.255.255.0", Some(24)),
            ("0xffffff00", Some(24)),
            ("0XFFFFFFFF", Some(32)),
            ("128.0.0.0", Some(1)),
            ("255.0.255.0", None),
            ("0.0.0.0", None),
            ("0x", None),
            ("0x+f", None),
            ("0x1ffffffff", None),
            ("24", None),
            ("", None),
        ] {
            assert_eq!(mask(typed, Family::Inet).ok(), expected, "{typed:?}");
        }
        assert!(mask("255.255.255.0", Family::Inet6).is_err());
    }

    #[test]
    fn prefixes_default_by_class_and_to_64() {
        for (address, expected) in [
            ("10.0.0.1", "10.0.0.1/8"),
            ("172.16.0.1", "172.16.0.1/16"),
            ("192.0.2.1", "192.0.2.1/24"),
            ("2001:db8::1", "2001:db8::1/64"),
        ] {
            assert_eq!(
                network(address.parse().unwrap(), None).unwrap().to_string(),
                expected
            );
        }
        for unfit in [
            "0.0.0.0",
            "224.0.0.18",
            "255.255.255.255",
            "::",
            "ff02::12",
            "::ffff:192.0.2.1",
        ] {
            assert_eq!(
                network(unfit.parse().unwrap(), None).unwrap_err().text,
                "SIOCAIFADDR: Invalid argument"
            );
        }
    }

    #[test]
    fn the_zone_of_a_link_local_address_is_the_interface() {
        assert!(inet6("fe80::1%carp1", "carp1").is_some());
        for bad in ["fe80::1%eth0", "2001:db8::1%carp1", "fe80::1%", "192.0.2.1"] {
            assert_eq!(inet6(bad, "carp1"), None, "{bad}");
        }
    }

    #[test]
    fn hosts_are_read_by_family_and_name() {
        let hosts = "# 192.0.2.9 gate\n192.0.2.1\tgate gate.example # the old one\n\n2001:db8::1 gate\nnonsense gate\n192.0.2.2 gate";
        assert_eq!(
            in_hosts(hosts, "GATE", Family::Inet),
            Some("192.0.2.1".parse().unwrap())
        );
        assert_eq!(
            in_hosts(hosts, "gate", Family::Inet6),
            Some("2001:db8::1".parse().unwrap())
        );
        assert_eq!(in_hosts(hosts, "one", Family::Inet), None);
        assert_eq!(in_hosts(hosts, "192.0.2.1", Family::Inet), None);
    }
}
