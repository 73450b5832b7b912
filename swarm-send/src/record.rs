//! What is read back from the journal's lines: a message that is to be delivered again, and what became of one.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::deliver::block::Letter;
use crate::deliver::{Block, Word};

/// What every record says.
#[derive(Debug, Deserialize)]
pub struct Head<'a> {
    /// Its type.
    #[serde(borrow)]
    pub msg_type: Cow<'a, str>,
    /// Who sent it.
    #[serde(borrow, default)]
    pub sender_id: Cow<'a, str>,
    /// The message that it is about.
    #[serde(borrow, default)]
    pub reply_to: Cow<'a, str>,
}

/// The head of a record; `None` of what is none.
pub fn head(record: &[u8]) -> Option<Head<'_>> {
    serde_json::from_slice(record).ok()
}

/// What a DELIVERY says.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message's place.
    pub seq: u64,
    /// When it was written down.
    pub at: String,
    /// What became of it, for each.
    pub outcomes: Vec<Outcome>,
}

/// What became of a message for one agent.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose it is.
    pub agent_id: String,
    /// What became of it.
    pub word: Word,
    /// Why it is not `delivered`.
    pub why: Option<String>,
}

#[derive(Deserialize)]
struct With<T> {
    #[serde(default)]
    timestamp: String,
    data: T,
}

#[derive(Deserialize)]
struct Outcomes {
    seq: u64,
    outcomes: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    agent_id: String,
    outcome: String,
    #[serde(default)]
    why: Option<String>,
}

fn with<T: DeserializeOwned>(record: &[u8]) -> Option<With<T>> {
    serde_json::from_slice(record).ok()
}

/// What a DELIVERY says; `None` where it is garbage.
pub fn delivery(record: &[u8]) -> Option<Delivery> {
    let With { timestamp, data: Outcomes { seq, outcomes } } = with(record)?;
    let outcomes =
        outcomes.into_iter().filter_map(|One { agent_id, outcome, why }| Some(Outcome { agent_id, word: Word::parse(&outcome)?, why }));
    Some(Delivery { seq, at: timestamp, outcomes: outcomes.collect() })
}

/// The agent that a RETRY has reached.
pub fn retried(record: &[u8]) -> Option<String> {
    let With { data: One { agent_id, outcome, .. }, .. } = with(record)?;
    matches!(Word::parse(&outcome)?, Word::Delivered | Word::Unconfirmed).then_some(agent_id)
}

/// What is shown of a message.
#[derive(Deserialize)]
struct Shown {
    msg_type: String,
    sender_id: String,
    #[serde(default)]
    requires_ack: bool,
    #[serde(default)]
    data: Option<serde_json::Value>,
    #[serde(default)]
    content: String,
}

/// What is typed of a message, and with `retry`, how often it was sent again by then; `None` where `members`, its record without the opening brace, is none. Where it has no text, its data are shown.
pub fn block(members: &[u8], seq: u64, msg_id: &str, retry: Option<u32>) -> Option<Block> {
    let record = [b"{", members].concat();
    let Shown { msg_type, sender_id, requires_ack, data, content } = serde_json::from_slice(&record).ok()?;
    let data = data.filter(|_| content.trim().is_empty()).map(|data| data.to_string());
    let content = data.as_deref().unwrap_or(&content);
    Some(Block::message(&Letter { from: &sender_id, msg_type: &msg_type, seq, msg_id, requires_ack, retry, content }))
}
