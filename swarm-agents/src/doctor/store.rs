//! The store: where it is, whether it may be used, its config, its journal.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::unistd::{AccessFlags, access};
use swarm_common::config::Config;
use swarm_common::exit::{self, Failure};
use swarm_common::journal::{Journal, Step};
use swarm_common::json::{Scanner, Value, Walk};
use swarm_common::store::{self, Store, VARIABLE};
use swarm_common::{files, identity, time};

use super::finding::Finding;

/// Clocks of two machines, or a step by a time server, are apart by so much without harm.
const CLOCK_SLACK_MS: i128 = 2_000;

/// What was found.
pub struct Found {
    /// The store, where it may be used.
    pub store: Option<Store>,
    dir: Option<PathBuf>,
    config: Config,
}

impl Found {
    /// Its config; the defaults where it cannot be read.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its directory, or the one that it will be made in.
    pub fn dir(&self) -> &Path {
        let there = self.dir.iter().flat_map(|dir| dir.ancestors()).find(|dir| dir.is_dir());
        there.unwrap_or(Path::new("."))
    }
}

/// Looks for the store, and at what is in it.
pub fn look(given: Option<&OsStr>) -> (Vec<Finding>, Found) {
    let mut found = Found { store: None, dir: None, config: Config::default() };
    let dir = match store::place(given) {
        Ok(dir) => dir,
        Err(failure) => return (vec![Finding::failed("store", failure)], found),
    };
    let by = match given {
        Some(_) => "option",
        None if env::var_os(VARIABLE).is_some_and(|dir| !dir.is_empty()) => "variable",
        None => "directory",
    };
    let about = |finding: Finding| finding.with("dir", dir.to_string_lossy().into_owned()).with("by", by);
    found.dir = Some(dir.clone());
    if fs::symlink_metadata(&dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        let words = format!("{} is not there yet: what is sent or registered first makes it", dir.display());
        return (vec![about(Finding::note("store", words, ""))], found);
    }
    if let Err(failure) = store::check(&dir) {
        return (vec![about(Finding::failed("store", failure))], found);
    }
    let mut findings = vec![about(directory(&dir, by))];
    let path = dir.join("config.toml");
    match Config::read(&path) {
        Ok(config) => {
            let is_there = path.exists();
            let words = if is_there { format!("{}", path.display()) } else { "the defaults: there is no config.toml".to_string() };
            findings.push(Finding::good("config", words).with("file", is_there));
            found.config = config;
        }
        Err(failure) => {
            findings.push(Finding::failed("config", failure));
            return (findings, found);
        }
    }
    match Store::open_to_read(given) {
        Ok(store) => found.store = store,
        Err(failure) => findings.push(Finding::failed("store", failure)),
    }
    if let Some(store) = &found.store {
        findings.extend(journal(&store.journal(), &dir.join("journal")));
    }
    (findings, found)
}

/// Whether its owner can work in it: a file can be made there, and locked.
fn directory(dir: &Path, by: &str) -> Finding {
    let meta = match fs::metadata(dir) {
        Ok(meta) => meta,
        Err(error) => return Finding::failed("store", Failure::io(format_args!("use the store {}", dir.display()), &error)),
    };
    let how = match by {
        "option" => "named by --store",
        "variable" => "named by $SWARM_STORE",
        _ => "found from the current directory",
    };
    let mode = format!("{:03o}", meta.mode() & 0o777);
    let with = |finding: Finding| finding.with("mode", mode.as_str()).with("uid", u64::from(meta.uid()));
    with(match locks(dir) {
        Ok(true) => Finding::good("store", format!("{}, {how}, mode {mode}", dir.display())),
        Ok(false) => Finding::wrong(
            "store",
            format!("locks have no effect in {}: two writers would write at once", dir.display()),
            "another place, on a local disk:  --store DIR, or SWARM_STORE=DIR",
        ),
        Err(error) => Finding::wrong(
            "store",
            format!("{} cannot be written to: {}", dir.display(), exit::reason(&error)),
            "a sandbox may have made it read-only; messages can be read here, and not sent",
        ),
    })
}

/// Whether a lock that one has keeps another out, in this directory. Nothing is left behind.
fn locks(dir: &Path) -> io::Result<bool> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    let one = options.create_new(true).open(&path)?;
    let other = options.create_new(false).open(&path);
    fs::remove_file(&path)?;
    files::lock_file(&one, true)?;
    Ok(!files::try_lock_file(&other?)?)
}

/// What the journal's last record says.
enum Last {
    /// There is none.
    None,
    /// When it was written.
    At(Timestamp),
    /// It is none.
    Damaged(String),
}

fn journal(journal: &Journal, dir: &Path) -> Vec<Finding> {
    if !dir.exists() {
        return vec![Finding::good("journal", "nothing was sent yet").with("records", 0).with("next_seq", 1)];
    }
    let (bounds, last) = match journal.bounds().and_then(|bounds| Ok((bounds, last(journal, bounds.next_seq)?))) {
        Ok(read) => read,
        Err(failure) => return vec![Finding::failed("journal", failure)],
    };
    let count = bounds.next_seq - bounds.oldest_seq;
    let finding = match (may_write(dir), &last) {
        (Err(error), _) => Finding::wrong(
            "journal",
            format!("{} cannot be written to: {}", dir.display(), error.desc()),
            "messages can be read here, and not sent",
        ),
        (Ok(()), Last::Damaged(why)) => {
            let words = format!("its last record, {}, is damaged: {why}", bounds.next_seq - 1);
            Finding::wrong("journal", words, "what comes before and after it is read; swarm-tail says which it leaves out")
        }
        (Ok(()), _) => Finding::good("journal", format!("{count} records, the next one is {}", bounds.next_seq)),
    };
    let mut findings = vec![finding.with("records", count).with("next_seq", bounds.next_seq)];
    if let Last::At(at) = last {
        findings.push(clock(at, time::now()));
    }
    findings
}

/// The directory, its lock and the segment that is written to.
fn may_write(dir: &Path) -> nix::Result<()> {
    let newest = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = newest.filter(|path| path.extension().is_some_and(|extension| extension == "ndjson")).max();
    let all = [Some(dir.to_path_buf()), Some(dir.join("lock")).filter(|lock| lock.exists()), newest];
    all.iter().flatten().try_for_each(|path| access(path, AccessFlags::W_OK))
}

fn last(journal: &Journal, next_seq: u64) -> Result<Last, Failure> {
    let mut reader = journal.read_from(next_seq.saturating_sub(1).max(1))?;
    Ok(match reader.next()? {
        Step::Lines { bytes, .. } => {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let mut at = None;
            let is_good = Scanner::new().members(line, |key, value| {
                if let (b"timestamp", Value::String(text)) = (key.decode().as_ref(), value) {
                    at = time::timestamp(&text.decode());
                }
                Walk::On
            });
            match (is_good, at) {
                (Ok(_), Some(at)) => Last::At(at),
                (Ok(_), None) => Last::Damaged("it has no timestamp".into()),
                (Err(fault), _) => Last::Damaged(fault.to_string()),
            }
        }
        Step::Damaged { why, .. } => Last::Damaged(why),
        Step::Gap { .. } | Step::End => Last::None,
    })
}

/// Whether the clock has come to where it was when the last record was written.
fn clock(last: Timestamp, now: Timestamp) -> Finding {
    let ahead_ms = last.duration_since(now).as_millis();
    let finding = if ahead_ms > CLOCK_SLACK_MS {
        let words = format!("the clock is {} s behind the last record ({})", ahead_ms / 1_000, time::write(last));
        Finding::wrong(
            "clock",
            words,
            "set it right; until it has caught up, new records get that same time, so spans of time ago are wrong",
        )
    } else {
        Finding::good("clock", format!("it is {}, and the last record is of {}", time::write(now), time::write(last)))
    };
    finding.with("now", time::write(now)).with("last_record_at", time::write(last))
}

/// Who calls.
pub fn identity(store: &Store) -> Finding {
    match identity::who(store, None, false) {
        Ok(identity) => match identity.own {
            Some(own) => Finding::good("identity", format!("you are {own}")).with("agent_id", own),
            None => Finding::good("identity", "nothing says who you are: neither $SWARM_AGENT nor the registry"),
        },
        Err(failure) => Finding::failed("identity", failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_clock_that_is_behind_the_last_record_is_wrong_and_a_little_is_not() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (seconds, state) in [(-3_600, State::Good), (0, State::Good), (1, State::Good), (3, State::Wrong), (7_200, State::Wrong)] {
            assert_eq!(clock(Timestamp::from_second(1_000_000 + seconds).unwrap(), now).state, state, "{seconds}");
        }
    }

    #[test]
    fn locks_are_tried_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert!(locks(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
