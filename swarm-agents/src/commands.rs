//! The short commands: unregister, list, whoami, beat, prune.

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::identity::{self, Identity};
use swarm_common::ndjson::Out;
use swarm_common::registry::{Agent, Registry, Status};
use swarm_common::store::Store;
use swarm_common::time;

use crate::answer;
use crate::cli::{self, Caller, NAME};

/// Words for people, at once.
pub fn note(words: &str) {
    exit::say(NAME, words);
}

/// Forgets agents.
///
/// # Errors
/// Status 2 when nobody was named and nobody is known, 3 when the system failed.
pub fn unregister(options: &cli::Unregister) -> Result<Exit, Failure> {
    let cli::Unregister { ids, caller } = options;
    ids.iter().try_for_each(|id| identity::check("agent id", id))?;
    let store = Store::look(caller.place.store.as_deref())?;
    let (own, registry) = (identity::said(caller.own.as_deref())?, Registry::of(&store));
    let ids = match (ids.as_slice(), own) {
        ([], None) => vec![who(&store, caller)?.own.ok_or_else(identity::unknown)?],
        ([], Some(own)) => vec![own],
        (ids, _) => ids.to_vec(),
    };
    let mut out = Out::stdout()?;
    let mut exit = Exit::Yes;
    for id in &ids {
        // Before it goes; of what is no record there is nothing to tell but the name.
        let agent = registry.get(id).unwrap_or_default();
        if registry.remove(id)? {
            let now = time::now();
            let agent = agent.unwrap_or_else(|| Agent::new(id, now));
            out.line(&answer::agent("unregistered", &agent, agent.status(now, store.config().agents.stale_after)))?;
        } else {
            note(&format!("{id} is not registered"));
            out.line(&answer::unknown(id))?;
            exit = Exit::No;
        }
    }
    out.flush()?;
    Ok(exit)
}

/// Who calls.
fn who(store: &Store, caller: &Caller) -> Result<Identity, Failure> {
    identity::who(store, caller.own.as_deref(), false)
}

/// Prints the agents there are.
///
/// # Errors
/// Status 3 when the system failed.
pub fn list(options: &cli::List) -> Result<Exit, Failure> {
    let cli::List { alive, group, place } = options;
    group.as_deref().map_or(Ok(()), |group| identity::check("--group", group))?;
    let store = Store::look(place.store.as_deref())?;
    let (mut out, mut is_any, now) = (Out::stdout()?, false, time::now());
    for agent in Registry::of(&store).all(&mut note)? {
        let status = agent.status(now, store.config().agents.stale_after);
        let is_in = group.as_deref().is_none_or(|group| agent.groups.iter().any(|of| identity::is_same(of, group)));
        if is_in && !(*alive && status == Status::Gone) {
            is_any = true;
            out.line(&answer::agent("", &agent, status))?;
        }
    }
    out.flush()?;
    Ok(if is_any { Exit::Yes } else { Exit::No })
}

/// Says who calls.
///
/// # Errors
/// Status 1 when nothing says it, 2 where it is another than the pane's agent, 3 when the system failed.
pub fn whoami(options: &cli::Whoami) -> Result<Exit, Failure> {
    let caller = &options.caller;
    let store = Store::look(caller.place.store.as_deref())?;
    let Some(own) = who(&store, caller)?.own else {
        let mut unknown = identity::unknown();
        unknown.exit = Exit::No;
        return Err(unknown);
    };
    let by = match (&caller.own, identity::said(None)?) {
        (Some(_), _) => "option",
        (None, Some(_)) => "variable",
        (None, None) => "pane",
    };
    let agent = Registry::of(&store).get(&own)?;
    let stale_after = store.config().agents.stale_after;
    let registered = agent.as_ref().map(|agent| (agent, agent.status(time::now(), stale_after)));
    let mut out = Out::stdout()?;
    out.line(&answer::me(&own, by, registered))?;
    out.flush()?;
    Ok(Exit::Yes)
}

/// Says that one is alive.
///
/// # Errors
/// Status 1 for who is not registered, 2 where nothing says who calls, 3 when the system failed.
pub fn beat(options: &cli::Beat) -> Result<Exit, Failure> {
    let caller = &options.caller;
    let store = Store::look(caller.place.store.as_deref())?;
    let (own, _) = who(&store, caller)?.known()?;
    if Registry::of(&store).beat(&own)? {
        return Ok(Exit::Yes);
    }
    Err(Failure::no(format!("{own} is not registered")).hint(format!("say who it is:  swarm-agents register {own}")))
}

/// Forgets those who are gone.
///
/// # Errors
/// Status 3 when the system failed.
pub fn prune(options: &cli::Prune) -> Result<Exit, Failure> {
    let store = Store::look(options.place.store.as_deref())?;
    let (now, stale_after) = (time::now(), store.config().agents.stale_after);
    let gone = Registry::of(&store).sweep(&|agent| agent.status(now, stale_after) == Status::Gone, &mut note)?;
    let mut out = Out::stdout()?;
    for agent in &gone {
        out.line(&answer::agent("unregistered", agent, Status::Gone))?;
    }
    out.flush()?;
    Ok(Exit::Yes)
}
