//! A tmux client in control mode: one process for all that one server is asked. Its input is a pipe that the server itself reads (tmux hands
//! it the descriptor), and of which the reading end stays open here too: what the server has not taken can be taken back.

use std::env;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use swarm_common::config::Tmux;

use super::control::{Parser, Said};
use super::door::Door;
use super::orphan;

/// What a client needs of our environment. It hands all of it to the server, a message each.
const ENVIRONMENT: [&str; 8] = ["PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"];

/// For so long a client that ends, or has a text loaded, waits for others that come or go.
const LEAVE: Duration = Duration::from_secs(1);

/// More than a server prints before it is asked.
const TROUBLE_BYTES_MAX: u64 = 4096;

/// A client that runs.
#[derive(Debug)]
pub struct Client {
    child: Child,
    socket: PathBuf,
    /// While it connects.
    door: Option<Door>,
    is_over: bool,
    input: PipeWriter,
    /// The other end of `input`.
    taken_back: PipeReader,
    output: File,
    parser: Parser,
    /// What is to be written, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// How many bytes were handed over with [`Client::push`], in all.
    pushed: u64,
    timeout: Duration,
    /// When the server was last heard of.
    heard: Instant,
}

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It goes on.
    More,
    /// The client has ended, or tmux closed it.
    End,
}

/// So much is not held back until all is said: tmux begins to work on it meanwhile.
const EARLY_BYTES: usize = 4_096;

impl Client {
    /// Starts one at this socket. It attaches to `session`, else to one that tmux chooses, in a way that changes neither sizes nor windows nor the
    /// session's environment; then it tells
    /// of each client and each buffer, behind these words, and answers `hello`, a format.
    ///
    /// # Errors
    /// What starting the program answers.
    pub fn start(
        tmux: &Tmux,
        socket: &Path,
        session: Option<u32>,
        [clients, buffers, hello]: [&str; 3],
        door: Option<Door>,
    ) -> io::Result<Client> {
        let (taken_back, input) = io::pipe()?;
        let mut command = Command::new(&tmux.program);
        // -N: where no server is, none is started. -u: what panes show is not to be told in ASCII.
        command.arg("-S").arg(socket).args(["-N", "-u", "-C", "attach-session", "-E", "-f", "no-output,ignore-size"]);
        if let Some(session) = session {
            command.arg("-t").arg(format!("${session}"));
        }
        command.args([";", "list-clients", "-F", &format!("{clients}{}", orphan::CLIENTS)]);
        command.args([";", "list-buffers", "-F", &format!("{buffers}{}", orphan::BUFFERS)]);
        command.args([";", "display-message", "-p", hello]);
        // Without TMUX, for in its own pane tmux would refuse to attach.
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.env("TERM", orphan::name());
        let (output, said) = io::pipe()?;
        command.stdin(taken_back.try_clone()?).stdout(said).stderr(Stdio::piped());
        // In a group of its own: what ends ours, a time limit or ^C, is not to end it, not now and not away from the door.
        command.process_group(0);
        // The other ends of its input and output, which it never uses: when we are killed, its input does not end, and what the server says to
        // it goes somewhere; so it does not leave (see orphan).
        let kept = (input.try_clone()?, output.try_clone()?);
        for fd in [kept.0.as_fd(), kept.1.as_fd()] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let child = command.spawn()?;
        drop((command, kept));
        // tmux makes its ends of the pipes ones that do not wait, and ours with them.
        let output = File::from(std::os::fd::OwnedFd::from(output));
        for fd in [input.as_fd(), taken_back.as_fd(), output.as_fd()] {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let (outgoing, heard) = (Vec::new(), Instant::now());
        let timeout = tmux.timeout;
        let (parser, socket) = (Parser::default(), socket.to_path_buf());
        Ok(Client { child, socket, door, is_over: false, input, taken_back, output, parser, outgoing, sent: 0, pushed: 0, timeout, heard })
    }

    /// It has connected: others may come and go.
    pub fn is_greeted(&mut self) {
        self.door = None;
    }

    /// Takes the door, if it can be had in time: others neither come nor go until it is dropped.
    pub fn door(&self) -> Option<Door> {
        Door::take(&self.socket, LEAVE).ok()?
    }

    fn end(&mut self) {
        if mem::replace(&mut self.is_over, true) {
            return;
        }
        let _door = self.door.take().or_else(|| self.door());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Adds a line to what it is told, and says where that ends: see [`Client::take_back`].
    pub fn push(&mut self, line: &[u8]) -> u64 {
        debug_assert!(line.ends_with(b"\n") && line.len() > 1, "an empty line would end it");
        self.outgoing.extend_from_slice(line);
        self.pushed += line.len() as u64;
        if self.outgoing.len() - self.sent >= EARLY_BYTES {
            // Where it fails, it fails again in the next turn.
            let _ = self.write();
        }
        self.pushed
    }

    /// From now on it has to answer anew.
    pub fn is_asked(&mut self) {
        self.heard = Instant::now();
    }

    /// When it will have been silent for too long.
    pub fn deadline(&self) -> Instant {
        self.heard + self.timeout
    }

    /// Writes and reads what there is; sleeps where there is nothing, at most until then.
    ///
    /// # Errors
    /// What poll(2), read(2) or write(2) answer.
    pub fn turn(&mut self, until: Instant, tell: &mut dyn FnMut(Said)) -> io::Result<Heard> {
        self.write()?;
        let has_more = self.sent < self.outgoing.len();
        // Rounded up: who is woken early would only sleep again.
        let time = until.saturating_duration_since(Instant::now()).as_nanos().div_ceil(1_000_000);
        let mut fds = [
            PollFd::new(self.output.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.input.as_fd(), if has_more { PollFlags::POLLOUT } else { PollFlags::empty() }),
        ];
        match poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.read(tell)
    }

    fn write(&mut self) -> io::Result<()> {
        while self.sent < self.outgoing.len() {
            match self.input.write(&self.outgoing[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }

    fn read(&mut self, tell: &mut dyn FnMut(Said)) -> io::Result<Heard> {
        let mut buffer = [0; 65_536];
        let mut is_over = false;
        loop {
            match self.output.read(&mut buffer) {
                Ok(0) => return Ok(Heard::End),
                Ok(bytes) => {
                    self.heard = Instant::now();
                    self.parser.take(&buffer[..bytes], &mut |said| match said {
                        Said::Exit => is_over = true,
                        said => tell(said),
                    });
                    if bytes < buffer.len() {
                        return Ok(if is_over { Heard::End } else { Heard::More });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(if is_over { Heard::End } else { Heard::More }),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes back what the server has not taken, and ends. Says up to where it had taken all: lines that end behind that are not done, now or
    /// ever.
    pub fn take_back(mut self) -> u64 {
        self.end();
        let mut left = (self.outgoing.len() - self.sent) as u64;
        // A client that ends by itself makes its input, which is ours, one that waits.
        if fcntl(&self.taken_back, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok() {
            let mut buffer = [0; 65_536];
            loop {
                match self.taken_back.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(bytes) => left += bytes as u64,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        self.pushed - left
    }

    /// Ends, and says what the program had to say about it.
    pub fn trouble(mut self) -> String {
        self.end();
        let mut text = Vec::new();
        if let Some(errors) = self.child.stderr.take() {
            let _ = errors.take(TROUBLE_BYTES_MAX).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).trim_end().to_string()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}
