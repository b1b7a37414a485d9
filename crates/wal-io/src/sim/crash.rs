//! What a power cut may leave of a disk.
//!
//! Since the last completed sync each of these may have reached the device or not, independently of all
//! others:
//!
//! - each 4 KiB block that was written: as it was, or any version that it had since then;
//! - the length of each file: as it was, or any that it had since then;
//! - each change of a name: that it was added, or that it is gone. A rename is both, and either may be kept without the
//!   other. Changes of one name keep their order: a change is without effect when what it builds on is missing.
//!
//! On top, in samples: the 512-byte sectors of a pending block come from different versions (*torn*),
//! or hold anything at all in the bytes in which a version differs from what was there (*garbage*).
//!
//! And what had been written beyond a length that a cut has left shows again when the file grows: more than most file
//! systems do.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::SimDisk;
use super::inode::{BLOCK_BYTES, Image, Inode, SECTOR_BYTES, Version};
use super::origin::Origin;
use super::pick::{Pick, Spoil};
use super::random::Random;
use super::state::{Change, Entry, NameChange, Names, State};

/// How many images to draw from all that a power cut may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashModel {
    /// Up to this many combinations of the pending items, each is drawn once. Above it, in their place:
    /// all old, all new, each one missing, each one present, each two missing and each two present (the
    /// pairs only if they are not more than this either), and `random` ones.
    pub exhaustive_up_to: usize,
    /// Random combinations, where not all are drawn.
    pub random: usize,
    /// Images with torn blocks, if a block is pending.
    pub tearing: usize,
    /// Images with garbage in sectors that were being written, if a block is pending.
    pub garbage: usize,
}

impl Default for CrashModel {
    /// Complete up to twelve pending items of two versions each.
    fn default() -> CrashModel {
        CrashModel { exhaustive_up_to: 4096, random: 1024, tearing: 256, garbage: 256 }
    }
}

/// A power cut as it is told: what it took and what it left.
struct PowerCut {
    pending: Arc<Pending>,
    pick: Pick,
}

impl fmt::Display for PowerCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PowerCut { pending, pick } = self;
        let State { origin, operations, .. } = &pending.state;
        write!(f, "{origin}; power cut after {operations} operations, pick \"{pick}\"")?;
        let mut between = " (";
        for (item, version) in pending.items.iter().zip(&pick.versions) {
            write!(f, "{between}{}", pending.tell(item, *version))?;
            between = ", ";
        }
        if pending.items.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

/// One thing that the power cut takes or leaves.
enum Item {
    Block { inode: u64, block: u64, versions: usize },
    Length { inode: u64, versions: usize },
    Name { change: usize },
}

impl Item {
    /// The durable one included.
    fn versions(&self) -> usize {
        match self {
            Item::Block { versions, .. } | Item::Length { versions, .. } => *versions,
            Item::Name { .. } => 2,
        }
    }
}

/// A state at the moment of the power cut, and all that is pending in it.
pub(super) struct Pending {
    state: State,
    items: Vec<Item>,
}

impl Pending {
    pub(super) fn of(state: &State) -> Pending {
        let mut inodes: Vec<u64> = (state.durable.values().copied())
            .chain(state.changes.iter().map(|change| change.entry))
            .filter_map(|entry| if let Entry::File(inode) = entry { Some(inode) } else { None })
            .collect();
        inodes.sort_unstable();
        inodes.dedup();
        let mut items = Vec::new();
        for number in inodes {
            let inode = state.inode(number);
            items.extend(inode.versions.iter().map(|(&block, versions)| Item::Block {
                inode: number,
                block,
                versions: versions.len() + 1,
            }));
            if !inode.lengths.is_empty() {
                items.push(Item::Length { inode: number, versions: inode.lengths.len() + 1 });
            }
        }
        items.extend((0..state.changes.len()).map(|change| Item::Name { change }));
        Pending { state: state.clone(), items }
    }

    pub(super) fn all_old(&self) -> Pick {
        self.pick(|_| 0)
    }

    pub(super) fn all_new(&self) -> Pick {
        self.pick(|item| item.versions() - 1)
    }

    fn pick(&self, version: impl FnMut(&Item) -> usize) -> Pick {
        Pick { versions: self.items.iter().map(version).collect(), spoil: None }
    }

    fn has_block(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Block { .. }))
    }

    /// How many combinations there are, if the number is not absurd.
    fn combinations(&self) -> Option<usize> {
        self.items.iter().try_fold(1_usize, |product, item| product.checked_mul(item.versions()))
    }

    fn name_of(&self, inode: u64) -> &str {
        let entry = Entry::File(inode);
        let State { cached, durable, changes, .. } = &self.state;
        let named = cached.iter().chain(durable).find(|(_, named)| **named == entry).map(|(name, _)| name);
        let changed = || changes.iter().find(|change| change.entry == entry).map(|change| &change.name);
        named.or_else(changed).map_or("(nameless)", |name| &**name)
    }

    /// An item and what became of it, in words.
    fn tell(&self, item: &Item, version: usize) -> String {
        let last = item.versions() - 1;
        match item {
            Item::Block { inode, block, .. } => {
                format!("{} block {block} version {version} of {last}", self.name_of(*inode))
            }
            Item::Length { inode, .. } => format!("{} length {version} of {last}", self.name_of(*inode)),
            Item::Name { change } => {
                let happened = if version == 0 { "not " } else { "" };
                let NameChange { name, what, .. } = &self.state.changes[*change];
                let what = if *what == Change::Added { "added" } else { "removed" };
                format!("{happened}{what} {name}")
            }
        }
    }

    /// The disk after a power cut. A pick of another state is taken as far as it goes.
    pub(super) fn image(self: &Arc<Pending>, pick: &Pick) -> SimDisk {
        let version_of = |place: usize| {
            let version = pick.versions.get(place).copied().unwrap_or(0);
            version.min(self.items[place].versions() - 1)
        };
        let mut names = self.state.durable.clone();
        for (place, item) in self.items.iter().enumerate() {
            if let Item::Name { change } = item
                && version_of(place) == 1
            {
                self.state.changes[*change].apply(&mut names);
            }
        }
        let mut durables: BTreeMap<u64, Image> = BTreeMap::new();
        // One stream of numbers, from one pending block to the next.
        let mut spoiler = pick.spoil.map(|(spoil, seed)| (spoil, Random::new(seed)));
        for (place, item) in self.items.iter().enumerate() {
            let (Item::Block { inode: number, .. } | Item::Length { inode: number, .. }) = item else {
                continue;
            };
            let inode = self.state.inode(*number);
            let image = durables.entry(*number).or_insert_with(|| inode.durable.clone());
            let version = version_of(place);
            match item {
                Item::Block { block, .. } => {
                    let mut stored = version_at(inode, *block, version);
                    if let Some((spoil, random)) = &mut spoiler {
                        let mut bytes = stored.map_or([0; BLOCK_BYTES], |block| *block);
                        match spoil {
                            Spoil::Torn => tear(random, inode, *block, &mut bytes),
                            Spoil::Garbage => litter(random, inode, *block, &mut bytes),
                        }
                        stored = Some(Arc::new(bytes));
                    }
                    image.put(*block, stored);
                }
                Item::Length { .. } if version > 0 => image.len = inode.lengths[version - 1],
                _ => {}
            }
        }
        let inodes = self.inodes_under(&names, durables);
        let told = Box::new(PowerCut { pending: Arc::clone(self), pick: pick.clone() });
        let origin = Origin::Cut { pick: pick.clone(), told };
        SimDisk::of(self.state.cut(names, inodes, origin))
    }

    /// The files that a name leads to: new ones where something was pending, otherwise shared ones.
    fn inodes_under(&self, names: &Names, mut durables: BTreeMap<u64, Image>) -> BTreeMap<u64, Arc<Inode>> {
        let mut inodes = BTreeMap::new();
        for entry in names.values() {
            let Entry::File(number) = entry else { continue };
            if inodes.contains_key(number) {
                continue; // Of a rename both names are there.
            }
            let shared = self.state.shared_inode(*number);
            let inode = match durables.remove(number) {
                Some(durable) => Arc::new(shared.cut(durable)),
                None if shared.is_settled() => Arc::clone(shared),
                None => Arc::new(shared.cut(shared.durable.clone())),
            };
            inodes.insert(*number, inode);
        }
        inodes
    }
}

fn version_at(inode: &Inode, block: u64, version: usize) -> Version {
    match version.checked_sub(1) {
        None => inode.durable.block(block),
        Some(pending) => inode.versions[&block][pending].clone(),
    }
}

/// Each sector from a version of its own.
fn tear(random: &mut Random, inode: &Inode, block: u64, bytes: &mut [u8; BLOCK_BYTES]) {
    let versions = inode.versions[&block].len() + 1;
    for (sector, target) in bytes.chunks_exact_mut(SECTOR_BYTES).enumerate() {
        let start = sector * SECTOR_BYTES;
        match version_at(inode, block, random.below(versions)) {
            Some(source) => target.copy_from_slice(&source[start..start + SECTOR_BYTES]),
            None => target.fill(0),
        }
    }
}

/// Random bytes in some of the sectors that were being written, and there only where something else was
/// written than what is durable: a power cut does not harm bytes whose neighbours are being written.
fn litter(random: &mut Random, inode: &Inode, block: u64, bytes: &mut [u8; BLOCK_BYTES]) {
    const ZEROS: &[u8; BLOCK_BYTES] = &[0; BLOCK_BYTES];
    let durable = inode.durable.block(block);
    let durable = durable.as_deref().unwrap_or(ZEROS);
    let versions = &inode.versions[&block];
    for (sector, target) in bytes.chunks_exact_mut(SECTOR_BYTES).enumerate() {
        if !random.eighths(4) {
            continue;
        }
        let mut garbage = [0; SECTOR_BYTES];
        random.fill(&mut garbage);
        let start = sector * SECTOR_BYTES;
        for (at, (target, garbage)) in target.iter_mut().zip(garbage).enumerate() {
            let place = start + at;
            let written = |version: &Version| version.as_deref().unwrap_or(ZEROS)[place] != durable[place];
            if versions.iter().any(written) {
                *target = garbage;
            }
        }
    }
}

/// The images of one power cut, made one by one as they are asked for.
pub struct CrashImages {
    pending: Arc<Pending>,
    model: CrashModel,
    seed: u64,
    next: usize,
    /// How many images each part of the model gives.
    parts: [(usize, Part); 7],
}

/// A part of the model.
#[derive(Clone, Copy)]
enum Part {
    /// All combinations, one after the other.
    Combination,
    /// These four stand in for them where they are too many: all old and all new, singles, pairs, random ones.
    Extreme,
    Single,
    Pair,
    Random,
    Spoilt(Spoil),
}

impl CrashImages {
    pub(super) fn of(pending: Pending, model: CrashModel, seed: u64) -> CrashImages {
        let items = pending.items.len();
        let pairs = items * items.saturating_sub(1);
        let spoilt = usize::from(pending.has_block());
        let combinations = pending.combinations().filter(|count| *count <= model.exhaustive_up_to.max(1));
        let sampled = usize::from(combinations.is_none());
        let parts = [
            (combinations.unwrap_or(0), Part::Combination),
            (2 * sampled, Part::Extreme),
            (2 * items * sampled, Part::Single),
            (if pairs <= model.exhaustive_up_to { pairs * sampled } else { 0 }, Part::Pair),
            (model.random * sampled, Part::Random),
            (model.tearing * spoilt, Part::Spoilt(Spoil::Torn)),
            (model.garbage * spoilt, Part::Spoilt(Spoil::Garbage)),
        ];
        CrashImages { pending: Arc::new(pending), model, seed, next: 0, parts }
    }

    /// How many things a power cut may take or leave at this point.
    #[must_use]
    pub fn pending_items(&self) -> usize {
        self.pending.items.len()
    }

    fn total(&self) -> usize {
        self.parts.iter().map(|(count, _)| count).sum()
    }

    /// The pick of a place depends on nothing but the place and the seed.
    fn pick(&self, place: usize) -> Pick {
        let mut numbers = Random::of(self.seed, place as u64);
        let mut left = place;
        for (count, part) in self.parts {
            if left < count {
                return self.pick_of(part, left, &mut numbers);
            }
            left -= count;
        }
        unreachable!("a place stands below the total")
    }

    fn pick_of(&self, part: Part, number: usize, random: &mut Random) -> Pick {
        let pending = &self.pending;
        match part {
            Part::Combination => {
                let mut rest = number;
                pending.pick(|item| {
                    let version = rest % item.versions();
                    rest /= item.versions();
                    version
                })
            }
            Part::Extreme if number == 0 => pending.all_old(),
            Part::Extreme => pending.all_new(),
            Part::Single => self.all_but(number.is_multiple_of(2), &[number / 2]),
            Part::Pair => {
                let (first, second) = pair(number / 2, pending.items.len());
                self.all_but(number.is_multiple_of(2), &[first, second])
            }
            Part::Random => {
                let new = random.below(9);
                pending.pick(|item| {
                    if random.eighths(new) { item.versions() - 1 } else { random.below(item.versions()) }
                })
            }
            Part::Spoilt(spoil) => {
                // A file that cannot be reached shows no torn block.
                let mut pick = pending.pick(|item| match item {
                    Item::Block { versions, .. } => random.below(*versions),
                    _ if random.eighths(6) => item.versions() - 1,
                    _ => random.below(item.versions()),
                });
                pick.spoil = Some((spoil, random.next_u64()));
                pick
            }
        }
    }

    /// All new but these, or all old but these.
    fn all_but(&self, new: bool, these: &[usize]) -> Pick {
        let mut pick = if new { self.pending.all_new() } else { self.pending.all_old() };
        for &place in these {
            pick.versions[place] = if new { 0 } else { self.pending.items[place].versions() - 1 };
        }
        pick
    }
}

/// The `number`th pair of two different places among `items`.
fn pair(mut number: usize, items: usize) -> (usize, usize) {
    for first in 0..items {
        let seconds = items - first - 1;
        if number < seconds {
            return (first, first + 1 + number);
        }
        number -= seconds;
    }
    unreachable!("there are only so many pairs")
}

impl Iterator for CrashImages {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        if self.next >= self.total() {
            return None;
        }
        let pick = self.pick(self.next);
        self.next += 1;
        Some(self.pending.image(&pick))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.total() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for CrashImages {}

impl fmt::Debug for CrashImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CrashImages { model, seed, next, .. } = self;
        write!(f, "CrashImages({next} of {}, {model:?}, seed {seed})", self.total())
    }
}
