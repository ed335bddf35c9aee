//! `netstat peers`: the hosts heard, and what protects against replays of them; must not know how that is found out.
#![forbid(unsafe_code)]

use super::{SOMETHING_ELSE, ask, plain};
use crate::control::{Peer, Refusal, Reply, Request};

/// A table of them; without a daemon nobody was heard.
pub(super) fn shown() -> Result<String, Refusal> {
    match ask(&Request::Peers)? {
        None => Ok(table(&[])),
        Some(Reply::Peers(peers)) => Ok(table(&peers)),
        Some(_) => Err(plain(SOMETHING_ELSE)),
    }
}

/// As wide as its widest address.
fn table(peers: &[Peer]) -> String {
    let lines = peers.iter().map(|peer| {
        (
            peer.unit.to_string(),
            peer.vhid.to_string(),
            peer.address.to_string(),
            peer.protection.to_string(),
        )
    });
    let titles = ["Interface", "Vhid", "Peer", "Protection against replays"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(titles.into()).chain(lines).collect();
    let widest = lines.iter().map(|line| line.2.len()).max().unwrap_or(0);
    let line = |(interface, vhid, peer, protection): &(String, String, String, String)| {
        format!("{interface:<10} {vhid:<4} {peer:<widest$} {protection}\n")
    };
    lines.iter().map(line).collect()
}
