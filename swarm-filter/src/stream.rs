//! Pipes, terminals and the like: each line is judged and handed on as soon as it is there.

use std::fs::File;
use std::os::fd::AsFd;

use swarm_common::exit::Failure;
use swarm_common::ndjson::{Lines, Piece};
use swarm_common::platform;

use crate::condition::{Judge, Room, Verdict};
use crate::output::{Flow, Sink};

/// Filters `input` to its end, or until the sink has enough.
///
/// # Errors
/// What reading, or the sink, fails with.
pub fn run(input: File, judge: &Judge, sink: &mut impl Sink) -> Result<Flow, Failure> {
    let mut lines = Lines::new(input);
    let mut room = Room::default();
    let (mut number, mut is_wide) = (0, false);
    loop {
        while let Some(piece) = lines.buffered() {
            match piece {
                Piece::Line(line) => {
                    number += 1;
                    match judge.judge(line, &mut room) {
                        Verdict::Drop | Verdict::Blank => {}
                        Verdict::Bad(why) => sink.bad(number, line, &why)?,
                        Verdict::Pass => {
                            if sink.pass(line, 1)? == Flow::Done {
                                return Ok(Flow::Done);
                            }
                        }
                    }
                }
                Piece::TooLong { part, first, last } => {
                    number += u64::from(first);
                    sink.too_long(number, part, first, last)?;
                }
            }
        }
        if lines.is_done() {
            return Ok(Flow::On);
        }
        sink.flush()?;
        sink.wait(lines.input().as_fd())?;
        if lines.fill()? && !is_wide {
            platform::widen_pipe(lines.input().as_fd());
            is_wide = true;
        }
    }
}
