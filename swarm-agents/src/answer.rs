//! What there is to say about an agent: a line of NDJSON.

use swarm_common::json::Object;
use swarm_common::platform::Process;
use swarm_common::registry::{Agent, Server, Status};

/// The agent's line; `event` says what happened, where that is what it tells of.
pub fn agent(event: &str, agent: &Agent, status: Status) -> Vec<u8> {
    let object = Object::new().text("event", event).text("agent_id", &agent.agent_id);
    about(object, agent, status).end()
}

/// Who one is, by what (`option`, `variable`, `pane`), and what is registered of it.
pub fn me(agent_id: &str, by: &str, registered: Option<(&Agent, Status)>) -> Vec<u8> {
    let object = Object::new().text("agent_id", agent_id).text("by", by).plain("registered", Some(registered.is_some()));
    match registered {
        Some((agent, status)) => about(object, agent, status).end(),
        None => object.end(),
    }
}

/// A tmux server.
pub fn server(server: &Server) -> Object {
    let Server { socket, pid, start, space: _ } = server;
    Object::new().text("socket", &socket.to_string_lossy()).plain("pid", Some(pid)).text("start", start)
}

fn about(object: Object, agent: &Agent, status: Status) -> Object {
    let Agent { agent_id: _, route, pane, process, boot: _, kind, shell_ok, groups, description, registered_at, seen_at } = agent;
    let server = pane.as_ref().map(|pane| server(&pane.server));
    let object = object
        .text("status", status.word())
        .text("route", route.word())
        .text("pane", pane.as_ref().map_or("", |pane| &pane.id))
        .object("server", server)
        .plain("pane_pid", pane.as_ref().map(|pane| pane.pid))
        .plain("pid", process.as_ref().map(|process| process.pid))
        .text("pid_start", process.as_ref().map_or("", |Process { start, .. }| start))
        .text("kind", kind.as_deref().unwrap_or_default())
        .plain("shell_ok", shell_ok.then_some(true));
    let object = if groups.is_empty() { object } else { object.list("groups", groups.iter().map(String::as_str)) };
    object
        .text("description", description.as_deref().unwrap_or_default())
        .time("registered_at", Some(*registered_at))
        .time("seen_at", Some(*seen_at))
}

/// Somebody who was to be forgotten and is not known.
pub fn unknown(agent_id: &str) -> Vec<u8> {
    Object::new().text("status", "refused").text("agent_id", agent_id).text("error", "not registered").end()
}

/// An agent of another program's that was not taken over.
pub fn skipped(agent_id: &str, why: &str, error: &str) -> Vec<u8> {
    Object::new().text("status", "skipped").text("agent_id", agent_id).text("why", why).text("error", error).end()
}

/// Why somebody is not registered.
pub fn refused(agent_id: &str, error: &str, hint: &str) -> Vec<u8> {
    Object::new().text("status", "refused").text("agent_id", agent_id).text("error", error).text("hint", hint).end()
}
