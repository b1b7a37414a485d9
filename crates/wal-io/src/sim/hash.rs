//! A hash for the contents of a disk, which tells images apart.

use super::inode::BLOCK_BYTES;
use super::random::mix;

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
