//! A named reader's place in the journal: one small file in `.swarm/cursors/`, a JSON object padded to a fixed length, so that moving it
//! is one write in place. It never looks into the journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::files;
use crate::json::{Scanner, Str, Value, Walk};
use crate::platform;

/// A cursor file's length, newline included. Within one sector of any disk, so a power cut leaves the old text or the new.
const FILE_BYTES: usize = 64;

/// Anything longer is no cursor and is not read.
const READ_BYTES_MAX: usize = 4096;

/// The cursor that remembers what an agent has read of its inbox. One agent has one, in upper or lower case.
pub fn of_inbox(agent_id: &str) -> String {
    format!("inbox-{}", agent_id.to_ascii_lowercase())
}

/// A cursor. While it lives no other process moves it; a peeked one only looks, and is never moved.
#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
    name: String,
    /// Locked; `None` when peeking.
    file: Option<File>,
    next_seq: Option<u64>,
}

impl Cursor {
    /// Opens the cursor `name` in `dir`, and creates it if need be. To `peek` takes no lock and creates nothing.
    ///
    /// # Errors
    /// Status 1 while another reader holds it; 2 when the name is none; 3 when it is garbage or cannot be opened.
    pub fn open(dir: &Path, name: &str, peek: bool) -> Result<Cursor, Failure> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(Failure::wrong(format!("'{name}' is no name for a cursor")).hint("letters, digits, '_', '-' and '.', like agent-1"));
        }
        let path = dir.join(name);
        let failed = |error: io::Error| Failure::io(format_args!("open the cursor {}", path.display()), &error);
        let file = if peek { files::open_if_there(&path) } else { files::open_or_create(&path).map(Some) }.map_err(failed)?;
        let Some(file) = file else { return Ok(Cursor { name: name.to_string(), path, file: None, next_seq: None }) };
        if !peek {
            lock(&file, name, &path)?;
        }
        let text = read(&file).map_err(failed)?;
        let next_seq = match text.as_slice() {
            [] => None,
            text => Some(parse(text).map_err(|why| garbage(&path, &why))?),
        };
        Ok(Cursor { name: name.to_string(), path, file: (!peek).then_some(file), next_seq })
    }

    /// Where to go on; `None` for a new cursor.
    pub fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    /// Remembers, on disk, that everything before `next_seq` was taken. Nothing is written when nothing changed.
    ///
    /// # Errors
    /// Status 3 when it cannot be written; the next commit tries anew.
    pub fn commit(&mut self, next_seq: u64) -> Result<(), Failure> {
        let Some(file) = self.file.as_ref().filter(|_| self.next_seq != Some(next_seq)) else { return Ok(()) };
        let text = render(next_seq);
        debug_assert_eq!(parse(&text), Ok(next_seq));
        let is_new = self.next_seq.is_none();
        let write = || {
            platform::check_file_size(FILE_BYTES as u64)?;
            file.write_all_at(&text, 0)?;
            // Longer where somebody wrote it by hand: what stands behind would make it garbage.
            if file.metadata()?.len() > FILE_BYTES as u64 {
                file.set_len(FILE_BYTES as u64)?;
            }
            platform::sync_data(file)?;
            // Once in its life: its name, too, has to be found again after a power cut.
            if is_new { self.path.parent().map_or(Ok(()), platform::sync_dir) } else { Ok(()) }
        };
        write().map_err(|error| Failure::io(format_args!("move the cursor '{}' ({})", self.name, self.path.display()), &error))?;
        self.next_seq = Some(next_seq);
        Ok(())
    }
}

/// Takes the reader's lock, or says who could have it.
fn lock(file: &File, name: &str, path: &Path) -> Result<(), Failure> {
    if files::try_lock_file(file).map_err(|error| Failure::io(format_args!("lock the cursor {}", path.display()), &error))? {
        return Ok(());
    }
    let hint = format!(
        "end it (fuser {} tells its process), or give this reader a name of its own\nto look without moving it: --peek",
        path.display()
    );
    Err(Failure::no(format!("the cursor '{name}' is in use by another reader")).hint(hint))
}

/// The file's text. Who peeks may meet a commit half copied, so it is read until two reads agree.
fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut last: Option<Vec<u8>> = None;
    loop {
        let mut text = vec![0; READ_BYTES_MAX];
        let n = file.read_at(&mut text, 0)?;
        text.truncate(n);
        if last.as_ref() == Some(&text) {
            return Ok(text);
        }
        last = Some(text);
    }
}

fn garbage(path: &Path, why: &str) -> Failure {
    let hint = format!("begin anew at the oldest record: rm {0}\nor at seq N: echo '{{\"next_seq\":N}}' > {0}", path.display());
    Failure::system(format!("{} is no cursor: {why}", path.display())).hint(hint)
}

/// `{"next_seq":N}`, padded with spaces, and a newline.
fn render(next_seq: u64) -> Vec<u8> {
    let mut text = format!("{{\"next_seq\":{next_seq}}}").into_bytes();
    debug_assert!(text.len() < FILE_BYTES);
    text.resize(FILE_BYTES - 1, b' ');
    text.push(b'\n');
    text
}

/// Reads a cursor file's text: the seq to go on with.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &[u8]) -> Result<u64, String> {
    if text.len() >= READ_BYTES_MAX {
        return Err(format!("it is longer than {READ_BYTES_MAX} bytes"));
    }
    let mut next_seq = None;
    let visit = |key: Str<'_>, value: Value<'_>| {
        if key.is(b"next_seq") {
            next_seq = value.as_u64();
        }
        Walk::On
    };
    Scanner::new().members(text, visit).map_err(|fault| fault.to_string())?;
    next_seq.filter(|&seq| seq > 0).ok_or_else(|| "it has no next_seq, a whole number from 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_cursor_remembers_what_was_committed_and_its_file_is_written_in_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || Cursor::open(dir.path(), "agent-1", false).expect("opened");
        assert_eq!(open().next_seq(), None);
        assert_eq!(open().next_seq(), None, "opened is not moved");
        let path = dir.path().join("agent-1");
        let inode = fs::metadata(&path).expect("there").ino();
        for seq in [u64::MAX, 1, 12_345] {
            let mut cursor = open();
            cursor.commit(seq).expect("committed");
            assert_eq!(cursor.next_seq(), Some(seq));
            drop(cursor);
            assert_eq!(open().next_seq(), Some(seq));
            let meta = fs::metadata(&path).expect("there");
            assert_eq!((meta.len(), meta.ino(), meta.permissions().mode() & 0o777), (FILE_BYTES as u64, inode, 0o600));
        }
        assert!(fs::read_to_string(&path).expect("text").starts_with("{\"next_seq\":12345} "));
    }

    #[test]
    fn nothing_is_written_when_nothing_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cursor = Cursor::open(dir.path(), "a", false).expect("opened");
        cursor.commit(7).expect("committed");
        fs::write(dir.path().join("a"), b"not touched").expect("written");
        cursor.commit(7).expect("committed");
        assert_eq!(fs::read(dir.path().join("a")).expect("read"), b"not touched");
    }

    #[test]
    fn a_second_reader_is_refused_with_the_way_out_and_may_peek() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cursor = Cursor::open(dir.path(), "a", false).expect("opened");
        cursor.commit(7).expect("committed");
        let failure = Cursor::open(dir.path(), "a", false).expect_err("held");
        assert_eq!(failure.exit.status(), 1);
        assert!(failure.what.contains("'a'") && failure.hint.contains("--peek"), "{failure:?}");
        let mut peeked = Cursor::open(dir.path(), "a", true).expect("peeked");
        peeked.commit(9).expect("does nothing");
        assert_eq!((peeked.next_seq(), cursor.next_seq()), (Some(7), Some(7)));
        drop(cursor);
        assert_eq!(Cursor::open(dir.path(), "a", false).expect("free again").next_seq(), Some(7));
    }

    #[test]
    fn to_peek_creates_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Cursor::open(dir.path(), "a", true).expect("peeked").next_seq(), None);
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn garbage_is_no_new_cursor_and_says_how_to_begin_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let long = [b"{\"next_seq\":1}".to_vec(), vec![b' '; READ_BYTES_MAX]].concat();
        for garbage in [
            &b"garbage"[..],
            b"\0",
            &[0; FILE_BYTES],
            b"{}",
            b"{\"next_seq\":0}",
            b"{\"next_seq\":-1}",
            b"{\"next_seq\":\"7\"}",
            b" \n",
            &long,
        ] {
            fs::write(dir.path().join("a"), garbage).expect("written");
            for peek in [false, true] {
                let failure = Cursor::open(dir.path(), "a", peek).expect_err("garbage");
                assert_eq!(failure.exit.status(), 3, "{garbage:?}");
                assert!(failure.hint.contains(&format!("rm {}", dir.path().join("a").display())), "{failure:?}");
            }
            assert_eq!(fs::read(dir.path().join("a")).expect("read"), garbage, "left as it was");
        }
        fs::write(dir.path().join("a"), "{\"next_seq\":5}\n").expect("written as the hint says");
        assert_eq!(Cursor::open(dir.path(), "a", false).expect("opened").next_seq(), Some(5));
    }

    #[test]
    fn a_cursor_that_somebody_wrote_at_length_is_moved_and_stays_one() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("a"), format!("{{\"note\":\"{}\",\n\"next_seq\":3}}\n", "x".repeat(90))).expect("written");
        let mut cursor = Cursor::open(dir.path(), "a", false).expect("opened");
        assert_eq!(cursor.next_seq(), Some(3));
        cursor.commit(4).expect("committed");
        drop(cursor);
        assert_eq!(Cursor::open(dir.path(), "a", false).expect("opened").next_seq(), Some(4));
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["", ".", "..", "../a", "a/b", "/etc/passwd", ".hidden"] {
            assert_eq!(Cursor::open(dir.path(), name, true).map(|_| ()).map_err(|failure| failure.exit.status()), Err(2), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_seq_reads_back_and_no_text_panics(seq in 1u64.., text in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(parse(&render(seq)), Ok(seq));
            prop_assert_eq!(render(seq).len(), FILE_BYTES);
            let _ = parse(&text);
        }
    }
}
