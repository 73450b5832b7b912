//! Reading: without a lock, whole lines only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::segments;
use crate::exit::Failure;
use crate::platform;

/// One thing a reader meets.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Records.
    Lines {
        /// Whole lines, newlines included, of about 64 KiB at most.
        bytes: &'a [u8],
        /// Seq of the first one.
        first_seq: u64,
        /// How many.
        count: u64,
    },
    /// These are gone, by retention or because a segment is missing. Reading goes on behind them.
    Gap {
        /// The first missing seq.
        from_seq: u64,
        /// The last missing seq.
        to_seq: u64,
    },
    /// A line that is not the one due; handed out all the same.
    Damaged {
        /// The seq that was due.
        seq: u64,
        /// The line, newline included.
        bytes: &'a [u8],
        /// What is wrong with it.
        why: String,
    },
    /// Nothing more now.
    End,
}

/// Reads the journal from a seq on, in constant memory.
pub struct Reader {
    dir: PathBuf,
    open: Option<(File, u64)>,
    next_seq: u64,
    buf: Vec<u8>,
}

impl Reader {
    pub(super) fn open(dir: &Path, seq: u64) -> Result<Reader, Failure> {
        Ok(Reader { dir: dir.to_path_buf(), open: None, next_seq: seq.max(segments::bounds(dir)?.oldest_seq), buf: Vec::new() })
    }

    /// The seq of the first record not handed out yet.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Puts on disk what was handed out, so that a cursor may be committed over it.
    ///
    /// # Errors
    /// Status 3 when the disk fails.
    pub fn sync(&mut self) -> Result<(), Failure> {
        match &self.open {
            Some((file, _)) => platform::sync_data(file).map_err(|error| Failure::io("sync the journal", &error)),
            None => Ok(()),
        }
    }

    /// What comes next. Never waits.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read.
    #[allow(clippy::should_implement_trait, reason = "it lends its buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Step<'_>, Failure> {
        let failed = |error: io::Error| Failure::io("read the journal", &error);
        loop {
            if self.open.is_none() {
                let found = segments::list(&self.dir)?;
                let Some(&segment) = found.iter().rev().find(|&&first| first <= self.next_seq) else { return Ok(Step::End) };
                let file = File::open(segments::path(&self.dir, segment)).map_err(failed)?;
                let bytes = std::fs::read(segments::path(&self.dir, segment)).map_err(failed)?;
                let skip = usize::try_from(self.next_seq - segment).unwrap_or(usize::MAX);
                let at = if skip == 0 { Some(0) } else { memchr::memchr_iter(b'\n', &bytes).nth(skip - 1).map(|at| at as u64 + 1) };
                let Some(at) = at else { return Ok(Step::End) };
                self.open = Some((file, at));
            }
            let Some((file, at)) = &mut self.open else { return Ok(Step::End) };
            self.buf.resize(128 * 1024, 0);
            let n = file.read_at(&mut self.buf, *at).map_err(failed)?;
            let whole = memchr::memrchr(b'\n', &self.buf[..n]).map_or(0, |at| at + 1);
            if whole == 0 {
                let found = segments::list(&self.dir)?;
                if found.contains(&self.next_seq) && *at > 0 {
                    self.open = None;
                    continue;
                }
                return Ok(Step::End);
            }
            *at += whole as u64;
            let first_seq = self.next_seq;
            let count = memchr::memchr_iter(b'\n', &self.buf[..whole]).count() as u64;
            self.next_seq += count;
            return Ok(Step::Lines { bytes: &self.buf[..whole], first_seq, count });
        }
    }
}
