//! What is printed: what was measured and on what, each round as it comes, and the tables at the end.

use crate::args::{Args, Part};
use crate::comparison::{Comparison, Measurement, PipedMeasurement};
use crate::engine::{Candidate, Role};
use crate::machine::Machine;
use crate::pipeline::{LEAST_BYTES, LEAST_DURATION, MOST_OUTSTANDING};
use crate::ratios::Ratios;
use crate::run::Figures;
use crate::statistics::Spread;

/// What is known before anything is measured.
pub(crate) fn head(machine: &Machine, args: &Args, chosen: &[&Candidate]) {
    println!(
        "durable appends of {} bytes; rounds: {}; seconds a measurement: {}",
        args.bytes, args.rounds, args.seconds
    );
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
    println!();
    for candidate in chosen {
        match candidate.version() {
            Some(version) => println!("{} {version}", candidate.name),
            None => println!("{}", candidate.name),
        }
        println!("    promises:   {}", candidate.promise);
        println!("    configured: {}", candidate.configuration);
    }
    if args.wants(Part::Pipeline) {
        println!("pipeline, wal-grouped");
        println!(
            "    promises:   every entry that is counted was awaited, and a sync that succeeded covers it"
        );
        println!(
            "    configured: one thread, at most {MOST_OUTSTANDING} entries in flight, at least {} s and {} GiB",
            LEAST_DURATION.as_secs(),
            LEAST_BYTES >> 30
        );
    }
    println!();
}

/// The names of the columns of [`measured`].
pub(crate) fn rounds_begin() {
    println!("round  threads  engine            per second      p50 us      p99 us    p99.9 us      max us");
}

/// One round of one engine.
pub(crate) fn measured(measurement: &Measurement) {
    let Measurement { round, threads, candidate, figures } = measurement;
    print!("{round:>5}  {threads:>7}  {:<15}", candidate.name);
    match figures {
        Ok(Figures { per_second, latency, .. }) => println!(
            " {per_second:>12.0}{:>12.0}{:>12.0}{:>12.0}{:>12.0}",
            latency.p50_us, latency.p99_us, latency.p999_us, latency.max_us
        ),
        Err(error) => println!(" FAILED: {error}"),
    }
}

/// One round of the pipeline.
pub(crate) fn piped(measurement: &PipedMeasurement) {
    print!("{:>5}  {:>7}  {:<15}", measurement.round, 1, "pipeline");
    match &measurement.piped {
        Ok(piped) => println!(
            " {:>12.0}   {} entries in {:.1} s, all durable and found again",
            piped.per_second, piped.entries, piped.seconds
        ),
        Err(error) => println!(" FAILED: {error}"),
    }
}

/// A table for each count of threads, and one for the pipeline.
pub(crate) fn tables(args: &Args, chosen: &[&'static Candidate], comparison: &Comparison) {
    let ratios = Ratios::new(comparison, chosen);
    if args.wants(Part::Threads) {
        for &threads in &args.threads {
            table(threads, chosen, &ratios);
        }
    }
    if !comparison.pipelines.is_empty() {
        pipeline_table(&ratios);
    }
}

fn table(threads: usize, chosen: &[&'static Candidate], ratios: &Ratios) {
    println!();
    println!("{}: medians of the rounds", counted(threads));
    println!("engine            per second     (least to most)   of floor   p50 us   p99 us  p99.9 us");
    for candidate in chosen {
        let Some(rate) = ratios.rate(candidate, threads) else {
            println!("{:<16}  FAILED in every round, see above", candidate.name);
            continue;
        };
        let spread = format!("({:.0} to {:.0})", rate.min, rate.max);
        let of_floor =
            ratios.of_floor(candidate, threads).map_or(String::new(), |of| format!("{:.2}", of.median));
        let at = |of: fn(&Figures) -> f64| ratios.median(candidate, threads, of).unwrap_or(f64::NAN);
        println!(
            "{:<16}{:>12.0}{spread:>20}{of_floor:>11}{:>9.0}{:>9.0}{:>10.0}",
            candidate.name,
            rate.median,
            at(|figures| figures.latency.p50_us),
            at(|figures| figures.latency.p99_us),
            at(|figures| figures.latency.p999_us)
        );
    }
    let Some(best) = ratios.best_peer(threads) else { return };
    for ours in chosen.iter().filter(|candidate| candidate.role == Role::Ours) {
        let (Some(by_medians), Some(in_rounds)) =
            (ratios.by_medians(ours, best, threads), ratios.of_best_peer(ours, threads))
        else {
            continue;
        };
        let p99 = |candidate| ratios.median(candidate, threads, |figures| figures.latency.p99_us);
        let p99_ratio = p99(ours).zip(p99(best)).map_or(f64::NAN, |(ours, best)| ours / best);
        println!(
            "  {} against the best peer: {by_medians:.2} times {} by medians; {} times each round's best; p99 {p99_ratio:.2} of {}'s",
            ours.name,
            best.name,
            shown(in_rounds),
            best.name
        );
    }
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

fn shown(ratio: Spread) -> String {
    format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max)
}
