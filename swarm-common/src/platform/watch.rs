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
    /// The process has ended; only told to who waits for that.
    Ended,
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

/// What was found when the system's events were taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drained {
    /// There were some.
    pub is_any: bool,
    /// Somebody closed a file that is watched for who holds it.
    pub is_closed: bool,
}

/// A close is told again after so long, then after ten times as long, up to a second: Linux tells of it before it lets go of the lock
/// (`__fput`: fsnotify_close, then locks_remove_file), and whoever closes may lose the processor in between.
const AGAIN_FIRST: Duration = Duration::from_millis(1);
const AGAIN_LAST: Duration = Duration::from_secs(1);

/// How often is looked where the system does not tell of changes.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// A watch over files and directories. What changes after its creation is told by the next [`Watch::wait`], so create it
/// before reading to the end.
pub struct Watch {
    /// The system's notifications, or why there are none.
    changes: Result<Changes, String>,
    /// Changes were taken with the names, and are still to be told.
    is_untold: bool,
    /// When a close is told again, and how long after it was told.
    again: Option<(Instant, Duration)>,
}

impl Watch {
    /// Watches files, and directories with what is created, written, renamed or removed in them. For a path that is not there its
    /// directory is watched.
    pub fn new(dirs_and_files: &[&Path]) -> Watch {
        Watch { changes: Changes::of(dirs_and_files), is_untold: false, again: None }
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
        self.is_untold |= self.drain()?;
        Ok(self.changes.as_mut().map_or_else(|_| Vec::new(), Changes::take_names))
    }

    /// Takes the system's events; false when there were none.
    fn drain(&mut self) -> Result<bool, Failure> {
        let Ok(changes) = &mut self.changes else { return Ok(false) };
        let drained = changes.drain().map_err(|error| Failure::io("wait for changes", &error))?;
        if drained.is_closed {
            self.again = Some((Instant::now() + AGAIN_FIRST, AGAIN_FIRST));
        }
        Ok(drained.is_any)
    }

    /// Watches what is written to an open file as well, whatever its name is by now; `path` is for words. Nothing where it polls.
    pub fn add_file(&mut self, file: &File, path: &Path) -> Option<Mark> {
        let added = self.changes.as_ref().ok()?.add_file(file, path);
        self.kept(added)
    }

    /// Watches a file for who holds it as well: it wakes when a descriptor that could write it is closed, as it is when its process dies,
    /// when it is written, when another file is renamed over it, and when it is removed. A close is told at once and, since the lock may go a
    /// moment later, a few times more within a second. Who looks whether the file is locked opens it for reading, else he wakes himself. A
    /// file that is not there has changed: the next wait says so. Nothing where it polls.
    pub fn add_held(&mut self, path: &Path) -> Option<Mark> {
        let added = self.changes.as_mut().ok()?.add_held(path);
        let mark = self.kept(added)?;
        self.is_untold |= mark.is_none();
        mark
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
        self.wait_or_end(Some(output), None, timeout)
    }

    /// As [`Watch::wait`], or until a process has ended ([`super::Process::end`]), which is told before any change. Without an output there
    /// is no reader to lose.
    ///
    /// # Errors
    /// As [`Watch::wait`].
    pub fn wait_or_end(
        &mut self,
        output: Option<BorrowedFd<'_>>,
        process: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> Result<Woken, Failure> {
        self.wait_or_ends(output, process.as_slice(), timeout)
    }

    /// As [`Watch::wait_or_end`], for many processes: [`Woken::Ended`] when one of them has.
    ///
    /// # Errors
    /// As [`Watch::wait`].
    pub fn wait_or_ends(
        &mut self,
        output: Option<BorrowedFd<'_>>,
        processes: &[BorrowedFd<'_>],
        timeout: Option<Duration>,
    ) -> Result<Woken, Failure> {
        if std::mem::take(&mut self.is_untold) {
            return Ok(Woken::Changed);
        }
        // No events asked for: an error or a hang-up is always told.
        self.wait_for(output.map(|output| PollFd::new(output, PollFlags::empty())), processes, timeout)
    }

    /// As [`Watch::wait`], or until the output has room, which is told before any change: changes that never end must not keep output back.
    ///
    /// # Errors
    /// As [`Watch::wait`].
    pub fn wait_for_room(&mut self, output: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<Woken, Failure> {
        self.wait_for(Some(PollFd::new(output, PollFlags::POLLOUT)), &[], timeout)
    }

    fn wait_for(&mut self, output: Option<PollFd<'_>>, processes: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Woken, Failure> {
        let limit = match &self.changes {
            Ok(_) => timeout,
            Err(_) => Some(timeout.map_or(POLL_EVERY, |timeout| timeout.min(POLL_EVERY))),
        };
        let mut until = limit.and_then(|limit| Instant::now().checked_add(limit));
        if let Some((again, _)) = self.again {
            until = Some(until.map_or(again, |until| until.min(again)));
        }
        loop {
            // Rounded up: to wake a little early would be a round more for nothing.
            let left = until.map(|until| until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
            let left = left.map_or(PollTimeout::NONE, |left_ms| PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX));
            match self.poll(output.clone(), processes, left) {
                Ok([output, ..]) if output == PollFlags::POLLOUT => return Ok(Woken::Room),
                Ok([output, ..]) if !output.is_empty() => return Ok(Woken::ReaderGone),
                Ok([_, process, _]) if !process.is_empty() => return Ok(Woken::Ended),
                Ok([_, _, changes]) if !changes.is_empty() => {
                    self.drain()?;
                    return Ok(Woken::Changed);
                }
                Ok(_) if self.is_again() => return Ok(Woken::Changed),
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

    /// What poll(2) says of the output, of the processes together, and of the changes; nothing of those that are not there.
    fn poll(&self, output: Option<PollFd<'_>>, processes: &[BorrowedFd<'_>], left: PollTimeout) -> nix::Result<[PollFlags; 3]> {
        let for_input = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let changes = self.changes.as_ref().ok().map(|changes| for_input(changes.fd()));
        let (is_output, is_changes) = (output.is_some(), changes.is_some());
        let mut fds: Vec<PollFd<'_>> = output.into_iter().chain(changes).collect();
        fds.extend(processes.iter().map(|&end| for_input(end)));
        poll(&mut fds, left)?;
        let mut told = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::POLLERR));
        let mut next = |is_asked| if is_asked { told.next() } else { None }.unwrap_or(PollFlags::empty());
        let (output, changes) = (next(is_output), next(is_changes));
        Ok([output, told.fold(PollFlags::empty(), PollFlags::union), changes])
    }

    /// Whether it is time to tell of a close again.
    fn is_again(&mut self) -> bool {
        let now = Instant::now();
        let Some((_, after)) = self.again.filter(|&(again, _)| now >= again) else { return false };
        let next = after * 10;
        self.again = (next <= AGAIN_LAST).then(|| (now + next, next));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    use fs2::FileExt;

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
        for mut watch in [Watch::new(&[dir.path()]), Watch { changes: Err("to test it".into()), is_untold: false, again: None }] {
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
        let mut watch = Watch { changes: Err("to test it".into()), is_untold: false, again: None };
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

    /// Whether what happens now is told within that time.
    fn is_told(watch: &mut Watch, within: Option<Duration>, happens: impl FnOnce()) -> bool {
        while watch.wait_or_end(None, None, Some(Duration::ZERO)) == Ok(Woken::Changed) {}
        watch.again = None;
        happens();
        watch.wait_or_end(None, None, within) == Ok(Woken::Changed)
    }

    #[test]
    fn a_held_file_wakes_when_it_is_let_go_written_replaced_or_removed_and_not_when_it_is_looked_at() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("held");
        let hold = || fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).expect("opened");
        let added = |path: &Path| {
            let mut watch = Watch::new(&[]);
            watch.add_held(path);
            watch
        };
        let none = Some(Duration::ZERO);
        for watch in [|path: &Path| Watch::new(&[path]), added] {
            let mut holder = hold();
            let mut watch = watch(&path);
            if watch.polling().is_some() {
                return;
            }
            assert!(!is_told(&mut watch, none, || drop(fs::read(&path).expect("read"))));
            assert!(is_told(&mut watch, none, || holder.write_all(b"x").expect("written")));
            // Not at once, all of them: a process that another test begins has our descriptors until its exec.
            assert!(is_told(&mut watch, LONG, || drop(hold())), "another's descriptor");
            fs::write(dir.path().join("new"), "").expect("written");
            assert!(is_told(&mut watch, LONG, || fs::rename(dir.path().join("new"), &path).expect("renamed")), "replaced while it is held");
            assert!(is_told(&mut watch, LONG, || drop(holder)), "the one that was watched");
            let holder = hold();
            watch.add_held(&path);
            assert!(is_told(&mut watch, LONG, || fs::remove_file(&path).expect("removed")), "removed while it is held");
            assert!(is_told(&mut watch, LONG, || drop(holder)));
        }
        assert!(is_told(&mut Watch::new(&[dir.path()]), none, || drop(hold())), "created");
        assert!(!is_told(&mut Watch::new(&[dir.path()]), none, || drop(hold())), "a directory is not told who closes files in it");
    }

    #[test]
    fn who_waits_for_a_lock_gets_it_when_its_holder_is_killed() {
        const TEST: &str = "platform::watch::tests::who_waits_for_a_lock_gets_it_when_its_holder_is_killed";
        const HELD: &str = "SWARM_TEST_HELD";
        if let Some(path) = std::env::var_os(HELD) {
            // The holder, in a process of its own.
            let file = fs::OpenOptions::new().append(true).open(path).expect("opened");
            file.lock_exclusive().expect("locked");
            println!("held");
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        fs::write(&path, "").expect("written");
        let mut holder = Command::new(std::env::current_exe().expect("this binary"));
        holder.args([TEST, "--exact", "--nocapture"]).env(HELD, &path).stdout(Stdio::piped());
        let mut holder = holder.spawn().expect("a process");
        let said = BufReader::new(holder.stdout.take().expect("piped"))
            .lines()
            .find(|line| line.as_ref().is_ok_and(|line| line.ends_with("held")));
        assert!(said.is_some());
        let mut watch = Watch::new(&[]);
        watch.add_held(&path);
        let file = fs::File::open(&path).expect("opened for reading");
        assert!(file.try_lock_exclusive().is_err(), "it is held");
        assert_eq!(watch.wait_or_end(None, None, Some(Duration::ZERO)), Ok(Woken::TimedOut));
        holder.kill().expect("killed");
        while file.try_lock_exclusive().is_err() {
            assert_eq!(watch.wait_or_end(None, None, LONG), Ok(Woken::Changed));
        }
        holder.wait().expect("reaped");
    }

    #[test]
    fn a_close_is_told_again_for_the_lock_may_go_a_moment_later() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("held");
        let holder = fs::File::create(&path).expect("created");
        let mut watch = Watch::new(&[]);
        if watch.add_held(&path).is_none() {
            return;
        }
        drop(holder);
        let since = Instant::now();
        let told: Vec<_> = std::iter::repeat_with(|| watch.wait_or_end(None, None, Some(2 * AGAIN_LAST)))
            .take_while(|woken| *woken != Ok(Woken::TimedOut))
            .collect();
        assert_eq!(told, [const { Ok(Woken::Changed) }; 5]);
        assert!(since.elapsed() >= AGAIN_LAST);
    }

    #[test]
    fn a_file_that_went_before_it_was_watched_is_a_change() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut watch = Watch::new(&[]);
        assert!(watch.add_held(&dir.path().join("gone")).is_none());
        assert_eq!(watch.wait_or_end(None, None, LONG), Ok(Woken::Changed));
        assert_eq!(watch.wait_or_end(None, None, Some(Duration::ZERO)), Ok(Woken::TimedOut));
    }
}
