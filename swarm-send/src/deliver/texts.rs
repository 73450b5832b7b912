//! The texts on their way to tmux: a file each, which tmux loads into a buffer of its own, and which is gone when it has.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use swarm_common::files;

use super::control::quoted;

/// What is older was left by a sender that was killed.
const LEFT_AFTER: Duration = Duration::from_secs(600);

/// A text in a file, until it is dropped.
#[derive(Debug)]
pub struct TextFile {
    path: PathBuf,
}

impl TextFile {
    /// Writes one in `dir`, under a name that nobody else has.
    ///
    /// # Errors
    /// What open(2) or write(2) answer.
    pub fn write(dir: &Path, name: &str, text: &str) -> io::Result<TextFile> {
        let path = dir.join("texts").join(name);
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files::create_dir(&dir.join("texts"))?;
                create()?
            }
            created => created?,
        };
        let text_file = TextFile { path };
        file.write_all(text.as_bytes())?;
        Ok(text_file)
    }

    /// The command that loads it. tmux takes `#` in a path for its own.
    pub fn load_line(&self, buffer: &str, tag: &str) -> Vec<u8> {
        let path = quoted(self.path.as_os_str().as_encoded_bytes());
        let mut line = format!("load-buffer -b {buffer} ").into_bytes();
        for byte in path {
            line.push(byte);
            if byte == b'#' {
                line.push(byte);
            }
        }
        line.extend_from_slice(format!(" ; display-message -p '{tag}'\n").as_bytes());
        line
    }
}

impl Drop for TextFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what killed senders left.
pub fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir.join("texts")) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        if age.is_some_and(|age| age > LEFT_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
