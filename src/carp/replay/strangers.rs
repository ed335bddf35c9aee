//! Other systems' counters: repeats of numbers that a varying sender used; must not know how ours are made.

use super::stamp::FOLLOW;
use super::{Heard, Protection};
use crate::time::Instant;
use crate::wire::Family;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

/// Numbers remembered.
const NUMBERS: usize = 128;
/// Numbers seen of late, of which somebody may yet count up.
const RECENT: usize = 32;
/// Senders whose manner is remembered.
const SENDERS: usize = 16;
/// So many new numbers in a row make a sender one whose counter varies. OpenBSD's changes with each boot.
const RUN: u8 = 4;
/// So long without a new number, and the row begins anew: an address may have got another system.
const SILENCE: Duration = Duration::from_secs(30);

/// A number heard in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
struct Number {
    family: Family,
    counter: u64,
    src: Option<IpAddr>,
    /// It followed another, or another followed it.
    chain: bool,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
enum Kind {
    /// Heard once, of a sender not yet known.
    Once,
    /// Repeated while its sender was not known to vary: it may be OpenBSD's, for ever.
    Constant,
    /// Of a sender that varies.
    Varying,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
struct Sender {
    src: IpAddr,
    /// New numbers since the last repeated one or the last silence, at most [`RUN`].
    run: u8,
    /// When the present silence is long enough to begin anew.
    until: Instant,
}

/// What an advertisement of another system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::carp) enum Verdict {
    /// Its number was not heard in this family, nor in the other one of a sender that varies.
    New,
    /// It was, by a sender that may be constant.
    Constant,
    /// It was, and a live host may send it again.
    Again,
    /// A replay.
    Repeat,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Strangers {
    numbers: VecDeque<Number>,
    senders: VecDeque<Sender>,
    /// The number seen last, of whomever.
    last: Option<u64>,
    /// The numbers seen of late, each once.
    recent: VecDeque<u64>,
    /// Until then another may have counted up the same number, one and a half intervals after the last new one.
    lenient: Instant,
}

impl Strangers {
    /// Counted up from the number seen last, as the BSDs and UCARP do, with some lost in between.
    pub(super) fn follows(&self, heard: &Heard) -> bool {
        self.last
            .is_some_and(|last| (1..=FOLLOW).contains(&heard.counter.wrapping_sub(last)))
    }

    pub(super) fn judge(&self, heard: &Heard) -> Verdict {
        let [same, moved] =
            [heard.family, heard.family.other()].map(|f| self.find(f, heard.counter));
        let number = match (same, moved) {
            (Some(number), _) if number.kind != Kind::Varying => return Verdict::Constant,
            (Some(number), _) => number,
            // Who varies draws a number for each family, unless it counts up.
            (None, Some(number)) if number.kind == Kind::Varying => number,
            _ => return Verdict::New,
        };
        // It may have been heard before the one that it was counted up from.
        let chain = number.chain || self.base(heard.counter).is_some();
        let other = heard.now < self.lenient && heard.src != number.src;
        if chain || other {
            Verdict::Again
        } else {
            Verdict::Repeat
        }
    }

    pub(super) fn learn(&mut self, heard: &Heard, verdict: Verdict) -> Protection {
        let base = self.base(heard.counter);
        let chain = base.is_some();
        if let Some(base) = base.and_then(|counter| self.find_mut(|n| n.counter == counter)) {
            base.chain = true;
        }
        self.seen(heard.counter);
        let of_this = |n: &Number| (n.family, n.counter) == (heard.family, heard.counter);
        match verdict {
            Verdict::New => self.learn_new(heard, chain),
            Verdict::Again | Verdict::Repeat => {
                if let Some(number) = self.find_mut(of_this) {
                    number.chain |= chain;
                }
            }
            Verdict::Constant => {
                if let Some(number) = self.find_mut(of_this) {
                    number.kind = Kind::Constant;
                }
                if let Some(sender) = self.sender(heard.src) {
                    sender.run = 0;
                }
                return Protection::Nothing;
            }
        }
        let chained = self
            .find(heard.family, heard.counter)
            .is_some_and(|n| n.chain);
        match self.sender(heard.src) {
            None => Protection::Nothing,
            Some(_) if chained => Protection::Nothing,
            Some(sender) if sender.run == RUN => Protection::Repeats,
            Some(_) => Protection::Learning,
        }
    }

    /// Of whomever: a stranger that hears it goes on from there.
    pub(super) fn seen(&mut self, counter: u64) {
        self.last = Some(counter);
        self.recent.retain(|seen| *seen != counter);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(counter);
    }

    /// The number that this one was counted up from. UCARP reads late, and two that have read the same say the same.
    fn base(&self, counter: u64) -> Option<u64> {
        let mut latest = self.recent.iter().rev().copied();
        latest.find(|base| (1..=FOLLOW).contains(&counter.wrapping_sub(*base)))
    }

    fn learn_new(&mut self, heard: &Heard, chain: bool) {
        if self.numbers.len() == NUMBERS {
            self.numbers.pop_front();
        }
        self.numbers.push_back(Number {
            family: heard.family,
            counter: heard.counter,
            src: heard.src,
            chain,
            kind: Kind::Once,
        });
        self.lenient = heard.now + heard.interval * 3 / 2;
        let Some(src) = heard.src else { return };
        let silence = SILENCE.max(heard.interval * 4);
        let run = match self.sender(heard.src) {
            Some(sender) if heard.now < sender.until => RUN.min(sender.run + 1),
            _ => 1,
        };
        self.senders.retain(|sender| sender.src != src);
        if self.senders.len() == SENDERS {
            self.senders.pop_front();
        }
        self.senders.push_back(Sender {
            src,
            run,
            until: heard.now + silence,
        });
        if run == RUN {
            let once = |n: &&mut Number| n.src == Some(src) && n.kind == Kind::Once;
            for number in self.numbers.iter_mut().filter(once) {
                number.kind = Kind::Varying;
            }
        }
    }

    fn find(&self, family: Family, counter: u64) -> Option<&Number> {
        let mut latest = self.numbers.iter().rev();
        latest.find(|n| (n.counter, n.family) == (counter, family))
    }

    fn find_mut(&mut self, which: impl Fn(&Number) -> bool) -> Option<&mut Number> {
        self.numbers.iter_mut().rev().find(|n| which(n))
    }

    fn sender(&mut self, src: Option<IpAddr>) -> Option<&mut Sender> {
        let src = src?;
        self.senders.iter_mut().find(|sender| sender.src == src)
    }

    pub(super) fn rebase(&mut self, origin: Instant, rename: &mut dyn FnMut(u64) -> Option<u64>) {
        self.numbers
            .retain_mut(|number| match rename(number.counter) {
                Some(counter) => {
                    number.counter = counter;
                    true
                }
                None => false,
            });
        for sender in &mut self.senders {
            sender.until = Instant::ZERO + sender.until.since(origin);
        }
        self.last = self.last.and_then(&mut *rename);
        self.recent.retain_mut(|counter| match rename(*counter) {
            Some(renamed) => {
                *counter = renamed;
                true
            }
            None => false,
        });
        self.lenient = Instant::ZERO + self.lenient.since(origin);
    }
}
