//! One sender a pane, from its text to its Enter: two at once would mix.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use swarm_common::files;

/// Panes share this many files, which stay. Two panes with one file wait for each other, and that is all.
const FILES: u64 = 4096;

/// Where the locks lie.
#[derive(Debug)]
pub struct PaneLocks {
    dir: PathBuf,
}

/// A pane that is ours until this is dropped.
#[derive(Debug)]
pub struct PaneLock {
    _file: File,
}

impl PaneLocks {
    /// Those in `dir`, which is made. So many may be held at once.
    ///
    /// # Errors
    /// What mkdir(2) answers.
    pub fn at(dir: &Path, count: usize) -> io::Result<PaneLocks> {
        let dir = dir.join("panes");
        files::create_dir(&dir)?;
        widen(count as u64 + 64);
        Ok(PaneLocks { dir })
    }

    /// Takes a pane's; `None` while another sender has it, or this process has as many files open as it may.
    ///
    /// # Errors
    /// What open(2) or flock(2) answer.
    pub fn try_take(&self, pane_id: &str) -> io::Result<Option<PaneLock>> {
        let number: u64 = pane_id.trim_start_matches('%').parse().unwrap_or(0);
        let path = self.dir.join((number % FILES).to_string());
        match files::open_or_create(&path).and_then(|file| Ok(files::try_lock_file(&file)?.then_some(PaneLock { _file: file }))) {
            Err(error) if matches!(Errno::from_raw(error.raw_os_error().unwrap_or(0)), Errno::EMFILE | Errno::ENFILE) => Ok(None),
            taken => taken,
        }
    }
}

/// Lets this process open so many files, where it may. Where it may not, some wait until others are done.
fn widen(files: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < files
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, files.min(hard), hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pane_is_one_senders_until_it_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let locks = PaneLocks::at(dir.path(), 2).unwrap();
        let lock = locks.try_take("%3").unwrap();
        assert!(lock.is_some() && locks.try_take("%3").unwrap().is_none());
        assert!(locks.try_take("%4").unwrap().is_some());
        drop(lock);
        assert!(locks.try_take("%3").unwrap().is_some());
    }
}
