//! An attacker's memory of a segment: what was advertised, and what is repeated of it; must not know who believes it.

use crate::cast::{own_v4, own_v6};
use crate::host::Packet;
use crate::packet::{Ad, emit};
use crate::random::Random;
use crate::scenario::{Attack, Whose};
use carp::wire::Family;
use std::rc::Rc;

#[derive(Debug)]
pub struct Recorder {
    tape: Vec<Rc<Packet>>,
    at: usize,
    random: Random,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            tape: Vec::new(),
            at: 0,
            random: Random::new(0xbad),
        }
    }
}

impl Recorder {
    pub fn record(&mut self, packet: &Rc<Packet>) {
        self.tape.push(Rc::clone(packet));
    }

    pub fn next(&mut self, attack: Attack) -> Option<Rc<Packet>> {
        let recorded = self.tape.len() as u64;
        if recorded == 0 {
            return None;
        }
        let packet = match attack.whose {
            Whose::Latest(host) => {
                // Now the one, now the other of a pair.
                let back = self.random.below(2) as usize;
                let of_host = |packet: &&Rc<Packet>| packet.from == host;
                self.tape.iter().rev().filter(of_host).nth(back)?
            }
            Whose::Any => &self.tape[self.random.below(recorded) as usize],
            Whose::All => {
                self.at += 1;
                &self.tape[(self.at - 1) % self.tape.len()]
            }
        };
        let packet = Rc::clone(packet);
        if attack.forges && self.random.chance(50) {
            return Some(Rc::new(self.forge(&packet)));
        }
        Some(packet)
    }

    /// The latest of this kind.
    pub fn latest(&self, kind: impl Fn(&Packet) -> bool) -> Option<Rc<Packet>> {
        self.tape.iter().rev().find(|packet| kind(packet)).cloned()
    }

    /// Another header around the same counter and digest.
    fn forge(&mut self, packet: &Packet) -> Packet {
        let ad = packet.ad.map(|ad| Ad {
            base: self.random.pick(&[0, 1, 4, 255]),
            skew: self.random.pick(&[0, 100, 255]),
            demote: self.random.pick(&[0, 0, 1, 255]),
            ..ad
        });
        let ad = ad.map(|ad| match ad.family {
            Family::Inet if self.random.chance(25) => Ad {
                family: Family::Inet6,
                src: own_v6(packet.segment, 200).into(),
                ..ad
            },
            Family::Inet6 if self.random.chance(25) => Ad {
                family: Family::Inet,
                src: own_v4(packet.segment, 200).into(),
                pseudo: false,
                ..ad
            },
            _ => ad,
        });
        Packet {
            bytes: ad.map_or_else(Vec::new, |ad| emit(&ad, 1)),
            ad,
            seal: packet.seal.clone(),
            asks: None,
            ..*packet
        }
    }
}
