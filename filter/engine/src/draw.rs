//! The weighted draw. The generator is a value whose seed is an argument, so a test replays every choice.
//!
//! Decision: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014), eight lines
//! and well distributed over successive counters. Rejected: a generator crate; nothing here needs more than one `f64` a
//! request.

/// A stream of numbers that depends on the seed alone.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// Starts at this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Index of one weight, drawn in proportion. Weights that are not positive are never drawn unless all are.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let total: f64 = weights.iter().filter(|w| **w > 0.0).sum();
        if total <= 0.0 {
            let share = self.bits() % (weights.len().max(1) as u64);
            return usize::try_from(share).unwrap_or(0);
        }
        let mut left = self.unit() * total;
        let mut last = 0;
        for (i, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            last = i;
            left -= weight;
            if left < 0.0 {
                return i;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::Draw;

    #[test]
    fn weights_are_shares_whatever_they_sum_to() {
        let mut draw = Draw::new(7);
        let mut counts = [0_u32; 4];
        for _ in 0..30_000 {
            counts[draw.weighted(&[60.0, 30.0, 0.0, 10.0])] += 1;
        }
        assert_eq!(counts[2], 0, "a zero weight is never drawn");
        for (count, expected) in [(counts[0], 18_000.0), (counts[1], 9_000.0), (counts[3], 3_000.0)] {
            assert!((f64::from(count) - expected).abs() < 4.0 * f64::sqrt(expected), "{counts:?}");
        }
    }

    #[test]
    fn all_zero_weights_are_equal_shares() {
        let mut draw = Draw::new(1);
        let seen: std::collections::BTreeSet<_> = (0..64).map(|_| draw.weighted(&[0.0, 0.0])).collect();
        assert_eq!(seen.len(), 2);
        assert_eq!(draw.weighted(&[]), 0, "an empty list has no index to go wrong with");
    }
}
