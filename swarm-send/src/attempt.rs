//! What is being tried again at this moment: on file before anything is typed, and gone when it is written down what became of it. So whoever comes
//! after one that was killed in between knows what may have been typed. It is the retriers' own, who take turns.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swarm_common::files;

use crate::queue::{Due, Queue};

/// One message for one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The message's place.
    pub seq: u64,
    /// The message's id.
    pub msg_id: String,
    /// Who sent it.
    pub sender_id: String,
    /// As it is registered.
    pub agent_id: String,
    /// How often it was tried before. Where the journal counts more, it says what became of this one.
    count: u32,
}

impl Attempt {
    /// To try what is due.
    pub fn of(due: &Due, sender_id: &str, agent_id: &str) -> Attempt {
        let (msg_id, sender_id, agent_id) = (due.msg_id.clone(), sender_id.to_string(), agent_id.to_string());
        Attempt { seq: due.seq, msg_id, sender_id, agent_id, count: due.count }
    }

    /// True if nobody wrote down what became of it.
    pub fn is_open(&self, queue: &Queue) -> bool {
        queue.count(&self.msg_id, &self.agent_id.to_ascii_lowercase()) == Some(self.count)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("attempts.json")
}

/// Puts them on file.
///
/// # Errors
/// What the system answers; then nothing may be typed.
pub fn write(dir: &Path, attempts: &[Attempt]) -> io::Result<()> {
    let text = serde_json::to_vec(attempts).map_err(io::Error::other)?;
    // In place: whoever is killed in the midst of it has typed nothing. Not synced: a power cut takes the panes too.
    let mut file = files::open_or_create(&path(dir))?;
    file.set_len(0)?;
    file.write_all(&text)
}

/// Those that are on file.
pub fn read(dir: &Path) -> Vec<Attempt> {
    let text = fs::read(path(dir)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// It is written down what became of them.
pub fn clear(dir: &Path) {
    // One that stays does no harm: the journal counts more tries than it.
    let _ = fs::remove_file(path(dir));
}
