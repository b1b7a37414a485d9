//! Under construction.

/// None yet.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> bool {
    false
}
