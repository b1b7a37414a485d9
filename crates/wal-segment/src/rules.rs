//! The rules of order that crash safety depends on, by name. `docs/recovery.md` tells each one's
//! counterexample.
//!
//! The code names a rule where it keeps it: `if rules.keeps(Rule::LinkAfterSync) { … }`. Ordinary builds keep
//! every rule, at no cost. A build with `--cfg zoo` can switch one off, and the crash enumeration must then
//! find the resulting fault.

/// A rule of order, or a judgement of recovery, that a test can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A LINK is written only after a sync of its predecessor returned.
    LinkAfterSync,
    /// A cut's LINK is written alone and synced before anything after it is accepted.
    CutSynced,
    /// After a cut's LINK the anchor is synced, before anything after it is accepted.
    CutAnchored,
    /// The segment after next is prepared only once the LINK of the next is durable.
    SpareAfterLink,
    /// More than one file above the last linked segment means that a segment is missing.
    OneSpare,
    /// A file above the last linked segment whose frames claim durability was linked once.
    SpareClaims,
    /// A prepared segment that an open finds, or whose LINK failed, gets a new salt before use.
    NewSalt,
    /// A linked segment is never overwritten, not even an empty one.
    NeverReplaced,
    /// An open for writing syncs the directory before it relies on a name.
    OpenSyncsDirectory,
    /// An open for writing syncs and drops the cache of what is not proven durable.
    OpenDropsCache,
    /// An open writes the anchor when more is durable than the anchor says.
    OpenAnchors,
    /// An open appends to the last segment only where nothing that this life wrote stands after its end.
    NothingAfterEnd,
    /// The length of a segment file that an open may append to never changes.
    LengthStays,
    /// An open never appends to a segment with a final SEAL.
    FinalSealEnds,
    /// Before anything is written after the SEAL of a close, the anchor says that the log is open.
    OpenBeforeWritten,
    /// An anchor that says that the log was closed is believed only while its other slot is valid, too.
    CloseNeedsBothSlots,
    /// The headers and the name of a prepared segment are durable before its LINK is written.
    SpareDurable,
    /// An invalid frame at or beyond the durable point is a torn tail, not corruption.
    TornIsNoDamage,
    /// An invalid frame below the durable point is corruption, not a torn tail.
    DamageIsNotTorn,
    /// The durable point moves when a sync covered more.
    DurableMoves,
    /// After a failed write the log continues after a cut, never at the same offset.
    FailedWriteCuts,
    /// A truncation whose LINK could not be written leaves a file that is made anew before anything is
    /// accepted.
    FailedLinkVoided,
    /// What is before a new first entry is durable before the anchor names that entry.
    DroppedIsDurable,
    /// A new first entry is in both slots of the anchor before the segments before it are removed.
    FirstInBothSlots,
    /// A segment is removed only once a synced anchor and a synced LINK no longer need it.
    AnchorBeforeRemove,
    /// A recycled file has the headers of its new life before it has the name of a segment.
    HeadedBeforeNamed,
    /// The headers of a recycled file are durable before it has the name of a segment.
    HeadsBeforeName,
    /// A recycled file gets a new salt, whatever it was before.
    RecycledNewSalt,
    /// A pool file that shares its inode with another name is dropped: a rename reached the disk by half.
    PoolSharesNoFile,
    /// A writer locks the directory itself, which has no name that could be exchanged.
    DirectoryLocked,
    /// A new segment or anchor is begun only while the names still lead to the files that the log has open.
    NamesChecked,
    /// A failed fsync is not retried.
    NoSecondSync,
    /// The anchor is written once for each segment. A precaution rather than a rule of order: without it the
    /// loss of a whole file may go unnoticed, but everything else must still hold.
    AnchorPerSegment,
}

#[cfg(zoo)]
impl Rule {
    /// All rules.
    pub const ALL: [Rule; 33] = [
        Rule::LinkAfterSync,
        Rule::CutSynced,
        Rule::CutAnchored,
        Rule::SpareAfterLink,
        Rule::OneSpare,
        Rule::SpareClaims,
        Rule::NewSalt,
        Rule::NeverReplaced,
        Rule::OpenSyncsDirectory,
        Rule::OpenDropsCache,
        Rule::OpenAnchors,
        Rule::NothingAfterEnd,
        Rule::LengthStays,
        Rule::FinalSealEnds,
        Rule::OpenBeforeWritten,
        Rule::CloseNeedsBothSlots,
        Rule::SpareDurable,
        Rule::TornIsNoDamage,
        Rule::DamageIsNotTorn,
        Rule::DurableMoves,
        Rule::FailedWriteCuts,
        Rule::FailedLinkVoided,
        Rule::DroppedIsDurable,
        Rule::FirstInBothSlots,
        Rule::AnchorBeforeRemove,
        Rule::HeadedBeforeNamed,
        Rule::HeadsBeforeName,
        Rule::RecycledNewSalt,
        Rule::PoolSharesNoFile,
        Rule::DirectoryLocked,
        Rule::NamesChecked,
        Rule::NoSecondSync,
        Rule::AnchorPerSegment,
    ];
}

/// The rules in force: all of them, in ordinary builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    #[cfg(zoo)]
    off: u64,
}

impl Rules {
    /// These rules without one, to see which check notices.
    #[cfg(zoo)]
    #[must_use]
    pub fn without(self, rule: Rule) -> Rules {
        Rules { off: self.off | 1 << rule as u64 }
    }

    #[cfg(zoo)]
    pub(crate) fn keeps(self, rule: Rule) -> bool {
        self.off & 1 << rule as u64 == 0
    }

    #[cfg(not(zoo))]
    #[allow(clippy::unused_self, reason = "the same call in both builds")]
    pub(crate) const fn keeps(self, _rule: Rule) -> bool {
        true
    }
}
