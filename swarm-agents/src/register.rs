//! `register`: finds out where an agent is, and writes it down.

use jiff::Timestamp;
use swarm_common::config::{Agents, Config};
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::identity;
use swarm_common::message::ALL;
use swarm_common::ndjson::Out;
use swarm_common::platform::{Process, Processes};
use swarm_common::registry::{Agent, Pane, Registry, Route, Server, check_description, is_pane_id};
use swarm_common::store::Store;
use swarm_common::time;

use crate::cli::{self, NAME};
use crate::process::{self, Running};
use crate::tmux::server::{self, Address, Inside};
use crate::{answer, pane};

/// Where an agent is, as it was found for this call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its pane.
    pub pane: Option<Pane>,
    /// The process that it lives as long as.
    pub process: Option<Process>,
    /// What kind of agent CLI that is.
    pub kind: Option<String>,
    /// How it can be reached.
    pub route: Route,
}

/// What a call says of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its id.
    pub agent_id: String,
    /// `--route`
    pub route: Option<Route>,
    /// `--shell-ok`
    pub shell_ok: bool,
    /// `--kind`
    pub kind: Option<String>,
    /// `--group`; `None` leaves them as they were.
    pub groups: Option<Vec<String>>,
    /// `--description`; `None` leaves it as it was.
    pub description: Option<Option<String>>,
}

impl Said {
    /// Nothing but its id.
    pub fn nothing(agent_id: &str) -> Said {
        Said { agent_id: agent_id.to_string(), route: None, shell_ok: false, kind: None, groups: None, description: None }
    }
}

/// Registers an agent.
///
/// # Errors
/// Status 1 where an agent that is not gone has its id or its pane, 2 for a wrong call, 3 when the system failed.
pub fn register(options: cli::Register) -> Result<Exit, Failure> {
    let said = said(&options)?;
    let store = Store::open(options.place.store.as_deref())?;
    let found = found(&options, said.route, store.config())?;
    let is_typed_to = said.route != Some(Route::Inbox) && !said.shell_ok;
    if let Some(id) = options.pane.as_deref().filter(|_| is_typed_to && found.kind.is_none() && said.kind.is_none()) {
        exit::say(NAME, &format!("no agent CLI is seen in {id}; nothing is typed there while a shell is in front (--shell-ok allows it)"));
    }
    let (now, mut is_new) = (time::now(), true);
    let registered = Registry::of(&store).change(&said.agent_id, options.force, |old| {
        is_new = old.is_none();
        Ok(agent(said.clone(), found.clone(), old, now))
    });
    let agent = match registered {
        Ok(agent) => agent,
        Err(failure) => {
            if failure.exit == Exit::No {
                let mut out = Out::stdout()?;
                out.line(&answer::refused(&said.agent_id, &failure.what, &failure.hint)).and_then(|()| out.flush())?;
            }
            return Err(failure);
        }
    };
    let mut out = Out::stdout()?;
    let event = if is_new { "registered" } else { "updated" };
    out.line(&answer::agent(event, &agent, agent.status(time::now(), store.config().agents.stale_after)))?;
    out.flush()?;
    Ok(Exit::Yes)
}

/// The record that this makes of the one before. Where an agent is, is found anew each time; what it is stays unless something else is said.
pub fn agent(said: Said, found: Found, old: Option<Agent>, now: Timestamp) -> Agent {
    let Said { agent_id, route, shell_ok, kind, groups, description } = said;
    let Found { pane, process, kind: found_kind, route: found_route } = found;
    let new = Agent::new(&agent_id, now);
    let old = old.unwrap_or_else(|| new.clone());
    Agent {
        route: route.unwrap_or(found_route),
        pane,
        process,
        kind: kind.or(found_kind).or(old.kind),
        shell_ok,
        groups: groups.unwrap_or(old.groups),
        description: description.unwrap_or(old.description),
        registered_at: old.registered_at,
        ..new
    }
}

fn said(options: &cli::Register) -> Result<Said, Failure> {
    identity::check("agent id", &options.id)?;
    if identity::is_same(&options.id, ALL.trim_start_matches('@')) {
        return Err(Failure::wrong(format!("agent id: '{}' would be taken for {ALL}, which is everybody", options.id)).hint("like agent-1"));
    }
    let route = route(options.route.as_deref())?;
    if let Some(kind) = &options.kind {
        identity::check("--kind", kind)?;
    }
    Ok(Said {
        agent_id: options.id.clone(),
        route,
        shell_ok: options.shell_ok,
        kind: options.kind.clone(),
        groups: groups(&options.group)?,
        description: options.description.as_deref().map(check_description).transpose()?,
    })
}

/// What `--route` says.
///
/// # Errors
/// Status 2 for what is no route.
pub fn route(word: Option<&str>) -> Result<Option<Route>, Failure> {
    let parse =
        |word| Route::parse(word).ok_or_else(|| Failure::wrong(format!("--route: '{word}' is no route")).hint("pane, wake or inbox"));
    word.map(parse).transpose()
}

/// What `--group` says, as often as it was given, each once; `None` where it was not.
///
/// # Errors
/// Status 2 for what cannot be a group.
pub fn groups(given: &[String]) -> Result<Option<Vec<String>>, Failure> {
    let mut groups: Vec<String> = Vec::new();
    for group in given.iter().filter(|group| !group.is_empty()) {
        identity::check("--group", group)?;
        if !groups.iter().any(|known| identity::is_same(known, group)) {
            groups.push(group.clone());
        }
    }
    Ok((!given.is_empty()).then_some(groups))
}

/// Looks where the agent is.
fn found(options: &cli::Register, route: Option<Route>, config: &Config) -> Result<Found, Failure> {
    let given = options.pid.map(living).transpose()?;
    let own = server::inside().filter(|inside| inside.pane_id.as_deref().is_some_and(is_pane_id));
    let found = match (&options.pane, own) {
        (Some(id), _) => in_pane(pane::ask(&config.tmux, &pane::address(&options.server)?, id)?, &config.agents)?,
        (None, _) if options.server.name.is_some() || options.server.socket.is_some() => {
            return Err(Failure::wrong("-L and -S say whose pane --pane is, and there is none").hint("--pane %3"));
        }
        (None, Some(inside)) => here(&inside, route, config)?,
        (None, None) => {
            let (process, kind) = parted(process::above(&look()?, std::process::id(), &config.agents.names));
            Found { pane: None, process, kind, route: Route::Inbox }
        }
    };
    Ok(match given {
        Some(given) if found.process.as_ref() != Some(&given) => Found { process: Some(given), kind: None, ..found },
        _ => found,
    })
}

/// What runs in a pane: the agent CLI in it, else its own process.
///
/// # Errors
/// Status 3 when the processes cannot be looked at.
pub fn in_pane(pane: Pane, config: &Agents) -> Result<Found, Failure> {
    let (process, kind) = parted(process::below(&look()?, pane.pid, &config.names));
    let process = process.or_else(|| Process::of(pane.pid).ok().flatten());
    Ok(Found { pane: Some(pane), process, kind, route: Route::Pane })
}

/// The pane that this call is made in, and the agent CLI that it comes from.
fn here(inside: &Inside, route: Option<Route>, config: &Config) -> Result<Found, Failure> {
    let (address, id) = (Address::own(), inside.pane_id.as_deref().unwrap_or_default());
    let processes = look()?;
    let (pane, can) = match pane::ask(&config.tmux, &address, id) {
        Ok(pane) => (Some(pane), Route::Pane),
        Err(failure) if matches!(route, Some(Route::Pane | Route::Wake)) => return Err(failure),
        // An agent in a sandbox, which may not reach tmux's socket.
        Err(failure) => {
            if route.is_none() {
                exit::say(NAME, &format!("{}; so it reads its messages itself (the route inbox)", failure.what));
            }
            (beheld(&processes, inside), Route::Inbox)
        }
    };
    let (process, kind) = parted(process::above(&processes, std::process::id(), &config.agents.names));
    let of_pane = || pane.as_ref().and_then(|pane| Process::of(pane.pid).ok().flatten());
    Ok(Found { process: process.or_else(of_pane), pane, kind, route: can })
}

/// This pane without a word from tmux: what tmux started in it is the process above this one whose parent is the server.
fn beheld(processes: &Processes, inside: &Inside) -> Option<Pane> {
    let server_pid = inside.server_pid?;
    let started = processes.ancestors(std::process::id()).find(|row| row.parent == server_pid)?;
    let server = Server::of(&inside.socket, server_pid).ok()??;
    Some(Pane { id: inside.pane_id.clone()?, server, pid: started.pid })
}

fn parted(running: Option<Running>) -> (Option<Process>, Option<String>) {
    running.map_or((None, None), |running| (Some(running.process), Some(running.kind)))
}

fn look() -> Result<Processes, Failure> {
    Processes::look().map_err(|error| Failure::io("look at the processes", &error))
}

/// The process that an agent is to live as long as.
fn living(pid: u32) -> Result<Process, Failure> {
    let found = Process::of(pid).map_err(|error| Failure::io(format_args!("look for process {pid}"), &error))?;
    found.ok_or_else(|| Failure::wrong(format!("--pid {pid}: no such process is alive")))
}
