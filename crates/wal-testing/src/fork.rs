//! A fork of the process, for tests of what the child may do with what it has inherited.

#![allow(clippy::exit, reason = "a forked child may not return into the harness of its parent")]

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A child that hangs is ended by the system after so many seconds.
const LIMIT_SECONDS: u32 = 20;

/// A forked child that runs.
#[derive(Debug)]
#[must_use = "only a wait tells whether the child succeeded"]
pub struct Child(libc::pid_t);

/// Forks, and runs `act` in the child, which ends when `act` does: without destructors, and without a return
/// into the caller. For programs whose other threads hold no lock that `act` takes.
///
/// # Panics
/// When the system has no room for another process.
pub fn in_child(act: impl FnOnce()) -> Child {
    // SAFETY: the child runs on with the calling thread alone. Its memory is a copy, in which a lock that another
    // thread held stays held: that is the caller's duty, and a hang is ended by the alarm.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "cannot fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Child(pid);
    }
    // SAFETY: no pointer is handed over.
    unsafe { libc::alarm(LIMIT_SECONDS) };
    let failed = catch_unwind(AssertUnwindSafe(act)).is_err();
    // SAFETY: ends this process at once; it is a copy, and the parent runs on.
    unsafe { libc::_exit(i32::from(failed)) }
}

impl Child {
    /// Waits for its end.
    ///
    /// # Panics
    /// When it panicked, or hung until it was ended.
    #[track_caller]
    pub fn join(self) {
        let mut status = 0;
        // SAFETY: `status` is a place that lives through the call.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(waited, self.0, "cannot wait for the child: {}", std::io::Error::last_os_error());
        assert!(
            !libc::WIFSIGNALED(status),
            "the child was ended by signal {}: it hung",
            libc::WTERMSIG(status)
        );
        assert_eq!(libc::WEXITSTATUS(status), 0, "the child panicked, see above");
    }
}
