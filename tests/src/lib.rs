//! What belongs to all programs together: their documents and the examples in them. The tests of the programs in real pipelines
//! are in `tests/`.
//!
//! [`docs`] makes the man pages and completions: [`command`] reads a tool's option table, [`markdown`] the hand-written parts, [`page`]
//! puts both together. [`console`] runs the examples and looks at what they print. [`history`] is what agents were answered by the lease
//! table, and whether it can be right. [`tmux`] is a server of a test's own, with stand-ins for agents in its panes;
//! [`swarm`] the tools in it, [`typed`] what its panes were given, [`deliveries`] whether that and all answers can be true.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod command;
pub mod console;
pub mod deliveries;
pub mod docs;
pub mod history;
pub mod markdown;
pub mod page;
pub mod programs;
pub mod random;
pub mod swarm;
pub mod tmux;
pub mod typed;
pub mod wait;
