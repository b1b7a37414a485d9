//! The kill loop: a real `wal append` on a real disk, killed again and again while lines flow in.
//!
//! ```text
//!   feeder ──lines──▶ wal append ──numbers──▶ this process
//!                        ▲                        │ some time after the first number
//!                        └──────── SIGKILL ───────┘
//!   then   wal verify    fine, or torn
//!          wal cat       what earlier rounds showed, then a beginning of what was sent,
//!                        no shorter than what was acknowledged
//! ```
//!
//! The entries that a round shows may never change, and the next round's writer appends after them. A kill takes nothing from the page cache, so this holds under every policy.

mod round;

use std::io::Read;
use std::path::{Path, PathBuf};

use wal_format::{FIRST_FRAME_OFFSET, Link, LinkReason, SegmentHeader};

use self::round::{Round, Truth};
use wal::sim::Random;

use crate::setup::program::{Policy, Program};
use crate::setup::scratch::scratch;

/// How many writers are killed, and where.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many writers are killed.
    #[arg(long, default_value_t = 200)]
    rounds: u64,
    /// Decides the lines, the segment sizes and when a writer is killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The policy of the writers.
    #[arg(long, value_enum, default_value_t = Policy::Immediate)]
    sync: Policy,
    /// The `wal` binary [default: the one beside this one].
    #[arg(long)]
    wal: Option<PathBuf>,
    /// Where the logs are made, and left [default: a temporary directory].
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Policy {
    /// Up to how many numbers a writer may live: about as long under either policy.
    fn most_acks(self) -> usize {
        match self {
            Policy::None | Policy::Periodic => 600,
            Policy::Immediate | Policy::Grouped => 60,
        }
    }
}

/// A log that grows for ever makes every round slower than the one before.
const ROUNDS_A_LOG: u64 = 50;

/// Large enough that few segments fill up within one log's rounds.
const ROOMY_KIB: u64 = 64 << 10;
/// Segment files that a log leaves beside those that were begun because the one before was full, and one for each torn tail: the
/// first, and one that was prepared when its writer died.
const MOST_FILES: u64 = 2;

/// What was done and seen.
#[derive(Debug, Default)]
struct Totals {
    rounds: u64,
    logs: u64,
    acks: u64,
    entries: u64,
    torn: u64,
    /// Segment files that a log has left, without those that its entries needed, and one for each torn tail.
    most_files: u64,
}

pub(crate) fn run(arguments: &Arguments) -> bool {
    let held = prove(arguments);
    if let Err(violation) = &held {
        println!("FAILED: {violation}");
    }
    held.is_ok()
}

fn prove(arguments: &Arguments) -> Result<(), String> {
    let program = Program::find(arguments.wal.as_deref())?;
    let scratch = scratch(arguments.dir.as_deref())?;
    let mut totals = Totals::default();
    let held = kill_all(arguments, &program, &scratch.path, &mut totals);
    let Totals { rounds, logs, acks, entries, torn, most_files } = totals;
    let (seed, policy) = (arguments.seed, arguments.sync.name());
    println!("kill loop, seed {seed}, sync {policy}");
    println!("  rounds killed     {rounds}");
    println!("  logs compared     {logs}");
    println!("  acknowledged      {acks}");
    println!("  entries found     {entries}");
    println!("  torn tails        {torn}");
    if most_files > 0 {
        println!(
            "  files left        {most_files} at most, beside those of full segments and one for each torn tail"
        );
    }
    held.map_err(|violation| {
        let (logs, again) = (scratch.keep(), rounds + 1);
        format!(
            "after {rounds} good rounds: {violation}\nthe logs are kept in {}\n\
             again: wal-proof kill --seed {seed} --rounds {again} --sync {policy}",
            logs.display()
        )
    })?;
    println!("  lost              0");
    Ok(())
}

fn kill_all(
    arguments: &Arguments,
    program: &Program,
    scratch: &Path,
    totals: &mut Totals,
) -> Result<(), String> {
    let Arguments { rounds, seed, sync, .. } = *arguments;
    for first in (0..rounds).step_by(usize::try_from(ROUNDS_A_LOG).unwrap_or(usize::MAX)) {
        let directory = scratch.join(format!("kill-{}-{seed}-{first}", sync.name()));
        if directory.exists() {
            return Err(format!("{} exists: a log of its own is needed", directory.display()));
        }
        let mut truth = Truth::new(seed);
        // Every second log has segments that take all its lives, and few files are left.
        let is_roomy = (first / ROUNDS_A_LOG) % 2 == 1;
        let mut torn_tails = 0;
        let mut torn = false;
        for number in first..rounds.min(first + ROUNDS_A_LOG) {
            let mut random = Random::of(seed, number);
            let round = Round {
                program,
                directory: &directory,
                seed,
                number,
                sync,
                segment_kib: if is_roomy { ROOMY_KIB } else { 12 + random.below(53) as u64 },
                acks_to_live: 1 + random.below(sync.most_acks()) as u64,
                grace_micros: random.below(2000) as u64,
            };
            let killed = round.run()?;
            torn = program.verify(&directory)?;
            let found = truth.take_in(program, &directory, &killed)?;
            totals.rounds += 1;
            totals.acks += killed.acked;
            totals.entries += found;
            torn_tails += u64::from(torn);
        }
        totals.torn += torn_tails;
        // One open and close without a kill, then everything once more.
        program.close(&directory)?;
        truth.compare_all(program, &directory, torn)?;
        totals.logs += 1;
        let files = files_left(&directory)?;
        if files > torn_tails + MOST_FILES {
            return Err(format!(
                "{files} segments were begun before the one before was full, with {torn_tails} torn tails"
            ));
        }
        totals.most_files = totals.most_files.max(files.saturating_sub(torn_tails));
    }
    Ok(())
}

/// How many segment files there are whose LINK does not say that the segment before was full.
fn files_left(directory: &Path) -> Result<u64, String> {
    let listed = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut left = 0;
    for entry in listed {
        let entry = entry.map_err(|error| error.to_string())?;
        if wal_format::SegmentName::parse(&entry.file_name().to_string_lossy()).is_some() {
            let reason = link_reason(&entry.path()).map_err(|error| error.to_string())?;
            left += u64::from(reason != Some(LinkReason::Rollover));
        }
    }
    Ok(left)
}

/// Why this segment was begun; none where it was prepared and never begun.
fn link_reason(path: &Path) -> std::io::Result<Option<LinkReason>> {
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(Link::end_offset()).read_to_end(&mut start)?;
    let link = SegmentHeader::decode(&start).ok().and_then(|header| {
        let at = usize::try_from(FIRST_FRAME_OFFSET).ok()?;
        Link::decode(start.get(at..)?, header.life).ok()
    });
    Ok(link.map(|(link, _)| link.reason))
}
