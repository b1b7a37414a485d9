//! Numbers that look random and come again from the same seed.
//!
//! Two generators, because seeds and replay tuples stand in documents and in reports: what a seed gives must not change.

/// A linear congruential generator, of which the high bits are used.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    /// The numbers of one of many under the same seed.
    pub fn of(seed: u64, number: u64) -> Draw {
        Draw(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 40).unwrap_or(0) % bound
    }
}

/// `SplitMix64` (Steele, Lea, Flood, 2014): small, fast, and any seed is a good one.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each pair of numbers.
    pub fn of(seed: u64, stream: u64) -> Random {
        Random(mix(seed ^ mix(stream)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not zero. The bias is far too small to matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Fills up with any bytes but line ends: each has the bit that a newline lacks.
    pub fn fill_line(&mut self, line: &mut [u8]) {
        for piece in line.chunks_mut(8) {
            let bytes = (self.next() | 0x2020_2020_2020_2020).to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replay tuples and the seeds in the documents are worth nothing once these change.
    #[test]
    fn a_seed_gives_what_it_always_gave() {
        let mut draw = Draw::new(1);
        assert_eq!([0; 6].map(|_| draw.below(1000)), [271, 438, 665, 381, 398, 185]);
        let mut draw = Draw::of(1, 7);
        assert_eq!([0; 6].map(|_| draw.below(1000)), [193, 840, 767, 718, 279, 139]);
        let mut random = Random::of(1, 7);
        assert_eq!([0; 6].map(|_| random.below(1000)), [98, 981, 956, 251, 301, 466]);
        let mut line = [0; 12];
        random.fill_line(&mut line);
        assert_eq!(line, [112, 253, 108, 106, 122, 186, 47, 184, 185, 52, 54, 185]);
    }
}
