//! `/proc` (proc(5)): what it says of each process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::platform::table::Row;

/// A line of `/proc/PID/stat`: the name is in parentheses, and so many bytes hold it and some fifty numbers.
const STAT_BYTES: usize = 1_024;

/// And it has no more.
const STAT_BYTES_MAX: u64 = 4_096;

/// Of a command line no more is read: it may be megabytes long, and who asks wants its first words.
const ARGUMENT_BYTES_MAX: u64 = 65_536;

/// What is wanted of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat<'a> {
    name: &'a [u8],
    pub has_ended: bool,
    parent: u32,
    is_background: bool,
    pub start: &'a str,
}

impl Stat<'_> {
    /// `None` when it is no such line.
    pub fn parse(stat: &[u8]) -> Option<Stat<'_>> {
        // The name may hold anything, parentheses and what is not UTF-8 too: the fields begin after the last one.
        let end = memchr::memrchr(b')', stat)?;
        let name = stat.get(memchr::memchr(b'(', stat)? + 1..end)?;
        let fields: Vec<&str> = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().collect();
        // Fields 3 to 5, 7, 8, 20 and 22 of proc(5).
        let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
        let (state, parent, group, terminal, foreground) = (*fields.first()?, number(1)?, number(2)?, number(4)?, number(5)?);
        let (threads, start) = (number(17)?, *fields.get(19)?);
        let has_ended = match state {
            "X" | "x" => true,
            // A main thread that ended before the others looks like that, and its process lives.
            "Z" => threads <= 1,
            _ => false,
        };
        // A terminal that nobody has in front of him (-1) has no background.
        let is_background = terminal != 0 && foreground > 0 && foreground != group;
        Some(Stat { name, has_ended, parent: u32::try_from(parent).ok()?, is_background, start })
    }
}

/// Without it every process would seem gone. One that was mounted for another namespace (`unshare -p` alone) shows strangers.
fn check_proc() -> io::Result<()> {
    // It stays as it is: who looks at a thousand processes asks once.
    static IS_GOOD: OnceLock<()> = OnceLock::new();
    if IS_GOOD.get().is_some() {
        return Ok(());
    }
    if fs::read_link("/proc/self")?.as_os_str().as_bytes() != std::process::id().to_string().as_bytes() {
        return Err(io::Error::other("/proc shows another pid namespace"));
    }
    let _ = IS_GOOD.set(());
    Ok(())
}

/// With room in `stat`, it is one read.
fn read_stat(pid: u32, stat: &mut Vec<u8>) -> io::Result<()> {
    File::open(format!("/proc/{pid}/stat"))?.take(STAT_BYTES_MAX).read_to_end(stat).map(drop)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

fn unknown_stat(pid: u32) -> io::Error {
    io::Error::other(format!("/proc/{pid}/stat is not what proc(5) says"))
}

/// When a process began, in ticks since the boot; `None` when no living one has that pid.
///
/// # Errors
/// When `/proc` is not there, speaks of another pid namespace, or hides that process.
pub(in crate::platform) fn process_start(pid: u32) -> io::Result<Option<String>> {
    let Some(raw) = i32::try_from(pid).ok().filter(|&pid| pid > 0) else { return Ok(None) };
    check_proc()?;
    let mut stat = Vec::with_capacity(STAT_BYTES);
    match read_stat(pid, &mut stat) {
        Ok(()) => {
            let stat = Stat::parse(&stat).ok_or_else(|| unknown_stat(pid))?;
            Ok((!stat.has_ended).then(|| stat.start.to_string()))
        }
        Err(error) if is_gone(&error) => {
            // Mounted with hidepid=2 it does not show the processes of others, which kill(2) knows all the same.
            if kill(Pid::from_raw(raw), None) == Err(Errno::ESRCH) { Ok(None) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}

/// All living processes that this one may see, in no order. Each is as it was at a moment of its own.
///
/// # Errors
/// When `/proc` is not there, or speaks of another pid namespace.
pub(in crate::platform) fn processes() -> io::Result<Vec<Row>> {
    check_proc()?;
    let mut rows = Vec::new();
    let mut stat = Vec::with_capacity(STAT_BYTES);
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        stat.clear();
        match read_stat(pid, &mut stat) {
            Ok(()) => {}
            // It ended since its name was read; or it is another user's, and mounted with hidepid=1 its name is all that is shown.
            Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(error),
        }
        let Stat { name, has_ended, parent, is_background, start } = Stat::parse(&stat).ok_or_else(|| unknown_stat(pid))?;
        if !has_ended {
            let name = OsString::from_vec(name.to_vec());
            rows.push(Row { pid, parent, start: start.to_string(), name, is_background, arguments: None });
        }
    }
    Ok(rows)
}

/// The command line of a process, or the title that it gave itself instead; none for what has none (a thread of the kernel).
///
/// # Errors
/// What open(2) or read(2) answer.
pub(in crate::platform) fn arguments(pid: u32) -> io::Result<Vec<OsString>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))?.take(ARGUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
    // Each ends with a NUL. A title may lack it, or be followed by as many as the command line was longer: empty words at the end are none.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let words = bytes[..end].split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    Ok(if end == 0 { Vec::new() } else { words.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat<'a>(name: &[u8], rest: &str, room: &'a mut Vec<u8>) -> Option<Stat<'a>> {
        *room = [&b"7 ("[..], name, b")", rest.as_bytes()].concat();
        Stat::parse(room)
    }

    fn rest(state: &str, threads: u32) -> String {
        format!(" {state} 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 {threads} 0 4711 9 9\n")
    }

    #[test]
    fn a_process_may_call_itself_anything() {
        let room = &mut Vec::new();
        for name in [&b"sleep"[..], b"a b", b"x) Z 1 (", b") ", b"", b"\xff\n\x1b"] {
            for (state, has_ended) in [("S", false), ("Z", true)] {
                let expected = Stat { name, has_ended, parent: 1, is_background: false, start: "4711" };
                assert_eq!(stat(name, &rest(state, 1), room), Some(expected), "{name:?}");
            }
        }
        for (state, threads, has_ended, why) in [("Z", 2, false, "its main thread has ended, and others go on"), ("X", 0, true, "")] {
            assert_eq!(stat(b"a", &rest(state, threads), room).map(|stat| stat.has_ended), Some(has_ended), "{why}");
        }
        for garbage in ["", "7 (a)", "7 (a) S 1 2", "no parentheses", "7 )a( S 1 7 7 0 -1 4 1 0 0 0 2 3 0 0 20 0 1 0 4711 9"] {
            assert_eq!(Stat::parse(garbage.as_bytes()), None, "{garbage}");
        }
    }

    #[test]
    fn in_the_background_is_who_has_a_terminal_that_another_group_has_in_front() {
        let room = &mut Vec::new();
        for (terminal, foreground, is_background) in
            [(34816, 7, false), (34816, 9, true), (34816, -1, false), (0, -1, false), (0, 9, false)]
        {
            let rest = format!(" S 1 7 7 {terminal} {foreground} 4194560 1 0 0 0 2 3 0 0 20 0 1 0 4711 9 9\n");
            assert_eq!(stat(b"a", &rest, room).map(|stat| stat.is_background), Some(is_background), "{rest}");
        }
    }
}
