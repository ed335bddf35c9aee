//! When two states are one: what makes the explored space finite.

use crate::net::{Net, Packet};
use carp::wire::{Frame, frame};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

impl Packet {
    /// Header and counter; the digest follows from them.
    fn words(&self) -> (u64, [u8; 6]) {
        let Ok(Frame::Advertisement { payload, .. }) = frame::parse(&self.bytes) else {
            panic!("not an advertisement");
        };
        let counter = payload[8..16].try_into().map(u64::from_be_bytes);
        (counter.unwrap(), payload[..6].try_into().unwrap())
    }
}

impl Packet {
    /// Its sender will not go on.
    pub fn is_goodbye(&self) -> bool {
        let (_, [.., advskew, _authlen, _demote, advbase]) = self.words();
        (advbase, advskew) == (255, 255)
    }
}

/// Two states are the same when nothing that can still happen tells them apart: times count from now, counters are
/// numbered in the order of the packets that carry them, and a clock that has passed its bound stands still.
impl Net {
    fn canonical(&self, to: &mut impl Hasher) {
        let mut wire: Vec<_> = self
            .wire
            .iter()
            .map(|packet| (packet, packet.words()))
            .collect();
        wire.sort_by_key(|(packet, (_, header))| {
            (
                packet.sent,
                packet.from,
                packet.to,
                packet.bytes.len(),
                *header,
            )
        });
        let mut names = BTreeMap::new();
        for (packet, (counter, header)) in &wire {
            let fresh = names.len() as u64;
            let name = *names.entry(*counter).or_insert(fresh);
            (
                self.now.since(packet.sent),
                packet.from,
                packet.to,
                packet.bytes.len(),
                header,
                name,
            )
                .hash(to);
        }
        for host in &self.hosts {
            let world = host.engine.as_ref().map(|engine| {
                engine
                    .world()
                    .rebased(self.now, |counter| names.get(&counter).copied())
            });
            world.hash(to);
            let lease = host.lease.since(self.now);
            // Longer than its dead time ago is as good as never.
            let heard = host
                .heard
                .map(|(at, from)| (self.now.since(at).min(self.rest), from));
            heard.hash(to);
            let asleep = host.asleep.map(|until| until.since(self.now));
            (
                host.gate,
                lease,
                host.arming.is_some(),
                (asleep, host.ending),
                host.carrier,
            )
                .hash(to);
        }
        let together = self
            .together
            .map(|since| self.now.since(since).min(self.overlap));
        (
            self.left,
            self.quiet().min(self.rest),
            together,
            (self.owned, self.usurped, self.overslept, self.settled),
        )
            .hash(to);
    }
}

impl Hash for Net {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.canonical(to);
    }
}

impl PartialEq for Net {
    fn eq(&self, other: &Self) -> bool {
        let print = |net: &Self| {
            let mut hasher = std::hash::DefaultHasher::new();
            net.hash(&mut hasher);
            hasher.finish()
        };
        print(self) == print(other)
    }
}
