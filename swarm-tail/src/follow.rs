//! Files followed by name: through renaming, replacement and truncation. A file that lost its name is read to its end before the one
//! that has it now, also what a slow writer still appends to it for a moment. It decides what to read when; reading is [`Source`]'s.
//!
//! Limits: a file that is gone before it was opened is not printed (renamed over, or removed, faster than we look), and one
//! that was cut and has grown past the old place between two looks is taken for the old one.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use swarm_common::exit::{self, Exit, Failure, say};
use swarm_common::ndjson::{self, Out};
use swarm_common::platform::{Mark, Watch, Woken};

use crate::NAME;
use crate::source::{BLOCK_BYTES, Source, last_lines};

/// A file that lost its name is finished when nothing came for so long. Its successor's lines wait for that.
const QUIET: Duration = Duration::from_millis(100);

/// But no longer than that: its writer may never leave it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A finished file is looked at for so long after it last grew: a writer who is told of a rotation may take seconds to turn to the
/// new file (logrotate's postrotate).
const LINGER: Duration = Duration::from_secs(10);

/// So many files that lost the name are kept open at most, for each name.
const KEPT_MAX: usize = 16;

/// How often is looked while it is not known that the system tells of changes here, or while the file cannot be opened.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows files, beginning at their last `lines` lines (`None`: at their beginning), until nobody reads the output.
///
/// # Errors
/// Status 2 for what cannot be followed; what reading and writing fail with.
pub fn run(names: Vec<OsString>, lines: Option<u64>, mut out: Out) -> Result<Exit, Failure> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut watch = Watch::new(&[]);
    let mut followed = Vec::new();
    for name in names {
        followed.push(Followed::open(name, lines, &mut block, &mut watch)?);
    }
    let (mut is_polling, mut woken) = (false, None);
    loop {
        let mut now = Instant::now();
        while look(&mut followed, now, woken, &mut block, &mut watch, &mut out)? {
            now = Instant::now();
        }
        if let Some(why) = watch.polling().filter(|_| !is_polling) {
            say(NAME, &format!("{why}: looking every 100 ms"));
            is_polling = true;
        }
        let look_at = followed.iter().filter_map(|one| one.look_at(now)).min();
        let timeout = look_at.map(|at| at.saturating_duration_since(now));
        match watch.wait(out.fd(), timeout)? {
            Woken::ReaderGone => return Err(ndjson::reader_gone()),
            other => woken = Some(other),
        }
    }
}

/// Looks once at each name, and hands on a block at most of each. True when there may be more.
fn look(
    followed: &mut [Followed],
    now: Instant,
    woken: Option<Woken>,
    block: &mut [u8],
    watch: &mut Watch,
    out: &mut Out,
) -> Result<bool, Failure> {
    let mut is_more = false;
    for at in 0..followed.len() {
        let one = &mut followed[at];
        // Lines first: nothing shall stand between a line's arrival and its way out.
        let passed = one.pass(now, block, out)?;
        is_more |= passed != Passed::Nothing;
        is_more |= one.notice(now, watch);
        if passed == Passed::Growth && !one.is_told && watch.polling().is_none() {
            // Seen though the time was out: it may have been told in this very moment.
            one.is_told = woken == Some(Woken::Changed) || watch.wait(out.fd(), Some(Duration::ZERO))? == Woken::Changed;
            if !one.is_told {
                watch.distrust(format!("the system does not tell what is written to {}", one.path.display()));
            }
        }
        while let Some(gone) = followed[at].let_go(now) {
            // Two names of one file share its mark.
            if let Some(mark) = gone.mark.filter(|_| !followed.iter().any(|other| other.holds(gone.id))) {
                watch.forget(mark);
            }
        }
    }
    Ok(is_more)
}

/// A name, and the files that have or had it.
struct Followed {
    path: PathBuf,
    /// Oldest first. The last one has the name, unless it was left.
    files: VecDeque<Opened>,
    /// Why the name's file is not open, as it was told.
    trouble: Option<String>,
    /// No change may be told when that is over.
    is_retried: bool,
    /// The system is known to tell what is written here.
    is_told: bool,
}

/// A file that has or had the name.
struct Opened {
    source: Source,
    id: (u64, u64),
    mark: Option<Mark>,
    /// It was read to its end, so what is read next was written since.
    is_caught_up: bool,
    grown_at: Instant,
    /// It lost the name.
    left_at: Option<Instant>,
    /// It lost the name, and its successor has its turn.
    is_finished: bool,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Nothing,
    /// What lay there.
    Backlog,
    /// What was written since the last look.
    Growth,
}

impl Followed {
    fn open(name: OsString, lines: Option<u64>, block: &mut [u8], watch: &mut Watch) -> Result<Followed, Failure> {
        if name == "-" {
            return Err(
                Failure::wrong("-f follows files by their names, and standard input has none").hint("to read it to its end: without -f")
            );
        }
        let mut followed = Followed { path: PathBuf::from(name), files: VecDeque::new(), trouble: None, is_retried: false, is_told: false };
        // Before the first look, so that nothing falls between.
        followed.watch_names(watch);
        let path = &followed.path;
        let meta = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                followed.told("it is not there yet: waiting for it");
                return Ok(followed);
            }
            Err(error) => return Err(Failure::wrong(format!("cannot read {}: {}", path.display(), exit::reason(&error)))),
            Ok(meta) => meta,
        };
        if !meta.is_file() && !meta.is_dir() {
            return Err(Failure::wrong(format!("{} is no regular file, so it cannot be followed", path.display()))
                .hint("to read it to its end: without -f"));
        }
        let file = ndjson::open(path)?;
        ndjson::refuse_loop(&file, &path.to_string_lossy(), None)?;
        let mark = watch.add_file(&file, path);
        let start = lines.map_or(Ok(0), |lines| last_lines(&file, lines, true, block))?;
        followed.push(file, &meta, mark, start, Instant::now());
        Ok(followed)
    }

    fn push(&mut self, file: File, meta: &Metadata, mark: Option<Mark>, start: u64, now: Instant) {
        let source = Source::new(file, start);
        self.files.push_back(Opened { source, id: id(meta), mark, is_caught_up: false, grown_at: now, left_at: None, is_finished: false });
    }

    /// Looks which file has the name, and whether that was cut. True when there is another place to read from.
    fn notice(&mut self, now: Instant, watch: &mut Watch) -> bool {
        self.is_retried = false;
        match fs::metadata(&self.path) {
            Ok(meta) => match self.files.back_mut().filter(|last| last.id == id(&meta) && last.left_at.is_none()) {
                Some(last) if meta.len() < last.source.place() => {
                    last.source.rewind();
                    say(NAME, &format!("{} was truncated: going on at its beginning", self.path.display()));
                    true
                }
                Some(_) => false,
                None => self.turn(&meta, now, watch),
            },
            Err(error) => {
                self.leave(now);
                self.watch_names(watch);
                let is_missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
                if !is_missing {
                    self.is_retried = true;
                    self.told(&format!("cannot look at it: {}", exit::reason(&error)));
                } else if self.files.back().is_some_and(|last| last.is_finished) {
                    self.told("it is gone: waiting for another one");
                }
                false
            }
        }
    }

    /// Opens the file that has the name now. At once, for the next rotation may come before the old file is read.
    fn turn(&mut self, meta: &Metadata, now: Instant, watch: &mut Watch) -> bool {
        // To open a FIFO would be to wait for its writer.
        let opened = if meta.is_file() { File::open(&self.path) } else { Err(io::Error::other("it is no regular file")) };
        let (file, meta) = match opened.and_then(|file| file.metadata().map(|meta| (file, meta))) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                self.leave(now);
                self.is_retried = true;
                self.told(&format!("cannot read it: {}", exit::reason(&error)));
                return false;
            }
        };
        self.trouble = None;
        self.leave(now);
        if let Some(mut known) = self.files.iter().position(|known| known.id == id(&meta)).and_then(|at| self.files.remove(at)) {
            // It has its name back.
            (known.left_at, known.is_finished) = (None, false);
            self.files.push_back(known);
            return true;
        }
        self.watch_names(watch);
        let mark = watch.add_file(&file, &self.path);
        self.push(file, &meta, mark, 0, now);
        true
    }

    fn leave(&mut self, now: Instant) {
        if let Some(last) = self.files.back_mut() {
            last.left_at.get_or_insert(now);
        }
    }

    /// Watches the directory of the name, and where the name is a symbolic link, the directory of the file.
    fn watch_names(&self, watch: &mut Watch) {
        watch.add_names(dir(&self.path));
        if let Ok(path) = fs::canonicalize(&self.path) {
            watch.add_names(dir(&path));
        }
    }

    /// Hands on a block of what there is, in the order of the files.
    fn pass(&mut self, now: Instant, block: &mut [u8], out: &mut Out) -> Result<Passed, Failure> {
        for at in 0..self.files.len() {
            let behind = self.files.len() - 1 - at;
            let file = &mut self.files[at];
            if file.source.pass(block, out)? {
                file.grown_at = now;
                return Ok(if file.is_caught_up { Passed::Growth } else { Passed::Backlog });
            }
            file.is_caught_up = true;
            if file.left_at.is_some() && !file.is_finished {
                if behind < KEPT_MAX && file.finish_at().is_some_and(|at| now < at) {
                    return Ok(Passed::Nothing);
                }
                file.source.finish(block, out)?;
                file.is_finished = true;
            }
        }
        Ok(Passed::Nothing)
    }

    /// Gives back a file that need not be looked at any more.
    fn let_go(&mut self, now: Instant) -> Option<Opened> {
        let is_over = self.files.len() > KEPT_MAX || self.linger_until().is_some_and(|until| now >= until);
        let is_done = is_over && self.files.front().is_some_and(|file| file.is_finished);
        if is_done { self.files.pop_front() } else { None }
    }

    fn linger_until(&self) -> Option<Instant> {
        self.files.front().filter(|file| file.is_finished && self.files.len() > 1).and_then(|file| file.grown_at.checked_add(LINGER))
    }

    fn holds(&self, id: (u64, u64)) -> bool {
        self.files.iter().any(|file| file.id == id)
    }

    /// When to look though nothing is told.
    fn look_at(&self, now: Instant) -> Option<Instant> {
        let finish_at = self.files.iter().find(|file| !file.is_finished).and_then(Opened::finish_at);
        let again_at = if self.is_told && !self.is_retried { None } else { now.checked_add(LOOK_EVERY) };
        [finish_at, self.linger_until(), again_at].into_iter().flatten().min()
    }

    /// Tells of trouble once, not at each look.
    fn told(&mut self, words: &str) {
        if self.trouble.as_deref() != Some(words) {
            say(NAME, &format!("{}: {words}", self.path.display()));
            self.trouble = Some(words.to_string());
        }
    }
}

impl Opened {
    /// When its successor has its turn, if nothing more comes.
    fn finish_at(&self) -> Option<Instant> {
        let left_at = self.left_at?;
        Some((self.grown_at.max(left_at) + QUIET).min(left_at + PATIENCE))
    }
}

fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn dir(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
