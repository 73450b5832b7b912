//! `swarm-ack`: acknowledges messages, and tells what waits for it.
//!
//! The map: [`cli`] is the command line, [`acknowledge`] writes acknowledgements ([`targets`] are what is typed or piped), [`commands`] are those that only
//! look. [`pending`] is what waits, a fold over the journal; [`story`] all that the journal says of a message; [`record`] reads its lines, [`answer`] writes ours.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod acknowledge;
pub mod answer;
pub mod cli;
pub mod commands;
pub mod pending;
pub mod record;
pub mod story;
pub mod targets;
