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
    /// The process dies and opens the log again: the page cache stays.
    Kill,
    /// The next sync fails; then an append and a sync, and a restart on the same page cache.
    FailSync,
    /// The next write stores a part and fails, under an append.
    FailWrite,
    /// An entry larger than a segment.
    Giant,
    /// Opening, in front of everything else. Not part of scripts.
    Open,
}

impl Operation {
    /// The eight of which all short sequences are tried.
    pub(crate) const CORE: [Operation; 8] = [
        Operation::Append,
        Operation::Batch,
        Operation::Sync,
        Operation::Roll,
        Operation::Close,
        Operation::Kill,
        Operation::FailSync,
        Operation::FailWrite,
    ];

    pub(crate) const ALL: [Operation; 10] = [
        Operation::Append,
        Operation::Batch,
        Operation::Sync,
        Operation::Roll,
        Operation::Close,
        Operation::Kill,
        Operation::FailSync,
        Operation::FailWrite,
        Operation::Giant,
        Operation::Open,
    ];

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
            Operation::Open => "open (recovery)",
        }
    }
}

/// A sequence of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Script(pub(crate) Vec<Operation>);

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|operation| write!(f, "{}", operation.letter()))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        let operation = |letter| {
            let found = Operation::ALL.into_iter().find(|operation| operation.letter() == letter);
            found.ok_or_else(|| format!("no operation has the letter {letter:?}"))
        };
        text.chars().map(operation).collect::<Result<_, _>>().map(Script)
    }
}

/// All sequences of exactly `length` core operations, in order.
pub(crate) fn all(length: u32) -> impl Iterator<Item = Script> {
    let count = Operation::CORE.len();
    (0..count.pow(length)).map(move |number| {
        let mut rest = number;
        let mut operations = Vec::new();
        for _ in 0..length {
            operations.push(Operation::CORE[rest % count]);
            rest /= count;
        }
        operations.reverse();
        Script(operations)
    })
}
