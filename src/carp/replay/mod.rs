//! Replay protection: which advertisement with a right digest is an old one; must not know elections, clocks or who asks.
//!
//! The digest says that somebody with the password made an advertisement, not when. Nobody else on the wire checks the
//! counter (carp-protocol.md 12), so a dead MASTER's last advertisement, repeated, keeps every BACKUP down. Nothing here
//! rejects what a live OpenBSD, FreeBSD, NetBSD or UCARP sends; what is possible under that condition depends on the sender.
//!
//! **A host of ours** puts a [`stamp`] into the counter: its identity (9 bits, random), a value (34 bits of seconds, at
//! least one more for each round of advertisements), the family (1 bit), and 20 bits of a hash of all that, keyed by the
//! group's key, by which others of ours know it ([`members`]):
//!
//! * Each identity's values must grow, in each family. A heard advertisement is thus of no more use, in either family.
//! * Whoever sends goes on above the highest value it has believed, so the group has one clock that survives every member.
//!   A value is also at least this host's wall clock (wherever that has been since the daemon started, it only goes on).
//! * An identity not known to this boot must be above the group's highest value. A recording of an earlier boot is not.
//!   Before this host has heard any of ours it has no highest value: then a recording is believed, each advertisement in it
//!   once (and once in the other family, if this host's clock is far behind), until a live host with a later value is heard.
//! * An identity that leaps far ahead, of the group and of this host's wall clock, is believed, but moves nothing until a second advertisement confirms it: one random
//!   counter of a BSD in 2^20 looks like a stamp, and must not move the group's clock by centuries. If it looks made for the
//!   other family it is a stranger's: somebody's of ours it could only be as a recording, and nobody is known to have come so
//!   far. One in a hundred million looks like a recording of ours and is rejected (in 2040, one in ten million): a live
//!   sender's next one is heard in time.
//! * An identity is given up only for another host that has the same: when its next value is heard, or from elsewhere the value
//!   that this host said last in that family. Anything older is a recording.
//!
//! Not protected is a host that knows a later value than the MASTER does, within an hour: of its own, or of a recording that
//! the MASTER did not hear. A MASTER that takes another identity, as it does up to eight times when what it said last is
//! repeated from another address, is not believed by it: it takes over after its dead time, and the MASTER goes on above it.
//! Of two hosts with one identity the one behind is not believed until it hears the other.
//!
//! A host with a wiped disk and a clock in 1970 hears the MASTER before it speaks, and having heard two advertisements goes
//! on above them. Only if it became MASTER without hearing any of ours is it not believed by those who remember later
//! values: they take over after their dead time, it hears that, and is believed after their second advertisement. The same
//! holds for a host whose memory was set back to a snapshot. What is left: two MASTERs for as long as it cannot hear the
//! others at all.
//!
//! **FreeBSD, NetBSD and UCARP** send counters that vary: random ones until they have heard somebody, then the last heard
//! plus one. A random number is not taken again, in either family ([`strangers`]), but for one and a half intervals from another
//! address: two that have heard what did not arrive here count up the same, and that address may be of the other family. In
//! that time a repeat with a goodbye's header makes one takeover. Numbers that follow each other are always taken: a
//! live host is set back by whatever it hears, as often as it hears it, and repeats its numbers; beside an OpenBSD it says one
//! number for ever. So protected is who has heard nobody since it began. Not protected is also a number older than the memory,
//! or of a sender heard fewer than four times.
//!
//! A group that has addresses of one family hears nothing over the other one, so a recording is no use there.
//!
//! **OpenBSD** sends the same number always: repetition tells nothing, and nothing is rejected. The same holds for hosts
//! that advertise with the shared address as their source, since they cannot be told apart. What is left: of a million boots
//! of an OpenBSD one has a number that looks like a stamp of ours. It is taken for a recording, until that host boots again.
//!
//! A host of ours is never taken for a follower nor a follower for ours: what follows closely on the number seen last is a
//! follower's, and stamps keep a distance from each other.

mod members;
pub(super) mod stamp;
mod strangers;

use super::auth::Auth;
use super::random::Random;
use crate::time::Instant;
use crate::wire::Family;
use members::Members;
use stamp::Stamp;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;
use strangers::Strangers;

/// How many senders are remembered with what they get.
const PEERS: usize = 16;

/// What protects against replays of a peer's advertisements.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Nothing: its counter is constant (OpenBSD) or goes on from others', or it has no address of its own.
    Nothing,
    /// Too little was heard to know.
    Learning,
    /// Its counters are random (FreeBSD, NetBSD and UCARP that have heard nobody): exact repeats are rejected.
    Repeats,
    /// A host of ours: whatever does not grow is rejected.
    Growth,
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "none, live ones repeat their counters",
            Self::Learning => "learning",
            Self::Repeats => "exact repeats",
            Self::Growth => "growing values",
        })
    }
}

/// An advertisement with a right digest, as far as replays go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) now: Instant,
    /// This host's wall clock, in seconds.
    pub(super) clock: u64,
    pub(super) family: Family,
    pub(super) counter: u64,
    /// `None` when it does not tell hosts apart: unspecified, or a shared address.
    pub(super) src: Option<IpAddr>,
    /// It is this host's own and no other's: what looks like ours is ours, come back.
    pub(super) own: bool,
    /// From one advertisement of this sender to its next.
    pub(super) interval: Duration,
}

/// What an advertisement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Of ours.
    Member(members::Verdict),
    /// Of another system.
    Stranger(strangers::Verdict),
}

/// What follows for the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A replay: it is as if nothing had been heard.
    Old,
    /// Believed; but its sender would not believe us yet.
    Ahead,
    /// Believed.
    New,
}

impl Verdict {
    pub(super) fn standing(self) -> Standing {
        match self {
            Self::Member(members::Verdict::Leap(_)) => Standing::Ahead,
            verdict if verdict.is_replay() => Standing::Old,
            _ => Standing::New,
        }
    }

    /// A host of ours that was never as far as this, and none of those that leap ahead.
    pub(super) fn is_of_ours(self) -> bool {
        matches!(self, Self::Member(members::Verdict::New(_)))
    }

    pub(super) fn is_replay(self) -> bool {
        matches!(
            self,
            Self::Member(members::Verdict::Old(_)) | Self::Stranger(strangers::Verdict::Repeat)
        )
    }
}

/// What one vhost remembers of a group, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Memory {
    members: Members,
    strangers: Strangers,
    peers: VecDeque<(IpAddr, Protection)>,
    /// The counter sent last.
    sent: Option<u64>,
}

impl Memory {
    /// Nothing heard yet; `random` makes this host's identity.
    pub(super) fn new(random: u64) -> Self {
        Self {
            members: Members::new(random),
            strangers: Strangers::default(),
            peers: VecDeque::new(),
            sent: None,
        }
    }

    /// The counter of the next advertisement: with a value that grows and is not below `clock` (in seconds). Without a clock,
    /// and when values have run out, it is a plain number: others of ours take it for a stranger's, and hear it all the same.
    pub(super) fn next(
        &mut self,
        auth: &Auth,
        clock: Option<u64>,
        family: Family,
        random: &mut Random,
    ) -> u64 {
        let grown = clock.and_then(|clock| self.members.next(auth, clock, family));
        let counter = grown.unwrap_or_else(|| match self.sent {
            Some(last) => last.wrapping_add(1),
            None => random.next(),
        });
        self.sent = Some(counter);
        self.strangers.seen(counter);
        counter
    }

    pub(super) fn judge(&self, auth: &Auth, heard: &Heard) -> Verdict {
        let stamp = Stamp::read(auth, heard.counter).filter(|_| !self.strangers.follows(heard));
        let of_ours = |stamp| self.members.judge(stamp, heard.family, heard.clock);
        match stamp.and_then(of_ours) {
            Some(verdict) => Verdict::Member(verdict),
            None => Verdict::Stranger(self.strangers.judge(heard)),
        }
    }

    /// Remembers what was judged. What the peer now gets, if that is new.
    pub(super) fn learn(
        &mut self,
        heard: &Heard,
        verdict: Verdict,
        random: &mut Random,
    ) -> Option<Protection> {
        let protection = match verdict {
            Verdict::Member(verdict) => {
                self.members.learn(heard, verdict, random);
                self.strangers.seen(heard.counter);
                Protection::Growth
            }
            Verdict::Stranger(verdict) => self.strangers.learn(heard, verdict),
        };
        if verdict.is_replay() {
            return None;
        }
        self.note(heard.src?, protection)
    }

    fn note(&mut self, src: IpAddr, protection: Protection) -> Option<Protection> {
        if let Some((_, known)) = self.peers.iter_mut().find(|(peer, _)| *peer == src) {
            let new = std::mem::replace(known, protection) != protection;
            return new.then_some(protection);
        }
        if self.peers.len() == PEERS {
            self.peers.pop_front();
        }
        self.peers.push_back((src, protection));
        (protection != Protection::Learning).then_some(protection)
    }

    /// What looks like our own advertisement coming back may be of a host with the same identity that went on from the same
    /// value: from now on another one.
    pub(super) fn rename_self(&mut self, random: &mut Random) {
        self.members.rename_self(random);
    }

    /// Goes on in another engine: what the last one said in its last moments was not kept.
    pub(super) fn inherit(&mut self, clock: u64) {
        self.members.inherit(clock);
    }

    /// Under another key no number of the old one comes again.
    pub(super) fn rekey(&mut self) {
        self.strangers = Strangers::default();
        self.peers.clear();
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (IpAddr, Protection)> + '_ {
        self.peers.iter().copied()
    }

    /// Under other numbers and from another origin, see [`super::World::rebased`]. A number that will not be heard again is
    /// kept where it bounds others, as the lowest.
    pub(super) fn rebase(&mut self, origin: Instant, rename: &mut dyn FnMut(u64) -> Option<u64>) {
        self.members.rebase(rename);
        self.sent = self.sent.map(|counter| rename(counter).unwrap_or(0));
        self.strangers.rebase(origin, rename);
    }
}
