//! Who waits, in the order of arrival: a file each, which its waiter keeps locked for as long as it lives. So a dead one is known
//! by its lock, in whatever way it died; and the system closes its file then, which wakes whoever watches it.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use swarm_common::json::{self, Scanner, Value, Walk};
use swarm_common::{files, time};

use crate::lease::{self, Mode};
use crate::pattern::Pattern;

/// No place is as far back: what has such a name is not of the queue.
const NUMBER_MAX: u64 = 1 << 53;

/// Somebody who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Its place: who came before has a lower one.
    pub number: u64,
    /// Who it is.
    pub agent_id: String,
    /// How it wants to hold them.
    pub mode: Mode,
    /// What it waits for.
    pub patterns: Vec<Pattern>,
    /// Since when.
    pub since: Timestamp,
    /// What for.
    pub reason: String,
    /// Its file.
    pub path: PathBuf,
    /// Whether it waits, once that was looked for.
    is_alive: Cell<Option<bool>>,
}

/// A place in the queue, which is left when this is dropped.
#[derive(Debug)]
pub struct Ticket {
    /// Its number.
    pub number: u64,
    path: PathBuf,
    _locked: File,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // If it cannot be removed, it counts as dead.
        let _ = fs::remove_file(&self.path);
    }
}

/// Stands at the end of the queue; under the table's lock.
///
/// # Errors
/// What the system says.
pub fn join(dir: &Path, agent_id: &str, mode: Mode, patterns: &[Pattern], reason: &str, since: Timestamp) -> io::Result<Ticket> {
    let queue = dir.join("queue");
    files::create_dir(&queue)?;
    let number = numbers(&queue)?.into_iter().max().unwrap_or(0) + 1;
    let path = file(&queue, number);
    let new = queue.join("new");
    let mut line = b"{\"agent_id\":".to_vec();
    json::write_string(agent_id, &mut line);
    line.extend_from_slice(format!(",\"mode\":\"{}\",", mode.word()).as_bytes());
    lease::write_paths(patterns, &mut line);
    lease::write_globs(patterns, &mut line);
    line.extend_from_slice(format!(",\"since\":\"{}\",\"pid\":{}", time::write(since), std::process::id()).as_bytes());
    if !reason.is_empty() {
        line.extend_from_slice(b",\"reason\":");
        json::write_string(reason, &mut line);
    }
    line.extend_from_slice(b"}\n");
    let _ = fs::remove_file(&new);
    let mut locked = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
    locked.write_all(&line)?;
    files::lock_file(&locked, true)?;
    fs::rename(&new, &path)?;
    Ok(Ticket { number, path, _locked: locked })
}

/// Those who wait, in their order, the dead among them.
///
/// # Errors
/// What the system says.
pub fn list(dir: &Path) -> io::Result<Vec<Waiter>> {
    let queue = dir.join("queue");
    let mut numbers = numbers(&queue)?;
    numbers.sort_unstable();
    let mut scanner = Scanner::new();
    let mut waiters = Vec::with_capacity(numbers.len());
    for number in numbers {
        let path = file(&queue, number);
        // Whoever leaves removes its file without the lock.
        // What is no file is no waiter.
        let Ok(Some(mut file)) = files::open_if_there(&path) else { continue };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        waiters.extend(parse(&bytes, number, path, &mut scanner));
    }
    Ok(waiters)
}

impl Waiter {
    /// True if it waits: looked for once, for a turn is one moment.
    pub fn is_alive(&self) -> bool {
        if let Some(is_alive) = self.is_alive.get() {
            return is_alive;
        }
        let is_alive = is_held(&self.path);
        self.is_alive.set(Some(is_alive));
        is_alive
    }
}

/// True while the waiter that has this file lives.
pub fn is_held(path: &Path) -> bool {
    match files::open_if_there(path) {
        Ok(Some(file)) => files::is_locked(&file).unwrap_or(true),
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Removes those who died.
///
/// # Errors
/// What the system says.
pub fn sweep(dir: &Path) -> io::Result<()> {
    let queue = dir.join("queue");
    for number in numbers(&queue)? {
        let path = file(&queue, number);
        if let Ok(Some(file)) = files::open_if_there(&path)
            && !files::is_locked(&file)?
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn file(queue: &Path, number: u64) -> PathBuf {
    queue.join(format!("{number:020}.ndjson"))
}

fn numbers(queue: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(queue) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(
            name.to_str()
                .and_then(|name| name.strip_suffix(".ndjson"))
                .and_then(|number| number.parse::<u64>().ok())
                .filter(|number| *number < NUMBER_MAX),
        );
    }
    Ok(numbers)
}

fn parse(bytes: &[u8], number: u64, path: PathBuf, scanner: &mut Scanner) -> Option<Waiter> {
    let (mut agent_id, mut mode, mut since, mut reason, mut paths, mut globs) = (None, None, None, String::new(), None, None);
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let whole = scanner.members(line, |key, value| {
        match value {
            Value::String(text) if key.is(b"agent_id") => agent_id = Some(text.text().into_owned()),
            Value::String(text) if key.is(b"mode") => mode = Mode::of(&text.decode()),
            Value::String(text) if key.is(b"since") => since = time::timestamp(&text.decode()),
            Value::String(text) if key.is(b"reason") => reason = text.text().into_owned(),
            Value::Array(_) if key.is(b"paths") => paths = Some(value),
            Value::Array(_) if key.is(b"globs") => globs = Some(value),
            _ => {}
        }
        Walk::On
    });
    whole.ok().filter(|&whole| whole)?;
    let patterns = lease::texts(paths, globs).filter_map(|(text, is_literal)| lease::pattern(&text, is_literal)).collect();
    Some(Waiter {
        number,
        agent_id: agent_id?,
        mode: mode?,
        patterns,
        since: since.unwrap_or(Timestamp::UNIX_EPOCH),
        reason,
        path,
        is_alive: Cell::new(None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_stand_in_order_and_one_who_is_gone_is_known_by_its_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        assert_eq!(list(dir).expect("listed"), []);
        let patterns = [Pattern::literal("a[1]").expect("a path"), Pattern::glob("b/*").expect("a glob")];
        let join = |who| join(dir, who, Mode::Shared, &patterns, "why", Timestamp::UNIX_EPOCH).expect("joined");
        let (one, two, three) = (join("one"), join("two"), join("three"));
        let waiters = list(dir).expect("listed");
        assert_eq!(
            waiters.iter().map(|waiter| (waiter.number, waiter.agent_id.as_str())).collect::<Vec<_>>(),
            [(1, "one"), (2, "two"), (3, "three")]
        );
        assert!(waiters.iter().all(|waiter| waiter.is_alive() && waiter.patterns == patterns && waiter.reason == "why"));
        drop(one);
        assert!(!is_held(&waiters[0].path) && waiters[0].is_alive(), "it was alive at that moment");
        // Killed: the file stays, the lock does not.
        let left = fs::read(&two.path).expect("read");
        let path = two.path.clone();
        drop(two);
        fs::write(&path, left).expect("written");
        let waiters = list(dir).expect("listed");
        assert_eq!(waiters.iter().map(Waiter::is_alive).collect::<Vec<_>>(), [false, true]);
        sweep(dir).expect("swept");
        assert_eq!(list(dir).expect("listed").len(), 1);
        assert_eq!(super::join(dir, "four", Mode::Exclusive, &patterns, "", Timestamp::UNIX_EPOCH).expect("joined").number, 4);
        drop(three);
    }
}
