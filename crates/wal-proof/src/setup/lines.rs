//! Lines that can be made again at any time from a few numbers.

use wal::sim::Random;

/// Replaces `line` with line `number` of `round`, without its end: its numbers, then bytes that depend on them. Most
/// lines are short, some are longer than a small segment, and a few take so long to write that a kill may come in the
/// middle.
pub(crate) fn make_line(line: &mut Vec<u8>, seed: u64, round: u64, number: u64) {
    let mut random = Random::of(seed ^ round.rotate_left(32), number);
    let longest = match random.below(256) {
        0..2 => 2 << 20,
        2..8 => 48 << 10,
        8..64 => 4 << 10,
        _ => 200,
    };
    let filler = random.below(longest);
    line.clear();
    line.extend(format!("{seed}-{round}-{number} ").as_bytes());
    let named = line.len();
    line.resize(named + filler, 0);
    fill_line(&mut random, &mut line[named..]);
}

/// Fills a part of a line with any bytes but line ends: each has the bit that a newline lacks.
pub(crate) fn fill_line(random: &mut Random, part: &mut [u8]) {
    random.fill(part);
    part.iter_mut().for_each(|byte| *byte |= 0x20);
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
