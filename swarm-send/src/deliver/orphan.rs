//! What a sender that was killed leaves in tmux: a client, and buffers. Whose they are is told by their names, and the next sender removes them.
//!
//! The client stays, for it holds its own input open: leaving by itself it would come between another one that
//! connects (see [`super::door`]). So it is ended at the door. Its name is that of its terminal, which it has not.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use swarm_common::platform::{Life, Process};

/// What a terminal's name begins with.
const NAME: &str = "swarm";

/// A process that is killed is gone within a millisecond or two.
const PATIENCE: Duration = Duration::from_millis(200);

/// What list-clients is asked for.
pub const CLIENTS: &str = "#{client_pid} #{client_termname}";

/// What list-buffers is asked for.
pub const BUFFERS: &str = "#{buffer_name}";

/// The name of what this process leaves.
pub fn name() -> String {
    match Process::own() {
        Ok(Process { pid, start, space }) => format!("{NAME}:{pid}:{start}:{}", space.unwrap_or_default()),
        Err(_) => NAME.into(),
    }
}

/// Ends the clients whose senders are gone, of those that are told as [`CLIENTS`] says. Only at the door.
pub fn end(clients: &[String]) {
    for pid in clients.iter().filter_map(|client| orphan(client)) {
        if kill(Pid::from_raw(pid), Signal::SIGKILL).is_err() {
            continue;
        }
        let until = Instant::now() + PATIENCE;
        while u32::try_from(pid).is_ok_and(|pid| matches!(Process::of(pid), Ok(Some(_)))) && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// The client's pid, if its sender is gone.
fn orphan(client: &str) -> Option<i32> {
    let (pid, name) = client.split_once(' ')?;
    let pid = pid.parse().ok().filter(|pid| *pid > 1)?;
    (sender(name)?.life() == Life::Gone).then_some(pid)
}

/// True for a buffer whose sender is gone: `NAME-REST`. Its name can stand in a command as it is.
pub fn is_left(buffer: &str) -> bool {
    let is_plain = buffer.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-".contains(&byte));
    let sender = buffer.rsplit_once('-').and_then(|(name, _)| sender(name));
    is_plain && sender.is_some_and(|sender| sender.life() == Life::Gone)
}

/// The sender of this name.
fn sender(name: &str) -> Option<Process> {
    let mut parts = name.strip_prefix(NAME)?.strip_prefix(':')?.splitn(3, ':');
    Some(Process {
        pid: parts.next()?.parse().ok()?,
        start: parts.next()?.to_string(),
        space: parts.next().filter(|space| !space.is_empty()).map(String::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_orphan_when_its_sender_is_gone_and_known() {
        let own = name();
        assert_eq!(orphan(&format!("12 {own}")), None, "alive");
        let process = Process::own().unwrap();
        let gone = Process { start: "1".into(), ..process };
        let name = format!("swarm:{}:{}:{}", gone.pid, gone.start, gone.space.unwrap_or_default());
        assert_eq!(orphan(&format!("12 {name}")), Some(12));
        assert!(is_left(&format!("{name}-0")) && !is_left(&format!("{own}-0")) && !is_left(&name));
        assert!(!is_left(&format!("{name};-0")) && !is_left("buffer0") && !is_left("swarm-notes") && !is_left(""));
        for other in ["12 xterm-256color", "12 swarm", "12 swarm:1", "x swarm:1:1:", "0 swarm:1:1:", "1 swarm:1:1:", "-1 swarm:1:1:", ""] {
            assert_eq!(orphan(other), None, "{other}");
        }
        if cfg!(target_os = "linux") {
            assert_eq!(orphan("12 swarm:1:1:elsewhere"), None, "of another namespace");
        }
    }
}
