//! The log against a plain vector: random operations, threads, failures, kills and power cuts.
//!
//! Half of the logs have threads in the background. Then things happen between two steps, and a case that
//! failed may not fail again. What is known exactly without them is known within bounds with them: a
//! watermark may have moved since it was read, and a write or a sync may have failed since the last step.

#![allow(
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "a case is told from its beginning to its end"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod appending;
mod failures;
mod living;
mod machine;
mod reading;
mod step;
mod truncating;

use proptest::collection::vec;
use proptest::prelude::*;

use machine::{MINUTE, Model};
use step::{Step, setup, step};

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_a_vector_would_be_through_every_failure_kill_and_power_cut(
        setup in setup(),
        steps in vec(step(), 1..40),
        seed in any::<u64>(),
    ) {
        // Somebody who sleeps for ever is a failure, too.
        common::within(MINUTE, move || {
            let mut model = Model::new(setup, seed);
            for step in &steps {
                model.perform(step);
            }
            model.heal();
            model.perform(&Step::Flush);
            model.look();
            model.perform(&Step::Close(setup));
        });
    }
}
