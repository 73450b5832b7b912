//! What the stream sleeps on: its input, the reader of its output, a time that comes, and the signals that end it. Signals are caught,
//! so that what was read is passed or kept first.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use swarm_common::exit::Failure;
use swarm_common::ndjson;

/// After a signal, so long a reader may take for the next bytes of what it was promised.
const GRACE: Duration = Duration::from_secs(1);

/// A pipe that poll(2) calls writable takes so many without blocking (PIPE_BUF, pipe(7)).
const PIPE_BYTES: usize = 4096;

/// The signals that end the stream.
pub struct Signals {
    /// Readable once one came.
    pipe: UnixStream,
    caught: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches SIGINT, SIGTERM and SIGHUP from now on. One that the caller had ignored (`nohup`) stays ignored. A second one changes
    /// nothing: it must not cut short what the first began.
    ///
    /// # Errors
    /// Status 3 when they cannot be caught.
    pub fn catch() -> Result<Signals, Failure> {
        let failed = |error: io::Error| Failure::io("catch signals", &error);
        let (pipe, sender) = UnixStream::pair().map_err(failed)?;
        let caught = Arc::new(AtomicUsize::new(0));
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if ignored & (1 << (signal - 1)) != 0 {
                continue;
            }
            let number = usize::try_from(signal).unwrap_or(0);
            // The number first: who is woken by the pipe looks at it.
            flag::register_usize(signal, caught.clone(), number).map_err(failed)?;
            low_level::pipe::register(signal, sender.try_clone().map_err(failed)?).map_err(failed)?;
        }
        Ok(Signals { pipe, caught })
    }

    /// The signal that came.
    pub fn caught(&self) -> Option<i32> {
        i32::try_from(self.caught.load(Ordering::Relaxed)).ok().filter(|&signal| signal != 0)
    }

    /// Sleeps until `input`, where there is one, can be read (true), or a signal or the time came (false).
    ///
    /// # Errors
    /// The quiet failure as soon as the reader of `output` is gone.
    pub fn wait(&self, input: Option<BorrowedFd<'_>>, output: BorrowedFd<'_>, time: Option<Duration>) -> Result<bool, Failure> {
        // No events asked for: an error or a hang-up is always told.
        let mut fds = [
            PollFd::new(output, PollFlags::empty()),
            PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN),
            PollFd::new(input.unwrap_or(output), PollFlags::POLLIN),
        ];
        let count = if input.is_some() { 3 } else { 2 };
        match poll(&mut fds[..count], timeout(time)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(error) => return Err(Failure::io("wait for input", &error.into())),
        }
        let [output, _, input] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        if output.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            return Err(ndjson::reader_gone());
        }
        Ok(count == 3 && !input.is_empty())
    }

    /// Sleeps until `output` takes bytes; false when a signal came and it does not within [`GRACE`].
    fn wait_to_write(&self, output: BorrowedFd<'_>) -> io::Result<bool> {
        loop {
            let is_ending = self.caught().is_some();
            let mut fds = [PollFd::new(output, PollFlags::POLLOUT), PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
            let count = if is_ending { 1 } else { 2 };
            match poll(&mut fds[..count], timeout(is_ending.then_some(GRACE))) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            if fds[0].any() == Some(true) {
                return Ok(true);
            }
            if is_ending {
                return Ok(false);
            }
        }
    }
}

/// Whole milliseconds, rounded up: who is woken early would only sleep again.
fn timeout(time: Option<Duration>) -> PollTimeout {
    match time {
        None => PollTimeout::NONE,
        Some(time) => PollTimeout::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX),
    }
}

/// The signals that were ignored when the process began, as a set of bits. Where the system does not say, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Standard output whose reader may be slow: a signal ends the wait for it, which a write(2) that blocks would sleep through.
pub struct Patient {
    to: File,
    is_file: bool,
    signals: Rc<Signals>,
}

impl Patient {
    /// Writes to `to` until one of `signals` comes.
    pub fn new(to: File, signals: Rc<Signals>) -> Patient {
        let is_file = to.metadata().is_ok_and(|meta| meta.is_file());
        Patient { to, is_file, signals }
    }
}

impl AsFd for Patient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.to.as_fd()
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_file {
            return self.to.write(bytes);
        }
        if !self.signals.wait_to_write(self.to.as_fd())? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"));
        }
        self.to.write(&bytes[..bytes.len().min(PIPE_BYTES)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
