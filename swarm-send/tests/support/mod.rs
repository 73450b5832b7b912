//! A tmux server of one's own, with panes that keep what they get.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use swarm_common::registry::{Agent, Pane, Route, Server};
use swarm_common::store::Store;
use swarm_send::deliver::{Block, Job, Outcome, Settings, deliver};
use tempfile::TempDir;

/// A private server, its files and a store. All is gone with it.
pub struct Tmux {
    pub dir: TempDir,
}

impl Tmux {
    /// One with a session whose only pane sleeps.
    pub fn new() -> Tmux {
        let tmux = Tmux { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(tmux.dir.path().join(".swarm")).unwrap();
        tmux.run(&["new-session", "-d", "-s", "s", "-x", "80", "-y", "24", "exec sleep 600"]);
        tmux
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.socket()).args(["-f", "/dev/null"]).args(args);
        command.env_remove("TMUX").env_remove("TMUX_PANE").env("LC_ALL", "C.UTF-8");
        command
    }

    pub fn try_run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command of tmux and returns what it prints.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.try_run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_string()
    }

    /// A window with a program in it; its pane's id.
    pub fn window(&self, program: &str) -> String {
        self.run(&["new-window", "-d", "-t", "s:", "-P", "-F", "#{pane_id}", program])
    }

    /// A pane that writes what it gets, line by line, to the file.
    pub fn keeper(&self) -> (String, PathBuf) {
        let file = self.dir.path().join(format!("kept-{}", fastrand()));
        let pane = self.window(&format!("stty -echo; exec cat >>'{}'", file.display()));
        self.wait("the keeper is there", || self.shown(&pane, "#{pane_current_command}") == "cat");
        (pane, file)
    }

    /// So many keepers.
    pub fn keepers(&self, count: usize) -> Vec<(String, PathBuf)> {
        let started: Vec<_> = (0..count)
            .map(|_| {
                let file = self.dir.path().join(format!("kept-{}", fastrand()));
                (self.window(&format!("stty -echo; exec cat >>'{}'", file.display())), file)
            })
            .collect();
        for (pane, _) in &started {
            self.wait("the keeper is there", || self.shown(pane, "#{pane_current_command}") == "cat");
        }
        started
    }

    /// What tmux has in buffers, and what is left in files.
    pub fn leftovers(&self) -> (String, usize) {
        let texts = fs::read_dir(self.dir.path().join(".swarm/delivery/texts")).map_or(0, Iterator::count);
        (self.run(&["list-buffers"]), texts)
    }

    pub fn signal(&self, pid: u32, signal: &str) {
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    }

    /// A format of a pane.
    pub fn shown(&self, pane: &str, format: &str) -> String {
        self.run(&["display-message", "-p", "-t", pane, format])
    }

    pub fn screen(&self, pane: &str) -> String {
        self.run(&["capture-pane", "-p", "-t", pane])
    }

    pub fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        wait(what, is_so);
    }

    pub fn server(&self) -> Server {
        let pid = self.run(&["display-message", "-p", "#{pid}"]).parse().unwrap();
        Server::of(&self.socket(), pid).unwrap().unwrap()
    }

    /// An agent in this pane, as it is now.
    pub fn agent(&self, id: &str, pane: &str) -> Agent {
        let mut agent = self.agent_of(pane, &self.server());
        agent.agent_id = id.to_string();
        agent
    }

    /// An agent in this pane of a server.
    pub fn agent_of(&self, pane: &str, server: &Server) -> Agent {
        let mut agent = Agent::new("a", "2026-11-25T00:00:00Z".parse().unwrap());
        let pid = self.shown(pane, "#{pane_pid}").parse().unwrap();
        agent.pane = Some(Pane { id: pane.to_string(), server: server.clone(), pid });
        agent.route = Route::Pane;
        agent
    }

    /// With the store's config.
    pub fn settings(&self, config: &str) -> Settings {
        let dir = self.dir.path().join(".swarm");
        fs::write(dir.join("config.toml"), config).unwrap();
        let mut settings = Settings::of(&Store::open(Some(dir.as_os_str())).unwrap()).unwrap();
        settings.own = None;
        settings
    }

    /// Without any delay.
    pub fn quick(&self) -> Settings {
        self.settings("[delivery.default]\nenter_delay_ms = 0\nenter_delay_ms_per_kib = 0\n")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.try_run(&["kill-server"]);
    }
}

fn fastrand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

pub fn wait(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// One message for one agent.
pub fn send(agent: &Agent, text: &Block, settings: &Settings) -> Outcome {
    deliver(&[Job { agent, route: agent.route, text }], settings).remove(0)
}

/// What a test says.
pub fn message(content: &str) -> Block {
    use swarm_send::deliver::block::Letter;
    Block::message(&Letter { from: "boss", msg_type: "INFO", seq: 1, msg_id: "m", requires_ack: false, retry: None, content })
}
