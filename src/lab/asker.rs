//! A third host that asks who has the shared addresses, by ARP and neighbour solicitation, and notes every answer; must
//! not know who should answer.

use super::beat::Beat;
use super::echo::checksum;
use super::stamp::{self, Epoch};
use crate::linux::filter::Filter;
use crate::linux::packet::{PacketSocket, Vnet};
use crate::linux::{self, netns::Namespace};
use crate::time::Instant;
use crate::wire::{Family, MacAddr};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Answers kept, oldest forgotten first.
const KEPT: usize = 1 << 16;
const ARP: [u8; 2] = [0x08, 0x06];
const INET6: [u8; 2] = [0x86, 0xdd];
const ICMP6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// One answer to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The kernel's receive time.
    pub at: Instant,
    /// ARP or ND.
    pub family: Family,
    /// The Ethernet source.
    pub source: MacAddr,
    /// The address that the answer gives to the shared address; `None` for an ND answer without that option.
    pub says: Option<MacAddr>,
}

/// Who asks: an interface, with its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    /// The interface's index.
    pub interface: u32,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub inet: Ipv4Addr,
    /// Its IPv6 address.
    pub inet6: Ipv6Addr,
}

/// Runs until dropped.
#[derive(Debug)]
pub struct Asker {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    _beat: Beat,
}

impl Asker {
    /// Asks for each of `targets` every `period` from within `namespace`.
    ///
    /// # Errors
    /// Those of packet sockets: no privilege, no such interface.
    pub fn start(
        namespace: &Namespace,
        asking: Asking,
        targets: &[IpAddr],
        period: Duration,
    ) -> linux::Result<Self> {
        let failed = |source| linux::Error::new("start asker", "", source);
        let socket = namespace.try_run(|| PacketSocket::open(asking.interface, Vnet::No))??;
        stamp::enable(&socket).map_err(failed)?;
        socket.set_filter(&Filter::everything()).map_err(failed)?;
        let questions: Vec<Vec<u8>> = targets
            .iter()
            .map(|target| question(&asking, *target))
            .collect();
        let targets = targets.to_vec();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let sink = Arc::clone(&answers);
        let epoch = Epoch::measure();
        let beat = Beat::start("asker", period, move |_due| {
            collect(&socket, epoch, &targets, &sink);
            for question in &questions {
                // A link that is down makes no answer, which is what is recorded.
                let _ = socket.send(question);
            }
        });
        Ok(Self {
            answers,
            _beat: beat.map_err(failed)?,
        })
    }

    /// The answers of a family that came from `from` to `to`.
    #[must_use]
    pub fn answers(&self, family: Family, from: Instant, to: Instant) -> Vec<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |answer: &&Answer| answer.family == family && (from..=to).contains(&answer.at);
        answers.iter().filter(wanted).copied().collect()
    }
}

fn collect(
    socket: &PacketSocket,
    epoch: Epoch,
    targets: &[IpAddr],
    answers: &Mutex<VecDeque<Answer>>,
) {
    let mut buffer = [0; 128];
    while let Ok((length, at)) = stamp::receive(socket, &mut buffer, epoch) {
        let frame = &buffer[..length.min(buffer.len())];
        if let Some(answer) = targets.iter().find_map(|target| answer(frame, *target, at)) {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.len() == KEPT {
                answers.pop_front();
            }
            answers.push_back(answer);
        }
    }
}

/// The broadcast ARP request or multicast solicitation for `target`.
pub(super) fn question(asking: &Asking, target: IpAddr) -> Vec<u8> {
    match target {
        IpAddr::V4(target) => {
            let mut frame = ethernet(MacAddr::BROADCAST, asking.mac, ARP);
            frame.extend([0, 1, 0x08, 0, 6, 4, 0, 1]);
            frame.extend(asking.mac.0);
            frame.extend(asking.inet.octets());
            frame.extend([0; 6]);
            frame.extend(target.octets());
            frame
        }
        IpAddr::V6(target) => solicitation(asking, target),
    }
}

fn ethernet(to: MacAddr, from: MacAddr, kind: [u8; 2]) -> Vec<u8> {
    [&to.0[..], &from.0, &kind].concat()
}

/// RFC 4861 section 4.3, to the solicited-node group (RFC 4291 section 2.7.1).
fn solicitation(asking: &Asking, target: Ipv6Addr) -> Vec<u8> {
    let [.., x, y, z] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]);
    let mut icmp = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend(target.octets());
    icmp.extend([1, 1]);
    icmp.extend(asking.mac.0);
    let pseudo = [
        &asking.inet6.octets()[..],
        &group.octets(),
        &[0, 0, 0, 32, 0, 0, 0, ICMP6],
        &icmp,
    ]
    .concat();
    let sum = checksum(&pseudo);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(MacAddr([0x33, 0x33, 0xff, x, y, z]), asking.mac, INET6);
    frame.extend([0x60, 0, 0, 0, 0, 32, ICMP6, 255]);
    frame.extend(asking.inet6.octets());
    frame.extend(group.octets());
    frame.extend(icmp);
    frame
}

fn mac(bytes: Option<&[u8]>) -> Option<MacAddr> {
    bytes?.try_into().ok().map(MacAddr)
}

/// An ARP reply or neighbour advertisement for `target`.
fn answer(frame: &[u8], target: IpAddr, at: Instant) -> Option<Answer> {
    let source = mac(frame.get(6..12))?;
    let kind = frame.get(12..14)?;
    let body = frame.get(14..)?;
    let (family, says) = match target {
        IpAddr::V4(target) if kind == ARP => {
            let reply =
                body.get(6..8) == Some(&[0, 2]) && body.get(14..18) == Some(&target.octets());
            reply.then_some((Family::Inet, mac(body.get(8..14))))?
        }
        IpAddr::V6(target) if kind == INET6 => {
            let advertisement = body.get(6) == Some(&ICMP6) && body.get(40) == Some(&ADVERTISEMENT);
            (advertisement && body.get(48..64) == Some(&target.octets())).then_some(())?;
            let option = body.get(64..66) == Some(&[2, 1]);
            (Family::Inet6, mac(body.get(66..72)).filter(|_| option))
        }
        _ => return None,
    };
    Some(Answer {
        at,
        family,
        source,
        says,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ASKING: Asking = Asking {
        interface: 1,
        mac: MacAddr([2, 0, 0, 0, 0, 9]),
        inet: Ipv4Addr::new(192, 0, 2, 101),
        inet6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x101),
    };

    #[test]
    fn an_arp_request_turned_into_a_reply_is_an_answer() {
        let target = Ipv4Addr::new(192, 0, 2, 1);
        let mut frame = question(&ASKING, target.into());
        assert_eq!(frame.len(), 42);
        assert_eq!(
            answer(&frame, target.into(), Instant::ZERO),
            None,
            "a request is none"
        );
        frame[21] = 2;
        frame[28..32].copy_from_slice(&target.octets());
        let seen = answer(&frame, target.into(), Instant::ZERO).unwrap();
        assert_eq!(
            (seen.family, seen.says, seen.source),
            (Family::Inet, Some(ASKING.mac), ASKING.mac)
        );
        for end in 0..frame.len() {
            let _ = answer(&frame[..end], target.into(), Instant::ZERO);
        }
    }

    #[test]
    fn a_solicitation_has_a_valid_checksum() {
        let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let frame = question(&ASKING, target.into());
        let packet = &frame[14..];
        let pseudo = [&packet[8..40], &[0, 0, 0, 32, 0, 0, 0, 58], &packet[40..]].concat();
        assert_eq!(checksum(&pseudo), 0);
        assert_eq!(&frame[..6], [0x33, 0x33, 0xff, 0, 0, 1]);
    }
}
