//! What was not acknowledged in time: what is to be done about it, and the records that say that it was done. It opens nothing and knows no clock;
//! that it follows from the journal alone is [`Pending`]'s.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use swarm_common::journal::Draft;
use swarm_common::json::Object;
use swarm_common::message::Ids;
use swarm_common::pending::{Pending, Step, Waiting};
use swarm_common::record::{TYPE_ESCALATION, TYPE_RETRY};

use crate::delivery::{self, Of, Told};

/// Why a message is brought before everyone: it was sent again as often as it should be.
pub const NO_ACKNOWLEDGEMENT: &str = "no acknowledgement";

/// Why: whom it asks has ended.
pub const GONE: &str = "gone";

/// A record has at most 64 KiB. Where the ids of who did not acknowledge take more than this, it is several records; where those of its recipients
/// would, it is for everybody.
pub const IDS_BYTES_MAX: usize = 24 * 1024;

/// So much of the message is shown to who is told of it.
const EXCERPT_BYTES_MAX: usize = 2000;

/// So many agents are named in the words for people.
const NAMED_MAX: usize = 4;

/// How it stands with one who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has not read the message, as far as anybody knows.
    Unread,
    /// It has read it in its inbox.
    Read,
    /// It has ended.
    Gone,
    /// Nobody can tell now: its record cannot be read.
    Unknown,
}

/// A message to be sent again to one agent.
#[derive(Clone, Copy, Debug)]
pub struct Again<'p> {
    /// Which, and to whom.
    pub waiting: Waiting<'p>,
    /// How often by then.
    pub count: u32,
    /// It has read it: it is reminded.
    pub is_read: bool,
}

/// A message to be brought before everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation<'p> {
    /// The message's place.
    pub seq: u64,
    /// The message's id.
    pub msg_id: &'p str,
    /// Who sent it.
    pub sender_id: &'p str,
    /// Who has not acknowledged it.
    pub agent_ids: Vec<&'p str>,
    /// How often it was sent again to the one who was asked oftenest.
    pub tries: u32,
    /// [`NO_ACKNOWLEDGEMENT`] or [`GONE`].
    pub why: &'static str,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub struct Plan<'p> {
    /// The oldest message first.
    pub again: Vec<Again<'p>>,
    /// The oldest message first.
    pub escalations: Vec<Escalation<'p>>,
    /// So much more is due.
    pub rest: usize,
}

impl Plan<'_> {
    /// True if there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.again.is_empty() && self.escalations.is_empty()
    }

    /// How much is to be done.
    pub fn count(&self) -> usize {
        self.again.len() + self.escalations.len()
    }
}

/// Says what is to be done at this moment, of the oldest messages first, and no more than `count_max` of it.
pub fn plan<'p>(
    pending: &'p Pending,
    retry: &[Duration],
    now: Timestamp,
    count_max: usize,
    presence: &mut dyn FnMut(&Waiting<'p>) -> Presence,
) -> Plan<'p> {
    let mut plan = Plan::default();
    let mut escalations: BTreeMap<(u64, &'static str), Escalation<'p>> = BTreeMap::new();
    for waiting in pending.all() {
        let Some(next_at) = waiting.next_at(retry, now) else { continue };
        let is_due = next_at <= now;
        let is_read = match presence(&waiting) {
            Presence::Unknown => continue,
            Presence::Gone => None,
            _ if !is_due => continue,
            found => Some(found == Presence::Read),
        };
        let why = match (is_read, waiting.step(retry)) {
            (Some(is_read), Step::Retry(count)) => {
                if plan.again.len() + escalations.len() < count_max {
                    plan.again.push(Again { waiting, count, is_read });
                } else {
                    plan.rest += 1;
                }
                continue;
            }
            (Some(_), Step::Escalate) => NO_ACKNOWLEDGEMENT,
            (None, _) => GONE,
        };
        let Waiting { msg_id, seq, sender_id, agent_id, tries, .. } = waiting;
        if let Some(known) = escalations.get_mut(&(seq, why)) {
            known.agent_ids.push(agent_id);
            known.tries = known.tries.max(tries);
        } else if plan.again.len() + escalations.len() < count_max {
            escalations.insert((seq, why), Escalation { seq, msg_id, sender_id, agent_ids: vec![agent_id], tries, why });
        } else {
            plan.rest += 1;
        }
    }
    plan.escalations = escalations.into_values().flat_map(parts).collect();
    plan
}

/// Cut so that each fits into a record.
fn parts(whole: Escalation<'_>) -> Vec<Escalation<'_>> {
    let (mut parts, mut bytes) = (vec![Escalation { agent_ids: Vec::new(), ..whole.clone() }], 0);
    for id in whole.agent_ids {
        if bytes + id.len() + 3 > IDS_BYTES_MAX {
            parts.push(Escalation { agent_ids: Vec::new(), ..parts[0].clone() });
            bytes = 0;
        }
        bytes += id.len() + 3;
        parts.last_mut().into_iter().for_each(|part| part.agent_ids.push(id));
    }
    parts
}

/// The record that says that a message was sent again to one agent, and what became of it. An agent that has read the message finds this record in
/// its inbox.
pub fn retry_draft(of: Of<'_>, told: &Told, count: u32, is_read: bool, ids: &mut Ids) -> Draft {
    let Of { seq, msg_id, sender_id } = of;
    let told_of_it = Object::new().plain("seq", Some(seq)).plain("try", Some(count));
    let data =
        [told_of_it.end().strip_suffix(b"}").unwrap_or_default(), b",", told.write().strip_prefix(b"{").unwrap_or_default()].concat();
    let reader = is_read.then_some(told.outcome.agent_id.as_str());
    let words = if is_read {
        format!("of {sender_id} is read, and not acknowledged: swarm-ack {msg_id}")
    } else {
        delivery::words(std::slice::from_ref(told))
    };
    draft(TYPE_RETRY, sender_id, reader, msg_id, &data, &format!("seq {seq}, retry {count}: {words}"), ids)
}

/// The record that brings a message before these. `msg_type` and `content` are the message's own.
pub fn escalation_draft(escalation: &Escalation<'_>, recipients: &[String], msg_type: &str, content: &str, ids: &mut Ids) -> Draft {
    let Escalation { seq, msg_id, sender_id, agent_ids, tries, why } = escalation;
    let data = Object::new().plain("seq", Some(seq)).list("agent_ids", agent_ids.iter().copied()).text("why", why).end();
    let shown = agent_ids.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let names = match agent_ids.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    };
    let words = match (*why, tries) {
        (GONE, _) => format!("{names}: gone, and has not acknowledged it"),
        (_, 1) => format!("no acknowledgement of {names} after 1 retry"),
        _ => format!("no acknowledgement of {names} after {tries} retries"),
    };
    let excerpt = match excerpt(content) {
        "" => String::new(),
        excerpt if excerpt.len() < content.len() => format!("\n{excerpt}..."),
        excerpt => format!("\n{excerpt}"),
    };
    let words = format!("seq {seq}, {msg_type} from {sender_id}: {words}{excerpt}");
    draft(TYPE_ESCALATION, sender_id, recipients.iter().map(String::as_str), msg_id, &data, &words, ids)
}

fn excerpt(content: &str) -> &str {
    let end = (0..=content.len().min(EXCERPT_BYTES_MAX)).rev().find(|&at| content.is_char_boundary(at)).unwrap_or(0);
    &content[..end]
}

fn draft<'a>(
    msg_type: &str,
    sender_id: &str,
    recipients: impl IntoIterator<Item = &'a str>,
    reply_to: &str,
    data: &[u8],
    content: &str,
    ids: &mut Ids,
) -> Draft {
    let recipients: Vec<&str> = recipients.into_iter().collect();
    let mut object = Object::new().text("msg_type", msg_type).text("sender_id", sender_id);
    if !recipients.is_empty() {
        object = object.list("recipients", recipients);
    }
    let record = object.text("reply_to", reply_to).json("data", data).text("content", content).end();
    let body = record.strip_prefix(b"{").unwrap_or_default().to_vec();
    Draft { msg_id: ids.make(), id_is_own: false, sender_id: sender_id.to_string(), body }
}

#[cfg(test)]
#[path = "overdue_tests.rs"]
mod tests;
