//! `swarm-agents`: who takes part in a swarm, where each is to be found, and whether it is alive.
//!
//! The map: [`cli`] is the command line, [`commands`] the short ones of its commands, [`register`], [`watch`] and [`import`] those that are more;
//! [`discover`] finds agents in panes, [`plan`] says what becomes of them, [`program`] and [`process`] which process is one; [`doctor`] looks at everything.
//! [`tmux`] is asked, never told; [`pane`] asks tmux about one pane, [`answer`] writes a line about an agent. The records are swarm-common's.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod answer;
pub mod cli;
pub mod commands;
pub mod discover;
pub mod doctor;
pub mod import;
pub mod pane;
pub mod plan;
pub mod process;
pub mod program;
pub mod register;
pub mod tmux;
pub mod watch;
