//! Lines that can be made again at any time from a few numbers.

/// `SplitMix64` (Steele, Lea, Flood, 2014): small, fast, and any seed is a good one.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each pair of numbers.
    pub(crate) fn of(seed: u64, stream: u64) -> Random {
        Random(mix(seed ^ mix(stream)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not zero. The bias is far too small to matter here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Fills up with any bytes but line ends: each has the bit that a newline lacks.
    pub(crate) fn fill_line(&mut self, line: &mut [u8]) {
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

/// Replaces `line` with line `number` of `round`, without its end: its numbers, then bytes that depend
/// on them. Most lines are short, some are longer than a small segment, and a few take so long to write
/// that a kill may come in the middle.
pub(crate) fn make_line(line: &mut Vec<u8>, seed: u64, round: u64, number: u64) {
    let mut random = Random::of(seed ^ round.rotate_left(32), number);
    let longest = match random.below(256) {
        0..2 => 2 << 20,
        2..8 => 48 << 10,
        8..64 => 4 << 10,
        _ => 200,
    };
    let filler = usize::try_from(random.below(longest)).expect("a few MiB fit in memory");
    line.clear();
    line.extend(format!("{seed}-{round}-{number} ").as_bytes());
    let named = line.len();
    line.resize(named + filler, 0);
    random.fill_line(&mut line[named..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_line_end_in_it_and_comes_again() {
        let (mut once, mut again) = (Vec::new(), Vec::new());
        for number in 0..1000 {
            make_line(&mut once, 7, 3, number);
            make_line(&mut again, 7, 3, number);
            assert_eq!(once, again);
            assert!(!once.contains(&b'\n'));
            assert!(once.starts_with(format!("7-3-{number} ").as_bytes()));
        }
    }
}
