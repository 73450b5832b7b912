//! What was not acknowledged in time, through the programs: sent again, brought before everyone, by calls, ticks and watches, some of which are killed.

#![allow(clippy::unwrap_used, clippy::panic)]

mod kills;
mod panes;
mod ticks;
mod watchers;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use swarm_tests::swarm::Swarm;

/// Nothing is done besides.
const BY_HAND: &str = "auto = false\n";

fn ack(swarm: &Swarm, args: &[&str]) -> Command {
    let mut call = swarm.tool("swarm-ack");
    call.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    call
}

/// The lines that a call printed, and its status.
fn done(output: &Output) -> (i32, Vec<Value>) {
    let lines = String::from_utf8_lossy(&output.stdout);
    (output.status.code().unwrap_or(-1), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn tick(swarm: &Swarm) -> Vec<Value> {
    let output = ack(swarm, &["tick"]).output().unwrap();
    let (status, lines) = done(&output);
    assert_eq!(status, 0, "{output:?}");
    lines
}

/// What waits: message, agent, state, tries.
fn pending(swarm: &Swarm) -> Vec<(String, String, String, u64)> {
    let (_, lines) = done(&ack(swarm, &["pending"]).output().unwrap());
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_string();
    let one = |line: &Value| (text(line, "msg_id"), text(line, "agent_id"), text(line, "state"), line["tries"].as_u64().unwrap_or(0));
    lines.iter().map(one).collect()
}

/// So many messages that ask, in one go: m1, m2 ...
fn ask(swarm: &Swarm, to: &str, count: usize, more: &[&str]) {
    let mut send = swarm.tool("swarm-send");
    send.args(["-q", "--as", "lead", "--to", to, "--ack", "--allow-unknown"]).args(more).stdin(Stdio::piped());
    let mut send = send.spawn().unwrap();
    let lines: String = (1..=count).map(|n| format!("{{\"msg_id\":\"m{n}\",\"content\":\"text {n}\"}}\n")).collect();
    send.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(send.wait().unwrap().success());
}

/// The records of this type.
fn records(swarm: &Swarm, msg_type: &str) -> Vec<Value> {
    let mut records = swarm.journal();
    records.retain(|record| record["msg_type"] == msg_type);
    records
}

/// How often each try of each message for each agent is in the journal.
fn retries(swarm: &Swarm) -> BTreeMap<(String, String, u64), usize> {
    let mut found = BTreeMap::new();
    for record in records(swarm, "RETRY") {
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let key = (text(&record["reply_to"]), text(&record["data"]["agent_id"]), record["data"]["try"].as_u64().unwrap());
        *found.entry(key).or_default() += 1;
    }
    found
}

/// How often each message was escalated for each agent.
fn escalations(swarm: &Swarm) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for record in records(swarm, "ESCALATION") {
        for agent_id in record["data"]["agent_ids"].as_array().unwrap() {
            let key = (record["reply_to"].as_str().unwrap().to_string(), agent_id.as_str().unwrap().to_string());
            *found.entry(key).or_default() += 1;
        }
    }
    found
}

/// A process that is killed when it is dropped.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn begin(mut call: Command) -> Running {
        let mut child = call.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// The next line that it prints.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
