//! The command line of the write-ahead log: append, cat, info, verify, truncate, copy, repair.
//!
//! `docs/cli.md` specifies each command, the exit codes and the JSON. Commands that read take no lock and change
//! nothing: they work beside a live writer and on read-only media.

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the command line stands outside the seams: nothing here is part of the log"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics has failed"))]

mod args;
mod commands;
mod failure;
mod lines;
mod output;
mod summary;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Exit;
use crate::output::say;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(refused) => return refuse(&refused).into(),
    };
    let done = match &args.command {
        Command::Append(append) => commands::append::run(&args.common, append),
        Command::Cat(cat) => commands::cat::run(&args.common, cat),
        Command::Info(info) => commands::info::run(&args.common, info),
        Command::Truncate(truncate) => commands::truncate::run(&args.common, truncate),
        Command::Copy(copy) => commands::copy::run(&args.common, copy),
        Command::Repair(repair) => commands::repair::run(&args.common, repair),
        Command::Verify => commands::verify::run(&args.common),
    };
    let exit = done.unwrap_or_else(|failure| {
        say(&failure.message);
        failure.exit
    });
    // Repair reports every loss itself.
    if exit == Exit::Corrupt && !matches!(args.command, Command::Repair(_)) {
        say(failure::verdict(&args.common.dir));
    }
    exit.into()
}

/// Prints help and version; anything else is a usage error, with exit code 1 because 2 means corrupt.
fn refuse(refused: &clap::Error) -> Exit {
    if !refused.use_stderr() {
        // A closed stdout is not an error.
        refused.print().ok();
        return Exit::Fine;
    }
    let text = refused.render().to_string();
    say(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
    Exit::Refused
}
