//! Hosts of ours: each identity's values grow, and the group has a highest one; must not know other systems.

use super::Heard;
use super::stamp::{Stamp, at_position, position};
use crate::carp::auth::Auth;
use crate::carp::random::Random;
use crate::wire::Family;
use std::collections::VecDeque;

/// Identities remembered; one that is forgotten must be above the group's highest value like any unknown one.
const MEMBERS: usize = 32;
/// Identities that have leapt ahead and are not confirmed.
const CANDIDATES: usize = 8;
/// So often this host may take another identity.
const RENAMES: u8 = 8;
/// So far ahead of the group's highest, an hour of values, an advertisement wants a second one to confirm it.
const LEAP: u64 = 2 * 3600;
/// So far one family may be behind the other on its way, in positions.
const SLACK: u64 = 64;
/// So many positions a dead engine may have used without telling its successor: eight rounds of advertisements.
const UNKEPT: u64 = 16;

/// One identity: the counters heard last, by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
struct Member {
    identity: u64,
    last: [Option<u64>; 2],
}

impl Member {
    fn new(identity: u64) -> Self {
        Self {
            identity,
            last: [None; 2],
        }
    }

    fn highest(&self) -> Option<u64> {
        self.last.iter().flatten().map(|c| position(*c)).max()
    }

    /// Nothing of this family was heard from it at this position or later, nor much later of the other one.
    fn grows(&self, stamp: Stamp) -> bool {
        let last = self.last[stamp.family() as usize].map(position);
        let highest = self.highest();
        last.is_none_or(|last| stamp.position > last)
            && highest.is_none_or(|highest| stamp.position + SLACK > highest)
    }

    fn hear(&mut self, counter: u64) {
        self.last[usize::from(position(counter) & 1 == 1)] = Some(counter);
    }
}

/// What an advertisement of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::carp) enum Verdict {
    /// Later than all before it.
    New(u64),
    /// So far ahead that it counts, but does not move the group's highest value yet.
    Leap(u64),
    /// Not later, behind the group (far behind it, if the identity is known), or made for the other family.
    Old(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Members {
    /// This host.
    own: Member,
    known: VecDeque<Member>,
    candidates: VecDeque<Member>,
    /// The counter with the highest position sent or believed.
    highest: Option<u64>,
    /// The lowest position that this host may use next; 0: any.
    floor: u64,
    /// How often this host took another identity.
    renames: u8,
    /// One was believed, so that unknown identities can be compared with it.
    heard: bool,
}

impl Members {
    pub(super) fn new(random: u64) -> Self {
        Self {
            own: Member::new(Stamp::identity(random)),
            known: VecDeque::new(),
            candidates: VecDeque::new(),
            highest: None,
            floor: 0,
            renames: 0,
            heard: false,
        }
    }

    /// Whatever this host can have said by now counts as said: repeated, peers would not believe it, nor must this host when
    /// somebody else repeats it. Only the very first one it may believe, once: who has said nothing yet does not know its
    /// identity from that of a host that it has never heard. `clock` in seconds.
    pub(super) fn inherit(&mut self, clock: u64) {
        let spoken = self.own.highest();
        let highest = spoken.max(self.highest.map(position)).unwrap_or(0);
        self.floor = highest.max(clock.saturating_mul(2)) + UNKEPT;
        if spoken.is_some() {
            let even = self.floor & !1;
            self.own.last = [even, even + 1].map(|position| Some(at_position(position)));
        }
    }

    pub(super) fn next(&mut self, auth: &Auth, clock: u64, family: Family) -> Option<u64> {
        let above = self.highest.map_or(0, |counter| position(counter) + 1);
        let above = above.max(self.floor);
        let least = above.max(clock.saturating_mul(2).min(u64::MAX / 2));
        let (_, counter) = Stamp::write(auth, self.own.identity, least, family)?;
        self.own.hear(counter);
        self.highest = Some(counter);
        Some(counter)
    }

    /// `clock` is this host's wall clock in seconds: what is near it is no leap. `None`: nobody of ours made it, a random
    /// counter of another system looks like a stamp.
    pub(super) fn judge(&self, stamp: Stamp, family: Family, clock: u64) -> Option<Verdict> {
        let (known, leapt) = (self.find(stamp.identity), self.candidate(stamp.identity));
        let stale = [known, leapt]
            .into_iter()
            .flatten()
            .any(|m| !m.grows(stamp));
        let group = self.highest.map(position).filter(|_| self.heard);
        let behind = group.is_some_and(|group| match known.or(leapt) {
            // A live host that was heard before goes with the group, give or take what its clock is wrong.
            Some(_) => stamp.position + LEAP <= group,
            // All who take over from one MASTER at once have the same value.
            None => stamp.position / 2 < group / 2,
        });
        let bases = [
            Some(clock.saturating_mul(2)),
            group,
            known.and_then(Member::highest),
        ];
        let mut bases = bases.into_iter().flatten();
        // By itself, or by another of its group: a host takes another identity when it hears itself.
        let mut leapt = self.candidates.iter().filter_map(Member::highest);
        let confirmed = leapt.any(|position| position.abs_diff(stamp.position) <= LEAP);
        let near = confirmed || bases.any(|base| stamp.position <= base + LEAP);
        let moved = stamp.family() != family;
        if moved && !near {
            // To be moved to the other family it would have to be a recording, and nobody is known to have come so far.
            return None;
        }
        Some(if stale || behind || moved {
            Verdict::Old(stamp.identity)
        } else if near {
            Verdict::New(stamp.identity)
        } else {
            Verdict::Leap(stamp.identity)
        })
    }

    pub(super) fn learn(&mut self, heard: &Heard, verdict: Verdict, random: &mut Random) {
        let counter = heard.counter;
        match verdict {
            Verdict::Old(identity) if identity == self.own.identity && self.is_twin(heard) => {
                self.rename_self(random);
            }
            Verdict::Old(_) => {}
            Verdict::Leap(identity) => {
                let mut leapt = Member::new(identity);
                leapt.hear(counter);
                take(&mut self.candidates, identity);
                push(&mut self.candidates, leapt, CANDIDATES);
            }
            Verdict::New(identity) => {
                self.believe(identity, counter);
                if identity == self.own.identity {
                    self.rename_self(random);
                }
            }
        }
    }

    /// A host with our identity that went on from the same value at the same time: both would stay MASTER for ever. Of two
    /// with different values the one behind hears the other and takes another identity; what is older is a recording, which
    /// must not cost us ours.
    fn is_twin(&self, heard: &Heard) -> bool {
        !heard.own && self.own.last[heard.family as usize] == Some(heard.counter)
    }

    fn believe(&mut self, identity: u64, counter: u64) {
        self.heard = true;
        if self.highest.is_none_or(|h| position(h) < position(counter)) {
            self.highest = Some(counter);
        }
        if identity == self.own.identity {
            self.own.hear(counter);
            return;
        }
        let leapt = take(&mut self.candidates, identity);
        let known = take(&mut self.known, identity);
        let mut member = known.unwrap_or(Member::new(identity));
        // The leap, too, is of no more use.
        let leaps = leapt.map_or([None; 2], |leapt| leapt.last);
        for counter in leaps.into_iter().flatten().chain([counter]) {
            member.hear(counter);
        }
        push(&mut self.known, member, MEMBERS);
    }

    /// What was sent under the old identity stays known. Often enough for every collision, and not so often that a bridge
    /// which sends everything back could make us forget the others.
    pub(super) fn rename_self(&mut self, random: &mut Random) {
        if self.renames == RENAMES {
            return;
        }
        self.renames += 1;
        let random = random.next();
        // Of 512 identities at most 33 are taken.
        let fresh = (0..=MEMBERS as u64)
            .map(|step| Stamp::identity(random.wrapping_add(step)))
            .find(|identity| *identity != self.own.identity && self.find(*identity).is_none());
        if let Some(fresh) = fresh {
            let old = std::mem::replace(&mut self.own, Member::new(fresh));
            push(&mut self.known, old, MEMBERS);
        }
    }

    fn find(&self, identity: u64) -> Option<&Member> {
        let own = Some(&self.own).filter(|own| own.highest().is_some());
        let mut all = self.known.iter().chain(own);
        all.find(|member| member.identity == identity)
    }

    fn candidate(&self, identity: u64) -> Option<&Member> {
        self.candidates.iter().find(|c| c.identity == identity)
    }

    pub(super) fn rebase(&mut self, rename: &mut dyn FnMut(u64) -> Option<u64>) {
        let all = self.known.iter_mut().chain(&mut self.candidates);
        for member in all.chain([&mut self.own]) {
            if member.highest().is_none() {
                // Nobody has seen it.
                member.identity = 0;
            }
            for last in &mut member.last {
                *last = last.map(|counter| rename(counter).unwrap_or(0));
            }
        }
        self.highest = self.highest.map(|counter| rename(counter).unwrap_or(0));
    }
}

fn take(queue: &mut VecDeque<Member>, identity: u64) -> Option<Member> {
    let at = queue.iter().position(|m| m.identity == identity)?;
    queue.remove(at)
}

/// The one not heard for longest makes room.
fn push(queue: &mut VecDeque<Member>, member: Member, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(member);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use std::time::Duration;

    /// This host's wall clock, in seconds, and the position that belongs to it.
    const CLOCK: u64 = 1000;
    const NOW: u64 = 2 * CLOCK;
    const FAR: u64 = 1_000_000;

    fn stamp(identity: u64, position: u64) -> Stamp {
        Stamp { identity, position }
    }

    /// A group in which identity 7 has come to `NOW`, and 9 was heard once at `FAR`.
    fn group() -> Members {
        heard(&[(7, NOW), (9, FAR)])
    }

    fn heard(said: &[(u64, u64)]) -> Members {
        let mut members = Members::new(3);
        for &(identity, position) in said {
            let stamp = stamp(identity, position);
            let heard = Heard {
                now: Instant::ZERO,
                clock: CLOCK,
                family: stamp.family(),
                counter: identity << 55 | position << 20,
                src: None,
                own: false,
                interval: Duration::from_secs(1),
            };
            let verdict = members.judge(stamp, heard.family, CLOCK).expect("of ours");
            members.learn(&heard, verdict, &mut Random(1));
        }
        members
    }

    #[test]
    fn a_leap_that_was_confirmed_is_a_recording_from_then_on() {
        let members = heard(&[(7, NOW), (7, FAR), (7, FAR + 1)]);
        for (position, family) in [(FAR, Family::Inet), (FAR + 1, Family::Inet6)] {
            let verdict = members.judge(stamp(7, position), family, CLOCK);
            assert_eq!(verdict, Some(Verdict::Old(7)), "{position}");
        }
    }

    /// A number of another system looks like a stamp once in a million: it is taken for a recording only where a recording
    /// can be, at positions that somebody of ours may have come to.
    #[test]
    fn what_is_beyond_everybody_and_for_the_other_family_is_not_ours() {
        use Verdict::{Leap, New, Old};
        let members = group();
        let (inet, inet6) = (Family::Inet, Family::Inet6);
        for (identity, position, family, expected) in [
            (7, NOW + 2, inet, Some(New(7))),
            (7, NOW + 2, inet6, Some(Old(7))),
            (7, NOW, inet6, Some(Old(7))),
            (7, NOW, inet, Some(Old(7))),
            (8, NOW + 2, inet, Some(New(8))),
            (8, NOW + 2, inet6, Some(Old(8))),
            (8, NOW + 3, inet, Some(Old(8))),
            (8, NOW - 2, inet, Some(Old(8))),
            (8, NOW + LEAP, inet6, Some(Old(8))),
            (8, NOW + LEAP + 2, inet6, None),
            (8, NOW + LEAP + 2, inet, Some(Leap(8))),
            (7, FAR / 2, inet, Some(Leap(7))),
            (7, FAR / 2, inet6, None),
            (9, FAR, inet6, Some(Old(9))),
            (9, FAR + 2, inet6, Some(Old(9))),
            (9, FAR + 2, inet, Some(New(9))),
        ] {
            let verdict = members.judge(stamp(identity, position), family, CLOCK);
            assert_eq!(verdict, expected, "{identity} {position} {family}");
        }
    }
}
