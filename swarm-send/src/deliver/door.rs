//! One comes or goes at a time. A tmux server (3.3a; not all later ones were tried) tells each client in control mode that another has left,
//! also one that has connected and not said yet who it is: and crashes, with every agent in it (10 clients that came and went at once: the
//! server was dead within 300; behind this lock, alive after 1,000). From 3.4 to 3.6 it tells them of each buffer that changes, too, with the same
//! end; 3.7 has it mended. So our clients connect, end, and change buffers under a lock that all senders of all stores share: that of the
//! directory in which the server's socket lies.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use swarm_common::files;

/// The lock, until this is dropped.
#[derive(Debug)]
pub struct Door {
    _directory: File,
}

impl Door {
    /// Takes it, and waits so long for it; `None` where others have it all the time.
    ///
    /// # Errors
    /// What open(2) or flock(2) answer.
    pub fn take(socket: &Path, patience: Duration) -> io::Result<Option<Door>> {
        let directory = File::open(socket.parent().unwrap_or(Path::new("/")))?;
        let until = Instant::now() + patience;
        let is_taken = files::lock_file_until(&directory, &|| Instant::now() >= until)?;
        Ok(is_taken.then_some(Door { _directory: directory }))
    }
}
