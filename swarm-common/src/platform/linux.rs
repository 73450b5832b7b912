//! Linux.

mod processes;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, fallocate, fcntl};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::statfs::{Statfs, fstatfs, statfs};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getppid, read};

pub(super) use processes::{arguments, process_start, processes};

use super::FileSystem;
use super::signals::Caught;
use super::watch::{Change, Drained, NameChange};

/// Puts a file's bytes on disk. After a failure do not call it again: the kernel reports a lost page once, and then says
/// OK (measured, LESSONS).
///
/// # Errors
/// What fdatasync(2) answers.
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Time since this boot, sleep included. Clock steps do not touch it. The same in every time namespace (time_namespaces(7)), which a
/// container may have.
pub fn boottime() -> Duration {
    let here = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    let (ahead, behind) = *TIME_OFFSET.get_or_init(time_offset);
    (here + behind).saturating_sub(ahead)
}

/// How far this process's CLOCK_BOOTTIME is ahead of the machine's, or behind it. It never changes.
static TIME_OFFSET: OnceLock<(Duration, Duration)> = OnceLock::new();

fn time_offset() -> (Duration, Duration) {
    // `boottime  100000  0`: seconds, which may be negative, and nanoseconds.
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    let numbers = offsets.lines().find_map(|line| line.strip_prefix("boottime"));
    let mut numbers = numbers.unwrap_or_default().split_whitespace().map(|number| number.parse::<i64>().unwrap_or(0));
    let (seconds, nanos) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let span = Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX));
    if nanos >= 0 { (span, Duration::ZERO) } else { (Duration::ZERO, span) }
}

/// A name that this boot of the machine shares with no other.
///
/// # Errors
/// When `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    // One read: asked for by every call that has to do with leases.
    let mut id = [0; 64];
    let len = File::open("/proc/sys/kernel/random/boot_id")?.read(&mut id)?;
    Ok(String::from_utf8_lossy(&id[..len]).trim().to_string())
}

/// Lets two files change their names in one step, so that each name leads to one of them at every moment.
///
/// # Errors
/// What renameat2(2) answers; ENOENT where one of them is not there, EINVAL where the file system cannot do that.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, rustix::fs::RenameFlags::EXCHANGE)?)
}

/// The pid namespace of this process; `None` where the kernel has none.
///
/// # Errors
/// When it cannot be told.
pub(super) fn process_space() -> io::Result<Option<String>> {
    // A process never changes its own.
    static SPACE: OnceLock<String> = OnceLock::new();
    if let Some(space) = SPACE.get() {
        return Ok(Some(space.clone()));
    }
    match fs::read_link("/proc/self/ns/pid") {
        // pid:[4026531836]
        Ok(link) => Ok(Some(SPACE.get_or_init(|| link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()).clone())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A descriptor that becomes readable when the process ends; `None` when there is no such process, or the kernel is older than 5.3.
pub(super) fn process_end(pid: u32) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

/// Asks that this process gets SIGTERM when its parent dies, also after it became another program. True if `parent` is alive: it may
/// have died before it was asked.
///
/// # Errors
/// What prctl(2) answers.
pub fn end_with_parent(parent: u32) -> io::Result<bool> {
    set_pdeathsig(Signal::SIGTERM)?;
    Ok(u32::try_from(getppid().as_raw()) == Ok(parent))
}

/// Leads to the program that runs here, also when its file was replaced since.
///
/// # Errors
/// None.
pub fn own_program() -> io::Result<PathBuf> {
    Ok("/proc/self/exe".into())
}

/// Leads to an open descriptor of this process.
pub fn descriptor(number: i32) -> PathBuf {
    format!("/proc/self/fd/{number}").into()
}

/// The signal that a child is stopped by now.
pub fn stopped(child: u32) -> Option<Signal> {
    let child = Pid::from_raw(i32::try_from(child).ok()?);
    // Not taken: who asks again is answered again.
    match waitid(Id::Pid(child), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT) {
        Ok(WaitStatus::Stopped(_, signal)) => Some(signal),
        _ => None,
    }
}

/// signalfd(2): unlike a handler, it is told who sent a signal.
pub struct Signals(SignalFd);

/// The sender of a signal is the kernel, for a terminal among others (sigaction(2)).
const SI_KERNEL: i32 = 0x80;

impl Signals {
    /// From now on these do nothing but wait to be taken. What this process ignores is ignored still. A child that is started later would
    /// have them blocked.
    ///
    /// # Errors
    /// What the system says.
    pub fn catch(signals: &[Signal]) -> io::Result<Signals> {
        let set: SigSet = signals.iter().copied().collect();
        // The descriptor first: where there is none, nothing is blocked.
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        set.thread_block()?;
        Ok(Signals(signals))
    }

    /// Readable while one waits.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The next one that waits.
    ///
    /// # Errors
    /// What read(2) answers.
    pub fn take(&mut self) -> io::Result<Option<Caught>> {
        let Some(info) = self.0.read_signal()? else { return Ok(None) };
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        Ok(signal.map(|signal| Caught { signal, is_typed: info.ssi_code == SI_KERNEL }))
    }
}

/// A descriptor that becomes readable at that moment of the clock on the wall, or when that clock is set; `None` where there can be none. It counts
/// the time in which the machine sleeps.
pub fn alarm(at: Timestamp) -> Option<OwnedFd> {
    let timer = TimerFd::new(timerfd::ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK).ok()?;
    // A time of nothing would disarm it.
    let at = TimeSpec::new(at.as_second().max(0), i64::from(at.subsec_nanosecond().max(1)));
    timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET).ok()?;
    Some(timer.into())
}

/// Takes room on the disk for bytes that are about to be written, so that the write does not stop in the middle. The file's length
/// stays. Where a file system cannot do that, nothing happens.
///
/// # Errors
/// ENOSPC, EDQUOT, EFBIG: there is no room.
pub fn reserve(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let (Ok(offset), Ok(bytes)) = (offset.try_into(), bytes.try_into()) else { return Err(Errno::EFBIG.into()) };
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, bytes) {
        Err(error @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Lets a pipe hold more than its 64 KiB, for a writer that has to wait for room: with so little the two ends take turns, and
/// sleep and wake take longer than the work (measured: 590 MB from cat in 630 ms, and so in 200). Where the system says no (its limit
/// for one user is 64 MiB), or it is no pipe, nothing changes.
pub fn widen_pipe(pipe: BorrowedFd<'_>) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(256 * 1024));
}

/// inotify(7) over some paths.
pub(super) struct Changes {
    inotify: Inotify,
    /// What happened to names since they were taken; `None` where nobody wants to know.
    names: Option<Vec<NameChange>>,
    /// A file is watched for who holds it.
    is_held: bool,
}

/// One watched file.
#[derive(Clone, Copy, Debug)]
pub struct Mark(WatchDescriptor);

/// One watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirMark(i32);

/// File systems that others change too, whose changes the kernel here does not tell of (statfs(2)).
const SHARED: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
];

/// Names that come and go.
const NAMES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// What wakes: not reading, opening or closing, which readers and the writers' lock do all the time.
const WAKING: AddWatchFlags = NAMES.union(AddWatchFlags::IN_MODIFY);

/// A file that somebody holds open or locked: its name goes (of one that is open that is a change of its links, IN_ATTRIB), or a
/// descriptor that could write it is closed, as it is when its process dies.
const HELD: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DELETE_SELF);

/// A file alone.
const FILE: AddWatchFlags = AddWatchFlags::IN_MODIFY.union(AddWatchFlags::IN_MOVE_SELF);

/// An event without its name (inotify(7)): watch, mask, cookie, length of the name.
const EVENT_BYTES_MIN: usize = 16;

/// The longest event.
const EVENT_BYTES_MAX: usize = EVENT_BYTES_MIN + 256;

impl Changes {
    /// Watches the paths; for one that is not there, its directory.
    ///
    /// # Errors
    /// Why it cannot be, in words.
    pub fn of(paths: &[&Path]) -> Result<Changes, String> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|error| format!("inotify cannot be had: {}", error.desc()))?;
        let mut changes = Changes { inotify, names: None, is_held: false };
        for path in paths {
            let mut path = *path;
            // A directory is told of each close in it, which is what readers and the writers' lock do all the time.
            let is_dir = path.is_dir();
            changes.is_held |= !is_dir;
            let mut added = changes.inotify.add_watch(path, if is_dir { WAKING } else { WAKING.union(HELD) });
            if let (Err(Errno::ENOENT), Some(parent)) = (&added, path.parent()) {
                path = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                added = changes.inotify.add_watch(path, WAKING);
            }
            added.map_err(|error| unwatchable(path, error))?;
            refuse_shared(path, statfs(path))?;
        }
        Ok(changes)
    }

    /// Watches the names in a directory, not what is written to its files. Once more is no more.
    ///
    /// # Errors
    /// Why it cannot be, in words.
    pub fn add_names(&mut self, dir: &Path) -> Result<DirMark, String> {
        let mark = self.inotify.add_watch(dir, NAMES).map_err(|error| unwatchable(dir, error))?;
        refuse_shared(dir, statfs(dir))?;
        self.names.get_or_insert_default();
        Ok(DirMark(mark.as_raw()))
    }

    /// What happened to names since this was asked last, in its order.
    pub fn take_names(&mut self) -> Vec<NameChange> {
        self.names.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Watches what is written to an open file, whatever its name is by now, and that the name changes. `path` is for words.
    ///
    /// # Errors
    /// Why it cannot be, in words.
    pub fn add_file(&self, file: &File, path: &Path) -> Result<Mark, String> {
        // Its name may be another file's by now; this link leads to the file itself (proc(5)).
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mark = self.inotify.add_watch(link.as_str(), FILE).map_err(|error| unwatchable(path, error))?;
        refuse_shared(path, fstatfs(file))?;
        Ok(Mark(mark))
    }

    /// Watches a file for who holds it; `None` when it is not there.
    ///
    /// # Errors
    /// Why it cannot be, in words.
    pub fn add_held(&mut self, path: &Path) -> Result<Option<Mark>, String> {
        let mark = match self.inotify.add_watch(path, HELD) {
            Err(Errno::ENOENT) => return Ok(None),
            mark => mark.map_err(|error| unwatchable(path, error))?,
        };
        refuse_shared(path, statfs(path))?;
        self.is_held = true;
        Ok(Some(Mark(mark)))
    }

    /// Watches a file no more.
    pub fn forget(&self, mark: Mark) {
        // A file that was removed took its watch with it.
        let _ = self.inotify.rm_watch(mark.0);
    }

    /// Readable when there are events.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Takes the events that are there. But for names and who holds a file, what they say does not matter: whoever is woken looks for
    /// himself.
    ///
    /// # Errors
    /// What read(2) answers.
    pub fn drain(&mut self) -> io::Result<Drained> {
        let mut buffer = [0; 16 * EVENT_BYTES_MAX];
        let mut drained = Drained::default();
        loop {
            match read(self.inotify.as_fd(), &mut buffer) {
                Ok(n) => {
                    drained.is_any = true;
                    if let Some(names) = &mut self.names {
                        names.extend(events(&buffer[..n]).filter_map(name_change));
                    }
                    if self.is_held && !drained.is_closed {
                        drained.is_closed = events(&buffer[..n]).any(|event| event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE));
                    }
                    // Room was left, so there were no more. What comes now wakes the next wait.
                    if n + EVENT_BYTES_MAX <= buffer.len() {
                        return Ok(drained);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(drained),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// One event (inotify(7)).
struct Event<'a> {
    watch: i32,
    mask: AddWatchFlags,
    cookie: u32,
    /// Padded with NULs.
    name: &'a [u8],
}

/// The events of one read(2).
fn events(mut bytes: &[u8]) -> impl Iterator<Item = Event<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(EVENT_BYTES_MIN)?;
        let field = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name, rest) = rest.split_at_checked(field(12) as usize)?;
        bytes = rest;
        Some(Event { watch: field(0).cast_signed(), mask: AddWatchFlags::from_bits_retain(field(4)), cookie: field(8), name })
    })
}

/// What an event says about a name.
fn name_change(event: Event<'_>) -> Option<NameChange> {
    let change = match event.mask {
        mask if event.name.is_empty() || mask.contains(AddWatchFlags::IN_ISDIR) => return None,
        mask if mask.contains(AddWatchFlags::IN_CREATE) => Change::Created,
        mask if mask.contains(AddWatchFlags::IN_DELETE) => Change::Removed,
        mask if mask.contains(AddWatchFlags::IN_MOVED_FROM) => Change::MovedFrom(event.cookie),
        mask if mask.contains(AddWatchFlags::IN_MOVED_TO) => Change::MovedTo(event.cookie),
        _ => return None,
    };
    let end = memchr::memchr(0, event.name).unwrap_or(event.name.len());
    Some(NameChange { dir: DirMark(event.watch), name: OsStr::from_bytes(&event.name[..end]).to_owned(), change })
}

fn unwatchable(path: &Path, error: Errno) -> String {
    format!("{} cannot be watched: {}", path.display(), error.desc())
}

/// The others that a store may well lie on.
const LOCAL: [(u64, &str); 9] = [
    (0xef53, "ext4"),
    (0x5846_5342, "XFS"),
    (0x9123_683e, "Btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
    (0x2fc1_2fc1, "ZFS"),
    (0xf2f5_2010, "F2FS"),
    (0xca45_1a4e, "bcachefs"),
    (0x8584_58f6, "ramfs"),
];

fn kind(stat: Statfs) -> u64 {
    stat.filesystem_type().0 as u64 & 0xffff_ffff
}

/// The file system that a path is on.
///
/// # Errors
/// What statfs(2) answers.
pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    let kind = kind(statfs(path)?);
    let named = |list: &[(u64, &str)]| list.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| (*name).to_string());
    let shared = named(&SHARED);
    let is_shared = shared.is_some();
    Ok(FileSystem { name: shared.or_else(|| named(&LOCAL)).unwrap_or_else(|| format!("{kind:#x}")), is_shared })
}

/// How many files and how many sets of files one user may watch.
pub fn watch_limits() -> Option<(u64, u64)> {
    let limit = |name: &str| fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok();
    limit("max_user_watches").zip(limit("max_user_instances"))
}

/// Refuses a path on a file system that others change too.
fn refuse_shared(path: &Path, stat: nix::Result<Statfs>) -> Result<(), String> {
    let kind = stat.map_or(0, kind);
    match SHARED.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(format!("{} is on {name}, where changes made elsewhere are not told", path.display())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_and_the_boot_has_a_name() {
        assert!(boottime() > Duration::ZERO);
        let id = boot_id().expect("a boot id");
        assert_eq!((id.len(), boot_id().ok()), (36, Some(id.clone())));
    }

    #[test]
    fn room_is_reserved_without_a_change_of_length() {
        let file = tempfile::tempfile().expect("a file");
        reserve(&file, 0, 100_000).expect("reserved");
        assert_eq!(file.metadata().expect("known").len(), 0);
    }
}
