//! Which agents were woken: one that has not read its inbox since is not woken again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use swarm_common::fold::State;
use swarm_common::time;

use crate::deliver::Word;
use crate::{delivery, record};

/// The latest wake of each agent.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wakes(BTreeMap<String, Wake>);

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Wake {
    /// The last message that it was woken for.
    seq: u64,
    /// When it was woken last.
    at: String,
}

impl Wakes {
    /// True if the agent was woken, since `registered_at` (a wake before that went to another process), for a message that it has not read: the next
    /// one it will read is `next_seq`.
    pub fn is_unread(&self, agent_id: &str, registered_at: Timestamp, next_seq: Option<u64>) -> bool {
        let Some(Wake { seq, at }) = self.0.get(&agent_id.to_ascii_lowercase()) else { return false };
        next_seq.is_none_or(|next_seq| next_seq <= *seq) && time::timestamp(at.as_bytes()).is_none_or(|at| at >= registered_at)
    }
}

impl State for Wakes {
    const NAME: &'static str = "wakes";

    fn wants(msg_type: &[u8], rest: &[u8]) -> bool {
        msg_type == delivery::TYPE.as_bytes() && memchr::memmem::find(rest, b"\"route\":\"wake\"").is_some()
    }

    fn take(&mut self, _: u64, record: &[u8]) {
        let Some(head) = record::head(record) else { return };
        let Some(delivery) = record::delivery(record).filter(|_| head.msg_type == delivery::TYPE) else { return };
        for outcome in delivery.outcomes {
            if outcome.is_wake && matches!(outcome.word, Word::Delivered | Word::Unconfirmed) {
                let wake = self.0.entry(outcome.agent_id.to_ascii_lowercase()).or_default();
                // A retry may be of an earlier message.
                wake.seq = wake.seq.max(delivery.seq);
                wake.at.clone_from(&delivery.at);
            }
        }
    }

    fn forget_before(&mut self, oldest_seq: u64) {
        self.0.retain(|_, wake| wake.seq >= oldest_seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn woken(wakes: &mut Wakes, seconds: i64, seq: u64, outcome: serde_json::Value) {
        let record = json!({"msg_type": "DELIVERY", "timestamp": time::write(at(seconds)), "data": {"seq": seq, "outcomes": [outcome]}});
        wakes.take(100, record.to_string().as_bytes());
    }

    #[test]
    fn a_wake_is_unread_until_the_inbox_is_read_past_its_message_or_another_process_has_the_name() {
        let mut wakes = Wakes::default();
        assert!(!wakes.is_unread("ann", at(0), None));
        woken(&mut wakes, 10, 7, json!({"agent_id": "Ann", "outcome": "unconfirmed", "route": "wake"}));
        assert!(wakes.is_unread("ANN", at(0), None) && wakes.is_unread("ann", at(0), Some(7)));
        assert!(!wakes.is_unread("ann", at(0), Some(8)) && !wakes.is_unread("ann", at(11), None) && !wakes.is_unread("bob", at(0), None));
        woken(&mut wakes, 20, 5, json!({"agent_id": "ann", "outcome": "delivered", "route": "wake"}));
        assert!(wakes.is_unread("ann", at(15), Some(7)), "of an earlier message, and later");
        wakes.forget_before(8);
        assert!(!wakes.is_unread("ann", at(0), None));
    }

    #[test]
    fn what_was_not_typed_or_typed_as_a_whole_is_no_wake() {
        let mut wakes = Wakes::default();
        for outcome in [
            json!({"agent_id": "ann", "outcome": "delivered"}),
            json!({"agent_id": "ann", "outcome": "queued", "why": "unread"}),
            json!({"agent_id": "ann", "outcome": "queued", "why": "shell", "route": "wake"}),
        ] {
            woken(&mut wakes, 10, 7, outcome);
        }
        assert_eq!(wakes, Wakes::default());
        assert!(
            Wakes::wants(b"DELIVERY", b"\",\"data\":{\"route\":\"wake\"}")
                && !Wakes::wants(b"DELIVERY", b"")
                && !Wakes::wants(b"INFO", b"")
        );
    }
}
