//! The closed loop: threads that each append, wait until that returns, and append again.
//!
//! ```text
//!  phase      warm-up          measured                     over
//!            ├────────────────┼────────────────────────────┼────
//!  a thread   [──] [──] [── ──] [────] [───] [──] [──── ────]
//!                         a                             b
//!  counted as throughput: what ends while it is measured (a, not b)
//!  counted as latency:    what begins while it is measured (b, not a): a stall at the end is not cut off
//! ```

use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engine::Engine;
use crate::payload::Payload;

/// How an engine is driven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) threads: usize,
    pub(crate) entry_bytes: usize,
    /// Entries in each call.
    pub(crate) batch: usize,
    /// Of so many calls the latency of one is taken: two looks at the clock cost as much as an append to a buffer.
    pub(crate) calls_a_look: u64,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Entries a second while it was measured.
    pub(crate) per_second: f64,
    pub(crate) beside: Beside,
    /// Entries that each thread saw appended, warm-up and end included.
    pub(crate) acknowledged: Vec<u64>,
}

/// What is told of a measurement beside its rate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beside {
    Latency(Latency),
    Replay {
        /// To open the log before a replay, and to close it afterwards.
        open_ms: f64,
    },
}

impl Figures {
    pub(crate) fn latency(&self) -> Option<&Latency> {
        match &self.beside {
            Beside::Latency(latency) => Some(latency),
            Beside::Replay { .. } => None,
        }
    }

    pub(crate) fn open_ms(&self) -> Option<f64> {
        match self.beside {
            Beside::Latency(_) => None,
            Beside::Replay { open_ms } => Some(open_ms),
        }
    }
}

/// Percentiles of how long a call took, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

/// # Errors
/// The first append that failed.
pub(crate) fn closed_loop(engine: &dyn Engine, load: &Load) -> Result<Figures, String> {
    let phase = Phase::default();
    let begin = Barrier::new(load.threads + 1);
    thread::scope(|scope| {
        let mut writers = Vec::with_capacity(load.threads);
        for writer in 0..load.threads as u64 {
            let (phase, begin) = (&phase, &begin);
            writers.push(scope.spawn(move || {
                let own = Writer::new(writer, load);
                begin.wait();
                own.write(engine, phase, load)
            }));
        }
        begin.wait();
        thread::sleep(load.warm_up);
        phase.enter(Phase::MEASURED);
        let began = Instant::now();
        thread::sleep(load.measured);
        phase.enter(Phase::OVER);
        let elapsed = began.elapsed();

        let mut latency_ns = histogram();
        let mut counted = 0;
        let mut acknowledged = Vec::with_capacity(load.threads);
        for writer in writers {
            let done = writer.join().map_err(|_| "a thread panicked in an append".to_owned())??;
            latency_ns.add(&done.latency_ns).map_err(|error| format!("latencies: {error}"))?;
            counted += done.counted;
            acknowledged.push(done.acknowledged);
        }
        let per_second = counted as f64 / elapsed.as_secs_f64();
        Ok(Figures { per_second, beside: Beside::Latency(Latency::of(&latency_ns)), acknowledged })
    })
}

/// Where the run is. The threads look at it around every append.
#[derive(Default)]
struct Phase(AtomicU8);

impl Phase {
    const MEASURED: u8 = 1;
    const OVER: u8 = 2;

    fn enter(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn now(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One thread: its entries, and what it saw.
struct Writer {
    payload: Payload,
    latency_ns: Histogram<u64>,
    counted: u64,
    acknowledged: u64,
}

impl Writer {
    fn new(writer: u64, load: &Load) -> Writer {
        let payload = Payload::new(writer, load.entry_bytes, load.batch);
        Writer { payload, latency_ns: histogram(), counted: 0, acknowledged: 0 }
    }

    fn write(mut self, engine: &dyn Engine, phase: &Phase, load: &Load) -> Result<Writer, String> {
        let batch = load.batch as u64;
        let mut calls_to_look = 0;
        loop {
            let begun_in = phase.now();
            if begun_in == Phase::OVER {
                return Ok(self);
            }
            let look = calls_to_look == 0;
            calls_to_look = if look { load.calls_a_look } else { calls_to_look } - 1;
            let began = look.then(Instant::now);
            engine.append(self.payload.next())?;
            let took = began.map(|began| began.elapsed());
            self.acknowledged += batch;
            if phase.now() == Phase::MEASURED {
                self.counted += batch;
            }
            if let (Phase::MEASURED, Some(took)) = (begun_in, took) {
                record(&mut self.latency_ns, took);
            }
        }
    }
}

impl Latency {
    fn of(latency_ns: &Histogram<u64>) -> Latency {
        let at = |quantile: f64| latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: latency_ns.max() as f64 / 1e3,
        }
    }
}

/// Beyond the bounds of the histogram the nearest bound counts.
pub(crate) fn record(took_ns: &mut Histogram<u64>, took: Duration) {
    took_ns.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
}

/// From ten nanoseconds to a minute, three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(10, 60_000_000_000, 3).expect("the bounds are constant and in order")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tally;
    use std::sync::Mutex;

    /// Keeps entries in memory, and refuses the one that would be one too many.
    struct Memory {
        entries: Mutex<Vec<Vec<u8>>>,
        most: usize,
    }

    impl Engine for Memory {
        fn append(&self, payload: &[u8]) -> Result<(), String> {
            thread::sleep(Duration::from_millis(1));
            let mut entries = self.entries.lock().unwrap();
            if entries.len() == self.most {
                return Err("full".to_owned());
            }
            entries.push(payload.to_vec());
            Ok(())
        }

        fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
            self.entries.into_inner().unwrap().iter().for_each(|entry| tally.entry(entry));
            Ok(())
        }
    }

    const LOAD: Load = Load {
        threads: 3,
        entry_bytes: 32,
        batch: 1,
        calls_a_look: 1,
        warm_up: Duration::from_millis(5),
        measured: Duration::from_millis(60),
    };

    #[test]
    fn an_append_that_fails_ends_the_run() {
        let engine = Memory { entries: Mutex::default(), most: 7 };
        assert_eq!(closed_loop(&engine, &LOAD).unwrap_err(), "full");
    }

    #[test]
    fn every_append_is_acknowledged_once_and_only_the_measured_ones_count() {
        let engine = Box::new(Memory { entries: Mutex::default(), most: usize::MAX });
        let figures = closed_loop(engine.as_ref(), &LOAD).unwrap();
        let counted = figures.per_second * LOAD.measured.as_secs_f64();
        let acknowledged: u64 = figures.acknowledged.iter().sum();
        assert!(counted > 0.0 && counted < acknowledged as f64, "{counted} of {acknowledged}");
        assert!(figures.latency().unwrap().p50_us >= 1000.0, "{:?}", figures.beside);

        let mut tally = Tally::new(LOAD.threads);
        engine.reopen(&mut tally).unwrap();
        assert_eq!(tally.compare(&figures.acknowledged), Ok(()));
    }
}
