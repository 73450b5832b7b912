//! Sleeping until files change, the time is out, or the reader of our output is gone.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::system::{Changes, DirMark, Mark};
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
    /// The output takes PIPE_BUF bytes without blocking; only told to who waits for it.
    Room,
}

/// What happened to a name in a watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    /// The directory.
    pub dir: DirMark,
    /// The name; never a directory's.
    pub name: OsString,
    /// What happened.
    pub change: Change,
}

/// What can happen to a name. The two halves of a rename have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new file has it.
    Created,
    /// Its file was renamed.
    MovedFrom(u32),
    /// A file was renamed to it.
    MovedTo(u32),
    /// It was removed.
    Removed,
}

/// How often is looked where the system does not tell of changes.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// A watch over files and directories. What changes after its creation is told by the next [`Watch::wait`], so create it
/// before reading to the end.
pub struct Watch {
    /// The system's notifications, or why there are none.
    changes: Result<Changes, String>,
    /// Changes were taken with the names, and are still to be told.
    is_untold: bool,
}

impl Watch {
    /// Watches files, and directories with what is created, written, renamed or removed in them. For a path that is not there its
    /// directory is watched.
    pub fn new(dirs_and_files: &[&Path]) -> Watch {
        Watch { changes: Changes::of(dirs_and_files), is_untold: false }
    }

    /// Why it looks every 100 ms instead of being told, if it does.
    pub fn polling(&self) -> Option<&str> {
        self.changes.as_ref().err().map(String::as_str)
    }

    /// Watches the names that come and go in a directory as well, not what is written to its files. Once more is no more. Nothing where it
    /// polls.
    pub fn add_names(&mut self, dir: &Path) -> Option<DirMark> {
        let added = self.changes.as_mut().ok()?.add_names(dir);
        self.kept(added)
    }

    /// What happened to names until now, since this was asked last. Nothing where it polls. All else that changed is told by the next
    /// [`Watch::wait`].
    ///
    /// # Errors
    /// Status 3 when read(2) fails.
    pub fn take_names(&mut self) -> Result<Vec<NameChange>, Failure> {
        let Ok(changes) = &mut self.changes else { return Ok(Vec::new()) };
        self.is_untold |= changes.drain().map_err(|error| Failure::io("wait for changes", &error))?;
        Ok(changes.take_names())
    }

    /// Watches what is written to an open file as well, whatever its name is by now; `path` is for words. Nothing where it polls.
    pub fn add_file(&mut self, file: &File, path: &Path) -> Option<Mark> {
        let added = self.changes.as_ref().ok()?.add_file(file, path);
        self.kept(added)
    }

    /// What cannot be watched has to be polled.
    fn kept<M>(&mut self, added: Result<M, String>) -> Option<M> {
        added.map_err(|why| self.changes = Err(why)).ok()
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
        if std::mem::take(&mut self.is_untold) {
            return Ok(Woken::Changed);
        }
        // No events asked for: an error or a hang-up is always told.
        self.wait_for(PollFd::new(output, PollFlags::empty()), timeout)
    }

    /// As [`Watch::wait`], or until the output has room, which is told before any change: changes that never end must not keep output back.
    ///
    /// # Errors
    /// As [`Watch::wait`].
    pub fn wait_for_room(&mut self, output: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<Woken, Failure> {
        self.wait_for(PollFd::new(output, PollFlags::POLLOUT), timeout)
    }

    fn wait_for(&mut self, output: PollFd<'_>, timeout: Option<Duration>) -> Result<Woken, Failure> {
        let limit = match &self.changes {
            Ok(_) => timeout,
            Err(_) => Some(timeout.map_or(POLL_EVERY, |timeout| timeout.min(POLL_EVERY))),
        };
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            // Rounded up: to wake a little early would be a round more for nothing.
            let left = until.map(|until| until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
            let left = left.map_or(PollTimeout::NONE, |left_ms| PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX));
            let output = output.clone();
            let woken = match &self.changes {
                Ok(changes) => {
                    let mut fds = [output, PollFd::new(changes.fd(), PollFlags::POLLIN)];
                    poll(&mut fds, left).map(|_| fds.map(|fd| fd.revents().unwrap_or(PollFlags::POLLERR)))
                }
                Err(_) => {
                    let mut fds = [output];
                    poll(&mut fds, left).map(|_| [fds[0].revents().unwrap_or(PollFlags::POLLERR), PollFlags::empty()])
                }
            };
            match woken.map(|events| events.map(|events| (events, !events.is_empty()))) {
                Ok([(output, true), _]) if output != PollFlags::POLLOUT => return Ok(Woken::ReaderGone),
                Ok([(_, true), _]) => return Ok(Woken::Room),
                Ok([_, (_, true)]) => {
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
        for mut watch in [Watch::new(&[dir.path()]), Watch { changes: Err("to test it".into()), is_untold: false }] {
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
        let mut watch = Watch { changes: Err("to test it".into()), is_untold: false };
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
        let _ = watch.add_names(dir.path());
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
    fn what_happens_to_names_is_told_in_its_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let (_reader, writer) = output();
        let mut watch = Watch::new(&[]);
        let mark = watch.add_names(dir.path());
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "x").expect("written");
        fs::create_dir(at("dir")).expect("created");
        fs::rename(at("a"), at("a rather long name")).expect("renamed");
        fs::remove_file(at("a rather long name")).expect("removed");
        assert_eq!(watch.wait(writer.as_fd(), LONG), Ok(Woken::Changed));
        let Some(mark) = mark else { return };
        let changes = watch.take_names().expect("taken");
        assert!(changes.iter().all(|change| change.dir == mark));
        let told: Vec<_> = changes.iter().map(|told| (told.name.to_str().expect("a name"), told.change)).collect();
        let [("a", Change::Created), ("a", Change::MovedFrom(one)), (long, Change::MovedTo(two)), (gone, Change::Removed)] = told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!((one, long, gone), (two, "a rather long name", "a rather long name"));
        fs::write(at("b"), "x").expect("written");
        assert_eq!(watch.take_names().expect("taken").len(), 1, "what no wait was told of, too");
        assert_eq!(watch.take_names(), Ok(vec![]));
        assert_eq!(watch.wait(writer.as_fd(), Some(Duration::ZERO)), Ok(Woken::Changed), "what was taken with the names is still told");
        assert_eq!(watch.wait(writer.as_fd(), Some(Duration::ZERO)), Ok(Woken::TimedOut));
    }

    #[test]
    fn who_waits_for_room_is_told_of_changes_too_and_of_a_reader_that_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let (reader, mut writer) = output();
        let mut watch = Watch::new(&[dir.path()]);
        assert_eq!(watch.wait_for_room(writer.as_fd(), LONG), Ok(Woken::Room));
        while watch.wait_for_room(writer.as_fd(), Some(Duration::ZERO)) == Ok(Woken::Room) {
            writer.write_all(&[0; 4096]).expect("written");
        }
        fs::write(dir.path().join("a"), "x").expect("written");
        assert_eq!(watch.wait_for_room(writer.as_fd(), LONG), Ok(Woken::Changed));
        drop(reader);
        assert_eq!(watch.wait_for_room(writer.as_fd(), LONG), Ok(Woken::ReaderGone));
    }

    #[test]
    fn a_directory_nobody_can_watch_is_polled_and_says_why() {
        let dir = tempfile::tempdir().expect("a directory");
        let watch = Watch::new(&[&dir.path().join("not/there")]);
        assert!(watch.polling().is_some_and(|why| why.contains("not cannot be watched")), "{:?}", watch.polling());
    }
}
