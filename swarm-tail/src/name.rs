//! A name, and the files that have or had it: through renaming, replacement and truncation. A file that lost the name is read to its
//! end before the next one, also what a slow writer still appends to it for a moment. Waiting and writing are others' business.
//!
//! Limits: a file that was removed or renamed over before it was opened is not printed, but told, where the system tells what happens
//! to names. Of a file that is cut or written anew, what was not read by then is lost; and if the same bytes stand before the old place
//! again when we look, it is taken for the old one.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use swarm_common::exit::{self, Failure, say};
use swarm_common::ndjson;
use swarm_common::platform::{DirMark, Mark, NameChange, Watch};

use crate::NAME;
use crate::source::{Read, Source, last_lines};
use crate::trail::Trail;

/// A file that lost the name is finished when nothing came for so long. The next one's lines wait for that.
const QUIET: Duration = Duration::from_millis(100);

/// But no longer than that: its writer may never leave it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A finished file is looked at for so long after it last grew: a writer who is told of a rotation may take seconds to turn to the
/// new file (logrotate's postrotate).
const LINGER: Duration = Duration::from_secs(10);

/// So many finished files are kept open at most, for each name.
const KEPT_MAX: usize = 16;

/// How often is looked while it is not known that the system tells of changes here, or while the file cannot be opened.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which file it is, whatever its name: device and inode. While it is open, no other gets the same.
type Id = (u64, u64);

/// A name that is followed.
pub struct Followed {
    path: PathBuf,
    /// Oldest first. The last one has the name, unless it was left.
    files: VecDeque<Opened>,
    trail: Trail,
    /// Where the name's directory is watched.
    dir: Option<DirMark>,
    /// So many files were opened after the first one.
    opened: u64,
    /// Why the name's file is not open, as it was told.
    trouble: Option<String>,
    /// No change may be told when that is over.
    is_retried: bool,
    /// The system is known to tell what is written here.
    is_told: bool,
}

/// What was seen under a name.
pub struct Seen {
    turn: u64,
    name: OsString,
    file: io::Result<Sighting>,
}

/// A file that was looked at.
enum Sighting {
    /// It is open.
    Known(Metadata),
    /// It was not.
    New(File),
}

/// A file that has or had the name.
struct Opened {
    /// Its place among the files that had the name.
    turn: u64,
    source: Source,
    id: Id,
    mark: Option<Mark>,
    /// It was read to its end, so what is read next was written since.
    is_caught_up: bool,
    grown_at: Instant,
    /// It lost the name.
    left_at: Option<Instant>,
    /// It lost the name, and the next one has its turn.
    is_finished: bool,
}

impl Followed {
    /// Watches the name; opens nothing yet.
    ///
    /// # Errors
    /// Status 2 when it is none.
    pub fn new(name: OsString, watch: &mut Watch) -> Result<Followed, Failure> {
        if name == "-" {
            return Err(
                Failure::wrong("-f follows files by their names, and standard input has none").hint("to read it to its end: without -f")
            );
        }
        let path = PathBuf::from(name);
        let trail = Trail::of(path.file_name().unwrap_or_default());
        let mut followed =
            Followed { path, files: VecDeque::new(), trail, dir: None, opened: 0, trouble: None, is_retried: false, is_told: false };
        followed.watch_names(watch);
        Ok(followed)
    }

    /// Opens the file, to be read from its last `lines` lines on, or says that it is waited for.
    ///
    /// # Errors
    /// Status 2 for what cannot be followed.
    pub fn open(&mut self, lines: Option<u64>, block: &mut [u8], watch: &mut Watch) -> Result<(), Failure> {
        let path = &self.path;
        let meta = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.told("it is not there yet: waiting for it");
                return Ok(());
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
        let start = lines.map_or(Ok(0), |lines| last_lines(&file, lines, true, block))?;
        let opened = Opened::new(file, 0, path, start, Instant::now(), watch);
        self.files.push_back(opened.map_err(|error| Failure::io(format_args!("look at {}", path.display()), &error))?);
        Ok(())
    }

    /// The name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the system is known to tell what is written to it.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// The system is known now to tell what is written to it.
    pub fn trust(&mut self) {
        self.is_told = true;
    }

    /// Reads a block of what there is, in the order of the files, and tells whether it was written since the last look.
    ///
    /// # Errors
    /// Status 3 when a file cannot be read.
    pub fn next(&mut self, now: Instant, block: &mut [u8]) -> Result<(Read, bool), Failure> {
        let first = self.files.iter().position(|file| file.source.is_in_line()).unwrap_or(0);
        for at in first..self.files.len() {
            let behind = self.files.len() - 1 - at;
            let file = &mut self.files[at];
            loop {
                match file.source.next(block)? {
                    Read::Rewritten if file.left_at.is_none() => {
                        file.rewind(&self.path);
                        continue;
                    }
                    // An archive that is cut or packed is no concern.
                    Read::Nothing | Read::Rewritten => {}
                    read => {
                        if file.is_caught_up {
                            file.grown_at = now;
                        }
                        return Ok((read, file.is_caught_up));
                    }
                }
                file.is_caught_up = true;
                if file.left_at.is_none() || file.is_finished {
                    break;
                }
                if behind < KEPT_MAX && file.finish_at().is_some_and(|at| now < at) {
                    return Ok((Read::Nothing, false));
                }
                file.is_finished = !file.source.finish();
            }
        }
        Ok((Read::Nothing, false))
    }

    /// Follows the trail of the files that are renamed.
    pub fn track(&mut self, changes: &[NameChange]) {
        for change in changes.iter().filter(|change| Some(change.dir) == self.dir) {
            self.trail.change(&change.name, change.change);
        }
    }

    /// Whether the name is where it was, at the file that is open, and nothing else is to be looked for: the usual case, at the cost of
    /// one stat(2).
    pub fn is_same(&self) -> bool {
        let is_last = |meta: &Metadata| {
            self.files.back().is_some_and(|last| last.left_at.is_none() && last.id == id(meta) && meta.len() >= last.source.place())
        };
        self.trail.left().next().is_none() && !self.is_retried && fs::metadata(&self.path).is_ok_and(|meta| is_last(&meta))
    }

    /// Looks for the files that had the name, and then for the one that has it, and opens those that are not open. At once, for the next
    /// rotation may come before the old file is read.
    pub fn see(&self) -> Vec<Seen> {
        let dir = dir(&self.path);
        let left = self.trail.left().map(|(turn, name)| Seen { turn, name: name.to_owned(), file: self.look(&dir.join(name)) });
        let name = self.path.file_name().unwrap_or_default().to_owned();
        let own = std::iter::once_with(|| Seen { turn: self.trail.arrivals(), name, file: self.look(&self.path) });
        left.chain(own).collect()
    }

    fn look(&self, path: &Path) -> io::Result<Sighting> {
        let meta = fs::metadata(path)?;
        if self.holds(id(&meta)) {
            return Ok(Sighting::Known(meta));
        }
        // To open a FIFO would be to wait for its writer.
        if meta.is_file() { File::open(path).map(Sighting::New) } else { Err(io::Error::other("it is no regular file")) }
    }

    /// Takes what was seen, unless it was renamed while it was looked at: these `changes` came after. True when there is another place to
    /// read from.
    pub fn take(&mut self, seen: Vec<Seen>, changes: &[NameChange], now: Instant, watch: &mut Watch) -> bool {
        let is_doubtful = |seen: &Seen| changes.iter().any(|change| Some(change.dir) == self.dir && change.name == seen.name);
        let certain: Vec<Seen> = seen.into_iter().filter(|seen| !is_doubtful(seen)).collect();
        let mut is_more = false;
        for Seen { turn, name, file } in certain {
            is_more |= if self.path.file_name() == Some(&name) {
                self.take_own(turn, file, now, watch)
            } else {
                self.take_left(turn, file, now, watch)
            };
        }
        is_more
    }

    /// A file that had the name.
    fn take_left(&mut self, turn: u64, file: io::Result<Sighting>, now: Instant, watch: &mut Watch) -> bool {
        let new = match file {
            // Renamed once more: that will be told.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            // Not ours to read: it is told as lost.
            Err(_) => None,
            Ok(Sighting::Known(meta)) => {
                if let Some(known) = self.files.iter_mut().find(|file| file.id == id(&meta)) {
                    known.left_at.get_or_insert(now);
                }
                None
            }
            Ok(Sighting::New(file)) => Opened::new(file, turn, &self.path, 0, now, watch).ok(),
        };
        self.trail.forget(turn);
        let Some(mut opened) = new else { return false };
        opened.left_at = Some(now);
        self.insert(opened, now);
        true
    }

    /// The file that has the name.
    fn take_own(&mut self, turn: u64, file: io::Result<Sighting>, now: Instant, watch: &mut Watch) -> bool {
        self.is_retried = false;
        let file = file.and_then(|file| match file {
            Sighting::Known(meta) => Ok((None, meta)),
            Sighting::New(file) => file.metadata().map(|meta| (Some(file), meta)),
        });
        let (file, meta) = match file {
            Ok(seen) => seen,
            Err(error) => {
                self.miss(&error, now, watch);
                return false;
            }
        };
        if let Some(last) = self.files.back_mut().filter(|last| last.id == id(&meta) && last.left_at.is_none()) {
            let is_cut = meta.len() < last.source.place();
            if is_cut {
                last.rewind(&self.path);
            }
            self.tell_lost();
            return is_cut;
        }
        self.trouble = None;
        if let Some(mut known) = self.files.iter().position(|known| known.id == id(&meta)).and_then(|at| self.files.remove(at)) {
            // It has its name back.
            (known.turn, known.left_at, known.is_finished) = (turn, None, false);
            self.insert(known, now);
        } else if let Some(file) = file {
            self.watch_names(watch);
            match Opened::new(file, turn, &self.path, 0, now, watch) {
                Ok(opened) => self.insert(opened, now),
                Err(error) => self.miss(&error, now, watch),
            }
        }
        self.tell_lost();
        true
    }

    /// The name's file cannot be opened.
    fn miss(&mut self, error: &io::Error, now: Instant, watch: &mut Watch) {
        if let Some(last) = self.files.back_mut() {
            last.left_at.get_or_insert(now);
        }
        self.watch_names(watch);
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.is_retried = true;
            self.told(&format!("cannot read it: {}", exit::reason(error)));
        } else if self.files.back().is_some_and(|last| last.is_finished) {
            self.told("it is gone: waiting for another one");
        }
    }

    /// Puts a file behind those that had the name before it. They have it no more.
    fn insert(&mut self, opened: Opened, now: Instant) {
        let at = self.files.partition_point(|file| file.turn <= opened.turn);
        for before in self.files.range_mut(..at) {
            before.left_at.get_or_insert(now);
        }
        self.files.insert(at, opened);
        self.opened += 1;
    }

    /// Tells of files that were never opened and are not to be found. Only while the name's own file is open: then none of them is still to
    /// be opened.
    pub fn tell_lost(&mut self) {
        let lost = self.trail.arrivals().saturating_sub(self.opened);
        if lost > 0 && self.trail.left().next().is_none() {
            let files = if lost == 1 { "a file".to_string() } else { format!("{lost} files") };
            say(NAME, &format!("{}: {files} of that name came and went before it could be opened", self.path.display()));
            self.opened += lost;
        }
    }

    /// Watches the directory of the name, and where the name is a symbolic link, the directory of the file.
    fn watch_names(&mut self, watch: &mut Watch) {
        self.dir = watch.add_names(dir(&self.path));
        if let Ok(path) = fs::canonicalize(&self.path) {
            let _ = watch.add_names(dir(&path));
        }
    }

    /// Lets go of a file that need not be looked at any more.
    pub fn let_go(&mut self, now: Instant) -> Option<(Id, Option<Mark>)> {
        let is_over = self.files.len() > KEPT_MAX || self.linger_until().is_some_and(|until| now >= until);
        if !is_over || !self.files.front().is_some_and(|file| file.is_finished && !file.source.is_in_line()) {
            return None;
        }
        self.files.pop_front().map(|gone| (gone.id, gone.mark))
    }

    fn linger_until(&self) -> Option<Instant> {
        self.files.front().filter(|file| file.is_finished && self.files.len() > 1).and_then(|file| file.quiet_since().checked_add(LINGER))
    }

    /// Whether it holds that file open.
    pub fn holds(&self, id: Id) -> bool {
        self.files.iter().any(|file| file.id == id)
    }

    /// When to look though nothing is told.
    pub fn look_at(&self, now: Instant) -> Option<Instant> {
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
    fn new(file: File, turn: u64, path: &Path, start: u64, now: Instant, watch: &mut Watch) -> io::Result<Opened> {
        let id = id(&file.metadata()?);
        // Before the first read, so that nothing falls between.
        let mark = watch.add_file(&file, path);
        let source = Source::new(file, start);
        Ok(Opened { turn, source, id, mark, is_caught_up: false, grown_at: now, left_at: None, is_finished: false })
    }

    /// Its writer began anew.
    fn rewind(&mut self, path: &Path) {
        self.source.rewind();
        say(NAME, &format!("{} was truncated: going on at its beginning", path.display()));
    }

    /// Since when it has neither grown nor, in case it did, lost the name.
    fn quiet_since(&self) -> Instant {
        self.left_at.map_or(self.grown_at, |left_at| self.grown_at.max(left_at))
    }

    /// When the next one has its turn, if nothing more comes.
    fn finish_at(&self) -> Option<Instant> {
        Some((self.quiet_since() + QUIET).min(self.left_at? + PATIENCE))
    }
}

fn id(meta: &Metadata) -> Id {
    (meta.dev(), meta.ino())
}

fn dir(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
