//! `swarm-ack`: acknowledges messages, and tells what waits for it.
//!
//! The map: [`cli`] is the command line, [`acknowledge`] writes acknowledgements ([`targets`] are what is typed or piped), [`commands`] are those that only
//! look, and the one tick; [`watch`] does what falls due, [`import`] takes over the Python program's. [`story`] is all that the journal says of a message, [`answer`] writes our lines.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod acknowledge;
pub mod answer;
pub mod cli;
pub mod commands;
pub mod import;
pub mod story;
pub mod targets;
pub mod watch;
