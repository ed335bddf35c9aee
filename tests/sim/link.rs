//! One shared segment: who hears a frame, when and how often; must not know what frames say.

use crate::random::Random;
use carp::wire::Family;

const MS: u64 = 1_000_000;

/// An Ethernet segment. All numbers are 0 on a good day but the delay.
#[derive(Debug, Clone)]
pub struct Segment {
    /// In ns: at least, and how much more by chance.
    pub delay: u64,
    pub jitter: u64,
    /// In percent.
    pub loss: u64,
    pub bursts: bool,
    in_burst: bool,
    pub duplicates: u64,
    pub reorders: u64,
    pub corrupts: u64,
    /// From, to.
    pub cuts: Vec<(usize, usize)>,
    /// Hosts of one side, as bits.
    pub partitions: Vec<u32>,
    /// Frames of this family do not pass between the sides.
    pub lost_families: Vec<(Family, u32)>,
    /// Hosts that hear themselves.
    pub loops: Vec<usize>,
    /// How many of these are going on, and since when none was.
    pub troubles: usize,
    pub clean_since: u64,
}

/// What becomes of one frame at one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub after: u64,
    pub corrupted: bool,
}

impl Segment {
    pub fn new(random: &mut Random) -> Self {
        Self {
            delay: random.between(20_000, 300_000),
            jitter: random.between(0, 700_000),
            loss: 0,
            bursts: false,
            in_burst: false,
            duplicates: 0,
            reorders: 0,
            corrupts: 0,
            cuts: Vec::new(),
            partitions: Vec::new(),
            lost_families: Vec::new(),
            loops: Vec::new(),
            troubles: 0,
            clean_since: 0,
        }
    }

    /// A frame on its way from one host to another; `from` is `None` for a client that everybody hears.
    pub fn carry(
        &mut self,
        random: &mut Random,
        from: Option<usize>,
        to: usize,
        family: Option<Family>,
    ) -> Vec<Arrival> {
        if let Some(from) = from
            && !self.connects(from, to, family)
        {
            return Vec::new();
        }
        if self.troubles == 0 {
            let after = self.delay + random.below(self.jitter + 1);
            return vec![Arrival {
                after,
                corrupted: false,
            }];
        }
        if self.bursts {
            let turn = if self.in_burst { 25 } else { 5 };
            self.in_burst ^= random.chance(turn);
        }
        let lost = (self.bursts && self.in_burst && random.chance(90)) || random.chance(self.loss);
        if lost {
            return Vec::new();
        }
        let copies = 1 + u64::from(random.chance(self.duplicates));
        let arrival = |_| {
            let mut after = self.delay + random.below(self.jitter + 1);
            if random.chance(self.reorders) {
                after += random.between(1, 1500) * MS;
            }
            Arrival {
                after,
                corrupted: random.chance(self.corrupts),
            }
        };
        (0..copies).map(arrival).collect()
    }

    fn connects(&self, from: usize, to: usize, family: Option<Family>) -> bool {
        let apart = |side: u32| (side >> from) & 1 != (side >> to) & 1;
        let lost = |(f, side): &(Family, u32)| Some(*f) == family && apart(*side);
        let mut partitions = self.partitions.iter();
        (from != to || self.loops.contains(&from))
            && !self.cuts.contains(&(from, to))
            && !partitions.any(|side| apart(*side))
            && !self.lost_families.iter().any(lost)
    }
}
