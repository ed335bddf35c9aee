//! A word of warning where a host that forwards shares its addresses; must not know who asked for it.
#![forbid(unsafe_code)]

use super::warn;
use crate::carp::config::Balancing;
use crate::control::{Change, Setting};
use std::fs;

/// Where the kernel says that it forwards.
const FORWARDING: [&str; 2] = [
    "/proc/sys/net/ipv4/conf/all/forwarding",
    "/proc/sys/net/ipv6/conf/all/forwarding",
];
const TEXT: &str = "this host forwards: each way of a connection is balanced apart, and NAT or stateful rules need both on \
     one host; see \"Load balancing\" in carp(4)";

/// Warns if these words begin to share what is sent to a carpN. They were typed or stand at `place`.
pub fn warn_of_changes<'a>(place: &str, changes: impl IntoIterator<Item = &'a Change>) {
    let shares = |change: &Change| match change {
        Change::Nodes(nodes) => nodes.len() > 1,
        Change::Balancing(mode) => *mode != Balancing::None,
        _ => false,
    };
    warn_if(place, changes.into_iter().any(shares));
}

/// Warns if these variables let several carpN share an address.
pub fn warn_of_settings(place: &str, settings: &[Setting]) {
    warn_if(place, settings.contains(&Setting::Arpbalance(true)));
}

fn warn_if(place: &str, shares: bool) {
    let on = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() != "0");
    if shares && FORWARDING.iter().any(|path| on(path)) {
        warn(place, TEXT);
    }
}
