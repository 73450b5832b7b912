//! The files of the journal: their names, their lines' heads, and finding a place in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Bounds;
use crate::exit::Failure;
use crate::json::{Scanner, Walk};

/// `{"seq":` + 20 digits + `,"msg_id":` + `,"timestamp":"` + 27 + `",`
pub(super) const HEAD_FIXED_BYTES_MAX: usize = 7 + 20 + 10 + 14 + crate::time::WRITTEN_LEN + 2;

const EXTENSION: &str = ".ndjson";

pub(super) fn path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}{EXTENSION}"))
}

pub(super) fn list(dir: &Path) -> Result<Vec<u64>, Failure> {
    let failed = |error: &io::Error| Failure::io(format_args!("read the journal {}", dir.display()), error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(&error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| failed(&error))?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)).filter(|digits| digits.len() == 20);
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

#[derive(Default)]
pub(super) struct Head {
    pub seq: Option<u64>,
    pub msg_id: String,
    pub sender_id: String,
    pub timestamp: Option<Timestamp>,
}

pub(super) fn head(line: &[u8]) -> Option<Head> {
    let mut head = Head::default();
    let visit = |key: crate::json::Str<'_>, value: crate::json::Value<'_>| {
        match value {
            crate::json::Value::String(text) if key.is(b"msg_id") => head.msg_id = text.text().into_owned(),
            crate::json::Value::String(text) if key.is(b"sender_id") => head.sender_id = text.text().into_owned(),
            crate::json::Value::String(text) if key.is(b"timestamp") => head.timestamp = crate::time::timestamp(&text.decode()),
            value if key.is(b"seq") => head.seq = value.as_u64(),
            _ => {}
        }
        Walk::On
    };
    Scanner::new().members(line, visit).ok()?;
    Some(head)
}

pub(super) fn bounds(dir: &Path) -> Result<Bounds, Failure> {
    let segments = list(dir)?;
    let (Some(&oldest_seq), Some(&last)) = (segments.first(), segments.last()) else { return Ok(Bounds { oldest_seq: 1, next_seq: 1 }) };
    let bytes = fs::read(path(dir, last)).map_err(|error| Failure::io("read the journal", &error))?;
    Ok(Bounds { oldest_seq, next_seq: last + memchr::memchr_iter(b'\n', &bytes).count() as u64 })
}

pub(super) fn first_since(dir: &Path, at: Timestamp) -> Result<u64, Failure> {
    for segment in list(dir)? {
        let bytes = fs::read(path(dir, segment)).map_err(|error| Failure::io("read the journal", &error))?;
        for (n, line) in bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()).enumerate() {
            if head(line).and_then(|head| head.timestamp).is_some_and(|timestamp| timestamp >= at) {
                return Ok(segment + n as u64);
            }
        }
    }
    Ok(bounds(dir)?.next_seq)
}
