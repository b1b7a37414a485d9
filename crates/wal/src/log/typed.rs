//! Values instead of bytes, through serde and postcard. The log itself knows bytes alone.

use std::any::type_name;
use std::borrow::Borrow;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use postcard::ser_flavors::Flavor;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use wal_sync::Durability;
use wal_sync::primitives::Mutex;

use crate::error::{Error, ErrorKind};
use crate::log::Wal;
use crate::log::commit::Commit;
use crate::read::entries::Entries;
use crate::read::entry::Entry;

/// A log of values of one type: a handle, cheap to clone. From [`Wal::typed`].
///
/// A value is one entry, in [postcard](https://docs.rs/postcard)'s format: its fields in order, without their
/// names. So what is in the log stays readable as long as the type keeps its fields and their order; whoever
/// expects it to change makes it an enum of its versions. An entry that is no value of the type, or has bytes
/// behind one, is [`ErrorKind::Undecodable`].
///
/// What an append promises, and its other errors, are those of the [`Wal`]. A value is encoded into memory that is
/// used again; to decode one allocates what the value itself does.
pub struct Typed<T> {
    wal: Wal,
    scratch: Arc<Scratch>,
    values: PhantomData<fn(T) -> T>,
}

impl Wal {
    /// The log as one of values of this type. It is not noted in the log which type that is.
    #[must_use]
    pub fn typed<T>(&self) -> Typed<T> {
        Typed { wal: self.clone(), scratch: Arc::new(Scratch::new()), values: PhantomData }
    }
}

impl<T> Typed<T> {
    /// The log below.
    #[must_use]
    pub fn wal(&self) -> &Wal {
        &self.wal
    }
}

impl<T: Serialize> Typed<T> {
    /// Appends a value, as [`Wal::append`].
    ///
    /// # Errors
    /// As [`Wal::append`]. [`ErrorKind::TooLarge`] when it takes more than
    /// [`max_entry_bytes`](crate::Options::max_entry_bytes), and [`ErrorKind::Unencodable`] when its type's
    /// [`Serialize`] refuses: then nothing was written.
    pub fn append(&self, value: &T) -> Result<u64, Error> {
        self.encoded(value, |bytes| self.wal.append(bytes))
    }

    /// Appends a value, as [`Wal::append_with`].
    ///
    /// # Errors
    /// As [`Typed::append`].
    pub fn append_with(&self, value: &T, durability: Durability) -> Result<u64, Error> {
        self.encoded(value, |bytes| self.wal.append_with(bytes, durability))
    }

    /// Appends a value and returns when it is numbered, as [`Wal::submit`].
    ///
    /// # Errors
    /// As [`Typed::append`], for what is known at once.
    pub fn submit(&self, value: &T) -> Result<Commit, Error> {
        self.encoded(value, |bytes| self.wal.submit(bytes))
    }

    /// Appends values of which a crash leaves all or none, as [`Wal::append_batch`]. Allocates two lists.
    ///
    /// # Errors
    /// As [`Typed::append`], for all of them together: when one cannot be encoded, nothing was written.
    pub fn append_batch<V: Borrow<T>>(
        &self,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Range<u64>, Error> {
        self.scratch.with(|bytes| {
            let mut ends = Vec::new();
            for value in values {
                self.encode(value.borrow(), bytes)?;
                ends.push(bytes.len());
            }
            let starts = std::iter::once(&0).chain(&ends);
            let payloads: Vec<&[u8]> = starts.zip(&ends).map(|(&start, &end)| &bytes[start..end]).collect();
            self.wal.append_batch(payloads)
        })
    }

    fn encoded<R>(&self, value: &T, act: impl FnOnce(&[u8]) -> Result<R, Error>) -> Result<R, Error> {
        self.scratch.with(|bytes| {
            self.encode(value, bytes)?;
            act(bytes)
        })
    }

    /// Adds the bytes of a value to `bytes`, which may hold those of others of its batch.
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let (most, most_together) = (self.wal.max_entry_bytes(), self.wal.max_batch_bytes());
        let end = most.saturating_add(bytes.len() as u64).min(most_together);
        let bounded = Bounded { bytes, end: usize::try_from(end).unwrap_or(usize::MAX) };
        postcard::serialize_with_flavor(value, bounded).map_err(|error| match error {
            postcard::Error::SerializeBufferFull => {
                let message = format!(
                    "a value of {} is above max_entry_bytes ({most}), or with its batch above max_batch_bytes ({most_together})",
                    type_name::<T>()
                );
                Error::new(ErrorKind::TooLarge, message)
            }
            error => {
                let message = format!("a value of {} cannot be encoded: {error}", type_name::<T>());
                Error::new(ErrorKind::Unencodable, message)
            }
        })
    }
}

impl<T: DeserializeOwned> Typed<T> {
    /// The value with this number, as [`Wal::read`].
    ///
    /// # Errors
    /// As [`Wal::read`]; [`ErrorKind::Undecodable`].
    pub fn read(&self, sequence: u64) -> Result<T, Error> {
        self.wal.read(sequence)?.decode()
    }

    /// The values from `first` on, as [`Wal::read_from`].
    ///
    /// # Errors
    /// As [`Wal::read_from`].
    pub fn read_from(&self, first: u64) -> Result<TypedEntries<T>, Error> {
        Ok(self.wal.read_from(first)?.typed())
    }

    /// The values whose numbers lie in `range`, as [`Wal::range`].
    ///
    /// # Errors
    /// As [`Wal::range`].
    pub fn range(&self, range: impl RangeBounds<u64>) -> Result<TypedEntries<T>, Error> {
        Ok(self.wal.range(range)?.typed())
    }
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Typed<T> {
        Typed { wal: self.wal.clone(), scratch: Arc::clone(&self.scratch), values: PhantomData }
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed<{}>({:?})", type_name::<T>(), self.wal)
    }
}

/// Values in order, each with its number; may be taken from both ends, as [`Entries`]. Ends, at both, after the first
/// error. From [`Typed::read_from`], [`Typed::range`] and [`Entries::typed`].
pub struct TypedEntries<T> {
    entries: Entries,
    failed: bool,
    values: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TypedEntries<T> {
    fn decoded(&mut self, entry: Option<Result<Entry, Error>>) -> Option<Result<(u64, T), Error>> {
        let value = entry?.and_then(|entry| Ok((entry.sequence(), entry.decode()?)));
        self.failed = value.is_err();
        Some(value)
    }
}

impl<T: DeserializeOwned> Iterator for TypedEntries<T> {
    type Item = Result<(u64, T), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = if self.failed { None } else { self.entries.next() };
        self.decoded(entry)
    }
}

impl<T: DeserializeOwned> DoubleEndedIterator for TypedEntries<T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = if self.failed { None } else { self.entries.next_back() };
        self.decoded(entry)
    }
}

impl<T: DeserializeOwned> FusedIterator for TypedEntries<T> {}

impl<T> fmt::Debug for TypedEntries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedEntries").field("entries", &self.entries).field("failed", &self.failed).finish()
    }
}

impl Entries {
    /// The same entries as values of this type: for a [`View`](crate::View), which has no `typed` of its own.
    pub fn typed<T: DeserializeOwned>(self) -> TypedEntries<T> {
        TypedEntries { entries: self, failed: false, values: PhantomData }
    }
}

impl Entry {
    /// The value that was appended.
    ///
    /// # Errors
    /// [`ErrorKind::Undecodable`] when its bytes are no value of this type, or when there are more of them.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let undecodable = |why: fmt::Arguments<'_>| {
            let (sequence, bytes, name) = (self.sequence(), self.payload().len(), type_name::<T>());
            let message = format!("entry {sequence} of {bytes} bytes is no value of {name}: {why}");
            Error::new(ErrorKind::Undecodable, message)
        };
        match postcard::take_from_bytes(self.payload()) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(undecodable(format_args!("{} bytes are left behind it", rest.len()))),
            Err(error) => Err(undecodable(format_args!("{error}"))),
        }
    }
}

/// Where values are encoded: memory that is used again.
#[derive(Debug)]
struct Scratch(Mutex<Vec<Vec<u8>>>);

/// As many threads as encode at one moment without an allocation.
const SPARE_BUFFERS: usize = 8;
/// What a large value was encoded into is not kept for small ones.
const SPARE_BUFFER_BYTES: usize = 64 << 10;

impl Scratch {
    fn new() -> Scratch {
        Scratch(Mutex::new(Vec::with_capacity(SPARE_BUFFERS)))
    }

    /// Lends empty memory.
    fn with<R>(&self, act: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut bytes = self.0.lock_whole().pop().unwrap_or_default();
        let result = act(&mut bytes);
        let mut spare = self.0.lock_whole();
        if spare.len() < SPARE_BUFFERS && bytes.capacity() <= SPARE_BUFFER_BYTES {
            bytes.clear();
            spare.push(bytes);
        }
        result
    }
}

/// Takes bytes up to an end: a value that is too large does not fill the memory first.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    end: usize,
}

impl Flavor for Bounded<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        if data.len() > self.end.saturating_sub(self.bytes.len()) {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.try_extend(&[data])
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
