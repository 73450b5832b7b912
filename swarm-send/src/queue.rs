//! What is queued: which messages wait for which recipients. It follows from the journal alone (DESIGN 3, "One truth"); whether the agent has
//! read one meanwhile, or is there at all, is asked when it is tried again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use swarm_common::fold::State;
use swarm_common::message::TYPE_ACK;
use swarm_common::time;

use crate::deliver::{Word, why};
use crate::delivery;
use crate::record::{self, Delivery, Head};

/// The type of a repeated delivery, of a message that was not acknowledged.
const TYPE_RETRY: &str = "RETRY";

/// So many messages wait at most. The oldest of more are not tried again; they stay in their recipients' inboxes.
const WAITING_MAX: usize = 4096;

/// Who reads its inbox may acknowledge a message before its sender has written down what became of it. That lasts seconds, so a few are enough.
const EARLY_MAX: usize = 32;

/// What was tried in vain is tried again after this, then after twice as long, and so on.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// And at the latest after this.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The messages that wait.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// By their ids.
    waiting: BTreeMap<String, Waiting>,
    /// The latest acknowledgements of messages that did not wait: seq, message, agent.
    early: VecDeque<(u64, String, String)>,
}

/// A message that waits.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    seq: u64,
    /// By the agents' ids in lower case.
    tries: BTreeMap<String, Tries>,
}

/// How often it was tried in vain.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tries {
    /// When the first one was.
    since: String,
    count: u32,
    /// When the last one was.
    last: String,
}

/// One message for one agent, to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// The message's place in the journal: the oldest first.
    pub seq: u64,
    /// The agent's id, in lower case.
    pub agent_id: String,
    /// The message's id.
    pub msg_id: String,
}

impl Queue {
    /// What waits, the oldest first: of messages sent since `since`, and tried so long ago that another try is due at `now`; without `now`, however
    /// lately.
    pub fn due(&self, since: Timestamp, now: Option<Timestamp>) -> Vec<Due> {
        let mut due: Vec<Due> = Vec::new();
        for (msg_id, Waiting { seq, tries }) in &self.waiting {
            let of = |agent_id: &String| Due { seq: *seq, agent_id: agent_id.clone(), msg_id: msg_id.clone() };
            due.extend(tries.iter().filter(|(_, tries)| tries.is_due(since, now)).map(|(agent_id, _)| of(agent_id)));
        }
        due.sort_unstable();
        due
    }

    fn delivery(&mut self, msg_id: &str, delivery: &Delivery) {
        let Delivery { seq, at, outcomes } = delivery;
        for record::Outcome { agent_id, word, why, .. } in outcomes {
            let agent_id = agent_id.to_ascii_lowercase();
            let waits = *word == Word::Queued && why.as_deref() != Some(why::INBOX);
            if !waits || self.is_acknowledged(msg_id, &agent_id) {
                self.drop(msg_id, &agent_id);
                continue;
            }
            let waiting = self.waiting.entry(msg_id.to_string()).or_insert_with(|| Waiting { seq: *seq, tries: BTreeMap::new() });
            let tries = waiting.tries.entry(agent_id).or_insert_with(|| Tries { since: at.clone(), count: 0, last: String::new() });
            tries.count = tries.count.saturating_add(1);
            tries.last.clone_from(at);
        }
        while self.waiting.len() > WAITING_MAX {
            let oldest = self.waiting.iter().min_by_key(|(_, waiting)| waiting.seq).map(|(msg_id, _)| msg_id.clone());
            oldest.map(|msg_id| self.waiting.remove(&msg_id));
        }
    }

    /// It waits no longer for this agent; false if it did not.
    fn drop(&mut self, msg_id: &str, agent_id: &str) -> bool {
        let Some(waiting) = self.waiting.get_mut(msg_id) else { return false };
        let is_dropped = waiting.tries.remove(agent_id).is_some();
        if waiting.tries.is_empty() {
            self.waiting.remove(msg_id);
        }
        is_dropped
    }

    fn acknowledge(&mut self, seq: u64, msg_id: &str, agent_id: String) {
        if !self.drop(msg_id, &agent_id) {
            self.early.push_back((seq, msg_id.to_string(), agent_id));
            if self.early.len() > EARLY_MAX {
                self.early.pop_front();
            }
        }
    }

    fn is_acknowledged(&self, msg_id: &str, agent_id: &str) -> bool {
        self.early.iter().any(|(_, message, agent)| message == msg_id && agent == agent_id)
    }
}

impl Tries {
    fn is_due(&self, since: Timestamp, now: Option<Timestamp>) -> bool {
        let at = |text: &str| time::timestamp(text.as_bytes()).unwrap_or(Timestamp::UNIX_EPOCH);
        if at(&self.since) < since {
            return false;
        }
        let Some(now) = now else { return true };
        let pause = PAUSE_MIN.saturating_mul(1 << self.count.saturating_sub(1).min(16)).min(PAUSE_MAX);
        let passed = now.duration_since(at(&self.last));
        // The clock was set back: nobody knows how long it is ago.
        passed.is_negative() || passed.unsigned_abs() >= pause
    }
}

impl State for Queue {
    const NAME: &'static str = "queue";

    fn wants(msg_type: &[u8], _: &[u8]) -> bool {
        [delivery::TYPE, TYPE_RETRY, TYPE_ACK].iter().any(|wanted| wanted.as_bytes() == msg_type)
    }

    fn take(&mut self, seq: u64, record: &[u8]) {
        // What is none of these, or garbage, says nothing of deliveries.
        let Some(Head { msg_type, sender_id, reply_to }) = record::head(record) else { return };
        match msg_type.as_ref() {
            delivery::TYPE => {
                if let Some(delivery) = record::delivery(record) {
                    self.delivery(&reply_to, &delivery);
                }
            }
            TYPE_RETRY => {
                if let Some(agent_id) = record::retried(record) {
                    self.drop(&reply_to, &agent_id.to_ascii_lowercase());
                }
            }
            TYPE_ACK => self.acknowledge(seq, &reply_to, sender_id.to_ascii_lowercase()),
            _ => {}
        }
    }

    fn forget_before(&mut self, oldest_seq: u64) {
        self.waiting.retain(|_, waiting| waiting.seq >= oldest_seq);
        self.early.retain(|(seq, ..)| *seq >= oldest_seq);
    }
}
