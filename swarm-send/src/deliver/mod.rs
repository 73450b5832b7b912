//! Stand-in.
#![allow(missing_docs)]
pub mod block;
pub mod control;
pub mod outcome;
pub use block::{Block, Said};
pub use outcome::{Outcome, Why, Word, why};
use swarm_common::registry::{Agent, Route};
pub struct Job<'a> {
    pub agent: &'a Agent,
    pub route: Route,
    pub text: &'a Block,
}
pub struct Settings;
impl Settings {
    pub fn of(_: &swarm_common::store::Store) -> Settings {
        Settings
    }
}
pub fn deliver(jobs: &[Job<'_>], _: &Settings) -> Vec<Outcome> {
    jobs.iter().map(|job| Outcome::of(&job.agent.agent_id, Word::Queued, why::UNREACHABLE)).collect()
}
