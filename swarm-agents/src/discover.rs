//! `discover`: the panes of tmux servers, and which agents run in them.

use swarm_common::config::Tmux;
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::json::Object;
use swarm_common::ndjson::Out;
use swarm_common::platform::{Life, Processes};
use swarm_common::registry::{Agent, Pane, Registry, Route};
use swarm_common::store::Store;
use swarm_common::time;

use crate::answer;
use crate::cli::{self, NAME};
use crate::commands::note;
use crate::plan::{self, Action, Known, why};
use crate::process::{self, Running};
use crate::register::{self, Found, Said};
use crate::tmux::call::Trouble;
use crate::tmux::query::{self, Shown};
use crate::tmux::server::{self, Address};

/// How often an id or a pane is looked for anew that somebody else took in the meantime.
const TRIES_MAX: usize = 5;

/// A pane, and what was found in it.
struct Seen {
    shown: Shown,
    pane: Option<Pane>,
    running: Option<Running>,
    action: Action,
    /// Its agent is registered now.
    is_registered: bool,
}

/// Looks for agents in panes.
///
/// # Errors
/// Status 1 where none is found, or one could not be registered; 2 for a wrong call, 3 when tmux or the store cannot be used.
pub fn discover(options: &cli::Discover) -> Result<Exit, Failure> {
    let (route, groups) = (register::route(options.route.as_deref())?, register::groups(&options.group)?);
    let addresses = server::addresses(&options.servers.names, &options.servers.sockets)?;
    let does_register = options.register && !options.dry_run;
    let place = options.place.store.as_deref();
    let store = if does_register { Store::open(place)? } else { Store::look(place)? };
    let (registry, names) = (Registry::of(&store), &store.config().agents.names);

    let (shown, troubles) = look(&addresses, &store.config().tmux);
    // After the panes, so that the processes of all of them are there.
    let processes = Processes::look().map_err(|error| Failure::io("look at the processes", &error))?;
    let mut seen: Vec<Seen> = shown.into_iter().map(|shown| find(shown, &processes, names)).collect();
    let panes: Vec<Pane> = seen.iter().filter(|seen| !seen.shown.is_dead).filter_map(|seen| seen.pane.clone()).collect();
    decide(&mut seen, &known(&registry, &panes, &mut note)?);
    let mut refused = Vec::new();
    if does_register {
        for seen in &mut seen {
            refused.extend(enter(seen, &registry, &panes, route, groups.as_deref())?);
        }
    }

    let mut out = Out::stdout()?;
    for seen in seen.iter().filter(|seen| options.all || seen.action.agent_id().is_some()) {
        out.line(&line(seen))?;
    }
    out.flush()?;
    for failure in troubles.iter().chain(&refused) {
        exit::tell(NAME, failure);
    }
    let is_any = seen.iter().any(|seen| seen.action.agent_id().is_some());
    if !is_any && troubles.is_empty() {
        exit::tell(NAME, &none(&seen, &addresses, names, options.all));
    }
    let failed = troubles.iter().map(|failure| failure.exit).filter(|exit| *exit == Exit::System).max();
    Ok(failed.unwrap_or(if is_any && refused.is_empty() { Exit::Yes } else { Exit::No }))
}

/// The panes of all servers, and why some do not tell theirs.
fn look(addresses: &[Address], tmux: &Tmux) -> (Vec<Shown>, Vec<Failure>) {
    let (mut panes, mut failures) = (Vec::new(), Vec::new());
    for address in addresses {
        match query::panes(tmux, &address.socket) {
            Ok(shown) => panes.extend(shown),
            // The others would say the same.
            Err(Trouble::NotInstalled) => return (panes, vec![Trouble::NotInstalled.failure(address)]),
            Err(trouble) => failures.push(trouble.failure(address)),
        }
    }
    (panes, failures)
}

/// What runs in a pane.
fn find(shown: Shown, processes: &Processes, names: &[String]) -> Seen {
    let pane = shown.pane().ok().flatten();
    let running = match processes.get(shown.pid) {
        _ if shown.is_dead => Err(why::DEAD),
        None => Err(why::UNSEEN),
        // tmux is the parent of what it starts.
        Some(row) if pane.is_none() || row.parent != shown.server_pid => Err(why::NAMESPACE),
        Some(row) => process::below(processes, row.pid, names).ok_or(why::NO_AGENT),
    };
    let action = match &running {
        Err(why) => Action::Leave(why),
        Ok(running) if running.is_background => Action::Leave(why::BACKGROUND),
        Ok(_) => Action::Leave(""),
    };
    Seen { shown, pane, running: running.ok(), action, is_registered: false }
}

impl Seen {
    /// What can be an agent's.
    fn place(&self) -> Option<(&Pane, &Running)> {
        self.pane.as_ref().zip(self.running.as_ref()).filter(|(_, running)| !running.is_background)
    }
}

/// The registered agents, as they stand to the panes that were seen.
fn known(registry: &Registry, panes: &[Pane], note: &mut dyn FnMut(&str)) -> Result<Vec<Known>, Failure> {
    let is_seen = |pane: &Pane| panes.iter().any(|seen| seen.is_same(pane));
    let was_asked = |pane: &Pane| panes.iter().any(|seen| seen.server == pane.server);
    let stand = |agent: Agent| {
        let is_gone = agent.life() == Life::Gone;
        // On a server that was not asked it may be there.
        let is_there = |pane: &Pane| if was_asked(pane) { is_seen(pane) } else { pane.server.process().life() == Life::Alive };
        let may_return = is_gone && agent.pane.as_ref().is_some_and(is_there);
        Known { agent, is_gone, may_return }
    };
    Ok(registry.all(note)?.into_iter().map(stand).collect())
}

/// Says what becomes of each.
fn decide(seen: &mut [Seen], known: &[Known]) {
    let found: Vec<(&Pane, &Running)> = seen.iter().filter_map(Seen::place).collect();
    let found: Vec<_> = found.into_iter().map(|(pane, running)| (pane, &running.process)).collect();
    let mut actions = plan::plan(&found, known).into_iter();
    for seen in seen.iter_mut().filter(|seen| seen.place().is_some()) {
        let Some(action) = actions.next() else { return };
        seen.is_registered = !matches!(action, Action::Register(_));
        seen.action = action;
    }
}

/// Registers one; answers why it could not be.
fn enter(
    seen: &mut Seen,
    registry: &Registry,
    panes: &[Pane],
    route: Option<Route>,
    groups: Option<&[String]>,
) -> Result<Option<Failure>, Failure> {
    for tried in 1.. {
        let Some((pane, running)) = seen.place() else { return Ok(None) };
        let (Action::Update(id) | Action::Register(id)) = seen.action.clone() else { return Ok(None) };
        let is_new = matches!(seen.action, Action::Register(_));
        let found = Found {
            pane: Some(pane.clone()),
            process: Some(running.process.clone()),
            kind: Some(running.kind.clone()),
            route: Route::Pane,
        };
        let change = |old: Option<Agent>| {
            // Of one who ended elsewhere nothing is left but the id.
            let old = old.filter(|old| !is_new || old.pane.as_ref().is_some_and(|old| old.is_same(pane)));
            let said = Said {
                agent_id: old.as_ref().map_or(id.clone(), |old| old.agent_id.clone()),
                route: route.or(old.as_ref().map(|old| old.route)),
                shell_ok: old.as_ref().is_some_and(|old| old.shell_ok),
                kind: None,
                groups: groups.map(<[String]>::to_vec),
                description: None,
            };
            Ok(register::agent(said, found, old, time::now()))
        };
        match registry.change(&id, false, change) {
            Ok(agent) => {
                (seen.action, seen.is_registered) = (with_id(&seen.action, agent.agent_id), true);
                return Ok(None);
            }
            // Somebody was there before: with the id, or in the pane.
            Err(failure) if failure.exit == Exit::No && tried < TRIES_MAX => {
                let known = known(registry, panes, &mut |_| {})?;
                decide(std::slice::from_mut(seen), &known);
            }
            Err(failure) if failure.exit == Exit::No => return Ok(Some(failure)),
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn with_id(action: &Action, id: String) -> Action {
    if matches!(action, Action::Update(_)) { Action::Update(id) } else { Action::Register(id) }
}

/// `{"action":"register","agent_id":"agent-0","registered":false,"kind":"claude","pane":"%3",...}`
fn line(seen: &Seen) -> Vec<u8> {
    let Seen { shown, pane, running, action, is_registered } = seen;
    let on = |is_on: bool| is_on.then_some(true);
    let server = match pane {
        Some(pane) => answer::server(&pane.server),
        None => Object::new().text("socket", &shown.socket.to_string_lossy()).plain("pid", Some(shown.server_pid)),
    };
    let object = Object::new()
        .text("action", action.word())
        .text("agent_id", action.agent_id().unwrap_or_default())
        .plain("registered", Some(*is_registered))
        .text("why", if let Action::Leave(why) = action { why } else { "" })
        .text("kind", running.as_ref().map_or("", |running| &running.kind))
        .text("pane", &shown.id)
        .plain("pane_pid", Some(shown.pid))
        .plain("pid", running.as_ref().map(|running| running.process.pid))
        .text("pid_start", running.as_ref().map_or("", |running| &running.process.start))
        .text("command", &shown.command)
        .text("session", &shown.session)
        .text("window", &shown.window)
        .plain("window_index", Some(shown.window_index))
        .text("tty", &shown.tty)
        .object("server", Some(server));
    object
        .plain("dead", on(shown.is_dead))
        .plain("in_mode", on(shown.is_in_mode))
        .plain("input_off", on(shown.is_input_off))
        .plain("synchronized", on(shown.is_synchronized))
        .end()
}

/// Nothing was found.
fn none(seen: &[Seen], addresses: &[Address], names: &[String], is_all: bool) -> Failure {
    let sockets: Vec<String> = addresses.iter().map(|address| address.socket.display().to_string()).collect();
    let panes = if seen.len() == 1 { "the one pane".to_string() } else { format!("any of the {} panes", seen.len()) };
    let see = if is_all { String::new() } else { format!("what is there instead:  {NAME} discover --all\n") };
    Failure::no(format!("no agent runs in {panes} of {}", sockets.join(", ")))
        .hint(format!("{see}looked for: {} (other names: [agents] in config.toml)", names.join(", ")))
}
