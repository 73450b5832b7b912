//! One comes or goes at a time. A tmux server (3.3a; not all later ones were tried) tells each client in control mode that another has left,
//! also one that has connected and not said yet who it is: and crashes, with every agent in it (10 clients that came and went at once: the
//! server was dead within 300; behind this lock, alive after 1,000). So our clients connect, and end, under a lock that all senders of all
//! stores share: that of the directory in which the server's socket lies.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use swarm_common::files;

/// The lock, until this is dropped.
#[derive(Debug)]
pub struct Door {
    _directory: File,
}

impl Door {
    /// Takes it, and waits so long for it; `None` where it is not had.
    pub fn take(socket: &Path, patience: Duration) -> Option<Door> {
        let directory = File::open(socket.parent()?).ok()?;
        let until = Instant::now() + patience;
        files::lock_file_until(&directory, &|| Instant::now() >= until).ok()?.then_some(Door { _directory: directory })
    }
}
