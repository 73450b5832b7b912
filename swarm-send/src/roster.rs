//! Who can be reached: the registry as it is seen while one batch is sent. Each agent is read once.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use swarm_common::exit::{self, Failure};
use swarm_common::platform::Life;
use swarm_common::registry::{Agent, Registry, Status};
use swarm_common::store::Store;
use swarm_common::{options, time};

use crate::cli::NAME;

/// The agents of a store.
pub struct Roster {
    registry: Registry,
    stale_after: Duration,
    /// By their ids in lower case; nobody has the id where it says `None`.
    known: HashMap<String, Option<Rc<Agent>>>,
    /// All of them, by their ids, once somebody asked.
    all: Option<Vec<Rc<Agent>>>,
    /// Somebody is registered.
    is_kept: Option<bool>,
    /// What was said once of a file that is no record need not be said for each message.
    is_told: bool,
}

impl Roster {
    /// The one of a store. Opens nothing.
    pub fn of(store: &Store) -> Roster {
        Roster {
            registry: Registry::of(store),
            stale_after: store.config().agents.stale_after,
            known: HashMap::new(),
            all: None,
            is_kept: None,
            is_told: false,
        }
    }

    /// Looks anew from now on: a stream may last for days.
    pub fn renew(&mut self) {
        self.known.clear();
        (self.all, self.is_kept) = (None, None);
    }

    /// True if somebody is registered. Else nobody can tell a wrong id from a right one.
    ///
    /// # Errors
    /// Status 3 when the registry cannot be read.
    pub fn is_kept(&mut self) -> Result<bool, Failure> {
        match self.is_kept {
            Some(is_kept) => Ok(is_kept),
            None => Ok(*self.is_kept.insert(self.registry.exists()?)),
        }
    }

    /// The agent of this id, in upper or lower case.
    ///
    /// # Errors
    /// Status 3 when its record cannot be read.
    pub fn find(&mut self, id: &str) -> Result<Option<Rc<Agent>>, Failure> {
        if self.is_kept == Some(false) {
            return Ok(None);
        }
        let key = id.to_ascii_lowercase();
        if let Some(agent) = self.known.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.registry.get(id)?.map(Rc::new);
        if agent.is_some() {
            self.is_kept = Some(true);
        }
        self.known.insert(key, agent.clone());
        Ok(agent)
    }

    /// All of them, by their ids.
    ///
    /// # Errors
    /// Status 3 when the registry cannot be read.
    pub fn all(&mut self) -> Result<&[Rc<Agent>], Failure> {
        if self.all.is_none() {
            let mut notes = Vec::new();
            let all: Vec<Rc<Agent>> = self.registry.all(&mut |words| notes.push(words.to_string()))?.into_iter().map(Rc::new).collect();
            if !self.is_told {
                notes.iter().for_each(|words| exit::say(NAME, words));
                self.is_told = !notes.is_empty();
            }
            self.known.extend(all.iter().map(|agent| (agent.agent_id.to_ascii_lowercase(), Some(Rc::clone(agent)))));
            self.all = Some(all);
        }
        Ok(self.all.as_deref().unwrap_or_default())
    }

    /// Whether an agent is there now.
    pub fn status(&self, agent: &Agent) -> Status {
        agent.status(time::now(), self.stale_after)
    }

    /// Nobody has this id: the refusal, with who may be meant.
    ///
    /// # Errors
    /// As [`Roster::all`].
    pub fn unknown(&mut self, id: &str) -> Result<Failure, Failure> {
        let all = self.all()?;
        // Who is gone is named last.
        let is_gone = |agent: &&Rc<Agent>| agent.life() == Life::Gone;
        let (gone, here): (Vec<_>, Vec<_>) = all.iter().partition(is_gone);
        let names = here.iter().chain(&gone).map(|agent| agent.agent_id.as_str());
        let hint = match options::nearest(id, names.clone()) {
            Some(near) => format!("did you mean {near}?\n"),
            // Where no record can be read.
            None if all.is_empty() => String::new(),
            None => format!("known are: {}\n", some(names)),
        };
        let rest = "who is here:  swarm-agents list\nfor one who is yet to come:  --allow-unknown";
        Ok(Failure::wrong(format!("nobody is registered as {id}")).hint(hint + rest))
    }

    /// No agent is of this group: the refusal, with which may be meant.
    ///
    /// # Errors
    /// As [`Roster::all`].
    pub fn unknown_group(&mut self, group: &str) -> Result<Failure, Failure> {
        let mut groups: Vec<&str> = self.all()?.iter().flat_map(|agent| &agent.groups).map(String::as_str).collect();
        groups.sort_unstable_by_key(|group| group.to_ascii_lowercase());
        groups.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
        let hint = match options::nearest(group, groups.iter().copied()) {
            Some(near) => format!("did you mean @{near}?"),
            None if groups.is_empty() => "an agent joins one with:  swarm-agents register ID --group NAME\neverybody: @all".into(),
            None => format!("known are: @{}\neverybody: @all", some(groups.into_iter()).replace(", ", ", @")),
        };
        Ok(Failure::wrong(format!("no agent is in a group @{group}")).hint(hint))
    }
}

/// The first few of many names.
fn some<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<&str> = names.by_ref().take(SHOWN_MAX).collect();
    let more = names.count();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
