//! Regular files: read in large blocks, and judged on several cores where there is enough to do. The blocks come out in
//! their order, so nobody can tell by the output how many worked.
//!
//! read(2) and not mmap(2): a file that is cut while it is mapped kills its reader with SIGBUS, and a map is unsafe code. Blocks
//! that stay in a core's cache cost about as little (LESSONS: 90-109 ms mapped, with two threads).

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use swarm_common::exit::Failure;

use crate::blocks::{Block, Found, Source, judge_block, why};
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
    source: Mutex<Source<&'a File>>,
    turn: Mutex<Turn<'a, S>>,
    turned: Condvar,
}

/// Whose block is handed on next, and what came of it so far.
struct Turn<'a, S> {
    index: u64,
    lines_before: u64,
    end: Option<Result<Flow, Failure>>,
    sink: &'a mut S,
}

/// Filters `file` from its current position to its end, or until the sink has enough.
///
/// # Errors
/// What reading, or the sink, fails with.
pub fn run(file: &File, settings: Settings, judge: &Judge, sink: &mut (impl Sink + Send)) -> Result<Flow, Failure> {
    let work = Work {
        judge,
        source: Mutex::new(Source::new(file, settings.block_bytes)),
        turn: Mutex::new(Turn { index: 0, lines_before: 0, end: None, sink }),
        turned: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 1..settings.workers {
            // Where no thread is to be had, those who are there do the work.
            if thread::Builder::new().spawn_scoped(scope, || work.join_in(file)).is_err() {
                break;
            }
        }
        work.join_in(file);
    });
    let turn = work.turn.into_inner().unwrap_or_else(PoisonError::into_inner);
    turn.end.unwrap_or(Ok(Flow::On))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A worker that panics ends the program (panic = abort); in a test build the scope passes the panic on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Sink> Work<'_, S> {
    /// Takes block after block until there is none, or somebody found the end.
    fn join_in(&self, file: &File) {
        let (mut block, mut room, mut found) = (Block::default(), Room::default(), Vec::new());
        loop {
            let read = lock(&self.source).next(&mut block);
            let lines = if matches!(read, Ok(true)) { judge_block(self.judge, &block, &mut room, &mut found) } else { 0 };
            let mut turn = lock(&self.turn);
            while turn.index != block.index && turn.end.is_none() {
                turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            if turn.end.is_some() {
                return;
            }
            turn.end = match read {
                Err(failure) => Some(Err(failure)),
                Ok(false) => Some(Ok(Flow::On)),
                Ok(true) => match self.hand_on(&mut turn, &block, &found, &mut room).and_then(|flow| {
                    turn.sink.wait(file.as_fd())?;
                    Ok(flow)
                }) {
                    Ok(Flow::On) => None,
                    end => Some(end),
                },
            };
            turn.index += 1;
            turn.lines_before += u64::from(lines);
            self.turned.notify_all();
        }
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
                Found::TooLong { start, end, number, first, last } => {
                    turn.sink.too_long(turn.lines_before + u64::from(number), slice(start, end), first, last)?;
                }
            }
        }
        Ok(Flow::On)
    }
}
