//! The files of a store: made for their owner alone, and locked with flock(2). Such a lock belongs to the open file, so it goes with the
//! last descriptor, when a process is killed too; and no descriptor here is inherited by a child (O_CLOEXEC).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use fs2::FileExt;
use nix::fcntl::OFlag;

/// Makes a directory, for its owner alone; those above it too. One that is there is left as it is.
///
/// # Errors
/// What mkdir(2) answers.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Opens a regular file for reading; `None` where there is none.
///
/// # Errors
/// What open(2) answers otherwise; that it is no regular file.
pub fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(WITHOUT_WAITING).open(path) {
        Ok(file) => regular(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// To open a named pipe waits for a writer, who may never come. A regular file knows no waiting.
const WITHOUT_WAITING: i32 = OFlag::O_NONBLOCK.bits();

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// Opens a regular file for reading and writing, and creates it, for its owner alone, where it is missing. What is in it stays.
///
/// # Errors
/// What open(2) answers; that it is no regular file.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(WITHOUT_WAITING).open(path).and_then(regular)
}

/// Opens or creates the lock file `path` and takes its lock, waiting for it: alone, or shared with others that do not want it alone. It
/// is held until the file is closed. A lock file is never replaced or removed: that would let two holders in.
///
/// # Errors
/// What open(2) or flock(2) answer.
pub fn lock(path: &Path, exclusive: bool) -> io::Result<File> {
    let file = open_or_create(path)?;
    lock_file(&file, exclusive)?;
    Ok(file)
}

/// Takes the lock of an open file, waiting for it.
///
/// # Errors
/// What flock(2) answers.
pub fn lock_file(file: &File, exclusive: bool) -> io::Result<()> {
    uninterrupted(|| if exclusive { FileExt::lock_exclusive(file) } else { FileExt::lock_shared(file) })
}

/// Takes the lock of an open file alone, waiting for it until `is_ended`: then false. For who catches a signal to end by it: flock(2) sleeps
/// through one that is caught, so this looks again and again instead, soon after an instant that the lock is held for, and then seldom.
///
/// # Errors
/// What flock(2) answers.
pub fn lock_file_until(file: &File, is_ended: &dyn Fn() -> bool) -> io::Result<bool> {
    let mut pause = LOCK_PAUSE_MIN;
    while !try_lock_file(file)? {
        if is_ended() {
            return Ok(false);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LOCK_PAUSE_MAX);
    }
    Ok(true)
}

/// A lock that is held for a few small writes is free again by then.
const LOCK_PAUSE_MIN: Duration = Duration::from_micros(50);

/// One that is held by a process that was stopped: nobody notices such a delay.
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(10);

/// Takes the lock of an open file alone, without waiting; false while somebody else has it.
///
/// # Errors
/// What flock(2) answers otherwise.
pub fn try_lock_file(file: &File) -> io::Result<bool> {
    match uninterrupted(|| FileExt::try_lock_exclusive(file)) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

/// True while somebody has the lock of this file alone: the sign of life of whoever keeps it for as long as he lives.
///
/// # Errors
/// What flock(2) answers otherwise.
pub fn is_locked(file: &File) -> io::Result<bool> {
    // Shared, so that two who ask at once do not take each other for the holder.
    match uninterrupted(|| FileExt::try_lock_shared(file)) {
        Ok(()) => FileExt::unlock(file).map(|()| false),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(true),
        Err(error) => Err(error),
    }
}

/// Lets a lock go before the file is closed.
///
/// # Errors
/// What flock(2) answers.
pub fn unlock_file(file: &File) -> io::Result<()> {
    FileExt::unlock(file)
}

/// A signal that has a handler ends the wait, and no more than that.
fn uninterrupted(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_its_owners_alone_and_what_is_there_stays() {
        let top = tempfile::tempdir().expect("a directory");
        let dir = top.path().join("a/b");
        create_dir(&dir).expect("made");
        create_dir(&dir).expect("there");
        let path = dir.join("file");
        assert!(open_if_there(&path).expect("looked").is_none());
        open_or_create(&path).expect("created");
        fs::write(&path, "text").expect("written");
        open_or_create(&path).expect("opened");
        assert_eq!((mode(&dir), mode(&path), fs::read(&path).expect("read")), (0o700, 0o600, b"text".to_vec()));
        assert!(open_if_there(&path).expect("looked").is_some());
        assert!(create_dir(&path).is_err(), "a file is no directory");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send([open_if_there(&pipe).err(), open_or_create(&pipe).err()]));
        for error in told.recv_timeout(Duration::from_secs(60)).expect("it did not wait") {
            assert_eq!(error.expect("refused").to_string(), "it is no regular file");
        }
        assert!(open_if_there(dir.path()).is_err() && open_if_there(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn a_lock_is_held_by_one_or_shared_and_goes_with_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let other = open_or_create(&path).expect("created");
        let shared = [lock(&path, false).expect("locked"), lock(&path, false).expect("shared")];
        assert!(!try_lock_file(&other).expect("asked"));
        drop(shared);
        assert!(try_lock_file(&other).expect("asked"));
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _lock = lock(&path, true).expect("locked");
                tell.send(()).expect("told");
            });
            assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
            unlock_file(&other).expect("unlocked");
            assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(()));
        });
        assert!(try_lock_file(&other).expect("asked"), "closed");
        let mine = open_or_create(&path).expect("opened");
        assert!(!lock_file_until(&mine, &|| true).expect("asked"), "held");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock_file_until(&mine, &|| false));
            unlock_file(&other).expect("unlocked");
            assert!(waiter.join().expect("joined").expect("locked"));
        });
        assert!(!try_lock_file(&other).expect("asked"));
    }
}
