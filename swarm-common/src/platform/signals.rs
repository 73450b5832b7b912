//! Signals that a program takes when it is ready, instead of being ended by them.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

pub use super::system::Signals;

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Which.
    pub signal: Signal,
    /// A key of the terminal sent it, to all processes of the foreground. Where the system does not tell the sender: it may have been.
    pub is_typed: bool,
}

impl Signals {
    /// Sleeps until a signal waits to be taken, at most so long.
    ///
    /// # Errors
    /// What poll(2) answers.
    pub fn wait(&self, time: Duration) -> io::Result<()> {
        // Rounded up: who is woken early would only sleep again.
        let time = PollTimeout::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.fd(), PollFlags::POLLIN)], time) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
