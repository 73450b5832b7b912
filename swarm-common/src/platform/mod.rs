//! What differs from system to system: watching files, syncing to disk, the clock that counts sleep, the boot id, processes, signals. A file
//! a system; everything else in the workspace is the same everywhere.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod macos;
mod process;
mod signals;
mod table;
mod watch;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use macos as system;

pub use process::{Life, Process};
pub use signals::{Caught, Signals};
pub use system::{
    DirMark, Mark, alarm, boot_id, boottime, descriptor, end_with_parent, exchange, file_system, own_program, reserve, stopped, sync_data,
    watch_limits, widen_pipe,
};
pub use table::{Processes, Row};
pub use watch::{Change, NameChange, Watch, Woken};

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// What a path is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// What it is called; a number where it has no well-known name.
    pub name: String,
    /// Other machines may change it too, and then nobody is told here.
    pub is_shared: bool,
}

/// Puts a directory's entries on disk: what was created in it is found again after a power cut.
///
/// # Errors
/// What open(2) or fsync(2) answer.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// From here on a write over the file size limit (`ulimit -f`) is an error like any other. The kernel's way is SIGXFSZ, which ends the
/// process without a word.
pub fn survive_file_size_limit() {
    // Where no handler can be had, it stays the kernel's way.
    let _ = signal_hook::flag::register(nix::sys::signal::Signal::SIGXFSZ as i32, Arc::default());
}

/// From here on children that ended wait to be asked for their status. A caller that ignores SIGCHLD hands that down, and then they vanish.
pub fn keep_ended_children() {
    // Where no handler can be had, it stays as it was.
    let _ = signal_hook::flag::register(nix::sys::signal::Signal::SIGCHLD as i32, Arc::default());
}

/// Refuses a file of so many bytes where a resource limit (`ulimit -f`) would. Asked before a write that shall not stop in the middle: the
/// kernel writes up to the limit, and fallocate(2) does not look at it on every file system.
///
/// # Errors
/// EFBIG.
pub fn check_file_size(bytes: u64) -> io::Result<()> {
    match getrlimit(Resource::RLIMIT_FSIZE) {
        Ok((limit, _)) if bytes > limit => Err(Errno::EFBIG.into()),
        _ => Ok(()),
    }
}
