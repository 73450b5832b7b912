//! What became of a message for each recipient, as JSON: in the answers, and in the journal as DELIVERY records (DESIGN 8).

use swarm_common::journal::Draft;
use swarm_common::json::{self, Object};
use swarm_common::message::Ids;
use swarm_common::record::TYPE_DELIVERY;
use swarm_common::registry::Route;

use crate::deliver::{Outcome, Word};

/// A record has at most 64 KiB, and its head and its end are small. What takes more is told in several records.
const OUTCOMES_BYTES_MAX: usize = 60 * 1024;

/// So many recipients are named in the words for people.
const NAMED_MAX: usize = 4;

/// What became of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What became of it.
    pub outcome: Outcome,
    /// Only its agent was woken; the message itself was not typed.
    pub is_wake: bool,
}

impl Told {
    /// True if the same became of both.
    fn is_like(&self, other: &Told) -> bool {
        (self.outcome.word, &self.outcome.why, self.is_wake) == (other.outcome.word, &other.outcome.why, other.is_wake)
    }

    /// `{"agent_id":"a","outcome":"queued","why":"shell"}`
    pub fn write(&self) -> Vec<u8> {
        let Outcome { agent_id, word, why } = &self.outcome;
        let object = Object::new().text("agent_id", agent_id).text("outcome", word.text()).text("why", why.as_deref().unwrap_or_default());
        object.text("route", if self.is_wake { Route::Wake.word() } else { "" }).end()
    }
}

/// A list of them, with its brackets.
pub fn list(told: &[Told]) -> Vec<u8> {
    let items: Vec<Vec<u8>> = told.iter().map(Told::write).collect();
    [b"[", items.join(&b","[..]).as_slice(), b"]"].concat()
}

/// The message that was delivered, or not.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Its place in the journal.
    pub seq: u64,
    /// Its id.
    pub msg_id: &'a str,
    /// Who sent it.
    pub sender_id: &'a str,
}

/// The records of one message: one, but for hundreds of recipients with long names. Each of them is whole: its counts are of its own outcomes.
pub fn drafts(of: Of<'_>, told: &[Told], ids: &mut Ids) -> Vec<Draft> {
    let parts = parts(told);
    let count = parts.len();
    parts.into_iter().enumerate().map(|(n, part)| draft(of, part, (count > 1).then_some((n + 1, count)), ids)).collect()
}

/// Cut so that each fits into a record.
fn parts(told: &[Told]) -> Vec<&[Told]> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (n, one) in told.iter().enumerate() {
        let more = one.write().len() + 1;
        if bytes + more > OUTCOMES_BYTES_MAX {
            parts.push(&told[start..n]);
            (start, bytes) = (n, 0);
        }
        bytes += more;
    }
    parts.push(&told[start..]);
    parts
}

fn draft(Of { seq, msg_id, sender_id }: Of<'_>, told: &[Told], part: Option<(usize, usize)>, ids: &mut Ids) -> Draft {
    let mut body = format!("\"msg_type\":\"{TYPE_DELIVERY}\",\"sender_id\":").into_bytes();
    json::write_string(sender_id, &mut body);
    body.extend_from_slice(b",\"reply_to\":");
    json::write_string(msg_id, &mut body);
    body.extend_from_slice(format!(",\"data\":{{\"seq\":{seq}").as_bytes());
    if let Some((part, parts)) = part {
        body.extend_from_slice(format!(",\"part\":{part},\"parts\":{parts}").as_bytes());
    }
    body.extend_from_slice(b",\"outcomes\":");
    body.extend_from_slice(&list(told));
    let counts = counts(told).into_iter().fold(Object::new(), |object, (word, count)| object.plain(word.text(), Some(count)));
    body.extend_from_slice(b",\"counts\":");
    body.extend_from_slice(&counts.end());
    body.extend_from_slice(b"},\"content\":");
    json::write_string(&format!("seq {seq}: {}", words(told)), &mut body);
    body.push(b'}');
    Draft { msg_id: ids.make(), id_is_own: false, sender_id: sender_id.to_string(), body }
}

/// How many of each outcome there are.
fn counts(told: &[Told]) -> Vec<(Word, usize)> {
    let words = [Word::Delivered, Word::Unconfirmed, Word::Queued, Word::Refused];
    let count = |word| told.iter().filter(|told| told.outcome.word == word).count();
    words.into_iter().map(|word| (word, count(word))).filter(|&(_, count)| count > 0).collect()
}

/// `delivered to ann; queued for bob (shell)`, or `98 delivered, 2 queued`.
pub fn words(told: &[Told]) -> String {
    if told.is_empty() {
        return "nobody was there".into();
    }
    if told.len() > NAMED_MAX {
        let counts: Vec<String> = counts(told).into_iter().map(|(word, count)| format!("{count} {}", word.text())).collect();
        return counts.join(", ");
    }
    let words = told.chunk_by(|a, b| a.is_like(b)).map(|alike| {
        let Told { outcome: Outcome { word, why, .. }, is_wake } = &alike[0];
        let names: Vec<&str> = alike.iter().map(|told| told.outcome.agent_id.as_str()).collect();
        let to = if *word == Word::Delivered { "to" } else { "for" };
        let wake = if *is_wake { " (a wake)" } else { "" };
        let why = why.as_deref().map_or(String::new(), |why| format!(" ({why})"));
        format!("{} {to} {}{wake}{why}", word.text(), names.join(", "))
    });
    words.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::why;
    use swarm_common::ndjson::LINE_BYTES_MAX;

    fn told(agent_id: &str, word: Word, why: &'static str) -> Told {
        let outcome = if why.is_empty() { Outcome::delivered(agent_id) } else { Outcome::of(agent_id, word, why) };
        Told { outcome, is_wake: false }
    }

    fn records(told: &[Told]) -> Vec<serde_json::Value> {
        let of = Of { seq: 7, msg_id: "m\"1", sender_id: "agent-0" };
        let drafts = drafts(of, told, &mut Ids::default());
        for draft in &drafts {
            assert!(swarm_common::journal::head_bytes(&draft.msg_id) + draft.body.len() <= LINE_BYTES_MAX);
        }
        drafts.iter().map(|draft| serde_json::from_slice(&[b"{".to_vec(), draft.body.clone()].concat()).unwrap()).collect()
    }

    #[test]
    fn a_record_names_the_message_and_each_recipients_outcome() {
        let told =
            [told("a", Word::Delivered, ""), told("b", Word::Queued, why::SHELL), Told { is_wake: true, ..told("c", Word::Delivered, "") }];
        let expected = serde_json::json!({"msg_type": "DELIVERY", "sender_id": "agent-0", "reply_to": "m\"1", "data": {"seq": 7, "outcomes": [
            {"agent_id": "a", "outcome": "delivered"}, {"agent_id": "b", "outcome": "queued", "why": "shell"},
            {"agent_id": "c", "outcome": "delivered", "route": "wake"}], "counts": {"delivered": 2, "queued": 1}},
            "content": "seq 7: delivered to a; queued for b (shell); delivered to c (a wake)"});
        assert_eq!(records(&told), [expected]);
        let inbox = ["a", "b"].map(|id| self::told(id, Word::Queued, why::INBOX));
        assert_eq!(records(&inbox)[0]["content"], "seq 7: queued for a, b (inbox)");
        assert_eq!(records(&[])[0]["data"], serde_json::json!({"seq": 7, "outcomes": [], "counts": {}}));
    }

    #[test]
    fn any_number_of_recipients_fits_into_records_and_each_is_there_once() {
        for (count, length, why, expected) in
            [(1024, 10, "", 1), (1024, 10, why::SHELL, 2), (1024, 64, "", 2), (3000, 64, why::NO_SIGN, 7), (5, 3, why::NO_SIGN, 1)]
        {
            let name = |n: usize| format!("{n:0length$}");
            let all: Vec<Told> = (0..count).map(|n| told(&name(n), Word::Unconfirmed, why)).collect();
            let records = records(&all);
            assert_eq!(records.len(), expected, "{count} of {length}");
            let (mut names, mut counted) = (Vec::new(), 0);
            for (n, record) in records.iter().enumerate() {
                let data = &record["data"];
                names.extend(data["outcomes"].as_array().unwrap().iter().map(|one| one["agent_id"].as_str().unwrap().to_string()));
                counted += data["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
                let part = if records.len() == 1 { serde_json::Value::Null } else { serde_json::json!(n + 1) };
                assert_eq!(data["part"], part);
            }
            assert_eq!((names, counted), ((0..count).map(name).collect::<Vec<_>>(), count as u64));
        }
    }
}
