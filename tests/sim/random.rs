//! Numbers from a seed, for the simulator alone; must not be the engine's generator.
//!
//! PCG RXS-M-XS 64 (O'Neill, "PCG: A family of simple fast space-efficient statistically good algorithms", 2014).

/// Equal seeds give equal numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed ^ 0x5851_f42d_4c95_7f2d);
        random.next();
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        let old = self.0;
        self.0 = old
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let word = ((old >> ((old >> 59) + 5)) ^ old).wrapping_mul(12_605_985_483_714_917_081);
        (word >> 43) ^ word
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Both ends included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// From `low` to `high`, small ones as often as large ones: each doubling is as likely as any other.
    pub fn scaled(&mut self, low: u64, high: u64) -> u64 {
        let doublings = u64::from((high / low).max(1).ilog2());
        let least = low << self.below(doublings + 1);
        self.between(least, (2 * least).min(high))
    }

    /// Between 0 and 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
