//! Dropping the front of the log, and its end.

use wal::ErrorKind;

use crate::machine::Model;

impl Model {
    pub(crate) fn truncate_after(&mut self, eighths: u64) {
        self.heal();
        let next = self.oracle.next();
        if next == self.first {
            return;
        }
        let last = self.first + (next - 1 - self.first) * eighths / 8;
        if let Err(error) = self.wal().truncate_after(last) {
            return self.failed(&error, None);
        }
        let end = last + 1;
        if end == next {
            // Nothing is dropped but what a failed write may have left.
            return self.oracle.truncated(end);
        }
        assert_eq!(
            (self.wal().written_end(), self.wal().durable_end()),
            (end, end),
            "all that stays is durable"
        );
        self.oracle.truncated(end);
        (self.written, self.durable, self.gathered) = (end, end, self.gathered.min(end));
        self.cut_followers(end);
        self.pending.retain(|(commit, _)| {
            let stays = commit.sequences().end <= end;
            let told = stays
                || commit.outcome().is_some_and(|outcome| match outcome {
                    Ok(_) => true,
                    Err(error) => error.kind() == ErrorKind::Truncated,
                });
            assert!(told, "whoever waits for {} is told {:?}", commit.sequence(), commit.outcome());
            stays
        });
    }

    pub(crate) fn truncate_before(&mut self, eighths: u64) {
        self.heal();
        let wanted = self.first + (self.oracle.next() - self.first) * eighths / 8;
        let first = wanted.min(self.held()).max(self.first);
        let kept = match self.wal().truncate_before(wanted) {
            Ok(kept) => kept,
            Err(error) => return self.failed(&error, None),
        };
        assert_eq!(kept, first, "as much as is held stays");
        assert!(self.wal().durable_end() >= first, "what is dropped is made durable before");
        self.first = first;
    }
}
