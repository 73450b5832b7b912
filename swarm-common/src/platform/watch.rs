//! Sleeping until files change, the time is out, or the reader of our output is gone.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::system::{Changes, Mark};
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
    /// The system's notifications, or why there are none.
    changes: Result<Changes, String>,
}

impl Watch {
    /// Watches files, and directories with what is created, written, renamed or removed in them. For a path that is not there its
    /// directory is watched.
    pub fn new(dirs_and_files: &[&Path]) -> Watch {
        Watch { changes: Changes::of(dirs_and_files) }
    }

    /// Why it looks every 100 ms instead of being told, if it does.
    pub fn polling(&self) -> Option<&str> {
        self.changes.as_ref().err().map(String::as_str)
    }

    /// Watches the names that come and go in a directory as well, not what is written to its files. Once more is no more.
    pub fn add_names(&mut self, dir: &Path) {
        if let Ok(changes) = &self.changes
            && let Err(why) = changes.add_names(dir)
        {
            self.changes = Err(why);
        }
    }

    /// Watches what is written to an open file as well, whatever its name is by now; `path` is for words. Nothing where it polls.
    pub fn add_file(&mut self, file: &File, path: &Path) -> Option<Mark> {
        match self.changes.as_ref().ok()?.add_file(file, path) {
            Ok(mark) => Some(mark),
            Err(why) => {
                self.changes = Err(why);
                None
            }
        }
    }

    /// Watches a file no more. A file that was added twice has one mark.
    pub fn forget(&mut self, mark: Mark) {
        if let Ok(changes) = &self.changes {
            changes.forget(mark);
        }
    }

    /// Polls from now on, for this reason: the system does not tell what it should.
    pub fn distrust(&mut self, why: String) {
        self.changes = Err(why);
    }

    /// Sleeps until something changed, the reader of `output` is gone, or the time is out. A signal that is handled wakes it too, as
    /// [`Woken::Changed`].
    ///
    /// # Errors
    /// Status 3 when poll(2) or read(2) fail.
    pub fn wait(&mut self, output: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<Woken, Failure> {
        let limit = match &self.changes {
            Ok(_) => timeout,
            Err(_) => Some(timeout.map_or(POLL_EVERY, |timeout| timeout.min(POLL_EVERY))),
        };
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            // Rounded up: to wake a little early would be a round more for nothing.
            let left = until.map(|until| until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
            let left = left.map_or(PollTimeout::NONE, |left_ms| PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX));
            // No events asked for: an error or a hang-up is always told.
            let output = PollFd::new(output, PollFlags::empty());
            let woken = match &self.changes {
                Ok(changes) => {
                    let mut fds = [output, PollFd::new(changes.fd(), PollFlags::POLLIN)];
                    poll(&mut fds, left).map(|_| fds.map(|fd| fd.any().unwrap_or(true)))
                }
                Err(_) => {
                    let mut fds = [output];
                    poll(&mut fds, left).map(|_| [fds[0].any().unwrap_or(true), false])
                }
            };
            match woken {
                Ok([true, _]) => return Ok(Woken::ReaderGone),
                Ok([_, true]) => {
                    if let Ok(changes) = &mut self.changes {
                        changes.drain().map_err(|error| Failure::io("wait for changes", &error))?;
                    }
                    return Ok(Woken::Changed);
                }
                Ok(_) if until.is_some_and(|until| Instant::now() >= until) => {
                    let is_poll = self.changes.is_err() && timeout.is_none_or(|timeout| timeout > POLL_EVERY);
                    return Ok(if is_poll { Woken::Changed } else { Woken::TimedOut });
                }
                Ok(_) => {}
                Err(Errno::EINTR) => return Ok(Woken::Changed),
                Err(error) => return Err(Failure::io("wait for changes", &error.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{PipeReader, PipeWriter, Write, pipe};
    use std::os::fd::AsFd;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    fn output() -> (PipeReader, PipeWriter) {
        pipe().expect("a pipe")
    }

    #[test]
    fn what_changed_before_the_wait_is_told_by_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (_reader, writer) = output();
        let mut watch = Watch::new(&[dir.path()]);
        let mut file = fs::File::create(dir.path().join("a")).expect("created");
        assert_eq!(watch.wait(writer.as_fd(), LONG), Ok(Woken::Changed));
        if watch.polling().is_none() {
            assert_eq!(watch.wait(writer.as_fd(), Some(Duration::ZERO)), Ok(Woken::TimedOut), "told once");
        }
        file.write_all(b"x").expect("written");
        assert_eq!(watch.wait(writer.as_fd(), LONG), Ok(Woken::Changed));
        fs::rename(dir.path().join("a"), dir.path().join("b")).expect("renamed");
        assert_eq!(watch.wait(writer.as_fd(), LONG), Ok(Woken::Changed));
        fs::remove_file(dir.path().join("b")).expect("removed");
        assert_eq!(watch.wait(writer.as_fd(), LONG), Ok(Woken::Changed));
    }

    #[test]
    fn a_thousand_changes_are_one_wake() {
        let dir = tempfile::tempdir().expect("a directory");
        let (_reader, writer) = output();
        let mut watch = Watch::new(&[dir.path()]);
        for n in 0..1000 {
            fs::write(dir.path().join(format!("a rather long name, so that many reads are needed {n}")), b"").expect("written");
        }
        assert_eq!(watch.wait(writer.as_fd(), LONG), Ok(Woken::Changed));
        if watch.polling().is_none() {
            assert_eq!(watch.wait(writer.as_fd(), Some(Duration::ZERO)), Ok(Woken::TimedOut));
        }
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_seen_when_it_comes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (_reader, writer) = output();
        let path = dir.path().join("later");
        let mut watch = Watch::new(&[&path]);
        fs::write(&path, b"x").expect("written");
        assert_eq!(watch.wait(writer.as_fd(), LONG), Ok(Woken::Changed));
    }

    #[test]
    fn a_reader_that_leaves_wakes_the_idle_writer_told_or_polling() {
        let dir = tempfile::tempdir().expect("a directory");
        for mut watch in [Watch::new(&[dir.path()]), Watch { changes: Err("to test it".into()) }] {
            let (reader, writer) = output();
            let leaving = std::thread::spawn(move || drop(reader));
            let woken = std::iter::repeat_with(|| watch.wait(writer.as_fd(), None)).find(|woken| *woken != Ok(Woken::Changed));
            assert_eq!(woken, Some(Ok(Woken::ReaderGone)));
            leaving.join().expect("joined");
        }
    }

    #[test]
    fn polling_looks_again_after_a_while_and_keeps_a_shorter_timeout() {
        let (_reader, writer) = output();
        let mut watch = Watch { changes: Err("to test it".into()) };
        assert_eq!(watch.wait(writer.as_fd(), None), Ok(Woken::Changed));
        assert_eq!(watch.wait(writer.as_fd(), Some(Duration::from_millis(2))), Ok(Woken::TimedOut));
        assert!(watch.polling().is_some());
    }

    #[test]
    fn an_open_file_is_watched_under_every_name_and_its_directory_for_names_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (_reader, writer) = output();
        let path = dir.path().join("a");
        let mut file = fs::File::create(&path).expect("created");
        let mut other = fs::File::create(dir.path().join("other")).expect("created");
        let mut watch = Watch::new(&[]);
        watch.add_names(dir.path());
        let mark = watch.add_file(&file, &path);
        if watch.polling().is_some() {
            return;
        }
        let told = |watch: &mut Watch| watch.wait(writer.as_fd(), Some(Duration::ZERO)).expect("waited");
        other.write_all(b"x").expect("written");
        assert_eq!(told(&mut watch), Woken::TimedOut, "another file of the directory");
        fs::rename(&path, dir.path().join("b")).expect("renamed");
        assert_eq!(told(&mut watch), Woken::Changed);
        file.write_all(b"x").expect("written");
        assert_eq!(told(&mut watch), Woken::Changed);
        fs::remove_file(dir.path().join("b")).expect("removed");
        assert_eq!(told(&mut watch), Woken::Changed);
        file.write_all(b"x").expect("written");
        assert_eq!(told(&mut watch), Woken::Changed);
        watch.forget(mark.expect("a mark"));
        let _ = told(&mut watch);
        file.write_all(b"x").expect("written");
        assert_eq!(told(&mut watch), Woken::TimedOut, "forgotten");
        watch.distrust("to test it".into());
        assert_eq!(watch.polling(), Some("to test it"));
        assert!(watch.add_file(&file, &path).is_none());
    }

    #[test]
    fn a_directory_nobody_can_watch_is_polled_and_says_why() {
        let dir = tempfile::tempdir().expect("a directory");
        let watch = Watch::new(&[&dir.path().join("not/there")]);
        assert!(watch.polling().is_some_and(|why| why.contains("not cannot be watched")), "{:?}", watch.polling());
    }
}
