//! A real tmux for a test: a server of its own, on a socket in a directory of its own, which ends with the test however that ends. The
//! user's server is never seen by it, nor by the programs that a test starts through it.
//!
//! In its panes run stand-ins that write down every byte they get (`pane-recorder`), or whatever a test wants.

// What fails here fails the test that asked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)]

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::programs;
use crate::wait::until;

/// What a stand-in makes of its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As agents' composers do: raw, with bracketed paste.
    Bracketed,
    /// Raw, and it never asked for bracketed paste.
    Raw,
    /// As `cat` has it: lines, edited and cut by the kernel.
    Canonical,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Mode::Bracketed => "bracketed",
            Mode::Raw => "raw",
            Mode::Canonical => "canonical",
        }
    }
}

/// A stand-in to be started.
#[derive(Clone, Debug)]
pub struct StandIn {
    program: PathBuf,
    mode: Mode,
    args: Vec<String>,
}

impl StandIn {
    /// One that only records.
    pub fn new(mode: Mode) -> StandIn {
        StandIn { program: programs::dir().join("pane-recorder"), mode, args: Vec::new() }
    }

    /// A copy of the program, under another name.
    pub fn program(self, program: &Path) -> StandIn {
        StandIn { program: program.to_path_buf(), ..self }
    }

    fn with(mut self, name: &str, value: &str) -> StandIn {
        self.args.extend([name.to_string(), value.to_string()]);
        self
    }

    /// It shows this where something is to be typed.
    pub fn prompt(self, text: &str) -> StandIn {
        self.with("--prompt", text)
    }

    /// Somebody has begun to type this.
    pub fn draft(self, text: &str) -> StandIn {
        self.with("--draft", text)
    }

    /// It shows this when Enter was pressed.
    pub fn taken(self, text: &str) -> StandIn {
        self.with("--taken", text)
    }
}

/// A pane, and what was recorded in it.
#[derive(Clone, Debug)]
pub struct Pane {
    /// `%3`
    pub id: String,
    /// Its first process.
    pub pid: u32,
    /// Where a stand-in writes what it gets; nobody does in other panes.
    pub file: PathBuf,
}

impl Pane {
    /// What it got so far.
    pub fn bytes(&self) -> Vec<u8> {
        match fs::read(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.unwrap(),
        }
    }

    /// The same as text; what is not UTF-8 fails the test.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    /// Ends its first process, as `kill -9` does.
    pub fn kill(&self) {
        signal(self.pid, Signal::SIGKILL);
    }
}

/// Sends a signal to a process that may be gone.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.try_into().unwrap()), signal);
}

/// Whether there is such a process; one that ended and was not waited for is none.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// A tmux server.
pub struct Server {
    /// What belongs to it lies here: the socket, the stand-ins' files.
    dir: TempDir,
    name: String,
    pid: u32,
    panes: usize,
}

impl Server {
    /// Starts one, with one session `main` in which nothing runs that reads.
    pub fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server { dir, name: "swarm-test".to_string(), pid: 0, panes: 0 };
        server.boot();
        server
    }

    /// Starts the server: again, when it ended. A new one has the same socket, and counts its panes anew.
    pub fn boot(&mut self) {
        // What is dropped ends; a test that is killed drops nothing, and then this first pane ends the server.
        let watch = "tail --pid=$0 -f /dev/null; tmux kill-server";
        let own = std::process::id().to_string();
        self.tmux(&["new-session", "-d", "-s", "main", "-x", "200", "-y", "50", "--", "sh", "-c", watch, &own]);
        self.pid = self.tmux(&["display-message", "-p", "#{pid}"]).trim().parse().unwrap();
    }

    /// A directory that ends with the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join(format!("tmux-{}", nix::unistd::getuid())).join(&self.name)
    }

    /// What tmux puts into `TMUX` in a pane of the first session.
    pub fn variable(&self) -> String {
        format!("{},{},0", self.socket().display(), self.pid)
    }

    /// A program that sees this server and no other, and nothing of the caller's swarm.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for variable in ["SWARM_STORE", "SWARM_AGENT", "TMUX", "TMUX_PANE", "NO_COLOR"] {
            command.env_remove(variable);
        }
        let path = format!("{}:{}", programs::dir().display(), std::env::var("PATH").unwrap_or_default());
        command.env("TMUX_TMPDIR", self.dir()).env("HOME", self.dir()).env("PATH", path).env("SHELL", "/bin/sh").current_dir(self.dir());
        command.stdin(Stdio::null());
        command
    }

    /// Runs tmux on this server.
    pub fn try_tmux<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Output {
        // -f counts only for the call that starts the server.
        self.command("tmux").args(["-L", &self.name, "-f", "/dev/null"]).args(args).output().unwrap()
    }

    /// Runs tmux on this server; it must succeed. What it printed.
    pub fn tmux<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(&self, args: &[S]) -> String {
        let output = self.try_tmux(args);
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a format is of a pane, or of a session: `#{pane_dead}`.
    pub fn format(&self, target: &str, format: &str) -> String {
        self.tmux(&["display-message", "-p", "-t", target, format]).trim_end_matches('\n').to_string()
    }

    /// What a pane shows, without white space at the ends of lines.
    pub fn screen(&self, target: &str) -> String {
        let screen = self.tmux(&["capture-pane", "-p", "-J", "-t", target]);
        let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_string()
    }

    /// Starts a stand-in in a window of its own and waits until it is ready.
    pub fn stand_in(&mut self, stand_in: &StandIn) -> Pane {
        self.stand_ins(stand_in, 1).remove(0)
    }

    /// Starts so many.
    pub fn stand_ins(&mut self, stand_in: &StandIn, count: usize) -> Vec<Pane> {
        self.stand_ins_by(&["new-window", "-d"], stand_in, count)
    }

    /// Starts so many, each by this command: `new-window`, `split-window` or `new-session`, with its options.
    pub fn stand_ins_by(&mut self, command: &[&str], stand_in: &StandIn, count: usize) -> Vec<Pane> {
        let first = self.panes;
        self.panes += count;
        let numbers: Vec<usize> = (first..self.panes).collect();
        // tmux takes 16 KiB in one call.
        let panes: Vec<Pane> = numbers.chunks(40).flat_map(|numbers| self.begin_stand_ins(command, stand_in, numbers)).collect();
        until("all stand-ins are ready", || {
            let titles = self.tmux(&["list-panes", "-a", "-F", "#{pane_id} #{pane_title}"]);
            let is_ready = |pane: &Pane| titles.lines().any(|line| line.split_once(' ') == Some((&pane.id, "recorder")));
            panes.iter().all(is_ready)
        });
        panes
    }

    fn begin_stand_ins(&self, command: &[&str], stand_in: &StandIn, numbers: &[usize]) -> Vec<Pane> {
        let mut args = Vec::new();
        for &n in numbers {
            let file = self.file(n).into_os_string().into_string().unwrap();
            let program = stand_in.program.to_str().unwrap().to_string();
            args.extend(command.iter().chain(&["-P", "-F", "#{pane_id} #{pane_pid}", "--"]).map(ToString::to_string));
            args.extend([program, file, stand_in.mode.word().to_string()]);
            // A last ';' of an argument would end the command.
            args.extend(stand_in.args.iter().map(|arg| arg.strip_suffix(';').map_or(arg.clone(), |arg| format!("{arg}\\;"))));
            args.push(";".to_string());
        }
        let printed = self.tmux(&args);
        let panes: Vec<Pane> = printed.lines().zip(numbers).map(|(line, n)| self.pane(line, self.file(*n))).collect();
        assert_eq!(panes.len(), numbers.len(), "{printed}");
        panes
    }

    /// Starts a command of the user's in a window of its own, as tmux does with these arguments: two or more are no line for a shell.
    pub fn window(&self, command: &[&str]) -> Pane {
        let mut args = vec!["new-window", "-d", "-P", "-F", "#{pane_id} #{pane_pid}", "--"];
        args.extend(command);
        self.pane(self.tmux(&args).trim(), PathBuf::new())
    }

    fn pane(&self, printed: &str, file: PathBuf) -> Pane {
        let (id, pid) = printed.split_once(' ').unwrap();
        Pane { id: id.to_string(), pid: pid.parse().unwrap(), file }
    }

    fn file(&self, n: usize) -> PathBuf {
        self.dir().join(format!("pane-{n}"))
    }

    /// From here on nothing is typed into this pane, and all that was is in its file.
    pub fn seal(&self, pane: &Pane) {
        // One client's commands: no other's come between them.
        self.tmux(&["send-keys", "-l", "-t", &pane.id, "--", MARK, ";", "select-pane", "-d", "-t", &pane.id]);
        until("the mark is read", || pane.bytes().ends_with(MARK.as_bytes()));
    }

    /// Stops the server, as a debugger would, until [`Self::go_on`].
    pub fn stop(&self) {
        signal(self.pid, Signal::SIGSTOP);
        until("the server is stopped", || self.is_stopped());
    }

    /// Whether it is stopped.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    /// Lets a stopped server go on.
    pub fn go_on(&self) {
        signal(self.pid, Signal::SIGCONT);
    }

    /// Ends the server as `kill -9` does, and waits until it is gone.
    pub fn kill(&self) {
        signal(self.pid, Signal::SIGKILL);
        until("the server is gone", || !is_alive(self.pid));
    }
}

/// The last thing that a sealed pane gets.
pub const MARK: &str = "<sealed>";

impl Drop for Server {
    fn drop(&mut self) {
        self.go_on();
        if is_alive(self.pid) {
            let _ = self.try_tmux(&["kill-server"]);
        }
        let end = Instant::now() + Duration::from_secs(5);
        while is_alive(self.pid) && Instant::now() < end {
            thread::sleep(Duration::from_millis(3));
        }
        if is_alive(self.pid) {
            signal(self.pid, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_writes_down_what_is_typed_and_what_is_pasted() {
        let mut server = Server::start();
        for (mode, pasted) in [(Mode::Bracketed, "k\x1b[200~a\nb\x1b[201~\r"), (Mode::Raw, "ka\nb\r"), (Mode::Canonical, "ka\nb\n")] {
            let pane = server.stand_in(&StandIn::new(mode));
            server.tmux(&["send-keys", "-t", &pane.id, "k", ";", "set-buffer", "a\nb"]);
            server.tmux(&["paste-buffer", "-p", "-r", "-d", "-t", &pane.id, ";", "send-keys", "-t", &pane.id, "Enter"]);
            until("all is read", || pane.text() == pasted);
        }
    }

    #[test]
    fn a_stand_in_has_a_prompt_a_draft_and_a_sign() {
        let mut server = Server::start();
        let pane = server.stand_in(&StandIn::new(Mode::Bracketed).prompt("> ").draft("half a thou").taken("* working"));
        until("the draft is shown", || server.screen(&pane.id).contains("> half a thou"));
        server.tmux(&["send-keys", "-t", &pane.id, "C-u"]);
        until("the line is cleared", || server.screen(&pane.id) == ">");
        server.tmux(&["send-keys", "-t", &pane.id, "Enter"]);
        until("the sign is shown", || server.screen(&pane.id) == ">\n* working\n>");
    }

    #[test]
    fn a_sealed_pane_takes_nothing_more_and_has_all_that_was_typed() {
        let mut server = Server::start();
        let pane = server.stand_in(&StandIn::new(Mode::Bracketed));
        server.tmux(&["send-keys", "-l", "-t", &pane.id, "before"]);
        server.seal(&pane);
        server.tmux(&["set-buffer", "after", ";", "paste-buffer", "-t", &pane.id]);
        server.tmux(&["kill-pane", "-t", &pane.id]);
        until("it is gone", || !is_alive(pane.pid));
        assert_eq!(pane.text(), format!("before{MARK}"));
    }

    #[test]
    fn the_server_ends_with_the_test_also_when_it_is_stopped() {
        let mut server = Server::start();
        let (pid, pane) = (server.pid(), server.stand_in(&StandIn::new(Mode::Raw)));
        server.stop();
        drop(server);
        until("both are gone", || !is_alive(pid) && !is_alive(pane.pid));
    }
}
