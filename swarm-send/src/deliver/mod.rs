//! Delivery: a message that is in the journal reaches its recipient's pane, or it is said why not. It never fails as a whole, never types into
//! a pane that tmux was not asked about in the same call, and never types twice.
//!
//! The map: [`deliver`] gives each server its `typist`, who types through a `client` of tmux in control mode. What tmux is asked is
//! `guard`'s, what it says [`control`]'s; [`block`] is what is typed, [`outcome`] what became of it.

pub mod block;
mod client;
pub mod control;
mod door;
mod guard;
mod orphan;
pub mod outcome;
mod pane_lock;
mod screen;
mod server;
pub mod settings;
mod texts;
mod typist;
mod wake;
mod way;

pub use block::Block;
pub use outcome::{Outcome, Why, Word, why};
pub use settings::Settings;
pub use swarm_common::registry::Route;

use swarm_common::registry::{Agent, Pane, Server};
use swarm_common::store::Store;

/// A message for one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Who gets it.
    pub agent: &'a Agent,
    /// How.
    pub route: Route,
    /// What is typed: [`Block::message`], or with [`Route::Wake`] [`Block::wake`].
    pub text: &'a Block,
}

/// True if the agent was woken, and has not looked since: then it is not woken again, and tmux need not be asked.
pub fn is_unread(store: &Store, agent: &Agent) -> bool {
    let is_unread = |pane| wake::Wake::of(&settings::dir(store), &store.cursors_place(), agent, pane).is_unread();
    agent.pane.as_ref().is_some_and(is_unread)
}

/// Delivers these. One outcome each, in their order; those of one pane are typed in their order.
pub fn deliver(jobs: &[Job<'_>], settings: &Settings) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; jobs.len()];
    let mut servers: Vec<(&Server, Vec<(usize, &Pane)>)> = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        let queued = |why: &'static str| Some(Outcome::of(&job.agent.agent_id, Word::Queued, why));
        match (job.route, &job.agent.pane) {
            (Route::Inbox, _) => outcomes[at] = queued(why::INBOX),
            (_, None) => outcomes[at] = Some(Outcome::of(&job.agent.agent_id, Word::Refused, why::NO_PANE)),
            (_, Some(pane)) => match servers.iter_mut().find(|(server, _)| **server == pane.server) {
                Some((_, panes)) => panes.push((at, pane)),
                None => servers.push((&pane.server, vec![(at, pane)])),
            },
        }
    }
    let at_server = |(server, panes): &(&Server, Vec<(usize, &Pane)>)| {
        let of_server: Vec<(&Job<'_>, &Pane)> = panes.iter().map(|&(at, pane)| (&jobs[at], pane)).collect();
        server::deliver(server, &of_server, settings)
    };
    // One that does not answer keeps no other waiting.
    let all: Vec<Vec<Outcome>> = match servers.as_slice() {
        [one] => vec![at_server(one)],
        many => std::thread::scope(|scope| {
            let threads: Vec<_> = many.iter().map(|server| scope.spawn(|| at_server(server))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        }),
    };
    for ((_, panes), of_server) in servers.iter().zip(all) {
        for (&(at, _), outcome) in panes.iter().zip(of_server) {
            outcomes[at] = Some(outcome);
        }
    }
    let told = outcomes.into_iter().zip(jobs);
    told.map(|(outcome, job)| outcome.unwrap_or_else(|| Outcome::of(&job.agent.agent_id, Word::Unconfirmed, why::LOST))).collect()
}
