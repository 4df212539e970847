//! What the kernel says of a process that is measured.

use std::collections::HashMap;
use std::fs;

/// A line of `/proc/PID/FILE`, in MB.
pub(crate) fn memory(pid: u32, file: &str, line: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let found = text
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .unwrap();
    let kibibytes: u64 = found.split_whitespace().next().unwrap().parse().unwrap();
    megabytes(kibibytes * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The processor time of each thread, in nanoseconds.
pub(crate) fn processor_times(pid: u32) -> HashMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let time = |task: std::io::Result<fs::DirEntry>| {
        let task = task.unwrap();
        // A thread that ends while we look spends nothing any more.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let spent = text.split(' ').next().unwrap().parse().unwrap();
        Some((task.file_name().into_string().unwrap(), spent))
    };
    tasks.filter_map(time).collect()
}
