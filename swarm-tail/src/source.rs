//! One open file that others may append to, read by whole lines in constant memory, however long a line is. It knows no names.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use swarm_common::exit::Failure;
use swarm_common::ndjson::Out;

/// What one read brings; one buffer serves all files.
pub const BLOCK_BYTES: usize = 65_536;

/// A file and a place in it.
pub struct Source {
    file: File,
    /// Where the first line begins that was not handed on.
    start: u64,
    /// So many bytes behind it hold no newline. They stay in the file until their line is whole.
    searched: u64,
}

impl Source {
    /// Reads on from the line that begins at `start`.
    pub fn new(file: File, start: u64) -> Source {
        Source { file, start, searched: 0 }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// So much of the file was looked at. When it is shorter than that, it was cut.
    pub fn place(&self) -> u64 {
        self.start + self.searched
    }

    /// Back to the beginning.
    pub fn rewind(&mut self) {
        (self.start, self.searched) = (0, 0);
    }

    /// Hands on the next whole lines, up to a block of them or one longer line. False when there is none (yet).
    ///
    /// # Errors
    /// Status 3 when the file cannot be read; what writing fails with.
    pub fn pass(&mut self, block: &mut [u8], out: &mut Out) -> Result<bool, Failure> {
        loop {
            // What a block can hold is read again with the rest of its line; a longer line's head is not.
            let from = if self.searched < block.len() as u64 { self.start } else { self.place() };
            let n = read_at(&self.file, block, from)?;
            let place = self.place();
            let Some(newline) = memchr::memrchr(b'\n', &block[..n]) else {
                if from + n as u64 <= place {
                    return Ok(false);
                }
                self.searched = from + n as u64 - self.start;
                continue;
            };
            if from == self.start {
                out.lines(&block[..=newline])?;
                self.start += newline as u64 + 1;
            } else {
                let end = memchr::memchr(b'\n', &block[..n]).unwrap_or(newline);
                self.copy(from + end as u64 + 1, block, out)?;
            }
            self.searched = 0;
            out.flush()?;
            return Ok(true);
        }
    }

    /// Hands on a last line that has no newline, with one. To be called when nothing more will come.
    ///
    /// # Errors
    /// As [`Source::pass`].
    pub fn finish(&mut self, block: &mut [u8], out: &mut Out) -> Result<(), Failure> {
        let end = self.place();
        if end > self.start {
            self.copy(end, block, out)?;
            out.lines(b"\n")?;
            self.searched = 0;
        }
        out.flush()
    }

    /// Hands on what lies before `end`.
    fn copy(&mut self, end: u64, block: &mut [u8], out: &mut Out) -> Result<(), Failure> {
        while self.start < end {
            let wanted = usize::try_from(end - self.start).unwrap_or(usize::MAX).min(block.len());
            match read_at(&self.file, &mut block[..wanted], self.start)? {
                // It was cut meanwhile.
                0 => return Ok(()),
                n => {
                    out.lines(&block[..n])?;
                    self.start += n as u64;
                }
            }
        }
        Ok(())
    }
}

/// Where the last `count` lines of a file begin, found from its end. What stands behind the last newline is a line too, unless the
/// file `is_growing`: then its line is still to come, and is not counted.
///
/// # Errors
/// Status 3 when the file cannot be read.
pub fn last_lines(file: &File, count: u64, is_growing: bool, block: &mut [u8]) -> Result<u64, Failure> {
    let length = file.metadata().map_err(|error| unreadable(&error))?.len();
    let (mut end, mut newlines_left) = (length, count);
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let wanted = usize::try_from(end - from).unwrap_or(block.len());
        let n = read_at(file, &mut block[..wanted], from)?;
        // The newline at the end of the last line begins none.
        if end == length && (is_growing || block[..n].ends_with(b"\n")) {
            newlines_left = newlines_left.saturating_add(1);
        }
        if newlines_left == 0 {
            return Ok(length);
        }
        for newline in memchr::memrchr_iter(b'\n', &block[..n]) {
            newlines_left -= 1;
            if newlines_left == 0 {
                return Ok(from + newline as u64 + 1);
            }
        }
        end = from;
    }
    Ok(end)
}

fn read_at(file: &File, block: &mut [u8], from: u64) -> Result<usize, Failure> {
    loop {
        match file.read_at(block, from) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read.map_err(|error| unreadable(&error)),
        }
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::io("read the file", error)
}
