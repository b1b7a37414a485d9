//! What strace wrote, read for syncs that cover data.
//!
//! ```text
//!  41  openat(AT_FDCWD</>, "/d/log/compare-mark", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)
//!  41  pwrite64(3</d/log/1>, ""..., 256, 0) = 256                          /d/log/1 has something to sync
//!  41  fdatasync(3</d/log/1> <unfinished ...>                              taken by this sync
//!  42  pwrite64(3</d/log/1>, ""..., 256, 256) = 256                        not by that one: it has begun
//!  41  <... fdatasync resumed>)  = 0                                       counts
//! ```
//!
//! A sync covers data when its file was written before it began and not synced since, or is mapped to be written.
//! A write through a descriptor that was opened with `O_SYNC` or `O_DSYNC` is a sync of its own, and so is one with
//! `RWF_SYNC` or `RWF_DSYNC`. A `sync_file_range` is none: it leaves the cache of the disk and the length of the file
//! alone.

use std::collections::{HashMap, HashSet};

/// The name of the file whose opening is a mark.
pub(super) const MARK: &str = "compare-mark";

/// What strace is told to write.
pub(super) const CALLS: &str = "trace=openat,mmap,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,msync,sync,\
                                syncfs,io_uring_enter";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncCount {
    /// Syncs that cover data and returned during the appends.
    pub(crate) syncs: u64,
    /// Appends in which there was none.
    pub(crate) appends_without: u64,
}

/// # Errors
/// That there are not as many marks as there must be, or that an engine used io_uring, whose syncs are not seen.
pub(super) fn count(trace: &str, appends: u32) -> Result<SyncCount, String> {
    let mut files = Files::default();
    let mut begun: HashMap<&str, Begun> = HashMap::new();
    // The syncs before the first mark, in each append, and after the last mark.
    let mut syncs = vec![0_u64];
    for line in trace.lines() {
        let Some((thread, text)) = line.trim_start().split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(start) = text.strip_suffix("<unfinished ...>") {
            let covers = files.sync_begins(&Call::read(start));
            begun.insert(thread, Begun { start, covers });
            continue;
        }
        let (whole, covers) = match text.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => match begun.remove(thread) {
                Some(Begun { start, covers }) => (format!("{start}{end}"), covers),
                None => return Err(format!("the trace has an end without a beginning: {line}")),
            },
            None => (text.to_owned(), files.sync_begins(&Call::read(text))),
        };
        let call = Call::read(&whole);
        match call.name {
            "io_uring_enter" => return Err("it uses io_uring, whose syncs strace does not see".to_owned()),
            "openat" if call.arguments.contains(&format!("/{MARK}\"")) => syncs.push(0),
            _ if files.returned(&call, covers) => *syncs.last_mut().expect("one was there at first") += 1,
            _ => {}
        }
    }
    let marks = syncs.len() - 1;
    if marks != appends as usize + 1 {
        return Err(format!("the trace has {marks} marks for {appends} appends"));
    }
    let within = &syncs[1..marks];
    let appends_without = within.iter().filter(|&&syncs| syncs == 0).count() as u64;
    Ok(SyncCount { syncs: within.iter().sum(), appends_without })
}

/// A call that another thread's line came between.
struct Begun<'a> {
    start: &'a str,
    covers: bool,
}

struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
    /// Empty while the call has not returned.
    result: &'a str,
}

impl<'a> Call<'a> {
    fn read(text: &'a str) -> Call<'a> {
        let (name, rest) = text.split_once('(').unwrap_or((text, ""));
        // The last one: a path may have such characters, but what a call returned comes after it.
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
        Call { name, arguments, result }
    }

    fn failed(&self) -> bool {
        self.result.is_empty() || self.result.starts_with(['-', '?'])
    }

    /// The descriptor with the path of its file: `3</d/log/1>`.
    fn descriptor(&self) -> &'a str {
        descriptor(self.arguments)
    }

    fn has_flag(&self, flags: &[&str]) -> bool {
        let mut words = self.arguments.split(|byte: char| !(byte.is_ascii_alphanumeric() || byte == '_'));
        words.any(|word| flags.contains(&word))
    }
}

fn descriptor(text: &str) -> &str {
    text.split_inclusive('>').next().unwrap_or(text)
}

fn path(descriptor: &str) -> &str {
    descriptor.split_once('<').map_or("", |(_, path)| path.trim_end_matches('>'))
}

/// What is known of the files, by their paths.
#[derive(Default)]
struct Files {
    /// Written, and not yet synced.
    unsynced: HashSet<String>,
    /// Mapped to be written, which strace does not see.
    mapped: HashSet<String>,
    /// Descriptors whose writes are syncs.
    synchronous: HashSet<String>,
}

impl Files {
    /// Whether this is a sync that covers data if it succeeds.
    fn sync_begins(&mut self, call: &Call<'_>) -> bool {
        match call.name {
            "fsync" | "fdatasync" => {
                let path = path(call.descriptor());
                self.unsynced.remove(path) || self.mapped.contains(path)
            }
            "msync" => call.has_flag(&["MS_SYNC"]),
            "sync" | "syncfs" => {
                let covers = !self.unsynced.is_empty() || !self.mapped.is_empty();
                self.unsynced.clear();
                covers
            }
            _ => false,
        }
    }

    /// Whether the call, which has returned, was a sync that covers data.
    fn returned(&mut self, call: &Call<'_>, covers: bool) -> bool {
        if call.failed() {
            return false;
        }
        match call.name {
            "openat" => {
                let opened = descriptor(call.result);
                if call.has_flag(&["O_SYNC", "O_DSYNC"]) {
                    self.synchronous.insert(opened.to_owned());
                } else {
                    self.synchronous.remove(opened);
                }
                false
            }
            "mmap"
                if call.has_flag(&["PROT_WRITE"])
                    && call.has_flag(&["MAP_SHARED", "MAP_SHARED_VALIDATE"]) =>
            {
                let mapped = call.arguments.split(", ").nth(4).map(path);
                self.mapped.extend(mapped.filter(|path| !path.is_empty()).map(str::to_owned));
                false
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => {
                let written = call.descriptor();
                let syncs = self.synchronous.contains(written) || call.has_flag(&["RWF_SYNC", "RWF_DSYNC"]);
                if !syncs {
                    self.unsynced.insert(path(written).to_owned());
                }
                syncs
            }
            _ => covers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENED: &str =
        r#"7  openat(AT_FDCWD</>, "/d/compare-mark", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file)"#;

    /// Each append is some lines, between marks.
    fn counted(appends: &[&[&str]]) -> Result<SyncCount, String> {
        let mut lines = vec![r#"7  openat(AT_FDCWD</>, "/d/1", O_RDWR|O_CREAT|O_CLOEXEC, 0666) = 3</d/1>"#];
        for append in appends {
            lines.push(OPENED);
            lines.extend_from_slice(append);
        }
        lines.push(OPENED);
        count(&lines.join("\n"), u32::try_from(appends.len()).unwrap())
    }

    const WRITE: &str = r#"7  pwrite64(3</d/1>, ""..., 256, 0) = 256"#;
    const SYNC: &str = "7  fdatasync(3</d/1>)   = 0";

    #[track_caller]
    fn assert_counted(appends: &[&[&str]], syncs: u64, appends_without: u64) {
        assert_eq!(counted(appends), Ok(SyncCount { syncs, appends_without }));
    }

    #[test]
    fn a_sync_counts_for_the_append_that_it_returned_in() {
        assert_counted(&[&[WRITE, SYNC], &[WRITE, SYNC], &[WRITE]], 2, 1);
    }

    #[test]
    fn a_sync_of_nothing_does_not_count() {
        assert_counted(&[&[SYNC], &[WRITE, SYNC, SYNC]], 1, 1);
        let of_the_directory = "7  fsync(4</d>) = 0";
        assert_counted(&[&[WRITE, of_the_directory]], 0, 1);
    }

    #[test]
    fn a_sync_that_failed_does_not_count() {
        assert_counted(&[&[WRITE, "7  fdatasync(3</d/1>) = -1 EIO (Input/output error)"]], 0, 1);
    }

    #[test]
    fn a_sync_that_began_before_the_write_does_not_count() {
        let (begins, ends) = ("8  fdatasync(3</d/1> <unfinished ...>", "8  <... fdatasync resumed>)  = 0");
        assert_counted(&[&[begins, WRITE, ends]], 0, 1);
        assert_counted(&[&[WRITE, begins, WRITE, ends, SYNC]], 2, 0);
    }

    #[test]
    fn a_write_counts_when_it_has_returned() {
        let (begins, ends) =
            (r#"8  write(3</d/1>, ""..., 32 <unfinished ...>"#, "8  <... write resumed>)            = 32");
        assert_counted(&[&[begins, SYNC, ends], &[SYNC]], 1, 1);
    }

    #[test]
    fn a_write_through_a_synchronous_descriptor_is_a_sync() {
        for flag in ["O_SYNC", "O_DSYNC"] {
            let open = format!(r#"7  openat(AT_FDCWD</>, "/d/1", O_RDWR|{flag}|O_CLOEXEC) = 5</d/1>"#);
            let write = r#"7  write(5</d/1>, ""..., 32)       = 32"#;
            assert_counted(&[&[&open, write], &[write], &[WRITE]], 2, 1);
        }
    }

    #[test]
    fn a_write_with_a_flag_is_a_sync() {
        let write = r#"7  pwritev2(3</d/1>, [{iov_base=""..., iov_len=32}], 1, 0, RWF_DSYNC) = 32"#;
        assert_counted(&[&[write]], 1, 0);
    }

    #[test]
    fn what_is_mapped_to_be_written_may_always_have_something_to_sync() {
        let map = "7  mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</d/1>, 0) = 0x7f0000000000";
        assert_counted(&[&[map, SYNC], &["7  msync(0x7f0000000000, 4096, MS_SYNC) = 0"]], 2, 0);
        assert_counted(&[&["7  msync(0x7f0000000000, 4096, MS_ASYNC) = 0"]], 0, 1);
        let read = "7  mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</d/1>, 0) = 0x7f0000000000";
        assert_counted(&[&[read, SYNC]], 0, 1);
    }

    #[test]
    fn what_cannot_be_counted_is_an_error() {
        let ring = "7  io_uring_enter(6<anon_inode:[io_uring]>, 1, 1, IORING_ENTER_GETEVENTS, NULL, 8) = 1";
        assert!(counted(&[&[ring]]).unwrap_err().contains("io_uring"));
        assert_eq!(count(OPENED, 1).unwrap_err(), "the trace has 1 marks for 1 appends");
        assert!(counted(&[&["8  <... fsync resumed>) = 0"]]).unwrap_err().contains("without a beginning"));
    }
}
