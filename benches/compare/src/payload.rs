//! What is appended: bytes that no engine can compress, behind a stamp that tells them apart when they are read back.
//!
//! ```text
//!          +0     +1     +2     +3     +4     +5     +6     +7
//!       0  writer, u64
//!       8  number, u64: how many entries this writer made before
//!      16  noise, up to the length of an entry
//! ```

/// Who made an entry, and how many it had made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) writer: u64,
    pub(crate) number: u64,
}

impl Stamp {
    pub(crate) const BYTES: usize = 16;

    /// `None` when the bytes are too few to be one of our entries.
    pub(crate) fn read(payload: &[u8]) -> Option<Stamp> {
        let (writer, rest) = payload.split_first_chunk()?;
        let number = rest.first_chunk()?;
        Some(Stamp { writer: u64::from_le_bytes(*writer), number: u64::from_le_bytes(*number) })
    }
}

/// The entries of one writer, a batch at a time, one after the other in one buffer.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    entry_bytes: usize,
    number: u64,
}

impl Payload {
    /// # Panics
    /// When an entry has no room for its stamp; the command line refuses that.
    pub(crate) fn new(writer: u64, entry_bytes: usize, batch: usize) -> Payload {
        assert!(entry_bytes >= Stamp::BYTES, "an entry of {entry_bytes} bytes has no room for its stamp");
        let mut bytes = noise(writer, entry_bytes * batch);
        for entry in bytes.chunks_mut(entry_bytes) {
            entry[..8].copy_from_slice(&writer.to_le_bytes());
        }
        Payload { bytes, entry_bytes, number: 0 }
    }

    /// As if this writer had made so many entries before.
    pub(crate) fn from(mut self, number: u64) -> Payload {
        self.number = number;
        self
    }

    /// The next batch of this writer.
    pub(crate) fn next(&mut self) -> &[u8] {
        for entry in self.bytes.chunks_mut(self.entry_bytes) {
            entry[8..Stamp::BYTES].copy_from_slice(&self.number.to_le_bytes());
            self.number += 1;
        }
        &self.bytes
    }
}

/// Xorshift64, as in Marsaglia, "Xorshift RNGs" (2003).
fn noise(writer: u64, bytes: usize) -> Vec<u8> {
    // The golden ratio in 64 bits keeps small numbers of writers apart; a state of zero would stay zero.
    let mut state = (writer + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_writer_are_numbered_from_zero() {
        let mut payload = Payload::new(3, 256, 1);
        for number in 0..3 {
            let entry = payload.next();
            assert_eq!(entry.len(), 256);
            assert_eq!(Stamp::read(entry), Some(Stamp { writer: 3, number }));
        }
    }

    #[test]
    fn a_batch_goes_on_where_the_one_before_ended() {
        let mut payload = Payload::new(3, 24, 2);
        for first in [0, 2] {
            let stamps: Vec<_> = payload.next().chunks(24).map(Stamp::read).collect();
            let expected = [first, first + 1].map(|number| Some(Stamp { writer: 3, number }));
            assert_eq!(stamps, expected);
        }
    }

    #[test]
    fn too_few_bytes_are_no_stamp() {
        assert_eq!(Stamp::read(&[0; Stamp::BYTES - 1]), None);
    }
}
