//! What the tests of the binary share: how to call it, and how to wait for it without sleeping.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that needs it has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The binary, with nothing of the caller's swarm in its environment.
pub fn ratelimit(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-ratelimit"));
    clean(command.args(args));
    command
}

/// Takes the caller's swarm out of a command's environment, and gives it three pipes.
pub fn clean(command: &mut Command) {
    command.env_remove("SWARM_STORE").env_remove("SWARM_AGENT").env_remove("TMUX_PANE").env("TZ", "UTC");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// Runs it to its end over a pipe.
pub fn run(args: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut child = ratelimit(args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // It may end before it has read all: then the pipe breaks, and that is fine.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Records of one sender, numbered from 1.
pub fn records(sender: &str, count: usize) -> String {
    (1..=count).map(|n| record(sender, n)).collect()
}

/// One record.
pub fn record(sender: &str, n: usize) -> String {
    format!("{{\"seq\":{n},\"sender_id\":\"{sender}\"}}\n")
}

/// Reads one line.
pub fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line
}

/// Waits until the child has ended; kills it, and fails, when it does not.
pub fn ends(mut child: Child) -> ExitStatus {
    let id = child.id();
    let (tell, told) = mpsc::channel();
    let waiter = thread::spawn(move || tell.send(child.wait().unwrap()).unwrap());
    let Ok(status) = told.recv_timeout(DEADLINE) else {
        signal(id, "KILL");
        panic!("it did not end by itself");
    };
    waiter.join().unwrap();
    status
}

/// Waits until the child has ended by a signal, and says which.
pub fn ends_by_signal(child: Child) -> i32 {
    ends(child).signal().expect("it ended by itself")
}

/// Sends a signal.
pub fn signal(id: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().unwrap().success());
}

/// Waits until something is true.
pub fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_true() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The most memory that a process had resident, in KiB.
pub fn peak_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}
