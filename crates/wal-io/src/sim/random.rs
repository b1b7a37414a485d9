//! Numbers that look random and come again from the same seed, and a hash for contents.

use super::inode::BLOCK_BYTES;

/// `SplitMix64`: small, fast, passes the usual tests, and any seed is a good one.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A stream of its own for each pair of numbers.
    pub(super) fn of(seed: u64, stream: u64) -> Random {
        Random(mix(seed ^ mix(stream.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not zero. The bias is below 2^-32 for the bounds used here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        usize::try_from(wide >> 64).expect("below the bound, which is a usize")
    }

    /// True `times` out of eight.
    pub(super) fn eighths(&mut self, times: usize) -> bool {
        self.below(8) < times
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64 bits by folded multiplication, as in wyhash: one multiplication for eight bytes. Good enough to
/// tell millions of images apart; no defence against someone who looks for collisions.
pub(super) struct Hash(u64);

/// Multiplications that do not wait for each other.
const LANES: usize = 8;

const _: () = assert!(BLOCK_BYTES.is_multiple_of(8 * LANES), "every word of a block is in a lane");

impl Hash {
    pub(super) fn new() -> Hash {
        Hash(0x243f_6a88_85a3_08d3)
    }

    pub(super) fn word(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * 0x9fb2_1c65_1e98_df25_u128;
        let (low, high) = (wide & u128::from(u64::MAX), wide >> 64);
        self.0 = u64::try_from(low ^ high).expect("both halves have 64 bits").rotate_left(29);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// A block of zeros counts for nothing, because an absent one reads the same. In lanes, because each
    /// multiplication of one waits for the one before: crash enumeration spends a quarter of its time here
    /// with a single lane.
    pub(super) fn block(&mut self, index: u64, block: &[u8; BLOCK_BYTES]) {
        if *block == [0; BLOCK_BYTES] {
            return;
        }
        self.word(index);
        let mut lanes: [Hash; LANES] = std::array::from_fn(|lane| Hash(self.0 ^ lane as u64));
        let (words, _) = block.as_chunks::<8>();
        let (rounds, _) = words.as_chunks::<LANES>();
        for round in rounds {
            for (lane, word) in lanes.iter_mut().zip(round) {
                lane.word(u64::from_le_bytes(*word));
            }
        }
        lanes.into_iter().for_each(|lane| self.word(lane.0));
    }

    pub(super) fn finish(self) -> u64 {
        mix(self.0)
    }
}
