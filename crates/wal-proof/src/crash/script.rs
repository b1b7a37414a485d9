//! What a life of the log does, a letter an operation.

use std::fmt;
use std::str::FromStr;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// A small entry.
    Append,
    /// Three entries that survive together, one of them empty.
    Batch,
    /// `sync`.
    Sync,
    /// An entry of most of a segment: the next one rolls over.
    Roll,
    /// Close, and open again.
    Close,
    /// The process dies and opens the log again: the page cache stays, what was in memory is gone.
    Kill,
    /// The next sync fails; then appends and syncs, and a restart on the same page cache.
    FailSync,
    /// The next write stores a part and fails, under an append.
    FailWrite,
    /// An entry larger than a segment.
    Giant,
    /// Three entries are submitted, as by three writers who meet in one group, and not waited for.
    Submit,
    /// Waits for everything that was submitted.
    Wait,
    /// A small entry that is to be durable whatever the policy.
    Durable,
    /// `flush`.
    Flush,
    /// The last handle is dropped, and the log opened again.
    Drop,
    /// The later half is dropped, or the last entry.
    TruncateAfter,
    /// The earlier half is dropped, or everything.
    TruncateBefore,
    /// The next write stores a part and fails, or a sync fails, under a truncation.
    FailTruncate,
    /// The segment is ended by hand.
    EndSegment,
    /// The file of the lock is removed or replaced, and another writer comes.
    SecondWriter,
    /// Files of the log are replaced by copies; then an entry that needs a new segment.
    Replace,
    /// The directory is moved away; then an entry that needs a new segment.
    Displace,
    /// The open before everything else. Not part of scripts.
    Open,
}

impl Operation {
    /// Those of which all sequences of three are tried: what makes, keeps and breaks promises.
    pub(crate) const CORE: [Operation; 10] = [
        Operation::Append,
        Operation::Submit,
        Operation::Sync,
        Operation::Roll,
        Operation::Durable,
        Operation::Kill,
        Operation::FailSync,
        Operation::FailWrite,
        Operation::TruncateAfter,
        Operation::TruncateBefore,
    ];

    /// Those of which all pairs are tried, and random scripts are made.
    pub(crate) const SCRIPTED: [Operation; 21] = [
        Operation::Append,
        Operation::Batch,
        Operation::Sync,
        Operation::Roll,
        Operation::Close,
        Operation::Kill,
        Operation::FailSync,
        Operation::FailWrite,
        Operation::Giant,
        Operation::Submit,
        Operation::Wait,
        Operation::Durable,
        Operation::Flush,
        Operation::Drop,
        Operation::TruncateAfter,
        Operation::TruncateBefore,
        Operation::FailTruncate,
        Operation::EndSegment,
        Operation::SecondWriter,
        Operation::Replace,
        Operation::Displace,
    ];

    /// What a log does that lives long; those that stand twice are drawn twice as often.
    pub(crate) const LONG_LIVED: [Operation; 16] = [
        Operation::Roll,
        Operation::Roll,
        Operation::Roll,
        Operation::Roll,
        Operation::TruncateBefore,
        Operation::TruncateBefore,
        Operation::TruncateBefore,
        Operation::TruncateAfter,
        Operation::Close,
        Operation::Close,
        Operation::Kill,
        Operation::Kill,
        Operation::Drop,
        Operation::Append,
        Operation::Submit,
        Operation::Sync,
    ];

    pub(crate) fn all() -> impl Iterator<Item = Operation> {
        Operation::SCRIPTED.into_iter().chain([Operation::Open])
    }

    fn letter(self) -> char {
        match self {
            Operation::Append => 'a',
            Operation::Batch => 'b',
            Operation::Sync => 's',
            Operation::Roll => 'r',
            Operation::Close => 'c',
            Operation::Kill => 'k',
            Operation::FailSync => 'f',
            Operation::FailWrite => 'w',
            Operation::Giant => 'g',
            Operation::Submit => 'm',
            Operation::Wait => 'v',
            Operation::Durable => 'd',
            Operation::Flush => 'l',
            Operation::Drop => 'x',
            Operation::TruncateAfter => 't',
            Operation::TruncateBefore => 'h',
            Operation::FailTruncate => 'u',
            Operation::EndSegment => 'e',
            Operation::SecondWriter => 'z',
            Operation::Replace => 'q',
            Operation::Displace => 'y',
            Operation::Open => 'o',
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Append => "append",
            Operation::Batch => "batch",
            Operation::Sync => "sync",
            Operation::Roll => "rollover",
            Operation::Close => "close and reopen",
            Operation::Kill => "kill and reopen",
            Operation::FailSync => "failed sync, warm restart",
            Operation::FailWrite => "failed write",
            Operation::Giant => "entry above a segment",
            Operation::Submit => "three submitted, not waited for",
            Operation::Wait => "wait for what was submitted",
            Operation::Durable => "append that is to be durable",
            Operation::Flush => "flush",
            Operation::Drop => "drop and reopen",
            Operation::TruncateAfter => "truncate after",
            Operation::TruncateBefore => "truncate before",
            Operation::FailTruncate => "truncation in which something fails",
            Operation::EndSegment => "segment ended by hand",
            Operation::SecondWriter => "LOCK exchanged, second writer",
            Operation::Replace => "files replaced by copies",
            Operation::Displace => "directory moved away",
            Operation::Open => "open (recovery)",
        }
    }
}

/// A sequence of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Script(pub(crate) Vec<Operation>);

impl Script {
    /// Calls of `append` that no fault of this script comes before.
    pub(crate) fn appends_before_a_fault(&self) -> usize {
        let faults = [Operation::FailSync, Operation::FailWrite, Operation::FailTruncate, Operation::Replace];
        let appends =
            [Operation::Append, Operation::Batch, Operation::Roll, Operation::Giant, Operation::Displace];
        let quiet = self.0.iter().take_while(|operation| !faults.contains(operation));
        quiet.filter(|operation| appends.contains(operation)).count()
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|operation| write!(f, "{}", operation.letter()))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        let operation = |letter| {
            let found = Operation::all().find(|operation| operation.letter() == letter);
            found.ok_or_else(|| format!("no operation has the letter {letter:?}"))
        };
        text.chars().map(operation).collect::<Result<_, _>>().map(Script)
    }
}

/// All sequences of exactly `length` of these operations. Neighbours in the order differ in every place,
/// so that a budget that ends early has seen every operation everywhere.
pub(crate) fn all(operations: &'static [Operation], length: u32) -> impl Iterator<Item = Script> {
    let base = operations.len();
    let count = base.pow(length);
    let stride = (count * 5 / 8..).find(|stride| is_coprime(*stride, count)).unwrap_or(1);
    (0..count).map(move |place| {
        let mut rest = place * stride % count;
        let mut script = Vec::new();
        for _ in 0..length {
            script.push(operations[rest % base]);
            rest /= base;
        }
        script.reverse();
        Script(script)
    })
}

fn is_coprime(mut a: usize, mut b: usize) -> bool {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_script_of_a_length_comes_once() {
        for (operations, length, count) in
            [(&Operation::CORE[..], 1, 10), (&Operation::CORE, 3, 1000), (&Operation::SCRIPTED, 2, 441)]
        {
            let scripts: Vec<Script> = all(operations, length).collect();
            assert_eq!(scripts.len(), count);
            assert_eq!(scripts.into_iter().collect::<HashSet<_>>().len(), count);
        }
    }
}
