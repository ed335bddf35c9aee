//! The digest, computed once more and on its own: the library's is not asked.

use carp::wire::carp::Advertisement;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::net::IpAddr;

/// HMAC-SHA1 over a message, key as it is.
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// True if the digest is that of this passphrase and these addresses (the ORIG form: IPv4 before IPv6, each ascending).
pub fn matches(advertisement: &Advertisement, pass: &str, addresses: &[&str]) -> bool {
    let mut addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    addresses.sort();
    let mut message = vec![2, 1, advertisement.vhid];
    for address in addresses {
        match address {
            IpAddr::V4(address) => message.extend(address.octets()),
            IpAddr::V6(address) => message.extend(address.octets()),
        }
    }
    message.extend(advertisement.counter);
    hmac(pass.as_bytes(), &message) == advertisement.digest
}
