//! macOS.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::time::{ClockId, clock_gettime};

use super::watch::{Drained, NameChange};

/// Not without unsafe code here; who asks renames instead.
pub fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

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

/// When a process began, to the second; `None` when no living one has that pid. proc_pidinfo(3) has no safe binding, hence the command.
///
/// # Errors
/// When it cannot be asked.
pub(super) fn process_start(pid: u32) -> io::Result<Option<String>> {
    let mut ps = Command::new("/bin/ps");
    // The same words for everybody, whatever language and zone he has.
    ps.args(["-o", "stat=", "-o", "lstart=", "-p", &pid.to_string()]).env("LC_ALL", "C").env("TZ", "UTC0");
    let answer = ps.output()?;
    let words = String::from_utf8_lossy(&answer.stdout);
    match words.trim().split_once(char::is_whitespace) {
        Some((state, _)) if state.starts_with('Z') => Ok(None),
        Some((_, start)) => Ok(Some(start.split_whitespace().collect::<Vec<_>>().join(" "))),
        // It ends with 1 where there is no such process, and says nothing.
        None if answer.stderr.is_empty() => Ok(None),
        None => Err(io::Error::other("ps does not tell when a process began")),
    }
}

/// There is one space of pids.
///
/// # Errors
/// None.
pub(super) fn process_space() -> io::Result<Option<String>> {
    Ok(None)
}

/// It would be a kqueue(2), which has no safe binding that poll(2) could wait for.
pub(super) fn process_end(_pid: u32) -> Option<OwnedFd> {
    None
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

    pub fn add_held(&mut self, _path: &Path) -> Result<Option<Mark>, String> {
        match self.0 {}
    }

    pub fn forget(&self, mark: Mark) {
        match mark.0 {}
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub fn drain(&mut self) -> io::Result<Drained> {
        match self.0 {}
    }
}
