//! A file cut into blocks of whole lines, and one block judged. Where a block begins and ends is told by its number alone, so that any
//! worker can read any block, and nobody needs another's. No order, no output.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use swarm_common::exit::Failure;
use swarm_common::ndjson::LINE_BYTES_MAX;

use crate::condition::{Judge, Room, Verdict, Why};

/// How a file is cut: block N spans `bytes` from `from + N * bytes` on.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Where the first line starts.
    pub from: u64,
    /// The span of a block.
    pub bytes: usize,
}

/// The lines behind each newline in the block's span, the last of them reaching into the next span; and the file's first line.
#[derive(Default)]
pub struct Block {
    buf: Vec<u8>,
    lines: Range<usize>,
    /// Where the lines end in the file.
    end: u64,
    /// The file ends in it.
    pub is_last: bool,
    /// The last line is over the limit, and the rest of it was not read.
    is_cut: bool,
}

/// What is read behind the span in the first go: longer than most lines.
const PAGE_BYTES: usize = 4096;

impl Block {
    /// The bytes of the lines.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.lines.clone()]
    }

    /// Where they end in the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Reads block `number` of `file`.
    ///
    /// # Errors
    /// Status 3 when it cannot be read.
    pub fn read(&mut self, file: &File, cut: Cut, number: u64) -> Result<(), Failure> {
        let at = cut.from + number * cut.bytes as u64;
        (self.lines, self.is_last, self.is_cut) = (0..0, false, false);
        let mut len = 0;
        let mut is_end = !self.fill(file, at, &mut len, cut.bytes + PAGE_BYTES)?;
        let span = cut.bytes.min(len);
        // As after every short read: there may be more by now, and whoever looks next would miss what lies between.
        self.is_last = is_end && len <= cut.bytes;
        let first = if number == 0 { Some(0) } else { memchr::memchr(b'\n', &self.buf[..span]).map(|newline| newline + 1) };
        let Some(first) = first else { return Ok(()) };
        let last = memchr::memrchr(b'\n', &self.buf[..span]).map_or(0, |newline| newline + 1);
        let mut searched = last;
        let mut step = PAGE_BYTES;
        let end = loop {
            if let Some(newline) = memchr::memchr(b'\n', &self.buf[searched..len]) {
                break searched + newline + 1;
            }
            if is_end {
                self.is_last = true;
                break len;
            }
            if len - last > LINE_BYTES_MAX {
                self.is_cut = true;
                break len;
            }
            searched = len;
            let until = (len + step).min(last + LINE_BYTES_MAX + 1);
            is_end = !self.fill(file, at, &mut len, until)?;
            step *= 2;
        };
        self.lines = first..end;
        self.end = at + end as u64;
        Ok(())
    }

    /// Reads on until `until` bytes are there; false when the file ends before.
    fn fill(&mut self, file: &File, at: u64, len: &mut usize, until: usize) -> Result<bool, Failure> {
        if self.buf.len() < until {
            // Filled with zeros once; after that a block is used again as it is.
            self.buf.resize(until, 0);
        }
        while *len < until {
            match file.read_at(&mut self.buf[*len..until], at + *len as u64) {
                Ok(0) => return Ok(false),
                Ok(n) => *len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::io("read the input", &error)),
            }
        }
        Ok(true)
    }
}

/// What was found in a block; places are offsets in its bytes, and numbers count its lines from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Lines that pass, one behind the other, newlines included.
    Pass {
        /// Where the first starts.
        start: u32,
        /// Where the last ends.
        end: u32,
        /// How many.
        count: u32,
    },
    /// A bad line, without its newline. Why is not kept: it is judged again when it is told, so that a block
    /// of bad lines costs no more memory than one of good ones.
    Bad {
        /// Where it starts.
        start: u32,
        /// Where it ends.
        end: u32,
        /// Which it is.
        number: u32,
    },
    /// A line over the limit, without its newline.
    TooLong {
        /// Where it starts.
        start: u32,
        /// Where it ends, or where the block does.
        end: u32,
        /// Which it is.
        number: u32,
        /// It goes on behind the block.
        is_cut: bool,
    },
}

/// Judges every line of a block into `found`, in order. Returns how many lines it holds.
pub fn judge_block(judge: &Judge, block: &Block, room: &mut Room, found: &mut Vec<Found>) -> u32 {
    found.clear();
    let bytes = block.bytes();
    // Blocks are far below 4 GiB: the block size is ours.
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let mut number = 0;
    let mut start = 0;
    while start < bytes.len() {
        let newline = memchr::memchr(b'\n', &bytes[start..]).map(|at| start + at);
        let end = newline.unwrap_or(bytes.len());
        let next = newline.map_or(end, |at| at + 1);
        let line = &bytes[start..end];
        number += 1;
        if line.len() > LINE_BYTES_MAX {
            let is_cut = newline.is_none() && block.is_cut;
            found.push(Found::TooLong { start: place(start), end: place(end), number, is_cut });
        } else {
            match judge.judge(line, room) {
                Verdict::Drop | Verdict::Blank => {}
                Verdict::Bad(_) => found.push(Found::Bad { start: place(start), end: place(end), number }),
                Verdict::Pass => match found.last_mut() {
                    Some(Found::Pass { end, count, .. }) if *end as usize == start => {
                        *end = place(next);
                        *count += 1;
                    }
                    _ => found.push(Found::Pass { start: place(start), end: place(next), count: 1 }),
                },
            }
        }
        start = next;
    }
    number
}

/// Why a line is bad that was found so.
pub fn why(judge: &Judge, line: &[u8], room: &mut Room) -> Option<Why> {
    match judge.judge(line, room) {
        Verdict::Bad(why) => Some(why),
        _ => None,
    }
}
