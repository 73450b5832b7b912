//! macOS.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::time::{ClockId, clock_gettime};

use super::watch::NameChange;

/// Puts a file's bytes on disk: with F_FULLFSYNC, since fsync(2) leaves them in the drive's cache here. A network file system that
/// does not know it gets the fsync.
///
/// # Errors
/// What fcntl(2) or fsync(2) answer.
pub fn sync_data(file: &File) -> io::Result<()> {
    match fcntl(file, FcntlArg::F_FULLFSYNC) {
        Err(Errno::ENOTSUP | Errno::EINVAL | Errno::ENOTTY) => Ok(nix::unistd::fsync(file)?),
        done => Ok(done.map(|_| ())?),
    }
}

/// A pipe here grows by itself.
pub fn widen_pipe(_pipe: BorrowedFd<'_>) {}

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

/// Linux takes room on the disk before a batch is written; here a batch that does not fit is taken back.
///
/// # Errors
/// None.
pub fn reserve(_file: &File, _offset: u64, _bytes: u64) -> io::Result<()> {
    Ok(())
}

/// The system tells of no changes: kqueue(2) wants a descriptor for each file, and FSEvents a run loop. So there is never a value of it.
pub(super) struct Changes(Infallible);

/// One watched file.
#[derive(Clone, Copy, Debug)]
pub struct Mark(Infallible);

/// One watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirMark(Infallible);

impl Changes {
    pub fn of(_paths: &[&Path]) -> Result<Changes, String> {
        Err("this system has no inotify".into())
    }

    pub fn add_names(&mut self, _dir: &Path) -> Result<DirMark, String> {
        match self.0 {}
    }

    pub fn take_names(&mut self) -> Vec<NameChange> {
        match self.0 {}
    }

    pub fn add_file(&self, _file: &File, _path: &Path) -> Result<Mark, String> {
        match self.0 {}
    }

    pub fn forget(&self, mark: Mark) {
        match mark.0 {}
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub fn drain(&mut self) -> io::Result<bool> {
        match self.0 {}
    }
}
