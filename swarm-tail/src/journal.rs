//! The journal printed: from a place on, followed, and resumed through a cursor. A cursor moves over what standard output took, never
//! further: first the output is flushed, then the segment is synced, then the cursor is written (DESIGN 3).
//!
//! No signal is handled: whoever is killed in between has printed more than the cursor knows, and prints that again.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use swarm_common::cursor::{self, Cursor};
use swarm_common::exit::{self, Exit, Failure, say};
use swarm_common::identity;
use swarm_common::journal::{Journal, Reader, Step};
use swarm_common::ndjson::{self, Out};
use swarm_common::platform::{Watch, Woken};
use swarm_common::registry::Registry;
use swarm_common::store::Store;
use swarm_common::text;
use swarm_send::besides;

use crate::NAME;
use crate::cap::Cap;
use crate::cli::{self, From, Peek, Wanted};
use crate::inbox::{Inbox, Run};
use crate::pipe::{PIECE_BYTES, is_pipe};

/// A cursor is not left behind for longer.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A cursor that would only move over what is for others waits until there is so much of it: nothing is lost where it has to be passed
/// over again.
const PASSED_OVER_MAX: u64 = 10_000;

/// So many damaged places are told one by one; the rest are counted.
const TOLD_MAX: u64 = 10;

/// Of a damaged line so many characters are shown.
const EXCERPT_CHARS: usize = 60;

/// Prints what is wanted of the store's journal.
///
/// # Errors
/// Status 1 when the cursor is in use, 3 when the journal cannot be read or the cursor not be moved; what writing fails with.
pub fn print(store: &Store, wanted: &Wanted, out: Out) -> Result<Exit, Failure> {
    let journal = store.journal();
    // Before the first look, so that nothing falls between.
    let watch = wanted.is_followed.then(|| journal.watch());
    if let Some(why) = watch.as_ref().and_then(Watch::polling) {
        say(NAME, &format!("{why}: looking every 100 ms"));
    }
    let (cursor, inbox, begin) = match &wanted.reader {
        None => (None, None, begin(&journal, wanted.from)?),
        Some((reader, peek)) => {
            let (name, inbox) = match reader {
                cli::Reader::Cursor(name) => (name.clone(), None),
                cli::Reader::Inbox { given, force } => {
                    // To look is free; to mark another's messages as read is not.
                    let is_free = *force || *peek == Peek::Yes;
                    let (me, _) = identity::who(store, given.as_deref(), is_free)?.known()?;
                    (cursor::of_inbox(&me), Some(Inbox::of(&me, all_from(store, &journal, &me)?)))
                }
            };
            let cursor = open(store, &name, *peek, inbox.as_ref())?;
            let begin = cursor.next_seq().unwrap_or(0);
            (Some((cursor, name)), inbox, begin)
        }
    };
    let reader = journal.read_from(begin)?;
    let is_moved = wanted.reader.as_ref().is_some_and(|(_, peek)| *peek == Peek::No);
    let is_paced = is_moved && is_pipe(out.fd());
    let next_seq = reader.next_seq();
    let cap = Cap::new(wanted.records_max, wanted.bytes_max);
    let (is_seq_given, faults) = (wanted.from.seq.is_some(), Faults::default());
    Session {
        attends: wanted.is_read().then_some(store),
        is_seq_given,
        journal,
        reader,
        out,
        cap,
        cursor,
        inbox,
        counted: wanted.is_counted.then_some(0),
        is_moved,
        is_paced,
        block: Vec::new(),
        runs: Vec::new(),
        next_seq,
        committed_at: Instant::now(),
        is_owed: false,
        faults,
    }
    .run(watch)
}

/// The seq from which on what is sent to everybody is for this agent too: it was not there before it was registered.
fn all_from(store: &Store, journal: &Journal, me: &str) -> Result<u64, Failure> {
    match Registry::of(store).get(me) {
        Ok(None) => Ok(0),
        Ok(Some(agent)) => journal.first_since(agent.registered_at),
        // Messages too many are better than an agent that cannot read any.
        Err(failure) => {
            exit::tell(NAME, &failure);
            Ok(0)
        }
    }
}

fn open(store: &Store, name: &str, peek: Peek, inbox: Option<&Inbox>) -> Result<Cursor, Failure> {
    let is_peek = peek == Peek::Yes;
    let dir = if is_peek { store.cursors_place() } else { store.cursors_dir()? };
    let Some(inbox) = inbox else { return Cursor::open(&dir, name, is_peek) };
    Cursor::open(&dir, name, is_peek).map_err(|failure| match failure.exit {
        Exit::No => Failure::no(format!("the inbox of {} is being read by another process", inbox.me()))
            .hint(format!("end it (fuser {} tells its process)\nto look without having read:  --inbox --peek", dir.join(name).display())),
        _ => failure,
    })
}

/// The seq to begin at: all that is given narrows. 0 is the oldest record.
fn begin(journal: &Journal, from: From) -> Result<u64, Failure> {
    let mut begin = from.seq.unwrap_or(0);
    if let Some(lines) = from.lines {
        let bounds = journal.bounds()?;
        begin = begin.max(bounds.next_seq.saturating_sub(lines).max(bounds.oldest_seq));
    }
    if let Some(since) = from.since {
        begin = begin.max(journal.first_since(since)?);
    }
    Ok(begin)
}

/// One call at work.
struct Session<'a> {
    /// An agent reads its inbox, and does a piece of what is due.
    attends: Option<&'a Store>,
    journal: Journal,
    reader: Reader,
    out: Out,
    cap: Cap,
    cursor: Option<(Cursor, String)>,
    /// Only what is for one agent.
    inbox: Option<Inbox>,
    /// Nothing is printed but how many there were: so many till now.
    counted: Option<u64>,
    /// The cursor is there to be moved.
    is_moved: bool,
    /// The user named the seq to begin at.
    is_seq_given: bool,
    /// Writing may block while the cursor has to be moved.
    is_paced: bool,
    /// The lines being written, where that is so.
    block: Vec<u8>,
    /// Where what is printed stands in the block that was read.
    runs: Vec<Run>,
    /// The first record that stdout has not taken, or has no claim to.
    next_seq: u64,
    committed_at: Instant,
    /// Since the cursor was moved, something was printed or told; it is not only that others' records were passed over.
    is_owed: bool,
    faults: Faults,
}

impl Session<'_> {
    fn run(mut self, mut watch: Option<Watch>) -> Result<Exit, Failure> {
        // Any other place to begin was taken from the journal itself.
        let mut is_first = self.cursor.is_some() || self.is_seq_given;
        while !self.cap.is_reached() {
            let is_end = self.step()?;
            if is_end && !(is_first && self.is_beyond_the_end()?) {
                let Some(watch) = &mut watch else { break };
                self.commit_if_worth_it()?;
                if let Some(store) = &self.attends {
                    besides::after_reading(store);
                }
                if watch.wait(self.out.fd(), None)? == Woken::ReaderGone {
                    return Err(ndjson::reader_gone());
                }
            } else if self.is_moved && self.committed_at.elapsed() >= COMMIT_EVERY {
                self.commit()?;
            }
            is_first = false;
        }
        self.commit()?;
        if self.cap.is_reached() {
            self.tell_remaining()?;
        }
        self.end()
    }

    /// The last words, and the status.
    fn end(mut self) -> Result<Exit, Failure> {
        let (Some(count), Some(inbox)) = (self.counted, &self.inbox) else { return Ok(self.faults.sum_up()) };
        // An id needs no escapes.
        self.out.line(format!("{{\"agent_id\":\"{}\",\"unread\":{count}}}", inbox.me()).as_bytes())?;
        self.out.flush()?;
        let exit = if count > 0 { Exit::Yes } else { Exit::No };
        Ok(exit.max(self.faults.sum_up()))
    }

    /// Prints what comes next. True when there is nothing more now.
    fn step(&mut self) -> Result<bool, Failure> {
        match self.reader.next()? {
            Step::Lines { bytes, first_seq, count } => {
                self.runs.clear();
                match &mut self.inbox {
                    None => self.runs.push(Run { bytes: 0..bytes.len(), first_seq, count }),
                    Some(inbox) => inbox.sift(bytes, first_seq, &mut self.runs, |seq, line, why| {
                        self.faults.damaged(seq, line, why);
                        self.is_owed = true;
                    }),
                }
                let end_seq = self.cap.cut(bytes, &mut self.runs).unwrap_or(first_seq + count);
                self.is_owed |= !self.runs.is_empty();
                if let Some(counted) = &mut self.counted {
                    *counted += self.runs.iter().map(|run| run.count).sum::<u64>();
                } else if self.is_paced {
                    self.block.clear();
                    self.runs.iter().for_each(|run| self.block.extend_from_slice(&bytes[run.bytes.clone()]));
                    self.print_paced()?;
                } else {
                    for run in &self.runs {
                        self.out.lines(&bytes[run.bytes.clone()])?;
                    }
                    // Each block at once: to find out that no more has come takes longer than the write.
                    self.out.flush()?;
                }
                self.next_seq = end_seq;
            }
            Step::Gap { from_seq, to_seq } => {
                self.is_owed = true;
                self.faults.gap(from_seq, to_seq, self.journal.bounds()?.oldest_seq > to_seq);
                self.next_seq = to_seq + 1;
            }
            Step::Damaged { seq, bytes, why } => {
                self.is_owed = true;
                self.faults.damaged(seq, bytes, &why);
                self.next_seq = self.reader.next_seq();
            }
            Step::End => return Ok(true),
        }
        Ok(false)
    }

    /// Writes the block in pieces that never block, so that a reader who takes his time does not keep the cursor behind what he took.
    fn print_paced(&mut self) -> Result<(), Failure> {
        let block = std::mem::take(&mut self.block);
        let mut printed = 0;
        for piece in block.chunks(PIECE_BYTES) {
            while !wait_for_room(self.out.fd(), COMMIT_EVERY.saturating_sub(self.committed_at.elapsed()))? {
                self.commit()?;
            }
            self.out.lines(piece)?;
            self.out.flush()?;
            printed += newlines(piece);
            self.next_seq = self.seq_behind(printed);
        }
        self.block = block;
        Ok(())
    }

    /// The seq behind so many lines of the runs.
    fn seq_behind(&self, mut lines: u64) -> u64 {
        for run in &self.runs {
            if lines <= run.count {
                // Not one of the run: what was passed over before it may be passed over again.
                return if lines == 0 { self.next_seq } else { run.first_seq + lines };
            }
            lines -= run.count;
        }
        self.next_seq
    }

    /// Moves the cursor at a pause; not for a few records of others alone, or each of them would cost every idle reader a write.
    fn commit_if_worth_it(&mut self) -> Result<(), Failure> {
        let committed = self.cursor.as_ref().and_then(|(cursor, _)| cursor.next_seq()).unwrap_or(1);
        if self.is_owed || self.next_seq.saturating_sub(committed) >= PASSED_OVER_MAX { self.commit() } else { Ok(()) }
    }

    /// Moves the cursor over what stdout took.
    fn commit(&mut self) -> Result<(), Failure> {
        if let Some((cursor, _)) = self.cursor.as_mut().filter(|_| self.is_moved) {
            if cursor.next_seq() != Some(self.next_seq) {
                self.reader.sync()?;
                cursor.commit(self.next_seq)?;
            }
            (self.committed_at, self.is_owed) = (Instant::now(), false);
        }
        Ok(())
    }

    /// Whether the place to begin is behind the journal's end, which is told. A cursor can only have got there in another journal, or in
    /// a newer state of this one: it goes back to the oldest record, since to wait would be to miss records in silence.
    fn is_beyond_the_end(&mut self) -> Result<bool, Failure> {
        let bounds = self.journal.bounds()?;
        if self.next_seq <= bounds.next_seq {
            return Ok(false);
        }
        let end = match bounds.next_seq - 1 {
            0 => "the journal is empty".to_string(),
            last => format!("the journal ends at seq {last}"),
        };
        let Some((_, name)) = &self.cursor else {
            say(NAME, &format!("seq {} is not stored yet: {end}", self.next_seq));
            return Ok(false);
        };
        say(
            NAME,
            &format!(
                "the cursor '{name}' is at seq {}, but {end}: going on at the oldest record, seq {}",
                self.next_seq, bounds.oldest_seq
            ),
        );
        self.reader = self.journal.read_from(0)?;
        self.next_seq = self.reader.next_seq();
        self.is_owed = true;
        Ok(true)
    }

    fn tell_remaining(&mut self) -> Result<(), Failure> {
        if let Some(inbox) = &mut self.inbox {
            let how = if self.is_moved { "call again" } else { "a larger cap shows them" };
            if let Some(remain) = inbox.remain(&mut self.journal.read_from(self.next_seq)?)? {
                say(NAME, &format!("{remain}: {how}"));
            }
            return Ok(());
        }
        let remain = self.journal.bounds()?.next_seq.saturating_sub(self.next_seq);
        if remain > 0 {
            let next_seq = self.next_seq;
            let records = if remain == 1 { "1 more record remains" } else { &format!("{remain} more records remain") };
            let how =
                if self.is_moved { format!("the next call goes on at seq {next_seq}") } else { format!("--from-seq {next_seq} goes on") };
            say(NAME, &format!("{records}: {how}"));
        }
        Ok(())
    }
}

/// What is missing or damaged: told, and remembered for the exit status.
#[derive(Default)]
struct Faults {
    count: u64,
}

impl Faults {
    /// Seqs that are not there. Retention is the user's wish, and no fault.
    fn gap(&mut self, from_seq: u64, to_seq: u64, is_retention: bool) {
        let seqs = if from_seq == to_seq { format!("seq {from_seq} is") } else { format!("seqs {from_seq} to {to_seq} are") };
        let next = to_seq + 1;
        if is_retention {
            say(NAME, &format!("{seqs} no longer kept: going on at the oldest record, seq {next}"));
        } else {
            self.fault(&format!("{seqs} missing from the journal: going on at seq {next}"));
        }
    }

    /// A line that is no record, or not the one that is due. It is not printed: behind it stand programs that want records, each once.
    fn damaged(&mut self, seq: u64, line: &[u8], why: &str) {
        let shown = if line.is_empty() { String::new() } else { format!(": {}", text::excerpt(line, EXCERPT_CHARS)) };
        self.fault(&format!("left out a damaged line of the journal where seq {seq} is due ({why}){shown}"));
    }

    fn fault(&mut self, words: &str) {
        self.count += 1;
        if self.count <= TOLD_MAX {
            say(NAME, words);
        }
    }

    /// At the end: how many there were, where not each was told.
    fn sum_up(&self) -> Exit {
        if self.count > TOLD_MAX {
            say(NAME, &format!("{} missing or damaged places in all", self.count));
        }
        if self.count > 0 { Exit::System } else { Exit::Yes }
    }
}

fn newlines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Waits until the output takes a piece without blocking; false when the time is out.
fn wait_for_room(output: BorrowedFd<'_>, timeout: Duration) -> Result<bool, Failure> {
    let left = PollTimeout::try_from(timeout.as_millis()).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(output, PollFlags::POLLOUT)];
    match poll(&mut fds, left) {
        Ok(0) | Err(Errno::EINTR) => return Ok(false),
        Ok(_) => {}
        Err(error) => return Err(Failure::io("wait for the output", &error.into())),
    }
    match fds[0].revents() {
        // The write will say what is wrong.
        Some(events) if events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) => Err(ndjson::reader_gone()),
        _ => Ok(true),
    }
}
