//! Shared by the tests of the writer.

use std::sync::{Arc, Mutex};

use wal_format::Anchor;
use wal_segment::io::Directory;
use wal_segment::{AnchorFile, Error, Order, Rules, Spare, SpareSource, WatchedFile, prepare};

/// Does everything at once, in the calling thread.
pub(crate) struct Here {
    directory: Arc<dyn Directory>,
    anchor: Mutex<AnchorFile>,
}

impl Here {
    pub(crate) fn new(directory: &Arc<dyn Directory>, anchor: AnchorFile) -> Here {
        Here { directory: Arc::clone(directory), anchor: Mutex::new(anchor) }
    }
}

impl SpareSource for Here {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn check_names(&self) -> Result<(), Error> {
        Ok(())
    }

    fn entered(&self, _segment: WatchedFile) {}

    fn spare(&self, order: Order) -> Result<Spare, Error> {
        self.anchor.lock().unwrap().prove(self.directory.as_ref())?;
        prepare(self.directory.as_ref(), order, Rules::default())
    }

    fn order(&self, _order: Order) {}

    fn anchor(&self, anchor: Anchor) -> Result<(), Error> {
        self.anchor.lock().unwrap().write(anchor)
    }

    fn anchor_soon(&self, anchor: Anchor) {
        self.anchor(anchor).unwrap();
    }

    fn anchor_at_leisure(&self, _anchor: Anchor) {}
}
