//! Intervals and who is better than whom, from the description of the protocol; must not know hosts.

use carp::carp::Reason;

/// From one advertisement to the next, in ns (carp-protocol.md 5.3).
pub fn interval(base: u8, skew: u8) -> u64 {
    let skew = if base == 0 { skew.max(1) } else { skew };
    u64::from(base) * 1_000_000_000 + u64::from(skew) * 1_000_000 / 256 * 1000
}

/// How long a BACKUP waits, in ns.
pub fn dead_time(base: u8, skew: u8) -> u64 {
    match base {
        0 => 3 * u64::from(skew.max(1)) * 1_000_000 / 256 * 1000,
        _ => 3 * u64::from(base) * 1_000_000_000 + u64::from(skew) * 1_000_000 / 256 * 1000,
    }
}

/// Who wins: what a host says of itself, or of another.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    pub rank: (u8, u8),
    pub demote: u8,
}

/// Must a MASTER that claims `mine` leave it to `theirs`?
pub fn yields(mine: Claim, theirs: Claim) -> bool {
    // Who says goodbye wants nothing. The less demoted one wins, then the more frequent one; of equals the one that hears the other first gives way.
    if theirs.rank == (255, 255) {
        false
    } else if theirs.demote == mine.demote {
        mine.rank >= theirs.rank
    } else {
        theirs.demote < mine.demote
    }
}

/// How long a BACKUP waits that has heard this MASTER, in ns: one that suffers does not time out a healthier one.
pub fn patience(mine: Claim, theirs: Claim, own: u64) -> u64 {
    let (base, skew) = theirs.rank;
    if theirs.demote < mine.demote && theirs.rank != (255, 255) && interval(base, skew) >= own {
        dead_time(base, skew)
    } else {
        own
    }
}

/// Must a BACKUP take over, and under which name?
pub fn takes_over(mine: Claim, theirs: Claim, preempt: bool) -> Option<Reason> {
    let (own, count) = (mine.demote, theirs.demote);
    if theirs.rank == (255, 255) {
        Some(Reason::Goodbye)
    } else if preempt && mine.rank < theirs.rank && count >= own {
        Some(Reason::Preempting)
    } else if count > own {
        Some(Reason::MasterDemoted)
    } else {
        let thrice = (3 * u16::from(mine.rank.0), mine.rank.1);
        let slow = thrice < (u16::from(theirs.rank.0), theirs.rank.1);
        (slow && mine.rank.0 > 0 && count == own).then_some(Reason::MasterWillTimeOut)
    }
}
