//! The state of a simulated disk, under one lock.
//!
//! Invariant: a name change that is pending is in `cached` already. It reaches `durable` when the
//! directory is synced; until then a power cut may take it or leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::fault::{Armed, CallKind, FaultEffect, SyncLoss, crash, eio, enospc, erofs};
use super::inode::Inode;
use super::origin::Origin;
use super::random::Random;
use crate::FileKind;

/// The first moment of every simulated disk: 2025-01-01.
const EPOCH_UNIX_NS: u64 = 1_735_689_600_000_000_000;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File(u64),
    Other(FileKind),
}

pub(super) type Names = BTreeMap<Arc<str>, Entry>;

/// A change of the directory that no sync has covered. A rename is two of them: a file system without a journal may
/// keep either half alone.
#[derive(Clone)]
pub(super) struct NameChange {
    pub(super) name: Arc<str>,
    pub(super) entry: Entry,
    pub(super) what: Change,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Gone,
}

impl NameChange {
    fn added(name: &str, entry: Entry) -> NameChange {
        NameChange { name: name.into(), entry, what: Change::Added }
    }

    fn gone(name: &str, entry: Entry) -> NameChange {
        NameChange { name: name.into(), entry, what: Change::Gone }
    }

    /// Applies the change if what it builds on is there: a file system may lose a change, but it does
    /// not put a name over another file that it has not moved away.
    pub(super) fn apply(&self, names: &mut Names) {
        match self.what {
            Change::Added => {
                names.entry(Arc::clone(&self.name)).or_insert(self.entry);
            }
            Change::Gone => {
                if names.get(&self.name) == Some(&self.entry) {
                    names.remove(&self.name);
                }
            }
        }
    }
}

/// Who has a lock on a file.
#[derive(Clone)]
pub(super) enum Held {
    /// These handles.
    Shared(BTreeSet<u64>),
    /// This handle.
    Alone(u64),
}

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) origin: Arc<Origin>,
    pub(super) random: Random,
    salts: Random,
    now_unix_ns: u64,

    /// Shared with other states until changed.
    inodes: BTreeMap<u64, Arc<Inode>>,
    next_inode: u64,
    handles: BTreeMap<u64, usize>,
    pub(super) durable: Names,
    pub(super) cached: Names,
    pub(super) changes: Vec<NameChange>,
    late_error: bool,
    /// Files that are locked, by inode: the one that a log is locked by, and those that may not be used again.
    file_locks: BTreeMap<u64, Held>,
    pub(super) directory_lockable: bool,
    pub(super) directory_locked: bool,
    /// The path leads to another directory.
    pub(super) displaced: bool,
    next_handle: u64,

    pub(super) operations: u64,
    /// How many calls of each kind there were, failed ones included.
    pub(super) calls: [u64; CallKind::Any as usize],
    pub(super) log: Option<Vec<String>>,

    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    pub(super) faults: Vec<Armed>,
    pub(super) read_only: bool,
    capacity_blocks: Option<u64>,
    names_need_space: bool,
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            origin: Arc::new(Origin::Seed(seed)),
            random: Random::of(seed, 0),
            salts: Random::of(seed, 1),
            now_unix_ns: EPOCH_UNIX_NS,
            directory_lockable: true,
            ..State::default()
        }
    }

    /// The same files for another process: no handles, no locks, no faults, counters at zero.
    pub(super) fn restarted(&self) -> State {
        let origin = Origin::Killed { before: Arc::clone(&self.origin), operations: self.operations };
        let mut state = State {
            cached: self.cached.clone(),
            changes: self.changes.clone(),
            late_error: self.late_error,
            ..self.cut(self.durable.clone(), self.inodes.clone(), origin)
        };
        state.forget_unreachable();
        state
    }

    /// The same disk after a power cut that left these files under these names.
    pub(super) fn cut(&self, names: Names, inodes: BTreeMap<u64, Arc<Inode>>, origin: Origin) -> State {
        State {
            origin: Arc::new(origin),
            random: self.random.clone(),
            salts: self.salts.clone(),
            now_unix_ns: self.now_unix_ns,
            inodes,
            next_inode: self.next_inode,
            durable: names.clone(),
            cached: names,
            log: self.log.as_ref().map(|_| Vec::new()),
            read_only: self.read_only,
            directory_lockable: self.directory_lockable,
            capacity_blocks: self.capacity_blocks,
            names_need_space: self.names_need_space,
            ..State::default()
        }
    }

    /// Every call comes through here first: the crash point, the counters, then the faults.
    pub(super) fn begin(
        &mut self,
        call: CallKind,
        what: impl FnOnce() -> String,
    ) -> io::Result<Option<FaultEffect>> {
        if self.crashed {
            return Err(crash());
        }
        if call.is_operation() {
            if self.crash_at.is_some_and(|number| self.operations >= number) {
                self.crashed = true;
                return Err(crash());
            }
            let number = self.operations;
            self.operations += 1;
            if let Some(log) = &mut self.log {
                log.push(format!("{number} {}", what()));
            }
        }
        self.calls[call as usize] += 1;
        // Each fault counts each call, also one that another fault has struck.
        let mut struck = None;
        for armed in &mut self.faults {
            let effect = armed.strike(call);
            struck = struck.or(effect);
        }
        match struck {
            Some(FaultEffect::Error(failure)) => Err(failure.into()),
            effect => Ok(effect),
        }
    }

    pub(super) fn refuse_read_only(&self) -> io::Result<()> {
        if self.read_only { Err(erofs()) } else { Ok(()) }
    }

    pub(super) fn inode(&self, inode: u64) -> &Inode {
        self.inodes.get(&inode).expect("a name or a handle keeps its file")
    }

    pub(super) fn shared_inode(&self, inode: u64) -> &Arc<Inode> {
        self.inodes.get(&inode).expect("a name keeps its file")
    }

    pub(super) fn inode_mut(&mut self, inode: u64) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&inode).expect("a name or a handle keeps its file"))
    }

    /// For a call that changes an inode and draws random numbers.
    pub(super) fn inode_and_random(&mut self, inode: u64) -> (&mut Inode, &mut Random) {
        let inode = self.inodes.get_mut(&inode).expect("a name or a handle keeps its file");
        (Arc::make_mut(inode), &mut self.random)
    }

    /// The regular file of this name, as the process sees it.
    pub(super) fn file(&self, name: &str) -> Option<u64> {
        match self.cached.get(name) {
            Some(Entry::File(inode)) => Some(*inode),
            _ => None,
        }
    }

    /// Gives a name to a new empty file.
    pub(super) fn create(&mut self, name: &str) -> io::Result<u64> {
        self.begin(CallKind::Create, || format!("create {name}"))?;
        self.refuse_read_only()?;
        if self.cached.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if self.names_need_space && self.free_blocks() == 0 {
            return Err(enospc());
        }
        let inode = self.add(Inode::default());
        self.change(NameChange::added(name, Entry::File(inode)));
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.begin(CallKind::Rename, || format!("rename {from} to {to}"))?;
        self.refuse_read_only()?;
        let entry = *self.cached.get(from).ok_or(io::ErrorKind::NotFound)?;
        if self.cached.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(NameChange::added(to, entry));
        self.change(NameChange::gone(from, entry));
        Ok(())
    }

    /// The process sees it at once.
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.cached);
        self.changes.push(change);
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.begin(CallKind::Remove, || format!("remove {name}"))?;
        self.refuse_read_only()?;
        let entry = *self.cached.get(name).ok_or(io::ErrorKind::NotFound)?;
        if entry == Entry::Other(FileKind::Directory) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.change(NameChange::gone(name, entry));
        self.forget_unreachable();
        Ok(())
    }

    pub(super) fn sync_directory(&mut self) -> io::Result<()> {
        let effect = self.begin(CallKind::SyncDirectory, || "sync directory".into())?;
        if self.read_only && !self.changes.is_empty() {
            return Err(erofs());
        }
        let result = match effect {
            Some(FaultEffect::SyncLoss(loss)) => self.sync_directory_losing(loss),
            _ if self.late_error => {
                self.late_error = false;
                self.changes.clear();
                Err(eio())
            }
            _ => {
                self.settle_names();
                Ok(())
            }
        };
        self.forget_unreachable();
        result
    }

    /// Name changes become durable, without a call. As with a block that is written again, a name that
    /// was changed is now what the cache shows, also where an earlier sync lost what the change built on.
    pub(super) fn settle_names(&mut self) {
        for NameChange { name, .. } in std::mem::take(&mut self.changes) {
            match self.cached.get(&name) {
                Some(&entry) => self.durable.insert(name, entry),
                None => self.durable.remove(&name),
            };
        }
    }

    fn sync_directory_losing(&mut self, loss: SyncLoss) -> io::Result<()> {
        match loss {
            SyncLoss::CacheNewDiskOld => self.changes.clear(),
            SyncLoss::CacheReverted => {
                self.cached = self.durable.clone();
                self.changes.clear();
            }
            SyncLoss::PartWritten => {
                let changes = std::mem::take(&mut self.changes);
                let lost = self.random.below(changes.len().max(1));
                for (place, change) in changes.iter().enumerate() {
                    if place != lost && self.random.eighths(4) {
                        change.apply(&mut self.durable);
                    }
                }
            }
            SyncLoss::ReportedLate => {
                self.late_error = true;
                return Ok(());
            }
        }
        Err(eio())
    }

    /// Puts a file on the disk without giving it a name.
    pub(super) fn add(&mut self, inode: Inode) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(number, Arc::new(inode));
        number
    }

    /// Counts a handle, and gives it a number of its own.
    pub(super) fn hold(&mut self, inode: u64) -> u64 {
        *self.handles.entry(inode).or_insert(0) += 1;
        self.next_handle += 1;
        self.next_handle
    }

    /// Locks a file for a handle. A lock that the handle has already is turned into this one.
    pub(super) fn lock_file(&mut self, inode: u64, handle: u64, alone: bool) -> io::Result<()> {
        let mut sharing = match self.file_locks.get(&inode) {
            Some(Held::Alone(other)) if *other != handle => return Err(io::ErrorKind::WouldBlock.into()),
            Some(Held::Shared(handles)) => handles.clone(),
            Some(Held::Alone(_)) | None => BTreeSet::new(),
        };
        if alone && sharing.iter().any(|other| *other != handle) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        sharing.insert(handle);
        let held = if alone { Held::Alone(handle) } else { Held::Shared(sharing) };
        self.file_locks.insert(inode, held);
        Ok(())
    }

    fn unlock_file(&mut self, inode: u64, handle: u64) {
        let is_free = match self.file_locks.get_mut(&inode) {
            Some(Held::Alone(other)) => *other == handle,
            Some(Held::Shared(handles)) => handles.remove(&handle) && handles.is_empty(),
            None => false,
        };
        if is_free {
            self.file_locks.remove(&inode);
        }
    }

    pub(super) fn release(&mut self, inode: u64, handle: u64) {
        self.unlock_file(inode, handle);
        let handles = self.handles.get_mut(&inode).expect("every handle was counted");
        *handles -= 1;
        if *handles == 0 {
            self.handles.remove(&inode);
            self.forget_unreachable();
        }
    }

    /// Frees the files that no name can lead to, after whatever crash, and no handle holds.
    pub(super) fn forget_unreachable(&mut self) {
        let named = self.durable.values().chain(self.cached.values()).copied();
        let reachable: BTreeSet<u64> = named
            .chain(self.changes.iter().map(|change| change.entry))
            .filter_map(|entry| if let Entry::File(inode) = entry { Some(inode) } else { None })
            .chain(self.handles.keys().copied())
            .collect();
        self.inodes.retain(|inode, _| reachable.contains(inode));
    }

    /// Sets how much may still be written; `None` is without end.
    pub(super) fn set_space(&mut self, free_blocks: Option<u64>) {
        self.capacity_blocks = free_blocks.map(|free| free + self.used_blocks());
    }

    pub(super) fn set_names_need_space(&mut self, need: bool) {
        // What is free stays free.
        let free_blocks = self.capacity_blocks.map(|_| self.free_blocks());
        self.names_need_space = need;
        self.set_space(free_blocks);
    }

    pub(super) fn free_blocks(&self) -> u64 {
        self.capacity_blocks.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_blocks()))
    }

    /// What may still be written, in bytes; `None` is without end.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.capacity_blocks.map(|_| self.free_blocks() * super::BLOCK_BYTES as u64)
    }

    /// What the named and the opened files occupy. A removed one is free at once for the process,
    /// although a power cut may bring it back.
    fn used_blocks(&self) -> u64 {
        let names = if self.names_need_space { self.cached.len() as u64 } else { 0 };
        let files = self.inodes.iter().filter(|(inode, _)| {
            self.handles.contains_key(inode)
                || self.cached.values().any(|entry| *entry == Entry::File(**inode))
        });
        names + files.map(|(_, inode)| inode.used_blocks()).sum::<u64>()
    }

    pub(super) fn next_salt(&mut self) -> u64 {
        self.salts.next_u64()
    }

    /// A clock that moves a microsecond with each call.
    pub(super) fn next_now_unix_ns(&mut self) -> u64 {
        self.now_unix_ns += 1_000;
        self.now_unix_ns
    }

    pub(super) fn pass_time(&mut self, pause_ns: u64) {
        self.now_unix_ns = self.now_unix_ns.saturating_add(pause_ns);
    }
}
