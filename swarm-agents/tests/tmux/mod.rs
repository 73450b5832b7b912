//! tmux servers of the tests' own: private sockets in a directory of their own, and ended with it, also when a test fails.

#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// A directory with a store, stand-ins for agents, and room for tmux's sockets; no process of it outlives it.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// One with a store.
    pub fn new() -> Place {
        // A socket's path has 107 bytes at most, so not below a long $TMPDIR.
        let place = Place { dir: tempfile::Builder::new().prefix("swarm").tempdir_in("/tmp").unwrap() };
        for dir in [".swarm", "bin", "tmux"] {
            fs::create_dir(place.path(dir)).unwrap();
        }
        fs::set_permissions(place.path(".swarm"), fs::Permissions::from_mode(0o700)).unwrap();
        // A loaded machine may need longer than a user would wait.
        fs::write(place.path(".swarm/config.toml"), "[tmux]\ntimeout_ms = 20000\n").unwrap();
        // What it says tells that it runs, so that a test need not guess when it was started. No script: a pane that runs a script runs a shell.
        let cat = program("cat");
        fs::write(place.path("ready"), "ready ").unwrap();
        for name in ["claude", "codex", "gemini"] {
            fs::copy(&cat, place.path(&format!("bin/{name}"))).unwrap();
        }
        place
    }

    /// A path in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A path in it, as text.
    pub fn text(&self, path: &str) -> String {
        self.path(path).to_str().unwrap().to_string()
    }

    /// Makes a program of a script.
    pub fn script(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A server of this name (`-L`); it is started with its first pane.
    pub fn server(&self, name: &str) -> Server<'_> {
        Server { place: self, name: name.to_string() }
    }

    /// `swarm-agents`, outside of tmux, and knowing these servers alone.
    pub fn agents(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut call = assert_cmd::Command::new(env!("CARGO_BIN_EXE_swarm-agents"));
        call.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TMUX_TMPDIR", self.path("tmux"));
        call.current_dir(self.dir.path()).args(arguments);
        call
    }

    /// Its answers, its status and its words.
    pub fn ask(&self, arguments: &[&str]) -> (i32, Vec<Value>, String) {
        answers(self.agents(arguments))
    }
}

/// The answers of a call, its status and its words.
pub fn answers(mut call: assert_cmd::Command) -> (i32, Vec<Value>, String) {
    let output = call.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap(), answers, String::from_utf8(output.stderr).unwrap())
}

/// A tmux server, ended when it is dropped.
pub struct Server<'a> {
    place: &'a Place,
    name: String,
}

impl Server<'_> {
    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        let real = fs::canonicalize(self.place.path("tmux")).unwrap();
        real.join(format!("tmux-{}", nix::unistd::getuid())).join(&self.name)
    }

    fn call(&self, arguments: &[&str]) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TMUX_TMPDIR", self.place.path("tmux"));
        tmux.env("HOME", self.place.path("")).env("SHELL", "/bin/sh").current_dir(self.place.dir.path());
        tmux.args(["-u", "-L", &self.name, "-f", "/dev/null"]).args(arguments).stdin(Stdio::null());
        tmux
    }

    /// What tmux says.
    pub fn tmux(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments).output().unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_string()
    }

    /// A pane in a window of its own that runs this command without a shell around it, as soon as it says `ready`; its id.
    pub fn run(&self, command: &[&str]) -> String {
        let start: &[&str] = if self.is_alive() { &["new-window"] } else { &["new-session", "-d", "-x", "80", "-y", "24"] };
        let pane = self.tmux(&[start, &["-P", "-F", "#{pane_id}", "--"], command].concat());
        self.wait_for(&pane, "ready");
        pane
    }

    /// The same, of a program in the place's `bin`.
    pub fn agent(&self, name: &str) -> String {
        self.run(&[&self.place.text(&format!("bin/{name}")), &self.place.text("ready"), "-"])
    }

    /// Starts it, with a pane that is nobody's.
    pub fn tmux_start(&self) {
        self.run(&["sh", "-c", "echo ready; exec cat"]);
    }

    /// Waits until a pane shows a text.
    pub fn wait_for(&self, pane: &str, text: &str) {
        until(&format!("{pane} shows {text}"), || self.tmux(&["capture-pane", "-p", "-t", pane]).contains(text));
    }

    /// Waits until the process of a pane that is kept has ended.
    pub fn wait_for_end(&self, pane: &str) {
        until(&format!("{pane} is dead"), || self.of(pane, "pane_dead") == "1");
    }

    /// A variable of a pane.
    pub fn of(&self, pane: &str, variable: &str) -> String {
        self.tmux(&["display-message", "-p", "-t", pane, &format!("#{{{variable}}}")])
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.tmux(&["display-message", "-p", "#{pid}"]).parse().unwrap()
    }

    /// True while it answers.
    pub fn is_alive(&self) -> bool {
        self.call(&["list-sessions"]).output().unwrap().status.success()
    }

    /// `$TMUX` in its panes.
    pub fn variable(&self) -> String {
        format!("{},{},0", self.socket().display(), self.pid())
    }

    /// Ends it and waits until it has.
    pub fn end(&self) {
        let pid = self.pid();
        let _ = self.call(&["kill-server"]).output();
        until("the server ends", || kill(Pid::from_raw(pid), None).is_err());
    }

    /// Stops it, until the guard is dropped.
    pub fn stop(&self) -> Stopped {
        let pid = Pid::from_raw(self.pid());
        kill(pid, Signal::SIGSTOP).unwrap();
        Stopped(pid)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.call(&["kill-server"]).output();
    }
}

/// A server that is stopped.
pub struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Looks again and again, until a deadline.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory of programs that has all of `$PATH`'s that are named, and no others.
pub fn path_of(dir: &Path, programs: &[&str]) {
    fs::create_dir_all(dir).unwrap();
    for program in programs {
        std::os::unix::fs::symlink(self::program(program), dir.join(program)).unwrap();
    }
}

/// Where a program lies.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.exists()).unwrap()
}
