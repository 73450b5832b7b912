//! Whether a message may go: whose it is, what it may be, and how many its sender may send. No journal here.

use swarm_common::exit::{self, Failure};
use swarm_common::identity;
use swarm_common::message::{Accepted, Ids, Message};
use swarm_common::store::Store;
use swarm_ratelimit::shared::Shared;
use swarm_ratelimit::spec::Limit;
use swarm_ratelimit::window::{Key, Taken};

use crate::answer::Refusal;
use crate::cli::NAME;

/// What every message of a call has to pass.
pub struct Gate {
    own: Option<String>,
    is_forced: bool,
    defaults: Message,
    rate: Option<(Shared, Limit)>,
    ids: Ids,
}

impl Gate {
    /// For messages of `own`, filled up from `defaults`, under the store's `[send] rate`.
    ///
    /// # Errors
    /// Status 2 when the configured rate is none; 3 when its windows cannot be had.
    pub fn new(store: &Store, own: Option<String>, is_forced: bool, defaults: Message) -> Result<Gate, Failure> {
        let rate = match store.config().send.rate.as_deref() {
            None => None,
            Some(text) => {
                let limit = Limit::parse(text).map_err(|mut failure| {
                    failure.what = format!("{}: [send] rate: {}", store.dir().join("config.toml").display(), failure.what);
                    failure
                })?;
                Some((Shared::new(store.rate_dir()?, swarm_ratelimit::shared::PLAIN_FIELD, limit)?, limit))
            }
        };
        Ok(Gate { own, is_forced, defaults, rate, ids: Ids::default() })
    }

    /// Lets a message through, ready to be stored.
    ///
    /// # Errors
    /// Why it is refused. A message over the rate is not counted.
    pub fn pass(&mut self, mut message: Message) -> Result<Accepted, Refusal> {
        message.fill(&self.defaults);
        self.sign(&mut message)?;
        let accepted = message.accept(&mut self.ids)?;
        if let Some((windows, limit)) = &mut self.rate {
            // Ids are unique without regard to case, and so are their windows.
            let key = accepted.draft.sender_id.to_ascii_lowercase();
            let answer = windows.take(Key::Of(key.as_bytes()), 1, &mut |words| exit::say(NAME, words))?;
            if let Taken::No { retry_after } = answer.taken {
                // Rounded up: a millisecond early would be refused again.
                let ms = u64::try_from(retry_after.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
                let failure =
                    Failure::no(format!("{} is over the limit of {limit}", accepted.draft.sender_id)).hint(format!("again in {ms} ms"));
                return Err(Refusal { retry_after_ms: Some(ms), ..failure.into() });
            }
        }
        Ok(accepted)
    }

    /// Puts the sender's name on it.
    fn sign(&self, message: &mut Message) -> Result<(), Failure> {
        let Some(own) = &self.own else { return Ok(()) };
        match &message.sender_id {
            Some(other) if !identity::is_same(other, own) => {
                if !self.is_forced {
                    return Err(Failure::wrong(format!("sender_id is '{other}', and you are '{own}'"))
                        .hint("leave sender_id out; or --force sends it in that name, and says so in the record"));
                }
                message.forced_by = Some(own.clone());
            }
            _ => message.sender_id = Some(own.clone()),
        }
        Ok(())
    }
}
