//! tmux, as far as it is asked who is there: it is looked at, and never told anything.

pub mod call;
pub mod query;
pub mod server;
