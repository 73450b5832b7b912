//! Waiting for what will be, which is no sleep: it ends as soon as it is, and fails when it is not in time.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that needs it has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until it holds.
///
/// # Panics
/// When it does not within the deadline.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(3));
    }
}
