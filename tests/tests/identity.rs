//! Who a tool takes its caller for, in real panes of a real tmux: the agent that is registered there, unless he says otherwise.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{stored, tool, until};
use tempfile::TempDir;

/// A tmux server of the test's own, with a shell in each pane, and a store; ended with the test.
struct Swarm(TempDir);

impl Swarm {
    fn start() -> Swarm {
        // A socket's path has 107 bytes at most, so not below a long $TMPDIR.
        let swarm = Swarm(tempfile::Builder::new().prefix("swarm").tempdir_in("/tmp").unwrap());
        fs::create_dir(swarm.store()).unwrap();
        swarm.tmux(&["new-session", "-d", "-x", "200", "-y", "50", "sh"]);
        swarm
    }

    fn store(&self) -> PathBuf {
        self.0.path().join(".swarm")
    }

    /// A program that sees this server and no other.
    fn call(&self, mut command: Command) -> Command {
        for variable in ["SWARM_STORE", "SWARM_AGENT", "TMUX", "TMUX_PANE"] {
            command.env_remove(variable);
        }
        command.current_dir(self.0.path()).env("TMUX_TMPDIR", self.0.path()).env("HOME", self.0.path());
        command
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = self.call(Command::new("tmux")).args(["-L", "identity", "-f", "/dev/null"]).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_string()
    }

    /// Outside of tmux.
    fn outside(&self, name: &str, args: &[&str]) -> Output {
        self.call(tool(name)).args(args).output().unwrap()
    }

    /// Runs a line of the shell in a pane: its status, what it said and its errors.
    fn within(&self, pane: &str, line: &str) -> (i32, String, String) {
        let bin = swarm_tests::programs::dir().display();
        let script = format!("PATH={bin}:$PATH\n( {line} ) >out 2>err\necho $? >rc.new; mv rc.new rc\n");
        // A new file each time: the shell may still be reading the one before.
        let file = tempfile::Builder::new().prefix("line").tempfile_in(self.0.path()).unwrap();
        fs::write(file.path(), script).unwrap();
        self.tmux(&["send-keys", "-t", pane, &format!(". {}", file.path().display()), "Enter"]);
        let rc = self.0.path().join("rc");
        until("the line has ended", || rc.exists());
        let read = |name: &str| fs::read_to_string(self.0.path().join(name)).unwrap();
        let all = (read("rc").trim().parse().unwrap(), read("out"), read("err"));
        fs::remove_file(rc).unwrap();
        all
    }

    /// The same, of a line that must succeed.
    fn good(&self, pane: &str, line: &str) {
        let (status, _, words) = self.within(pane, line);
        assert_eq!(status, 0, "{line}: {words}");
    }

    fn records(&self) -> Vec<Value> {
        stored(&self.store()).0
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let mut call = self.call(Command::new("tmux"));
        let _ = call.args(["-L", "identity", "kill-server"]).output();
    }
}

#[test]
fn in_a_registered_pane_nobody_says_who_he_is_and_in_no_other_is_he_taken_for_it() {
    let swarm = Swarm::start();
    let other = swarm.tmux(&["split-window", "-P", "-F", "#{pane_id}", "sh"]);
    let (status, _, words) = swarm.within("%0", "swarm-send --to b 'who am I?'");
    assert_eq!(status, 2);
    for way in ["--as agent-1", "export SWARM_AGENT=agent-1", "swarm-agents register agent-1"] {
        assert!(words.contains(way), "{words}");
    }
    let (status, _, words) = swarm.within("%0", "swarm-lock acquire src");
    assert!(status == 2 && words.contains("swarm-agents register"), "{words}");
    swarm.good("%0", "swarm-agents register one");
    swarm.good("%0", "swarm-send --allow-unknown --to b hello");
    swarm.good("%0", "swarm-lock acquire src");
    let (status, out, _) = swarm.within("%0", "swarm-lock run lib -- sh -c 'echo $SWARM_AGENT; swarm-lock renew'");
    assert!(status == 0 && out.starts_with("one\n"), "{out}");
    // Whoever it is: the same pane.
    swarm.good("%0", "swarm-lock who src");
    assert_eq!(swarm.within(&other, "swarm-lock who src").0, 1);
    assert_eq!(swarm.within(&other, "swarm-send --allow-unknown --to b hello").0, 2, "the pane beside it");
    let senders: Vec<_> = swarm.records().iter().map(|record| record["sender_id"].clone()).collect();
    assert!(senders.len() >= 3 && senders.iter().all(|sender| *sender == "one"), "{senders:?}");
    assert_eq!(swarm.outside("swarm-send", &["--allow-unknown", "--to", "b", "hello"]).status.code(), Some(2), "outside of tmux");
}

#[test]
fn another_name_than_the_panes_is_refused_unless_forced_and_the_force_is_recorded() {
    let swarm = Swarm::start();
    swarm.good("%0", "swarm-agents register one; swarm-agents register two --force --route inbox --pane %0 || true");
    swarm.good("%0", "swarm-agents register one --force");
    for line in [
        "swarm-send --as two --to one hello",
        "SWARM_AGENT=two swarm-send --to one hello",
        "swarm-lock acquire --as two src",
        "swarm-lock run --as two src -- true",
        "swarm-lock renew --as two",
        "swarm-lock release --as two --all",
        "swarm-agents beat --as two",
    ] {
        let (status, out, words) = swarm.within("%0", line);
        assert!(status == 2 && out.is_empty(), "{line}: {status} {out}");
        assert!(words.contains("'two', and this pane is registered to 'one'") && words.contains("--force"), "{line}: {words}");
    }
    assert!(!swarm.store().join("journal").exists() || swarm.records().is_empty(), "nothing came of it");
    for line in [
        "swarm-send --as ONE --to one 'in another case it is the same'",
        "swarm-send --force --as two --to one hello",
        "SWARM_AGENT=two swarm-send --force --to one hello",
        "swarm-lock acquire --force --as two src",
        "swarm-lock release --force --reason because --as two --all",
        "swarm-lock who --as two src",
    ] {
        swarm.good("%0", line);
    }
    let said: Vec<_> = swarm
        .records()
        .iter()
        .filter(|record| record["msg_type"] != "DELIVERY")
        .map(|record| (record["msg_type"].clone(), record["sender_id"].clone(), record["forced_by"].clone()))
        .collect();
    let (two, one, none) = (json!("two"), json!("one"), Value::Null);
    let want = [
        (json!("INFO"), json!("ONE"), none),
        (json!("INFO"), two.clone(), one.clone()),
        (json!("INFO"), two.clone(), one.clone()),
        (json!("LOCKED"), two.clone(), one.clone()),
        (json!("RELEASED"), two, one),
    ];
    assert_eq!(said, want);
}

#[test]
fn a_record_brings_its_own_sender_only_where_the_pane_says_none() {
    let swarm = Swarm::start();
    let line = r#"echo '{"sender_id":"two","recipients":["one"],"content":"x"}' | swarm-send"#;
    swarm.good("%0", line);
    swarm.good("%0", "swarm-agents register one");
    let (status, out, _) = swarm.within("%0", line);
    assert!(status == 2 && out.contains(r#""status":"refused""#), "{out}");
    swarm.good("%0", &format!("{line} --force"));
    let records = swarm.records();
    let last = records.iter().rfind(|record| record["msg_type"] == "INFO").unwrap();
    assert_eq!((&last["sender_id"], &last["forced_by"]), (&json!("two"), &json!("one")));
}

#[test]
fn what_the_registered_agent_left_its_pane_to_is_nobody() {
    let swarm = Swarm::start();
    // The agent is a process of the pane; then a shell goes on.
    swarm.good("%0", "sleep 60 & echo $! >pid; swarm-agents register one --pid $!");
    swarm.good("%0", "swarm-agents whoami");
    swarm.good("%0", "kill -9 $(cat pid)");
    until("it has ended", || swarm.within("%0", "swarm-agents whoami").0 == 1);
    assert_eq!(swarm.within("%0", "swarm-send --allow-unknown --to b hello").0, 2);
    swarm.good("%0", "swarm-send --as two --allow-unknown --to b hello");
}

#[test]
fn a_garbage_record_keeps_nobody_from_work_who_says_who_he_is() {
    let swarm = Swarm::start();
    swarm.good("%0", "swarm-agents register one");
    fs::write(swarm.store().join("agents/one.json"), "garbage").unwrap();
    let (status, _, words) = swarm.within("%0", "swarm-send --allow-unknown --to b hello");
    assert!(status == 3 && words.contains("one.json") && words.contains("swarm-agents register one"), "{words}");
    swarm.good("%0", "swarm-send --as one --allow-unknown --to b hello");
}
