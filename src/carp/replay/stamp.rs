//! The 64 bits that a host of ours puts into the counter; must not know who sent what before.

use crate::carp::auth::Auth;
use crate::wire::Family;

/// Bits of the keyed check, the lowest.
const CHECK: u32 = 20;
/// Bits of the position above it: value and family.
const POSITION: u32 = 35;
/// The highest position.
const LAST: u64 = (1 << POSITION) - 1;
/// How many different identities there are.
const IDENTITIES: u64 = 1 << (64 - CHECK - POSITION);
/// A stamp's check keeps this far from the ends of its range, so that two stamps differ by more: what is less above a
/// number seen just before was counted up from it by a BSD.
pub(super) const FOLLOW: u64 = 64;

/// A counter of ours, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::carp) struct Stamp {
    /// Whose.
    pub(super) identity: u64,
    /// Twice the value, plus one in an IPv6 advertisement: in the order of sending.
    pub(super) position: u64,
}

impl Stamp {
    /// One of the identities.
    pub(super) fn identity(random: u64) -> u64 {
        random % IDENTITIES
    }

    /// The first stamp of this identity and family at or behind `position`. `None`: there is none left.
    pub(super) fn write(
        auth: &Auth,
        identity: u64,
        position: u64,
        family: Family,
    ) -> Option<(Self, u64)> {
        let first = position + ((position ^ family as u64) & 1);
        (first..=LAST).step_by(2).find_map(|position| {
            let body = identity << POSITION | position;
            let check = check(auth, body);
            let counter = body << CHECK | check;
            apart(check).then_some((Self { identity, position }, counter))
        })
    }

    /// `None`: not one of ours.
    pub(in crate::carp) fn read(auth: &Auth, counter: u64) -> Option<Self> {
        let (body, found) = (counter >> CHECK, counter & ((1 << CHECK) - 1));
        (apart(found) && check(auth, body) == found).then(|| Self {
            identity: body >> POSITION,
            position: position(counter),
        })
    }

    /// The family that it was made for.
    pub(super) fn family(self) -> Family {
        if self.position & 1 == 0 {
            Family::Inet
        } else {
            Family::Inet6
        }
    }
}

/// The position in a counter that is known to be ours.
pub(super) fn position(counter: u64) -> u64 {
    counter >> CHECK & LAST
}

/// A counter whose position this is, and nothing else.
pub(super) fn at_position(position: u64) -> u64 {
    position.min(LAST) << CHECK
}

fn check(auth: &Auth, body: u64) -> u64 {
    auth.seal(body) >> (64 - CHECK)
}

fn apart(check: u64) -> bool {
    (FOLLOW..(1 << CHECK) - FOLLOW).contains(&check)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::carp::config::{Key, Vhid};

    fn auth(pass: &[u8]) -> Auth {
        Auth::new(&Key::from_pass(pass), Vhid::new(1).unwrap(), [])
    }

    #[test]
    fn a_stamp_is_read_back_and_only_with_its_key_and_vhid() {
        let (ours, other) = (auth(b"secret"), auth(b"other"));
        let elsewhere = Auth::new(&Key::from_pass(b"secret"), Vhid::new(2).unwrap(), []);
        let mut taken = [0; 2];
        for at in 0..2000 {
            let (stamp, counter) = Stamp::write(&ours, 5, at * 77, Family::Inet6).unwrap();
            assert_eq!(Stamp::read(&ours, counter), Some(stamp));
            assert_eq!((stamp.family(), stamp.identity), (Family::Inet6, 5));
            assert!(stamp.position >= at * 77 && stamp.position <= at * 77 + 3);
            assert_eq!(position(counter), stamp.position);
            taken[0] += usize::from(Stamp::read(&other, counter).is_some());
            taken[1] += usize::from(Stamp::read(&elsewhere, counter).is_some());
        }
        assert_eq!(taken, [0; 2]);
    }

    #[test]
    fn what_follows_a_stamp_is_none() {
        let auth = auth(b"secret");
        for at in 0..2000 {
            let (_, counter) = Stamp::write(&auth, 511, at, Family::Inet).unwrap();
            let read = |n: u64| Stamp::read(&auth, counter.wrapping_add(n));
            assert!((1..=FOLLOW).all(|n| read(n).is_none()), "{at}");
            let (_, next) = Stamp::write(&auth, 511, at + 1, Family::Inet6).unwrap();
            assert!(next.wrapping_sub(counter) > FOLLOW, "{at}");
        }
    }

    #[test]
    fn positions_run_out_in_silence() {
        let auth = auth(b"secret");
        assert!(Stamp::write(&auth, 0, LAST + 1, Family::Inet).is_none());
        assert!(Stamp::write(&auth, 0, u64::MAX >> 1, Family::Inet6).is_none());
    }
}
