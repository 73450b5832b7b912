//! `swarm-lock`: leases on paths and globs.
//!
//! The core is pure: [`normalise`] turns what was typed into text relative to the root, [`pattern`] parses it, [`nfa`] is what a
//! pattern means, and [`overlap`] decides whether two patterns have a path in common, and which.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod nfa;
pub mod normalise;
pub mod overlap;
pub mod pattern;
