//! On what it was measured: a figure without it cannot be compared with anything.

use std::fs::{canonicalize, read_to_string};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::system::{sysinfo, uname};

/// The facts of a run.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    /// How that is mounted; without barriers, for example, a sync promises nothing.
    pub(crate) mount_options: String,
    pub(crate) build: &'static str,
    /// Before the run, over the last minute: what else the machine had to do.
    pub(crate) load_average: f64,
}

const UNKNOWN: &str = "unknown";

/// The kernel counts loads in parts of 65,536; see sysinfo(2).
const LOAD_UNIT: f64 = (1 << 16) as f64;

impl Machine {
    /// The facts as far as they can be found out; what cannot is `unknown`.
    fn look(directory: &Path) -> Machine {
        let mount = mount_of(directory).unwrap_or_else(|| (UNKNOWN.to_owned(), UNKNOWN.to_owned()));
        let uname = uname();
        let system = [uname.sysname(), uname.release(), uname.machine()].map(|part| part.to_string_lossy());
        Machine {
            date: today().unwrap_or_else(|| UNKNOWN.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            processor: processor().unwrap_or_else(|| UNKNOWN.to_owned()),
            kernel: system.join(" "),
            file_system: mount.0,
            mount_options: mount.1,
            build: if cfg!(debug_assertions) {
                "without optimisation: the figures mean little"
            } else {
                "release"
            },
            load_average: sysinfo().loads[0] as f64 / LOAD_UNIT,
        }
    }

    /// As [`Machine::look`].
    ///
    /// # Errors
    /// That the directory is in memory.
    pub(crate) fn with_disk(directory: &Path) -> Result<Machine, String> {
        let machine = Machine::look(directory);
        if machine.is_in_memory() {
            return Err(format!(
                "{} is in memory, where a sync does nothing: give --dir",
                directory.display()
            ));
        }
        Ok(machine)
    }

    /// Whether the files are in memory, where a sync does nothing.
    fn is_in_memory(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }
}

fn today() -> Option<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let (year, month, day) = civil(since.as_secs() / (24 * 60 * 60));
    Some(format!("{year}-{month:02}-{day:02}"))
}

/// Year, month and day from the days since 1970-01-01. As `civil_from_days` in Howard Hinnant's "chrono-Compatible
/// Low-Level Date Algorithms", without the years in front of 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years begin in March, so that the day that leap years add is the last of a year; eras have 400 of them.
    let day = days + 719_468;
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_month)
}

fn processor() -> Option<String> {
    let info = read_to_string("/proc/cpuinfo").ok()?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'))?;
    Some(model.1.trim().to_owned())
}

/// The kind of the file system that `directory` lies on, and its options.
fn mount_of(directory: &Path) -> Option<(String, String)> {
    let directory = canonicalize(directory).ok()?;
    mount_in(&read_to_string("/proc/self/mountinfo").ok()?, &directory)
}

/// In a table as in proc_pid_mountinfo(5): the mount with the longest mount point above `directory`, and of several at
/// one point the last.
fn mount_in(table: &str, directory: &Path) -> Option<(String, String)> {
    let mounts = table.lines().filter_map(|line| {
        let (own, shared) = line.split_once(" - ")?;
        let point = PathBuf::from(own.split(' ').nth(4)?);
        let mut shared = shared.split(' ');
        let (kind, options) = (shared.next()?, shared.nth(1)?);
        directory.starts_with(&point).then(|| (point, kind.to_owned(), options.to_owned()))
    });
    let (_, kind, options) = mounts.max_by_key(|(point, ..)| point.components().count())?;
    Some((kind, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        let dates = [(0, (1970, 1, 1)), (58, (1970, 2, 28)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29))];
        for (days, date) in dates {
            assert_eq!(civil(days), date);
        }
        assert_eq!(civil(20_818), (2026, 12, 31));
    }

    #[test]
    fn the_innermost_mount_counts() {
        let table = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/a rw,nobarrier\n\
                     22 21 0:20 / /data rw - tmpfs tmpfs rw,size=1k\n\
                     23 21 0:21 / /data/disk rw - xfs /dev/b rw,noquota\n";
        let found = |path: &str| mount_in(table, Path::new(path)).unwrap();
        assert_eq!(found("/database"), ("ext4".to_owned(), "rw,nobarrier".to_owned()));
        assert_eq!(found("/data"), ("tmpfs".to_owned(), "rw,size=1k".to_owned()));
        assert_eq!(found("/data/disk/log"), ("xfs".to_owned(), "rw,noquota".to_owned()));
    }
}
