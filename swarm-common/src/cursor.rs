//! A named reader's place in the journal: `.swarm/cursors/NAME`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt};
use std::path::Path;

use fs2::FileExt as _;

use crate::exit::Failure;
use crate::json::{Scanner, Walk};
use crate::platform;

/// A cursor; while it lives no other process moves it.
pub struct Cursor {
    file: Option<File>,
    name: String,
    next_seq: Option<u64>,
}

/// A cursor file is always this long, newline included, so that a commit is one write in place.
const FILE_BYTES: usize = 40;

impl Cursor {
    /// Opens the cursor `name` in `dir`; to `peek` takes no lock, creates nothing and never commits.
    ///
    /// # Errors
    /// Status 1 while another reader holds it, 3 when it is garbage or cannot be opened.
    pub fn open(dir: &Path, name: &str, peek: bool) -> Result<Cursor, Failure> {
        let path = dir.join(name);
        let failed = |error: std::io::Error| Failure::io(format_args!("open the cursor {}", path.display()), &error);
        let mut file = None;
        if !peek {
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
            open.try_lock_exclusive().map_err(|_| Failure::no(format!("another reader holds the cursor '{name}'")))?;
            file = Some(open);
        }
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            text => text.map_err(failed)?,
        };
        let next_seq = if text.is_empty() {
            None
        } else {
            Some(parse(&text).map_err(|why| {
                Failure::system(format!("the cursor {} cannot be read: {why}", path.display()))
                    .hint(format!("to begin anew: rm {}", path.display()))
            })?)
        };
        Ok(Cursor { file, name: name.into(), next_seq })
    }

    /// Where to go on; `None` for a new cursor.
    pub fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    /// Remembers that everything before `next_seq` was taken.
    ///
    /// # Errors
    /// Status 3 when it cannot be written.
    pub fn commit(&mut self, next_seq: u64) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.next_seq == Some(next_seq) {
            return Ok(());
        }
        let text = format!("{:<width$}\n", format!("{{\"next_seq\":{next_seq}}}"), width = FILE_BYTES - 1);
        file.write_all_at(text.as_bytes(), 0)
            .and_then(|()| platform::sync_data(file))
            .map_err(|error| Failure::io(format_args!("move the cursor '{}'", self.name), &error))?;
        self.next_seq = Some(next_seq);
        Ok(())
    }
}

/// Reads a cursor file's text: the seq to go on with.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &[u8]) -> Result<u64, String> {
    let mut next_seq = None;
    let visit = |key: crate::json::Str<'_>, value: crate::json::Value<'_>| {
        if key.is(b"next_seq") {
            next_seq = value.as_u64();
        }
        Walk::On
    };
    Scanner::new().members(text, visit).map_err(|fault| fault.to_string())?;
    next_seq.ok_or_else(|| "it has no next_seq".into())
}
