//! Whether ids that senders chose are stored already. The whole journal is searched, newest first, nearly all of it before the lock
//! is taken; under the lock only what came since. There is no index to keep, and so none to be wrong.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::block::{Block, Filled};
use super::{Draft, line, segments};
use crate::json::Scanner;

/// Where an id was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub seq: u64,
    pub sender_id: String,
    segment: u64,
    offset: u64,
    line: Vec<u8>,
}

/// The ids to look for, and what was found.
pub(super) struct Ids<'a> {
    wanted: HashMap<&'a [u8], Option<Found>>,
    /// The newest segment at the time of the first search, and how far it was read: whole lines, which stay.
    searched: Option<(u64, u64)>,
}

impl<'a> Ids<'a> {
    /// The ids of the batch that their senders chose; `None` when there are none, as nearly always.
    pub fn of(batch: &'a [Draft]) -> Option<Ids<'a>> {
        let wanted: HashMap<_, _> = batch.iter().filter(|draft| draft.id_is_own).map(|draft| (draft.msg_id.as_bytes(), None)).collect();
        if wanted.is_empty() { None } else { Some(Ids { wanted, searched: None }) }
    }

    /// Where this id is stored.
    pub fn found(&self, msg_id: &str) -> Option<&Found> {
        self.wanted.get(msg_id.as_bytes())?.as_ref()
    }

    /// Searches what is there, without the lock.
    ///
    /// # Errors
    /// What the system answers.
    pub fn search(&mut self, dir: &Path) -> io::Result<()> {
        for (n, segment) in segments::list(dir)?.into_iter().rev().enumerate() {
            if n > 0 && self.all_found() {
                break;
            }
            let Some(file) = segments::open(dir, segment)? else { continue };
            let until = self.search_segment(file, segment, 0)?;
            if n == 0 {
                self.searched = Some((segment, until));
            }
        }
        Ok(())
    }

    /// Searches what came since, under the lock.
    ///
    /// # Errors
    /// What the system answers.
    pub fn catch_up(&mut self, dir: &Path) -> io::Result<()> {
        let (searched, until) = self.searched.unwrap_or_default();
        for segment in segments::list(dir)?.into_iter().filter(|&segment| segment >= searched) {
            let Some(file) = segments::open(dir, segment)? else { continue };
            self.search_segment(file, segment, if segment == searched { until } else { 0 })?;
        }
        Ok(())
    }

    fn all_found(&self) -> bool {
        self.wanted.values().all(Option::is_some)
    }

    /// Searches whole lines from `offset` on; returns how far that was.
    fn search_segment(&mut self, file: File, segment: u64, offset: u64) -> io::Result<u64> {
        let mut scanner = Scanner::new();
        let mut block = Block::new(file, offset);
        loop {
            let bytes = match block.fill()? {
                Filled::Lines(bytes) => bytes,
                Filled::TooLong(bytes) => {
                    block.advance(bytes);
                    continue;
                }
                Filled::Nothing => return Ok(block.offset()),
            };
            let mut at = 0;
            for newline in memchr::memchr_iter(b'\n', &block.lines()[..bytes]) {
                let line = &block.lines()[at..newline];
                self.look(line, segment, block.offset() + at as u64, &mut scanner);
                at = newline + 1;
            }
            block.advance(bytes as u64);
        }
    }

    #[inline]
    fn look(&mut self, line: &[u8], segment: u64, offset: u64, scanner: &mut Scanner) {
        let head = line::canonical(line);
        if head.as_ref().is_some_and(|head| !self.wanted.contains_key(head.msg_id)) {
            return;
        }
        // Found, or written in another way than the journal's own: read the long way. What cannot be read has no id.
        let Ok(known) = line::known(line, scanner) else { return };
        let (Some(seq), Some(msg_id)) = (known.seq, known.msg_id) else { return };
        if let Some(found) = self.wanted.get_mut(msg_id.as_bytes()) {
            *found = Some(Found { seq, sender_id: known.sender_id.unwrap_or_default(), segment, offset, line: line.to_vec() });
        }
    }
}

/// Stored records that the disk did not confirm.
pub(super) struct Unconfirmed {
    /// The first of them.
    pub first_seq: u64,
    /// The last of them.
    pub last_seq: u64,
    /// The segment of which it was the sync that failed.
    pub unsynced: Option<u64>,
    pub error: io::Error,
}

/// Makes sure that records which a repeated id is answered with are on disk: their writer may have died before its sync, or been
/// told that it failed. A failed sync leaves pages that count as clean, and the next sync says yes to them; so the same bytes are written
/// again in their place, which makes the sync a true one. The oldest segments come first.
///
/// # Errors
/// What the system answers, and from which record on.
pub(super) fn confirm<'f>(
    dir: &Path,
    found: impl Iterator<Item = &'f Found>,
    sync_data: &dyn Fn(&File) -> io::Result<()>,
) -> Result<(), Unconfirmed> {
    let mut by_segment: BTreeMap<u64, BTreeMap<u64, &Found>> = BTreeMap::new();
    for found in found {
        by_segment.entry(found.segment).or_default().insert(found.seq, found);
    }
    let last_seq = by_segment.values().filter_map(|found| found.keys().next_back()).max().copied().unwrap_or_default();
    for (segment, found) in by_segment {
        let first_seq = found.keys().next().copied().unwrap_or_default();
        let failed = |unsynced| move |error| Unconfirmed { first_seq, last_seq, unsynced, error };
        // Not for appending: Linux ignores pwrite's offset then.
        let file = match OpenOptions::new().write(true).open(segments::path(dir, segment)) {
            // Retention took it: it was stored, and is no longer kept.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(failed(None))?,
        };
        for found in found.values() {
            file.write_all_at(&found.line, found.offset).map_err(failed(None))?;
        }
        sync_data(&file).map_err(failed(Some(segment)))?;
    }
    Ok(())
}
