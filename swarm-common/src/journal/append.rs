//! Appending: under the lock, one write, one sync, then the answer.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;

use super::ids::{self, Ids, Unconfirmed};
use super::line::{self, Due};
use super::segments::Settle;
use super::{AppendError, Draft, Needed, Outcome, Receipt, Rules, Settings, find, segments};
use crate::exit::{self, Failure};
use crate::{files, json, platform, time};

/// What the journal asks of the world; a test brings its own clock, and a disk that is full or broken.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub now: &'a dyn Fn() -> Timestamp,
    pub write: &'a dyn Fn(&File, &[u8]) -> io::Result<usize>,
    pub sync_data: &'a dyn Fn(&File) -> io::Result<()>,
    /// A batch is on disk before it is answered.
    pub is_durable: bool,
    /// Puts an empty segment and its name on disk.
    pub settle: Settle<'a>,
    /// What retention must not take.
    pub needed: &'a dyn Fn() -> Result<Needed, Failure>,
}

/// The one there is.
pub(super) const WORLD: World<'static> = World {
    now: &time::now,
    write: &|mut file, bytes| file.write(bytes),
    sync_data: &platform::sync_data,
    is_durable: true,
    settle: &segments::settle,
    needed: &|| Ok(Needed { from_seq: None, unanswered: Vec::new() }),
};

/// Of a disk that has no room.
const NOTHING_STORED: &str = "nothing of it is stored now: make room and send it again";

/// [`super::Journal::append_by`].
pub(super) fn append(
    dir: &Path,
    settings: &Settings,
    batch: &[Draft],
    rules: &mut Rules<'_>,
    note: &mut dyn FnMut(&str),
    world: World<'_>,
) -> Result<Vec<Receipt>, AppendError> {
    let failed = |error: io::Error| AppendError::Failed(failure(dir, &error, NOTHING_STORED));
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = Ids::of(batch);
    if let Some(ids) = &mut ids {
        ids.search(dir).map_err(failed)?;
    }
    // Held until the answer; let go when the descriptor closes.
    let _lock = lock(dir).map_err(failed)?;
    let mut live = Live::find(dir).map_err(failed)?;
    if let Some(ids) = &mut ids {
        ids.catch_up(dir).map_err(failed)?;
    }
    let first_seq = live.next_seq;
    let receipts = plan(batch, ids.as_ref(), first_seq, rules);
    if let Some(ids) = &ids {
        let repeated = batch.iter().zip(&receipts).filter(|(_, receipt)| receipt.outcome == Outcome::Repeated);
        let repeated = repeated.filter_map(|(draft, _)| ids.found(&draft.msg_id));
        if let Err(Unconfirmed { first_seq, last_seq, unsynced, error }) = ids::confirm(dir, repeated, world.sync_data) {
            if unsynced.is_some() && unsynced == live.first_seq() {
                go_on_at(dir, live.next_seq, note, world.settle);
            }
            return Err(AppendError::Unknown { first_seq, last_seq, receipts, why: exit::reason(&error) });
        }
    }
    let stored = receipts.iter().filter(|receipt| receipt.outcome == Outcome::Stored).count() as u64;
    if stored == 0 {
        return Ok(receipts);
    }
    let stopped = |error: io::Error, whole: u64, receipts| {
        let last_seq = first_seq + whole - 1;
        let when_full =
            if whole == 0 { NOTHING_STORED } else { &format!("stored up to seq {last_seq}: make room and send the rest again") };
        Err(AppendError::Partly { last_seq, receipts, failure: failure(dir, &error, when_full) })
    };
    let now = (world.now)();
    let timestamp = live.timestamp.map_or(now, |last| last.max(now));
    // Retention goes by the clock: the journal's time never comes back from a writer whose clock was a year ahead, and all history would go.
    let segment = match live.prepare(dir, settings, now, note, world) {
        Ok(segment) => segment,
        Err(error) => return stopped(error, 0, receipts),
    };
    let lines = render(batch, &receipts, first_seq, timestamp);

    match segment.write(&lines, stored, world) {
        Ok(()) => Ok(receipts),
        Err(Trouble::Stopped { error, whole }) => stopped(error, whole, receipts),
        Err(Trouble::Unknown { error, whole }) => {
            // Whatever the disk made of them, these seqs are used up; the next writer goes on in a segment of its own.
            let last_seq = first_seq + whole - 1;
            go_on_at(dir, last_seq + 1, note, world.settle);
            Err(AppendError::Unknown { first_seq, last_seq, receipts, why: exit::reason(&error) })
        }
    }
}

fn failure(dir: &Path, error: &io::Error, when_full: &str) -> Failure {
    let failure = Failure::io(format_args!("append to the journal {}", dir.display()), error);
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => failure.hint(when_full),
        _ => failure,
    }
}

/// [`super::Journal::reserve`].
pub(super) fn reserve(dir: &Path, bytes: u64) -> Result<(), Failure> {
    let reserve = || -> io::Result<()> {
        let (Some(newest), _) = segments::newest(dir)? else { return Ok(()) };
        let file = segments::open_to_append(dir, newest)?;
        let end = file.metadata()?.len();
        platform::check_file_size(end + bytes)?;
        platform::reserve(&file, end, bytes)
    };
    reserve().map_err(|error| failure(dir, &error, "make room"))
}

/// Takes the writers' lock.
fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join("lock");
    match files::lock(&path, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::create_dir(dir)?;
            files::lock(&path, true)
        }
        locked => locked,
    }
}

/// The journal's end, as the holder of the lock finds it.
struct Live {
    /// The live segment's name, how it ends, and its file; `None` where the next one has to be begun.
    segment: Option<(u64, find::Tail, File)>,
    next_seq: u64,
    /// Of the last record.
    timestamp: Option<Timestamp>,
}

impl Live {
    fn find(dir: &Path) -> io::Result<Live> {
        let (newest, due) = segments::newest(dir)?;
        let Some(first_seq) = newest else { return Ok(Live { segment: None, next_seq: due.unwrap_or(1), timestamp: None }) };
        let file = segments::open_to_append(dir, first_seq)?;
        let tail = find::tail(&file, first_seq)?;
        let timestamp = match tail.timestamp {
            Some(timestamp) => Some(timestamp),
            None => before(dir, first_seq)?,
        };
        Ok(match due {
            // The newest one is not written to any more, and what it says of its end may be gone from the disk.
            Some(due) => Live { next_seq: due.max(tail.next_seq), timestamp, segment: None },
            None => Live { next_seq: tail.next_seq, timestamp, segment: Some((first_seq, tail, file)) },
        })
    }

    fn first_seq(&self) -> Option<u64> {
        self.segment.as_ref().map(|(first_seq, ..)| *first_seq)
    }

    /// Makes the live segment ready to be written: cuts what a dead writer left, begins a new segment where one is due.
    fn prepare(
        &mut self,
        dir: &Path,
        settings: &Settings,
        now: Timestamp,
        note: &mut dyn FnMut(&str),
        world: World<'_>,
    ) -> io::Result<Segment> {
        let Some((first_seq, tail, file)) = self.segment.take() else {
            return Ok(Segment { file: segments::begin(dir, self.next_seq, world.settle)?, bytes: 0 });
        };
        let path = segments::path(dir, first_seq);
        if tail.bytes > tail.whole_end {
            file.set_len(tail.whole_end)?;
            let torn = tail.bytes - tail.whole_end;
            note(&format!(
                "cut an incomplete last line of {torn} bytes from {}: its writer died in it, and nobody was told that it is stored",
                path.display()
            ));
        }
        if tail.is_damaged {
            note(&format!("the last line of {} cannot be read: going on at seq {} in a new segment", path.display(), self.next_seq));
        }
        if tail.is_damaged || (tail.whole_end > 0 && tail.whole_end >= settings.segment_bytes) {
            // A writer that died before its sync may have left lines here. Nobody syncs a finished segment any more, and they shall
            // not be missing before later ones.
            (world.sync_data)(&file).inspect_err(|_| go_on_at(dir, self.next_seq, note, world.settle))?;
            let begun = segments::begin(dir, self.next_seq, world.settle)?;
            if let Err(error) = segments::retire(dir, settings, self.next_seq, now, world.needed, note) {
                // No reason not to send.
                note(&format!("cannot remove old segments from {}: {}", dir.display(), exit::reason(&error)));
            }
            return Ok(Segment { file: begun, bytes: 0 });
        }
        if tail.whole_end == 0 {
            // Whoever began it may have died before it was on disk.
            segments::settled(dir, &file, first_seq, world.settle)?;
        }
        Ok(Segment { file, bytes: tail.whole_end })
    }
}

/// After a failed sync: the next writer begins the segment `next_seq`, for a second sync of the same pages would say yes to what is lost.
fn go_on_at(dir: &Path, next_seq: u64, note: &mut dyn FnMut(&str), settle: Settle<'_>) {
    if let Err(error) = segments::mark_due(dir, next_seq, settle) {
        note(&segments::unmarked(dir, &error));
    }
}

/// The last timestamp before an empty segment.
fn before(dir: &Path, first_seq: u64) -> io::Result<Option<Timestamp>> {
    for segment in segments::list(dir)?.into_iter().rev().filter(|&segment| segment < first_seq) {
        if let Some(file) = segments::open(dir, segment)?
            && let Some(timestamp) = find::tail(&file, segment)?.timestamp
        {
            return Ok(Some(timestamp));
        }
    }
    Ok(None)
}

/// The live segment, ready to be written.
pub(super) struct Segment {
    pub file: File,
    /// All of it whole lines.
    pub bytes: u64,
}

/// What can happen to a batch. `whole` counts its lines that were written.
pub(super) enum Trouble {
    /// It could not be written whole. What was is on disk.
    Stopped { error: io::Error, whole: u64 },
    /// It was written, and nobody knows whether it is on disk.
    Unknown { error: io::Error, whole: u64 },
}

impl Segment {
    /// One write(2) for the whole batch: a reader that sees the first byte may see a torn line, never two batches mixed.
    /// O_APPEND alone would not give the seq, hence the lock. One sync at most, which is never tried again: after it failed once, the
    /// kernel takes the lost pages for clean and says yes (measured, LESSONS).
    pub fn write(self, lines: &[u8], count: u64, world: World<'_>) -> Result<(), Trouble> {
        let stopped = |error| Trouble::Stopped { error, whole: 0 };
        platform::check_file_size(self.bytes + lines.len() as u64).map_err(stopped)?;
        // A batch shall not stop in the middle. One line cannot: its newline comes last.
        if count > 1
            && let Err(error) = platform::reserve(&self.file, self.bytes, lines.len() as u64)
        {
            let _ = self.file.set_len(self.bytes);
            return Err(stopped(error));
        }
        let mut written = 0;
        while written < lines.len() {
            match (world.write)(&self.file, &lines[written..]) {
                Ok(0) => return Err(self.stop(io::ErrorKind::WriteZero.into(), &lines[..written], count, world)),
                // Short: written on, to learn why.
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.stop(error, &lines[..written], count, world)),
            }
        }
        if !world.is_durable {
            return Ok(());
        }
        (world.sync_data)(&self.file).map_err(|error| Trouble::Unknown { error, whole: count })
    }

    /// After so much of a batch the disk was full. Readers may have had its whole lines, so these stay; the torn one behind them goes.
    fn stop(&self, error: io::Error, written: &[u8], count: u64, world: World<'_>) -> Trouble {
        let whole_end = memchr::memrchr(b'\n', written).map_or(0, |at| at + 1);
        let whole = memchr::memchr_iter(b'\n', written).count() as u64;
        if whole_end < written.len() && self.file.set_len(self.bytes + whole_end as u64).is_err() {
            return Trouble::Unknown { error, whole: count };
        }
        match if whole > 0 { (world.sync_data)(&self.file) } else { Ok(()) } {
            Ok(()) => Trouble::Stopped { error, whole },
            Err(error) => Trouble::Unknown { error, whole },
        }
    }
}

/// What becomes of each draft, and which seq it gets.
fn plan(batch: &[Draft], ids: Option<&Ids<'_>>, first_seq: u64, rules: &mut Rules<'_>) -> Vec<Receipt> {
    let mut receipts = Vec::with_capacity(batch.len());
    let mut next_seq = first_seq;
    let mut earlier: HashMap<&str, (u64, &str)> = HashMap::new();
    for draft in batch {
        let known = ids.filter(|_| draft.id_is_own).and_then(|ids| {
            let earlier = earlier.get(draft.msg_id.as_str()).copied();
            earlier.or_else(|| ids.found(&draft.msg_id).map(|found| (found.seq, found.sender_id.as_str())))
        });
        let receipt = match known {
            // One agent, however it writes its name (DESIGN 2).
            Some((seq, by)) if by.eq_ignore_ascii_case(&draft.sender_id) => Receipt { seq, outcome: Outcome::Repeated },
            Some((seq, by)) => Receipt { seq, outcome: Outcome::IdTaken { by: by.to_string() } },
            None if !(rules.admit)(draft) => Receipt { seq: 0, outcome: Outcome::Refused },
            None => {
                if draft.id_is_own {
                    earlier.insert(&draft.msg_id, (next_seq, &draft.sender_id));
                }
                next_seq += 1;
                Receipt { seq: next_seq - 1, outcome: Outcome::Stored }
            }
        };
        let is_refused = matches!(receipt.outcome, Outcome::IdTaken { .. } | Outcome::Refused);
        receipts.push(receipt);
        if is_refused && rules.is_strict {
            break;
        }
    }
    receipts
}

/// The bytes of what is stored: heads formatted, bodies copied.
fn render(batch: &[Draft], receipts: &[Receipt], first_seq: u64, timestamp: Timestamp) -> Vec<u8> {
    let stored = || batch.iter().zip(receipts).filter(|(_, receipt)| receipt.outcome == Outcome::Stored);
    let line_bytes = |draft: &Draft| line::HEAD_FIXED_BYTES_MAX + 2 + draft.msg_id.len() + draft.body.len() + 1;
    let mut lines = Vec::with_capacity(stored().map(|(draft, _)| line_bytes(draft)).sum());
    let after_id = format!(",\"timestamp\":\"{}\",", time::write(timestamp));
    let mut due = Due::at(first_seq);
    for (draft, receipt) in stored() {
        debug_assert_eq!(receipt.seq, due.seq(), "seqs are dense");
        debug_assert!(draft.body.ends_with(b"}") && !draft.body.contains(&b'\n'), "a body is the rest of one line");
        lines.extend_from_slice(due.prefix());
        lines.extend_from_slice(b"\"msg_id\":");
        json::write_string(&draft.msg_id, &mut lines);
        lines.extend_from_slice(after_id.as_bytes());
        lines.extend_from_slice(&draft.body);
        lines.push(b'\n');
        due.advance();
    }
    lines
}
