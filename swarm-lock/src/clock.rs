//! What time it is, for leases: the clock that no step of the wall clock touches and that counts sleep, with the boot it belongs to; and
//! the wall's, for people.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use swarm_common::exit::Failure;
use swarm_common::{platform, time};

/// One moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Which boot of the machine this is. A lease of another boot has ended.
    pub boot_id: String,
    /// Microseconds since then, sleep included.
    pub boot_us: u64,
    /// The wall clock.
    pub now: Timestamp,
}

impl Clock {
    /// Reads both clocks.
    ///
    /// # Errors
    /// Status 3 when the system does not say which boot this is.
    pub fn read() -> Result<Clock, Failure> {
        let boot_id = platform::boot_id().map_err(|error| Failure::io("learn the boot id, which leases need", &error))?;
        Ok(Clock { boot_id, boot_us: micros(platform::boottime()), now: time::now() })
    }

    /// The moment a span from now, on the clock of this boot.
    pub fn after(&self, span: Duration) -> u64 {
        self.boot_us.saturating_add(micros(span))
    }

    /// What the wall clock shows, or showed, at a moment of this boot.
    pub fn wall(&self, boot_us: u64) -> Timestamp {
        let ahead = i64::try_from(i128::from(boot_us) - i128::from(self.boot_us)).unwrap_or(i64::MAX);
        self.now.checked_add(SignedDuration::from_micros(ahead)).unwrap_or(Timestamp::MAX)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
