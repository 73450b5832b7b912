//! The client of a sender that was killed. It stays, for it holds its own input open: leaving by itself it would come between another one that
//! connects (see [`super::door`]). The next sender ends it, at the door. Whose it is, is told by the name of its terminal, which it has not.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use swarm_common::platform::{Life, Process};

/// What a terminal's name begins with.
const NAME: &str = "swarm";

/// A process that is killed is gone within a millisecond or two.
const PATIENCE: Duration = Duration::from_millis(200);

/// What list-clients is asked for.
pub const FORMAT: &str = "#{client_pid} #{client_termname}";

/// The terminal's name for the clients of this process.
pub fn terminal() -> String {
    match Process::own() {
        Ok(Process { pid, start, space }) => format!("{NAME}:{pid}:{start}:{}", space.unwrap_or_default()),
        Err(_) => NAME.into(),
    }
}

/// Ends the clients whose senders are gone, of those that are told as [`FORMAT`] says. Only at the door.
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
    let mut parts = name.strip_prefix(NAME)?.strip_prefix(':')?.splitn(3, ':');
    let sender = Process {
        pid: parts.next()?.parse().ok()?,
        start: parts.next()?.to_string(),
        space: parts.next().filter(|space| !space.is_empty()).map(String::from),
    };
    let pid = pid.parse().ok().filter(|pid| *pid > 1)?;
    (sender.life() == Life::Gone).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_orphan_when_its_sender_is_gone_and_known() {
        let own = terminal();
        assert_eq!(orphan(&format!("12 {own}")), None, "alive");
        let process = Process::own().unwrap();
        let gone = Process { start: "1".into(), ..process };
        let name = format!("swarm:{}:{}:{}", gone.pid, gone.start, gone.space.unwrap_or_default());
        assert_eq!(orphan(&format!("12 {name}")), Some(12));
        for other in ["12 xterm-256color", "12 swarm", "12 swarm:1", "x swarm:1:1:", "0 swarm:1:1:", "1 swarm:1:1:", "-1 swarm:1:1:", ""] {
            assert_eq!(orphan(other), None, "{other}");
        }
        if cfg!(target_os = "linux") {
            assert_eq!(orphan("12 swarm:1:1:elsewhere"), None, "of another namespace");
        }
    }
}
