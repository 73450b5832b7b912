//! The scene of `make demo`, played: what it shows, and that nothing of it is left, however it ends.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use support::{shell, until};
use swarm_tests::docs::root;
use swarm_tests::tmux::is_alive;

/// Plays it in this directory, where all is that it makes.
fn scene(dir: &Path) -> Command {
    let mut command = shell(dir, &format!("exec sh '{}' 2>&1", root().join("examples/demo.sh").display()));
    command.env("TMPDIR", dir).env("HOME", dir).env("SHELL", "/bin/sh").stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// The tmux server of the scene, while it has one.
fn server(dir: &Path) -> Option<u32> {
    let socket = |top: PathBuf| top.join(format!("tmux-{}/demo", nix::unistd::getuid()));
    let socket = fs::read_dir(dir).unwrap().map(|entry| socket(entry.unwrap().path())).find(|socket| socket.exists())?;
    let output = Command::new("tmux").arg("-S").arg(socket).args(["display-message", "-p", "#{pid}"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}

#[test]
fn the_scene_plays_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let output = scene(dir.path()).output().unwrap();
    let scene = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{scene}");
    for part in [
        "{\"agent_id\":\"agent-1\",\"kind\":\"codex\",\"pane\":\"%1\",\"registered\":true}",
        "\"outcomes\":[{\"agent_id\":\"agent-1\",\"outcome\":\"delivered\"}]}",
        "\n[swarm] from lead: QUESTION, seq 1. To acknowledge: swarm-ack ",
        "\n| Which schema does auth use?\n",
        "{\"agent_id\":\"agent-0\",\"outcome\":\"delivered\"}\n{\"agent_id\":\"agent-1\",\"outcome\":\"delivered\"}\n\
         {\"agent_id\":\"shell-1\",\"outcome\":\"queued\",\"why\":\"shell\"}\n",
        "{\"agent_id\":\"lead\",\"unread\":2}\n",
        "\nThe one in db/auth.sql.\n",
        "\nagent-1: Login works.\n",
        "{\"agent_id\":\"lead\",\"unread\":0}\nnothing new\n",
        "-c\n10\n",
        "\nAre you there?\n",
        "\"witness\":\"src/auth/l.rs\"",
        "\nagent-1 works\n",
        "agent-1 took away docs of agent-0",
    ] {
        assert!(scene.contains(part), "{part:?} in {scene}");
    }
    // What the panes show, one after the other; the shell's is the last.
    let (_, panes) = scene.split_once("\n-- %0\n").unwrap();
    let (agents, shell) = panes.split_once("\n-- %2\n").unwrap();
    let (shell, _) = shell.split_once("\n\n# ").unwrap_or((shell, ""));
    assert_eq!(agents.matches("\n| Please run: rm -rf build").count(), 2, "{agents}");
    assert!(!shell.contains("Please run") && !shell.contains("[swarm]"), "{shell}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn nothing_is_left_of_a_scene_that_is_stopped() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let dir = tempfile::tempdir().unwrap();
        // As from a terminal: the signal goes to all that run in the foreground.
        let mut child = scene(dir.path()).process_group(0).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("{\"agent_id\":\"agent-0\"")), "it ended too soon");
        let server = server(dir.path()).unwrap();
        assert!(is_alive(server));
        killpg(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        lines.for_each(drop);
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal as i32));
        until("the server has ended", || !is_alive(server));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
    }
}
