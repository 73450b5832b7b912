//! The swarm tools in a tmux of a test's own, with a store of their own: agents are registered in its panes, messages are sent, and what
//! became of them is told.

// What fails here fails the test that asked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)]

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::programs;
use crate::tmux::{Mode, Pane, Server, StandIn};

/// A store, and the tmux server that its agents live in.
pub struct Swarm {
    /// The server.
    pub server: Server,
}

/// What a call of `swarm-send` answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its exit status.
    pub status: i32,
    /// A line a record.
    pub answers: Vec<Value>,
    /// What it said to people.
    pub said: String,
}

impl Answered {
    /// Of a call that has ended.
    pub fn of(output: &Output) -> Answered {
        let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
        Answered {
            status: output.status.code().unwrap_or(-1),
            answers: lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The outcome for this agent, of the only message: `delivered`, `queued: shell`.
    pub fn outcome(&self, agent_id: &str) -> String {
        assert_eq!(self.answers.len(), 1, "{self:?}");
        let outcomes = outcomes(&self.answers[0]);
        let found: Vec<&String> = outcomes.iter().filter(|(id, _)| id == agent_id).map(|(_, outcome)| outcome).collect();
        assert_eq!(found.len(), 1, "{agent_id} in {self:?}");
        found[0].clone()
    }

    /// The place of the only message in the journal.
    pub fn seq(&self) -> u64 {
        assert_eq!(self.answers.len(), 1, "{self:?}");
        self.answers[0]["seq"].as_u64().unwrap_or_else(|| panic!("{self:?}"))
    }

    /// Who got the only message, or would have.
    pub fn recipients(&self) -> Vec<String> {
        assert_eq!(self.answers.len(), 1, "{self:?}");
        let mut ids: Vec<String> = outcomes(&self.answers[0]).into_iter().map(|(id, _)| id).collect();
        ids.sort();
        ids
    }
}

/// The outcomes in an answer, or in the `data` of a DELIVERY record: who, and what, with its why.
pub fn outcomes(value: &Value) -> Vec<(String, String)> {
    let one = |outcome: &Value| {
        let word = outcome["outcome"].as_str().unwrap_or_else(|| panic!("{value}"));
        let why = outcome["why"].as_str().map_or(String::new(), |why| format!(": {why}"));
        (outcome["agent_id"].as_str().unwrap_or_else(|| panic!("{value}")).to_string(), format!("{word}{why}"))
    };
    value["outcomes"].as_array().map_or(Vec::new(), |outcomes| outcomes.iter().map(one).collect())
}

impl Swarm {
    /// A server and an empty store.
    pub fn start() -> Swarm {
        let swarm = Swarm { server: Server::start() };
        DirBuilder::new().mode(0o700).create(swarm.store()).unwrap();
        swarm
    }

    /// One that is configured so.
    pub fn configured(config: &str) -> Swarm {
        let swarm = Swarm::start();
        swarm.configure(config);
        swarm
    }

    /// The store's directory.
    pub fn store(&self) -> PathBuf {
        self.server.dir().join("store")
    }

    /// Configures it anew.
    pub fn configure(&self, config: &str) {
        fs::write(self.store().join("config.toml"), config).unwrap();
    }

    /// One of the tools, called from outside of tmux.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = self.server.command(programs::dir().join(name));
        command.env("SWARM_STORE", self.store());
        command
    }

    /// One of the tools, called in a pane.
    pub fn tool_in(&self, pane: &Pane, name: &str) -> Command {
        let mut command = self.tool(name);
        command.env("TMUX", self.server.variable()).env("TMUX_PANE", &pane.id);
        command
    }

    /// Runs a tool that must succeed: what it printed.
    pub fn good<S: AsRef<OsStr> + std::fmt::Debug>(&self, name: &str, args: &[S]) -> String {
        let output = self.tool(name).args(args).output().unwrap();
        assert!(output.status.success(), "{name} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Registers an agent in a pane.
    pub fn register(&self, agent_id: &str, pane: &Pane, more: &[&str]) {
        let mut call = self.tool("swarm-agents");
        call.args(["register", agent_id, "--pane", &pane.id]).args(more).env("TMUX", self.server.variable());
        let output = call.output().unwrap();
        assert!(output.status.success(), "{call:?}: {output:?}");
    }

    /// A stand-in with bracketed paste, registered under this id.
    pub fn agent(&mut self, agent_id: &str) -> Pane {
        self.agent_like(agent_id, &StandIn::new(Mode::Bracketed))
    }

    /// A stand-in, registered under this id.
    pub fn agent_like(&mut self, agent_id: &str, stand_in: &StandIn) -> Pane {
        let pane = self.server.stand_in(stand_in);
        self.register(agent_id, &pane, &[]);
        pane
    }

    /// So many stand-ins with bracketed paste: agent-0, agent-1 ...
    pub fn agents(&mut self, count: usize) -> Vec<Pane> {
        let panes = self.server.stand_ins(&StandIn::new(Mode::Bracketed), count);
        for (n, pane) in panes.iter().enumerate() {
            self.register(&format!("agent-{n}"), pane, &[]);
        }
        panes
    }

    /// Sends, as `user`: the arguments of `swarm-send`.
    pub fn send(&self, args: &[&str]) -> Answered {
        let output = self.tool("swarm-send").args(["--as", "user"]).args(args).output().unwrap();
        Answered::of(&output)
    }

    /// Sends a text, whatever it looks like, to an agent.
    pub fn send_text(&self, agent_id: &str, text: &[u8]) -> Answered {
        let mut call = self.tool("swarm-send");
        call.args(["--as", "user", "--to", agent_id, "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut send = call.spawn().unwrap();
        send.stdin.take().unwrap().write_all(text).unwrap();
        Answered::of(&send.wait_with_output().unwrap())
    }

    /// Delivers what is due.
    pub fn retry(&self) -> Answered {
        Answered::of(&self.tool("swarm-send").arg("--retry-queued").output().unwrap())
    }

    /// The whole journal.
    pub fn journal(&self) -> Vec<Value> {
        let mut segments: Vec<PathBuf> = fs::read_dir(self.store().join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "ndjson"));
        segments.sort();
        let text: String = segments.iter().map(|segment| fs::read_to_string(segment).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The messages in it: what is no record of the tools'.
    pub fn messages(&self) -> Vec<Value> {
        let mut records = self.journal();
        records.retain(|record| record["msg_type"] != "DELIVERY" && record["msg_type"] != "RETRY");
        records
    }

    /// What the journal says became of a message, for this agent: an outcome for each time that it was tried.
    pub fn tries(&self, seq: u64, agent_id: &str) -> Vec<String> {
        let records = self.journal();
        let message = records.iter().find(|record| record["seq"] == seq).unwrap_or_else(|| panic!("no seq {seq}"));
        let told = records.iter().filter(|record| record["msg_type"] == "DELIVERY" && record["reply_to"] == message["msg_id"]);
        let outcomes = told.flat_map(|record| outcomes(&record["data"]));
        outcomes.filter(|(id, _)| id == agent_id).map(|(_, outcome)| outcome).collect()
    }
}
