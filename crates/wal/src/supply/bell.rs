//! Wakes the thread `wal-files`.

use wal_sync::primitives::channel::{Receiver, Sender, bounded};

/// Rung when there is work for the thread; without a thread the caller does the work itself.
#[derive(Clone, Debug)]
pub(super) struct Bell(Option<Sender<()>>);

impl Bell {
    /// A bell, and what the thread hears it by; without a thread nothing to hear it by.
    pub(super) fn new(background: bool) -> (Bell, Option<Receiver<()>>) {
        let (bell, rings) = background.then(|| bounded(1)).unzip();
        (Bell(bell), rings)
    }

    /// Whether a thread hears it.
    pub(super) fn has_thread(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn ring(&self) {
        if let Some(bell) = &self.0 {
            // A full channel is as good as rung.
            bell.try_send(()).ok();
        }
    }
}
