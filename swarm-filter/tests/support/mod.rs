//! What the tests of the binary share: how to call it, and how to wait for it without sleeping.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Long enough for a loaded machine; a test that needs it has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The binary, with nothing of the caller's swarm in its environment.
pub fn filter(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-filter"));
    command.args(args).env_remove("SWARM_STORE").env_remove("SWARM_AGENT").env_remove("TMUX_PANE").env("TZ", "UTC");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end over a pipe.
#[allow(dead_code)]
pub fn run(args: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut child = filter(args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // It may end before it has read all: then the pipe breaks, and that is fine.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Standard output as text.
#[allow(dead_code)]
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
#[allow(dead_code)]
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until the child has ended; kills it, and fails, when it does not.
#[allow(dead_code)]
pub fn ends(mut child: Child) -> i32 {
    let id = child.id();
    let (tell, told) = mpsc::channel();
    let waiter = thread::spawn(move || tell.send(child.wait().unwrap().code()).unwrap());
    let Ok(status) = told.recv_timeout(DEADLINE) else {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("it did not end by itself");
    };
    waiter.join().unwrap();
    status.expect("it ended by a signal")
}
