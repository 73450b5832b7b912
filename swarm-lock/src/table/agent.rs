//! What an agent is to be told at its next call: which of its leases ended without its doing.
//!
//! A file an agent. Its first line, of fixed length, says when it is worth looking for leases whose time is over: never later than the earliest
//! end among them. So a call reads a hundred bytes, and the whole table only when something may have ended. The other lines were written
//! by those who ended a lease; one counts only if the table agrees.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use swarm_common::json::{self, Scanner, Value, Walk};
use swarm_common::{files, time};

use super::ended::Why;
use crate::clock::Clock;

const HEAD_BYTES: usize = 128;
/// Who never calls again shall not fill the disk.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A lease, or a part of one, that ended without its holder's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its token.
    pub token: u64,
    /// How it ended.
    pub why: Why,
    /// Its process had ended, not its time.
    pub is_gone: bool,
    /// What of it.
    pub paths: Vec<String>,
    /// When it was found out.
    pub at: Timestamp,
    /// Who took it.
    pub by: Option<String>,
    /// What for.
    pub reason: String,
}

/// What lies there for an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Box {
    /// Leases may have ended: look.
    pub is_due: bool,
    /// What others wrote.
    pub notices: Vec<Notice>,
}

/// The file for an agent in the table's directory; in upper or lower case it is one.
fn path(dir: &Path, agent_id: &str) -> PathBuf {
    dir.join("agents").join(format!("{}.ndjson", agent_id.to_ascii_lowercase()))
}

/// Reads what lies there.
///
/// # Errors
/// What the system says.
pub fn read(dir: &Path, agent_id: &str, clock: &Clock) -> io::Result<Box> {
    let Some(mut file) = files::open_if_there(&path(dir, agent_id))? else { return Ok(Box::default()) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let head = bytes.get(..HEAD_BYTES).unwrap_or_default();
    // Of another boot, or unreadable: look, to be sure.
    let is_due = look_at_us(head, clock).is_none_or(|look_at_us| look_at_us <= clock.boot_us);
    let rest = bytes.get(HEAD_BYTES..).unwrap_or_default();
    let notices = rest.split(|&byte| byte == b'\n').filter_map(parse).collect();
    Ok(Box { is_due, notices })
}

/// Sees to it that nobody looks later than at `ends_us`, when a lease of the agent ends.
///
/// # Errors
/// What the system says.
pub fn look_by(dir: &Path, agent_id: &str, clock: &Clock, ends_us: u64) -> io::Result<()> {
    let path = path(dir, agent_id);
    if let Some(file) = files::open_if_there(&path)? {
        let mut head = [0; HEAD_BYTES];
        if file.read_exact_at(&mut head, 0).is_ok() && look_at_us(&head, clock).is_some_and(|look_at_us| look_at_us <= ends_us) {
            return Ok(());
        }
    }
    write_head(&open(&path)?, clock, ends_us)
}

/// The next look is due at `look_at_us`.
///
/// # Errors
/// What the system says.
pub fn look_at(dir: &Path, agent_id: &str, clock: &Clock, look_at_us: u64) -> io::Result<()> {
    write_head(&open(&path(dir, agent_id))?, clock, look_at_us)
}

/// Keeps of the notices those that `is_left`.
///
/// # Errors
/// What the system says.
pub fn keep(dir: &Path, agent_id: &str, clock: &Clock, is_left: &dyn Fn(&Notice) -> bool) -> io::Result<()> {
    let there = read(dir, agent_id, clock)?;
    let left: Vec<&Notice> = there.notices.iter().filter(|notice| is_left(notice)).collect();
    open(&path(dir, agent_id))?.set_len(HEAD_BYTES as u64)?;
    left.into_iter().try_for_each(|notice| leave(dir, agent_id, clock, notice))
}

/// Leaves a notice.
///
/// # Errors
/// What the system says.
pub fn leave(dir: &Path, agent_id: &str, clock: &Clock, notice: &Notice) -> io::Result<()> {
    let path = path(dir, agent_id);
    let mut file = open(&path)?;
    let len = file.metadata()?.len();
    if len < HEAD_BYTES as u64 {
        write_head(&file, clock, 0)?;
    } else if len > FILE_BYTES_MAX {
        return Ok(());
    }
    file = OpenOptions::new().append(true).open(&path)?;
    // The newline first: what a killed writer left of a line stays a line of its own.
    let mut line = vec![b'\n'];
    let Notice { token, why, is_gone, paths, at, by, reason } = notice;
    line.extend_from_slice(
        format!("{{\"token\":{token},\"why\":\"{}\",\"at\":\"{}\",\"paths\":[", why.word(), time::write(*at)).as_bytes(),
    );
    for (n, path) in paths.iter().enumerate() {
        if n > 0 {
            line.push(b',');
        }
        json::write_string(path, &mut line);
    }
    line.push(b']');
    if *is_gone {
        line.extend_from_slice(b",\"gone\":true");
    }
    for (name, value) in [("by", by.as_deref().unwrap_or("")), ("reason", reason)] {
        if !value.is_empty() {
            line.extend_from_slice(format!(",\"{name}\":").as_bytes());
            json::write_string(value, &mut line);
        }
    }
    line.extend_from_slice(b"}\n");
    file.write_all(&line)
}

fn open(path: &Path) -> io::Result<File> {
    match files::open_or_create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), files::create_dir)?;
            files::open_or_create(path)
        }
        opened => opened,
    }
}

fn write_head(file: &File, clock: &Clock, look_at_us: u64) -> io::Result<()> {
    let mut head = format!("{{\"look_at_us\":{look_at_us},\"boot_id\":\"{}\"}}", clock.boot_id);
    head.extend(std::iter::repeat_n(' ', HEAD_BYTES.saturating_sub(head.len() + 1)));
    head.push('\n');
    file.write_all_at(head.as_bytes(), 0)
}

fn look_at_us(head: &[u8], clock: &Clock) -> Option<u64> {
    let (mut look_at_us, mut is_this_boot) = (None, false);
    let whole = Scanner::new().members(head, |key, value| {
        match value {
            Value::String(id) if key.is(b"boot_id") => is_this_boot = id.is(clock.boot_id.as_bytes()),
            _ if key.is(b"look_at_us") => look_at_us = value.as_u64(),
            _ => {}
        }
        Walk::On
    });
    look_at_us.filter(|_| whole == Ok(true) && is_this_boot)
}

fn parse(line: &[u8]) -> Option<Notice> {
    let (mut token, mut why, mut at, mut by, mut reason, mut paths) = (None, None, None, None, String::new(), Vec::new());
    let mut is_gone = false;
    let whole = Scanner::new().members(line, |key, value| {
        match value {
            Value::String(text) if key.is(b"why") => {
                why = [Why::Expired, Why::Stolen].into_iter().find(|why| text.is(why.word().as_bytes()));
            }
            Value::String(text) if key.is(b"at") => at = time::timestamp(&text.decode()),
            Value::String(text) if key.is(b"by") => by = Some(text.text().into_owned()),
            Value::String(text) if key.is(b"reason") => reason = text.text().into_owned(),
            Value::Array(_) if key.is(b"paths") => {
                paths.extend(value.items().filter_map(|item| match item {
                    Value::String(text) => Some(text.text().into_owned()),
                    _ => None,
                }));
            }
            Value::Bool(gone) if key.is(b"gone") => is_gone = gone,
            _ if key.is(b"token") => token = value.as_u64(),
            _ => {}
        }
        Walk::On
    });
    whole.ok().filter(|&whole| whole)?;
    Some(Notice { token: token?, why: why?, is_gone, paths, at: at?, by, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(boot_us: u64) -> Clock {
        Clock { boot_id: "b".into(), boot_us, now: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_look_is_due_at_the_earliest_end_and_after_another_boot() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        let is_due = |boot_us| read(dir, "A", &clock(boot_us)).expect("read").is_due;
        assert!(!is_due(u64::MAX), "an agent without leases");
        for ends_us in [500, 300, 400] {
            look_by(dir, "a", &clock(1), ends_us).expect("written");
        }
        assert!(is_due(300) && !is_due(299));
        look_at(dir, "a", &clock(1), 400).expect("written");
        assert!(is_due(400) && !is_due(399));
        assert!(read(dir, "a", &Clock { boot_id: "c".into(), ..clock(1) }).expect("read").is_due);
    }

    #[test]
    fn notices_lie_there_until_they_are_told_and_a_torn_one_hides_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        let notice = |token| Notice {
            token,
            why: Why::Stolen,
            is_gone: false,
            paths: vec!["a\"b".into(), "c".into()],
            at: Timestamp::UNIX_EPOCH,
            by: Some("x".into()),
            reason: "because".into(),
        };
        leave(dir, "a", &clock(1), &notice(1)).expect("left");
        let file = path(dir, "a");
        let len = std::fs::metadata(&file).expect("there").len();
        leave(dir, "a", &clock(1), &notice(2)).expect("left");
        std::fs::File::options().write(true).open(&file).expect("opened").set_len(len + 9).expect("torn");
        leave(dir, "A", &clock(1), &notice(3)).expect("left");
        let there = read(dir, "a", &clock(1)).expect("read");
        assert_eq!(there, Box { is_due: true, notices: vec![notice(1), notice(3)] });
        keep(dir, "a", &clock(1), &|notice| notice.token == 3).expect("kept");
        assert_eq!(read(dir, "a", &clock(1)).expect("read").notices, [notice(3)]);
    }
}
