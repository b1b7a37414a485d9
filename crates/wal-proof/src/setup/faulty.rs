//! Logs that are wrong on purpose: each must be caught, or the enumeration proves nothing.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wal::sim::SimDisk;
use wal::{Directory, Options};
use wal_segment::io::{Access, File, FileId, Listed, Lock, Mapping, Residency};

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Faulty {
    /// Nothing.
    Nothing,
    /// The directory is never synced.
    NeverSyncsDirectory,
    /// Files are never synced.
    NeverSyncsFiles,
    /// An append is acknowledged before its sync.
    AcknowledgesBeforeSync,
    /// A sync says that it is done, and happens with the next call.
    SyncsOneCallLate,
    /// A read error is taken for the end of the file.
    ReadErrorIsTheEnd,
    /// Names are looked up by the path of the directory; only syncs go to the directory that was opened.
    GoesByPath,
    /// A rule is not kept.
    #[cfg(zoo)]
    Without(wal::Rule),
}

impl Faulty {
    /// Everything that can be wrong in this build.
    pub(crate) fn all() -> Vec<Faulty> {
        #[allow(unused_mut, reason = "builds without a zoo add nothing")]
        let mut all = vec![
            Faulty::NeverSyncsDirectory,
            Faulty::NeverSyncsFiles,
            Faulty::AcknowledgesBeforeSync,
            Faulty::SyncsOneCallLate,
            Faulty::ReadErrorIsTheEnd,
            Faulty::GoesByPath,
        ];
        #[cfg(zoo)]
        all.extend(
            // A precaution: without it nothing is wrong, and the correct logs are tried without it.
            wal::Rule::ALL
                .into_iter()
                .filter(|&rule| rule != wal::Rule::AnchorPerSegment)
                .map(Faulty::Without),
        );
        all
    }

    pub(crate) fn wrap(self, directory: Arc<dyn Directory>) -> Arc<dyn Directory> {
        match self {
            Faulty::NeverSyncsDirectory
            | Faulty::NeverSyncsFiles
            | Faulty::SyncsOneCallLate
            | Faulty::ReadErrorIsTheEnd
            | Faulty::GoesByPath => {
                let at_path = Arc::new(SimDisk::new(0));
                Arc::new(Wrapped { directory, at_path, faulty: self, late: Arc::default() })
            }
            _ => directory,
        }
    }

    /// Switches off the rule that is broken. With `anchor_lags` the anchor is written only where a rule asks for it, as
    /// when the thread that writes it is slow.
    #[cfg(zoo)]
    pub(crate) fn options(self, options: Options, anchor_lags: bool) -> Options {
        let mut rules = wal::Rules::default();
        if anchor_lags {
            rules = rules.without(wal::Rule::AnchorPerSegment);
        }
        if let Faulty::Without(rule) = self {
            rules = rules.without(rule);
        }
        options.rules(rules)
    }

    #[cfg(not(zoo))]
    #[allow(clippy::unused_self, reason = "the same call in both builds")]
    pub(crate) fn options(self, options: Options, _anchor_lags: bool) -> Options {
        options
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(zoo)]
            Faulty::Without(rule) => write!(f, "rule switched off: {rule:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// A file whose sync is still to happen.
type Late = Arc<Mutex<Option<Arc<dyn File>>>>;

/// Runs a sync that was put off; its result is dropped.
fn catch_up(late: &Late) {
    let file = late.lock().unwrap_or_else(PoisonError::into_inner).take();
    file.map_or(Ok(()), |file| file.sync()).ok();
}

#[derive(Debug)]
struct Wrapped {
    directory: Arc<dyn Directory>,
    /// What the path leads to after the directory was moved away.
    at_path: Arc<dyn Directory>,
    faulty: Faulty,
    late: Late,
}

impl Wrapped {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(WrappedFile { file, faulty: self.faulty, late: Arc::clone(&self.late) })
    }

    fn is_elsewhere(&self) -> bool {
        self.faulty == Faulty::GoesByPath && !self.directory.is_at_path().unwrap_or(true)
    }

    /// Where names are looked up.
    fn place(&self) -> &dyn Directory {
        if self.is_elsewhere() { self.at_path.as_ref() } else { self.directory.as_ref() }
    }
}

impl Directory for Wrapped {
    wal_testing::forward! { directory:
        fn path(&self) -> &Path;
        fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>>;
        fn lock_directory(&self) -> io::Result<Box<dyn Lock>>;
        fn is_at_path(&self) -> io::Result<bool>;
        fn free_bytes(&self) -> io::Result<Option<u64>>;
        fn max_open_files(&self) -> Option<u64>;
        fn salt(&self) -> u64;
        fn now_unix_ns(&self) -> u64;
        fn monotonic_ns(&self) -> u64;
        fn wait(&self, pause: Duration);
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.place().list()
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.place().open(name, access).map(|file| self.file(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        catch_up(&self.late);
        self.place().create(name).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        catch_up(&self.late);
        self.place().rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        catch_up(&self.late);
        self.place().remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        catch_up(&self.late);
        if self.faulty == Faulty::NeverSyncsDirectory { Ok(()) } else { self.directory.sync() }
    }
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        // A log that goes by the path does not ask which files it leads to.
        if self.is_elsewhere() { Ok(None) } else { self.directory.id_of(name) }
    }
}

#[derive(Debug)]
struct WrappedFile {
    file: Arc<dyn File>,
    faulty: Faulty,
    late: Late,
}

impl File for WrappedFile {
    wal_testing::forward! { file:
        fn id(&self) -> io::Result<Option<FileId>>;
        fn names(&self) -> io::Result<u64>;
        fn len(&self) -> io::Result<u64>;
        fn drop_cache(&self) -> io::Result<Residency>;
        fn map(&self, len: usize) -> io::Result<Mapping>;
        fn try_lock_shared(&self) -> io::Result<()>;
        fn try_lock(&self) -> io::Result<()>;
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset);
        if self.faulty == Faulty::ReadErrorIsTheEnd { Ok(read.unwrap_or(0)) } else { read }
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        catch_up(&self.late);
        self.file.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        catch_up(&self.late);
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        catch_up(&self.late);
        self.file.allocate(len)
    }
    fn sync(&self) -> io::Result<()> {
        catch_up(&self.late);
        match self.faulty {
            Faulty::NeverSyncsFiles => Ok(()),
            Faulty::SyncsOneCallLate => {
                *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&self.file));
                Ok(())
            }
            _ => self.file.sync(),
        }
    }
}
