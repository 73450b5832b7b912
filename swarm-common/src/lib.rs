//! What two or more swarm tools need, and nothing else: the record, the journal, the store that holds it, identity,
//! time, NDJSON in and out, and the exit statuses. It never parses a command line and never prints a result.
//!
//! The map: a line comes in through [`ndjson`], [`json`] says whether it is a record, [`message`] says whether it may
//! be accepted, [`journal`] keeps it inside the [`store`], [`cursor`] remembers how far a reader got, and
//! [`fold`] what was computed on the way: [`pending`], what waits for an acknowledgement, by what [`record`] reads in a line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod config;
pub mod cursor;
pub mod exit;
pub mod files;
pub mod fold;
pub mod identity;
pub mod journal;
pub mod json;
pub mod limit;
pub mod message;
pub mod ndjson;
pub mod options;
pub mod pending;
pub mod platform;
pub mod record;
pub mod registry;
pub mod store;
pub mod text;
pub mod time;
