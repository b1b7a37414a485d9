//! Opens an engine with its threads, from options and a directory.

use std::sync::Arc;

use wal_format::{ChecksumKind, Sequence};
use wal_segment::io::Directory;
use wal_segment::{OpenRequest, Opened};
use wal_sync::primitives::channel::Receiver;
use wal_sync::primitives::{now, since};
use wal_sync::{GroupCommit, Limits};

use crate::engine::Engine;
use crate::engine::tail::{FRAME_ENTRIES, Tail};
use crate::engine::threads::Threads;
use crate::error::Error;
use crate::options::Options;
use crate::read::cache::SegmentCache;
use crate::read::open_segments::sparing;
use crate::report::counters::Counters;
use crate::report::event::note;
use crate::report::listener::{Caller, Listener};
use crate::report::probe::Probe;
use crate::supply::{Kind, Supply};

/// The largest write, unless a single entry or batch is larger: large enough that the call costs little beside the copy.
const FRAME_BYTES: u64 = 1 << 20;
/// And a segment holds at least so many.
const FRAMES_A_SEGMENT: u64 = 4;

impl Engine {
    pub(crate) fn open(
        options: &Options,
        directory: Arc<dyn Directory>,
        at_least: u64,
    ) -> Result<(Arc<Engine>, ChecksumKind), Error> {
        let begun = now();
        let (directory, segments) = sparing(directory, options.mapped_reads);
        let Opened { mut writer, anchor, names, directory_locked, pool, recovery } =
            wal_segment::open(&directory, options.open_request(at_least))?;
        options.check_cap(writer.segment_bytes())?;
        writer.limit(options.max_log_bytes);
        let recovery_duration = since(begun);
        let counters = Arc::new(Counters::default());
        let background = options.background;
        let (listener, caller) = Listener::new(&options.callbacks, directory.path()).unzip();
        let cache = SegmentCache::new(Arc::clone(&directory), segments, Arc::clone(&counters));
        #[cfg(feature = "tracing")]
        let cache = cache.traced(listener.clone());
        let cache = Arc::new(cache);
        let kind = options.kind(directory, listener.as_ref());
        let (supply, bell) = Supply::new(kind, anchor, names, &pool);
        let supply = Arc::new(supply);
        note!(when false = directory_locked => &listener, DirectoryNotLocked {});
        note!(&listener, Opened { recovery: Box::new(recovery.clone()), took: since(begun) });
        let in_force = Arc::new(options.in_force(&writer));
        let (next, checksum) = (writer.next().value(), writer.checksum());
        let limits = options.limits(writer.segment_bytes());
        let room = usize::try_from(limits.frame_bytes).unwrap_or(usize::MAX);
        let (directory, tail_supply) = (Arc::clone(&cache.directory), Arc::clone(&supply));
        let tail = Tail::new(writer, directory, tail_supply, Arc::clone(&counters), listener, room, in_force);
        let (kept_caller, called_back) = if background { (None, caller) } else { (caller, None) };
        let engine = Arc::new(Engine {
            commits: GroupCommit::new(tail, options.sync, limits, next),
            cache,
            recovery,
            recovery_duration,
            maintains_in_calls: !background && options.wants_a_thread(),
            counters,
            supply: Arc::clone(&supply),
            directory_locked,
            threads: Threads::new(),
            probe: Probe::new(),
            caller: kept_caller,
        });
        engine.start_threads(supply, bell, called_back).inspect_err(|_| engine.end())?;
        engine.run_due_work();
        Ok((engine, checksum))
    }

    fn start_threads(
        self: &Arc<Engine>,
        supply: Arc<Supply>,
        bell: Option<Receiver<()>>,
        caller: Option<Caller>,
    ) -> Result<(), Error> {
        if let Some(rings) = bell {
            self.threads.start("wal-files", move || supply.run(&rings))?;
        }
        if let Some(caller) = caller {
            self.threads.start("wal-events", move || caller.run())?;
        }
        if self.options().background {
            let engine = Arc::clone(self);
            self.threads.start("wal-sync", move || engine.commits.run_flusher())?;
            if self.options().wants_a_thread() {
                let engine = Arc::clone(self);
                self.threads.start("wal-retention", move || engine.run_maintenance())?;
            }
        }
        Ok(())
    }
}

impl Options {
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "the listener hears of what is traced")
    )]
    fn kind(&self, directory: Arc<dyn Directory>, listener: Option<&Listener>) -> Kind {
        Kind {
            directory,
            recycle: self.recycle,
            zero_ahead: self.zeroes_ahead(),
            background: self.background,
            rules: self.rules,
            #[cfg(feature = "tracing")]
            listener: listener.cloned(),
        }
    }

    fn limits(&self, segment_bytes: u64) -> Limits {
        let frame_bytes = FRAME_BYTES.min(segment_bytes / FRAMES_A_SEGMENT);
        Limits {
            frame_entries: FRAME_ENTRIES as u64,
            frame_bytes: self.buffered.map_or(frame_bytes, |bytes| bytes.clamp(frame_bytes, FRAME_BYTES)),
            in_flight_bytes: self.max_in_flight_bytes,
            buffered_bytes: self.buffered,
            flusher: self.background,
        }
    }

    fn open_request(&self, at_least: u64) -> OpenRequest {
        OpenRequest {
            segment_bytes: self.segment_bytes,
            checksum: self.checksum,
            first: self.first_sequence.and_then(|first| Sequence::try_from(first).ok()),
            at_least,
            mode: self.open_mode,
            rules: self.rules,
        }
    }
}
