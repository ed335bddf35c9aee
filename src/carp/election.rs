//! Who is better: OpenBSD's rules as pure functions; must not know time or state.

use super::Reason;

/// What is compared, lower is better: the order of the intervals, since advskew never reaches one second.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Priority {
    /// Seconds.
    pub advbase: u8,
    /// 1/256 s.
    pub advskew: u8,
}

impl Priority {
    /// What a MASTER that steps down says of itself.
    pub const GOODBYE: Self = Self {
        advbase: 255,
        advskew: 255,
    };
}

/// This host in an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mine {
    /// With the effective skew.
    pub priority: Priority,
    /// The demotion count.
    pub demote: u8,
}

/// What an advertisement claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theirs {
    /// As in the header.
    pub priority: Priority,
    /// The demotion count. Most systems send 0 always: taken for what it says, as OpenBSD does. Two hosts of which one
    /// compares the count and the other does not can both stay MASTER.
    pub demote: u8,
}

/// Does a MASTER step down? Equality yields, as in every BSD: no tie-break by address. Nobody yields to a goodbye, however
/// little its sender was demoted.
#[must_use]
pub fn yields(mine: Mine, theirs: Theirs) -> bool {
    if theirs.priority == Priority::GOODBYE {
        return false;
    }
    let not_better = mine.priority >= theirs.priority;
    (not_better && theirs.demote <= mine.demote) || theirs.demote < mine.demote
}

/// Does a BACKUP take over, and why?
#[must_use]
pub fn takes_over(mine: Mine, theirs: Theirs, preempt: bool) -> Option<Reason> {
    let demote = theirs.demote;
    if theirs.priority == Priority::GOODBYE {
        return Some(Reason::Goodbye);
    }
    if preempt && mine.priority < theirs.priority && demote >= mine.demote {
        return Some(Reason::Preempting);
    }
    if demote > mine.demote {
        return Some(Reason::MasterDemoted);
    }
    // OpenBSD asks for no equality: its demoted host takes over, is preempted for its demotion, and so on without end.
    let slow = demote == mine.demote && will_time_out(mine.priority, theirs.priority);
    slow.then_some(Reason::MasterWillTimeOut)
}

/// The MASTER's interval is longer than three of ours. Not with advbase 0, where only a goodbye counts.
fn will_time_out(mine: Priority, theirs: Priority) -> bool {
    let thrice = (3 * u16::from(mine.advbase), mine.advskew);
    mine.advbase != 0 && thrice < (u16::from(theirs.advbase), theirs.advskew)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mine(advbase: u8, advskew: u8, demote: u8) -> Mine {
        Mine {
            priority: Priority { advbase, advskew },
            demote,
        }
    }

    fn theirs(advbase: u8, advskew: u8, demote: u8) -> Theirs {
        Theirs {
            priority: Priority { advbase, advskew },
            demote,
        }
    }

    #[test]
    fn a_master_yields_to_better_and_equal() {
        assert!(yields(mine(1, 100, 0), theirs(1, 0, 0)));
        assert!(yields(mine(1, 100, 0), theirs(1, 100, 0)));
        assert!(!yields(mine(1, 100, 0), theirs(1, 101, 0)));
        assert!(!yields(mine(1, 0, 0), theirs(2, 0, 0)));
        assert!(!yields(mine(1, 240, 1), theirs(255, 255, 0)), "a goodbye");
    }

    #[test]
    fn a_demotion_goes_before_the_skew() {
        assert!(
            !yields(mine(1, 100, 0), theirs(1, 0, 1)),
            "a demoted one is not better"
        );
        assert!(
            yields(mine(1, 0, 2), theirs(1, 100, 1)),
            "a less demoted one is"
        );
        assert!(yields(mine(1, 100, 1), theirs(1, 100, 1)));
        let master = theirs(1, 0, 1);
        assert_eq!(
            takes_over(mine(1, 100, 0), master, false),
            Some(Reason::MasterDemoted)
        );
        assert_eq!(takes_over(mine(1, 100, 1), master, true), None);
        let worse = theirs(1, 100, 0);
        assert_eq!(
            takes_over(mine(1, 0, 1), worse, true),
            None,
            "preempts nobody less demoted"
        );
    }

    /// Found by the simulator: with the count of a healthy host taken for unknown, neither of these gave way.
    #[test]
    fn of_two_masters_one_always_yields() {
        let all = (0..=255u8).step_by(5);
        let sides = all.flat_map(|skew| [0, 1, 2].map(|demote| (1 + skew % 2, skew, demote)));
        let sides: Vec<_> = sides.collect();
        for a in &sides {
            for b in &sides {
                let stays = |m: &(u8, u8, u8), t: &(u8, u8, u8)| {
                    !yields(mine(m.0, m.1, m.2), theirs(t.0, t.1, t.2))
                };
                assert!(!(stays(a, b) && stays(b, a)), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_slow_master_that_is_less_demoted_is_left_in_peace() {
        let slow = theirs(4, 0, 0);
        assert_eq!(takes_over(mine(1, 240, 1), slow, true), None);
        let as_bad = theirs(4, 0, 1);
        assert_eq!(
            takes_over(mine(1, 240, 1), as_bad, false),
            Some(Reason::MasterWillTimeOut)
        );
    }

    /// Whoever takes over must not be such that the one it took over from takes it back on its first advertisement.
    #[test]
    fn nobody_takes_over_from_whom_would_take_it_back() {
        let sides = [0, 1, 2, 4, 100].into_iter().flat_map(|base| {
            let skews = [0, 100, 240, 254];
            skews
                .into_iter()
                .flat_map(move |skew| [0, 1, 2].map(|demote| (base, skew, demote)))
        });
        let sides: Vec<_> = sides.collect();
        for a in &sides {
            for b in &sides {
                let takes = |m: &(u8, u8, u8), t: &(u8, u8, u8)| {
                    takes_over(mine(m.0, m.1, m.2), theirs(t.0, t.1, t.2), true).is_some()
                };
                assert!(!(takes(a, b) && takes(b, a)), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_slow_master_is_one_with_more_than_three_of_our_intervals() {
        let why = |m, t| takes_over(m, t, false);
        assert_eq!(why(mine(1, 0, 0), theirs(3, 0, 0)), None);
        assert_eq!(
            why(mine(1, 0, 0), theirs(3, 1, 0)),
            Some(Reason::MasterWillTimeOut)
        );
        assert_eq!(why(mine(1, 50, 0), theirs(3, 50, 0)), None);
        assert_eq!(why(mine(0, 0, 0), theirs(9, 0, 0)), None);
        assert_eq!(
            why(mine(0, 0, 0), theirs(255, 255, 0)),
            Some(Reason::Goodbye)
        );
        assert_eq!(
            why(mine(100, 0, 0), theirs(255, 255, 0)),
            Some(Reason::Goodbye)
        );
    }
}
