//! The journal: every record once, in order, on disk before anybody is told (DESIGN 3). Append only; nothing in it is ever
//! renamed or rewritten.
//!
//! `append` writes, under a lock; `read` reads, without one. Below them: `segments` knows the files, `line` the head of a line, `block`
//! reads whole lines, `find` finds a place, `ids` an id.

mod append;
mod block;
mod find;
mod ids;
mod line;
mod read;
mod segments;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::exit::Failure;
use crate::files;
use crate::ndjson::LINE_BYTES_MAX;
use crate::platform::Watch;
pub use read::{Reader, Step};

/// When segments begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A segment that has reached this size gets a successor.
    pub segment_bytes: u64,
    /// Keep at most about this much; the oldest whole segments go. `None`: keep all.
    pub keep_bytes: Option<u64>,
    /// Remove segments whose last record is older. `None`: keep all.
    pub keep_age: Option<Duration>,
}

/// Where a segment ends when nothing else was configured.
pub const SEGMENT_BYTES: u64 = 10 * 1024 * 1024;

/// What one read brings, and what a reader holds in memory: any record with its newline fits.
const BLOCK_BYTES: usize = LINE_BYTES_MAX + 1;

/// The first look at a line somewhere in a file or at its end; most records are a tenth of that.
const TAIL_BYTES: usize = 4096;

/// How often is looked again when retention takes a segment between listing and opening it.
const LOOKS_MAX: usize = 100;

impl Default for Settings {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, keep_bytes: None, keep_age: None }
    }
}

/// The journal of a store. Holds no file open between calls.
#[derive(Clone)]
pub struct Journal {
    dir: PathBuf,
    settings: Settings,
    needed: Option<Arc<AskNeeded>>,
}

/// What retention must not take, and what is said where it takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// The oldest record that something still waits for: it stays, and what comes behind it.
    pub from_seq: Option<u64>,
    /// Records that nobody has answered, though all was done: they may go.
    pub unanswered: Vec<u64>,
}

/// Says what of a journal is needed. It is asked when retention would take something, by the writer who has the lock.
pub type AskNeeded = dyn Fn(&Journal) -> Result<Needed, Failure> + Send + Sync;

/// A record ready to be stored: everything but `seq` and `timestamp`, which are the journal's to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Generated, or the sender's own.
    pub msg_id: String,
    /// The sender chose the id, so it is looked up whether it is stored already; a generated one is never looked up.
    pub id_is_own: bool,
    /// Who sends it.
    pub sender_id: String,
    /// Canonical JSON from `"msg_type":` to the closing brace.
    pub body: Vec<u8>,
}

/// What became of one draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The record's place; that of the first one for an id that is stored; 0 for what was refused.
    pub seq: u64,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on disk.
    Stored,
    /// The same sender stored that id before; nothing was stored now.
    Repeated,
    /// Another sender stored that id before; nothing was stored.
    IdTaken {
        /// Who it was.
        by: String,
    },
    /// The caller's [`Rules`] did not admit it; nothing was stored.
    Refused,
}

/// What the caller decides about a batch while the writers' lock is held, so that no other writer comes between the answer and the deed.
pub struct Rules<'r> {
    /// Whether a record may be stored. It is asked for those that would be: not for a repeated id, nor for another sender's.
    pub admit: &'r mut dyn FnMut(&Draft) -> bool,
    /// Nothing is stored behind the first record that is refused, be it for its id: the receipts end with it.
    pub is_strict: bool,
}

/// Why a batch has no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Nothing of the batch was stored, and whether ids of it were stored before is not known.
    Failed(Failure),
    /// Not all that is new in it is stored, or nothing: the disk was full, perhaps in the middle of it.
    Partly {
        /// Seq of the last record in the journal: the receipts up to it are good, the others are not.
        last_seq: u64,
        /// What would have been answered.
        receipts: Vec<Receipt>,
        /// Why there are no more.
        failure: Failure,
    },
    /// It was written, now or under a repeated id before, and the disk would not say whether it keeps it. The seqs are used up.
    Unknown {
        /// Seq of the first record of which that is not known; the receipts before it are good.
        first_seq: u64,
        /// Seq of the last one. Receipts of a larger seq are not good: those records were not written.
        last_seq: u64,
        /// What would have been answered.
        receipts: Vec<Receipt>,
        /// The system's reason.
        why: String,
    },
}

/// What the journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest record kept, or `next_seq` if there is none.
    pub oldest_seq: u64,
    /// What the next record will get.
    pub next_seq: u64,
}

/// Most that `{"seq":N,"msg_id":ID,"timestamp":T,` takes before the body, for the line's limit (DESIGN 2).
pub fn head_bytes(msg_id: &str) -> usize {
    let mut id = Vec::with_capacity(msg_id.len() + 2);
    crate::json::write_string(msg_id, &mut id);
    line::HEAD_FIXED_BYTES_MAX + id.len()
}

/// The type of a line that is written as the journal writes, and what follows it in the line; `None` for any other line, of which only a
/// parser can tell. So who looks for a few types need not parse the rest.
#[inline]
pub fn type_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    line::kind(line)
}

/// The id of a line; `None` where it cannot be read.
pub fn id_of(line: &[u8]) -> Option<String> {
    let canonical = line::canonical(line).and_then(|head| std::str::from_utf8(head.msg_id).ok()).map(str::to_string);
    canonical.or_else(|| line::known(line, &mut crate::json::Scanner::new()).ok()?.msg_id)
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.dir).field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Journal {
    /// The journal in directory `dir` (created by the first append).
    pub fn at(dir: PathBuf, settings: Settings) -> Journal {
        Journal { dir, settings, needed: None }
    }

    /// The same, of which retention takes nothing that is needed.
    #[must_use]
    pub fn keeping(self, needed: impl Fn(&Journal) -> Result<Needed, Failure> + Send + Sync + 'static) -> Journal {
        Journal { needed: Some(Arc::new(needed)), ..self }
    }

    /// Stores the batch in one write and one sync, whole or not at all (but see [`AppendError::Partly`]); answers when it is on disk. `note`
    /// takes words for people.
    ///
    /// # Errors
    /// [`AppendError`] tells whether nothing was stored, a part, or nobody knows.
    pub fn append(&self, batch: &[Draft], note: &mut dyn FnMut(&str)) -> Result<Vec<Receipt>, AppendError> {
        self.append_by(batch, &mut Rules { admit: &mut |_| true, is_strict: false }, note)
    }

    /// As [`Journal::append`], but stores only what the `rules` let through.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_by(&self, batch: &[Draft], rules: &mut Rules<'_>, note: &mut dyn FnMut(&str)) -> Result<Vec<Receipt>, AppendError> {
        append::append(&self.dir, &self.settings, batch, rules, note, append::World { needed: &|| self.needed(), ..append::WORLD })
    }

    /// As [`Journal::append`], but answers before it is on disk: the next append, rotation or committed cursor puts it there, before
    /// anything that comes after it. For what has to be told and need not outlast a power cut. Then the last notes may be missing, and their
    /// seqs go to other records: a reader that keeps its place without a cursor may have seen another record under such a seq. Or they stand
    /// there damaged, perhaps behind a good head, which shows only to who parses the line. It survives whatever is killed.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn note(&self, batch: &[Draft], note: &mut dyn FnMut(&str)) -> Result<Vec<Receipt>, AppendError> {
        let rules = &mut Rules { admit: &mut |_| true, is_strict: false };
        let world = append::World { needed: &|| self.needed(), is_durable: false, ..append::WORLD };
        append::append(&self.dir, &self.settings, batch, rules, note, world)
    }

    fn needed(&self) -> Result<Needed, Failure> {
        self.needed.as_ref().map_or(Ok(Needed::default()), |needed| needed(self))
    }

    /// Makes sure that about so many bytes more can be stored, as far as that can be told: for who does something that has to be written down
    /// afterwards.
    ///
    /// # Errors
    /// Status 3 when they cannot.
    pub fn reserve(&self, bytes: u64) -> Result<(), Failure> {
        append::reserve(&self.dir, bytes)
    }

    /// What the journal holds now.
    ///
    /// # Errors
    /// Status 3 when it cannot be read.
    pub fn bounds(&self) -> Result<Bounds, Failure> {
        find::bounds(&self.dir)
    }

    /// The seq of the oldest record kept; 1 where nothing was ever stored.
    ///
    /// # Errors
    /// Status 3 when it cannot be read.
    pub fn oldest_seq(&self) -> Result<u64, Failure> {
        Ok(segments::ends(&self.dir).map_err(|error| segments::unreadable(&self.dir, &error))?.map_or(1, |(oldest, _)| oldest))
    }

    /// A reader that begins at `seq`. 0 means the oldest; a seq that is no longer kept is told as a [`Step::Gap`], and a seq that is
    /// not stored yet is waited for.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read.
    pub fn read_from(&self, seq: u64) -> Result<Reader, Failure> {
        Reader::open(&self.dir, seq)
    }

    /// The seq of the first record with `timestamp >= at`; the next seq if there is none.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read.
    pub fn first_since(&self, at: Timestamp) -> Result<u64, Failure> {
        find::first_since(&self.dir, at)
    }

    /// A watch that wakes when something is appended. Create it before reading to the end, so that nothing falls between.
    pub fn watch(&self) -> Watch {
        self.watch_with(&[])
    }

    /// As [`Journal::watch`], and when something changes in these directories.
    pub fn watch_with(&self, others: &[&Path]) -> Watch {
        // Nothing was ever sent: a directory that is not there cannot be watched. If it cannot be made, the watch polls.
        let _ = files::create_dir(&self.dir);
        Watch::new(&[&[self.dir.as_path()], others].concat())
    }
}
