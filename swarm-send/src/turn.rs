//! The turn to deliver again: one process at a time has it, for what was queued and for what was not acknowledged. It ends with the lock, after what
//! became of it was written down; a killed one's is free at once.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use swarm_common::exit::Failure;
use swarm_common::files;
use swarm_common::store::Store;

/// Who was asked to do it waits so long for another who does the same.
const PATIENCE: Duration = Duration::from_secs(5);

fn path(store: &Store) -> PathBuf {
    store.folds_place().join("retry.lock")
}

fn open(store: &Store) -> io::Result<File> {
    files::create_dir(&store.folds_place())?;
    files::open_or_create(&path(store))
}

/// Takes it where nobody has it; else nothing, or where it cannot be had.
pub fn try_take(store: &Store) -> Option<File> {
    let file = open(store).ok()?;
    files::try_lock_file(&file).ok()?.then_some(file)
}

/// Takes it, and waits for it a while; nothing where another has it for longer.
///
/// # Errors
/// Status 3 when it cannot be had.
pub fn take(store: &Store) -> Result<Option<File>, Failure> {
    let failed = |error: io::Error| Failure::io(format_args!("lock {}", path(store).display()), &error);
    let file = open(store).map_err(failed)?;
    let until = Instant::now() + PATIENCE;
    Ok(files::lock_file_until(&file, &|| Instant::now() >= until).map_err(failed)?.then_some(file))
}

/// Another has it, for longer.
pub fn is_taken() -> Failure {
    Failure::no("another process is delivering again what is due").hint("what became of it stands in the journal:  swarm-tail")
}
