//! The promises of a log that the proofs put to the test, and how one of them was broken.

/// A promise that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Promise {
    AcknowledgedIsThere,
    LogIsAPrefix,
    CrashNeverCorrupts,
    OpeningTwiceIsTheSame,
    ShownStays,
    GoneStaysGone,
    TruncationIsOldOrNew,
    DamageIsReported,
    NothingAfterAFailedSync,
    LossIsBounded,
    EveryCallReturns,
    NoPanic,
    OneWriter,
    ReadErrorIsAnError,
    ExchangeIsTold,
}

impl Promise {
    pub(crate) const ALL: [Promise; 15] = [
        Promise::AcknowledgedIsThere,
        Promise::LogIsAPrefix,
        Promise::CrashNeverCorrupts,
        Promise::OpeningTwiceIsTheSame,
        Promise::ShownStays,
        Promise::GoneStaysGone,
        Promise::TruncationIsOldOrNew,
        Promise::DamageIsReported,
        Promise::NothingAfterAFailedSync,
        Promise::LossIsBounded,
        Promise::EveryCallReturns,
        Promise::NoPanic,
        Promise::OneWriter,
        Promise::ReadErrorIsAnError,
        Promise::ExchangeIsTold,
    ];

    /// The promise in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Promise::AcknowledgedIsThere => "every acknowledged entry is there, byte for byte",
            Promise::LogIsAPrefix => "the log is a prefix of what was appended, batches whole",
            Promise::CrashNeverCorrupts => "a crash alone always opens",
            Promise::OpeningTwiceIsTheSame => "opening twice gives the same log",
            Promise::ShownStays => "what an open showed never disappears",
            Promise::GoneStaysGone => "what an open declared gone never comes back",
            Promise::TruncationIsOldOrNew => "a truncation is whole or nothing, and stays",
            Promise::DamageIsReported => "damage to durable entries is reported, nothing is changed",
            Promise::NothingAfterAFailedSync => "after a failed sync nothing is acknowledged",
            Promise::LossIsBounded => "under periodic no more waits for a sync than was set",
            Promise::EveryCallReturns => "every call returns after a bounded number of steps",
            Promise::NoPanic => "no panic",
            Promise::OneWriter => "one writer at a time",
            Promise::ExchangeIsTold => {
                "a log whose files or directory were exchanged says so, and accepts nothing that it loses"
            }
            Promise::ReadErrorIsAnError => "a read error is an error, never the end of the log",
        }
    }
}

/// How one state broke a promise.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) how: String,
}

impl Broken {
    pub(crate) fn new(promise: Promise, how: impl Into<String>) -> Broken {
        Broken { promise, how: how.into() }
    }
}
