//! macOS.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use nix::sys::statfs::statfs;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{getpgrp, getppid, tcgetpgrp};
use signal_hook::{flag, low_level};

use super::FileSystem;
use super::signals::Caught;
use super::table::Row;
use super::watch::{Drained, NameChange};

/// Not without unsafe code here; who asks renames instead.
pub fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Puts a file's bytes on disk: with F_FULLFSYNC, since fsync(2) leaves them in the drive's cache here. A network file system that
/// does not know it gets the fsync.
///
/// # Errors
/// What fcntl(2) or fsync(2) answer.
pub fn sync_data(file: &File) -> io::Result<()> {
    match fcntl(file, FcntlArg::F_FULLFSYNC) {
        Err(Errno::ENOTSUP | Errno::EINVAL | Errno::ENOTTY) => Ok(nix::unistd::fsync(file)?),
        done => Ok(done.map(|_| ())?),
    }
}

/// The file system that a path is on.
///
/// # Errors
/// What statfs(2) answers.
pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    let name = statfs(path)?.filesystem_type_name().to_string();
    let is_shared = ["nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse"].contains(&name.as_str());
    Ok(FileSystem { name, is_shared })
}

/// Nothing can be watched.
pub fn watch_limits() -> Option<(u64, u64)> {
    None
}

/// A pipe here grows by itself.
pub fn widen_pipe(_pipe: BorrowedFd<'_>) {}

/// Time since this boot, sleep included: that is what CLOCK_MONOTONIC counts here.
pub fn boottime() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// A name that this boot of the machine shares with no other. sysctlbyname(3) has no safe binding, hence the command.
///
/// # Errors
/// When it cannot be asked.
pub fn boot_id() -> io::Result<String> {
    let answer = Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output()?;
    let id = String::from_utf8_lossy(&answer.stdout).trim().to_string();
    if id.is_empty() { Err(io::Error::other("sysctl kern.bootsessionuuid says nothing")) } else { Ok(id) }
}

/// When a process began, to the second; `None` when no living one has that pid. proc_pidinfo(3) has no safe binding, hence the command.
///
/// # Errors
/// When it cannot be asked.
pub(super) fn process_start(pid: u32) -> io::Result<Option<String>> {
    let mut ps = Command::new("/bin/ps");
    // The same words for everybody, whatever language and zone he has.
    ps.args(["-o", "stat=", "-o", "lstart=", "-p", &pid.to_string()]).env("LC_ALL", "C").env("TZ", "UTC0");
    let answer = ps.output()?;
    let words = String::from_utf8_lossy(&answer.stdout);
    match words.trim().split_once(char::is_whitespace) {
        Some((state, _)) if state.starts_with('Z') => Ok(None),
        Some((_, start)) => Ok(Some(start.split_whitespace().collect::<Vec<_>>().join(" "))),
        // It ends with 1 where there is no such process, and says nothing.
        None if answer.stderr.is_empty() => Ok(None),
        None => Err(io::Error::other("ps does not tell when a process began")),
    }
}

/// All living processes, in no order, with their command lines.
///
/// # Errors
/// When they cannot be asked for.
pub(super) fn processes() -> io::Result<Vec<Row>> {
    let ps = |columns: &[&str]| -> io::Result<String> {
        let mut ps = Command::new("/bin/ps");
        ps.arg("-axww").args(columns.iter().flat_map(|column| ["-o", column])).env("LC_ALL", "C").env("TZ", "UTC0");
        Ok(String::from_utf8_lossy(&ps.output()?.stdout).into_owned())
    };
    // Twice, for both a name and a command line may hold spaces, and so have to be the last column.
    let lines = ps(&["pid=", "args="])?;
    let arguments: HashMap<u32, Vec<OsString>> = lines.lines().filter_map(arguments_in).collect();
    let lines = ps(&["pid=", "ppid=", "pgid=", "tpgid=", "tty=", "stat=", "lstart=", "ucomm="])?;
    Ok(lines.lines().filter_map(|line| row_in(line, &arguments)).collect())
}

/// `  501 node /usr/bin/codex`
fn arguments_in(line: &str) -> Option<(u32, Vec<OsString>)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.parse().ok()?, words.map(OsString::from).collect()))
}

/// `  501     1   501   501 ttys001  S+   Wed Nov 25 02:10:29 2026 node`
fn row_in(line: &str, arguments: &HashMap<u32, Vec<OsString>>) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (group, foreground) = (words.next()?.parse::<i64>().ok()?, words.next()?.parse::<i64>().ok()?);
    let (terminal, state) = (words.next()?, words.next()?);
    let start = words.by_ref().take(5).collect::<Vec<_>>().join(" ");
    let name = words.collect::<Vec<_>>().join(" ").into();
    let is_background = terminal != "??" && foreground > 0 && foreground != group;
    (!state.starts_with('Z')).then(|| Row { pid, parent, start, name, is_background, arguments: arguments.get(&pid).cloned() })
}

/// They came with [`processes`].
///
/// # Errors
/// Always.
pub(super) fn arguments(_pid: u32) -> io::Result<Vec<OsString>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is one space of pids.
///
/// # Errors
/// None.
pub(super) fn process_space() -> io::Result<Option<String>> {
    Ok(None)
}

/// It would be a kqueue(2), which has no safe binding that poll(2) could wait for.
pub(super) fn process_end(_pid: u32) -> Option<OwnedFd> {
    None
}

/// It would be a kqueue(2) as well; who asks looks now and then.
pub fn alarm(_at: Timestamp) -> Option<OwnedFd> {
    None
}

/// Whether `parent` is this process's parent yet. Linux sends a signal when it dies; here nothing does.
///
/// # Errors
/// None.
pub fn end_with_parent(parent: u32) -> io::Result<bool> {
    Ok(u32::try_from(getppid().as_raw()) == Ok(parent))
}

/// Leads to the program that runs here.
///
/// # Errors
/// When the system does not say.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Leads to an open descriptor of this process.
pub fn descriptor(number: i32) -> PathBuf {
    format!("/dev/fd/{number}").into()
}

/// Which signal stopped a child is told by waitid(2), which has no safe binding here.
pub fn stopped(_child: u32) -> Option<Signal> {
    None
}

/// Handlers that write to a pipe, and a flag a signal: a second one of a kind that comes before the first was taken is lost, as it is
/// with the system itself.
pub struct Signals {
    pipe: UnixStream,
    came: Vec<(Signal, Arc<AtomicBool>)>,
}

impl Signals {
    /// From now on these do nothing but wait to be taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn catch(signals: &[Signal]) -> io::Result<Signals> {
        let (pipe, sender) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let mut came = Vec::new();
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: who is woken by the pipe looks at it.
            flag::register(signal as i32, flag.clone())?;
            low_level::pipe::register(signal as i32, sender.try_clone()?)?;
            came.push((signal, flag));
        }
        Ok(Signals { pipe, came })
    }

    /// Readable while one waits.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// The next one that waits.
    ///
    /// # Errors
    /// What read(2) answers.
    pub fn take(&mut self) -> io::Result<Option<Caught>> {
        loop {
            if let Some((signal, _)) = self.came.iter().find(|(_, flag)| flag.swap(false, Ordering::SeqCst)) {
                return Ok(Some(Caught { signal: *signal, is_typed: is_in_foreground() }));
            }
            match self.pipe.read(&mut [0; 64]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a key would send this process a signal. Who sent one is not told here.
fn is_in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
}

/// Linux takes room on the disk before a batch is written; here a batch that does not fit is taken back.
///
/// # Errors
/// None.
pub fn reserve(_file: &File, _offset: u64, _bytes: u64) -> io::Result<()> {
    Ok(())
}

/// The system tells of no changes: kqueue(2) wants a descriptor for each file, and FSEvents a run loop. So there is never a value of it.
pub(super) struct Changes(Infallible);

/// One watched file.
#[derive(Clone, Copy, Debug)]
pub struct Mark(Infallible);

/// One watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirMark(Infallible);

impl Changes {
    pub fn of(_paths: &[&Path]) -> Result<Changes, String> {
        Err("this system has no inotify".into())
    }

    pub fn add_names(&mut self, _dir: &Path) -> Result<DirMark, String> {
        match self.0 {}
    }

    pub fn take_names(&mut self) -> Vec<NameChange> {
        match self.0 {}
    }

    pub fn add_file(&self, _file: &File, _path: &Path) -> Result<Mark, String> {
        match self.0 {}
    }

    pub fn add_held(&mut self, _path: &Path) -> Result<Option<Mark>, String> {
        match self.0 {}
    }

    pub fn forget(&self, mark: Mark) {
        match mark.0 {}
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub fn drain(&mut self) -> io::Result<Drained> {
        match self.0 {}
    }
}
