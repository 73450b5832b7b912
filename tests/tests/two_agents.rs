//! The session of two agents that a user starts from `examples/`, started: with stand-ins, in a tmux of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use swarm_tests::docs::root;
use swarm_tests::tmux::Server;
use swarm_tests::wait::until;

/// A project, and a user who sits at a tmux.
struct Desk {
    server: Server,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { server: Server::start() };
        fs::create_dir(desk.project()).unwrap();
        desk
    }

    fn project(&self) -> PathBuf {
        self.server.dir().join("project")
    }

    /// In the project, in a pane of the user's.
    fn call(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.server.command(program);
        command.args(args).current_dir(self.project()).env("TMUX", self.server.variable());
        command
    }

    fn good(&self, program: &str, args: &[&str]) -> String {
        let output = self.call(program, args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn two_agents(&self, environment: &[(&str, &str)]) -> Output {
        let script = root().join("examples/two-agents.sh");
        self.call("sh", &[script.to_str().unwrap()]).envs(environment.iter().copied()).output().unwrap()
    }

    fn agents(&self) -> Vec<Value> {
        let listed = self.good("swarm-agents", &["list"]);
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn pane_of(&self, agent_id: &str) -> String {
        let agents = self.agents();
        let agent = agents.iter().find(|agent| agent["agent_id"] == agent_id).unwrap();
        agent["pane"].as_str().unwrap().to_string()
    }
}

#[test]
fn two_agents_and_their_user_talk() {
    let desk = Desk::new();
    let output = desk.two_agents(&[("AGENT", "cat")]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("tmux attach -t swarm"));
    let panes = ["agent-1", "agent-2"].map(|id| desk.pane_of(id));
    assert_eq!(desk.good("tmux", &["list-panes", "-t", "=swarm:", "-F", "#{pane_id}"]), format!("{}\n{}\n", panes[0], panes[1]));

    // The user to one of them: it is typed there and nowhere else.
    let answer = desk.good("swarm-send", &["--as", "user", "--to", "agent-1", "Which schema?"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["outcomes"][0]["outcome"], "delivered", "{answer}");
    until("it is shown", || desk.server.screen(&panes[0]).contains("| Which schema?"));
    assert!(!desk.server.screen(&panes[1]).contains("Which schema?"));

    // From a pane, where nobody has to say who it is: to the other one, to the user, and to what both want.
    let agent = |n: usize, program: &str, args: &[&str]| {
        let output = desk.call(program, args).env("TMUX_PANE", &panes[n]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(agent(0, "swarm-send", &["-q", "--to", "agent-2,user", "The new one."]).0, Some(0));
    until("it is shown", || desk.server.screen(&panes[1]).contains("| The new one."));
    let read = desk.good("swarm-tail", &["--inbox", "--as", "user"]);
    assert_eq!(read.lines().count(), 1, "{read}");
    assert!(read.contains("\"sender_id\":\"agent-1\"") && read.contains("The new one."), "{read}");
    assert_eq!(agent(1, "swarm-tail", &["--inbox", "--count"]), (Some(0), "{\"agent_id\":\"agent-2\",\"unread\":1}\n".into()));
    assert_eq!(agent(0, "swarm-lock", &["acquire", "src/auth/**"]).0, Some(0));
    let (status, conflict) = agent(1, "swarm-lock", &["acquire", "src/auth/login.rs"]);
    assert!(status == Some(1) && conflict.contains("\"agent_id\":\"agent-1\""), "{conflict}");
}

#[test]
fn an_agent_gets_its_first_prompt_with_all_that_it_needs_to_know() {
    let desk = Desk::new();
    // The last argument, as it came.
    let claude = "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nprintf '%s\\n' \"$1\" >prompt-$SWARM_AGENT.new\nmv prompt-$SWARM_AGENT.new \
                  prompt-$SWARM_AGENT\nexec cat\n";
    let bin = desk.server.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("claude"), claude).unwrap();
    fs::set_permissions(bin.join("claude"), Permissions::from_mode(0o755)).unwrap();
    let agent = format!("{} --model x", bin.join("claude").display());
    let output = desk.two_agents(&[("AGENT", &agent), ("ROUTE", "wake"), ("NAMES", "api web"), ("SESSION", "other")]);
    assert!(output.status.success(), "{output:?}");
    let wanted = fs::read_to_string(root().join("examples/AGENTS.md")).unwrap();
    for name in ["api", "web"] {
        let prompt = desk.project().join(format!("prompt-{name}"));
        until("it has begun", || prompt.exists());
        assert_eq!(fs::read_to_string(prompt).unwrap(), wanted);
    }
    // Which of the tools it is told of are there.
    for program in wanted.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| word.starts_with("swarm-")) {
        assert!(desk.call(program, &["--help"]).output().unwrap().status.success(), "{program}");
    }
    let agents = desk.agents();
    let api = agents.iter().find(|agent| agent["agent_id"] == "api").unwrap();
    assert_eq!((api["route"].as_str(), api["kind"].as_str()), (Some("wake"), Some("claude")));
    desk.good("swarm-send", &["-q", "--as", "user", "--to", "api", "secret"]);
    let pane = desk.pane_of("api");
    until("it is woken", || desk.server.screen(&pane).contains("[swarm] unread messages: swarm-tail --inbox"));
    assert!(!desk.server.screen(&pane).contains("secret"));
}

#[test]
fn what_cannot_be_started_is_told_and_leaves_nothing_behind() {
    let desk = Desk::new();
    let refused = |environment: &[(&str, &str)], status: i32, said: &str| {
        let output = desk.two_agents(environment);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{words}");
        assert!(words.contains(said), "{words}");
    };
    refused(&[("AGENT", "no-such-agent")], 2, "no command no-such-agent");
    assert!(!desk.project().join(".swarm").exists());
    assert!(desk.two_agents(&[("AGENT", "cat")]).status.success());
    refused(&[("AGENT", "cat")], 2, "a tmux session swarm already");
    refused(&[("AGENT", "cat"), ("SESSION", "second")], 1, "agent-1 is registered already");
    let sessions = desk.good("tmux", &["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(sessions, "main\nswarm\n", "the second is gone again");
    assert_eq!(desk.agents().len(), 3);
}
