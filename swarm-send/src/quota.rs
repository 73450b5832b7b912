//! How many messages a sender may send: the store's `[send] rate`, with windows that all senders of the store share.

use swarm_common::exit::{self, Failure};
use swarm_common::limit::Limit;
use swarm_common::store::Store;
use swarm_ratelimit::shared::{PLAIN_FIELD, Shared};
use swarm_ratelimit::window::{Key, Taken};

use crate::answer::{self, Refusal};
use crate::cli::NAME;

/// The windows, and what they allow.
pub struct Quota {
    windows: Shared,
    limit: Limit,
    /// Windows that cannot be used: once is enough.
    failed: Option<Refusal>,
}

impl Quota {
    /// The one of a store; `None` where it sets no limit.
    ///
    /// # Errors
    /// Status 3 when its windows cannot be had.
    pub fn of(store: &Store) -> Result<Option<Quota>, Failure> {
        let Some(limit) = store.config().send.rate else { return Ok(None) };
        Ok(Some(Quota { windows: Shared::new(store.rate_dir()?, PLAIN_FIELD, limit)?, limit, failed: None }))
    }

    /// Takes one from its sender's window. To be asked under the journal's lock, for what is going to be stored alone: so neither a retry of
    /// what is stored nor one that comes at the same time takes any, or is over the limit.
    ///
    /// # Errors
    /// The sender is over the limit, or the windows cannot be used.
    pub fn admit(&mut self, sender_id: &str) -> Result<(), Refusal> {
        match &self.failed {
            Some(failed) => Err(failed.clone()),
            None => self.take(sender_id),
        }
    }

    fn take(&mut self, sender_id: &str) -> Result<(), Refusal> {
        // Ids are unique without regard to case, and so are their windows.
        let key = sender_id.to_ascii_lowercase();
        let answer = match self.windows.take(Key::Of(key.as_bytes()), 1, &mut |words| exit::say(NAME, words)) {
            Ok(answer) => answer,
            Err(failure) => {
                let failed = Refusal { status: answer::FAILED, failure, retry_after_ms: None };
                return Err(self.failed.insert(failed).clone());
            }
        };
        let Taken::No { retry_after } = answer.taken else { return Ok(()) };
        // Rounded up: a millisecond early would be refused again.
        let ms = u64::try_from(retry_after.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let failure = Failure::no(format!("{sender_id} is over the limit of {}", self.limit)).hint(format!("again in {ms} ms"));
        Err(Refusal { retry_after_ms: Some(ms), ..failure.into() })
    }
}
