//! What is queued: which messages wait for which recipients. It follows from the journal alone (DESIGN 3, "One truth"); whether the agent has
//! read one meanwhile, or is there at all, is asked when it is tried again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use swarm_common::fold::State;
use swarm_common::message::TYPE_ACK;
use swarm_common::record::{TYPE_DELIVERY, TYPE_RETRY};
use swarm_common::time;

use crate::deliver::{Word, why};
use crate::record::{self, Delivery, Head};

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
    /// How often it was tried.
    pub count: u32,
}

impl Queue {
    /// What waits, the oldest first: of messages sent since `since`, and tried so long ago that another try is due at `now`; without `now`, however
    /// lately.
    pub fn due(&self, since: Timestamp, now: Option<Timestamp>) -> Vec<Due> {
        let mut due: Vec<Due> = Vec::new();
        for (msg_id, Waiting { seq, tries }) in &self.waiting {
            let of = |(agent_id, tries): (&String, &Tries)| Due {
                seq: *seq,
                agent_id: agent_id.clone(),
                msg_id: msg_id.clone(),
                count: tries.count,
            };
            due.extend(tries.iter().filter(|(_, tries)| tries.is_due(since, now)).map(of));
        }
        due.sort_unstable();
        due
    }

    /// How often this message was tried for this agent (in lower case), if it waits.
    pub fn count(&self, msg_id: &str, agent_id: &str) -> Option<u32> {
        Some(self.waiting.get(msg_id)?.tries.get(agent_id)?.count)
    }

    fn delivery(&mut self, msg_id: &str, delivery: &Delivery) {
        let Delivery { seq, at, outcomes } = delivery;
        for record::Outcome { agent_id, word, why } in outcomes {
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
    type Digest = ();

    fn digest(&self) {}

    fn wants(msg_type: &[u8], _: &[u8]) -> bool {
        [TYPE_DELIVERY, TYPE_RETRY, TYPE_ACK].iter().any(|wanted| wanted.as_bytes() == msg_type)
    }

    fn take(&mut self, seq: u64, record: &[u8]) {
        // What is none of these, or garbage, says nothing of deliveries.
        let Some(Head { msg_type, sender_id, reply_to }) = record::head(record) else { return };
        match msg_type.as_ref() {
            TYPE_DELIVERY => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    /// At so many seconds after a moment.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn take(queue: &mut Queue, seq: u64, record: serde_json::Value) {
        queue.take(seq, record.to_string().as_bytes());
    }

    /// What became of message `seq`, whose id is `m` and the seq, for one agent.
    fn delivery(queue: &mut Queue, seconds: i64, seq: u64, agent_id: &str, outcome: &str, why: &str) {
        let outcome = if why.is_empty() {
            json!({"agent_id": agent_id, "outcome": outcome})
        } else {
            json!({"agent_id": agent_id, "outcome": outcome, "why": why})
        };
        let record = json!({"msg_type": "DELIVERY", "timestamp": time::write(at(seconds)), "reply_to": format!("m{seq}"),
            "data": {"seq": seq, "outcomes": [outcome]}});
        take(queue, 100, record);
    }

    fn due(queue: &Queue, now: Option<i64>) -> Vec<(u64, String)> {
        queue.due(at(-1000), now.map(at)).into_iter().map(|due| (due.seq, due.agent_id)).collect()
    }

    #[test]
    fn what_is_queued_waits_until_it_is_typed_refused_or_acknowledged() {
        let queued = || {
            let mut queue = Queue::default();
            delivery(&mut queue, 0, 7, "Ann", "queued", "shell");
            assert_eq!(due(&queue, None), [(7, "ann".into())]);
            queue
        };
        for (outcome, why) in [("delivered", ""), ("unconfirmed", "tmux did not answer"), ("refused", "gone"), ("queued", "inbox")] {
            let mut queue = queued();
            delivery(&mut queue, 1, 7, "ANN", outcome, why);
            assert_eq!(queue, Queue::default(), "{outcome} {why}");
        }
        for (msg_type, agent) in [("ACK", "sender_id"), ("RETRY", "data")] {
            let mut queue = queued();
            let mut record = json!({"msg_type": msg_type, "sender_id": "zed", "reply_to": "m7"});
            record[agent] = if agent == "data" { json!({"agent_id": "Ann", "try": 1, "outcome": "delivered"}) } else { json!("ann") };
            take(&mut queue, 101, record);
            assert_eq!(due(&queue, None), [], "{msg_type}");
        }
        let mut queue = queued();
        take(&mut queue, 101, json!({"msg_type": "RETRY", "reply_to": "m7", "data": {"agent_id": "ann", "outcome": "queued"}}));
        take(&mut queue, 102, json!({"msg_type": "ACK", "sender_id": "bob", "reply_to": "m7", "data": {"outcomes": 7, "seq": "x"}}));
        assert_eq!(due(&queue, None).len(), 1, "nobody typed it, and another has read it");
        queue.forget_before(8);
        assert_eq!(due(&queue, None), []);
    }

    #[test]
    fn what_was_acknowledged_before_it_was_written_down_as_queued_does_not_wait() {
        let mut queue = Queue::default();
        take(&mut queue, 50, json!({"msg_type": "ACK", "sender_id": "ANN", "reply_to": "m7"}));
        delivery(&mut queue, 0, 7, "ann", "queued", "draft");
        delivery(&mut queue, 0, 7, "bob", "queued", "draft");
        assert_eq!(due(&queue, None), [(7, "bob".into())]);
    }

    #[test]
    fn each_try_in_vain_doubles_the_pause_up_to_five_minutes_and_a_clock_set_back_does_not_stop_it() {
        let mut queue = Queue::default();
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            delivery(&mut queue, now, 7, "ann", "queued", "shell");
            assert_eq!((due(&queue, Some(now)).len(), due(&queue, Some(now + pause - 1)).len()), (0, 0), "{pause}");
            assert_eq!((due(&queue, Some(now + pause)).len(), due(&queue, Some(now - 3600)).len()), (1, 1), "{pause}");
            now += pause;
        }
        assert_eq!(queue.due(at(1), None), [], "it was sent before that");
        assert_eq!(queue.due(at(0), None).len(), 1);
    }

    #[test]
    fn of_too_many_the_oldest_wait_no_longer() {
        let mut queue = Queue::default();
        for seq in 1..=WAITING_MAX as u64 + 10 {
            delivery(&mut queue, 0, seq, "ann", "queued", "shell");
        }
        let due = due(&queue, None);
        assert_eq!((due.len(), due[0].0), (WAITING_MAX, 11));
    }

    #[test]
    fn garbage_says_nothing() {
        let mut queue = Queue::default();
        for garbage in ["", "{}", "[]", "{\"msg_type\":\"DELIVERY\"}", "{\"msg_type\":\"DELIVERY\",\"data\":{\"seq\":-1,\"outcomes\":7}}"] {
            queue.take(1, garbage.as_bytes());
        }
        assert_eq!(queue, Queue::default());
    }

    proptest! {
        #[test]
        fn the_newest_outcome_for_each_recipient_decides(
            steps in prop::collection::vec((1u64..6, 0usize..3, 0usize..5, any::<bool>()), 0..60), oldest in 0u64..6,
        ) {
            let words = [("queued", "shell"), ("queued", "inbox"), ("delivered", ""), ("refused", "gone"), ("queued", "not registered")];
            let (mut queue, mut naive) = (Queue::default(), BTreeSet::new());
            for (seq, agent, word, is_saved) in steps {
                let (agent, (word, why)) = (["a", "B", "c"][agent], words[word]);
                delivery(&mut queue, 0, seq, agent, word, why);
                let key = (seq, agent.to_ascii_lowercase());
                if word == "queued" && why != "inbox" { naive.insert(key); } else { naive.remove(&key); }
                if is_saved {
                    queue = serde_json::from_slice(&serde_json::to_vec(&queue).unwrap()).unwrap();
                }
            }
            queue.forget_before(oldest);
            naive.retain(|(seq, _)| *seq >= oldest);
            prop_assert_eq!(due(&queue, None), naive.into_iter().collect::<Vec<_>>());
        }
    }
}
