//! One open file that others may append to, read by whole lines in constant memory, however long a line is. It knows no names.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use swarm_common::exit::Failure;

/// What one read brings; one buffer serves all files.
pub const BLOCK_BYTES: usize = 65_536 + BEFORE_BYTES;

/// What lies in the block now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// No whole line (yet).
    Nothing,
    /// Here: whole lines, or the end of one.
    Lines(Range<usize>),
    /// Here: a part of a line longer than a block. Its next part comes next.
    Part(Range<usize>),
    /// Nothing, for the file was cut or written anew: what stands before the place is not what was handed out.
    Rewritten,
}

/// A file and a place in it.
pub struct Source {
    file: File,
    /// Where the first line begins that was not handed out, or its next part.
    start: u64,
    /// So many bytes behind it hold no newline. They stay in the file until their line is whole.
    searched: u64,
    /// A line up to here is handed out in parts.
    line_end: Option<u64>,
    /// The last bytes before `start`, as they were handed out.
    before: Vec<u8>,
}

/// So many bytes are remembered to know the file again by. A record's end alone (`"content":"ok"}`) would not tell it from another.
const BEFORE_BYTES: usize = 128;

impl Source {
    /// Reads on from the line that begins at `start`.
    pub fn new(file: File, start: u64) -> Source {
        Source { file, start, searched: 0, line_end: None, before: Vec::new() }
    }

    fn remember(&mut self, handed_out: &[u8]) {
        let fresh = &handed_out[handed_out.len().saturating_sub(BEFORE_BYTES)..];
        let over = (self.before.len() + fresh.len()).saturating_sub(BEFORE_BYTES);
        self.before.drain(..over);
        self.before.extend_from_slice(fresh);
    }

    /// So much of the file was looked at. When it is shorter than that, it was cut.
    pub fn place(&self) -> u64 {
        self.start + self.searched
    }

    /// A line was handed out in part; its rest has to come before anything else.
    pub fn is_in_line(&self) -> bool {
        self.line_end.is_some()
    }

    /// Back to the beginning.
    pub fn rewind(&mut self) {
        (self.start, self.searched, self.line_end) = (0, 0, None);
        self.before.clear();
    }

    /// Reads the next whole lines into the block: as many as fit, or one longer line in parts.
    ///
    /// # Errors
    /// Status 3 when the file cannot be read.
    pub fn next(&mut self, block: &mut [u8]) -> Result<Read, Failure> {
        if let Some(end) = self.line_end {
            return self.part(end, block);
        }
        loop {
            // What a block can hold is read again with the rest of its line; a longer line's head is not.
            let is_head = self.searched < (block.len() - BEFORE_BYTES) as u64;
            let (from, known) = if is_head { (self.start, self.before.len()) } else { (self.place(), 0) };
            // With what stands before the place, in one read.
            let n = read_at(&self.file, block, from - known as u64)?;
            if block[..n.min(known)] != self.before[..known] {
                return Ok(Read::Rewritten);
            }
            let end = from + (n - known) as u64;
            let Some(newline) = memchr::memrchr(b'\n', &block[known..n]) else {
                if end <= self.place() {
                    return Ok(Read::Nothing);
                }
                self.searched = end - self.start;
                continue;
            };
            self.searched = 0;
            if is_head {
                let lines = known..known + newline + 1;
                self.start += lines.len() as u64;
                self.remember(&block[lines.clone()]);
                return Ok(Read::Lines(lines));
            }
            let first = memchr::memchr(b'\n', &block[..n]).unwrap_or(newline);
            return self.part(from + first as u64 + 1, block);
        }
    }

    /// Makes what stands behind the last newline a line, which is read next and gets one. To be called when nothing more will come. False
    /// when nothing stands there.
    pub fn finish(&mut self) -> bool {
        let end = self.place();
        self.line_end = (end > self.start).then_some(end);
        self.searched = 0;
        self.line_end.is_some()
    }

    /// The next part of the line that ends before `end`.
    fn part(&mut self, end: u64, block: &mut [u8]) -> Result<Read, Failure> {
        let wanted = usize::try_from(end - self.start).unwrap_or(usize::MAX).min(block.len());
        let n = read_at(&self.file, &mut block[..wanted], self.start)?;
        self.start += n as u64;
        self.remember(&block[..n]);
        // A file that was cut in the middle of the line ends it too.
        let is_last = self.start == end || n < wanted;
        let has_newline = block[..n].ends_with(b"\n");
        if !is_last || (!has_newline && n == block.len()) {
            self.line_end = Some(end);
            return Ok(Read::Part(0..n));
        }
        self.line_end = None;
        if has_newline {
            return Ok(Read::Lines(0..n));
        }
        block[n] = b'\n';
        Ok(Read::Lines(0..n + 1))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Everything that can be read now, in blocks of eight bytes. `None` when the file was written anew.
    fn try_read(source: &mut Source) -> Option<Vec<u8>> {
        let (mut block, mut all) = ([0; BEFORE_BYTES + 8], Vec::new());
        loop {
            match source.next(&mut block).expect("read") {
                Read::Nothing => return Some(all),
                Read::Rewritten => return None,
                Read::Lines(at) => {
                    all.extend_from_slice(&block[at]);
                    assert_eq!(all.last(), Some(&b'\n'));
                }
                Read::Part(at) => all.extend_from_slice(&block[at]),
            }
        }
    }

    fn read(source: &mut Source) -> Vec<u8> {
        try_read(source).expect("it was only appended to")
    }

    #[test]
    fn only_whole_lines_are_handed_out_however_long_and_in_whatever_pieces_they_come() {
        for length in 0..300 {
            let mut file = tempfile::tempfile().expect("a file");
            let mut source = Source::new(file.try_clone().expect("the same file"), 0);
            let line = "x".repeat(length);
            for piece in line.as_bytes().chunks(3) {
                file.write_all(piece).expect("written");
                assert_eq!(read(&mut source), b"");
            }
            file.write_all(b"\nab\nc").expect("written");
            assert_eq!(String::from_utf8(read(&mut source)).expect("text"), format!("{line}\nab\n"));
            assert_eq!(source.place(), length as u64 + 5, "c was looked at");
        }
    }

    #[test]
    fn a_finished_file_gives_its_last_line_with_a_newline_and_goes_on_if_more_comes() {
        for length in 1..300 {
            let mut file = tempfile::tempfile().expect("a file");
            let mut source = Source::new(file.try_clone().expect("the same file"), 0);
            assert!(!source.finish());
            let line = "x".repeat(length);
            file.write_all(line.as_bytes()).expect("written");
            assert_eq!(read(&mut source), b"");
            assert!(source.finish());
            assert_eq!(String::from_utf8(read(&mut source)).expect("text"), format!("{line}\n"));
            assert!(!source.finish());
            file.write_all(b"more\n").expect("written");
            assert_eq!(read(&mut source), b"more\n");
        }
    }

    #[test]
    fn a_file_that_was_written_anew_is_known_by_what_stands_before_the_place() {
        for length in [1, 3, 8, 40, 127, 128, 129, 1000] {
            let text = |letter: &str| letter.repeat(length) + "\n";
            let file = tempfile::tempfile().expect("a file");
            let mut source = Source::new(file.try_clone().expect("the same file"), 0);
            file.write_all_at(text("a").as_bytes(), 0).expect("written");
            assert_eq!(read(&mut source), text("a").as_bytes());
            file.write_all_at(text("a").as_bytes(), length as u64 + 1).expect("written");
            assert_eq!(read(&mut source), text("a").as_bytes(), "it only grew");
            for letter in ["b", "c"] {
                file.write_all_at(text(letter).repeat(3).as_bytes(), 0).expect("written");
                assert_eq!(try_read(&mut source), None, "{length}");
                source.rewind();
                assert_eq!(read(&mut source), text(letter).repeat(3).as_bytes());
                file.set_len(length as u64).expect("cut");
                assert_eq!(try_read(&mut source), None, "{length}");
            }
        }
    }

    #[test]
    fn the_last_lines_are_found_over_blocks_of_any_size() {
        for text in ["", "\n", "a", "a\n", "\n\n", "a\nbb\n\nccc\n", "a\nbb\n\nccc", "a long line\nb\nanother long line\n"] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            for (count, size) in (0..6).flat_map(|count| (1..20).map(move |size| (count, size))) {
                let whole: Vec<&str> = text.split_inclusive('\n').collect();
                let last = |lines: &[&str]| lines[lines.len() - lines.len().min(count)..].concat();
                let start = last_lines(&file, count as u64, false, &mut vec![0; size]).expect("found");
                assert_eq!(text[start as usize..], last(&whole), "{text:?}, {count}");
                let (torn, whole) = match whole.split_last() {
                    Some((torn, whole)) if !torn.ends_with('\n') => (*torn, whole),
                    _ => ("", &whole[..]),
                };
                let start = last_lines(&file, count as u64, true, &mut vec![0; size]).expect("found");
                assert_eq!(text[start as usize..], last(whole) + torn, "{text:?}, {count}, growing");
            }
        }
    }
}
