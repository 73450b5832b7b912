//! All that the journal says of a message, read from its beginning: for who asks about one that does not wait.

use std::collections::{HashMap, HashSet};

use memchr::memmem;
use swarm_common::exit::Failure;
use swarm_common::journal::{Journal, Step};
use swarm_common::record::{self, Asks, Escalation, Record, Retry, TYPE_DELIVERY, TYPE_ESCALATION, TYPE_RETRY};
use swarm_common::{identity, message};
use swarm_send::record::Outcome;
use swarm_send::wait::gone;

/// A message, and what came of it.
#[derive(Debug)]
pub struct Story {
    /// Its id.
    pub msg_id: String,
    /// Its place in the journal.
    pub seq: u64,
    /// When it was accepted.
    pub at: String,
    /// Its type.
    pub msg_type: String,
    /// Who sent it.
    pub sender_id: String,
    /// To whom.
    pub recipients: Vec<String>,
    /// Whom it asks for an acknowledgement.
    pub asked: Asked,
    /// What came of it, in order.
    pub events: Vec<Event>,
}

/// Whom a message asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nobody.
    Nobody,
    /// These.
    These(Vec<String>),
    /// Whoever reads it: it was sent to everybody, and nobody was registered.
    Anybody,
}

/// Something that came of a message.
#[derive(Debug)]
pub struct Event {
    /// Its record's place.
    pub seq: u64,
    /// When it was written.
    pub at: String,
    /// What it was.
    pub what: What,
}

/// What it was.
#[derive(Debug)]
pub enum What {
    /// It was delivered, or not.
    Delivery(Vec<Outcome>),
    /// It was sent again.
    Retry(Retry),
    /// It was acknowledged.
    Ack {
        /// By whom.
        agent_id: String,
        /// The acknowledgement's own id.
        msg_id: String,
        /// Its text.
        content: String,
    },
    /// It was told to everyone.
    Escalation(Escalation),
}

impl Story {
    fn of(seq: u64, record: &Record<'_>) -> Story {
        let asked = match record.asks() {
            Asks::Nobody => Asked::Nobody,
            Asks::These(ids) => Asked::These(ids.to_vec()),
            Asks::Everybody => Asked::Anybody,
        };
        Story {
            msg_id: record.msg_id.to_string(),
            seq,
            at: record.timestamp.to_string(),
            msg_type: record.msg_type.to_string(),
            sender_id: record.sender_id.to_string(),
            recipients: record.recipients.clone(),
            asked,
            events: Vec::new(),
        }
    }

    fn add(&mut self, seq: u64, line: &[u8], record: &Record<'_>) {
        let what = match record.msg_type.as_ref() {
            TYPE_DELIVERY => swarm_send::record::delivery(line).map(|delivery| What::Delivery(delivery.outcomes)),
            TYPE_RETRY => record::data(line).map(What::Retry),
            TYPE_ESCALATION => record::data(line).map(What::Escalation),
            _ if record.is_ack() => Some(What::Ack {
                agent_id: record.sender_id.to_string(),
                msg_id: record.msg_id.to_string(),
                content: record.content.to_string(),
            }),
            _ => None,
        };
        self.events.extend(what.map(|what| Event { seq, at: record.timestamp.to_string(), what }));
    }

    /// What came of it as far as it counts: an acknowledgement by who was not asked does not, nor does a second one. And who everybody was.
    fn settle(&mut self) {
        if self.asked == Asked::Anybody {
            let delivered =
                self.events.iter().filter_map(|event| if let What::Delivery(outcomes) = &event.what { Some(outcomes) } else { None });
            let mut ids: Vec<String> = Vec::new();
            for outcome in delivered.flatten() {
                if !ids.iter().any(|id| identity::is_same(id, &outcome.agent_id)) {
                    ids.push(outcome.agent_id.clone());
                }
            }
            if !ids.is_empty() {
                self.asked = Asked::These(ids);
            }
        }
        let mut by = HashSet::new();
        let events = std::mem::take(&mut self.events);
        let counts = |event: &Event| match &event.what {
            What::Ack { agent_id, .. } => self.asks(agent_id) && by.insert(agent_id.to_ascii_lowercase()),
            _ => true,
        };
        self.events = events.into_iter().filter(counts).collect();
    }

    /// True if it asks this agent.
    pub fn asks(&self, agent_id: &str) -> bool {
        match &self.asked {
            Asked::Nobody => false,
            Asked::These(ids) => ids.iter().any(|id| identity::is_same(id, agent_id)),
            Asked::Anybody => !identity::is_same(&self.sender_id, agent_id),
        }
    }

    /// This agent's acknowledgement: its seq and its id.
    pub fn acknowledged_by(&self, agent_id: &str) -> Option<(u64, &str)> {
        self.events.iter().find_map(|event| match &event.what {
            What::Ack { agent_id: by, msg_id, .. } if identity::is_same(by, agent_id) => Some((event.seq, msg_id.as_str())),
            _ => None,
        })
    }
}

/// Reads what the journal says of these messages; nothing of those that it does not have.
///
/// # Errors
/// Status 3 when it cannot be read.
pub fn read(journal: &Journal, ids: &HashSet<String>) -> Result<HashMap<String, Story>, Failure> {
    let mut stories: HashMap<String, Story> = HashMap::new();
    // Of one, most lines need not be parsed. An id may be written with escapes, by others.
    let only = if ids.len() == 1 { ids.iter().next() } else { None };
    let finder = only.map(|id| memmem::Finder::new(id.as_bytes()));
    let may_matter = |line: &[u8]| finder.as_ref().is_none_or(|finder| finder.find(line).is_some() || memmem::find(line, b"\\u").is_some());
    let mut reader = journal.read_from(0)?;
    loop {
        let (bytes, first_seq) = match reader.next()? {
            Step::Lines { bytes, first_seq, .. } => (bytes, first_seq),
            Step::End => break,
            Step::Damaged { .. } | Step::Gap { .. } => continue,
        };
        let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n');
        for (seq, line) in (first_seq..).zip(lines).filter(|(_, line)| may_matter(line)) {
            let Some(record) = record::parse(line) else { continue };
            if ids.contains(record.msg_id.as_ref()) {
                stories.insert(record.msg_id.to_string(), Story::of(seq, &record));
            }
            if let Some(story) = stories.get_mut(record.reply_to.as_ref()) {
                story.add(seq, line, &record);
            }
        }
    }
    stories.values_mut().for_each(Story::settle);
    Ok(stories)
}

/// What the journal says of this message.
///
/// # Errors
/// Status 3 when it cannot be read; else why it does not have it, as [`missing`].
pub fn of(journal: &Journal, msg_id: &str) -> Result<Story, Failure> {
    let mut stories = read(journal, &HashSet::from([msg_id.to_string()]))?;
    match stories.remove(msg_id) {
        Some(story) => Ok(story),
        None => Err(missing(journal, msg_id)?),
    }
}

/// Why the journal has no message of this id: status 1 where retention took it, 2 where nobody can say that it was ever there.
///
/// # Errors
/// Status 3 when it cannot be read.
pub fn missing(journal: &Journal, msg_id: &str) -> Result<Failure, Failure> {
    let bounds = journal.bounds()?;
    let unknown = Failure::wrong(format!("no message has the id {msg_id}"));
    if bounds.oldest_seq <= 1 {
        return Ok(unknown.hint("an id is what swarm-send answered as msg_id; --seq N names a message by its number"));
    }
    let kept = format!("the journal begins at seq {} now: what was before it, retention removed", bounds.oldest_seq);
    Ok(match (message::made_at_ms(msg_id), oldest_at_ms(journal)?) {
        (Some(made), Some(oldest)) if made < oldest => gone(&format!("the message {msg_id}"), bounds.oldest_seq),
        (Some(_), _) => unknown.hint(kept),
        // An id that its sender chose does not say when that was.
        (None, _) => unknown.hint(format!("{kept}, this one perhaps")),
    })
}

/// When the oldest record that is kept was accepted, in milliseconds.
fn oldest_at_ms(journal: &Journal) -> Result<Option<i64>, Failure> {
    let mut reader = journal.read_from(0)?;
    let Step::Lines { bytes, .. } = reader.next()? else { return Ok(None) };
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(record::parse(line).and_then(|record| swarm_common::time::timestamp(record.timestamp.as_bytes())).map(|at| at.as_millisecond()))
}
