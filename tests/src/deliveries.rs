//! What was sent among agents, what was answered, what the journal holds, and what was typed at them: whether all of that can be true
//! together. It knows nothing of how a message is delivered.
//!
//! For each message and each of its recipients, by the last outcome that the journal has:
//!
//! - `delivered`: it is in the files of that agent exactly once, whole, as it was sent, with Enter right behind it;
//! - `unconfirmed`: at most once;
//! - `queued` and `refused`: nowhere.
//!
//! And it is nowhere else; nothing but messages was typed; and the journal's first outcome is the one that the sender was told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::swarm::outcomes;
use crate::tmux::MARK;
use crate::typed::{self, Message, Piece};

/// A message that somebody sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Who.
    pub from: String,
    /// To whom; nobody twice.
    pub to: Vec<String>,
    /// Its only line.
    pub text: String,
    /// What was answered.
    pub answer: Value,
}

/// What was typed into a pane in which an agent lived.
#[derive(Clone, Debug)]
pub struct Life {
    /// Who lived there.
    pub agent_id: String,
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its terminal went without being read to its end: what was typed last may be missing.
    pub is_cut: bool,
}

/// How many outcomes there were of each word, at the end.
pub type Words = BTreeMap<String, usize>;

/// What cannot be true; how many outcomes there were of each kind.
pub fn faults(sent: &[Sent], journal: &[Value], lives: &[Life]) -> (Vec<String>, Words) {
    let mut faults = Vec::new();
    let mut words = Words::new();
    // Where each message was read: by its seq and whose life it was in.
    let mut read: BTreeMap<(u64, String), Vec<Message>> = BTreeMap::new();
    for life in lives {
        let pieces = typed::pieces(&life.bytes);
        let count = pieces.len();
        for (n, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Message(message) => read.entry((message.seq, life.agent_id.clone())).or_default().push(message),
                Piece::Else(mark) if mark == MARK => {}
                _ if life.is_cut && n + 1 == count => {}
                other => faults.push(format!("{} got {other:?}", life.agent_id)),
            }
        }
    }
    let cut: BTreeSet<&str> = lives.iter().filter(|life| life.is_cut).map(|life| life.agent_id.as_str()).collect();

    for Sent { from, to, text, answer } in sent {
        let (Some(seq), Some(msg_id)) = (answer["seq"].as_u64(), answer["msg_id"].as_str()) else {
            faults.push(format!("{text:?} from {from} was not accepted: {answer}"));
            continue;
        };
        let record = journal.iter().find(|record| record["seq"] == seq);
        if !record.is_some_and(|record| record["msg_id"] == msg_id && record["content"] == **text && record["sender_id"] == **from) {
            faults.push(format!("seq {seq} is {record:?} and not {text:?} from {from}"));
        }
        let of_this = journal.iter().filter(|record| record["msg_type"] == "DELIVERY" && record["reply_to"] == msg_id);
        let told: Vec<(String, String)> = of_this.flat_map(|record| outcomes(&record["data"])).collect();
        let mut answered: BTreeMap<String, String> = BTreeMap::new();
        for (agent_id, outcome) in outcomes(answer) {
            if answered.insert(agent_id.clone(), outcome).is_some() {
                faults.push(format!("seq {seq}: two outcomes for {agent_id}"));
            }
        }
        if !answered.keys().eq(to.iter().collect::<BTreeSet<_>>()) {
            faults.push(format!("seq {seq} went to {to:?} and was answered for {:?}", answered.keys()));
        }
        for (agent_id, outcome) in &answered {
            let tries: Vec<&String> = told.iter().filter(|(id, _)| id == agent_id).map(|(_, outcome)| outcome).collect();
            if tries.first() != Some(&outcome) {
                faults.push(format!("seq {seq} to {agent_id} was answered {outcome} and the journal says {tries:?}"));
            }
            let last = tries.last().unwrap_or(&outcome);
            *words.entry((*last).clone()).or_default() += 1;
            let copies = read.remove(&(seq, agent_id.clone())).unwrap_or_default();
            let is_whole = |message: &Message| message.from == *from && message.lines == [text.as_str()];
            if !copies.iter().all(is_whole) {
                faults.push(format!("seq {seq} to {agent_id} was changed: {copies:?}"));
            }
            let is_entered = copies.iter().all(|copy| copy.is_entered);
            let is_true = match last.split(':').next().unwrap_or_default() {
                "delivered" if cut.contains(agent_id.as_str()) => copies.len() <= 1,
                "delivered" => copies.len() == 1 && is_entered,
                "unconfirmed" => copies.len() <= 1,
                "queued" | "refused" => copies.is_empty(),
                _ => false,
            };
            if !is_true {
                faults.push(format!("seq {seq} to {agent_id} is {last} and was typed {} times, entered: {is_entered}", copies.len()));
            }
        }
    }
    faults.extend(read.into_iter().map(|((seq, agent_id), copies)| format!("seq {seq} is not for {agent_id}, who got it: {copies:?}")));
    (faults, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Two messages that were delivered, and one that was not.
    struct History {
        sent: Vec<Sent>,
        journal: Vec<Value>,
        lives: Vec<Life>,
    }

    fn typed(seq: u64, from: &str, text: &str) -> String {
        format!("\x1b[200~[swarm] from {from}: INFO, seq {seq}. To answer: x\n| {text}\x1b[201~\r")
    }

    fn history() -> History {
        let mut sent = Vec::new();
        let mut journal = Vec::new();
        let mut seq = 0;
        for (from, to, text, outcomes) in [
            ("a", vec!["b", "c"], "one", json!([{"agent_id": "b", "outcome": "delivered"}, {"agent_id": "c", "outcome": "delivered"}])),
            ("b", vec!["a"], "two", json!([{"agent_id": "a", "outcome": "queued", "why": "mode"}])),
            ("c", vec!["b"], "three", json!([{"agent_id": "b", "outcome": "unconfirmed", "why": "tmux did not answer"}])),
        ] {
            seq += 1;
            let id = format!("id-{seq}");
            journal.push(json!({"seq": seq, "msg_id": id, "msg_type": "INFO", "sender_id": from, "content": text}));
            sent.push(Sent {
                from: from.to_string(),
                to: to.into_iter().map(str::to_string).collect(),
                text: text.to_string(),
                answer: json!({"status": "accepted", "seq": seq, "msg_id": id, "outcomes": outcomes}),
            });
            seq += 1;
            journal.push(
                json!({"seq": seq, "msg_id": format!("id-{seq}"), "msg_type": "DELIVERY", "reply_to": id, "data": {"outcomes": outcomes}}),
            );
        }
        let life = |agent_id: &str, bytes: &str| Life { agent_id: agent_id.to_string(), bytes: bytes.into(), is_cut: false };
        let lives = vec![
            life("a", MARK),
            life("b", &(typed(1, "a", "one") + MARK)),
            life("b", &typed(5, "c", "three")),
            life("c", &typed(1, "a", "one")),
        ];
        History { sent, journal, lives }
    }

    fn found(change: impl FnOnce(&mut History)) -> Vec<String> {
        let mut history = history();
        change(&mut history);
        faults(&history.sent, &history.journal, &history.lives).0
    }

    fn drop_last(history: &mut History, life: usize) {
        let _ = history.lives[life].bytes.pop();
    }

    #[test]
    fn what_is_true_has_no_fault() {
        assert_eq!(found(|_| ()), [""; 0]);
        // What may have arrived and did not; what may have arrived without its Enter.
        assert_eq!(found(|history| history.lives[2].bytes.clear()), [""; 0]);
        assert_eq!(found(|history| drop_last(history, 2)), [""; 0]);
        // Tried again, and then delivered.
        let later = json!({"seq": 9, "msg_type": "DELIVERY", "reply_to": "id-3", "data": {"outcomes": [{"agent_id": "a", "outcome": "delivered"}]}});
        assert_eq!(
            found(|history| {
                history.journal.push(later);
                history.lives[0].bytes = typed(3, "b", "two").into();
            }),
            [""; 0]
        );
    }

    #[test]
    fn each_planted_fault_is_found() {
        type Plant = fn(&mut History);
        let plants: [(&str, Plant); 14] = [
            ("a delivered message is in no file", |history| history.lives[1].bytes.clear()),
            ("it is there twice", |history| history.lives[2].bytes = typed(1, "a", "one").into()),
            ("it lacks its Enter", |history| drop_last(history, 3)),
            ("it is in another's file", |history| history.lives[3].agent_id = "a".to_string()),
            ("it was changed", |history| history.lives[3].bytes = typed(1, "a", "another").into()),
            ("it came from another", |history| history.lives[3].bytes = typed(1, "b", "one").into()),
            ("what was queued was typed", |history| history.lives[0].bytes = typed(3, "b", "two").into()),
            ("what is unconfirmed was typed twice", |history| history.lives[2].bytes = typed(5, "c", "three").repeat(2).into()),
            ("something else was typed", |history| history.lives[0].bytes = b"Enter".into()),
            ("two blocks are mixed", |history| {
                let text = typed(1, "a", "one");
                history.lives[3].bytes = format!("{}{}", &text[..20], text).into();
            }),
            ("the journal tells something else", |history| history.journal[1]["data"]["outcomes"][0]["outcome"] = json!("queued")),
            ("the journal tells nothing", |history| drop(history.journal.remove(3))),
            ("the journal lacks the message", |history| drop(history.journal.remove(0))),
            ("a recipient was forgotten", |history| history.sent[0].to.push("d".to_string())),
        ];
        for (what, plant) in plants {
            assert!(!found(plant).is_empty(), "not found: {what}");
        }
    }

    #[test]
    fn the_last_words_of_a_life_that_was_cut_off_may_be_missing_but_no_message_is_there_twice() {
        let cut = |history: &mut History| {
            history.lives[3].is_cut = true;
            let half = history.lives[3].bytes.len() / 2;
            history.lives[3].bytes.truncate(half);
        };
        assert_eq!(found(cut), [""; 0]);
        let twice = |history: &mut History| {
            history.lives[3].is_cut = true;
            history.lives[3].bytes = typed(1, "a", "one").repeat(2).into();
        };
        assert!(!found(twice).is_empty());
    }
}
