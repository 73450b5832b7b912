//! `swarm-lock`: leases on paths and globs.
//!
//! The core is pure: [`normalise`] turns what was typed into text relative to the root, [`pattern`] parses it, [`nfa`] is what a
//! pattern means, [`overlap`] decides whether two patterns have a path in common, and which, [`conflict`] what that is to who asks, and [`asked`] the same for thousands of paths.
//! [`table`] is the leases on disk, and how a change of several files becomes one; [`lease`] a line of it. [`leases`] are the operations, each
//! a turn under the table's lock; [`event`] what the journal hears of them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod answer;
pub mod arguments;
pub mod asked;
pub mod call;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod conflict;
pub mod event;
pub mod fnmatch;
pub mod gate;
pub mod import;
pub mod lease;
pub mod leases;
pub mod nfa;
pub mod normalise;
pub mod overlap;
pub mod pattern;
pub mod place;
pub mod run;
pub mod table;
pub mod wait;
