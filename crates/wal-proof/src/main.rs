//! Proof by trying: crash enumeration on the simulated disk, kill loops on the real one, and runs that
//! are too large for a unit test. Each prints what it did and fails when a promise does not hold.

#![forbid(unsafe_code)]
#![allow(clippy::too_many_arguments, reason = "a case of a proof is all that it depends on")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this program runs the log; it does not run inside it"
)]

mod bulk;
mod crash;
mod kill;
mod oracle;
mod setup;
mod threads;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tries to make the log lose an acknowledged entry.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    proof: Proof,
}

#[derive(Subcommand)]
enum Proof {
    /// Enumerates power cuts on the simulated disk and opens every image.
    Crash(crash::Arguments),
    /// Cuts the power under several real threads on the simulated disk.
    Threads(threads::Arguments),
    /// Kills a real `wal append` again and again and looks for every acknowledged line.
    Kill(kill::Arguments),
    /// Sends millions of lines through `wal append` and `wal cat` and compares every byte.
    Bulk(bulk::Arguments),
}

fn main() -> ExitCode {
    // A panic in the log is a broken promise, which is reported with the state that it happened in.
    std::panic::set_hook(Box::new(|_| {}));
    let held = match Arguments::parse().proof {
        Proof::Crash(arguments) => crash::run(&arguments),
        Proof::Threads(arguments) => threads::run(&arguments),
        Proof::Kill(arguments) => kill::run(&arguments),
        Proof::Bulk(arguments) => bulk::run(&arguments),
    };
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
