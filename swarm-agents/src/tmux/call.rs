//! One call of tmux, with a time limit: a server that was stopped answers nobody, and its client would wait for ever.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use swarm_common::config::Tmux;
use swarm_common::exit::{self, Failure};
use swarm_common::text;

use super::server::{Address, Source};

/// A thousand panes are some 200 KiB.
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How often is looked whether a call that has said everything has ended.
const END_PAUSE: Duration = Duration::from_millis(1);

/// Why tmux did not say what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such program in `$PATH`.
    NotInstalled,
    /// Nobody listens at the socket; `false`: there is not even a socket.
    NoServer(bool),
    /// We may not connect to the socket, or not reach it.
    Denied,
    /// No answer within this time.
    Silent(Duration),
    /// Something else: its words.
    Failed(String),
}

/// What to do where there is no tmux.
pub const INSTALL: &str =
    "install it:  apt install tmux\nwithout it agents read their messages by themselves (route inbox):  swarm-tail --inbox";

impl Trouble {
    /// In a few words.
    pub fn what(&self, socket: &Path) -> String {
        let socket = socket.display();
        match self {
            Trouble::NotInstalled => "tmux is not installed, or not in $PATH".into(),
            Trouble::NoServer(true) => format!("no tmux server is running on {socket}"),
            Trouble::NoServer(false) => format!("no tmux server is running: there is no socket {socket}"),
            Trouble::Denied => format!("the tmux server on {socket} cannot be reached: permission denied"),
            Trouble::Silent(limit) => format!("the tmux server on {socket} does not answer within {} ms", limit.as_millis()),
            Trouble::Failed(words) => format!("tmux on {socket}: {words}"),
        }
    }

    /// What to do.
    pub fn hint(&self, source: Source) -> String {
        let by_hand = "without tmux an agent reads by itself (route inbox):  swarm-tail --inbox";
        match self {
            Trouble::NotInstalled => INSTALL.into(),
            Trouble::NoServer(_) if source == Source::Variable => {
                "$TMUX names a server that has ended. In a new pane or a new shell it is right again; for this one:  unset TMUX TMUX_PANE"
                    .into()
            }
            Trouble::NoServer(_) => format!("start one:  tmux new-session\nor name another:  -L NAME, or -S SOCKET\n{by_hand}"),
            Trouble::Denied => format!("a sandbox may hide it, or it is another user's\n{by_hand}"),
            Trouble::Silent(_) => {
                "it may have been stopped (SIGSTOP), or have much to do: try again\nto wait longer: timeout_ms in [tmux] of config.toml"
                    .into()
            }
            Trouble::Failed(_) => String::new(),
        }
    }

    /// The same as a failure of the system; only that there is no server is a no, for then nobody is there.
    pub fn failure(&self, address: &Address) -> Failure {
        let failure = if matches!(self, Trouble::NoServer(_)) { Failure::no } else { Failure::system };
        failure(self.what(&address.socket)).hint(self.hint(address.source))
    }
}

/// What the tmux server at `socket` answers to a command. No server is started.
///
/// # Errors
/// The trouble.
pub fn ask(tmux: &Tmux, socket: &Path, arguments: &[&str]) -> Result<Vec<u8>, Trouble> {
    let mut call = Command::new(&tmux.program);
    // -u: without it, and without a UTF-8 locale, what is no ASCII would come as '_'.
    call.arg("-u").arg("-S").arg(socket).args(arguments).env_remove("TMUX").env_remove("TMUX_PANE");
    let (status, output, words) = bounded(&mut call, tmux.timeout)?;
    if status.success() { Ok(output) } else { Err(reason(socket, &words)) }
}

/// The version that `tmux -V` tells: `3.3a`.
///
/// # Errors
/// The trouble.
pub fn version(tmux: &Tmux) -> Result<String, Trouble> {
    let (status, output, words) = bounded(Command::new(&tmux.program).arg("-V"), tmux.timeout)?;
    let said = String::from_utf8_lossy(if status.success() { &output } else { &words }).trim().to_string();
    if status.success() { Ok(said.strip_prefix("tmux ").unwrap_or(&said).to_string()) } else { Err(Trouble::Failed(said)) }
}

/// What a call that failed says of why.
fn reason(socket: &Path, words: &[u8]) -> Trouble {
    let said = text::excerpt(words, 300);
    // Its words do not depend on a language: it sets none.
    if said.contains("no server running") {
        return Trouble::NoServer(true);
    }
    if !said.contains("error connecting") {
        return Trouble::Failed(if said.is_empty() { "it failed and does not say why".into() } else { said });
    }
    match fs::metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Trouble::NoServer(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Trouble::Denied,
        Ok(_) if said.contains("Permission denied") || said.contains("Operation not permitted") => Trouble::Denied,
        Ok(meta) if !meta.file_type().is_socket() => Trouble::Failed("this is no socket".into()),
        _ => Trouble::Failed(said),
    }
}

/// Its status, its answer, and its words on standard error.
type Said = (ExitStatus, Vec<u8>, Vec<u8>);

/// Runs a command to its end, or kills it when the time is over.
fn bounded(command: &mut Command, limit: Duration) -> Result<Said, Trouble> {
    let deadline = Instant::now() + limit;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::NotInstalled,
        _ => Trouble::Failed(format!("it cannot be started: {}", exit::reason(&error))),
    })?;
    let said = listen(&mut child, deadline).map_err(|error| Trouble::Failed(exit::reason(&error)));
    match said {
        Ok(Some(said)) => Ok(said),
        said => {
            // Of no use any more, ended or not.
            let _ = child.kill();
            let _ = child.wait();
            said.and(Err(Trouble::Silent(limit)))
        }
    }
}

/// All that it says, and its status; `None` when the time is over before.
fn listen(child: &mut Child, deadline: Instant) -> io::Result<Option<Said>> {
    let (Some(mut output), Some(mut words)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let (mut said, mut buffer) = ([Vec::new(), Vec::new()], [0; 65_536]);
    let mut is_open = [true, true];
    while is_open != [false, false] {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(left) = Some(left.as_micros().div_ceil(1_000)).filter(|ms| *ms > 0) else { return Ok(None) };
        let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLIN), PollFd::new(words.as_fd(), PollFlags::POLLIN)];
        // One that has ended would be told again and again.
        let watched = match is_open {
            [true, true] => &mut fds[..],
            [true, false] => &mut fds[..1],
            _ => &mut fds[1..],
        };
        match poll(watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = fds.map(|fd| fd.any().unwrap_or(false));
        for at in [0, 1] {
            if is_open[at] && is_ready[at] {
                let read = if at == 0 { output.read(&mut buffer) } else { words.read(&mut buffer) };
                let count = read?;
                is_open[at] = count > 0;
                said[at].extend_from_slice(&buffer[..count]);
                if said[at].len() > OUTPUT_BYTES_MAX {
                    return Err(io::Error::other(format!("it says more than {OUTPUT_BYTES_MAX} bytes")));
                }
            }
        }
    }
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() >= deadline => return Ok(None),
            None => thread::sleep(END_PAUSE),
        }
    };
    let [output, words] = said;
    Ok(Some((status, output, words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str, limit: Duration) -> Result<(Option<i32>, String, String), Trouble> {
        let said = bounded(Command::new("sh").args(["-c", script]), limit);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        said.map(|(status, output, words)| (status.code(), text(output), text(words)))
    }

    #[test]
    fn all_that_is_said_on_both_sides_comes_with_the_status() {
        assert_eq!(shell("echo a; echo b >&2; exit 3", LONG), Ok((Some(3), "a\n".into(), "b\n".into())));
        let (status, output, words) =
            shell("head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2", LONG).expect("said");
        assert_eq!((status, output.len(), words.len()), (Some(0), 300_000, 300_000));
    }

    #[test]
    fn who_says_nothing_is_waited_for_as_long_as_was_said_and_ended() {
        let short = Duration::from_millis(50);
        let dir = tempfile::tempdir().expect("a directory");
        let pid = dir.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 60", pid.display());
        assert_eq!(shell(&script, Duration::from_millis(500)), Err(Trouble::Silent(Duration::from_millis(500))));
        let pid: u32 = fs::read_to_string(pid).expect("it ran").trim().parse().expect("a pid");
        assert_eq!(swarm_common::platform::Process::of(pid).expect("told"), None, "killed and reaped");
        // One that says all and goes on is no better.
        assert_eq!(shell("exec sleep 60 >&- 2>&-", short), Err(Trouble::Silent(short)));
    }

    #[test]
    fn without_the_program_it_is_not_installed() {
        assert_eq!(bounded(&mut Command::new("swarm-no-such-program"), LONG), Err(Trouble::NotInstalled));
    }

    #[test]
    fn the_words_of_tmux_are_understood() {
        let dir = tempfile::tempdir().expect("a directory");
        let gone = dir.path().join("gone");
        assert_eq!(reason(&gone, b"no server running on /x\n"), Trouble::NoServer(true));
        assert_eq!(reason(&gone, b"error connecting to /x (No such file or directory)\n"), Trouble::NoServer(false));
        assert_eq!(reason(dir.path(), b"error connecting to /x (Permission denied)\n"), Trouble::Denied);
        assert_eq!(reason(dir.path(), b"error connecting to /x (Connection refused)\n"), Trouble::Failed("this is no socket".into()));
        assert_eq!(reason(dir.path(), b"lost \x1b[2Jserver\n"), Trouble::Failed("lost \\u{1b}[2Jserver".into()));
    }
}
