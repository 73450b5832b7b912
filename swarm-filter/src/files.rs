//! Regular files: read in large blocks, and judged on several cores where there is enough to do. The blocks come out in
//! their order, so nobody can tell by the output how many worked.
//!
//! pread(2) and not mmap(2): a file that is cut while it is mapped kills its reader with SIGBUS, and the journal's writers do cut torn
//! tails; a map is unsafe code; and its pages count as the program's memory. The price is the kernel's copy, 65 ms of processor for 590 MB,
//! more than all that is done here for a rare type (measured: 42 ms); two cores share it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use swarm_common::exit::Failure;
use swarm_common::ndjson::LINE_BYTES_MAX;

use crate::blocks::{Block, Cut, Found, judge_block, why};
use crate::condition::{Judge, Room};
use crate::output::{Flow, Sink};

/// How a file is read. The result is the same for all values.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What is read at once.
    pub block_bytes: usize,
    /// So many threads judge, this one included.
    pub workers: usize,
}

/// A block and its neighbours' share of the file cache fit a core's second-level cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// From here on a second thread pays: to start one takes as long as to judge 200 KB (measured: 50 us), so well above it.
const WORKERS_FROM_BYTES: u64 = 4 * 1024 * 1024;

/// More would wait for their turn: reading and writing are one at a time.
const WORKERS_MAX: usize = 4;

impl Settings {
    /// For a file of which so many bytes are left to read.
    pub fn for_bytes(left_bytes: u64) -> Self {
        let workers = if left_bytes < WORKERS_FROM_BYTES { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
        Self { block_bytes: BLOCK_BYTES, workers: workers.min(WORKERS_MAX) }
    }
}

/// What the workers share.
struct Work<'a, S> {
    judge: &'a Judge,
    file: &'a File,
    cut: Cut,
    /// The next block that nobody has begun.
    next: AtomicU64,
    turn: Mutex<Turn<'a, S>>,
    turned: Condvar,
}

/// Whose block is handed on next, and what came of it so far.
struct Turn<'a, S> {
    number: u64,
    lines_before: u64,
    /// Blocks behind `number` that are done and have nothing to hand on: how many lines they hold. So who searches for what is rare
    /// never waits.
    done: VecDeque<Option<u32>>,
    end: Option<Result<Flow, Failure>>,
    sink: &'a mut S,
}

/// So far ahead of the others a worker may be; a slow disk can hold one of them up.
const AHEAD_MAX: u64 = 64;

/// Filters `file` from `from` to its end, or until the sink has enough.
///
/// # Errors
/// What reading, or the sink, fails with.
pub fn run(file: &File, from: u64, settings: Settings, judge: &Judge, sink: &mut (impl Sink + Send)) -> Result<Flow, Failure> {
    let work = Work {
        judge,
        file,
        cut: Cut { from, bytes: settings.block_bytes },
        next: AtomicU64::new(0),
        turn: Mutex::new(Turn { number: 0, lines_before: 0, done: VecDeque::new(), end: None, sink }),
        turned: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 1..settings.workers {
            // Where no thread is to be had, those who are there do the work.
            if thread::Builder::new().spawn_scoped(scope, || work.join_in()).is_err() {
                break;
            }
        }
        work.join_in();
    });
    let turn = work.turn.into_inner().unwrap_or_else(PoisonError::into_inner);
    turn.end.unwrap_or(Ok(Flow::On))
}

impl<'a, S: Sink> Work<'a, S> {
    /// Takes block after block until there is none, or somebody found the end.
    fn join_in(&self) {
        let (mut block, mut room, mut found) = (Block::default(), Room::default(), Vec::new());
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let read = block.read(self.file, self.cut, number);
            let lines = if read.is_ok() { judge_block(self.judge, &block, &mut room, &mut found) } else { 0 };
            let is_plain = read.is_ok() && !block.is_last && found.is_empty();
            let mut turn = self.wait_for_turn(number, is_plain);
            if turn.end.is_some() {
                return;
            }
            if turn.number != number {
                turn.put_off(number, lines);
                continue;
            }
            let handed = read.and_then(|()| self.hand_on(&mut turn, &block, &found, &mut room));
            // Who waits for output that never comes has to learn that its reader is gone, too.
            turn.end = match handed.and_then(|flow| turn.sink.wait(self.file.as_fd()).map(|()| flow)) {
                Ok(Flow::On) if block.is_last => Some(Ok(Flow::On)),
                Ok(Flow::On) => None,
                end => Some(end),
            };
            turn.advance(lines);
            self.turned.notify_all();
            if turn.end.is_some() {
                return;
            }
        }
    }

    /// Until everything before block `number` is handed on; with nothing to hand on, only until those before are near enough.
    fn wait_for_turn(&self, number: u64, is_plain: bool) -> MutexGuard<'_, Turn<'a, S>> {
        // A worker that panics ends the program (panic = abort); in a test build the scope passes the panic on.
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead_max = if is_plain { AHEAD_MAX } else { 0 };
        while turn.end.is_none() && number - turn.number > ahead_max {
            turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        turn
    }

    fn hand_on(&self, turn: &mut Turn<'_, S>, block: &Block, found: &[Found], room: &mut Room) -> Result<Flow, Failure> {
        let slice = |start: u32, end: u32| &block.bytes()[start as usize..end as usize];
        for &one in found {
            match one {
                Found::Pass { start, end, count } => {
                    if turn.sink.pass(slice(start, end), u64::from(count))? == Flow::Done {
                        return Ok(Flow::Done);
                    }
                }
                Found::Bad { start, end, number } => {
                    let line = slice(start, end);
                    if let Some(why) = why(self.judge, line, room) {
                        turn.sink.bad(turn.lines_before + u64::from(number), line, &why)?;
                    }
                }
                Found::TooLong { start, end, number, is_cut } => {
                    let number = turn.lines_before + u64::from(number);
                    turn.sink.too_long(number, slice(start, end), true, !is_cut)?;
                    if is_cut {
                        self.hand_on_rest(turn, number, block.end())?;
                    }
                }
            }
        }
        Ok(Flow::On)
    }

    /// The rest of a line over the limit, from `at` to its newline or the end of the file.
    fn hand_on_rest(&self, turn: &mut Turn<'_, S>, number: u64, mut at: u64) -> Result<(), Failure> {
        let mut piece = vec![0; LINE_BYTES_MAX];
        loop {
            let len = match self.file.read_at(&mut piece, at) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::io("read the input", &error)),
            };
            at += len as u64;
            let newline = memchr::memchr(b'\n', &piece[..len]);
            let is_rest = newline.is_some() || len == 0;
            turn.sink.too_long(number, &piece[..newline.unwrap_or(len)], false, is_rest)?;
            if is_rest {
                return Ok(());
            }
        }
    }
}

impl<S> Turn<'_, S> {
    /// Remembers a block that is done before its turn.
    fn put_off(&mut self, number: u64, lines: u32) {
        // At most AHEAD_MAX.
        let place = usize::try_from(number - self.number - 1).unwrap_or(0);
        if self.done.len() <= place {
            self.done.resize(place + 1, None);
        }
        self.done[place] = Some(lines);
    }

    /// The block whose turn it was is handed on, and with it those behind it that were done before their turn.
    fn advance(&mut self, lines: u32) {
        let mut handed = Some(lines);
        while let Some(lines) = handed {
            self.number += 1;
            self.lines_before += u64::from(lines);
            handed = self.done.pop_front().flatten();
        }
    }
}
