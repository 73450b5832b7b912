//! tmux, as far as it is asked who is there: it is looked at, and never told anything.

pub mod call;
pub mod query;
pub mod server;

use std::time::Duration;

use swarm_common::store::Store;

/// How long a server is waited for.
pub fn limit(_store: &Store) -> Duration {
    Duration::from_millis(2_000)
}
