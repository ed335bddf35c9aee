//! Which advertisements are old: what one vhost has heard, and what it therefore must, must not or may take for a replay;
//! written from the description of the protection, must not use its code.
//!
//! * A copy of an advertisement of ours that this boot has heard or sent is a replay, and so is one that arrives behind a later
//!   one of its sender and family: both must be rejected.
//! * Any other one of a sender known to this boot must be believed. One of a sender that was never heard may be rejected as
//!   long as it is behind what was heard: it has not heard the group either.
//! * The first copy of an advertisement of another system must be believed, early or late; a further one may be rejected if
//!   the system's counters vary, and must not be if they are constant. A live host may count up to a number that it or
//!   another one used (it goes on from what it hears): who has not heard from what may take that for a replay.
//! * An engine that goes on for one that died does not know what that said last. So it may take for its own, and reject, what
//!   another host says under the same identity, until that is eight rounds ahead.

use crate::host::Packet;
use crate::packet::Ad;
use carp::wire::Family;
use std::collections::{BTreeMap, BTreeSet};

/// So far behind the group a known sender is believed: an hour of positions.
const HOUR: u64 = 2 * 3600;
/// So far behind its own other family.
const SLACK: u64 = 64;
/// So many numbers of a host that counts up may be lost on the way.
const FOLLOW: u64 = 64;
/// What an engine may have said before it died without keeping it.
const UNKEPT: u64 = 17;
/// 2025 begins, in seconds since 1970: positions count half seconds from there.
const ZERO: u64 = 1_735_689_600;

/// How the sender makes its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Ours, with protection on.
    Stamped,
    /// OpenBSD from 4.3 on.
    Constant,
    /// All others.
    Varying,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Believed,
    Rejected,
    Either,
}

#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The latest position of each identity, by family.
    latest: BTreeMap<u64, [Option<u64>; 2]>,
    highest: u64,
    /// Somebody of ours was heard.
    heard: bool,
    /// Frames of other systems that arrived, and the numbers in them.
    strangers: BTreeSet<u64>,
    /// The own identity, and up to where a dead engine may have said something.
    doubt: Option<(u64, u64)>,
    numbers: BTreeSet<u64>,
    /// Of whomever, heard and sent.
    seen: BTreeSet<u64>,
}

/// Identity and position in a counter of ours.
pub fn read(counter: u64) -> (u64, u64) {
    (counter >> 55, (counter >> 20) & ((1 << 35) - 1))
}

impl Ledger {
    pub fn wants(&self, packet: &Packet, ad: &Ad) -> Wanted {
        match packet.maker {
            Maker::Constant => Wanted::Believed,
            Maker::Varying if self.strangers.contains(&packet.id) => Wanted::Either,
            Maker::Varying if self.was_set_back(ad) => Wanted::Either,
            Maker::Varying => Wanted::Believed,
            Maker::Stamped => self.wants_stamped(ad),
        }
    }

    /// A number that was used before, in either family, and none that it can have been counted up from has arrived.
    fn was_set_back(&self, ad: &Ad) -> bool {
        let bases = ad.counter.saturating_sub(FOLLOW)..ad.counter;
        self.numbers.contains(&ad.counter) && self.seen.range(bases).next().is_none()
    }

    fn wants_stamped(&self, ad: &Ad) -> Wanted {
        let (identity, position) = read(ad.counter);
        let Some(latest) = self.latest.get(&identity) else {
            let above = !self.heard || position / 2 >= self.highest / 2;
            return if above {
                Wanted::Believed
            } else {
                Wanted::Either
            };
        };
        let made_for = (position & 1) as usize;
        let doubtful = |(own, last)| identity == own && position <= last;
        if made_for != ad.family as usize || latest[made_for].is_some_and(|last| position <= last) {
            return Wanted::Rejected;
        }
        let other = latest[1 - made_for].unwrap_or(0);
        if self.doubt.is_some_and(doubtful) {
            return Wanted::Either;
        }
        let far = position + HOUR <= self.highest || position + SLACK <= other;
        if far {
            Wanted::Either
        } else {
            Wanted::Believed
        }
    }

    /// It arrived, and was believed or not.
    pub fn hear(&mut self, packet: &Packet, ad: &Ad, believed: bool) {
        self.seen.insert(ad.counter);
        match packet.maker {
            Maker::Varying => {
                self.strangers.insert(packet.id);
                self.numbers.insert(ad.counter);
            }
            Maker::Stamped if believed => {
                self.note(ad.counter, ad.family);
                self.heard = true;
            }
            _ => {}
        }
    }

    /// The engine died that had said this last; the clock is in seconds since 1970.
    pub fn bereave(&mut self, said: u64, clock: u64) {
        let now = 2 * clock.saturating_sub(ZERO);
        self.doubt = Some((read(said).0, self.highest.max(now) + UNKEPT));
    }

    pub fn note(&mut self, counter: u64, family: Family) {
        self.seen.insert(counter);
        let (identity, position) = read(counter);
        let latest = &mut self.latest.entry(identity).or_default()[family as usize];
        *latest = latest.max(&mut Some(position)).take();
        self.highest = self.highest.max(position);
    }
}
