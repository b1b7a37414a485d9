//! Whether options can work, alone and together: checked once, when a log is opened.

use std::time::Duration;

use wal_format::{MAX_FRAME_PAYLOAD_BYTES, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, Sequence};

use crate::error::{Error, ErrorKind};
use crate::options::Options;

impl Options {
    /// Refuses an option that cannot work, by its name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidOptions, message));
        if let Some(bytes) = self.segment_bytes
            && !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&bytes)
        {
            return invalid(format!(
                "segment_bytes is {bytes}; it must be from {MIN_SEGMENT_BYTES} to {MAX_SEGMENT_BYTES}"
            ));
        }
        if !(1..=MAX_FRAME_PAYLOAD_BYTES).contains(&self.max_entry_bytes) {
            let found = self.max_entry_bytes;
            return invalid(format!(
                "max_entry_bytes is {found}; it must be from 1 to {MAX_FRAME_PAYLOAD_BYTES}"
            ));
        }
        if !(self.max_entry_bytes..=MAX_FRAME_PAYLOAD_BYTES).contains(&self.batch_bytes()) {
            let (found, least) = (self.batch_bytes(), self.max_entry_bytes);
            return invalid(format!(
                "max_batch_bytes is {found}; it must be from max_entry_bytes ({least}) to {MAX_FRAME_PAYLOAD_BYTES}"
            ));
        }
        self.check_retention()?;
        if self.max_in_flight_bytes == 0 {
            return invalid("max_in_flight_bytes is 0; it must be at least 1".to_owned());
        }
        if let Some(first) = self.first_sequence
            && Sequence::try_from(first).is_err()
        {
            let most = Sequence::MAX;
            return invalid(format!("first_sequence is {first}; it must be at most {most}"));
        }
        if self.slow_sync.is_zero() {
            return invalid("slow_sync is 0; it must be more".to_owned());
        }
        if let Some(bytes) = self.buffered {
            if self.sync.waits() {
                let policy = self.sync.name();
                return invalid(format!("buffered is for the policies none and periodic, not for {policy}"));
            }
            if !(1..=self.max_in_flight_bytes).contains(&bytes) {
                let most = self.max_in_flight_bytes;
                return invalid(format!(
                    "buffered is {bytes}; it must be from 1 to max_in_flight_bytes ({most})"
                ));
            }
        }
        Ok(())
    }

    fn check_retention(&self) -> Result<(), Error> {
        for (name, limit) in [("retain_bytes", self.retain_bytes), ("retain_entries", self.retain_entries)] {
            if limit == Some(0) {
                return Err(Error::new(
                    ErrorKind::InvalidOptions,
                    format!("{name} is 0; it must be at least 1"),
                ));
            }
        }
        for (name, limit) in [("retain_age", self.retain_age), ("roll_after", self.roll_after)] {
            if limit == Some(Duration::ZERO) {
                return Err(Error::new(ErrorKind::InvalidOptions, format!("{name} is 0; it must be more")));
            }
        }
        self.check_cap(self.segment_bytes.unwrap_or(MIN_SEGMENT_BYTES))
    }

    /// Whether the cap has room for two segments, and for what retention by bytes keeps.
    pub(crate) fn check_cap(&self, segment_bytes: u64) -> Result<(), Error> {
        let Some(most) = self.max_log_bytes else { return Ok(()) };
        let two = segment_bytes.saturating_mul(2);
        let invalid = |message| Err(Error::new(ErrorKind::InvalidOptions, message));
        if most < two {
            return invalid(format!(
                "max_log_bytes is {most}; it must be at least two segments of {segment_bytes} bytes"
            ));
        }
        match self.retain_bytes {
            Some(kept) if most < kept.saturating_add(two) => invalid(format!(
                "retain_bytes is {kept} and max_log_bytes {most}: retention may keep a segment more than retain_bytes, and \
                 appends need room for another one, so max_log_bytes must be at least retain_bytes and two segments of \
                 {segment_bytes} bytes"
            )),
            _ => Ok(()),
        }
    }
}
