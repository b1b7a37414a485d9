//! Seeded random numbers.

/// Random numbers from a seed: `SplitMix64`. A seed gives the same numbers in every version, so a failure that names its
/// seed can be repeated.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. Any seed is a good one.
#[derive(Clone, Debug, Default)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// One of many independent streams under one seed.
    #[must_use]
    pub fn of(seed: u64, stream: u64) -> Random {
        Random(mix(seed ^ mix(stream.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; 0 where that is 0. Its bias is `bound` in 2^64.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_u64()) * bound as u128;
        usize::try_from(wide >> 64).expect("below the bound, which is a usize")
    }

    /// True `times` out of eight.
    pub(super) fn eighths(&mut self, times: usize) -> bool {
        self.below(8) < times
    }

    /// Fills `bytes` with random ones.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reproducers that were printed once, and the seeds in documents, are worth nothing once these numbers change.
    #[test]
    fn a_seed_gives_what_it_always_gave() {
        // As the reference implementation.
        let mut random = Random::new(0);
        let first = [0; 3].map(|_| random.next_u64());
        assert_eq!(first, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
        let mut random = Random::of(1, 7);
        assert_eq!([0; 6].map(|_| random.below(1000)), [342, 272, 66, 58, 287, 276]);
        let mut bytes = [0; 12];
        random.fill(&mut bytes);
        assert_eq!(bytes, [116, 63, 126, 13, 161, 73, 5, 231, 224, 213, 2, 242]);
    }
}
