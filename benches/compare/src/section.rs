//! What is measured: the sections of a run, and the cases of a section, each of which has a table.

use clap::ValueEnum;

use crate::args::Args;
use crate::engine::Candidate;
use crate::engines;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Threads that wait until each entry is durable.
    Threads,
    /// One thread that submits, and awaits commits later.
    Pipeline,
    /// Threads that hand each entry to the operating system, without an fsync.
    None,
    /// Threads whose entries gather in a buffer of the process.
    Buffered,
    /// Reading a log from its first entry to its last, with its checksums.
    Replay,
}

/// Entries in a batch.
pub(crate) const BATCH: usize = 64;

/// Everything that two figures must have in common before one is held against the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) section: Section,
    pub(crate) threads: usize,
    pub(crate) entry_bytes: usize,
    /// Entries in each call.
    pub(crate) batch: usize,
}

impl Section {
    pub(crate) const ALL: [Section; 5] =
        [Section::Threads, Section::Pipeline, Section::None, Section::Buffered, Section::Replay];

    /// As it is called on the command line and in the raw rounds.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Section::Threads => "threads",
            Section::Pipeline => "pipeline",
            Section::None => "none",
            Section::Buffered => "buffered",
            Section::Replay => "replay",
        }
    }

    /// The engines that were chosen.
    pub(crate) fn candidates(self, args: &Args) -> Vec<&'static Candidate> {
        let wanted = |candidate: &&Candidate| {
            args.engines.is_empty() || args.engines.iter().any(|name| name == candidate.name)
        };
        engines::of(self).iter().copied().filter(wanted).collect()
    }

    /// The cases in the order of the tables. The pipeline has none: it is one engine and one shape.
    pub(crate) fn cases(self, args: &Args) -> Vec<Case> {
        let (threads, bytes, batches): (&[usize], &[usize], &[usize]) = match self {
            Section::Threads => (&[1, 4, 16, 64, 256], &[256], &[1]),
            Section::Pipeline => return Vec::new(),
            Section::None => (&[1, 4], &[32], &[1, BATCH]),
            Section::Buffered => (&[1, 4], &[32], &[1]),
            Section::Replay => (&[1], &[32, 4096], &[BATCH, 1]),
        };
        let threads =
            if args.threads.is_empty() || self == Section::Replay { threads } else { &args.threads };
        let bytes = args.bytes.as_ref().map_or(bytes, std::slice::from_ref);
        let mut cases = Vec::new();
        for &entry_bytes in bytes {
            for &batch in batches {
                cases.extend(threads.iter().map(|&threads| Case {
                    section: self,
                    threads,
                    entry_bytes,
                    batch,
                }));
            }
        }
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    fn cases(section: Section, line: &[&str]) -> Vec<(usize, usize, usize)> {
        let args = Cli::try_parse_from(line).unwrap().args;
        section.cases(&args).iter().map(|case| (case.entry_bytes, case.batch, case.threads)).collect()
    }

    #[test]
    fn each_section_has_cases_of_its_own_unless_told_otherwise() {
        assert_eq!(cases(Section::None, &["compare"]), [(32, 1, 1), (32, 1, 4), (32, 64, 1), (32, 64, 4)]);
        let told = ["compare", "--threads", "2", "--bytes", "256"];
        assert_eq!(cases(Section::Buffered, &told), [(256, 1, 2)]);
        assert_eq!(cases(Section::Replay, &told), [(256, 64, 1), (256, 1, 1)]);
    }

    #[test]
    fn a_name_stands_for_one_engine_in_a_section() {
        for section in Section::ALL {
            let mut names: Vec<&str> = engines::of(section).iter().map(|candidate| candidate.name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{}", section.name());
        }
    }
}
