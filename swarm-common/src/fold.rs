//! A fold over the journal whose position is saved: what is computed from all records (which deliveries wait, for one) costs what is new and
//! not what is old. The journal stays the one truth: a saved fold that is missing, damaged, of another journal or of one that lost its end is
//! computed again from the oldest record, and both ways give the same. It never writes to the journal.
//!
//! A fold is a file, `NAME.ndjson`, of two lines: a head, which says how far it was read and what is most asked, and the state. It is replaced by rename under a lock that nobody waits for: who cannot have it uses what it computed, and does not
//! save. Who may not write at all never calls [`Fold::save`].

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::files;
use crate::journal::{self, Journal, Step};

/// More is no saved fold.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is computed. It has to follow from the records that are kept: what it says of a message comes from that message's record and later ones
/// alone, and goes with it ([`State::forget_before`]). Else the saved way and the one from the oldest record would differ.
pub trait State: Default + Serialize + DeserializeOwned {
    /// The name of its file. A change of its shape or its meaning is a new name.
    const NAME: &'static str;

    /// What is most asked of it: it stands in the head of the file, so that who asks need not read the whole.
    type Digest: Default + Serialize + DeserializeOwned;

    /// That of this state.
    fn digest(&self) -> Self::Digest;

    /// Whether a record of this type may matter; `rest` is what follows the type in its line. Asked of lines that are written as the journal
    /// writes; any other line is taken.
    fn wants(msg_type: &[u8], rest: &[u8]) -> bool;

    /// One record more, without its newline, perhaps one that does not matter.
    fn take(&mut self, seq: u64, record: &[u8]);

    /// What is said of messages before this seq goes: retention took them.
    fn forget_before(&mut self, oldest_seq: u64);
}

/// A state, and how far the journal was read for it.
#[derive(Debug)]
pub struct Fold<S> {
    dir: PathBuf,
    /// What was computed.
    state: S,
    /// The first seq that was not read.
    next_seq: u64,
    /// The id of the record before it. It is looked at again: a record that was not on disk yet may be gone after a power cut, and its seq be
    /// another's; or the journal is another one.
    last_id: Option<String>,
    /// Records were read that the file does not know of.
    unsaved: u64,
    /// Some of them changed the state.
    is_changed: bool,
}

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head<D> {
    /// The first seq that was not read.
    next_seq: u64,
    last_id: Option<String>,
    /// What is most asked.
    pub digest: D,
}

/// No head is longer.
const HEAD_BYTES_MAX: usize = 8192;

impl<D: DeserializeOwned> Head<D> {
    /// The one that was saved in `dir` under this name; `None` where there is none that can be used.
    pub fn read(dir: &Path, name: &str) -> Option<Head<D>> {
        let file = files::open_if_there(&dir.join(format!("{name}.ndjson"))).ok()??;
        let mut text = Vec::with_capacity(HEAD_BYTES_MAX);
        file.take(HEAD_BYTES_MAX as u64).read_to_end(&mut text).ok()?;
        let end = memchr::memchr(b'\n', &text)?;
        serde_json::from_slice(&text[..end]).ok().filter(|head: &Head<D>| head.next_seq > 1 && head.last_id.is_some())
    }

    /// Hands over what came since, up to `count_max` records; false where that is more, or where the journal is not the one that was read.
    ///
    /// # Errors
    /// Status 3 when it cannot be read.
    pub fn read_on(&self, journal: &Journal, count_max: u64, mut visit: impl FnMut(&[u8])) -> Result<bool, Failure> {
        let mut reader = journal.read_from(self.next_seq - 1)?;
        let mut seen = 0;
        loop {
            let (bytes, first_seq) = match reader.next()? {
                Step::Lines { bytes, first_seq, .. } => (bytes, first_seq),
                Step::End => return Ok(seen > 0),
                Step::Damaged { .. } | Step::Gap { .. } => return Ok(false),
            };
            let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n');
            for (seq, line) in (first_seq..).zip(lines) {
                if seen == 0 && (seq != self.next_seq - 1 || journal::id_of(line) != self.last_id) || seen > count_max {
                    return Ok(false);
                }
                if seen > 0 {
                    visit(line);
                }
                seen += 1;
            }
        }
    }
}

/// So many records may be read again by each call before it is worth saving that they were read, though none of them mattered.
const READ_AGAIN_MAX: u64 = 256;

impl<S: State> Fold<S> {
    /// What was saved in `dir`; where that is nothing, or garbage, a fold that has read nothing.
    pub fn load(dir: &Path) -> Fold<S> {
        let fold = Fold { dir: dir.to_path_buf(), state: S::default(), next_seq: 1, last_id: None, unsaved: 0, is_changed: false };
        match read::<S>(&path::<S>(dir)) {
            Some((Head { next_seq, last_id, .. }, state)) if next_seq > 0 => Fold { next_seq, last_id, state, ..fold },
            _ => fold,
        }
    }

    /// What was computed.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The first seq that was not read.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Reads what came since.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read.
    pub fn catch_up(&mut self, journal: &Journal) -> Result<(), Failure> {
        let oldest_seq = journal.oldest_seq()?;
        let done = self.next_seq;
        let mut reader = None;
        if let Some(last_id) = &self.last_id
            && done > oldest_seq
        {
            let mut from_last = journal.read_from(done - 1)?;
            if let Step::Lines { bytes, first_seq, .. } = from_last.next()?
                && first_seq == done - 1
                && journal::id_of(first_line(bytes)).as_ref() == Some(last_id)
            {
                self.take(bytes, first_seq, done);
                reader = Some(from_last);
            }
        }
        let mut reader = match reader {
            Some(reader) => reader,
            None => {
                // Nothing was read, or what was read is not what lies there.
                self.is_changed |= self.last_id.is_some();
                (self.state, self.next_seq, self.last_id) = (S::default(), 0, None);
                journal.read_from(0)?
            }
        };
        loop {
            match reader.next()? {
                Step::Lines { bytes, first_seq, .. } => self.take(bytes, first_seq, 0),
                Step::Damaged { .. } => {
                    self.last_id = None;
                    self.unsaved += 1;
                }
                Step::Gap { .. } => {}
                Step::End => break,
            }
        }
        self.next_seq = reader.next_seq();
        self.state.forget_before(oldest_seq);
        Ok(())
    }

    /// Whole lines, the first of which has this seq; those before `from_seq` were taken already.
    fn take(&mut self, bytes: &[u8], first_seq: u64, from_seq: u64) {
        let (mut start, mut seq) = (0, first_seq);
        let mut last = &bytes[..0];
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[start..end];
            if seq >= from_seq {
                if journal::type_of(line).is_none_or(|(msg_type, rest)| S::wants(msg_type, rest)) {
                    self.state.take(seq, line);
                    self.is_changed = true;
                }
                self.unsaved += 1;
            }
            (start, last) = (end + 1, line);
            seq += 1;
        }
        self.last_id = journal::id_of(last);
    }

    /// True when to save it now spares later calls more than it costs.
    pub fn is_worth_saving(&self) -> bool {
        self.last_id.is_some() && self.unsaved > 0 && (self.is_changed || self.unsaved >= READ_AGAIN_MAX)
    }

    /// How many records the file does not know of.
    pub fn unsaved(&self) -> u64 {
        self.unsaved
    }

    /// Saves it; false, and nothing is done, while another process does the same.
    ///
    /// # Errors
    /// What the system answers. It is no loss: the next one reads what this one did.
    pub fn save(&mut self) -> io::Result<bool> {
        files::create_dir(&self.dir)?;
        let lock = files::open_or_create(&self.dir.join(format!("{}.lock", S::NAME)))?;
        if !files::try_lock_file(&lock)? {
            return Ok(false);
        }
        let head = Head { next_seq: self.next_seq, last_id: self.last_id.clone(), digest: self.state.digest() };
        let mut text = serde_json::to_vec(&head).map_err(io::Error::other)?;
        text.push(b'\n');
        serde_json::to_writer(&mut text, &self.state).map_err(io::Error::other)?;
        text.push(b'\n');
        // Not synced: of what a power cut leaves of it, nothing can be read, and it is computed again.
        let new = self.dir.join(format!(".{}.new", S::NAME));
        let mut file = files::open_or_create(&new)?;
        file.set_len(0)?;
        file.write_all(&text)?;
        fs::rename(&new, path::<S>(&self.dir))?;
        // Its name in older versions.
        let _ = fs::remove_file(self.dir.join(format!("{}.json", S::NAME)));
        (self.unsaved, self.is_changed) = (0, false);
        Ok(true)
    }
}

fn path<S: State>(dir: &Path) -> PathBuf {
    dir.join(format!("{}.ndjson", S::NAME))
}

fn read<S: State>(path: &Path) -> Option<(Head<S::Digest>, S)> {
    let file: File = files::open_if_there(path).ok()??;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).ok()?;
    let end = memchr::memchr(b'\n', &text)?;
    Some((serde_json::from_slice(&text[..end]).ok()?, serde_json::from_slice(&text[end..]).ok()?))
}

fn first_line(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Draft, Settings};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tempfile::TempDir;

    /// The types of the records that matter, by seq.
    #[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Seen(BTreeMap<u64, String>);

    impl State for Seen {
        const NAME: &'static str = "seen";
        type Digest = usize;

        fn digest(&self) -> usize {
            self.0.len()
        }

        fn wants(msg_type: &[u8], _: &[u8]) -> bool {
            msg_type == b"DELIVERY"
        }

        fn take(&mut self, seq: u64, record: &[u8]) {
            self.0.insert(seq, journal::id_of(record).expect("an id"));
        }

        fn forget_before(&mut self, oldest_seq: u64) {
            self.0 = self.0.split_off(&oldest_seq);
        }
    }

    struct World {
        dir: TempDir,
        journal: Journal,
        stored: usize,
    }

    impl World {
        fn new() -> World {
            let dir = tempfile::tempdir().expect("a directory");
            let settings = Settings { segment_bytes: 2000, keep_bytes: Some(9000), keep_age: None };
            let journal = Journal::at(dir.path().join("journal"), settings);
            World { dir, journal, stored: 0 }
        }

        fn folds(&self) -> PathBuf {
            self.dir.path().join("folds")
        }

        fn append(&mut self, types: &[&str]) {
            let drafts = types.iter().map(|msg_type| {
                self.stored += 1;
                let body = format!("\"msg_type\":\"{msg_type}\",\"sender_id\":\"a\",\"content\":\"{}\"}}", "x".repeat(self.stored % 400));
                Draft { msg_id: format!("m{}", self.stored), id_is_own: false, sender_id: "a".into(), body: body.into_bytes() }
            });
            self.journal.note(&drafts.collect::<Vec<_>>(), &mut |_| {}).expect("stored");
        }

        /// As a power cut may: the last records are gone.
        fn lose(&self, count: usize) {
            let Ok(entries) = fs::read_dir(self.dir.path().join("journal")) else { return };
            let mut segments: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
            segments.retain(|path| path.extension().is_some_and(|extension| extension == "ndjson"));
            let Some(live) = segments.iter().max() else { return };
            let text = fs::read_to_string(live).expect("read");
            let kept = text.lines().count().saturating_sub(count);
            fs::write(live, text.split_inclusive('\n').take(kept).collect::<String>()).expect("cut");
        }

        fn fold(&self, dir: &Path) -> Fold<Seen> {
            let mut fold = Fold::load(dir);
            fold.catch_up(&self.journal).expect("read");
            fold
        }

        /// Both ways give the same.
        fn check(&self, saves: bool) {
            let (mut saved, rebuilt) = (self.fold(&self.folds()), self.fold(&self.dir.path().join("nothing")));
            assert_eq!((saved.state(), saved.next_seq()), (rebuilt.state(), rebuilt.next_seq()));
            if saves {
                // A process that another test is just starting has the lock until it is exec'd.
                let is_saved = |saved: &mut Fold<Seen>| {
                    let is_saved = saved.save().expect("saved");
                    if !is_saved {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    is_saved
                };
                assert!((0..1000).any(|_| is_saved(&mut saved)));
            }
        }
    }

    #[test]
    fn what_is_saved_is_not_read_again_and_who_only_looks_leaves_no_file() {
        let mut world = World::new();
        world.append(&["DELIVERY", "INFO"]);
        let mut fold = world.fold(&world.folds());
        assert!(fold.is_worth_saving() && !world.folds().exists());
        fold.save().expect("saved");
        assert!(!fold.is_worth_saving());
        // It would be seen, were it read.
        let path = world.folds().join("seen.ndjson");
        let text = fs::read_to_string(&path).expect("read").replace("m1", "other");
        fs::write(&path, &text).expect("written");
        let fold = world.fold(&world.folds());
        assert_eq!((fold.state().0[&1].as_str(), fold.is_worth_saving()), ("other", false));
        world.append(&["INFO"]);
        assert!(!world.fold(&world.folds()).is_worth_saving(), "a record that does not matter");
        world.append(&["INFO"; 256]);
        assert!(world.fold(&world.folds()).is_worth_saving(), "many of them");
        assert_eq!(fs::read_to_string(&path).expect("read"), text);
    }

    #[test]
    fn while_one_saves_another_uses_what_it_has() {
        let mut world = World::new();
        world.append(&["DELIVERY"]);
        let mut fold = world.fold(&world.folds());
        files::create_dir(&world.folds()).expect("made");
        let lock = files::lock(&world.folds().join("seen.lock"), true).expect("locked");
        assert!(!fold.save().expect("not tried") && fold.is_worth_saving());
        drop(lock);
        assert!(fold.save().expect("saved"));
    }

    proptest! {
        #[test]
        fn the_saved_way_and_the_one_from_the_oldest_record_give_the_same(steps in prop::collection::vec((0usize..9, 0usize..40), 1..40)) {
            let mut world = World::new();
            for (step, count) in steps {
                match step {
                    0..3 => world.append(&["DELIVERY", "INFO", "QUESTION", "DELIVERY"][..count % 5]),
                    3 => world.append(&vec!["INFO"; count]),
                    4 => world.lose(count % 5),
                    // Of another journal, which may be longer.
                    5 if count % 4 == 0 => fs::remove_dir_all(world.dir.path().join("journal")).unwrap_or_default(),
                    6 if world.folds().join("seen.ndjson").exists() => {
                        let path = world.folds().join("seen.ndjson");
                        let text = fs::read(&path).expect("read");
                        fs::write(&path, &text[..text.len() * count / 40]).expect("cut");
                    }
                    _ => world.check(count % 3 > 0),
                }
            }
            world.check(true);
            world.check(false);
        }
    }
}
