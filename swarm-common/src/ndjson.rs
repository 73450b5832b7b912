//! Lines in and lines out: the one reader and the one writer of every stream, and what becomes of bad lines.
//!
//! A tool's loop is always the same: take what is [buffered](Lines::buffered); when there is no more, flush what was written,
//! [wait](wait_for_input) for input or for the reader to go away, and [fill](Lines::fill) again. So nothing is ever held
//! back while the input pauses, and no line costs a system call of its own while it does not.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::dup2_stdout;

use crate::exit::{self, Exit, Failure};
use crate::text;

/// The longest line that is a record, in bytes, without its newline (DESIGN 2).
pub const LINE_BYTES_MAX: usize = 65_536;

/// What one read(2) may bring, and so what a stream holds in memory beside one line. A pipe holds 64 KiB.
const READ_BYTES: usize = 65_536;

/// A piece of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole line without its newline; the last one may have had none.
    Line(&'a [u8]),
    /// Part of a line over [`LINE_BYTES_MAX`], which is never held whole.
    TooLong {
        /// Bytes of the line, without its newline.
        part: &'a [u8],
        /// These are its first bytes.
        first: bool,
        /// These are its last bytes (there may be none).
        last: bool,
    },
}

/// Cuts an input into lines, in constant memory.
pub struct Lines<R> {
    input: R,
    buf: Box<[u8]>,
    /// The unread bytes are `buf[start..end]`.
    start: usize,
    end: usize,
    /// `buf[start..searched]` is known to hold no newline.
    searched: usize,
    at_end: bool,
    in_long: bool,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// Reads lines from `input`.
    pub fn new(input: R) -> Self {
        let buf = vec![0; LINE_BYTES_MAX + 1 + READ_BYTES].into_boxed_slice();
        Self { input, buf, start: 0, end: 0, searched: 0, at_end: false, in_long: false, number: 0 }
    }

    /// The number of the line that the last piece belongs to, counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where it reads from.
    pub fn input(&self) -> &R {
        &self.input
    }

    /// True once the input has ended and every line was handed out.
    pub fn is_done(&self) -> bool {
        self.at_end && self.start == self.end && !self.in_long
    }

    /// Takes what was read as all of the input: behind the last newline a line may stand that is cut off. For who ends before the input does.
    pub fn end(&mut self) {
        self.at_end = true;
    }

    /// The next piece that is already here; `None` when more must be read (or nothing is left).
    pub fn buffered(&mut self) -> Option<Piece<'_>> {
        let newline = memchr::memchr(b'\n', &self.buf[self.searched..self.end]).map(|at| self.searched + at);
        let (until, next) = match newline {
            Some(at) => (at, at + 1),
            None if self.at_end => {
                if self.is_done() {
                    return None;
                }
                (self.end, self.end)
            }
            None if self.in_long || self.end - self.start > LINE_BYTES_MAX => {
                if self.start == self.end {
                    return None;
                }
                let first = !self.in_long;
                self.number += u64::from(first);
                self.in_long = true;
                let part = &self.buf[self.start..self.end];
                self.start = self.end;
                self.searched = self.end;
                return Some(Piece::TooLong { part, first, last: false });
            }
            None => {
                self.searched = self.end;
                return None;
            }
        };
        let line = &self.buf[self.start..until];
        self.start = next;
        self.searched = next;
        if self.in_long || line.len() > LINE_BYTES_MAX {
            let first = !self.in_long;
            self.number += u64::from(first);
            self.in_long = false;
            return Some(Piece::TooLong { part: line, first, last: true });
        }
        self.number += 1;
        Some(Piece::Line(line))
    }

    /// One read(2) more; true when it brought all that it can bring, so that the writer is ahead of us. Call it when
    /// [`Lines::buffered`] has nothing. A read that a signal interrupts brings nothing and is no error.
    ///
    /// # Errors
    /// Status 3 when the input cannot be read.
    pub fn fill(&mut self) -> Result<bool, Failure> {
        if self.buf.len() - self.end < READ_BYTES {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        let until = self.end + READ_BYTES;
        match self.input.read(&mut self.buf[self.end..until]) {
            Ok(0) => self.at_end = true,
            Ok(n) => {
                self.end += n;
                return Ok(n == READ_BYTES);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(Failure::io("read the input", &error)),
        }
        Ok(false)
    }
}

/// Standard input as a file, without std's second buffer. One that the caller closed is `/dev/null` by now: std opens that in its place
/// before main, so that no other file gets the number.
///
/// # Errors
/// Status 3 when the process may not have another descriptor.
pub fn stdin() -> Result<File, Failure> {
    let fd = io::stdin().as_fd().try_clone_to_owned().map_err(|error| Failure::io("use standard input", &error))?;
    Ok(File::from(fd))
}

/// Opens a file to be read as NDJSON.
///
/// # Errors
/// Status 2, naming it, when it is not there or is a directory; 3 when it cannot be opened.
pub fn open(path: &Path) -> Result<File, Failure> {
    let wrong = |why: &str| Failure::wrong(format!("cannot read {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => wrong(&exit::reason(&error)),
        _ => Failure::io(format_args!("read {}", path.display()), &error),
    })?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(wrong("it is a directory"));
    }
    Ok(file)
}

/// Refuses a regular file as an input that the call itself would make longer, for that has no end: it is where rejected lines go
/// (`kept_in`), or standard output.
///
/// # Errors
/// Status 2, naming it as `name`; 3 when it cannot be looked at.
pub fn refuse_loop(input: &File, name: &str, kept_in: Option<&Path>) -> Result<(), Failure> {
    let input = input.metadata().map_err(|error| Failure::io(format_args!("look at {name}"), &error))?;
    if !input.is_file() {
        return Ok(());
    }
    let is_input = |other: Metadata| (other.dev(), other.ino()) == (input.dev(), input.ino());
    if kept_in.and_then(|path| path.metadata().ok()).is_some_and(is_input) {
        return Err(Failure::wrong(format!("{name} is where rejected lines go: it can't be an input too")));
    }
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from).and_then(|out| out.metadata());
    if stdout.is_ok_and(is_input) {
        return Err(Failure::wrong(format!("{name} is also where the output goes: it would never end")));
    }
    Ok(())
}

/// Sleeps until `input` can be read, or its writer is gone. `None` as the output is one whose reader does not matter.
///
/// # Errors
/// The quiet failure as soon as the reader of `output` is gone, also when no line ever comes.
pub fn wait_for_input(input: BorrowedFd<'_>, output: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
    loop {
        // No events asked for: an error or a hang-up is always told.
        let mut fds = [PollFd::new(input, PollFlags::POLLIN), PollFd::new(output.unwrap_or(input), PollFlags::empty())];
        let count = if output.is_some() { 2 } else { 1 };
        match poll(&mut fds[..count], PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Failure::io("wait for input", &error.into())),
        }
        let [input, output] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        if output.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            return Err(reader_gone());
        }
        if !input.is_empty() {
            return Ok(());
        }
    }
}

/// The quiet failure: whoever read our output is gone.
pub fn reader_gone() -> Failure {
    Failure::io("write", &io::ErrorKind::BrokenPipe.into())
}

/// Results out: whole lines, gathered until [`Out::flush`]. On a terminal, what it could obey is escaped first.
pub struct Out<W = File> {
    to: W,
    buf: Vec<u8>,
    clean: bool,
}

/// Prints a page for people on standard output.
///
/// # Errors
/// As [`Out::line`].
pub fn print(page: &str) -> Result<Exit, Failure> {
    let mut out = Out::stdout()?;
    out.lines(page.as_bytes())?;
    out.flush()?;
    Ok(Exit::Yes)
}

/// From here on nothing is printed: who reads standard output sees its end, though this process lives on. Where that cannot be, he waits for it.
pub fn close_stdout() {
    if let Ok(nothing) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = dup2_stdout(nothing);
    }
}

/// How long is waited for room in a pipe that does not block.
const FULL_PIPE_PAUSE: Duration = Duration::from_millis(1);

/// Gathered before it is written.
const WRITE_BYTES: usize = 65_536;

impl Out<File> {
    /// Standard output, without std's buffer, which would write line by line. One that the caller closed is `/dev/null` by now, as with
    /// [`stdin`]; nothing tells it from one that a caller chose (Python's `subprocess.DEVNULL` is opened in the same way).
    ///
    /// # Errors
    /// Status 3 when the process may not have another descriptor.
    pub fn stdout() -> Result<Self, Failure> {
        let stdout = io::stdout();
        let clean = stdout.is_terminal();
        let fd = stdout.as_fd().try_clone_to_owned().map_err(|error| Failure::io("use standard output", &error))?;
        Ok(Self { to: File::from(fd), buf: Vec::new(), clean })
    }

    /// The same, written through a writer of the caller's.
    pub fn through<W: Write>(self, wrap: impl FnOnce(File) -> W) -> Out<W> {
        Out { to: wrap(self.to), buf: self.buf, clean: self.clean }
    }
}

impl<W: AsFd> Out<W> {
    /// The descriptor, to learn that its reader is gone.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.to.as_fd()
    }
}

impl<W: Write> Out<W> {
    /// Writes to anything; nothing is escaped.
    pub fn to(to: W) -> Self {
        Self { to, buf: Vec::new(), clean: false }
    }

    /// One line, without its newline, which it gets.
    ///
    /// # Errors
    /// The quiet failure when the reader is gone, else status 3 (disk full).
    pub fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.push(line)?;
        self.buf.push(b'\n');
        Ok(())
    }

    /// Whole lines, newlines included, as they are.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn lines(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.push(lines)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.clean {
            text::clean_json(bytes, &mut self.buf);
            return if self.buf.len() > WRITE_BYTES { self.flush() } else { Ok(()) };
        }
        if self.buf.len() + bytes.len() > WRITE_BYTES {
            self.flush()?;
            if bytes.len() >= WRITE_BYTES {
                return self.write(bytes);
            }
        }
        if self.buf.capacity() == 0 {
            self.buf.reserve_exact(WRITE_BYTES + 1);
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn flush(&mut self) -> Result<(), Failure> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let buf = std::mem::take(&mut self.buf);
        let done = self.write(&buf);
        self.buf = buf;
        self.buf.clear();
        done
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err(Failure::io("write the output", &io::ErrorKind::WriteZero.into())),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Programs that never block (node, asyncio) share their pipes with us as they are.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PIPE_PAUSE),
                Err(error) => return Err(Failure::io("write the output", &error)),
            }
        }
        Ok(())
    }
}

/// So many bad lines are told one by one; the rest are counted.
const TOLD_MAX: u64 = 10;

/// What becomes of bad lines: told with their number, counted, and kept whole where the user gave a file for them.
pub struct Rejects {
    program: &'static str,
    file: Option<(File, String)>,
    strict: bool,
    count: u64,
}

impl Rejects {
    /// `path` is appended to; with `strict` the first bad line ends the program.
    ///
    /// # Errors
    /// Status 2 when the file cannot be opened.
    pub fn new(program: &'static str, path: Option<&Path>, strict: bool) -> Result<Self, Failure> {
        let file = match path {
            None => None,
            Some(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                    Failure::wrong(format!("cannot write rejected lines to {}: {}", path.display(), exit::reason(&error)))
                })?;
                Some((file, path.display().to_string()))
            }
        };
        Ok(Self { program, file, strict, count: 0 })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// True when the user gave a file for them, and so expects them.
    pub fn are_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Tells of a bad line. `source` is a file's name, or empty for standard input. Keep its bytes with [`Rejects::keep`] first.
    ///
    /// # Errors
    /// Status 2 with `strict`.
    pub fn tell(&mut self, source: &str, number: u64, why: &dyn fmt::Display) -> Result<(), Failure> {
        self.count += 1;
        let place = if source.is_empty() { format!("line {number}") } else { format!("{source}:{number}") };
        if self.strict {
            return Err(Failure::wrong(format!("{place}: {why}")).hint("without --strict, bad lines are told and the good ones go on"));
        }
        if self.count <= TOLD_MAX {
            exit::say(self.program, &format!("{place}: {why}"));
        }
        Ok(())
    }

    /// Keeps bytes of a bad line, raw; `last` ends the line.
    ///
    /// # Errors
    /// Status 3 when they cannot be written (disk full): going on would lose them.
    pub fn keep(&mut self, part: &[u8], last: bool) -> Result<(), Failure> {
        let Some((file, name)) = &mut self.file else { return Ok(()) };
        let mut bytes = part.to_vec();
        if last {
            bytes.push(b'\n');
        }
        // Not quiet where it is a pipe whose reader is gone: it is not the output.
        file.write_all(&bytes).map_err(|error| Failure::system(format!("cannot keep a rejected line in {name}: {}", exit::reason(&error))))
    }

    /// The whole of a bad line: kept, then told.
    ///
    /// # Errors
    /// As [`Rejects::keep`] and [`Rejects::tell`].
    pub fn line(&mut self, source: &str, number: u64, line: &[u8], why: &dyn fmt::Display) -> Result<(), Failure> {
        self.keep(line, true)?;
        self.tell(source, number, why)
    }

    /// A part of a line that is too long: kept, and told once.
    ///
    /// # Errors
    /// As [`Rejects::line`].
    pub fn too_long(&mut self, source: &str, number: u64, part: &[u8], first: bool, last: bool) -> Result<(), Failure> {
        self.keep(part, last)?;
        if first && !self.strict {
            self.tell(source, number, &TooLong)?;
        }
        if last && self.strict {
            self.tell(source, number, &TooLong)?;
        }
        Ok(())
    }

    /// At the end: says how many there were, where not each was told.
    pub fn sum_up(&self) {
        if self.count > TOLD_MAX {
            exit::say(self.program, &format!("{} bad lines in all", self.count));
        }
    }
}

/// The reason a line over the limit is bad.
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longer than {LINE_BYTES_MAX} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out its bytes in pieces of the given sizes.
    struct Drip<'a>(&'a [u8], Vec<usize>);

    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.1.pop().unwrap_or(usize::MAX).min(self.0.len()).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn read_all(input: impl Read) -> Vec<(u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(input);
        let mut all: Vec<(u64, Vec<u8>, bool)> = Vec::new();
        while !lines.is_done() {
            loop {
                let (part, long, first) = match lines.buffered() {
                    None => break,
                    Some(Piece::Line(line)) => (line.to_vec(), false, true),
                    Some(Piece::TooLong { part, first, .. }) => (part.to_vec(), true, first),
                };
                if first {
                    all.push((lines.number(), part, long));
                } else if let Some(open) = all.last_mut() {
                    open.1.extend(part);
                }
            }
            lines.fill().expect("reading");
        }
        all
    }

    #[test]
    fn a_line_at_the_limit_is_whole_and_one_byte_more_is_not_and_the_next_one_goes_on() {
        let mut input = vec![b'a'; LINE_BYTES_MAX];
        input.extend(b"\n");
        input.extend(vec![b'b'; LINE_BYTES_MAX + 1]);
        input.extend(b"\n\nlast");
        let lines = read_all(&input[..]);
        let shape: Vec<(u64, usize, bool)> = lines.iter().map(|(n, l, long)| (*n, l.len(), *long)).collect();
        assert_eq!(shape, [(1, LINE_BYTES_MAX, false), (2, LINE_BYTES_MAX + 1, true), (3, 0, false), (4, 4, false)]);
    }

    #[test]
    fn who_ends_before_the_input_does_gets_what_was_read_of_its_last_line() {
        let mut lines = Lines::new(&b"a\nhalf"[..]);
        lines.fill().expect("read");
        assert_eq!(lines.buffered(), Some(Piece::Line(b"a")));
        assert_eq!(lines.buffered(), None);
        assert!(!lines.is_done());
        lines.end();
        assert_eq!(lines.buffered(), Some(Piece::Line(b"half")));
        assert!(lines.is_done());
        let mut lines = Lines::new(io::repeat(b'x'));
        lines.fill().and_then(|_| lines.fill()).expect("read");
        assert!(matches!(lines.buffered(), Some(Piece::TooLong { first: true, last: false, .. })));
        lines.end();
        assert_eq!(lines.buffered(), Some(Piece::TooLong { part: b"", first: false, last: true }));
        assert!(lines.is_done());
    }

    /// A pipe that does not block, and is full every other time.
    struct Full(Vec<u8>, bool);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_does_not_block_gets_everything_all_the_same() {
        // Under node and asyncio, all but the first 64 KiB was lost.
        let mut out = Out::to(Full(Vec::new(), false));
        out.line(b"a line").and_then(|()| out.flush()).expect("written");
        assert_eq!(out.to.0, b"a line\n");
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in_however_the_bytes_arrive(
            lens in prop::collection::vec(prop_oneof![0usize..80, Just(LINE_BYTES_MAX - 1), Just(LINE_BYTES_MAX), Just(LINE_BYTES_MAX + 1), Just(200_000)], 1..8),
            sizes in prop::collection::vec(prop_oneof![1usize..10, 1000usize..70_000], 0..40), ends in any::<bool>(),
        ) {
            let mut input: Vec<u8> = Vec::new();
            for (i, len) in lens.iter().enumerate() {
                if i > 0 { input.push(b'\n'); }
                input.extend(std::iter::repeat_n(b'a' + (i % 26) as u8, *len));
            }
            if ends { input.push(b'\n'); }
            let mut expected: Vec<Vec<u8>> = input.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) { expected.pop(); }
            let got = read_all(Drip(&input, sizes));
            prop_assert!(got.iter().enumerate().all(|(i, l)| l.0 == i as u64 + 1));
            prop_assert!(got.iter().all(|l| l.2 == (l.1.len() > LINE_BYTES_MAX)));
            prop_assert_eq!(got.into_iter().map(|l| l.1).collect::<Vec<_>>(), expected);
        }
    }
}
