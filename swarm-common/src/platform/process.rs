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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{Watch, Woken};
    use std::os::fd::AsFd;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    /// A process that sleeps, killed and reaped when it is dropped.
    struct Sleeper(Child);

    impl Sleeper {
        fn new() -> Sleeper {
            Sleeper(Command::new("sleep").arg("60").spawn().expect("a process"))
        }

        fn process(&self) -> Process {
            Process::of(self.0.id()).expect("told").expect("alive")
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_known_again_and_gone_once_it_has_ended_reaped_or_not() {
        let mut sleeper = Sleeper::new();
        let process = sleeper.process();
        assert_eq!(Process::of(process.pid).expect("told").as_ref(), Some(&process));
        assert_eq!(process.life(), Life::Alive);
        sleeper.0.kill().expect("killed");
        let since = Instant::now();
        while process.life() == Life::Alive {
            assert!(since.elapsed() < Duration::from_secs(20), "it was killed");
            std::thread::yield_now();
        }
        assert_eq!(process.life(), Life::Gone, "a zombie");
        assert_eq!(Process::of(process.pid).expect("told"), None);
        sleeper.0.wait().expect("reaped");
        assert_eq!(process.life(), Life::Gone);
        assert!(process.end().is_none());
    }

    #[test]
    fn another_process_with_its_pid_is_not_taken_for_it_nor_one_of_another_namespace() {
        let own = Process::own().expect("told");
        assert_eq!((own.pid, own.life()), (std::process::id(), Life::Alive));
        let earlier = Process { start: "1".into(), ..own.clone() };
        assert_eq!(earlier.life(), Life::Gone);
        assert!(earlier.end().is_none(), "nobody waits for the wrong one");
        let elsewhere = Process { space: Some("1".into()), ..own.clone() };
        assert_eq!(elsewhere.life(), Life::Unknown);
        assert!(elsewhere.end().is_none());
        assert_eq!(own.space.is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn what_is_no_pid_is_no_process() {
        for pid in [0, u32::MAX, i32::MAX as u32, i32::MAX as u32 + 1] {
            assert_eq!(Process::of(pid).expect("told"), None, "{pid}");
        }
    }

    #[test]
    fn a_wait_without_output_ends_with_the_process_and_no_sooner() {
        let mut sleeper = Sleeper::new();
        let Some(end) = sleeper.process().end() else { return };
        let dir = tempfile::tempdir().expect("a directory");
        let mut watch = Watch::new(&[dir.path()]);
        assert_eq!(watch.wait_or_end(None, Some(end.as_fd()), Some(Duration::ZERO)), Ok(Woken::TimedOut));
        std::fs::write(dir.path().join("a"), "").expect("written");
        assert_eq!(watch.wait_or_end(None, Some(end.as_fd()), LONG), Ok(Woken::Changed));
        sleeper.0.kill().expect("killed");
        let mut woken = std::iter::repeat_with(|| watch.wait_or_end(None, Some(end.as_fd()), LONG));
        assert_eq!(woken.find(|woken| *woken != Ok(Woken::Changed)), Some(Ok(Woken::Ended)));
        std::fs::write(dir.path().join("b"), "").expect("written");
        assert_eq!(watch.wait_or_end(None, Some(end.as_fd()), LONG), Ok(Woken::Ended), "told before changes, as long as it is asked for");
        assert_eq!(watch.wait_or_end(None, None, LONG), Ok(Woken::Changed), "which are not lost");
    }
}
