//! Windows that many processes share: one small file a key in the store's `rate/` directory. Exact: whoever takes holds the
//! `flock` of the key's file from the first look to the last write, and reads the clock under it.
//!
//! Times are CLOCK_BOOTTIME, so a step of the wall clock changes nothing; a new boot begins with empty windows.
//!
//! A file is never renamed. It is removed only by a sweep that holds its lock and found it idle for an hour, its window
//! empty; whoever opened it before and gets the lock after sees that it has no name any more, and opens it anew. So
//! two processes never hold the locks of two files for one key.

mod file;
mod name;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use swarm_common::exit::{self, Failure};
use swarm_common::{files, platform};

use crate::window::{IDLE, Key, Rule, Taken};
use swarm_common::limit::Limit;

pub use name::PLAIN_FIELD;

/// Files that a stream keeps open between two records of one key.
const OPEN_MAX: usize = 64;

/// Touched by a sweep, so that the next one comes an hour later.
const SWEPT: &str = ".swept";

/// What a window answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether so many are within the limit.
    pub taken: Taken,
    /// How many count in the window now, those that were just taken among them.
    pub used: u32,
}

/// Takes `n` at once, or none, from the window that `key` (a sender's id) has under `limit`. `rate_dir` is the store's `rate/`
/// directory. `note` gets words for people: a window's file was damaged.
///
/// # Errors
/// Status 2 when `n` is more than the limit ever allows; 3 when the file cannot be read, written or locked.
pub fn take(rate_dir: &Path, key: &str, limit: &Limit, n: u32, note: &mut dyn FnMut(&str)) -> Result<Answer, Failure> {
    Shared::new(rate_dir.to_path_buf(), PLAIN_FIELD, *limit)?.take(Key::Of(key.as_bytes()), n, note)
}

/// What [`take`] would answer for one more, taking nothing and writing nothing.
///
/// # Errors
/// As [`take`].
pub fn peek(rate_dir: &Path, key: &str, limit: &Limit, note: &mut dyn FnMut(&str)) -> Result<Answer, Failure> {
    Shared::new(rate_dir.to_path_buf(), PLAIN_FIELD, *limit)?.peek(Key::Of(key.as_bytes()), note)
}

/// The shared windows of one field under one limit.
pub struct Shared {
    dir: PathBuf,
    field: String,
    limit: Limit,
    limit_text: String,
    rule: Rule,
    boot_id: String,
    open: HashMap<String, File>,
}

impl Shared {
    /// The windows in the store's `rate/` directory `dir` of the values of `field`.
    ///
    /// # Errors
    /// Status 3 when the system does not say which boot this is.
    pub fn new(dir: PathBuf, field: &str, limit: Limit) -> Result<Shared, Failure> {
        let boot_id = platform::boot_id().map_err(|error| Failure::io("learn the boot id, which shared windows need", &error))?;
        Ok(Shared {
            dir,
            field: field.to_string(),
            limit,
            limit_text: limit.to_string(),
            rule: Rule::of(&limit),
            boot_id,
            open: HashMap::new(),
        })
    }

    /// Takes `n` at once, or none.
    ///
    /// # Errors
    /// As [`take`].
    pub fn take(&mut self, key: Key<'_>, n: u32, note: &mut dyn FnMut(&str)) -> Result<Answer, Failure> {
        loop {
            if let Some(answer) = self.take_under(key, n, note, |file| files::lock_file(file, true).map(|()| true))? {
                return Ok(answer);
            }
        }
    }

    /// As [`Shared::take`], but gives up waiting for another process that has the window when `is_ended`: then `None`, and nothing is taken.
    ///
    /// # Errors
    /// As [`take`].
    pub fn take_until(
        &mut self,
        key: Key<'_>,
        n: u32,
        note: &mut dyn FnMut(&str),
        is_ended: &dyn Fn() -> bool,
    ) -> Result<Option<Answer>, Failure> {
        self.take_under(key, n, note, |file| files::lock_file_until(file, is_ended))
    }

    /// Takes under a lock; `None` where `lock` did not get it.
    fn take_under(
        &mut self,
        key: Key<'_>,
        n: u32,
        note: &mut dyn FnMut(&str),
        lock: impl Fn(&File) -> io::Result<bool>,
    ) -> Result<Option<Answer>, Failure> {
        if n == 0 || n > self.limit.count() {
            return Err(Failure::wrong(format!("{n} at once can never be within a limit of {}", self.limit)));
        }
        let name = name::file_name(&self.field, key, &self.limit);
        loop {
            let file = match self.open.remove(&name) {
                Some(file) => file,
                None => self.open(&name)?,
            };
            let locked = lock(&file).and_then(|is_locked| Ok(is_locked.then_some(file.metadata()?)));
            let Some(meta) = locked.map_err(|error| self.failed("lock", &name, &error))? else { return Ok(None) };
            if meta.nlink() == 0 {
                // Swept away between our opening and our locking it.
                continue;
            }
            let answer = self.ask(&file, &name, key, n, true, note);
            // Closing would unlock too, but the file stays open for the next record.
            let unlocked = files::unlock_file(&file).map_err(|error| self.failed("unlock", &name, &error));
            if self.open.len() >= OPEN_MAX {
                self.open.clear();
            }
            self.open.insert(name, file);
            return unlocked.and(answer.map(Some));
        }
    }

    /// What a take of one would answer. Takes nothing, and creates nothing.
    ///
    /// # Errors
    /// As [`take`].
    pub fn peek(&self, key: Key<'_>, note: &mut dyn FnMut(&str)) -> Result<Answer, Failure> {
        let name = name::file_name(&self.field, key, &self.limit);
        let file = files::open_if_there(&self.dir.join(&name)).map_err(|error| self.failed("read", &name, &error))?;
        let Some(file) = file else { return Ok(Answer { taken: Taken::Yes, used: 0 }) };
        files::lock_file(&file, false).map_err(|error| self.failed("lock", &name, &error))?;
        self.ask(&file, &name, key, 1, false, note)
    }

    fn ask(&self, file: &File, name: &str, key: Key<'_>, n: u32, commit: bool, note: &mut dyn FnMut(&str)) -> Result<Answer, Failure> {
        let key = match key {
            Key::All => "(all)".into(),
            Key::Missing => "(none)".into(),
            Key::Of(value) => String::from_utf8_lossy(value),
        };
        // The clock is read under the lock, so that the times in a file are in order.
        let terms = file::Terms { rule: &self.rule, limit: &self.limit_text, boot_id: &self.boot_id, key: &key, now_us: boottime_us() };
        let (answer, damage) = file::ask(file, &terms, n, commit).map_err(|error| self.failed("use", name, &error))?;
        if let Some(why) = damage {
            note(&format!(
                "{} is damaged ({why}): it counts as a full window for {}; remove it to begin with an empty one",
                self.dir.join(name).display(),
                self.limit_text
            ));
        }
        Ok(answer)
    }

    fn open(&self, name: &str) -> Result<File, Failure> {
        let path = self.dir.join(name);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Who makes a file looks whether others can go: so there are never more than the keys of two hours.
                sweep_if_due(&self.dir);
                files::open_or_create(&path).map_err(|error| self.failed("create", name, &error))
            }
            opened => opened.map_err(|error| self.failed("open", name, &error)),
        }
    }

    fn failed(&self, what: &str, name: &str, error: &io::Error) -> Failure {
        let path = self.dir.join(name);
        Failure::system(format!("cannot {what} the shared window {}: {}", path.display(), exit::reason(error)))
    }
}

/// Time since the boot, sleep included.
pub(crate) fn boottime_us() -> i64 {
    i64::try_from(platform::boottime().as_micros()).unwrap_or(i64::MAX)
}

/// Forgets the keys that were idle for an hour, once an hour. What it cannot do is done the next time: forgetting is housekeeping, and
/// nobody's records wait for it.
fn sweep_if_due(dir: &Path) {
    let swept = dir.join(SWEPT);
    // The wall clock will do here: stepped, it makes a sweep come early or late, and a sweep removes only what is idle by the other clock.
    let is_recent = fs::metadata(&swept)
        .is_ok_and(|meta| meta.modified().is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age < IDLE)));
    // What is no regular file is not waited for: then nobody sweeps here.
    let touch = || files::open_or_create(&swept).and_then(|file| file.set_modified(SystemTime::now()));
    if is_recent || touch().is_err() {
        return;
    }
    if let Ok(boot_id) = platform::boot_id() {
        sweep(dir, &boot_id, boottime_us());
    }
}

fn sweep(dir: &Path, boot_id: &str, now_us: i64) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(limit) = name.to_str().and_then(name::limit_of) else { continue };
        let path = entry.path();
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        // Whoever holds it is using it.
        if files::try_lock_file(&file).unwrap_or(false) && file::is_idle(&file, &limit, boot_id, now_us).unwrap_or(false) {
            // Under the lock. A file that another sweep removed before we locked it has no name, and a new one of the same
            // name is not ours to remove.
            if file.metadata().is_ok_and(|meta| meta.nlink() > 0) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BOOT_ID: &str = "00000000-0000-0000-0000-000000000000";

    fn shared(dir: &Path, limit: &str) -> Shared {
        Shared::new(dir.to_path_buf(), PLAIN_FIELD, Limit::parse(limit).expect("a limit")).expect("a boot id")
    }

    fn quiet(words: &str) {
        panic!("{words}");
    }

    fn is_yes(answer: Result<Answer, Failure>) -> bool {
        answer.expect("answered").taken == Taken::Yes
    }

    #[test]
    fn two_holders_share_one_window_and_two_limits_do_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut a, mut b) = (shared(dir.path(), "2/1h"), shared(dir.path(), "2/1h"));
        let key = Key::Of(b"agent-1");
        assert_eq!(a.peek(key, &mut quiet).map(|answer| answer.used), Ok(0));
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0, "a question creates nothing");
        assert!(is_yes(a.take(key, 1, &mut quiet)) && is_yes(b.take(key, 1, &mut quiet)));
        assert!(!is_yes(a.take(key, 1, &mut quiet)) && !is_yes(b.peek(key, &mut quiet)));
        assert!(is_yes(b.take(Key::Of(b"agent-2"), 1, &mut quiet)));
        assert!(is_yes(shared(dir.path(), "3/1h").take(key, 1, &mut quiet)));
        assert_eq!(b.take(key, 3, &mut quiet).map_err(|failure| failure.exit.status()), Err(2));
        for entry in fs::read_dir(dir.path()).expect("listed").flatten() {
            assert_eq!(entry.metadata().expect("known").mode() & 0o777, 0o600, "{:?}", entry.file_name());
        }
    }

    #[test]
    fn a_damaged_file_is_told_with_the_way_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let limit = Limit::DEFAULT;
        fs::write(dir.path().join("agent-1@10-per-1m"), "garbage").expect("written");
        let mut words = String::new();
        let answer = take(dir.path(), "agent-1", &limit, 1, &mut |told| words.push_str(told)).expect("answered");
        assert_eq!(answer, Answer { taken: Taken::No { retry_after: limit.per() }, used: 10 });
        assert!(words.contains("agent-1@10-per-1m is damaged (its first line is no header)") && words.contains("remove it"), "{words}");
        assert!(!is_yes(peek(dir.path(), "agent-1", &limit, &mut quiet)), "mended, as a full one");
    }

    #[test]
    fn a_window_that_cannot_be_written_is_the_systems_failure() {
        let dir = tempfile::tempdir().expect("a directory");
        let failure = take(&dir.path().join("gone"), "a", &Limit::DEFAULT, 1, &mut quiet).expect_err("no directory");
        assert_eq!(failure.exit.status(), 3);
        assert!(failure.what.contains("gone/a@10-per-1m: No such file"), "{}", failure.what);
    }

    #[test]
    fn a_sweep_removes_what_was_idle_for_an_hour_and_for_its_window_and_not_what_is_held() {
        let dir = tempfile::tempdir().expect("a directory");
        let names = || {
            let mut names: Vec<String> = fs::read_dir(dir.path())
                .expect("listed")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
                .collect();
            names.retain(|name| name != SWEPT);
            names.sort();
            names
        };
        let mut short = shared(dir.path(), "1/1s");
        short.boot_id = BOOT_ID.into();
        let mut long = shared(dir.path(), "1/3h");
        long.boot_id = BOOT_ID.into();
        assert!(is_yes(short.take(Key::Of(b"a"), 1, &mut quiet)) && is_yes(short.take(Key::Of(b"held"), 1, &mut quiet)));
        assert!(is_yes(long.take(Key::Of(b"a"), 1, &mut quiet)));
        fs::write(dir.path().join("somebody's notes"), "x").expect("written");
        fs::write(dir.path().join("bad@1-per-1s"), "x").expect("written");
        let now_us = boottime_us();
        let after = |span: Duration| now_us + i64::try_from(span.as_micros()).expect("short");
        sweep(dir.path(), BOOT_ID, after(IDLE / 2));
        assert_eq!(names().len(), 5);
        let held = File::open(dir.path().join("held@1-per-1s")).expect("opened");
        files::lock_file(&held, true).expect("locked");
        sweep(dir.path(), BOOT_ID, after(2 * IDLE));
        assert_eq!(names(), ["a@1-per-3h", "bad@1-per-1s", "held@1-per-1s", "somebody's notes"]);
        files::unlock_file(&held).expect("unlocked");
        sweep(dir.path(), "another boot", after(Duration::ZERO));
        assert_eq!(names(), ["bad@1-per-1s", "somebody's notes"], "times of another boot say nothing");
        assert!(is_yes(short.take(Key::Of(b"a"), 1, &mut quiet)), "an open file that was swept away is opened anew");
        assert_eq!(names().len(), 3);
    }

    #[test]
    fn making_files_sweeps_once_an_hour() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut old = shared(dir.path(), "1/1s");
        old.boot_id = BOOT_ID.into();
        assert!(is_yes(old.take(Key::Of(b"old"), 1, &mut quiet)));
        let gone = dir.path().join("old@1-per-1s");
        assert!(is_yes(shared(dir.path(), "1/1s").take(Key::Of(b"new"), 1, &mut quiet)));
        assert!(gone.exists(), "swept a moment ago");
        File::options()
            .write(true)
            .open(dir.path().join(SWEPT))
            .and_then(|file| file.set_modified(SystemTime::now() - 2 * IDLE))
            .expect("aged");
        assert!(is_yes(shared(dir.path(), "1/1s").take(Key::Of(b"newer"), 1, &mut quiet)));
        assert!(!gone.exists());
    }

    #[test]
    fn a_pipe_in_the_place_of_the_sweeps_mark_keeps_nobody_waiting() {
        // To open it for writing waited for a reader: every sender that had no window yet hung.
        let dir = tempfile::tempdir().expect("a directory");
        let mark = dir.path().join(SWEPT);
        nix::unistd::mkfifo(&mark, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let aged = nix::sys::time::TimeVal::new(0, 0);
        nix::sys::stat::utimes(&mark, &aged, &aged).expect("aged");
        let (tell, told) = std::sync::mpsc::channel();
        let place = dir.path().to_path_buf();
        std::thread::spawn(move || tell.send(is_yes(take(&place, "new", &Limit::DEFAULT, 1, &mut quiet))));
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(true));
    }

    #[test]
    fn takers_and_sweepers_at_once_never_let_more_than_n_through() {
        let dir = tempfile::tempdir().expect("a directory");
        let limit = Limit::parse("50/1h").expect("a limit");
        let passed: usize = std::thread::scope(|scope| {
            let takers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..100).filter(|_| is_yes(take(dir.path(), "a", &limit, 1, &mut quiet))).count())).collect();
            let boot_id = platform::boot_id().expect("a boot id");
            for _ in 0..50 {
                sweep(dir.path(), &boot_id, boottime_us());
            }
            takers.into_iter().map(|taker| taker.join().expect("joined")).sum()
        });
        assert_eq!(passed, 50);
    }
}
