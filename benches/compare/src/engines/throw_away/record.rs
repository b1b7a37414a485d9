//! How a throw-away stores an entry.
//!
//! ```text
//!          +0     +1     +2     +3     +4     +5     +6     +7
//!       0  length of the entry, u32  │ CRC-32 of the entry, u32
//!       8  the entry
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use wal_io::{Access, Directory, Disk};

use crate::engines::because;

const HEADER_BYTES: usize = 8;

/// Adds the entries of a call, each of so many bytes, and returns their number.
pub(super) fn push(buffer: &mut Vec<u8>, payload: &[u8], entry_bytes: usize) -> u64 {
    let mut entries = 0;
    for entry in payload.chunks(entry_bytes) {
        let len = u32::try_from(entry.len()).expect("the command line takes no entry above 1 MiB");
        let checksum = crc32fast::hash(entry);
        buffer.extend_from_slice(&(u64::from(checksum) << 32 | u64::from(len)).to_le_bytes());
        buffer.extend_from_slice(entry);
        entries += 1;
    }
    entries
}

/// Maps the first `len` bytes of a file, all of them without `len`, and visits every entry whose checksum matches.
/// Returns how long that took, without the mapping.
///
/// # Errors
/// That an entry is damaged or not whole.
pub(in crate::engines) fn show_file(
    directory: &Path,
    name: &str,
    len: Option<u64>,
    visit: impl FnMut(&[u8]),
) -> Result<Duration, String> {
    let disk = Disk::open(directory).map_err(because("open the directory"))?;
    let file = disk.open(name, Access::Read).map_err(because("open"))?;
    let len = len.map_or_else(|| file.len(), Ok).map_err(because("length"))?;
    let mapping = file.map(usize::try_from(len).map_err(because("length"))?).map_err(because("map"))?;
    let began = Instant::now();
    show(&mapping, visit)?;
    Ok(began.elapsed())
}

/// The bare loop: the least that a replay with checksums can do.
fn show(mut bytes: &[u8], mut visit: impl FnMut(&[u8])) -> Result<(), String> {
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let header = u64::from_le_bytes(*header);
        let (len, checksum) = (header & u64::from(u32::MAX), header >> 32);
        let entry = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
        let Some((entry, rest)) = entry else { return Err("an entry is not whole".to_owned()) };
        if u64::from(crc32fast::hash(entry)) != checksum {
            return Err("the checksum of an entry does not match".to_owned());
        }
        visit(entry);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(()) } else { Err("a header is not whole".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use crate::tally::Tally;

    #[test]
    fn a_damaged_entry_is_told() {
        let mut bytes = Vec::new();
        assert_eq!(push(&mut bytes, Payload::new(0, 32, 3).next(), 32), 3);
        let mut tally = Tally::new(1);
        assert_eq!(show(&bytes, |entry| tally.entry(entry)), Ok(()));
        assert_eq!(tally.compare(&[3]), Ok(()));
        assert!(show(&bytes[..bytes.len() - 1], |_| ()).is_err());
        bytes[HEADER_BYTES + 20] ^= 1;
        assert!(show(&bytes, |_| ()).is_err());
    }
}
