//! One life of one segment file, and the mask that ties a frame to it.

use crate::SegmentNumber;

/// A segment number and the salt drawn when its headers were last written.
///
/// A file name can outlive its content: a prepared segment that was never linked is prepared again,
/// a recycled one comes back under another number. Each time it gets a new salt, so frames of an
/// earlier life, or of another file, or moved to another offset, have the wrong mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// The segment's number.
    pub segment: SegmentNumber,
    /// Random, new for each life.
    pub salt: u64,
}

impl Life {
    /// What a frame header's checksum at `offset` of this life is xored with.
    ///
    /// Each step is the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
    /// number generators", 2014), a bijection that spreads every bit of its input.
    #[must_use]
    #[inline]
    pub fn mask(self, offset: u64) -> u32 {
        let life = mix(self.salt ^ mix(self.segment.value()));
        let place = mix(life ^ offset);
        let low = place & u64::from(u32::MAX);
        u32::try_from(low).expect("32 bits were kept")
    }
}

#[inline]
fn mix(word: u64) -> u64 {
    let mut word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_segment_and_offset_each_change_the_mask() {
        let life = Life { segment: SegmentNumber::FIRST, salt: 7 };
        let other_salt = Life { salt: 8, ..life };
        let other_segment = Life { segment: SegmentNumber::new(2).unwrap(), ..life };
        assert_ne!(life.mask(8192), life.mask(8200));
        assert_ne!(life.mask(8192), other_salt.mask(8192));
        assert_ne!(life.mask(8192), other_segment.mask(8192));
    }
}
