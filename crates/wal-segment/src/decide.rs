//! The decision of recovery: a pure function from what was observed to a verdict.
//!
//! The rows of the table in `docs/recovery.md`, in the same order. A test walks every combination of
//! observations and compares this function with that table, row by row.

/// What an open saw. Each field is one column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Observation {
    pub(crate) anchor: AnchorSeen,
    pub(crate) chain: ChainSeen,
    pub(crate) above: AboveSeen,
    pub(crate) stop: StopSeen,
    pub(crate) behind: BehindSeen,
    pub(crate) reach: Reach,
}

/// The anchor, beside the highest linked segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AnchorSeen {
    /// No slot is valid.
    None,
    /// It names no active segment, or an earlier one.
    Behind,
    /// It names the highest linked segment, in the life that the segment has.
    Level,
    /// It names a segment that is not linked, or not in this life.
    Ahead,
}

/// The segment files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChainSeen {
    /// There is none.
    NoFiles,
    /// None of them has a LINK.
    NoneLinked,
    /// From the highest linked one the chain leads back to the first.
    Whole,
    /// The chain breaks before it reaches the first.
    Broken,
}

/// Files above the highest linked segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AboveSeen {
    /// None.
    Nothing,
    /// One, with the next number, and nothing in it that claims to have been durable.
    Spare,
    /// One with the next number whose frames state a durable point beyond their own start.
    ClaimsDurable,
    /// A number beyond the next, or something that is no segment of this log.
    Alien,
}

/// What stands where the walk of the highest linked segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StopSeen {
    /// The walk ended behind a SEAL.
    Sealed,
    /// Blank space, or the end of the file.
    Blank,
    /// Something that is not the next frame.
    Fault,
}

/// What lies at and behind the end of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BehindSeen {
    /// Nothing that this life wrote.
    Nothing,
    /// Bytes that this life wrote, but no frame header.
    Strays,
    /// At least one frame header of this life.
    Frames,
}

/// The end of the walk, beside the durable point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// The walk ended in front of the durable point.
    Below,
    /// It reached the durable point.
    Reached,
}

/// What the observations mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// There is no log yet.
    New,
    /// A log without entries.
    Empty,
    /// The log was closed.
    Clean,
    /// The log was not closed, and nothing was dropped.
    Unclosed,
    /// The log was not closed, and what stands behind its end is dropped.
    Torn,
    /// What was acknowledged is not all there.
    Refused(Refusal),
}

/// Why a log is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// There are segments, but no anchor.
    AnchorLost,
    /// A segment of the chain is missing or damaged at its head.
    ChainBroken,
    /// The segment that the anchor names is missing or damaged at its head.
    ActiveLost,
    /// A file above the highest linked segment should have been linked.
    LinkLost,
    /// A frame in front of the durable point is damaged.
    Damaged,
}

/// The verdict on an observation.
pub(crate) fn decide(seen: &Observation) -> Verdict {
    use {
        AboveSeen as Above, AnchorSeen as Anchor, BehindSeen as Behind, ChainSeen as Chain, StopSeen as Stop,
    };
    match (seen.anchor, seen.chain, seen.above, seen.reach, seen.stop, seen.behind) {
        // Creation syncs the anchor and its name before the first segment file exists.
        (Anchor::None, Chain::NoFiles, ..) => Verdict::New,
        (Anchor::None, ..) => Verdict::Refused(Refusal::AnchorLost),
        // The anchor names a segment only once its LINK was durable.
        (Anchor::Ahead, ..) => Verdict::Refused(Refusal::ActiveLost),
        // A segment leaves the chain only by a LINK that says so, or by the anchor's first segment.
        (_, Chain::Broken, ..) => Verdict::Refused(Refusal::ChainBroken),
        // One segment is prepared at a time, and only once its predecessor's LINK is durable.
        (_, _, Above::Alien, ..) => Verdict::Refused(Refusal::LinkLost),
        // A frame claims durability beyond its own start only after a sync that covered the LINK.
        (_, _, Above::ClaimsDurable, ..) => Verdict::Refused(Refusal::LinkLost),
        (_, Chain::NoFiles | Chain::NoneLinked, ..) => Verdict::Empty,
        (_, _, _, Reach::Below, ..) => Verdict::Refused(Refusal::Damaged),
        // Nothing is written behind a SEAL, so a genuine frame there contradicts it.
        (_, _, _, _, Stop::Sealed, Behind::Frames) => Verdict::Refused(Refusal::Damaged),
        (_, _, _, _, Stop::Sealed, _) => Verdict::Clean,
        // Writes that a sync had not covered reach the device in any order, or not at all.
        (_, _, _, _, _, Behind::Frames | Behind::Strays) => Verdict::Torn,
        (_, _, _, _, Stop::Blank | Stop::Fault, Behind::Nothing) => Verdict::Unclosed,
    }
}
