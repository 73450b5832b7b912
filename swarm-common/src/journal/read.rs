//! Reading: without a lock, in order, from segment to segment; what is missing or damaged is told, never skipped in silence.

use std::io;
use std::path::{Path, PathBuf};

use super::block::{Block, Filled};
use super::line::{self, Due};
use super::{LOOKS_MAX, find, segments};
use crate::exit::Failure;
use crate::json::Scanner;
use crate::ndjson::TooLong;
use crate::platform;

/// One thing a reader meets.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Records.
    Lines {
        /// Whole lines, newlines included: a block of 64 KiB at most, or one line.
        bytes: &'a [u8],
        /// Seq of the first one.
        first_seq: u64,
        /// How many.
        count: u64,
    },
    /// These are gone, by retention or because a segment or lines are missing. Reading goes on behind them.
    Gap {
        /// The first missing seq.
        from_seq: u64,
        /// The last missing seq.
        to_seq: u64,
    },
    /// A line that is not the one due; handed out all the same.
    Damaged {
        /// The seq that was due.
        seq: u64,
        /// The line, newline included; nothing if it is longer than any record.
        bytes: &'a [u8],
        /// What is wrong with it.
        why: String,
    },
    /// Nothing more now.
    End,
}

/// Reads the journal from a seq on, in constant memory.
pub struct Reader {
    dir: PathBuf,
    /// What is before it is not handed out.
    from_seq: u64,
    /// The seq of the line that comes next in the file, which may be before `from_seq`.
    due: Due,
    segment: Option<Segment>,
    scanner: Scanner,
    /// Lines were handed out since the last sync.
    is_unsynced: bool,
    /// Of a sync, which is then never tried again: the second one would say yes to what is lost.
    failure: Option<Failure>,
}

struct Segment {
    first_seq: u64,
    block: Block,
    /// The lines of the block not handed out yet are `at..until`.
    at: usize,
    until: usize,
    /// There is a later segment, so nothing more will be appended to this one.
    successor: Option<u64>,
}

/// What to hand out: a step without its bytes, which are `at..at + length` of the block. Apart from [`Step`], so that the loop need not
/// borrow the block.
enum Found {
    Lines { at: usize, length: usize, first_seq: u64, count: u64 },
    Damaged { at: usize, length: usize, seq: u64, why: String },
    Gap { from_seq: u64, to_seq: u64 },
    End,
}

impl Reader {
    pub(super) fn open(dir: &Path, seq: u64) -> Result<Reader, Failure> {
        let seq = match seq {
            0 => segments::ends(dir).map_err(|error| segments::unreadable(dir, &error))?.map_or(1, |(oldest, _)| oldest),
            seq => seq,
        };
        Ok(Reader {
            dir: dir.to_path_buf(),
            from_seq: seq,
            due: Due::at(seq),
            segment: None,
            scanner: Scanner::new(),
            is_unsynced: false,
            failure: None,
        })
    }

    /// The seq of the first record not handed out yet.
    pub fn next_seq(&self) -> u64 {
        self.due.seq().max(self.from_seq)
    }

    /// Puts on disk what was handed out, so that a cursor may be committed over it: its writer may not have come to its sync yet. Finished
    /// segments were synced before their successor began.
    ///
    /// # Errors
    /// Status 3 when the disk fails, and ever after. The next writer then begins a new segment, so that no seq that was handed out is given
    /// again.
    pub fn sync(&mut self) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let Some(segment) = self.segment.as_ref().filter(|_| self.is_unsynced) else { return Ok(()) };
        if let Err(error) = platform::sync_data(segment.block.file()) {
            let failure = Failure::io(format_args!("sync the journal {}", self.dir.display()), &error);
            let marked = segments::mark_due(&self.dir, self.due.seq(), &segments::settle);
            let failure = match marked {
                Ok(()) => failure,
                Err(error) => failure.hint(segments::unmarked(&self.dir, &error)),
            };
            return Err(self.failure.insert(failure).clone());
        }
        self.is_unsynced = false;
        Ok(())
    }

    /// What comes next. Never waits.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read.
    #[allow(clippy::should_implement_trait, reason = "it lends its buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Step<'_>, Failure> {
        let found = self.find_next().map_err(|error| segments::unreadable(&self.dir, &error))?;
        let lines = self.segment.as_ref().map_or(&[][..], |segment| segment.block.lines());
        self.is_unsynced |= matches!(found, Found::Lines { .. } | Found::Damaged { .. });
        Ok(match found {
            Found::Lines { at, length, first_seq, count } => Step::Lines { bytes: &lines[at..at + length], first_seq, count },
            Found::Damaged { at, length, seq, why } => Step::Damaged { seq, bytes: &lines[at..at + length], why },
            Found::Gap { from_seq, to_seq } => Step::Gap { from_seq, to_seq },
            Found::End => Step::End,
        })
    }

    fn find_next(&mut self) -> io::Result<Found> {
        let mut looks = 0;
        while looks < LOOKS_MAX {
            let Some(segment) = &mut self.segment else {
                match self.place()? {
                    Placed::Here => {}
                    Placed::Again => looks += 1,
                    Placed::Found(found) => return Ok(found),
                }
                continue;
            };
            if segment.at < segment.until {
                if let Some(found) = segment.next(&mut self.due, self.from_seq, &mut self.scanner)? {
                    return Ok(found);
                }
                continue;
            }
            match segment.fill()? {
                Filled::Lines(_) => {}
                Filled::TooLong(_) => {
                    let seq = self.due.seq();
                    self.due.advance();
                    if seq >= self.from_seq {
                        return Ok(Found::Damaged { at: 0, length: 0, seq, why: TooLong.to_string() });
                    }
                }
                Filled::Nothing if segment.successor.is_none() => {
                    let (_, after) = segments::around(&self.dir, segment.first_seq)?;
                    if after.is_none() {
                        return Ok(Found::End);
                    }
                    // Read it to its end once more: lines may have come between our last read and the look at the directory.
                    segment.successor = after;
                }
                Filled::Nothing => match self.turn()? {
                    Placed::Here => {}
                    Placed::Again => looks += 1,
                    Placed::Found(found) => return Ok(found),
                },
            }
        }
        Err(io::Error::other("its segments go faster than they can be opened"))
    }

    /// Opens the segment that holds the line due, near that line.
    fn place(&mut self) -> io::Result<Placed> {
        let due = self.due.seq();
        let (before, after) = segments::around(&self.dir, due)?;
        let Some(first_seq) = before else {
            return Ok(match after {
                Some(oldest) => self.go_on_at(oldest),
                None => Placed::Found(Found::End),
            });
        };
        let Some(file) = segments::open(&self.dir, first_seq)? else { return Ok(Placed::Again) };
        let place = find::near(&file, first_seq, |stamp| stamp.seq <= due)?;
        self.due = Due::at(place.seq);
        self.segment = Some(Segment { first_seq, block: Block::new(file, place.offset), at: 0, until: 0, successor: None });
        Ok(Placed::Here)
    }

    /// From a finished segment, read to its end, to its successor. Its name must be last + 1 (DESIGN 3).
    fn turn(&mut self) -> io::Result<Placed> {
        let Some(segment) = &mut self.segment else { return Ok(Placed::Again) };
        let Some(successor) = segment.successor.take() else { return Ok(Placed::Again) };
        // Gone meanwhile: look for the one behind it.
        let Some(file) = segments::open(&self.dir, successor)? else { return Ok(Placed::Again) };
        segment.first_seq = successor;
        segment.block.turn_to(file, 0);
        (segment.at, segment.until) = (0, 0);
        Ok(self.go_on_at(successor))
    }

    /// The line that comes next has this seq; what is missing before it is told, unless nobody asked for it.
    fn go_on_at(&mut self, seq: u64) -> Placed {
        let missing = self.next_seq();
        self.due = Due::at(seq);
        if missing < seq { Placed::Found(Found::Gap { from_seq: missing, to_seq: seq - 1 }) } else { Placed::Here }
    }
}

/// What came of looking for a segment.
enum Placed {
    Here,
    /// Retention took it first.
    Again,
    Found(Found),
}

impl Segment {
    /// Reads on, once all lines of the block are handed out.
    fn fill(&mut self) -> io::Result<Filled> {
        debug_assert_eq!(self.at, self.until);
        self.block.advance(self.until as u64);
        (self.at, self.until) = (0, 0);
        let filled = self.block.fill()?;
        match filled {
            Filled::Lines(bytes) => self.until = bytes,
            Filled::TooLong(bytes) => self.block.advance(bytes),
            Filled::Nothing => {}
        }
        Ok(filled)
    }

    /// The next lines of the block as far as each has the seq due, else what the first one is instead. `None` when it was not asked for.
    fn next(&mut self, due: &mut Due, from_seq: u64, scanner: &mut Scanner) -> io::Result<Option<Found>> {
        while due.seq() < from_seq && self.is_due(due) {
            self.at += self.line_length();
            due.advance();
        }
        let (start, first_seq, mut count) = (self.at, due.seq(), 0);
        while self.is_due(due) {
            self.at += self.line_length();
            due.advance();
            count += 1;
        }
        if count > 0 {
            return Ok(Some(Found::Lines { at: start, length: self.at - start, first_seq, count }));
        }
        if self.at == self.until {
            return Ok(None);
        }
        self.next_odd(due, from_seq, scanner)
    }

    /// Whether the next line begins as it has to; false at the end of the block.
    #[inline]
    fn is_due(&self, due: &Due) -> bool {
        self.block.lines()[self.at..self.until].starts_with(due.prefix())
    }

    #[inline]
    fn line_length(&self) -> usize {
        let rest = &self.block.lines()[self.at..self.until];
        memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1)
    }

    /// A line that does not begin as the journal writes it: written in another way, behind a gap, or damaged.
    fn next_odd(&mut self, due: &mut Due, from_seq: u64, scanner: &mut Scanner) -> io::Result<Option<Found>> {
        let (at, length, seq) = (self.at, self.line_length(), due.seq());
        let is_wanted = seq >= from_seq;
        let known = line::known(&self.block.lines()[at..at + length], scanner);
        let said = known.as_ref().ok().and_then(|known| known.seq);
        let why = match (said, known) {
            (Some(said), _) if said == seq => {
                self.at += length;
                due.advance();
                return Ok(is_wanted.then_some(Found::Lines { at, length, first_seq: seq, count: 1 }));
            }
            (Some(said), _) if said > seq && self.can_hold(said)? => {
                // Lines are missing before it. It is looked at again, as the one due.
                *due = Due::at(said);
                let missing = seq.max(from_seq);
                return Ok((missing < said).then_some(Found::Gap { from_seq: missing, to_seq: said - 1 }));
            }
            (Some(said), _) => format!("it says seq {said}"),
            (None, Ok(_)) => "it has no seq".into(),
            (None, Err(why)) => why,
        };
        self.at += length;
        // A seq that was there before is one line too many; any other damaged line stands for the one due.
        if said.is_none_or(|said| said > seq) {
            due.advance();
        }
        Ok(is_wanted.then_some(Found::Damaged { at, length, seq, why }))
    }

    /// Whether a line of this segment can have that seq.
    fn can_hold(&self, seq: u64) -> io::Result<bool> {
        let bytes = self.block.file().metadata()?.len();
        Ok(line::is_plausible(seq, self.first_seq, bytes) && self.successor.is_none_or(|next| seq < next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_failed_sync_is_not_tried_again_and_the_next_writer_begins_behind_what_was_handed_out() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(segments::begin(dir.path(), 1, &segments::settle).expect("begun"));
        let segment = |file| Some(Segment { first_seq: 1, block: Block::new(file, 0), at: 0, until: 0, successor: None });
        // A pipe cannot be synced.
        let (pipe, _writer) = std::io::pipe().expect("a pipe");
        let mut reader = Reader::open(dir.path(), 5).expect("a reader");
        (reader.segment, reader.is_unsynced) = (segment(File::from(OwnedFd::from(pipe))), true);
        let failure = reader.sync().expect_err("a pipe");
        assert_eq!(segments::newest(dir.path()).expect("listed"), (Some(1), Some(5)));
        reader.segment = segment(segments::open(dir.path(), 1).expect("opened").expect("there"));
        assert_eq!(reader.sync(), Err(failure), "though the disk would say yes now");
    }
}
