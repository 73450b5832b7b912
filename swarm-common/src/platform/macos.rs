//! macOS.

use std::fs::File;
use std::io;
use std::process::Command;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Puts a file's bytes on disk. std uses F_FULLFSYNC here: plain fsync(2) leaves them in the drive's cache.
///
/// # Errors
/// What fcntl(2) answers.
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Time since this boot, sleep included: that is what CLOCK_MONOTONIC counts here.
pub fn boottime() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// A name that this boot of the machine shares with no other. sysctlbyname(3) has no safe binding, hence the command.
///
/// # Errors
/// When it cannot be asked.
pub fn boot_id() -> io::Result<String> {
    let answer = Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output()?;
    let id = String::from_utf8_lossy(&answer.stdout).trim().to_string();
    if id.is_empty() { Err(io::Error::other("sysctl kern.bootsessionuuid says nothing")) } else { Ok(id) }
}
