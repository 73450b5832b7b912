//! Passes at most N records a window for each key, and says what becomes of the others. The windows slide: no span of
//! the window's length ever holds more than N, wherever it begins.
//!
//! The map: [`spec`] is the limit, [`window`] the windows in this process, [`shared`] those in the store.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod shared;
pub mod spec;
pub mod window;
