//! `import`: takes over the locks of the Python program. Its files are read, and never changed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::json::{Scanner, Value, Walk};
use swarm_common::ndjson::Out;
use swarm_common::{identity, time};

use crate::answer::{self, Skipped};
use crate::arguments::REASON_BYTES_MAX;
use crate::cli::{self, NAME};
use crate::commands::{Swarm, note};
use crate::fnmatch;
use crate::lease::Mode;
use crate::leases::{Acquired, Leases, Manner, Request};
use crate::pattern::Pattern;
use crate::place::Place;

/// So many seconds one of its locks is good.
const SPAN_S: f64 = 300.0;
/// One of its files holds a path and a reason.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A lock as its file has it.
#[derive(Debug, PartialEq)]
struct Lock {
    agent_id: String,
    /// A path or one of Python's patterns, relative to its root.
    path: String,
    /// Seconds since 1970.
    locked_at: f64,
    reason: String,
}

/// Where the locks come from, and where they go.
struct Import {
    dir: PathBuf,
    /// The old program's root: its paths are relative to it.
    root: PathBuf,
    /// The same for ours.
    place: Place,
    leases: Leases,
}

/// What became of a lock.
enum Fate {
    Taken,
    Refused,
    Stale,
    LeftOut,
}

/// Takes them over, the oldest first.
///
/// # Errors
/// Status 2 when that is no directory of its locks, 3 when the system fails.
pub fn import(options: &cli::Import) -> Result<Exit, Failure> {
    let dir = PathBuf::from(&options.dir);
    let files = files(&dir)?;
    if files.is_empty() {
        let failure = Failure::wrong(format!("{}: no .lock files in it", dir.display()));
        return Err(failure.hint("those of the Python program lie in .agent_locks"));
    }
    let swarm = Swarm::open(&options.place)?;
    let root = root_of(&dir)?;
    let import = Import { place: swarm.place.moved_to(&root)?, leases: swarm.leases, dir, root };
    let mut locks: Vec<(String, Result<Lock, String>)> = Vec::new();
    for file in files {
        let lock = read(&import.dir.join(&file)).and_then(|bytes| parse(&bytes).ok_or_else(|| "no lock can be read in it".to_string()));
        locks.push((file.to_string_lossy().into_owned(), lock));
    }
    // Those that cannot be read come first.
    locks.sort_by(|(_, a), (_, b)| {
        let at = |lock: &Result<Lock, String>| lock.as_ref().map_or(f64::MIN, |lock| lock.locked_at);
        at(a).total_cmp(&at(b))
    });
    let mut out = Out::stdout()?;
    let (mut taken, mut refused, mut stale, mut left_out) = (0, 0, 0, 0);
    for (file, lock) in &locks {
        match import.one(file, lock, &mut out)? {
            Fate::Taken => taken += 1,
            Fate::Refused => refused += 1,
            Fate::Stale => stale += 1,
            Fate::LeftOut => left_out += 1,
        }
    }
    out.flush()?;
    exit::say(NAME, &format!("{taken} taken over, {refused} in conflict, {stale} stale, {left_out} left out"));
    Ok(if refused + left_out == 0 { Exit::Yes } else { Exit::No })
}

impl Import {
    /// One file: answers it, and says what became of it.
    fn one(&self, file: &str, lock: &Result<Lock, String>, out: &mut Out) -> Result<Fate, Failure> {
        let left_out = |out: &mut Out, skipped: &Skipped<'_>| {
            note(&format!("{} is left out: {}", self.dir.join(file).display(), skipped.error));
            out.line(&answer::skipped(skipped)).map(|()| Fate::LeftOut)
        };
        let Lock { agent_id, path, locked_at, reason } = match lock {
            Ok(lock) => lock,
            Err(error) => return left_out(out, &Skipped { file, why: "damaged", error, agent_id: "", path: "" }),
        };
        let skipped = |why, error| Skipped { file, why, error, agent_id, path };
        let Some(ttl) = left(*locked_at, time::now()) else {
            out.line(&answer::skipped(&skipped("stale", "")))?;
            return Ok(Fate::Stale);
        };
        if let Err(failure) = identity::check("agent_id", agent_id) {
            return left_out(out, &skipped("agent_id", &failure.what));
        }
        let patterns = match self.patterns(path) {
            Ok(patterns) => patterns,
            Err(failure) => return left_out(out, &skipped("path", &failure.what)),
        };
        let reason = one_line(reason, REASON_BYTES_MAX);
        let request = Request { agent_id: agent_id.clone(), mode: Mode::Exclusive, patterns, ttl, reason, tie: None, keeper: None };
        // What the agent lost is for the agent to hear, and stays there until it was.
        let acquired = self.leases.acquire(&request, Manner::Once, &mut Vec::new(), &mut note);
        match acquired? {
            Acquired::Granted { lease, expires_at, is_renewed } => {
                out.line(&answer::granted(&lease, expires_at, is_renewed))?;
                Ok(Fate::Taken)
            }
            Acquired::Refused(conflicts) => {
                for words in answer::words(&conflicts, time::now()).0 {
                    note(&format!("{agent_id}'s lock on {path} is not taken over: {words}"));
                }
                conflicts.iter().try_for_each(|conflict| out.line(&answer::conflict("conflict", conflict)))?;
                Ok(Fate::Refused)
            }
        }
    }

    /// What a lock was about. The old program held a pattern against paths, and the pattern's own text too.
    fn patterns(&self, path: &str) -> Result<Vec<Pattern>, Failure> {
        let literal = self.place.read(path.as_ref(), true)?;
        if !fnmatch::is_pattern(path) || fs::symlink_metadata(self.root.join(path)).is_ok() {
            return Ok(vec![literal]);
        }
        let Some(glob) = fnmatch::glob(path) else { return Ok(vec![literal]) };
        let glob = self.place.read(glob.as_ref(), false)?;
        // `app/[id]/page.tsx` was meant as the name that it is, and the file may be yet to come.
        let is_own = glob.covers(literal.text());
        Ok(if is_own { vec![glob] } else { vec![glob, literal] })
    }
}

/// The names of its locks, sorted.
fn files(dir: &Path) -> Result<Vec<OsString>, Failure> {
    let failed = |error| Failure::wrong(format!("cannot read {}: {}", dir.display(), exit::reason(&error)));
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "lock") {
            files.push(name);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The directory that its locks' paths are relative to: the one above.
fn root_of(dir: &Path) -> Result<PathBuf, Failure> {
    let failed = |error| Failure::io(format_args!("learn where {} lies", dir.display()), &error);
    // By name: a link to the directory lies where it lies.
    let dir = path::absolute(dir).map_err(failed)?;
    let above = if dir.ends_with("..") { dir.join("..") } else { dir.parent().map_or_else(|| dir.clone(), Path::to_path_buf) };
    above.canonicalize().map_err(failed)
}

/// The file's content; why not, in words.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let meta = fs::metadata(path).map_err(|error| exit::reason(&error))?;
    if !meta.is_file() {
        return Err("it is no regular file".to_string());
    }
    if meta.len() == 0 {
        return Err("it is empty".to_string());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| exit::reason(&error))?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| exit::reason(&error))?;
    Ok(bytes)
}

/// None for anything but a lock.
fn parse(bytes: &[u8]) -> Option<Lock> {
    let (mut agent_id, mut path, mut locked_at, mut reason) = (None, None, None, Some(String::new()));
    let whole = Scanner::new().members(bytes, |key, value| {
        let text = |value| match value {
            Value::String(text) => Some(text.text().into_owned()),
            _ => None,
        };
        if key.is(b"agent_id") {
            agent_id = text(value);
        } else if key.is(b"filepath") {
            path = text(value);
        } else if key.is(b"reason") {
            reason = text(value);
        } else if let (true, Value::Number(number)) = (key.is(b"locked_at"), value) {
            locked_at = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).filter(|at: &f64| at.is_finite());
        }
        Walk::On
    });
    whole.ok().filter(|&whole| whole)?;
    Some(Lock { agent_id: agent_id?, path: path?, locked_at: locked_at?, reason: reason? })
}

/// What is left of a lock's time; none where it is stale. One from the future was taken by a clock that was wrong: it is fresh.
fn left(locked_at: f64, now: Timestamp) -> Option<Duration> {
    // A float as in the file: its step is a fraction of a microsecond for centuries.
    #[allow(clippy::cast_precision_loss)]
    let age_s = (now.as_microsecond() as f64 / 1e6 - locked_at).max(0.0);
    Duration::try_from_secs_f64(SPAN_S - age_s).ok().filter(|left| !left.is_zero())
}

/// The text as one line of so many bytes at most.
fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > bytes_max {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_lock_is_never_more_than_its_span() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let s = |seconds| Some(Duration::from_secs(seconds));
        for (locked_at, expected) in [
            (1_000_000.0, s(300)),
            (999_900.0, s(200)),
            (999_701.0, s(1)),
            (999_700.0, None),
            (999_699.0, None),
            (-1e300, None),
            (1_000_001.0, s(300)),
            (1e300, s(300)),
        ] {
            assert_eq!(left(locked_at, now), expected, "{locked_at}");
        }
    }

    #[test]
    fn only_a_whole_lock_is_one() {
        let good = r#"{"agent_id": "a", "filepath": "b", "locked_at": 1.5, "reason": "r"}"#;
        let lock = Lock { agent_id: "a".into(), path: "b".into(), locked_at: 1.5, reason: "r".into() };
        assert_eq!(parse(good.as_bytes()), Some(lock));
        assert!(parse(good.replace(", ", ",\n  ").as_bytes()).is_some());
        assert!(parse(good.replace(r#", "reason": "r""#, "").as_bytes()).is_some(), "it takes no reason");
        for (from, to) in [
            (r#""agent_id": "a", "#, ""),
            ("\"a\"", "7"),
            ("1.5", "NaN"),
            ("1.5", "1e999"),
            ("1.5", "\"1.5\""),
            ("\"r\"", "null"),
            ("}", ""),
            ("}", "}}"),
            ("{", "["),
        ] {
            assert_eq!(parse(good.replace(from, to).as_bytes()), None, "{from} -> {to}");
        }
    }

    #[test]
    fn a_reason_becomes_one_line_of_whole_characters() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31m", 500), "a b c [31m");
        assert_eq!(one_line("\u{e9}\u{e9}", 3), "\u{e9}");
    }
}
