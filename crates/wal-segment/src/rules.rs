//! The rules of order, by name. Each was asked for by a counterexample; `docs/recovery.md` tells it.
//!
//! Where the code keeps a rule it says so: `if rules.keeps(Rule::LinkAfterSync) { … }`. In ordinary
//! builds every rule is kept and the question costs nothing. A build with `--cfg zoo` can switch one
//! off, and the crash enumeration must then find what goes wrong.

/// A rule of order, or a judgement of recovery, that a test can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A LINK is written only after a sync of its predecessor returned.
    LinkAfterSync,
    /// A cut's LINK is written alone and synced before anything behind it is accepted.
    CutSynced,
    /// After a cut's LINK the anchor is synced, before anything behind it is accepted.
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
    /// An open writes the anchor when more is durable than that says.
    OpenAnchors,
    /// An open goes on in the last segment only where nothing that this life wrote stands after its end.
    NothingAfterEnd,
    /// The file of a segment that an open may go on in is never made shorter, nor longer.
    LengthStays,
    /// After a final SEAL no open goes on.
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
    /// After a failed write the log goes on behind a cut, never at the same place.
    FailedWriteCuts,
    /// A truncation whose LINK could not be written leaves a file that is made anew before anything is accepted.
    FailedLinkVoided,
    /// What is in front of a new first entry is durable before the anchor names that.
    DroppedIsDurable,
    /// A new first entry is in both slots of the anchor before what it leaves behind is removed.
    FirstInBothSlots,
    /// A segment is removed only once a synced anchor and a synced LINK do without it.
    AnchorBeforeRemove,
    /// A file that is used again has the headers of its new life before it has the name of a segment.
    HeadedBeforeNamed,
    /// And these are durable by then.
    HeadsBeforeName,
    /// And the salt in them is a new one, whatever the file was before.
    RecycledNewSalt,
    /// A file that waits and shares its inode with another name is dropped: a rename reached the disk by half.
    PoolSharesNoFile,
    /// A writer locks the directory itself, which has no name that could be exchanged.
    DirectoryLocked,
    /// A new segment, and an anchor, are begun only while the names still lead to the files that the log has open.
    NamesChecked,
    /// A failed sync is not tried again.
    NoSecondSync,
    /// The anchor follows once a segment. Not a rule of order but a precaution: without it the loss of
    /// a whole file may go unnoticed, and everything else must hold all the same.
    AnchorPerSegment,
}

#[cfg(zoo)]
impl Rule {
    /// All of them.
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

/// Which rules hold: all, in every ordinary build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// A bit for each rule that is switched off.
    #[cfg(zoo)]
    off: u64,
}

impl Rules {
    /// These rules but one, to see who notices.
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
