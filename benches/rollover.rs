//! How long appends take where the log turns to another segment, beside a log that never does.
//!
//! ```sh
//! ROLLOVER_DIR=DIRECTORY_ON_THE_DISK ROLLOVER_SECONDS=10 cargo bench -p benches --bench rollover
//! ```
//!
//! One thread appends 4 KiB at a time, so that a segment of 16 MiB takes about 4,000 appends: more than one append
//! in 10,000 meets a rollover, and the quantile 99.99 of 100 shows it. (Of small entries fewer than that do.) Each
//! round measures both logs, one after the other, in turns; each figure is the median of the rounds.
//!
//! Durable appends come one after the other. Those that are only handed to the operating system come at a rate
//! that the disk can keep up with, and are timed from the moment at which they were due: at full speed memory
//! fills faster than any disk empties it, and what is measured then is how the operating system slows a writer down.
//!
//! Without `ROLLOVER_SECONDS` (per log, case and round) it runs for a moment, as a test of itself.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]
#![allow(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::hint::spin_loop;
use std::path::Path;
use std::time::{Duration, Instant};

use wal::{Options, SyncPolicy, Wal};

const PAYLOAD_BYTES: usize = 4096;
const ROLLING_SEGMENT_BYTES: u64 = 16 << 20;
const ENDLESS_SEGMENT_BYTES: u64 = 32 << 30;
/// More than any case appends: so much fits into the segment that is measured without a rollover.
const MOST_BYTES_A_SECOND: u64 = 200 << 20;
const ROUNDS: usize = 5;
/// Of appends that wait for no sync: 80 MB a second.
const PACED_BYTES_A_SECOND: u64 = 80 << 20;
/// The first segments of a log are shorter than it was told; entries like this lead to longer ones.
const LEADING_BYTES: usize = 32 << 20;

struct Case {
    name: &'static str,
    policy: fn() -> SyncPolicy,
    /// Appends come at a rate, or one after the other.
    paced: bool,
}

const CASES: [Case; 4] = [
    Case { name: "grouped", policy: || SyncPolicy::grouped(Duration::from_millis(1)), paced: false },
    Case { name: "immediate", policy: || SyncPolicy::Immediate, paced: false },
    Case {
        name: "periodic, paced",
        policy: || SyncPolicy::periodic(1024, Duration::from_millis(10)),
        paced: true,
    },
    Case { name: "none, paced", policy: || SyncPolicy::None, paced: true },
];

fn main() {
    let asked = std::env::var("ROLLOVER_SECONDS");
    let seconds = asked.as_ref().map_or(0.2, |text| text.parse().expect("ROLLOVER_SECONDS is a number"));
    let rounds = if asked.is_ok() { ROUNDS } else { 1 };
    let scratch = match std::env::var("ROLLOVER_DIR") {
        Ok(directory) => tempfile::tempdir_in(directory),
        Err(_) => tempfile::tempdir(),
    };
    let scratch = scratch.expect("a temporary directory");
    println!("microseconds, medians of {rounds} rounds of {seconds} s: p50, p99, p99.9, p99.99, most");
    for case in CASES {
        let mut quiet = Vec::new();
        let mut rolling = Vec::new();
        for round in 0..rounds {
            let measure = |segment_bytes| {
                let path = scratch.path().join(format!("{segment_bytes}"));
                let taken = measure(&case, &path, segment_bytes, Duration::from_secs_f64(seconds));
                std::fs::remove_dir_all(&path).expect("it was just made");
                taken
            };
            // Whoever is first, is first every other time.
            if round % 2 == 0 {
                quiet.push(measure(ENDLESS_SEGMENT_BYTES));
                rolling.push(measure(ROLLING_SEGMENT_BYTES));
            } else {
                rolling.push(measure(ROLLING_SEGMENT_BYTES));
                quiet.push(measure(ENDLESS_SEGMENT_BYTES));
            }
        }
        tell(&case, &quiet, &rolling);
    }
}

/// What one log showed in one round.
struct Taken {
    sorted: Vec<Duration>,
    rollovers: u64,
}

impl Taken {
    /// The time that so many of 10,000 appends did not exceed.
    fn at(&self, of_10_000: usize) -> Duration {
        self.sorted[(self.sorted.len() * of_10_000).div_ceil(10_000).max(1) - 1]
    }
}

fn measure(case: &Case, path: &Path, segment_bytes: u64, during: Duration) -> Taken {
    let wal =
        Options::new().sync((case.policy)()).segment_bytes(segment_bytes).open(path).expect("a new log");
    lead_to_size(&wal, segment_bytes.min(during.as_secs().max(1) * MOST_BYTES_A_SECOND));
    let before = wal.stats().rollovers;
    let payload = vec![b'x'; PAYLOAD_BYTES];
    let step = Duration::from_secs_f64(PAYLOAD_BYTES as f64 / PACED_BYTES_A_SECOND as f64);
    let mut sorted = Vec::with_capacity(1 << 22);
    let begun = Instant::now();
    let mut due = begun;
    while begun.elapsed() < during {
        if case.paced {
            due += step;
            while Instant::now() < due {
                spin_loop();
            }
        } else {
            due = Instant::now();
        }
        wal.append(&payload).expect("there is space");
        sorted.push(due.elapsed());
    }
    let rollovers = wal.stats().rollovers - before;
    if segment_bytes == ENDLESS_SEGMENT_BYTES {
        assert_eq!(rollovers, 0, "this log was to have none");
    }
    let entries = wal.written_end();
    assert_eq!(wal.range(..).expect("open").map(Result::unwrap).count() as u64, entries);
    wal.close().expect("nothing fails");
    sorted.sort_unstable();
    Taken { sorted, rollovers }
}

/// Appends until the log has just begun a segment of this size.
fn lead_to_size(wal: &Wal, bytes: u64) {
    let leading = vec![0; LEADING_BYTES.min(usize::try_from(bytes / 4).expect("a part of the memory"))];
    let mut segments = wal.stats().segments;
    let mut held = 0;
    loop {
        wal.append(&leading).expect("there is space");
        wal.sync().expect("a device");
        held += leading.len() as u64;
        let segments_now = wal.stats().segments;
        if segments_now > segments {
            // Each is at most four times as long as what is in front of it.
            if held * 4 >= bytes {
                return;
            }
            (segments, held) = (segments_now, leading.len() as u64);
        }
    }
}

fn tell(case: &Case, quiet: &[Taken], rolling: &[Taken]) {
    let median = |taken: &[Taken], part: usize| {
        let mut all: Vec<f64> = taken.iter().map(|taken| taken.at(part).as_secs_f64() * 1e6).collect();
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    };
    for (name, taken) in [("no rollover", quiet), ("16 MiB segments", rolling)] {
        let figures = [5_000, 9_900, 9_990, 9_999, 10_000].map(|part| format!("{:9.1}", median(taken, part)));
        let appends: usize = taken.iter().map(|taken| taken.sorted.len()).sum();
        let rollovers: u64 = taken.iter().map(|taken| taken.rollovers).sum();
        println!(
            "{:16} {name:16} {}  {appends} appends, {rollovers} rollovers",
            case.name,
            figures.join(" ")
        );
    }
    let mut ratios: Vec<f64> = quiet
        .iter()
        .zip(rolling)
        .map(|(quiet, rolling)| rolling.at(9_999).as_secs_f64() / quiet.at(9_999).as_secs_f64())
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    println!(
        "{:16} p99.99 with against without: {:.2} ({least:.2} to {most:.2})",
        case.name,
        ratios[ratios.len() / 2]
    );
}
