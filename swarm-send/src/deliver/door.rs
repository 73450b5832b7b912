//! One comes or goes at a time. A tmux server (3.3a; not all later ones were tried) tells each client in control mode that another has left,
//! also one that has connected and not said yet who it is: and crashes, with every agent in it (10 clients that came and went at once: the
//! server was dead within 300; behind this lock, alive after 1,000). From 3.4 to 3.6 it tells them of each buffer that changes, too, with the same
//! end; 3.7 has it mended. So our clients connect, end, and change buffers under a lock that all senders of all stores share: that of the
//! directory in which the server's socket lies.

//! A sender that is killed there leaves its client, which connects by itself, or ends, or tmux with a buffer to change. So whoever is at the door
//! leaves a mark beside the socket, and who finds one waits until what was begun is over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use swarm_common::files;

/// A client connects, or ends, within a few milliseconds; longer than this only where the machine is very busy.
const SETTLE: Duration = Duration::from_millis(50);

/// The lock, until this is dropped.
#[derive(Debug)]
pub struct Door {
    _directory: File,
    mark: PathBuf,
}

impl Door {
    /// Takes it, and waits so long for it; `None` where others have it all the time.
    ///
    /// # Errors
    /// What open(2) or flock(2) answer.
    pub fn take(socket: &Path, patience: Duration) -> io::Result<Option<Door>> {
        let dir = socket.parent().unwrap_or(Path::new("/"));
        let directory = File::open(dir)?;
        let until = Instant::now() + patience;
        if !files::lock_file_until(&directory, &|| Instant::now() >= until)? {
            return Ok(None);
        }
        let mark = dir.join(format!(".swarm-door-{}", geteuid()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mark) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_own(&mark) => thread::sleep(SETTLE),
            // Where none can be left, it goes without.
            _ => {}
        }
        Ok(Some(Door { _directory: directory, mark }))
    }
}

/// In a directory that all may write to, somebody else may have a file of that name.
fn is_own(mark: &Path) -> bool {
    fs::symlink_metadata(mark).is_ok_and(|meta| meta.uid() == geteuid().as_raw())
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_that_one_was_killed_at_the_door_waits_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let take = || {
            let begun = Instant::now();
            let door = Door::take(&socket, Duration::ZERO).unwrap();
            (door, begun.elapsed() >= SETTLE)
        };
        let (door, has_waited) = take();
        assert!(door.is_some() && !has_waited && take().0.is_none(), "one at a time");
        let mark = door.as_ref().unwrap().mark.clone();
        drop(door);
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
        fs::write(&mark, "").unwrap();
        assert!(take().1 && !take().1);
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
