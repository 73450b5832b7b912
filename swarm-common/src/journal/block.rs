//! Whole lines from a file that others append to, in constant memory and without a lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::BLOCK_BYTES;

/// What a [`Block`] found behind its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// So many bytes of whole lines; see [`Block::lines`].
    Lines(usize),
    /// One line longer than any record, of so many bytes with its newline. Its bytes are not kept.
    TooLong(u64),
    /// No whole line (yet).
    Nothing,
}

/// A window on a file that moves from line to line. What stands behind the last newline is never handed out nor remembered: if
/// its writer died, the next one cuts it off and writes something else there.
pub(super) struct Block {
    file: File,
    /// Where the window begins: the start of a line.
    offset: u64,
    bytes: Box<[u8]>,
    /// A newline was seen right before this offset, so what stands before it will not change.
    stable_until: u64,
}

impl Block {
    pub fn new(file: File, offset: u64) -> Block {
        Block { file, offset, bytes: vec![0; BLOCK_BYTES].into_boxed_slice(), stable_until: 0 }
    }

    /// The same buffer on another file.
    pub fn turn_to(&mut self, file: File, offset: u64) {
        *self = Block { file, offset, bytes: std::mem::take(&mut self.bytes), stable_until: 0 };
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes of the last [`Block::fill`].
    pub fn lines(&self) -> &[u8] {
        &self.bytes
    }

    /// Moves the window.
    pub fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
    }

    /// Reads what stands at the window. A record with its newline always fits.
    ///
    /// # Errors
    /// What pread(2) answers.
    pub fn fill(&mut self) -> io::Result<Filled> {
        let n = read_up_to(&self.file, &mut self.bytes, self.offset)?;
        let Some(whole) = memchr::memrchr(b'\n', &self.bytes[..n]).map(|at| at + 1) else {
            return if n < BLOCK_BYTES { Ok(Filled::Nothing) } else { self.too_long(n) };
        };
        let end = self.offset + whole as u64;
        if end > self.stable_until {
            // A newline that was seen is there to stay, and so is what stands before it. But the bytes copied by the same
            // read may be older than the newline: a dead writer's torn line, cut off and overwritten while we copied. So
            // what lies before it is read once more. Where more follows, the last newline of the file serves for all of it.
            self.stable_until = if n == BLOCK_BYTES { whole_end(&self.file)?.max(end) } else { end };
            match self.file.read_exact_at(&mut self.bytes[..whole], self.offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Filled::Nothing),
                read => read?,
            }
        }
        debug_assert_eq!(self.bytes[whole - 1], b'\n');
        Ok(Filled::Lines(whole))
    }

    /// Looks for the end of a line whose first `seen` bytes have no newline.
    fn too_long(&mut self, seen: usize) -> io::Result<Filled> {
        let mut length = seen as u64;
        loop {
            let n = read_up_to(&self.file, &mut self.bytes, self.offset + length)?;
            if n == 0 {
                return Ok(Filled::Nothing);
            }
            if let Some(at) = memchr::memchr(b'\n', &self.bytes[..n]) {
                return Ok(Filled::TooLong(length + at as u64 + 1));
            }
            length += n as u64;
        }
    }
}

/// Fills the buffer unless the file ends before.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        // A regular file gives all it has at once.
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Where the last whole line of a file ends; 0 when it has none.
///
/// # Errors
/// What fstat(2) and pread(2) answer.
pub(super) fn whole_end(file: &File) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let from = end.saturating_sub(buffer.len() as u64);
        let n = read_up_to(file, &mut buffer[..(end - from) as usize], from)?;
        if let Some(at) = memchr::memrchr(b'\n', &buffer[..n]) {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ndjson::LINE_BYTES_MAX;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    #[test]
    fn a_line_of_the_largest_size_fits_and_a_longer_one_is_counted_and_not_kept() {
        let mut bytes = vec![b'a'; LINE_BYTES_MAX];
        bytes.push(b'\n');
        bytes.extend(vec![b'b'; 3 * BLOCK_BYTES]);
        bytes.extend(b"\nc\n");
        let mut block = Block::new(file(&bytes), 0);
        assert_eq!(block.fill().expect("read"), Filled::Lines(LINE_BYTES_MAX + 1));
        block.advance(LINE_BYTES_MAX as u64 + 1);
        assert_eq!(block.fill().expect("read"), Filled::TooLong(3 * BLOCK_BYTES as u64 + 1));
        block.advance(3 * BLOCK_BYTES as u64 + 1);
        assert_eq!(block.fill().expect("read"), Filled::Lines(2));
        block.advance(2);
        assert_eq!(block.fill().expect("read"), Filled::Nothing);
    }

    #[test]
    fn a_torn_line_is_forgotten_and_read_again_when_another_took_its_place() {
        let mut writer = file(b"one\ntorn, its writer di");
        let mut block = Block::new(writer.try_clone().expect("cloned"), 0);
        assert_eq!(block.fill().expect("read"), Filled::Lines(4));
        block.advance(4);
        assert_eq!(block.fill().expect("read"), Filled::Nothing);
        writer.set_len(4).expect("cut");
        io::Seek::seek(&mut writer, io::SeekFrom::Start(4)).expect("at the end");
        writer.write_all(b"two\n").expect("written");
        assert_eq!(block.fill().expect("read"), Filled::Lines(4));
        assert_eq!(&block.lines()[..4], b"two\n");
    }

    proptest! {
        #[test]
        fn all_whole_lines_come_out_and_nothing_else(
            lens in prop::collection::vec(prop_oneof![0usize..300, 3000usize..70_000], 0..40), torn in 0usize..9000,
        ) {
            let mut bytes = Vec::new();
            for len in lens {
                bytes.extend(std::iter::repeat_n(b'x', len.min(LINE_BYTES_MAX)));
                bytes.push(b'\n');
            }
            let whole = bytes.len();
            bytes.extend(std::iter::repeat_n(b'y', torn));
            let mut block = Block::new(file(&bytes), 0);
            prop_assert_eq!(whole_end(block.file()).expect("read"), whole as u64);
            let mut got = Vec::new();
            while let Filled::Lines(n) = block.fill().expect("read") {
                got.extend_from_slice(&block.lines()[..n]);
                block.advance(n as u64);
            }
            prop_assert!(got == bytes[..whole]);
        }
    }
}
