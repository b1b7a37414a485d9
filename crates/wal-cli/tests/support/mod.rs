//! Drives the real binary on a log of its own.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// Nothing that is tested here takes longer, on any machine; what does, hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments for every policy.
pub(crate) const POLICIES: [&[&str]; 6] = [
    &["--sync", "none"],
    &["--sync", "immediate"],
    &["--sync", "periodic"],
    &["--sync", "periodic", "--interval", "100us", "--entries", "1"],
    &["--sync", "grouped"],
    &["--sync", "grouped", "--window", "100us"],
];

/// A directory for a log, gone when dropped.
pub(crate) struct Log {
    scratch: TempDir,
    pub(crate) path: PathBuf,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Log {
    /// A path at which there is no log yet.
    pub(crate) fn new() -> Log {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        Log { path: scratch.path().join("log"), scratch }
    }

    /// A closed log of `count` entries `entry 0`, `entry 1`, … in segments of 12 KiB, with their text.
    pub(crate) fn of_many_segments(count: usize) -> (Log, String) {
        let log = Log::new();
        let text = log.append_one_by_one(&["--segment-size", "12KiB", "--sync", "none"], 0..count);
        assert!(log.segments().len() > 4, "{:?}", log.segments());
        (log, text)
    }

    /// Appends lines, each in a frame of its own, closes the log, and returns them.
    pub(crate) fn append_one_by_one(&self, args: &[&str], numbers: Range<usize>) -> String {
        let mut writer = self.writer(args);
        writer.send_one_by_one(numbers.clone());
        assert_eq!(writer.close(), Some(0));
        lines(numbers)
    }

    /// A log whose writer was killed under `none` after `count` entries, `entry 0` and so on, each in a
    /// frame of its own.
    pub(crate) fn killed(count: usize) -> (Log, String) {
        Log::killed_under(&["--sync", "none"], count)
    }

    /// The same under other arguments of `append`.
    pub(crate) fn killed_under(args: &[&str], count: usize) -> (Log, String) {
        let log = Log::new();
        let mut writer = log.writer(args);
        writer.send_one_by_one(0..count);
        writer.kill();
        (log, lines(0..count))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wal"));
        // In the log's parent and with a relative path, so that messages do not depend on the machine.
        command.args(args).args(["-d", "log"]).current_dir(self.scratch.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        run(&mut self.command(args), input)
    }

    pub(crate) fn cat(&self) -> Vec<u8> {
        let ran = self.run(&["cat"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    }

    /// What is in another log, beside this one.
    pub(crate) fn cat_in(&self, name: &str) -> Vec<u8> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wal"));
        command.args(["cat", "-d", name]).current_dir(self.scratch.path());
        let ran = run(&mut command, b"");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    }

    pub(crate) fn info(&self) -> serde_json::Value {
        let ran = self.run(&["info", "-o", "json"]);
        serde_json::from_slice(&ran.stdout).expect("info prints JSON")
    }

    /// Starts `append --progress-acks` and leaves its stdin open.
    pub(crate) fn writer(&self, args: &[&str]) -> Writer {
        let mut command = self.command(&["append", "--progress-acks"]);
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let stdin = child.stdin.take();
        let acks = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Writer { child, stdin, acks }
    }

    /// The segment files, oldest first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.path)
            .expect("the directory is there")
            .map(|entry| entry.expect("a name").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
            .collect();
        files.sort();
        files
    }

    /// Every name, with its bytes and the time of its last change.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        fs::read_dir(&self.path)
            .expect("the directory is there")
            .map(|entry| {
                let path = entry.expect("a name").path();
                let changed = fs::metadata(&path).and_then(|found| found.modified()).expect("a time");
                let bytes = fs::read(&path).expect("bytes");
                (path, (bytes, changed))
            })
            .collect()
    }
}

/// A running `append`.
pub(crate) struct Writer {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    acks: BufReader<ChildStdout>,
}

impl Writer {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).expect("the writer reads");
    }

    pub(crate) fn ack(&mut self) -> u64 {
        let mut line = String::new();
        self.acks.read_line(&mut line).expect("the writer acknowledges");
        line.trim_end().parse().expect("a number")
    }

    /// Sends `entry N` for each number, which must be the next ones, and the next line only once the one
    /// before it is acknowledged: no two share a frame.
    pub(crate) fn send_one_by_one(&mut self, numbers: Range<usize>) {
        for number in numbers {
            self.send(format!("entry {number}\n").as_bytes());
            assert_eq!(self.ack(), number as u64);
        }
    }

    pub(crate) fn kill(mut self) {
        self.kill_and_read();
    }

    /// Kills the writer, and returns what it had acknowledged and nobody had read.
    pub(crate) fn kill_and_read(&mut self) -> Vec<u64> {
        self.child.kill().expect("the writer runs");
        self.child.wait().expect("the writer ends");
        let mut rest = String::new();
        self.acks.read_to_string(&mut rest).expect("acknowledgements are text");
        // The last line may have been cut.
        let whole = &rest[..rest.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().map(|line| line.parse().expect("a number")).collect()
    }

    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("stdin is open")
    }

    pub(crate) fn close(mut self) -> Option<i32> {
        self.stdin = None;
        self.child.wait().expect("the writer ends").code()
    }
}

/// Runs a command to its end; one that hangs fails the test.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let stdout = drain(child.stdout.take().expect("stdout is a pipe"));
    let stderr = drain(child.stderr.take().expect("stderr is a pipe"));
    let input = input.to_vec();
    // A command that refuses to read is not an error of the one who writes.
    let feeder = thread::spawn(move || stdin.write_all(&input).ok());
    let code = wait(&mut child).expect("the command ends, rather than hangs");
    feeder.join().expect("the feeder ends");
    let stderr = String::from_utf8(stderr.join().expect("stderr ends")).expect("messages are text");
    Ran { code, stdout: stdout.join().expect("stdout ends"), stderr }
}

/// The exit code of a child, or `None` when it has not ended within all patience.
pub(crate) fn wait(child: &mut Child) -> Option<Option<i32>> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return Some(status.code());
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("the child runs");
    child.wait().expect("the child ends");
    None
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// `entry N` for each number, a line each.
pub(crate) fn lines(numbers: Range<usize>) -> String {
    numbers.map(|number| format!("entry {number}\n")).collect()
}

/// Flips all bits of the last occurrence of `needle` in `file`, in its first byte.
pub(crate) fn damage(file: &Path, needle: &str) -> usize {
    let mut bytes = fs::read(file).expect("the segment is there");
    let at = bytes
        .windows(needle.len())
        .rposition(|window| window == needle.as_bytes())
        .expect("the payload is in this segment");
    bytes[at] ^= 0xff;
    fs::write(file, bytes).expect("the segment can be written");
    at
}
