//! An input cut into large blocks of whole lines, and one block judged. No order, no output: who has a block needs nobody else.

use std::io::{self, Read};

use swarm_common::exit::Failure;
use swarm_common::ndjson::LINE_BYTES_MAX;

use crate::condition::{Judge, Room, Verdict, Why};

/// Reads blocks one behind the other.
pub struct Source<R> {
    input: R,
    block_bytes: usize,
    /// The start of a line whose end is not read yet.
    carry: Vec<u8>,
    /// The next byte continues a line over the limit, whose start was handed out.
    in_long: bool,
    at_end: bool,
    index: u64,
}

/// Lines one behind the other. The first may be the rest of a line over the limit, the last a part of one.
#[derive(Default)]
pub struct Block {
    buf: Vec<u8>,
    len: usize,
    /// Its place among the blocks of its input.
    pub index: u64,
    continues_long: bool,
    breaks_long: bool,
}

impl Block {
    /// The bytes of the lines.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }
}

impl<R: Read> Source<R> {
    /// Reads about `block_bytes` at a time.
    pub fn new(input: R, block_bytes: usize) -> Self {
        Self { input, block_bytes, carry: Vec::new(), in_long: false, at_end: false, index: 0 }
    }

    /// Where it reads from.
    pub fn input(&self) -> &R {
        &self.input
    }

    /// Reads the next block; false when there is none.
    ///
    /// # Errors
    /// Status 3 when the input cannot be read.
    pub fn next(&mut self, block: &mut Block) -> Result<bool, Failure> {
        block.index = self.index;
        self.index += 1;
        block.continues_long = self.in_long;
        block.breaks_long = false;
        let mut len = self.carry.len();
        grow(&mut block.buf, len);
        block.buf[..len].copy_from_slice(&self.carry);
        self.carry.clear();
        while !self.at_end {
            // A block keeps its size, but never reads less than a page.
            let until = self.block_bytes.max(len + PAGE_BYTES);
            grow(&mut block.buf, until);
            let fresh = len;
            match self.input.read(&mut block.buf[len..until]) {
                Ok(0) => self.at_end = true,
                Ok(n) => len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::io("read the input", &error)),
            }
            if let Some(last) = memchr::memrchr(b'\n', &block.buf[fresh..len]) {
                block.len = fresh + last + 1;
                self.carry.extend_from_slice(&block.buf[block.len..len]);
                self.in_long = false;
                return Ok(true);
            }
            if len > LINE_BYTES_MAX || (self.in_long && len > 0) {
                block.len = len;
                block.breaks_long = true;
                self.in_long = true;
                return Ok(true);
            }
        }
        // A last line without newline. The end of a line over the limit is told, even where nothing of it is left.
        block.len = len;
        let is_more = len > 0 || self.in_long;
        self.in_long = false;
        Ok(is_more)
    }
}

const PAGE_BYTES: usize = 4096;

/// Filled with zeros once; after that a block is used again as it is.
fn grow(buf: &mut Vec<u8>, len: usize) {
    if buf.len() < len {
        buf.resize(len, 0);
    }
}

/// What was found in a block; places are offsets in it, and numbers count its lines from 1.
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
    /// A line over the limit or part of one, without its newline.
    TooLong {
        /// Where it starts.
        start: u32,
        /// Where it ends.
        end: u32,
        /// Which it is.
        number: u32,
        /// Its first bytes are there.
        first: bool,
        /// Its last bytes are there.
        last: bool,
    },
}

/// Judges every line of a block into `found`, in order. Returns how many lines it holds; a line that only goes on in it
/// is counted where it started.
pub fn judge_block(judge: &Judge, block: &Block, room: &mut Room, found: &mut Vec<Found>) -> u32 {
    found.clear();
    let bytes = block.bytes();
    // Blocks are far below 4 GiB: the block size is ours.
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let mut number = 0;
    let mut start = 0;
    let mut in_long = block.continues_long;
    if in_long && bytes.is_empty() {
        found.push(Found::TooLong { start: 0, end: 0, number, first: false, last: true });
    }
    while start < bytes.len() {
        let newline = memchr::memchr(b'\n', &bytes[start..]).map(|at| start + at);
        let end = newline.unwrap_or(bytes.len());
        let next = newline.map_or(end, |at| at + 1);
        let line = &bytes[start..end];
        number += u32::from(!in_long);
        if in_long || line.len() > LINE_BYTES_MAX {
            let last = newline.is_some() || !block.breaks_long;
            found.push(Found::TooLong { start: place(start), end: place(end), number, first: !in_long, last });
            in_long = false;
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
