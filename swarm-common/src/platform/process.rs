//! Processes: whether the one that was meant still lives. A pid alone does not say it: it is given again.

use std::io;
use std::os::fd::OwnedFd;

use super::system;

/// A process, named so that another one with its pid is not taken for it. It means nothing after the next boot: keep the boot id with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid, in its own pid namespace.
    pub pid: u32,
    /// When it began: a word to compare, no more.
    pub start: String,
    /// Its pid namespace, where the system has such. In another one its pid is another process's, or nobody's.
    pub space: Option<String>,
}

/// Whether a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Alive,
    /// It has ended; a zombie has, too.
    Gone,
    /// From here nobody can tell: it is in another pid namespace, or `/proc` is missing, or hides it.
    Unknown,
}

impl Process {
    /// The process that has this pid now; `None` when no living one has.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn of(pid: u32) -> io::Result<Option<Process>> {
        let Some(start) = system::process_start(pid)? else { return Ok(None) };
        Ok(Some(Process { pid, start, space: system::process_space()? }))
    }

    /// This process.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn own() -> io::Result<Process> {
        Process::of(std::process::id())?.ok_or_else(|| io::Error::other("this process does not see itself"))
    }

    /// Whether it lives.
    pub fn life(&self) -> Life {
        // First of all: a pid of another namespace names another process here, which proves nothing.
        match system::process_space() {
            Ok(space) if space == self.space => {}
            _ => return Life::Unknown,
        }
        match system::process_start(self.pid) {
            Ok(Some(start)) if start == self.start => Life::Alive,
            Ok(_) => Life::Gone,
            Err(_) => Life::Unknown,
        }
    }

    /// A descriptor that becomes readable when it ends; `None` where the system has no such thing, or the process is gone.
    pub fn end(&self) -> Option<OwnedFd> {
        let end = system::process_end(self.pid)?;
        // Looked at afterwards: the pid may have been given again before the descriptor was had.
        (self.life() == Life::Alive).then_some(end)
    }
}
