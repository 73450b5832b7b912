//! How many messages a sender may send: the store's `[send] rate`, with windows that all senders of the store share.

use swarm_common::exit::{self, Failure};
use swarm_common::journal::{Draft, Journal};
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
}

impl Quota {
    /// The one of a store; `None` where it sets no limit.
    ///
    /// # Errors
    /// Status 3 when its windows cannot be had.
    pub fn of(store: &Store) -> Result<Option<Quota>, Failure> {
        let Some(limit) = store.config().send.rate else { return Ok(None) };
        Ok(Some(Quota { windows: Shared::new(store.rate_dir()?, PLAIN_FIELD, limit)?, limit }))
    }

    /// Takes one from its sender's window for each draft that is going to be stored, in their order; with `is_strict` up to the first
    /// refusal. A message that is stored already, under an id that its sender chose, is not stored again: it takes nothing and is never
    /// over the limit, so that a retry gets its answer.
    pub fn decide(&mut self, journal: &Journal, drafts: &[Draft], is_strict: bool) -> Vec<Result<(), Refusal>> {
        // Where the journal cannot be read, it will not store anything either, and says so itself.
        let mut stored = journal.stored_ids(drafts).unwrap_or_default();
        let mut decided: Vec<Result<(), Refusal>> = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let may_go = match decided.last() {
                Some(Err(_)) if is_strict => break,
                _ if draft.id_is_own && stored.contains(draft.msg_id.as_str()) => Ok(()),
                // Windows that cannot be used: once is enough.
                Some(Err(refusal)) if refusal.status == answer::FAILED => Err(refusal.clone()),
                _ => self.take(&draft.sender_id),
            };
            if draft.id_is_own && may_go.is_ok() {
                stored.insert(&draft.msg_id);
            }
            decided.push(may_go);
        }
        decided
    }

    fn take(&mut self, sender_id: &str) -> Result<(), Refusal> {
        // Ids are unique without regard to case, and so are their windows.
        let key = sender_id.to_ascii_lowercase();
        let answer = self.windows.take(Key::Of(key.as_bytes()), 1, &mut |words| exit::say(NAME, words)).map_err(|failure| Refusal {
            status: answer::FAILED,
            failure,
            retry_after_ms: None,
        })?;
        let Taken::No { retry_after } = answer.taken else { return Ok(()) };
        // Rounded up: a millisecond early would be refused again.
        let ms = u64::try_from(retry_after.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let failure = Failure::no(format!("{sender_id} is over the limit of {}", self.limit)).hint(format!("again in {ms} ms"));
        Err(Refusal { retry_after_ms: Some(ms), ..failure.into() })
    }
}
