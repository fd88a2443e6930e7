//! What a process uses, as Linux counts it.

use std::{fs, io, path::PathBuf, time::Duration};

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Time on a processor, of all its threads that live.
    pub cpu: Duration,
    /// Memory that is resident, in bytes.
    pub resident: u64,
}

impl Usage {
    /// Reads it for the process `pid`.
    ///
    /// # Errors
    /// What the system says; where there is no `/proc`, that there is none.
    pub fn of(pid: u32) -> io::Result<Self> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let mut cpu = Duration::ZERO;
        for task in fs::read_dir(process.join("task"))? {
            // A thread may end between the listing and the reading.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                cpu += time_on_cpu(&text).ok_or_else(|| unreadable("schedstat"))?;
            }
        }
        let status = fs::read_to_string(process.join("status"))?;
        let resident = resident(&status).ok_or_else(|| unreadable("status"))?;
        Ok(Self { cpu, resident })
    }
}

/// The first of three numbers: nanoseconds on a processor.
fn time_on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn unreadable(file: &str) -> io::Error {
    io::Error::other(format!("cannot understand /proc/PID/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_understood() {
        assert_eq!(time_on_cpu("1500000000 12 3\n"), Some(Duration::from_millis(1500)));
        assert_eq!(time_on_cpu(""), None);
        let status = "Name:\tpogo\nVmPeak:\t  900 kB\nVmRSS:\t     512 kB\n";
        assert_eq!(resident(status), Some(512 * 1024));
        assert_eq!(resident("Name:\tpogo\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu > Duration::ZERO && usage.resident > 100_000, "{usage:?}");
    }
}
