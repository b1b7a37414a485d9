//! What the commands print and do on damaged logs, without space or descriptors, beside writers.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../support/mod.rs"]
mod support;

mod beside_a_writer;
mod damage;
mod few_descriptors;
mod full_disk;
mod lies;
mod repair;
mod torn;
