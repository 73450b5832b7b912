//! The bytes of a shared window, and the order in which they are written. It opens no file and takes no lock.
//!
//! A file is NDJSON of fixed widths: a header of 512 bytes, then a ring of runs of 64 bytes each.
//!
//! ```text
//! {"boot_id":"…","limit":"10/1m","first":0,"next":2,"given_back":0,"key":"agent-1"}
//! {"at_us":5012000211,"taken":1}
//! {"at_us":5014700007,"taken":4}
//! ```
//!
//! The runs from `first` to before `next` count; `taken` is the sum of all records up to and with the run. So a take reads
//! a header and two or three runs, however large the limit is. Whoever is killed in the midst of it was not answered yet,
//! and leaves either the state before his take or after it: each write below, taken alone, leads from one whole state to
//! another. No write crosses a page of the file, and the kernel looks for a SIGKILL only between pages. What a power cut leaves is of
//! another boot, and says nothing about this one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use swarm_common::json::{self, Scanner, Value, Walk};

use super::Answer;
use crate::window::{IDLE, RUNS_MAX, Rule, Taken, micros};
use swarm_common::limit::Limit;

const HEADER_BYTES: usize = 512;
const RUN_BYTES: usize = 64;

/// Read at once: the header and 24 runs, so the whole file of a small limit.
const READ_BYTES: usize = HEADER_BYTES + 24 * RUN_BYTES;

/// Where a window's bytes are. A test brings one that dies in the middle.
pub(super) trait Place {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl Place for File {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut got = 0;
        while got < to.len() {
            match FileExt::read_at(self, &mut to[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
}

/// What a window's file is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub rule: &'a Rule,
    /// As it is written, `10/1m`.
    pub limit: &'a str,
    pub boot_id: &'a str,
    /// Whose window it is, for people who look into the file.
    pub key: &'a str,
    /// Time since the boot.
    pub now_us: i64,
}

/// What a file cannot say, and why.
pub(super) type Damage = &'static str;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Header {
    first: u64,
    next: u64,
    given_back: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    at_us: i64,
    taken: u64,
}

/// A read that failed, or a file that makes no sense.
enum Trouble {
    Io(io::Error),
    Damage(Damage),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Io(error)
    }
}

/// Asks for `n` at once, and with `commit` takes them. The second answer tells of a file that could not be read: it counts as a
/// full window from now on, so that not even then more than N pass in any window, and is written anew as that.
pub(super) fn ask(place: &impl Place, terms: &Terms<'_>, n: u32, commit: bool) -> io::Result<(Answer, Option<Damage>)> {
    match ask_whole(place, terms, n, commit) {
        Ok(answer) => Ok((answer, None)),
        Err(Trouble::Io(error)) => Err(error),
        Err(Trouble::Damage(why)) => {
            let count = terms.rule.count;
            if commit {
                // The header last: it makes the rest valid.
                write_run(place, terms.rule, 0, Run { at_us: terms.now_us, taken: u64::from(count) })?;
                write_header(place, terms, Header { first: 0, next: 1, given_back: 0 })?;
            }
            Ok((Answer { taken: Taken::No { retry_after: micros(terms.rule.per_us) }, used: count }, Some(why)))
        }
    }
}

fn ask_whole(place: &impl Place, terms: &Terms<'_>, n: u32, commit: bool) -> Result<Answer, Trouble> {
    let rule = terms.rule;
    let mut pages = Pages { place, buffer: [0; READ_BYTES], start: 0, len: 0 };
    let stored = header(&mut pages, terms)?;
    // `None` also where the boot is another or nothing was written yet: a window without runs, to be written whole.
    let mut header = stored.unwrap_or_default();
    let mut newest = None;
    let mut at_us = terms.now_us;
    if header.first < header.next {
        let last = pages.run(rule, header.next - 1)?;
        at_us = at_us.max(last.at_us);
        if at_us - terms.now_us >= rule.per_us {
            return Err(Trouble::Damage("its times lie in the future"));
        }
        if at_us - last.at_us >= rule.per_us {
            // All of it is over: from the start again, so that neither the numbers nor the file grow for ever.
            header = Header::default();
        } else {
            give_back(&mut pages, rule, &mut header, last, at_us)?;
            newest = Some(last);
        }
    }
    let used =
        newest.map_or(Ok(0), |last: Run| match last.taken.checked_sub(header.given_back).and_then(|used| u32::try_from(used).ok()) {
            Some(used) if (1..=rule.count).contains(&used) => Ok(used),
            _ => Err(Trouble::Damage("its sums are wrong")),
        })?;
    if used > rule.count - n {
        let free_us = free_at(&mut pages, rule, &header, u64::from(used - (rule.count - n)))?;
        return Ok(Answer { taken: Taken::No { retry_after: retry_after(free_us, terms.now_us) }, used });
    }
    if !commit {
        return Ok(Answer { taken: Taken::Yes, used });
    }
    if stored != Some(header) {
        // What was given back is written first: the next run may stand in its place.
        write_header(place, terms, header)?;
    }
    let taken = newest.map_or(header.given_back, |last| last.taken) + u64::from(n);
    match newest {
        Some(last) if rule.is_one_run(last.at_us, at_us) => write_run(place, rule, header.next - 1, Run { at_us, taken })?,
        _ => {
            write_run(place, rule, header.next, Run { at_us, taken })?;
            write_header(place, terms, Header { next: header.next + 1, ..header })?;
        }
    }
    Ok(Answer { taken: Taken::Yes, used: used + n })
}

/// True when nothing was taken for an hour and for the length of the window, or since this boot. Not of what is damaged: that counts as
/// full, which is for a taker to write down.
pub(super) fn is_idle(place: &impl Place, limit: &Limit, boot_id: &str, now_us: i64) -> io::Result<bool> {
    let rule = Rule::of(limit);
    let terms = Terms { rule: &rule, limit: &limit.to_string(), boot_id, key: "", now_us };
    let mut pages = Pages { place, buffer: [0; READ_BYTES], start: 0, len: 0 };
    let newest = header(&mut pages, &terms).and_then(|header| match header {
        Some(header) if header.first < header.next => pages.run(&rule, header.next - 1).map(|run| run.at_us),
        _ => Ok(i64::MIN),
    });
    match newest {
        Ok(at_us) => Ok(now_us.saturating_sub(at_us) >= rule.per_us.max(IDLE.as_micros() as i64)),
        Err(Trouble::Damage(_)) => Ok(false),
        Err(Trouble::Io(error)) => Err(error),
    }
}

fn retry_after(free_us: i64, now_us: i64) -> Duration {
    micros((free_us - now_us).max(1))
}

/// Takes the runs that are over out of the window. `last` is not.
fn give_back(pages: &mut Pages<'_, impl Place>, rule: &Rule, header: &mut Header, last: Run, now_us: i64) -> Result<(), Trouble> {
    while header.first < header.next {
        let run = pages.run(rule, header.first)?;
        if run.at_us > last.at_us || run.taken > last.taken || run.taken <= header.given_back {
            return Err(Trouble::Damage("its runs are not in order"));
        }
        if now_us - run.at_us < rule.per_us {
            break;
        }
        header.given_back = run.taken;
        header.first += 1;
    }
    Ok(())
}

/// When so many of the window will have been given back.
fn free_at(pages: &mut Pages<'_, impl Place>, rule: &Rule, header: &Header, too_many: u64) -> Result<i64, Trouble> {
    for number in header.first..header.next {
        let run = pages.run(rule, number)?;
        if run.taken.saturating_sub(header.given_back) >= too_many {
            return Ok(run.at_us + rule.per_us);
        }
    }
    Err(Trouble::Damage("its sums are wrong"))
}

/// Room for the runs of one window: one for each grain, and those that are cut at its ends.
fn ring(rule: &Rule) -> u64 {
    u64::from(rule.count.min(RUNS_MAX)) + 2
}

fn run_offset(rule: &Rule, number: u64) -> u64 {
    HEADER_BYTES as u64 + number % ring(rule) * RUN_BYTES as u64
}

/// Reads a file in pieces larger than asked for.
struct Pages<'a, P> {
    place: &'a P,
    buffer: [u8; READ_BYTES],
    start: u64,
    len: usize,
}

impl<P: Place> Pages<'_, P> {
    fn fill(&mut self, offset: u64) -> io::Result<()> {
        self.start = offset;
        self.len = self.place.read_at(&mut self.buffer, offset)?;
        Ok(())
    }

    fn run(&mut self, rule: &Rule, number: u64) -> Result<Run, Trouble> {
        let offset = run_offset(rule, number);
        let end = offset + RUN_BYTES as u64;
        if offset < self.start || end > self.start + self.len as u64 {
            self.fill(offset)?;
        }
        let from = (offset - self.start) as usize;
        self.buffer[..self.len].get(from..from + RUN_BYTES).and_then(parse_run).ok_or(Trouble::Damage("a run is no run"))
    }
}

/// The header, where it speaks of this boot.
fn header<P: Place>(pages: &mut Pages<'_, P>, terms: &Terms<'_>) -> Result<Option<Header>, Trouble> {
    pages.fill(0)?;
    let bytes = &pages.buffer[..pages.len];
    if bytes.iter().all(|&byte| byte == 0) {
        // New; or what a power cut left of it.
        return Ok(None);
    }
    let (header, limit, boot_id) =
        bytes.get(..HEADER_BYTES).and_then(parse_header).ok_or(Trouble::Damage("its first line is no header"))?;
    if limit != terms.limit.as_bytes() {
        return Err(Trouble::Damage("it speaks of another limit"));
    }
    if boot_id != terms.boot_id.as_bytes() {
        return Ok(None);
    }
    if header.next.checked_sub(header.first).is_none_or(|runs| runs > ring(terms.rule)) {
        return Err(Trouble::Damage("its runs cannot be so many"));
    }
    Ok(Some(header))
}

fn parse_header(bytes: &[u8]) -> Option<(Header, Vec<u8>, Vec<u8>)> {
    let line = bytes.strip_suffix(b"\n")?;
    let (mut header, mut limit, mut boot_id) = (Header::default(), None, None);
    let mut numbers = 0;
    let whole = Scanner::new().members(line, |key, value| {
        for (name, to) in [("first", &mut header.first), ("next", &mut header.next), ("given_back", &mut header.given_back)] {
            if key.is(name.as_bytes())
                && let Some(number) = value.as_u64()
            {
                *to = number;
                numbers += 1;
            }
        }
        match value {
            Value::String(text) if key.is(b"limit") => limit = Some(text.decode().into_owned()),
            Value::String(text) if key.is(b"boot_id") => boot_id = Some(text.decode().into_owned()),
            _ => {}
        }
        Walk::On
    });
    // A number near its end would overflow in sums: nobody ever counted so far.
    let is_sane = whole.is_ok() && numbers == 3 && header.next < u64::MAX / 2;
    Some((header, limit?, boot_id?)).filter(|_| is_sane)
}

fn parse_run(bytes: &[u8]) -> Option<Run> {
    let text = std::str::from_utf8(bytes.strip_suffix(b"\n")?).ok()?;
    let (at_us, taken) = text.trim_end_matches(' ').strip_prefix("{\"at_us\":")?.strip_suffix('}')?.split_once(",\"taken\":")?;
    let run = Run { at_us: at_us.trim_start_matches(' ').parse().ok()?, taken: taken.trim_start_matches(' ').parse().ok()? };
    // As of times, so of sums: what cannot be is damage, and must not overflow.
    Some(run).filter(|run| (0..i64::MAX / 4).contains(&run.at_us) && run.taken < u64::MAX / 2)
}

fn write_header(place: &impl Place, terms: &Terms<'_>, header: Header) -> io::Result<()> {
    let Header { first, next, given_back } = header;
    let mut line = format!(
        "{{\"boot_id\":\"{}\",\"limit\":\"{}\",\"first\":{first},\"next\":{next},\"given_back\":{given_back},\"key\":",
        terms.boot_id, terms.limit
    )
    .into_bytes();
    let room = HEADER_BYTES.saturating_sub(line.len() + 2);
    // As much of the key as there is room for; its escapes decide how much that is.
    let mut key = terms.key;
    let mut written = Vec::new();
    loop {
        written.clear();
        json::write_string(key, &mut written);
        if written.len() <= room || key.is_empty() {
            break;
        }
        let half = key.char_indices().map(|(at, _)| at).nth(key.chars().count() / 2).unwrap_or(0);
        key = &key[..half];
    }
    line.extend_from_slice(&written);
    line.push(b'}');
    line.resize(HEADER_BYTES - 1, b' ');
    line.push(b'\n');
    place.write_at(&line, 0)
}

fn write_run(place: &impl Place, rule: &Rule, number: u64, run: Run) -> io::Result<()> {
    let mut line = format!("{{\"at_us\":{},\"taken\":{}}}", run.at_us, run.taken);
    debug_assert!(line.len() < RUN_BYTES, "two numbers of at most 20 digits");
    line.extend(std::iter::repeat_n(' ', RUN_BYTES - 1 - line.len()));
    line.push('\n');
    place.write_at(line.as_bytes(), run_offset(rule, number))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
