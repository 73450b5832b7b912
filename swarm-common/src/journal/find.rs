//! Finding a place: the end of a segment, a seq, an instant; by looking at few lines, never by reading all.

use std::fs::File;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::block::{self, Block, Filled};
use super::line::{self, Stamp};
use super::{BLOCK_BYTES, Bounds, LOOKS_MAX, TAIL_BYTES, segments};
use crate::exit::Failure;

/// How a segment ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Length of the file.
    pub bytes: u64,
    /// Where its last whole line ends; what stands behind was torn off a dying writer.
    pub whole_end: u64,
    /// What the next record of this segment would get.
    pub next_seq: u64,
    /// Of the last line that can be read.
    pub timestamp: Option<Timestamp>,
    /// The last whole line cannot be read; `next_seq` is then counted from the one that could.
    pub is_damaged: bool,
}

/// Looks at the end of the segment `first_seq`.
///
/// # Errors
/// What the system answers.
pub(super) fn tail(file: &File, first_seq: u64) -> io::Result<Tail> {
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(Tail { bytes, whole_end: 0, next_seq: first_seq, timestamp: None, is_damaged: false });
    }
    let mut small = [0; TAIL_BYTES];
    if let Some(tail) = tail_within(file, first_seq, bytes, &mut small)? {
        return Ok(tail);
    }
    // The largest line, and the largest torn one behind it.
    if let Some(tail) = tail_within(file, first_seq, bytes, &mut vec![0; 2 * BLOCK_BYTES])? {
        return Ok(tail);
    }
    tail_counted(file, first_seq, bytes)
}

/// The usual case: the last whole line stands within the last bytes, and can be read.
fn tail_within(file: &File, first_seq: u64, bytes: u64, buffer: &mut [u8]) -> io::Result<Option<Tail>> {
    let from = bytes.saturating_sub(buffer.len() as u64);
    let n = block::read_up_to(file, buffer, from)?;
    let Some(newline) = memchr::memrchr(b'\n', &buffer[..n]) else { return Ok(None) };
    let start = match memchr::memrchr(b'\n', &buffer[..newline]) {
        Some(before) => before + 1,
        None if from == 0 => 0,
        None => return Ok(None),
    };
    let stamp = line::stamp(&buffer[start..newline]).filter(|stamp| line::is_plausible(stamp.seq, first_seq, bytes));
    Ok(stamp.map(|stamp| Tail {
        bytes,
        whole_end: from + newline as u64 + 1,
        next_seq: stamp.seq + 1,
        timestamp: Some(stamp.timestamp),
        is_damaged: false,
    }))
}

/// The long way, for a damaged segment: the n-th line has the seq first + n - 1, but where a line says its seq, that counts.
fn tail_counted(file: &File, first_seq: u64, bytes: u64) -> io::Result<Tail> {
    let mut walk = Lines::new(Block::new(file.try_clone()?, 0), first_seq, first_seq);
    let mut tail = Tail { bytes, whole_end: 0, next_seq: first_seq, timestamp: None, is_damaged: false };
    while let Some(stamp) = walk.next()? {
        tail.timestamp = stamp.map(|stamp| stamp.timestamp).or(tail.timestamp);
        tail.is_damaged = stamp.is_none();
    }
    tail.next_seq = walk.due;
    tail.whole_end = walk.block.offset() + walk.at as u64;
    Ok(tail)
}

/// Walks lines by their stamps alone.
struct Lines {
    block: Block,
    /// The lines not yet walked are `at..until` of the block.
    at: usize,
    until: usize,
    first_seq: u64,
    segment_bytes: u64,
    /// The seq that the next line should have.
    due: u64,
}

impl Lines {
    fn new(block: Block, first_seq: u64, due: u64) -> Lines {
        Lines { block, at: 0, until: 0, first_seq, segment_bytes: 0, due }
    }

    /// The next line's stamp, `Some(None)` if it cannot be read; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Option<Stamp>>> {
        if self.at == self.until {
            self.block.advance(self.until as u64);
            (self.at, self.until) = (0, 0);
            self.segment_bytes = self.block.file().metadata()?.len();
            match self.block.fill()? {
                Filled::Lines(bytes) => self.until = bytes,
                Filled::TooLong(bytes) => {
                    self.block.advance(bytes);
                    self.due += 1;
                    return Ok(Some(None));
                }
                Filled::Nothing => return Ok(None),
            }
        }
        let rest = &self.block.lines()[self.at..self.until];
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let stamp = line::stamp(&rest[..length]).filter(|stamp| line::is_plausible(stamp.seq, self.first_seq, self.segment_bytes));
        self.at += length;
        self.due = stamp.map_or(self.due, |stamp| stamp.seq) + 1;
        Ok(Some(stamp))
    }

    /// The stamp of the first line that can be read.
    fn first_stamp(mut self) -> io::Result<Option<Stamp>> {
        while let Some(stamp) = self.next()? {
            if stamp.is_some() {
                return Ok(stamp);
            }
        }
        Ok(None)
    }
}

/// A place in a segment: the start of a line, and the seq it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub offset: u64,
    pub seq: u64,
}

/// A place at or before the first line that does not satisfy `is_before`, and near it: what lies between is about one block.
/// `is_before` has to be true up to some line and false from there on.
///
/// # Errors
/// What the system answers.
pub(super) fn near(file: &File, first_seq: u64, is_before: impl Fn(Stamp) -> bool) -> io::Result<Place> {
    let bytes = file.metadata()?.len();
    let (mut low, mut high) = (Place { offset: 0, seq: first_seq }, bytes);
    while high - low.offset > BLOCK_BYTES as u64 {
        let middle = low.offset + (high - low.offset) / 2;
        match first_readable(file, first_seq, bytes, middle, high)? {
            Some((offset, stamp)) if is_before(stamp) => low = Place { offset, seq: stamp.seq },
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first line that begins behind `from` and before `until` and can be read.
fn first_readable(file: &File, first_seq: u64, bytes: u64, from: u64, until: u64) -> io::Result<Option<(u64, Stamp)>> {
    let mut small = [0; TAIL_BYTES];
    let mut large = Vec::new();
    let mut buffer: &mut [u8] = &mut small;
    // `at` is known to be the start of a line, but for the first time.
    let mut at = from;
    let mut is_start = false;
    while at < until {
        let n = block::read_up_to(file, buffer, at)?;
        let mut used = 0;
        while let Some(newline) = memchr::memchr(b'\n', &buffer[used..n]) {
            let (start, end) = (used, used + newline + 1);
            if is_start
                && at + (start as u64) < until
                && let Some(stamp) = line::stamp(&buffer[start..end]).filter(|stamp| line::is_plausible(stamp.seq, first_seq, bytes))
            {
                return Ok(Some((at + start as u64, stamp)));
            }
            is_start = true;
            used = end;
        }
        if used == 0 && n == buffer.len() {
            if buffer.len() == BLOCK_BYTES {
                // No record is that long.
                used = n;
                is_start = false;
            } else {
                large.resize(BLOCK_BYTES, 0);
                buffer = &mut large;
            }
        } else if used == 0 {
            return Ok(None);
        }
        at += used as u64;
    }
    Ok(None)
}

/// What the journal holds.
///
/// # Errors
/// Status 3.
pub(super) fn bounds(dir: &Path) -> Result<Bounds, Failure> {
    let look = || -> io::Result<Bounds> {
        for _ in 0..LOOKS_MAX {
            let Some((oldest_seq, newest)) = segments::ends(dir)? else { return Ok(Bounds { oldest_seq: 1, next_seq: 1 }) };
            // Gone between the two looks: writers rotated, and retention took it. Look again.
            let Some(file) = segments::open(dir, newest)? else { continue };
            let next_seq = tail(&file, newest)?.next_seq;
            // After a failed sync what was stored may be gone from the disk; its seqs are used up all the same.
            let (_, due) = segments::newest(dir)?;
            return Ok(Bounds { oldest_seq, next_seq: due.map_or(next_seq, |due| due.max(next_seq)) });
        }
        Err(io::Error::other("its segments go faster than they can be opened"))
    };
    look().map_err(|error| segments::unreadable(dir, &error))
}

/// The seq of the first record at or after an instant; the next seq if there is none.
///
/// # Errors
/// Status 3.
pub(super) fn first_since(dir: &Path, instant: Timestamp) -> Result<u64, Failure> {
    first_since_io(dir, instant).map_err(|error| segments::unreadable(dir, &error))
}

fn first_since_io(dir: &Path, instant: Timestamp) -> io::Result<u64> {
    let is_before = |stamp: Stamp| stamp.timestamp < instant;
    let found = segments::list(dir)?;
    // How many segments begin before the instant.
    let (mut low, mut high) = (0, found.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let begins_before = match segments::open(dir, found[middle])? {
            Some(file) => Lines::new(Block::new(file, 0), found[middle], found[middle]).first_stamp()?.is_some_and(is_before),
            // Retention takes the oldest.
            None => true,
        };
        if begins_before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let next = found.get(low).copied();
    let Some(first_seq) = low.checked_sub(1).map(|at| found[at]) else { return Ok(next.unwrap_or(1)) };
    let Some(file) = segments::open(dir, first_seq)? else { return Ok(next.unwrap_or(first_seq)) };
    let place = near(&file, first_seq, is_before)?;
    let mut walk = Lines::new(Block::new(file, place.offset), first_seq, place.seq);
    while let Some(stamp) = walk.next()? {
        if let Some(stamp) = stamp.filter(|&stamp| !is_before(stamp)) {
            return Ok(stamp.seq);
        }
    }
    Ok(next.unwrap_or(walk.due))
}
