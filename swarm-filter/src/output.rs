//! Where the judged lines go: passing ones to standard output (or only counted), bad ones to [`Rejects`]. It decides when enough
//! was found, and nothing else.

use std::fmt;
use std::io::Write;
use std::os::fd::BorrowedFd;

use swarm_common::exit::Failure;
use swarm_common::ndjson::{self, Out, Rejects};

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    On,
    /// Enough was found.
    Done,
}

/// Takes the judged lines of one input after the other, in their order.
pub trait Sink {
    /// `count` whole lines that pass, one behind the other; the last may lack its newline.
    ///
    /// # Errors
    /// When they cannot be written.
    fn pass(&mut self, lines: &[u8], count: u64) -> Result<Flow, Failure>;

    /// A bad line, counted from 1.
    ///
    /// # Errors
    /// When it ends the program, or cannot be kept.
    fn bad(&mut self, number: u64, line: &[u8], why: &dyn fmt::Display) -> Result<(), Failure>;

    /// Part of a line over the limit.
    ///
    /// # Errors
    /// As [`Sink::bad`].
    fn too_long(&mut self, number: u64, part: &[u8], first: bool, last: bool) -> Result<(), Failure>;

    /// Hands on what was gathered, before the program sleeps.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> Result<(), Failure>;

    /// Returns when `input` can be read; of a regular file that is at once.
    ///
    /// # Errors
    /// The quiet failure when nobody reads the output any more.
    fn wait(&self, input: BorrowedFd<'_>) -> Result<(), Failure>;
}

/// What is to be seen of what matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// The lines, as they came.
    #[default]
    Lines,
    /// How many.
    Count,
    /// Nothing: the exit status says it.
    Nothing,
}

/// Standard output and the rejects of one call.
pub struct Output {
    /// Where lines go.
    pub out: Out,
    /// Where bad lines go.
    pub rejects: Rejects,
    /// What is shown.
    pub show: Show,
    /// After so many matches it is enough.
    pub max: Option<u64>,
    /// So many matched.
    pub matched: u64,
    /// The input's name; empty for standard input alone.
    pub source: String,
}

impl Output {
    /// True if nothing more can change the answer.
    pub fn is_done(&self) -> bool {
        self.max.is_some_and(|max| self.matched >= max) || (self.show == Show::Nothing && self.matched > 0)
    }
}

impl Sink for Output {
    fn pass(&mut self, lines: &[u8], count: u64) -> Result<Flow, Failure> {
        let left = self.max.map_or(u64::MAX, |max| max - self.matched);
        let (lines, count) = if count > left { (first_lines(lines, left), left) } else { (lines, count) };
        self.matched += count;
        if self.show == Show::Lines {
            pass_to(&mut self.out, lines)?;
        }
        Ok(if self.is_done() { Flow::Done } else { Flow::On })
    }

    fn bad(&mut self, number: u64, line: &[u8], why: &dyn fmt::Display) -> Result<(), Failure> {
        self.rejects.line(&self.source, number, line, why)
    }

    fn too_long(&mut self, number: u64, part: &[u8], first: bool, last: bool) -> Result<(), Failure> {
        self.rejects.too_long(&self.source, number, part, first, last)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush()
    }

    fn wait(&self, input: BorrowedFd<'_>) -> Result<(), Failure> {
        // With -q nobody needs to read the output: that it is closed must not look like a match.
        ndjson::wait_for_input(input, (self.show != Show::Nothing).then(|| self.out.fd()))
    }
}

/// Writes whole lines; the last gets the newline that it may lack.
fn pass_to<W: Write>(out: &mut Out<W>, lines: &[u8]) -> Result<(), Failure> {
    match lines.split_last() {
        None => Ok(()),
        Some((b'\n', _)) => out.lines(lines),
        Some(_) => out.line(lines),
    }
}

/// The first `count` of these lines, newlines included.
fn first_lines(lines: &[u8], count: u64) -> &[u8] {
    let Some(nth) = usize::try_from(count).ok().and_then(|count| count.checked_sub(1)) else { return &[] };
    memchr::memchr_iter(b'\n', lines).nth(nth).map_or(lines, |at| &lines[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_a_run_end_behind_their_newline() {
        assert_eq!(first_lines(b"a\nb\nc", 0), b"");
        assert_eq!(first_lines(b"a\nb\nc", 2), b"a\nb\n");
        assert_eq!(first_lines(b"a\nb\nc", 3), b"a\nb\nc");
    }
}
