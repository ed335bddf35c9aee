//! When two states are one: what makes the explored space finite.

use crate::net::{Host, Net, Packet};
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

/// Bits of a counter of ours below its position, and below its identity: src/carp/replay/stamp.rs.
const CHECK: u32 = 20;
const BODY: u32 = 55;

fn position(counter: u64) -> u64 {
    (counter << (64 - BODY)) >> (64 - BODY + CHECK)
}

/// What counters are called.
enum Names {
    /// By the order of the packets that carry them: nobody compares them.
    Order(BTreeMap<u64, u64>),
    /// By identity and by how far their position is from the clock's: those below `live` can be neither heard any more nor
    /// sent, so for everything still to come they are equally low.
    Distance { live: u64, clock: u64 },
    /// As they are.
    Raw,
}

impl Names {
    fn of(&self, counter: u64) -> Option<u64> {
        match *self {
            Self::Order(ref names) => names.get(&counter).copied(),
            Self::Distance { live, clock } => {
                let position = position(counter);
                // Far from what makes a receiver suspicious (64 within one sender, 7,200 within the group).
                assert!(position < clock + 32 && live + 32 > clock, "far apart");
                let kept = (position >= live).then_some((counter >> BODY) << 16);
                kept.map(|identity| identity | (position + 64 - clock))
            }
            Self::Raw => Some(counter),
        }
    }
}

/// Two states are the same when nothing that can still happen tells them apart: times count from now, counters have other
/// names, and a clock that has passed its bound stands still.
impl Net {
    fn names(&self, on_their_way: impl Iterator<Item = u64>) -> Names {
        if self.bounded {
            return Names::Raw;
        }
        if !self.replay {
            let mut names = BTreeMap::new();
            for counter in on_their_way {
                let fresh = names.len() as u64;
                names.entry(counter).or_insert(fresh);
            }
            return Names::Order(names);
        }
        let clock = 2 * (self.now.as_nanos() / 1_000_000_000);
        let live = on_their_way.map(position).chain([clock]).min();
        Names::Distance {
            live: live.unwrap_or(clock),
            clock,
        }
    }

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
                packet.again,
                packet.bytes.len(),
                *header,
            )
        });
        let names = self.names(wire.iter().map(|(_, (counter, _))| *counter));
        for (packet, (counter, header)) in &wire {
            (
                self.now.since(packet.sent),
                packet.from,
                packet.to,
                packet.again,
                packet.bytes.len(),
                header,
                names.of(*counter),
            )
                .hash(to);
        }
        if self.bounded {
            self.now.hash(to);
        } else if self.replay {
            (self.now.as_nanos() % 1_000_000_000).hash(to);
        }
        for host in &self.hosts {
            self.canonical_host(host, &names, to);
        }
        let together = self
            .together
            .map(|since| self.now.since(since).min(self.overlap));
        (
            self.left,
            self.quiet().min(self.rest),
            together,
            (self.owned, self.settled),
            (self.usurped, self.misled, self.overslept),
        )
            .hash(to);
    }

    fn canonical_host(&self, host: &Host, names: &Names, to: &mut impl Hasher) {
        let world = host.engine.as_ref().map(|engine| {
            let world = engine.world();
            world.rebased(self.now, |counter| names.of(counter))
        });
        world.hash(to);
        let since = |at| self.now.since(at);
        // Longer than its dead time ago is as good as never.
        let heard = host
            .heard
            .map(|(at, from)| (since(at).min(self.rest), from));
        let recorded = host.recorded.iter().flatten();
        let recorded: Vec<_> = recorded.map(Packet::words).collect();
        (
            host.gate,
            host.lease.since(self.now),
            (host.arming.is_some(), host.owed.len(), host.refused),
            (host.asleep.map(|until| until.since(self.now)), host.ending),
            host.carrier,
            (heard, host.disbelieved, host.succeeded.map(since)),
            recorded,
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
