//! What is printed: what was measured and on what, each round as it comes, and the tables at the end.

use crate::args::Args;
use crate::comparison::{Comparison, Measurement, PipedMeasurement};
use crate::engine::{Candidate, Role};
use crate::machine::Machine;
use crate::pipeline::{LEAST_BYTES, LEAST_DURATION, MOST_OUTSTANDING};
use crate::ratios::{Of, Ratios};
use crate::run::{Beside, Figures, Latency};
use crate::section::{Case, Section};
use crate::statistics::Spread;

/// What is known before anything is measured.
pub(crate) fn head(machine: &Machine, args: &Args) {
    println!("rounds: {}; seconds a measurement: {}", args.rounds, args.seconds);
    println!();
    println!("date         {}", machine.date);
    println!("cores        {}, {}", machine.cores, machine.processor);
    println!("kernel       {}", machine.kernel);
    println!("file system  {} ({})", machine.file_system, machine.mount_options);
    println!("build        {}", machine.build);
    println!(
        "load         {:.1} in the minute before; above 0.5, something else has its share",
        machine.load_average
    );
    for section in Section::ALL.into_iter().filter(|&section| args.wants(section)) {
        println!();
        println!("section {}", section.name());
        for candidate in section.candidates(args) {
            match candidate.version() {
                Some(version) => println!("  {} {version}", candidate.name),
                None => println!("  {}", candidate.name),
            }
            println!("      promises:   {}", candidate.promise);
            println!("      configured: {}", candidate.configuration);
        }
        if section == Section::Pipeline {
            println!("  wal-grouped");
            println!(
                "      promises:   every entry that is counted was awaited, and a sync that succeeded covers it"
            );
            println!(
                "      configured: one thread, at most {MOST_OUTSTANDING} entries in flight, at least {} s and {} GiB",
                LEAST_DURATION.as_secs(),
                LEAST_BYTES >> 30
            );
        }
    }
    println!();
}

/// The names of the columns of [`measured`].
pub(crate) fn rounds_begin() {
    println!(
        "round  section   bytes  batch  threads  engine            per second      p50 us      p99 us    p99.9 us      max us"
    );
}

/// One round of one engine.
pub(crate) fn measured(measurement: &Measurement) {
    let Measurement { round, case: Case { section, threads, entry_bytes, batch }, candidate, figures } =
        measurement;
    let section = section.name();
    print!("{round:>5}  {section:<8}{entry_bytes:>7}{batch:>7}{threads:>9}  {:<15}", candidate.name);
    let Figures { per_second, beside, .. } = match figures {
        Ok(figures) => figures,
        Err(error) => return println!(" FAILED: {error}"),
    };
    match beside {
        Beside::Latency(Latency { p50_us, p99_us, p999_us, max_us }) => println!(
            " {per_second:>12.0}{:>12}{:>12}{:>12}{:>12}",
            digits(*p50_us),
            digits(*p99_us),
            digits(*p999_us),
            digits(*max_us)
        ),
        Beside::Replay { open_ms } => println!(" {per_second:>12.0}   {open_ms:.1} ms to open and close"),
    }
}

/// One round of the pipeline.
pub(crate) fn piped(measurement: &PipedMeasurement) {
    print!("{:>5}  {:<31}  {:<15}", measurement.round, "pipeline", "wal-grouped");
    match &measurement.piped {
        Ok(piped) => println!(
            " {:>12.0}   {} entries in {:.1} s, all durable and found again",
            piped.per_second, piped.entries, piped.seconds
        ),
        Err(error) => println!(" FAILED: {error}"),
    }
}

/// A table for each case, and one for the pipeline.
pub(crate) fn tables(args: &Args, comparison: &Comparison) {
    let ratios = Ratios::new(comparison);
    for section in Section::ALL.into_iter().filter(|&section| args.wants(section)) {
        let candidates = section.candidates(args);
        if section == Section::Pipeline {
            pipeline_table(&ratios);
        } else if !candidates.is_empty() {
            section.cases(args).into_iter().for_each(|case| table(case, &candidates, &ratios));
        }
    }
}

fn table(case: Case, candidates: &[&'static Candidate], ratios: &Ratios) {
    let floor = candidates.iter().find(|candidate| candidate.role == Role::Floor);
    let of_floor = floor.map_or(String::new(), |floor| format!("of {}", floor.name));
    let beside = match case.section {
        Section::Replay => "      MB/s  open and close ms",
        _ => "   p50 us   p99 us  p99.9 us",
    };
    println!();
    println!("{}: medians of the rounds", title(case));
    println!("engine            per second           (least to most){of_floor:>11}{beside}");
    for candidate in candidates {
        let Some(rate) = ratios.rate(candidate, case) else {
            println!("{:<16}  FAILED in every round, see above", candidate.name);
            continue;
        };
        let spread = format!("({:.0} to {:.0})", rate.min, rate.max);
        let of_floor =
            ratios.of_floor(candidate, case).map_or(String::new(), |of| format!("{:.2}", of.median));
        print!("{:<16}{:>12.0}{spread:>26}{of_floor:>11}", candidate.name, rate.median);
        let at = |of: Of| ratios.median(candidate, case, of).unwrap_or(f64::NAN);
        if case.section == Section::Replay {
            let megabytes = rate.median * case.entry_bytes as f64 / 1e6;
            println!("{megabytes:>10.0}{:>19.1}", at(Figures::open_ms));
        } else {
            println!(
                "{:>9}{:>9}{:>10}",
                digits(at(|figures| Some(figures.latency()?.p50_us))),
                digits(at(|figures| Some(figures.latency()?.p99_us))),
                digits(at(|figures| Some(figures.latency()?.p999_us)))
            );
        }
    }
    for one in candidates {
        match one.role {
            Role::Ours => {
                against_best_peer(one, case, ratios);
                against_others(one, case, candidates, ratios);
            }
            Role::ThrowAway => against_best_peer(one, case, ratios),
            Role::Floor | Role::Peer => {}
        }
    }
}

fn against_best_peer(one: &Candidate, case: Case, ratios: &Ratios) {
    let Some(best) = ratios.best_peer(case) else { return };
    let (Some(by_medians), Some(in_rounds)) =
        (ratios.by_medians(one, best, case), ratios.of_best_peer(one, case))
    else {
        return;
    };
    println!(
        "  {} against the best peer: {by_medians:.2} times {} by medians; {} times each round's best",
        one.name,
        best.name,
        shown(in_rounds)
    );
    let p99s = ratios.p99(one, case).zip(ratios.p99(best, case));
    let ratio = ratios.p99_against(one, best, case);
    if let (Some((own, of_best)), Some(ratio)) = (p99s, ratio) {
        println!(
            "      its p99 {} us, that of {} {} us; {} times in a round",
            digits(own),
            best.name,
            digits(of_best),
            shown(ratio)
        );
    }
}

/// The throw-aways, and in a replay each peer: they differ in how they read, so the best says little of the others.
fn against_others(one: &Candidate, case: Case, candidates: &[&'static Candidate], ratios: &Ratios) {
    let is_replay = case.section == Section::Replay;
    for other in candidates {
        let kind = match other.role {
            Role::ThrowAway => "the throw-away ",
            Role::Peer if is_replay => "",
            Role::Floor | Role::Ours | Role::Peer => continue,
        };
        if let Some(in_rounds) = ratios.against(one, other, case) {
            println!("  {} against {kind}{}: {} times", one.name, other.name, shown(in_rounds));
        }
    }
}

fn title(case: Case) -> String {
    let Case { section, threads, entry_bytes, batch } = case;
    let what = match section {
        Section::Threads | Section::Pipeline => "durable appends",
        Section::None => "appends without a sync",
        Section::Buffered => "buffered appends",
        Section::Replay => "replay",
    };
    let batches = if batch == 1 { String::new() } else { format!(" in batches of {batch}") };
    let threads = if section == Section::Replay { String::new() } else { format!(", {}", counted(threads)) };
    format!("{what}, {entry_bytes} bytes{batches}{threads}")
}

fn pipeline_table(ratios: &Ratios) {
    println!();
    println!("pipeline: one thread that submits, against each peer's best count of threads");
    let Some(rate) = ratios.pipeline_rate() else {
        println!("FAILED in every round, see above");
        return;
    };
    println!("pipeline        {:>12.0}  ({:.0} to {:.0})", rate.median, rate.min, rate.max);
    let peers = ratios.peers_at_their_best();
    if peers.is_empty() {
        println!("no peer was measured in this run");
    }
    for (peer, threads, best) in peers {
        println!(
            "{:<16}{:>12.0}  with {}; the pipeline is {:.1} times that",
            peer.name,
            best.median,
            counted(threads),
            rate.median / best.median
        );
    }
    if let Some(in_rounds) = ratios.pipeline_of_best_peer() {
        println!("  the pipeline against each round's best peer figure: {} times", shown(in_rounds));
    }
}

fn counted(threads: usize) -> String {
    format!("{threads} {}", if threads == 1 { "thread" } else { "threads" })
}

/// A time to three digits or so: an append to a buffer takes less than a tenth of a microsecond.
fn digits(us: f64) -> String {
    if us < 10.0 { format!("{us:.2}") } else { format!("{us:.0}") }
}

fn shown(ratio: Spread) -> String {
    format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max)
}
