//! The files of the journal: their names, which there are, how one begins and how the oldest go.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::Needed;
use super::{Settings, find};
use crate::exit::{self, Failure};
use crate::{files, platform};

const EXTENSION: &str = ".ndjson";

/// Of a mark that the next segment is due whatever the newest one has room for: the disk failed to sync that one. The mark has the new one's
/// name, is empty, and becomes the new one.
const DUE: &str = ".due";

/// Digits of a segment's name, so that names sort as numbers do.
const NAME_DIGITS: usize = 20;

/// No journal gets there, and what is counted up from it does not overflow.
const SEQ_MAX: u64 = u64::MAX / 2;

/// Where the segment lies that begins with `first_seq`.
pub(super) fn path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:0NAME_DIGITS$}{EXTENSION}"))
}

fn due_path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:0NAME_DIGITS$}{DUE}"))
}

/// The seq that a file name promises; `None` for what is no segment, or no mark.
fn first_seq(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?;
    if digits.len() != NAME_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|seq| (1..=SEQ_MAX).contains(seq))
}

/// Hands over each file's name, in no order. A directory that is not there has none.
fn each_name(dir: &Path, mut visit: impl FnMut(&str)) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        if let Some(name) = entry?.file_name().to_str() {
            visit(name);
        }
    }
    Ok(())
}

/// Hands over each segment's first seq, in no order.
fn each(dir: &Path, mut visit: impl FnMut(u64)) -> io::Result<()> {
    each_name(dir, |name| {
        if let Some(first_seq) = first_seq(name, EXTENSION) {
            visit(first_seq);
        }
    })
}

/// The newest segment, and the one that is due after it.
pub(super) fn newest(dir: &Path) -> io::Result<(Option<u64>, Option<u64>)> {
    let (mut newest, mut due) = (None, None);
    each_name(dir, |name| {
        newest = newest.max(first_seq(name, EXTENSION));
        due = due.max(first_seq(name, DUE));
    })?;
    Ok((newest, due.filter(|_| due > newest)))
}

/// The oldest and the newest segment.
pub(super) fn ends(dir: &Path) -> io::Result<Option<(u64, u64)>> {
    let mut ends: Option<(u64, u64)> = None;
    each(dir, |first| ends = Some(ends.map_or((first, first), |(oldest, newest)| (oldest.min(first), newest.max(first)))))?;
    Ok(ends)
}

/// The next segment after `first_seq`, and the one that would hold it: the last at or before it.
pub(super) fn around(dir: &Path, first_seq: u64) -> io::Result<(Option<u64>, Option<u64>)> {
    let (mut before, mut after) = (None, None);
    each(dir, |first| {
        if first <= first_seq {
            before = before.max(Some(first));
        } else {
            after = Some(after.map_or(first, |after: u64| after.min(first)));
        }
    })?;
    Ok((before, after))
}

/// All segments, oldest first.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    each(dir, |first| found.push(first))?;
    found.sort_unstable();
    Ok(found)
}

/// Opens a segment for reading; `None` when retention took it.
pub(super) fn open(dir: &Path, first_seq: u64) -> io::Result<Option<File>> {
    files::open_if_there(&path(dir, first_seq))
}

/// Opens a segment for appending.
pub(super) fn open_to_append(dir: &Path, first_seq: u64) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path(dir, first_seq))
}

/// Begins the segment `first_seq`: on disk, its name too, before a byte is written to it. Under the lock only.
///
/// # Errors
/// What the system answers; then it is due.
pub(super) fn begin(dir: &Path, first_seq: u64, settle: Settle<'_>) -> io::Result<File> {
    let (path, due) = (path(dir, first_seq), due_path(dir, first_seq));
    // A reader may have the mark open, from when it was the segment already: so it has to be the same file.
    let is_marked = due.exists() && !path.exists();
    if is_marked {
        fs::rename(&due, &path)?;
    }
    let file = OpenOptions::new().read(true).append(true).create_new(!is_marked).mode(0o600).open(&path)?;
    settled(dir, &file, first_seq, settle)?;
    Ok(file)
}

/// Makes sure that an empty segment and its name are on disk.
///
/// # Errors
/// What the system answers; then it is due.
pub(super) fn settled(dir: &Path, file: &File, first_seq: u64, settle: Settle<'_>) -> io::Result<()> {
    settle(dir, file, first_seq).inspect_err(|_| {
        // A second sync of the same name would say yes to what is lost: it gets its name anew.
        let _ = fs::rename(path(dir, first_seq), due_path(dir, first_seq));
    })
}

/// Leaves a mark for the next writer: it shall not append to the newest segment, but begin this one. The mark is put on disk, be it the one
/// that failed: it is another file, and a reader's cursor may stand behind seqs of which a power cut would leave no other trace.
///
/// # Errors
/// What the system answers.
pub(super) fn mark_due(dir: &Path, first_seq: u64, settle: Settle<'_>) -> io::Result<()> {
    settle(dir, &files::open_or_create(&due_path(dir, first_seq))?, first_seq)
}

/// Words for a mark that could not be left.
pub(super) fn unmarked(dir: &Path, error: &io::Error) -> String {
    let why = exit::reason(error);
    format!(
        "the disk does not keep a mark in {} that a new segment is due: {why}; until it is mended, a power cut may take what was stored last, and \
         give its seqs to other messages",
        dir.display()
    )
}

/// [`settle`], or what a test has in its place.
pub(super) type Settle<'a> = &'a dyn Fn(&Path, &File, u64) -> io::Result<()>;

/// Puts an empty segment and its name on disk; with the journal's first one, the directories above it too.
pub(super) fn settle(dir: &Path, file: &File, first_seq: u64) -> io::Result<()> {
    file.sync_all()?;
    platform::sync_dir(dir)?;
    if first_seq == 1 {
        for above in dir.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()) {
            // The store and the project are the user's directories, which need not be readable for us.
            let _ = platform::sync_dir(above);
        }
    }
    Ok(())
}

/// Removes whole oldest segments that the settings no longer keep. Called by the writer that just began `live`; neither it nor the
/// segment before it is touched, so the last records and the last timestamp always stay. Nor is the one that holds the first record that is `needed`, which
/// is asked once something is to go, nor any behind it; that is told through `note`.
pub(super) fn retire(
    dir: &Path,
    settings: &Settings,
    live: u64,
    now: Timestamp,
    needed: &dyn Fn() -> Result<Needed, Failure>,
    note: &mut dyn FnMut(&str),
) -> io::Result<()> {
    if settings.keep_bytes.is_none() && settings.keep_age.is_none() {
        return Ok(());
    }
    let mut finished: Vec<(u64, u64)> = Vec::new();
    for first in list(dir)?.into_iter().filter(|&first| first < live) {
        finished.push((first, fs::metadata(path(dir, first))?.len()));
    }
    finished.pop();
    // The live segment will grow to its full size, and the one before it stays.
    let mut total = finished.iter().map(|(_, bytes)| bytes).sum::<u64>().saturating_add(settings.segment_bytes.saturating_mul(2));
    let too_old = settings.keep_age.and_then(|age| now.checked_sub(SignedDuration::try_from(age).ok()?).ok());
    let (mut asked, mut kept, mut gone_before) = (None, 0, 0);
    for (n, &(first, bytes)) in finished.iter().enumerate() {
        let is_over = settings.keep_bytes.is_some_and(|keep| total > keep);
        let is_too_old = || -> io::Result<bool> {
            let (Some(limit), Some(file)) = (too_old, open(dir, first)?) else { return Ok(false) };
            let last = match find::tail(&file, first)?.timestamp {
                Some(timestamp) => timestamp,
                None => Timestamp::try_from(file.metadata()?.modified()?).unwrap_or(now),
            };
            Ok(last < limit)
        };
        if !is_over && !is_too_old()? {
            break;
        }
        let needed = match asked.get_or_insert_with(needed) {
            Ok(needed) => needed,
            Err(failure) => {
                note(&format!("nothing is removed from {}, for nobody can tell what is waited for: {}", dir.display(), failure.what));
                return Ok(());
            }
        };
        let next = finished.get(n + 1).map_or(live, |(next, _)| *next);
        // Counted on, to say how many they are.
        if kept > 0 || needed.from_seq.is_some_and(|seq| seq < next) {
            kept += 1;
        } else {
            fs::remove_file(path(dir, first))?;
            gone_before = next;
        }
        total = total.saturating_sub(bytes);
    }
    let Some(Ok(Needed { from_seq, unanswered })) = asked else { return Ok(()) };
    if let Some(seq) = from_seq.filter(|_| kept > 0) {
        let files = if kept == 1 { "a segment is".into() } else { format!("{kept} segments are") };
        note(&format!("{files} kept that retention would remove: seq {seq} waits for an acknowledgement yet (swarm-ack pending)"));
    }
    match unanswered.iter().filter(|seq| **seq < gone_before).count() {
        0 => {}
        1 => note("retention removed a message that was escalated and never acknowledged"),
        count => note(&format!("retention removed {count} messages that were escalated and never acknowledged")),
    }
    Ok(())
}

/// Words for a journal that cannot be read.
pub(super) fn unreadable(dir: &Path, error: &io::Error) -> Failure {
    Failure::io(format_args!("read the journal {}", dir.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn only_twenty_digits_and_the_extension_are_a_segment() {
        assert_eq!(first_seq("00000000000000000001.ndjson", EXTENSION), Some(1));
        let others = [
            "lock",
            "1.ndjson",
            "00000000000000000001.ndjson~",
            "00000000000000000001.due",
            "0000000000000000000a.ndjson",
            "+0000000000000000001.ndjson",
            "00000000000000000000.ndjson",
            "09223372036854775808.ndjson",
            "18446744073709551615.ndjson",
        ];
        for name in others {
            assert_eq!(first_seq(name, EXTENSION), None, "{name}");
        }
    }

    #[test]
    fn a_segment_that_is_there_is_never_begun_again() {
        let dir = tempfile::tempdir().expect("a directory");
        begin(dir.path(), 7, &settle).expect("begun");
        assert_eq!(begin(dir.path(), 7, &settle).map(|_| ()).map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(ends(dir.path()).expect("listed"), Some((7, 7)));
    }

    #[test]
    fn a_segment_that_the_disk_did_not_take_is_due_and_becomes_the_same_file_again() {
        let dir = tempfile::tempdir().expect("a directory");
        begin(dir.path(), 7, &settle).expect("begun");
        assert_eq!(newest(dir.path()).expect("listed"), (Some(7), None));
        let opened = RefCell::new(None);
        let broken = |dir: &Path, _: &File, first_seq| {
            *opened.borrow_mut() = open(dir, first_seq).expect("a reader has it open");
            Err(io::Error::other("broken"))
        };
        for _ in 0..2 {
            assert!(begin(dir.path(), 9, &broken).is_err());
            assert_eq!(newest(dir.path()).expect("listed"), (Some(7), Some(9)));
        }
        let file = begin(dir.path(), 9, &settle).expect("begun");
        assert_eq!(newest(dir.path()).expect("listed"), (Some(9), None));
        let opened = opened.into_inner().expect("opened");
        assert_eq!(opened.metadata().expect("there").ino(), file.metadata().expect("there").ino());
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2);
        mark_due(dir.path(), 8, &settle).expect("marked");
        assert_eq!(newest(dir.path()).expect("listed"), (Some(9), None), "a mark that is over");
    }
}
