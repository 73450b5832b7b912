//! Who was woken and has not looked since: an agent is told once that it has messages, and again only when it has looked. Under the pane's lock.

use std::fs;
use std::path::{Path, PathBuf};

use swarm_common::cursor::{self, Cursor};
use swarm_common::files;
use swarm_common::registry::{Agent, Pane};

/// What is kept of one agent's last wake.
#[derive(Debug)]
pub struct Wake {
    path: PathBuf,
    /// The pane that is woken, and how far its agent had read.
    text: String,
}

impl Wake {
    /// Of an agent in this pane; its files lie in `dir`, its place in `cursors`.
    pub fn of(dir: &Path, cursors: &Path, agent: &Agent, pane: &Pane) -> Wake {
        let id = agent.agent_id.to_ascii_lowercase();
        // One that is garbage is the reader's to complain of.
        let place = Cursor::open(cursors, &cursor::of_inbox(&id), true).ok().and_then(|cursor| cursor.next_seq());
        let text = format!("{} {} {} {}\n", pane.server.pid, pane.id, pane.pid, place.unwrap_or(0));
        Wake { path: dir.join("wakes").join(id), text }
    }

    /// True when that wake was sent already. An agent that was started anew has another process, and is woken again.
    pub fn is_unread(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
    }

    /// It was sent. Where that cannot be kept, it is sent once more: that does no harm.
    pub fn sent(&self) {
        let _ = self.path.parent().map_or(Ok(()), files::create_dir).and_then(|()| fs::write(&self.path, &self.text));
    }
}
