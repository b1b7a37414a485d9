//! A size on the command line: plain bytes, or a number with a binary unit.

use std::str::FromStr;

/// A number of bytes: `65536`, `64KiB`, `64MiB`, `1GiB`, `1TiB`, and nothing else.
///
/// `64K` and `64MB` are refused: half of the world reads them as powers of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(SHAPE.to_owned()),
        };
        if number.is_empty() {
            return Err(SHAPE.to_owned());
        }
        let too_large = || "more bytes than 64 bits can count".to_owned();
        let number: u64 = number.parse().map_err(|_| too_large())?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(too_large)?;
        Ok(Size { bytes })
    }
}

const SHAPE: &str = "a size is a number of bytes, or a number with KiB, MiB, GiB or TiB, as in 64MiB";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_binary_units_are_sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64KiB", 64 << 10),
            ("64MiB", 64 << 20),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
            ("007", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Size { bytes }), "{text}");
        }
    }

    #[test]
    fn whatever_could_be_misread_is_no_size() {
        for text in [
            "", "-1", "+1", "KiB", "1.5KiB", "1 KiB", " 1", "1_000", "64K", "64KB", "64kib", "64XB", "64kiB",
            "0x10", "1e6", "٣",
        ] {
            assert_eq!(text.parse::<Size>(), Err(SHAPE.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_size_beyond_64_bits_is_refused() {
        for text in ["99999999999999999999", "18446744073709551616", "16777216TiB", "18446744073709551615KiB"]
        {
            assert!(text.parse::<Size>().unwrap_err().contains("64 bits"), "{text}");
        }
    }
}
