//! [`Options`] from a configuration file, and as one: serde, written by hand so that errors name the option.
//!
//! One line of the table below for each option: its name in a file, with its unit, and its field. What is not in
//! the file has its default; what is there and no option is an error. Whether a value can work is checked at
//! `open`, as always.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde_core::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_core::ser::{SerializeMap, SerializeStruct};
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use wal_format::ChecksumKind;
use wal_segment::{OpenMode, Writer};
use wal_sync::SyncPolicy;

use crate::options::Options;
use crate::options::retention::{Keeping, WhenFull};
use crate::report::event::Callbacks;

macro_rules! options {
    (
        in a file { $($name:ident = $field:ident,)* }
        of what is kept { $($kept_name:ident = $kept:ident,)* }
        elsewhere { $($left:ident,)* }
    ) => {
        const NAMES: &[&str] = &[$(stringify!($name),)* $(stringify!($kept_name)),*];

        impl Serialize for Options {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // An option that is on no line does not compile here.
                let Options { $($field,)* keeping: Keeping { $($kept),* }, $($left: _),* } = self;
                let mut shown = serializer.serialize_struct("Options", NAMES.len())?;
                $(shown.serialize_field(stringify!($name), &Shown($field))?;)*
                $(shown.serialize_field(stringify!($kept_name), &Shown($kept))?;)*
                shown.end()
            }
        }

        /// Reads the value of the option with this name.
        fn read<'de, A: MapAccess<'de>>(
            options: &mut Options,
            name: &str,
            map: &mut A,
        ) -> Result<(), A::Error> {
            match name {
                $(stringify!($name) => options.$field = map.next_value_seed(Named::new(stringify!($name)))?,)*
                $(stringify!($kept_name) => {
                    options.keeping.$kept = map.next_value_seed(Named::new(stringify!($kept_name)))?;
                })*
                unknown => return Err(A::Error::unknown_field(unknown, NAMES)),
            }
            Ok(())
        }
    };
}

options! {
    in a file {
        segment_bytes = segment_bytes,
        checksum = checksum,
        sync = sync,
        max_entry_bytes = max_entry_bytes,
        max_batch_bytes = max_batch_bytes,
        max_in_flight_bytes = max_in_flight_bytes,
        buffered_bytes = buffered,
        background = background,
        zero_ahead = zero_ahead,
        mapped_reads = mapped_reads,
        slow_sync_ms = slow_sync,
        low_space_bytes = low_space_bytes,
        first_sequence = first_sequence,
        open_mode = open_mode,
        recycle = recycle,
        spares = spares,
    }
    of what is kept {
        retain_bytes = retain_bytes,
        retain_entries = retain_entries,
        retain_age_ms = retain_age,
        max_log_bytes = max_log_bytes,
        when_full = when_full,
        hold_limit_bytes = hold_limit_bytes,
        roll_after_ms = roll_after,
    }
    elsewhere { callbacks, rules, }
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Options, D::Error> {
        deserializer.deserialize_struct("Options", NAMES, OptionsVisitor)
    }
}

impl Options {
    /// The same with what the log and the other options decide where nothing was said, and without the callbacks:
    /// one that keeps the log would be kept by it.
    pub(crate) fn in_force(&self, writer: &Writer) -> Options {
        Options {
            segment_bytes: Some(writer.segment_bytes()),
            checksum: Some(writer.checksum()),
            max_batch_bytes: Some(self.batch_bytes()),
            zero_ahead: Some(self.zeroes_ahead()),
            low_space_bytes: Some(self.low_space_bytes.unwrap_or(writer.segment_bytes())),
            callbacks: Callbacks::default(),
            ..self.clone()
        }
    }
}

struct OptionsVisitor;

impl<'de> Visitor<'de> for OptionsVisitor {
    type Value = Options;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the options of a log by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Options, A::Error> {
        let (mut options, mut seen) = (Options::default(), Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            if seen.contains(&name) {
                return Err(A::Error::custom(format_args!("{name} is there twice")));
            }
            read(&mut options, &name, &mut map)?;
            seen.push(name);
        }
        Ok(options)
    }
}

/// How a kind of value stands in a file.
trait Setting: Sized {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

struct Shown<'a, T>(&'a T);

impl<T: Setting> Serialize for Shown<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.show(serializer)
    }
}

/// A value whose errors say whose value it is.
struct Named<T>(&'static str, PhantomData<T>);

impl<T> Named<T> {
    fn new(name: &'static str) -> Named<T> {
        Named(name, PhantomData)
    }
}

impl<'de, T: Setting> DeserializeSeed<'de> for Named<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::take(deserializer).map_err(|error| D::Error::custom(format_args!("{}: {error}", self.0)))
    }
}

impl Setting for u64 {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*self)
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        u64::deserialize(deserializer)
    }
}

impl Setting for usize {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (*self as u64).show(serializer)
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        usize::deserialize(deserializer)
    }
}

impl Setting for bool {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self)
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        bool::deserialize(deserializer)
    }
}

/// Absent, or null where a file can say so: the log's own choice.
impl<T: Setting> Setting for Option<T> {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => serializer.serialize_some(&Shown(value)),
            None => serializer.serialize_none(),
        }
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        struct Optional<T>(PhantomData<T>);
        impl<'de, T: Setting> Visitor<'de> for Optional<T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, or none")
            }

            fn visit_none<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }

            fn visit_unit<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
                T::take(deserializer).map(Some)
            }
        }
        deserializer.deserialize_option(Optional(PhantomData))
    }
}

/// In milliseconds, with a fraction where it takes one.
impl Setting for Duration {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match u64::try_from(self.as_millis()) {
            Ok(millis) if Duration::from_millis(millis) == *self => serializer.serialize_u64(millis),
            _ => serializer.serialize_f64(self.as_nanos() as f64 / 1e6),
        }
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        struct Millis;
        impl Visitor<'_> for Millis {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of milliseconds, not below 0")
            }

            fn visit_u64<E>(self, millis: u64) -> Result<Duration, E> {
                Ok(Duration::from_millis(millis))
            }

            fn visit_i64<E: serde_core::de::Error>(self, millis: i64) -> Result<Duration, E> {
                let counted = u64::try_from(millis).map(Duration::from_millis);
                counted.map_err(|_| E::custom(format_args!("{millis} milliseconds are no time")))
            }

            fn visit_f64<E: serde_core::de::Error>(self, millis: f64) -> Result<Duration, E> {
                Duration::try_from_secs_f64(millis / 1e3)
                    .map_err(|_| E::custom(format_args!("{millis:?} milliseconds are no time")))
            }
        }
        deserializer.deserialize_any(Millis)
    }
}

/// By its name.
impl Setting for ChecksumKind {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChecksumKind, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse()
            .map_err(|_| D::Error::custom(format_args!("this build has no checksum of the name {name}")))
    }
}

/// Values that have a name in a configuration file.
macro_rules! by_name {
    ($value:ty: $($one:path = $name:literal),+) => {
        impl Setting for $value {
            fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let all = [$(($one, $name)),+];
                let (_, name) = all.iter().find(|(value, _)| value == self).ok_or_else(|| {
                    serde_core::ser::Error::custom("this value has no name in a configuration file")
                })?;
                serializer.serialize_str(name)
            }

            fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$value, D::Error> {
                match String::deserialize(deserializer)?.as_str() {
                    $($name => Ok($one),)+
                    name => Err(D::Error::unknown_variant(name, &[$($name),+])),
                }
            }
        }
    };
}

by_name!(WhenFull: WhenFull::Refuse = "refuse", WhenFull::Wait = "wait");
by_name!(OpenMode: OpenMode::CreateOrOpen = "create_or_open", OpenMode::MustExist = "must_exist", OpenMode::CreateNew = "create_new");

const POLICY: &str = "policy";
const ENTRIES: &str = "entries";
const INTERVAL: &str = "interval_ms";
const WINDOW: &str = "window_ms";

/// By its name, with its bounds beside it.
impl Setting for SyncPolicy {
    fn show<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serializer.serialize_map(None)?;
        shown.serialize_entry(POLICY, self.name())?;
        match self {
            SyncPolicy::Periodic { entries, interval } => {
                shown.serialize_entry(ENTRIES, entries)?;
                shown.serialize_entry(INTERVAL, &Shown(interval))?;
            }
            SyncPolicy::Grouped { window } => shown.serialize_entry(WINDOW, &Shown(window))?,
            _ => {}
        }
        shown.end()
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SyncPolicy, D::Error> {
        deserializer.deserialize_map(PolicyVisitor)
    }
}

struct PolicyVisitor;

impl<'de> Visitor<'de> for PolicyVisitor {
    type Value = SyncPolicy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy by its name, with its bounds")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SyncPolicy, A::Error> {
        let mut policy: Option<String> = None;
        let (mut entries, mut interval, mut window) = (None, None, None);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                POLICY => policy = Some(map.next_value()?),
                ENTRIES => entries = Some(map.next_value_seed(Named::<u64>::new(ENTRIES))?),
                INTERVAL => interval = Some(map.next_value_seed(Named::<Duration>::new(INTERVAL))?),
                WINDOW => window = Some(map.next_value_seed(Named::<Duration>::new(WINDOW))?),
                unknown => {
                    return Err(A::Error::unknown_field(unknown, &[POLICY, ENTRIES, INTERVAL, WINDOW]));
                }
            }
        }
        let policy = policy.ok_or_else(|| A::Error::missing_field(POLICY))?;
        let of_another = match policy.as_str() {
            "periodic" => window.map(|_| WINDOW),
            "grouped" => entries.map(|_| ENTRIES).or(interval.map(|_| INTERVAL)),
            _ => entries.map(|_| ENTRIES).or(interval.map(|_| INTERVAL)).or(window.map(|_| WINDOW)),
        };
        if let Some(name) = of_another {
            return Err(A::Error::custom(format_args!("{name} is no bound of the policy {policy}")));
        }
        let taken = match policy.as_str() {
            "none" => SyncPolicy::None,
            "immediate" => SyncPolicy::Immediate,
            "periodic" => SyncPolicy::Periodic {
                entries: entries.ok_or_else(|| A::Error::missing_field(ENTRIES))?,
                interval: interval.ok_or_else(|| A::Error::missing_field(INTERVAL))?,
            },
            "grouped" => window.map_or_else(SyncPolicy::default, |window| SyncPolicy::Grouped { window }),
            unknown => {
                return Err(A::Error::unknown_variant(
                    unknown,
                    &["none", "immediate", "periodic", "grouped"],
                ));
            }
        };
        Ok(taken.clamped())
    }
}
