//! The checksums of the log against others that give the same answers.

use std::hint::black_box;
use std::time::Instant;

use crc_fast::CrcAlgorithm::{Crc32IsoHdlc, Crc64Xz};

use super::Rounds;
use super::budget::Budget;
use super::curves::{Curves, Point};
use crate::comparison::in_turn;
use crate::payload::Payload;

type Checksum = (&'static str, fn(&[u8]) -> u64);

/// Those of the log first, each before the one that could take its place.
const CHECKSUMS: [Checksum; 4] = [
    ("crc32fast", |bytes| u64::from(crc32fast::hash(bytes))),
    ("crc-fast-crc32", |bytes| crc_fast::checksum(Crc32IsoHdlc, bytes)),
    ("crc64fast", |bytes| {
        let mut digest = crc64fast::Digest::new();
        digest.write(bytes);
        digest.sum64()
    }),
    ("crc-fast-crc64", |bytes| crc_fast::checksum(Crc64Xz, bytes)),
];

pub(super) fn steps(budget: &Budget, rounds: u32) -> u32 {
    super::count(budget.checksum_bytes.len()) * rounds
}

pub(super) fn run(budget: &Budget, rounds: Rounds, curves: &mut Curves) -> Result<(), String> {
    for round in rounds.all() {
        for length in in_turn(budget.checksum_bytes, round) {
            curves.begin(&format!("checksums: {length} bytes"));
            let mut payload = Payload::new(0, length, 1);
            let bytes = payload.next();
            check_same(bytes)?;
            for (series, checksum) in in_turn(&CHECKSUMS, round) {
                let value = gigabytes_per_second(budget, bytes, checksum);
                let x = length as f64;
                curves.record(Point { curve: "checksums", series, x, round, value, unit: "GB/s" })?;
            }
        }
    }
    Ok(())
}

fn check_same(bytes: &[u8]) -> Result<(), String> {
    let different = CHECKSUMS.chunks(2).find(|pair| pair[0].1(bytes) != pair[1].1(bytes));
    different.map_or(Ok(()), |pair| {
        Err(format!("{} and {} differ for {} bytes", pair[0].0, pair[1].0, bytes.len()))
    })
}

fn gigabytes_per_second(budget: &Budget, bytes: &[u8], checksum: fn(&[u8]) -> u64) -> f64 {
    /// A look at the clock takes as long as a short checksum.
    const CALLS_A_LOOK: u64 = 64;
    let mut calls = 0;
    let began = Instant::now();
    loop {
        for _ in 0..CALLS_A_LOOK {
            black_box(checksum(black_box(bytes)));
        }
        calls += CALLS_A_LOOK;
        let took = began.elapsed();
        if took >= budget.checksums {
            return (calls * bytes.len() as u64) as f64 / took.as_secs_f64() / 1e9;
        }
    }
}
