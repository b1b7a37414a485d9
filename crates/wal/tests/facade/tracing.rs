//! What an operator looks for is told to whoever subscribes to `tracing`, under no lock, and once.

#![cfg(feature = "tracing")]
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::common::seam::{Call, Seam};
use crate::common::{HALF, eventually, every_setup, open, refused, small, within};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use wal::{Durability, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(30);

/// One event: its level, its message, and its fields as text.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    level: Level,
    message: String,
    fields: BTreeMap<String, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").expect("text takes everything");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.insert(field.name().to_owned(), text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

/// A subscriber that writes everything down, and does what it is asked to at each event.
#[derive(Clone, Default)]
struct Pad {
    told: Arc<Mutex<Vec<Told>>>,
    act: Arc<Mutex<Option<Act>>>,
}

type Act = Box<dyn FnMut() + Send>;

impl Subscriber for Pad {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "wal"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut told = Told { level, message: String::new(), fields: BTreeMap::new() };
        event.record(&mut told);
        self.told.lock().expect("no panic").push(told);
        // Taken out while it runs: what it does may be an event in turn.
        let act = self.act.lock().expect("no panic").take();
        if let Some(mut act) = act {
            act();
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The events of one log come from its thread, so the subscriber is everybody's; one test at a time has it.
struct Subscribed {
    pad: Pad,
    _alone: MutexGuard<'static, ()>,
}

fn subscribe() -> Subscribed {
    static ALONE: Mutex<()> = Mutex::new(());
    static PAD: OnceLock<Pad> = OnceLock::new();
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pad = PAD.get_or_init(|| {
        let pad = Pad::default();
        tracing::subscriber::set_global_default(pad.clone()).expect("nobody else subscribes");
        pad
    });
    pad.told.lock().expect("no panic").clear();
    *pad.act.lock().expect("no panic") = None;
    Subscribed { pad: pad.clone(), _alone: alone }
}

impl Subscribed {
    fn told(&self) -> Vec<Told> {
        self.pad.told.lock().expect("no panic").clone()
    }

    fn messages(&self) -> Vec<(Level, String)> {
        self.told().into_iter().map(|told| (told.level, told.message)).collect()
    }

    /// The only event with this message, which may take a moment.
    #[track_caller]
    fn the(&self, message: &str) -> Told {
        let find = || self.told().into_iter().filter(|told| told.message == message).collect::<Vec<_>>();
        eventually(message, LIMIT, || !find().is_empty());
        let found = find();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }
}

#[track_caller]
fn has(told: &Told, level: Level, fields: &[(&str, &str)]) {
    assert_eq!(told.level, level, "{told:?}");
    assert_eq!(told.fields.get("log").map(String::as_str), Some("/sim"), "{told:?}");
    for (name, value) in fields {
        let found = told.fields.get(*name).unwrap_or_else(|| panic!("no {name} in {told:?}"));
        assert!(found.contains(value), "{name} of {told:?} is not {value}");
    }
}

fn durable(wal: &Wal) {
    wal.append_with(&[7; HALF], Durability::Durable).expect("nothing fails");
}

#[test]
fn a_life_without_trouble_is_told_in_order() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let subscribed = subscribe();
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(policy).background(background));
            (0..4).for_each(|_| durable(&wal));
            wal.truncate_before(1).expect("nothing fails");
            wal.truncate_after(2).expect("nothing fails");
            durable(&wal);
            wal.close().expect("nothing fails");
            let messages = subscribed.messages();
            let expected = [
                (Level::INFO, "opened"),
                (Level::DEBUG, "rolled over"),
                (Level::DEBUG, "rolled over"),
                (Level::INFO, "truncated the front"),
                (Level::WARN, "cut: the log goes on in another segment"),
                (Level::INFO, "truncated the end"),
                (Level::INFO, "closed"),
            ];
            let seen = messages.iter().filter(|(_, message)| message != "slow sync");
            let seen: Vec<_> = seen.map(|(level, message)| (*level, message.as_str())).collect();
            assert_eq!(seen, expected, "{policy:?}, background {background}");
            has(
                &subscribed.the("opened"),
                Level::INFO,
                &[("first", "0"), ("next", "0"), ("recovery", "a new log")],
            );
            has(&subscribed.the("truncated the front"), Level::INFO, &[("first", "1")]);
            has(&subscribed.the("truncated the end"), Level::INFO, &[("last", "2")]);
            has(&subscribed.the("closed"), Level::INFO, &[("written", "4"), ("durable", "4")]);
        }
    });
}

#[test]
fn a_torn_tail_is_told_with_its_place() {
    let subscribed = subscribe();
    let disk = SimDisk::new(1);
    let options = small(SyncPolicy::None);
    let wal = open(&disk, &options);
    durable(&wal);
    wal.append(&[8; HALF]).expect("nothing fails");
    drop(wal);
    let name = crate::common::bytes::linked(&disk).pop().expect("a segment");
    let frame =
        crate::common::bytes::frames(&disk.contents(&name).expect("it is there")).pop().expect("a frame");
    assert!(disk.damage(&name, |bytes| bytes[frame.offset + 100..].fill(0)));
    let wal = open(&disk, &options);
    let told = subscribed.the("opened: a torn tail was dropped");
    has(
        &told,
        Level::WARN,
        &[("next", "1"), ("segment", ""), ("offset", ""), ("dropped_bytes", ""), ("took_us", "")],
    );
    assert_ne!(told.fields["dropped_bytes"], "0");
    durable(&wal);
    has(&subscribed.the("cut: the log goes on in another segment"), Level::WARN, &[("first", "1")]);
}

const NOTHING: u64 = 0;
const WRITES: u64 = 1;
const SYNCS: u64 = 2;

#[test]
fn what_fails_is_told_with_its_cause() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let subscribed = subscribe();
            let fails = Arc::new(AtomicU64::new(NOTHING));
            let mode = Arc::clone(&fails);
            let seam = Seam::new(SimDisk::new(1), move |call| {
                let strikes = match call {
                    Call::Write { name, .. } => {
                        name.ends_with(".wal") && mode.load(Ordering::SeqCst) == WRITES
                    }
                    Call::Sync { name } => name.ends_with(".wal") && mode.load(Ordering::SeqCst) == SYNCS,
                    _ => false,
                };
                let in_background = std::thread::current().name() == Some("wal-files");
                if strikes && !in_background { Err(std::io::Error::other("on purpose")) } else { Ok(()) }
            });
            let options = small(policy).segment_bytes(1 << 20).background(background);
            let wal = options.open_in(seam).expect("nothing fails yet");
            durable(&wal);
            fails.store(WRITES, Ordering::SeqCst);
            refused(wal.append(b"lost"), ErrorKind::Io);
            has(
                &subscribed.the("write failed"),
                Level::WARN,
                &[("first", "1"), ("error", "cannot write /sim/")],
            );

            fails.store(NOTHING, Ordering::SeqCst);
            durable(&wal);
            fails.store(SYNCS, Ordering::SeqCst);
            refused(wal.append_with(b"lost", Durability::Durable), ErrorKind::Poisoned);
            let told = subscribed.the("sync failed: the log is poisoned");
            has(&told, Level::ERROR, &[("error", "cannot sync /sim/")]);
            refused(wal.close(), ErrorKind::Poisoned);
            has(&subscribed.the("close failed"), Level::WARN, &[("error", "poisoned")]);
        }
    });
}

#[test]
fn what_fails_in_the_background_is_told() {
    within(LIMIT, || {
        for background in [false, true] {
            let subscribed = subscribe();
            let fails = Arc::new(AtomicBool::new(false));
            let on = Arc::clone(&fails);
            let seam = Seam::new(SimDisk::new(1), move |call| {
                let strikes = matches!(call, Call::Write { name: "ANCHOR", .. } | Call::SyncDirectory);
                if strikes && on.load(Ordering::SeqCst) {
                    Err(std::io::Error::other("on purpose"))
                } else {
                    Ok(())
                }
            });
            let options = small(SyncPolicy::Immediate).background(background);
            let wal = options.open_in(seam).expect("nothing fails yet");
            durable(&wal);
            eventually("the anchor of this segment is written", LIMIT, || wal.health().is_healthy());
            fails.store(true, Ordering::SeqCst);
            let stuck = (0..9).find_map(|_| wal.append(&[7; HALF]).err());
            refused(stuck.map_or(Ok(()), Err), ErrorKind::Io);
            eventually("it is told", LIMIT, || {
                let messages = subscribed.messages();
                messages.iter().any(|(_, message)| message == "next segment not prepared")
            });
            for told in subscribed.told().iter().filter(|told| told.level == Level::WARN) {
                has(told, Level::WARN, &[("error", "on purpose")]);
            }
        }
    });
}

#[test]
fn a_slow_sync_is_told_with_its_time() {
    let subscribed = subscribe();
    let options = small(SyncPolicy::Immediate).slow_sync(Duration::from_nanos(1));
    let wal = open(&SimDisk::new(1), &options);
    wal.append(b"every sync takes longer").expect("nothing fails");
    let told = subscribed.the("slow sync");
    has(&told, Level::WARN, &[("first", "0"), ("end", "1"), ("failed", "false"), ("took_us", "")]);
}

// A subscriber is foreign code, like a callback: it may write what it is told into the log that told it.
#[test]
fn a_subscriber_may_append_to_the_log_and_may_panic() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for panics in [false, true] {
                let subscribed = subscribe();
                let wal = open(&SimDisk::new(1), &small(policy).background(background));
                subscribed.the("opened");
                let inner = wal.clone();
                *subscribed.pad.act.lock().expect("no panic") = Some(Box::new(move || {
                    inner.append_with(b"from the subscriber", Durability::Durable).expect("nothing fails");
                    inner.sync().expect("nothing fails");
                    assert!(!panics, "a panic in a subscriber, on purpose");
                }));
                // The second rollover is told to a subscriber that has nothing more to do.
                (0..6).for_each(|_| durable(&wal));
                eventually("the subscriber has appended", LIMIT, || wal.durable_end() == 7);
                wal.close().expect("nothing fails");
                subscribed.the("closed");
            }
        }
    });
}

#[test]
fn a_log_is_named_by_its_path() {
    let subscribed = subscribe();
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let directory = scratch.path().join("log");
    drop(Options::new().open(&directory).expect("a new log"));
    let told = subscribed.the("opened");
    assert_eq!(told.fields["log"], directory.display().to_string());
}

#[test]
fn the_document_and_the_code_have_the_same_messages() {
    let document = include_str!("../../../../docs/tracing.md");
    let code = include_str!("../../src/report/trace.rs");
    let promised: BTreeSet<_> =
        document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    // The only other text in there is the target.
    let told: BTreeSet<_> = code.split('"').skip(1).step_by(2).filter(|text| *text != "wal").collect();
    assert_eq!(promised, told);
}
