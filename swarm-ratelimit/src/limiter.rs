//! Who answers whether a record is within the limit: the windows of this process, or those in the store.

use std::rc::Rc;

use swarm_common::exit::{self, Failure};

use crate::cli::NAME;
use crate::shared::Shared;
use crate::wake::Signals;
use crate::window::{Key, Taken, Windows};

/// The windows of one stream.
pub enum Limiter {
    /// In memory; gone with the process.
    Own(Windows),
    /// In the store, shared with every process that uses the same limit. A signal ends the wait for one of them.
    Shared(Box<Shared>, Rc<Signals>),
}

impl Limiter {
    /// Takes one from the window of `key`. `now_us` is for windows in memory; shared ones read the clock themselves, under their lock.
    /// `None` where another process had the window when a signal came: then nothing is taken.
    ///
    /// # Errors
    /// As [`Shared::take`].
    #[inline]
    pub fn take(&mut self, key: Key<'_>, now_us: i64) -> Result<Option<Taken>, Failure> {
        match self {
            Limiter::Own(windows) => Ok(Some(windows.take(key, now_us))),
            Limiter::Shared(shared, signals) => {
                let answer = shared.take_until(key, 1, &mut |words| exit::say(NAME, words), &|| signals.caught().is_some())?;
                Ok(answer.map(|answer| answer.taken))
            }
        }
    }

    /// True once keys had to share a window because there were too many.
    pub fn is_crowded(&self) -> bool {
        matches!(self, Limiter::Own(windows) if windows.is_crowded())
    }
}
