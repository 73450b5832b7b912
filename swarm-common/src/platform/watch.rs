//! Sleeping until files change or the reader of our output is gone.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::exit::Failure;

/// Why [`Watch::wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something may have changed: look.
    Changed,
    /// The time is out.
    TimedOut,
    /// Whoever read our output is gone.
    ReaderGone,
}

/// How often is looked where the system does not tell of changes.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// A watch over files and directories. What changes after its creation is told by the next [`Watch::wait`], so create it
/// before reading to the end.
pub struct Watch {
    polling: String,
}

impl Watch {
    /// Watches directories (what is created, written, removed in them) and files.
    pub fn new(_dirs_and_files: &[&Path]) -> Watch {
        Watch { polling: "inotify is not used".into() }
    }

    /// Why it looks every 100 ms instead of being told, if it does.
    pub fn polling(&self) -> Option<&str> {
        Some(&self.polling)
    }

    /// Sleeps until something changed, the reader of `output` is gone, or the time is out.
    ///
    /// # Errors
    /// Status 3 when poll(2) fails.
    pub fn wait(&mut self, output: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<Woken, Failure> {
        let span = timeout.map_or(POLL_EVERY, |timeout| timeout.min(POLL_EVERY));
        let until = Instant::now() + span;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(output, PollFlags::empty())];
            let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, limit) {
                Ok(0) => return Ok(if timeout == Some(span) { Woken::TimedOut } else { Woken::Changed }),
                Ok(_) => return Ok(Woken::ReaderGone),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(Failure::io("wait for changes", &error.into())),
            }
        }
    }
}
