//! Nothing here: see the programs beside this package's manifest.
