//! The decision of recovery: a pure function from what was observed to a verdict.
//!
//! The rows are those of the table in `docs/recovery.md`, in the same order. A test compares function and
//! table for every combination of observations.

/// What an open observed. Each field is a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Observation {
    pub(crate) anchor: AnchorSeen,
    pub(crate) chain: ChainSeen,
    pub(crate) above: AboveSeen,
    pub(crate) stop: StopSeen,
    pub(crate) behind: BehindSeen,
    pub(crate) reach: Reach,
}

/// The anchor, compared with the highest linked segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AnchorSeen {
    /// No slot is valid.
    None,
    /// It names no active segment, or an earlier one.
    Behind,
    /// It names the highest linked segment in its present life.
    Level,
    /// It names a segment that is not linked, or another life of it.
    Ahead,
}

/// The segment files and their chain of LINKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChainSeen {
    /// There are no segment files.
    NoFiles,
    /// No file has a LINK.
    NoneLinked,
    /// The chain leads from the highest linked segment back to the first.
    Whole,
    /// The chain breaks before it reaches the first.
    Broken,
}

/// The files above the highest linked segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AboveSeen {
    /// There are none.
    Nothing,
    /// One with the next number, and no frame in it claims durability.
    Spare,
    /// One with the next number whose frames state a durable point beyond their own start.
    ClaimsDurable,
    /// A number beyond the next, or a file that is no segment of this log.
    Alien,
}

/// What stands where the walk of the highest linked segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StopSeen {
    /// The walk ended after a final SEAL.
    Final,
    /// It ended after the SEAL of a close that the anchor states.
    Stated,
    /// It ended after the SEAL of a close that no anchor states.
    Closed,
    /// Blank space or the end of the file.
    Blank,
    /// Bytes that are not the next frame.
    Fault,
}

/// What lies at and after the end of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BehindSeen {
    /// Nothing that this life wrote.
    Nothing,
    /// Bytes that this life wrote, but no frame header.
    Strays,
    /// At least one frame header of this life.
    Frames,
}

/// The end of the walk, compared with the durable point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// The walk ended before the durable point.
    Below,
    /// It reached the durable point.
    Reached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// There is no log yet.
    New,
    /// A log without entries.
    Empty,
    /// The last segment has a final SEAL, and no other was begun.
    Sealed,
    /// The log was closed.
    Clean,
    /// The log was not closed, and nothing was dropped.
    Unclosed,
    /// The log was not closed, and the bytes after its end are dropped.
    Torn,
    /// Acknowledged entries are damaged or missing.
    Refused(Refusal),
}

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
    /// A frame before the durable point is damaged.
    Damaged,
}

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
        // Nothing is written after a final SEAL, nor after one at which an anchor says that the log was closed.
        (_, _, _, _, Stop::Final | Stop::Stated, Behind::Frames) => Verdict::Refused(Refusal::Damaged),
        (_, _, _, _, Stop::Final, _) => Verdict::Sealed,
        // Writes that a sync had not covered reach the device in any order, or not at all.
        (_, _, _, _, _, Behind::Frames | Behind::Strays) => Verdict::Torn,
        (_, _, _, _, Stop::Stated | Stop::Closed, Behind::Nothing) => Verdict::Clean,
        (_, _, _, _, Stop::Blank | Stop::Fault, Behind::Nothing) => Verdict::Unclosed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Debug;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/recovery.md");
    const RULES: &str = include_str!("../rules.rs");

    const HEADING: &str = "| anchor | chain | above | reach | stop | behind | verdict | why |";

    /// Every value of an enum; a variant that is not named here does not compile.
    macro_rules! values {
        ($kind:ident: $first:ident $(, $variant:ident)*) => {{
            match $kind::$first {
                $kind::$first => {}
                $($kind::$variant => {})*
            }
            [$kind::$first $(, $kind::$variant)*]
        }};
    }

    fn observations() -> Vec<Observation> {
        let mut all = Vec::new();
        for anchor in values!(AnchorSeen: None, Behind, Level, Ahead) {
            for chain in values!(ChainSeen: NoFiles, NoneLinked, Whole, Broken) {
                for above in values!(AboveSeen: Nothing, Spare, ClaimsDurable, Alien) {
                    for stop in values!(StopSeen: Final, Stated, Closed, Blank, Fault) {
                        for behind in values!(BehindSeen: Nothing, Strays, Frames) {
                            for reach in values!(Reach: Below, Reached) {
                                all.push(Observation { anchor, chain, above, stop, behind, reach });
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn names(seen: &Observation) -> [String; 6] {
        fn name(value: impl Debug) -> String {
            format!("{value:?}")
        }
        [
            name(seen.anchor),
            name(seen.chain),
            name(seen.above),
            name(seen.reach),
            name(seen.stop),
            name(seen.behind),
        ]
    }

    /// A row of the table. An empty list of values stands for any value.
    #[derive(Debug)]
    struct Row {
        cells: [Vec<String>; 6],
        verdict: String,
    }

    impl Row {
        fn parse(line: &str) -> Row {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [seen @ .., verdict, why] = &cells[..] else { panic!("a row without verdict: {line}") };
            assert!(!why.is_empty(), "a row without a reason: {line}");
            let values = |cell: &&str| match *cell {
                "*" => Vec::new(),
                named => named.split(" or ").map(str::to_owned).collect(),
            };
            let cells: Vec<Vec<String>> = seen.iter().map(values).collect();
            Row { cells: cells.try_into().expect("six columns are observed"), verdict: (*verdict).to_owned() }
        }

        fn matches(&self, seen: &Observation) -> bool {
            self.cells.iter().zip(names(seen)).all(|(cell, name)| cell.is_empty() || cell.contains(&name))
        }
    }

    fn table() -> Vec<Row> {
        let mut lines = DOCUMENT.lines().skip_while(|line| *line != HEADING);
        assert_eq!(lines.next(), Some(HEADING), "the document has the table");
        assert!(lines.next().is_some_and(|line| line.starts_with("|--")), "a line under the heading");
        lines.take_while(|line| line.starts_with('|')).map(Row::parse).collect()
    }

    #[test]
    fn the_table_and_the_code_agree_on_every_combination() {
        let table = table();
        let all = observations();
        assert_eq!(all.len(), 4 * 4 * 4 * 5 * 3 * 2);
        let mut reached = vec![0; table.len()];
        for seen in &all {
            let row = table.iter().position(|row| row.matches(seen));
            let row = row.unwrap_or_else(|| panic!("no row matches {seen:?}"));
            reached[row] += 1;
            assert_eq!(table[row].verdict, format!("{:?}", decide(seen)), "row {row} for {seen:?}");
        }
        for (row, reached) in table.iter().zip(reached) {
            assert!(reached > 0, "no combination gets to {row:?}");
        }
    }

    #[test]
    fn the_table_names_values_that_exist() {
        let mut known: [HashSet<String>; 6] = Default::default();
        for seen in observations() {
            for (known, name) in known.iter_mut().zip(names(&seen)) {
                known.insert(name);
            }
        }
        for row in table() {
            for (cell, known) in row.cells.iter().zip(&known) {
                assert!(cell.iter().all(|name| known.contains(name)), "{cell:?} in {row:?}, not {known:?}");
            }
        }
    }

    #[test]
    fn every_rule_of_order_has_its_paragraph() {
        let (_, body) = RULES.split_once("pub enum Rule {").expect("the rules are an enum");
        let (body, _) = body.split_once("\n}").expect("the enum ends");
        let is_variant = |line: &&str| line.ends_with(',') && !line.starts_with("//");
        let rules: Vec<&str> = body.lines().map(str::trim).filter(is_variant).collect();
        assert!(rules.contains(&"LinkAfterSync,"), "found {rules:?}");
        for rule in rules {
            let paragraph = format!("\n**`{}`**", rule.trim_end_matches(','));
            assert_eq!(DOCUMENT.matches(&paragraph).count(), 1, "{rule} in docs/recovery.md");
        }
    }

    /// Checks a statement about every combination, independent of the rows and their order.
    fn always(statement: impl Fn(&Observation, Verdict) -> bool) {
        for seen in observations() {
            let verdict = decide(&seen);
            assert!(statement(&seen, verdict), "{verdict:?} for {seen:?}");
        }
    }

    fn refused(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Refused(_))
    }

    #[test]
    fn a_walk_that_ended_below_the_durable_point_is_never_an_end_of_the_log() {
        always(|seen, verdict| {
            seen.reach == Reach::Reached
                || !matches!(verdict, Verdict::Sealed | Verdict::Clean | Verdict::Unclosed | Verdict::Torn)
        });
    }

    #[test]
    fn a_log_is_new_exactly_when_there_is_neither_anchor_nor_segment() {
        always(|seen, verdict| {
            let nothing = seen.anchor == AnchorSeen::None && seen.chain == ChainSeen::NoFiles;
            nothing == (verdict == Verdict::New)
        });
    }

    #[test]
    fn segments_without_an_anchor_are_refused() {
        always(|seen, verdict| {
            seen.anchor != AnchorSeen::None || seen.chain == ChainSeen::NoFiles || refused(verdict)
        });
    }

    #[test]
    fn what_the_anchor_names_must_be_there() {
        always(|seen, verdict| seen.anchor != AnchorSeen::Ahead || refused(verdict));
    }

    #[test]
    fn a_broken_chain_is_refused() {
        always(|seen, verdict| seen.chain != ChainSeen::Broken || refused(verdict));
    }

    #[test]
    fn a_file_above_that_should_have_been_linked_is_refused() {
        always(|seen, verdict| {
            let unexplained = matches!(seen.above, AboveSeen::ClaimsDurable | AboveSeen::Alien);
            // Without an anchor there is nothing to compare the files with.
            seen.anchor == AnchorSeen::None || !unexplained || refused(verdict)
        });
    }

    #[test]
    fn a_crash_alone_is_never_refused() {
        always(|seen, verdict| {
            let no_anchor_yet = seen.anchor == AnchorSeen::None && seen.chain == ChainSeen::NoFiles;
            let anchored = matches!(seen.anchor, AnchorSeen::Behind | AnchorSeen::Level);
            let files_in_order = seen.chain != ChainSeen::Broken
                && matches!(seen.above, AboveSeen::Nothing | AboveSeen::Spare);
            let may_go_on = !matches!(seen.stop, StopSeen::Final | StopSeen::Stated);
            let nothing_after_a_seal = may_go_on || seen.behind != BehindSeen::Frames;
            let end_in_order = seen.reach == Reach::Reached && nothing_after_a_seal;
            let crash_alone = no_anchor_yet || anchored && files_in_order && end_in_order;
            !crash_alone || !refused(verdict)
        });
    }

    #[test]
    fn worse_evidence_never_turns_a_refusal_into_a_log() {
        for seen in observations().into_iter().filter(|seen| refused(decide(seen))) {
            for worse in [
                Observation { anchor: AnchorSeen::Ahead, ..seen },
                Observation { chain: ChainSeen::Broken, ..seen },
                Observation { above: AboveSeen::ClaimsDurable, ..seen },
                Observation { above: AboveSeen::Alien, ..seen },
                Observation { reach: Reach::Below, ..seen },
                Observation { behind: BehindSeen::Frames, ..seen },
            ] {
                assert!(refused(decide(&worse)), "{seen:?} is refused, but {worse:?} is not");
            }
        }
    }

    #[test]
    fn only_a_seal_closes_a_log() {
        always(|seen, verdict| {
            verdict != Verdict::Clean || matches!(seen.stop, StopSeen::Stated | StopSeen::Closed)
        });
    }

    #[test]
    fn a_log_goes_on_in_its_last_segment_only_where_nothing_of_this_life_stands_after_its_end() {
        always(|seen, verdict| {
            !matches!(verdict, Verdict::Clean | Verdict::Unclosed)
                || seen.behind == BehindSeen::Nothing && seen.stop != StopSeen::Final
        });
    }

    #[test]
    fn what_is_dropped_is_reported() {
        always(|seen, verdict| {
            let dropped = seen.behind == BehindSeen::Frames
                || seen.behind == BehindSeen::Strays && seen.stop != StopSeen::Final;
            !dropped || !matches!(verdict, Verdict::Sealed | Verdict::Clean | Verdict::Unclosed)
        });
    }

    #[test]
    fn nothing_is_called_torn_that_is_not_there() {
        always(|seen, verdict| verdict != Verdict::Torn || seen.behind != BehindSeen::Nothing);
    }

    #[test]
    fn entries_are_shown_only_along_a_whole_chain() {
        always(|seen, verdict| {
            seen.chain == ChainSeen::Whole
                || matches!(verdict, Verdict::New | Verdict::Empty)
                || refused(verdict)
        });
    }

    #[test]
    fn a_linked_log_is_never_called_empty_or_new() {
        always(|seen, verdict| {
            seen.chain != ChainSeen::Whole || !matches!(verdict, Verdict::New | Verdict::Empty)
        });
    }
}
