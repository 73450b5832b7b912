//! Whether a message would reach an agent now, by its route. The reasons, and their order, are those that swarm-send gives.

use jiff::Timestamp;
use swarm_common::config::Agents;
use swarm_common::platform::Life;
use swarm_common::registry::{Agent, Pane, Route, Status};

use super::finding::Finding;
use super::tmux::Looked;
use crate::tmux::call::Trouble;

/// Why an agent is not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Gone,
    Stale,
    OtherServer,
    NotInstalled,
    Silent,
    Unreachable,
    NoPane,
    Dead,
    OtherProcess,
    Mode,
    InputOff,
    Synchronized,
    Shell,
}

impl Why {
    /// As swarm-send has it.
    fn word(self) -> &'static str {
        match self {
            Why::Gone => "gone",
            Why::Stale => "stale",
            Why::OtherServer => "another tmux server",
            Why::NotInstalled => "tmux is not installed",
            Why::Silent => "tmux does not answer",
            Why::Unreachable => "tmux cannot be reached",
            Why::NoPane => "no such pane",
            Why::Dead => "dead pane",
            Why::OtherProcess => "another process in the pane",
            Why::Mode => "mode",
            Why::InputOff => "input off",
            Why::Synchronized => "synchronized",
            Why::Shell => "shell",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Why::Gone => "it has ended",
            Why::Stale => "it was not heard of for long, and no process tells of it",
            Why::OtherServer => "the tmux server of its pane has ended, and another one has its socket",
            Why::NotInstalled => "tmux is not installed",
            Why::Silent => "its tmux server does not answer",
            Why::Unreachable => "its tmux server cannot be reached",
            Why::NoPane => "its pane was closed",
            Why::Dead => "what ran in its pane has ended",
            Why::OtherProcess => "another process was started in its pane",
            Why::Mode => "its pane is in a mode, like copy mode, which takes its keys",
            Why::InputOff => "the input of its pane is switched off",
            Why::Synchronized => "what is typed in its pane is typed in others too (synchronize-panes)",
            Why::Shell => "a shell is in front in its pane: the agent has ended, or was stopped",
        }
    }

    /// What to do; `tmux` and `id` are put in.
    fn hint(self, tmux: &str, pane: &str, id: &str) -> String {
        let again = format!(
            "start it again in that pane, and then:  swarm-agents discover --register\nor forget it:  swarm-agents unregister {id}"
        );
        match self {
            Why::Gone | Why::OtherServer | Why::NoPane | Why::OtherProcess => {
                "started again, it is found by:  swarm-agents discover --register\nthose who are gone are forgotten by:  swarm-agents prune"
                    .into()
            }
            Why::Stale => format!("it says that it lives:  swarm-agents beat --as {id}\nor forget it:  swarm-agents unregister {id}"),
            Why::NotInstalled => "apt install tmux; or register it again with --route inbox".into(),
            Why::Silent | Why::Unreachable => "see what is said of its server".into(),
            Why::Dead => format!("{tmux} respawn-pane -t {pane}\n{again}"),
            Why::Mode => format!("leave it there: q, or:  {tmux} send-keys -X -t {pane} cancel"),
            Why::InputOff => format!("{tmux} select-pane -e -t {pane}"),
            Why::Synchronized => format!("{tmux} set-option -w -t {pane} synchronize-panes off"),
            Why::Shell => format!("{again}\nif it is to be typed to a shell:  swarm-agents register {id} --pane {pane} --shell-ok"),
        }
    }
}

/// Looks whether an agent is reached.
pub fn look(agent: &Agent, tmux: &Looked, config: &Agents, now: Timestamp) -> Finding {
    let status = agent.status(now, config.stale_after);
    let why = match (&agent.pane, agent.route) {
        (Some(pane), Route::Pane | Route::Wake) => by_pane(agent, pane, tmux, &config.shells),
        _ => None,
    };
    let why = why.or(match status {
        Status::Active => None,
        Status::Stale => Some(Why::Stale),
        Status::Gone => Some(Why::Gone),
    });
    let (id, route) = (&agent.agent_id, agent.route.word());
    let finding = match why {
        None => Finding::good("agent", format!("{id} is reached by its route, {route}")),
        Some(why) => {
            let pane = agent.pane.as_ref().map_or("", |pane| &pane.id);
            let socket = agent.pane.as_ref().map(|pane| &pane.server.socket).filter(|socket| **socket != tmux.own);
            let call = socket.map_or("tmux".to_string(), |socket| format!("tmux -S {}", quoted(&socket.to_string_lossy())));
            Finding::wrong("agent", format!("{id} is not reached by its route, {route}: {}", why.words()), why.hint(&call, pane, id))
        }
    };
    let finding = finding.with("agent_id", id.as_str()).with("status", status.word()).with("route", route);
    let finding = finding.with("pane", agent.pane.as_ref().map_or("", |pane| &pane.id));
    finding.with("reachable", why.is_none()).with("why", why.map_or("", Why::word))
}

/// What is in the way of typing, in the order in which delivery looks.
fn by_pane(agent: &Agent, pane: &Pane, tmux: &Looked, shells: &[String]) -> Option<Why> {
    let answer = tmux.servers.get(&pane.server.socket)?;
    let panes = match answer {
        Ok(panes) => panes,
        Err(Trouble::NotInstalled) => return Some(Why::NotInstalled),
        Err(Trouble::NoServer(_)) => return Some(Why::Gone),
        Err(Trouble::Silent(_)) => return Some(Why::Silent),
        Err(Trouble::Denied | Trouble::Failed(_)) => return Some(Why::Unreachable),
    };
    let is_another = panes.first().is_some_and(|shown| shown.server_pid != pane.server.pid);
    if is_another || pane.server.process().life() == Life::Gone {
        return Some(Why::OtherServer);
    }
    let Some(shown) = panes.iter().find(|shown| shown.id == pane.id) else { return Some(Why::NoPane) };
    let is_shell = || !agent.shell_ok && shells.contains(&shown.command);
    [
        (shown.is_dead, Why::Dead),
        (shown.pid != pane.pid, Why::OtherProcess),
        (shown.is_in_mode, Why::Mode),
        (shown.is_input_off, Why::InputOff),
        (shown.is_synchronized, Why::Synchronized),
        (is_shell(), Why::Shell),
    ]
    .into_iter()
    .find_map(|(is_so, why)| is_so.then_some(why))
}

/// For a shell.
fn quoted(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/+=:,@%".contains(&byte));
    if is_plain { text.to_string() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
