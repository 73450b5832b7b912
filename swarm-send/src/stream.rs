//! Records on standard input: what is ready goes as one batch, and a slow producer's single line is never held back.

use std::fs::File;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::json::{self, Scanner};
use swarm_common::message::Message;
use swarm_common::ndjson::{Lines, Piece, Rejects, TooLong};

use crate::answer::{self, Answers, Refusal};
use crate::batch::{Batch, Origin, Told};
use crate::besides;
use crate::cli::NAME;
use crate::gate::Gate;
use crate::post::Post;

/// A stream of records into the journal.
struct Stream<'a> {
    post: Post<'a>,
    gate: &'a mut Gate,
    answers: Answers,
    rejects: Rejects,
    scanner: Scanner,
    batch: Batch,
    /// The worst of the records that were refused.
    worst: Exit,
    /// A delivery was refused.
    delivered: Exit,
}

/// Sends what comes on `input`, to its end.
///
/// # Errors
/// Status 3 when the system failed; with `--strict` the first refusal. What was accepted before is stored.
pub fn run(input: File, post: Post<'_>, gate: &mut Gate, batch: Batch, answers: Answers, rejects: Rejects) -> Result<Exit, Failure> {
    let mut lines = Lines::new(input);
    let mut stream = Stream { post, gate, answers, rejects, scanner: Scanner::new(), batch, worst: Exit::Yes, delivered: Exit::Yes };
    let read = stream.read(&mut lines);
    if read.is_ok() && lines.number() == 0 && stream.answers.are_read() {
        // Who forgot the text, in a job without a terminal, would take the silence for success.
        exit::say(NAME, "nothing was sent: no text, and nothing on standard input (an ack without words has the text '')");
    }
    // Also when something failed: what was accepted before it is stored and answered.
    let stored = stream.store();
    stream.rejects.sum_up();
    // Of an earlier line than what ended the reading.
    stored.and(read).map_err(|failure| {
        if failure.exit != Exit::System {
            return failure;
        }
        // Who sends the rest again has to know where it begins.
        let hint = format!("{}\nstopped at line {}: what follows it was not sent", failure.hint, lines.number());
        failure.hint(hint.trim_start())
    })?;
    Ok(if stream.rejects.are_kept() { stream.delivered } else { stream.worst.max(stream.delivered) })
}

impl Stream<'_> {
    fn read(&mut self, lines: &mut Lines<File>) -> Result<(), Failure> {
        let mut number = 0;
        loop {
            while let Some(piece) = lines.buffered() {
                match piece {
                    Piece::Line(line) => {
                        number += 1;
                        self.line(number, line)?;
                    }
                    Piece::TooLong { part, first, last } => {
                        number += u64::from(first);
                        self.too_long(number, part, first, last)?;
                    }
                }
                if self.batch.is_full() {
                    self.store()?;
                }
            }
            if lines.is_done() {
                return Ok(());
            }
            if !is_ready(lines.input()) {
                self.store()?;
                self.answers.wait_for(lines.input().as_fd())?;
            }
            lines.fill()?;
        }
    }

    fn line(&mut self, number: u64, line: &[u8]) -> Result<(), Failure> {
        if json::is_blank(line) {
            return Ok(());
        }
        let addressed = Message::parse(line, &mut self.scanner).map_err(Refusal::from).and_then(|message| self.gate.pass(message));
        match addressed {
            Ok(addressed) => {
                let line = if self.batch.may_refuse(&addressed.accepted.draft) { line.to_vec() } else { Vec::new() };
                self.batch.push(Origin { number: Some(number), line }, addressed);
                Ok(())
            }
            Err(refusal) => {
                self.batch.answer(answer::refused(Some(number), &refusal));
                refuse(&mut self.rejects, &mut self.worst, number, line, &refusal)
            }
        }
    }

    fn too_long(&mut self, number: u64, part: &[u8], first: bool, last: bool) -> Result<(), Failure> {
        if first {
            self.batch.answer(answer::refused(Some(number), &Failure::wrong(TooLong.to_string()).into()));
        }
        self.worst = Exit::Wrong;
        self.rejects.too_long("", number, part, first, last)
    }

    /// Stores what was gathered, and answers.
    fn store(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Stream { post, gate, answers, rejects, batch, worst, delivered, .. } = self;
        let stored = batch.store(post, &mut |told| match told {
            Told::Answer(line) => answers.line(line).map_err(unheard),
            Told::Refused(Origin { number, line }, refusal) => {
                let printed = answers.line(&answer::refused(*number, refusal)).map_err(unheard);
                refuse(rejects, worst, number.unwrap_or(0), line, refusal).and(printed)
            }
        });
        let flushed = answers.flush().map_err(unheard);
        besides::afterwards(post);
        gate.renew();
        *delivered = (*delivered).max(stored?);
        flushed
    }
}

/// The answers do not get out: which says nothing about what they answer.
fn unheard(failure: Failure) -> Failure {
    failure.hint("answers are lost, and what they told of is stored: sent again under the same msg_id, it is not stored twice")
}

/// Keeps and tells a refused line, which may end the stream.
fn refuse(rejects: &mut Rejects, worst: &mut Exit, number: u64, line: &[u8], refusal: &Refusal) -> Result<(), Failure> {
    *worst = (*worst).max(refusal.failure.exit);
    if refusal.failure.exit == Exit::System {
        return Err(refusal.failure.clone());
    }
    rejects.line("", number, line, &refusal.failure.what).map_err(|mut failure| {
        // With --strict. What is refused need not be a bad line: it may be over the limit, and then it helps to wait.
        if failure.exit == Exit::Wrong {
            failure.exit = refusal.failure.exit;
            let hint = format!("{}\nwithout --strict, what is refused is told and the rest goes on", refusal.failure.hint);
            failure = failure.hint(hint.trim_start());
        }
        failure
    })
}

/// True when a read brings something at once, be it the end.
fn is_ready(input: &File) -> bool {
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    // Interrupted counts as not ready: then what was gathered is stored first.
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0)
}
