//! Linux.

use std::fs::{self, File};
use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Puts a file's bytes on disk. After a failure do not call it again: the kernel reports a lost page once, and then says
/// OK (measured, LESSONS).
///
/// # Errors
/// What fdatasync(2) answers.
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Time since this boot, sleep included. Clock steps do not touch it.
pub fn boottime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// A name that this boot of the machine shares with no other.
///
/// # Errors
/// When `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_string())
}
