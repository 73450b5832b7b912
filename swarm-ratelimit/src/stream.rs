//! The stream: each line is read, judged, and passed, dropped, marked or held back. One loop for all of that.
//!
//! The clock is read once for each read(2): the records that came with it arrived together.

use std::fs::File;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use swarm_common::exit::{Exit, Failure};
use swarm_common::json::is_blank;
use swarm_common::ndjson::{LINE_BYTES_MAX, Lines, Out, Piece, Rejects};

use crate::held::Held;
use crate::limiter::Limiter;
use crate::notice::Notices;
use crate::record::{self, By, Clock, Room, Why};
use crate::shared::boottime_us;
use crate::wake::{Patient, Signals};
use crate::window::{Taken, after, micros};

/// What becomes of a record that is over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// It does not pass: it is kept where the user gave a file for it, and counted.
    #[default]
    Drop,
    /// It passes when it may, behind the earlier ones of its key.
    Delay,
    /// It passes with a field that says so.
    Mark,
}

/// Dropped lines are gathered before they are written. As the output's.
const KEPT_BYTES: usize = 65_536;

/// What a stream is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What makes two records share a window.
    pub by: By,
    /// Whose clock the windows run on.
    pub clock: Clock,
    /// What becomes of what is over the limit.
    pub over: Over,
    /// Keys beyond so many share one window.
    pub keys_max: usize,
}

/// One stream, and what it needs to do its work.
pub struct Stream {
    terms: Terms,
    limiter: Limiter,
    held: Held,
    out: Out<Patient>,
    rejects: Rejects,
    notices: Notices,
    signals: Rc<Signals>,
    number: u64,
    // Room for lines on their way, so that a stream allocates once.
    room: Room,
    marked: Vec<u8>,
    /// Dropped lines that are not written yet.
    kept: Vec<u8>,
}

impl Stream {
    /// A stream at its beginning. `limiter` answers, `out` has what passes, `rejects` what is bad or dropped; `signals` end it early.
    pub fn new(terms: Terms, limiter: Limiter, out: Out<Patient>, rejects: Rejects, notices: Notices, signals: Rc<Signals>) -> Stream {
        let (room, marked, kept) = (Room::default(), Vec::new(), Vec::new());
        Stream { terms, limiter, held: Held::default(), out, rejects, notices, signals, number: 0, room, marked, kept }
    }

    /// Passes `input` on until it ends and nobody waits any more, or a signal comes: then who waits is kept with the rejected lines.
    ///
    /// # Errors
    /// Status 2 for bad input with `--strict`, 3 when the system failed. What was passed stays passed.
    pub fn run(mut self, input: File) -> Result<Exit, Failure> {
        let mut lines = Lines::new(input);
        let mut ended = self.pump(&mut lines);
        if ended.is_ok() && self.signals.caught().is_some() {
            // What was read already can't be given back, be it half a line: that is bad, so it is told and kept.
            lines.end();
            ended = self.take_in(&mut lines, boottime_us(), |_| true).map(|_| ());
        }
        let waiting = self.held.count();
        let kept = self.write_kept();
        let Stream { held, rejects, .. } = &mut self;
        let given_up = held.give_up(|line| rejects.keep(line, true));
        let flushed = self.out.flush();
        if !ended.as_ref().is_err_and(Failure::is_quiet) {
            self.rejects.sum_up();
            self.notices.sum_up();
            if waiting > 0 {
                self.notices.given_up(waiting);
            }
        }
        ended.and(kept).and(given_up).and(flushed)?;
        let is_bad = self.rejects.count() > 0 && !self.rejects.are_kept();
        Ok(if is_bad { Exit::Wrong } else { Exit::Yes })
    }

    fn pump(&mut self, lines: &mut Lines<File>) -> Result<(), Failure> {
        let mut now_us = boottime_us();
        loop {
            let is_all_in = self.take_in(lines, now_us, Held::has_room)?;
            let Stream { held, limiter, out, .. } = self;
            // A signal came while another had the window: who waits goes on waiting, for the little time that is left.
            let waits = Taken::No { retry_after: Duration::ZERO };
            held.release(now_us, |key| Ok(limiter.take(key, now_us)?.unwrap_or(waits)), |line| out.line(line))?;
            if (lines.is_done() && self.held.is_empty()) || self.signals.caught().is_some() {
                return Ok(());
            }
            if !is_all_in && self.held.has_room() {
                // Who went out made room: first for what was read already, for there is no place for more.
                continue;
            }
            // Before the output, whose reader may let us wait.
            self.write_kept()?;
            self.out.flush()?;
            let is_reading = is_all_in && self.held.has_room() && !lines.is_done();
            let input = is_reading.then(|| lines.input().as_fd());
            let until_due = self.held.next_us().map(|due_us| micros(due_us - boottime_us()));
            if self.signals.wait(input, self.out.fd(), until_due)? {
                lines.fill()?;
            }
            now_us = boottime_us();
        }
    }

    /// Takes in what is read already, while there is room for it. True when that was all of it.
    fn take_in(&mut self, lines: &mut Lines<File>, now_us: i64, has_room: impl Fn(&Held) -> bool) -> Result<bool, Failure> {
        while has_room(&self.held) {
            let Some(piece) = lines.buffered() else { return Ok(true) };
            match piece {
                Piece::Line(line) => {
                    self.number += 1;
                    self.line(line, now_us)?;
                }
                Piece::TooLong { part, first, last } => {
                    self.number += u64::from(first);
                    self.write_kept()?;
                    self.rejects.too_long("", self.number, part, first, last)?;
                }
            }
        }
        Ok(false)
    }

    fn line(&mut self, line: &[u8], now_us: i64) -> Result<(), Failure> {
        if line.first() != Some(&b'{') && is_blank(line) {
            return Ok(());
        }
        let record = match record::read(line, &self.terms.by, self.terms.clock, &mut self.room) {
            Ok(record) => record,
            Err(why) => return self.bad(line, &why),
        };
        let key = record.key;
        if self.held.holds(key) {
            self.held.push(key, line, now_us);
            return Ok(());
        }
        let Some(taken) = self.limiter.take(key, record.at_us.unwrap_or(now_us))? else {
            // A signal came while another had the window. Nobody decided: it is with those who wait, and kept or counted with them.
            self.held.push(key, line, now_us);
            return Ok(());
        };
        if self.limiter.is_crowded() {
            self.notices.crowded(self.terms.keys_max);
        }
        match (taken, self.terms.over) {
            (Taken::Yes, _) => self.out.line(line),
            (Taken::No { .. }, Over::Drop) => {
                self.notices.dropped(key);
                self.drop(line)
            }
            (Taken::No { retry_after }, Over::Delay) => {
                self.held.push(key, line, after(now_us, retry_after));
                Ok(())
            }
            (Taken::No { .. }, Over::Mark) => {
                self.marked.clear();
                record.write_marked(&mut self.marked);
                if self.marked.len() > LINE_BYTES_MAX {
                    return self.bad(line, &Why::NoRoom);
                }
                self.out.line(&self.marked)
            }
        }
    }

    fn bad(&mut self, line: &[u8], why: &Why) -> Result<(), Failure> {
        self.write_kept()?;
        self.rejects.line("", self.number, line, why)
    }

    fn drop(&mut self, line: &[u8]) -> Result<(), Failure> {
        if !self.rejects.are_kept() {
            return Ok(());
        }
        self.kept.extend_from_slice(line);
        self.kept.push(b'\n');
        if self.kept.len() > KEPT_BYTES { self.write_kept() } else { Ok(()) }
    }

    /// Writes the dropped lines that were gathered; before any other line is kept, so that the file has them in their order.
    fn write_kept(&mut self) -> Result<(), Failure> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let written = self.rejects.keep(&self.kept, false);
        self.kept.clear();
        written
    }
}
