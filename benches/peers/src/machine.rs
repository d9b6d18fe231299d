//! What the machine itself costs, and what this process takes of it.

use crate::measure::median;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

/// The median of so many writes of 4 KiB, each followed by `fdatasync`, in microseconds.
pub fn sync_micros(directory: &Path, times: usize) -> f64 {
    let path = directory.join("sync");
    let mut file = File::create(&path).expect("the directory can be written");
    let block = [0x5a; 4096];
    let mut once = |_| {
        let start = Instant::now();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&block)).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
        start.elapsed().as_secs_f64() * 1e6
    };
    once(0);
    let figure = median((0..times).map(once));
    fs::remove_file(path).expect("our own file");
    figure
}

/// A line of /proc/self/status in MiB; `None` on a system without it.
fn status(line: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|candidate| candidate.strip_prefix(line))?;
    let kibibytes: f64 = value.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// "resident now / at most so far", in MiB.
pub fn memory() -> String {
    match (status("VmRSS"), status("VmHWM")) {
        (Some(now), Some(most)) => format!("{now:.0} MiB now, {most:.0} MiB at most since the last reset"),
        _ => "not known on this system".to_owned(),
    }
}

/// Starts the "at most" anew, where the system can.
pub fn reset_memory_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

pub fn file_bytes(path: &Path) -> u64 {
    fs::metadata(path).map(|file| file.len()).unwrap_or(0)
}
