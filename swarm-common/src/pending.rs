//! What waits for an acknowledgement: which messages, of whom. It follows from the journal alone (DESIGN 3, "One truth"); it is read on from where it
//! was saved. It knows no clock: what is overdue is asked with the time, and with the spans that are configured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::fold::{Fold, State};
use crate::journal::{Journal, Needed};
use crate::message::{self, TYPE_ACK};
use crate::record::{self, Asks, Delivery, Escalation, Record, Retry, TYPE_DELIVERY, TYPE_ESCALATION, TYPE_RETRY};
use crate::time;

/// The journal's timestamps never run backwards. So one that lies further ahead than this was written after the clock had been set back, or before.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(2);

/// The messages that wait.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// By their ids.
    messages: BTreeMap<String, Asked>,
    /// The ids of the ESCALATION records that nobody was told of yet, by their seqs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    untold: BTreeMap<u64, String>,
}

/// A message that waits.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    seq: u64,
    sender_id: String,
    /// When it was sent.
    at: Moment,
    /// After how long each it is sent again, where its sender has said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retry_ms: Vec<u64>,
    /// By the agents' ids in lower case.
    agents: BTreeMap<String, Wait>,
    /// Of one that asks everybody and does not say who that was: who has acknowledged it, by now. It stays, for those may come whom it asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acknowledged: Option<BTreeSet<String>>,
    /// Its DELIVERY records have said who that was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_delivered: bool,
}

/// What is known of one who was asked.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wait {
    /// As it was written.
    agent_id: String,
    /// How often it was sent again.
    tries: u32,
    /// When that was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried_at: Option<Moment>,
    /// It was told to everyone.
    is_escalated: bool,
}

/// When a record was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moment {
    /// As the journal says it.
    at: String,
    /// As its writer's clock said it, in milliseconds, where the record's id tells that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_ms: Option<i64>,
}

impl Moment {
    fn of(record: &Record<'_>) -> Moment {
        Moment { at: record.timestamp.to_string(), made_ms: message::made_at_ms(&record.msg_id) }
    }

    fn at(&self) -> Timestamp {
        time::timestamp(self.at.as_bytes()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// By the clock as it is now; `None` where it was set back since, and nobody can tell.
    fn by(&self, now: Timestamp) -> Option<Timestamp> {
        let is_past = |at: &Timestamp| at.duration_since(now) <= AHEAD_MAX;
        let at = self.at();
        let made_at = || self.made_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Some(at).filter(is_past).or_else(|| made_at().filter(is_past))
    }
}

/// One message that waits for one agent.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'p> {
    /// The message's id.
    pub msg_id: &'p str,
    /// Its place in the journal.
    pub seq: u64,
    /// Who sent it.
    pub sender_id: &'p str,
    /// When, as the journal says it.
    pub since: &'p str,
    /// Who has not acknowledged it.
    pub agent_id: &'p str,
    /// How often it was sent again.
    pub tries: u32,
    /// It was told to everyone.
    pub is_escalated: bool,
    last: &'p Moment,
    retry_ms: &'p [u64],
}

/// What is to be done about one message that waits for one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To send it again: so many times by then.
    Retry(u32),
    /// To tell everyone.
    Escalate,
}

/// How it stands with what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is time.
    Waiting,
    /// There was.
    Overdue,
    /// It was told to everyone.
    Escalated,
}

impl Standing {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Waiting => "waiting",
            Standing::Overdue => "overdue",
            Standing::Escalated => "escalated",
        }
    }
}

/// So many agents are named in a digest.
const AGENTS_MAX: usize = 16;

/// Enough of what waits to know that nothing is due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Digest {
    /// For each number of tries of those without spans of their own, the oldest moment.
    oldest_ms: BTreeMap<u32, Option<i64>>,
    /// When the first of the others is due.
    own_due_ms: Option<i64>,
    /// No moment is later.
    latest_ms: Option<i64>,
    /// Who has not acknowledged, in lower case, or the first of them.
    agents: Vec<String>,
    /// There are more of them.
    are_more: bool,
    /// Of an escalation nobody was told.
    is_untold: bool,
}

impl Digest {
    /// False only where nothing is due by the clock. Who has ended is for the caller to see.
    pub fn may_be_due(&self, retry: &[Duration], now: Timestamp) -> bool {
        let at = |ms: &i64| Timestamp::from_millisecond(*ms).unwrap_or(Timestamp::MIN);
        let is_late = |(tries, oldest): (&u32, &Option<i64>)| {
            let span = retry.get(*tries as usize).or(retry.last()).copied().unwrap_or_default();
            oldest.as_ref().is_some_and(|oldest| add(at(oldest), span) <= now)
        };
        let is_ahead = || self.latest_ms.as_ref().is_some_and(|latest| at(latest).duration_since(now) > AHEAD_MAX);
        let is_own_late = || self.own_due_ms.as_ref().is_some_and(|due| at(due) <= now);
        self.is_untold || self.are_more || is_ahead() || is_own_late() || self.oldest_ms.iter().any(is_late)
    }

    /// Who has not acknowledged, in lower case.
    pub fn agents(&self) -> &[String] {
        &self.agents
    }
}

fn add(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

impl Waiting<'_> {
    fn own_span(&self) -> Option<Duration> {
        self.retry_ms.get(self.tries as usize).or(self.retry_ms.last()).map(|&ms| Duration::from_millis(ms))
    }

    /// Until when there is time: of what was escalated, no longer. `retry` are the spans that are configured.
    pub fn next_at(&self, retry: &[Duration], now: Timestamp) -> Option<Timestamp> {
        if self.is_escalated {
            return None;
        }
        let at = self.tries as usize;
        // Behind the last span it is that one again.
        let span = self.own_span().or_else(|| retry.get(at).or(retry.last()).copied())?;
        Some(self.last.by(now).map_or(now, |from| add(from, span)))
    }

    /// How it stands at that moment.
    pub fn standing(&self, retry: &[Duration], now: Timestamp) -> Standing {
        match self.next_at(retry, now) {
            None => Standing::Escalated,
            Some(next_at) if next_at <= now => Standing::Overdue,
            Some(_) => Standing::Waiting,
        }
    }

    /// What is to be done once that time is over.
    pub fn step(&self, retry: &[Duration]) -> Step {
        let spans = if self.retry_ms.is_empty() { retry.len() } else { self.retry_ms.len() };
        if (self.tries as usize) < spans { Step::Retry(self.tries + 1) } else { Step::Escalate }
    }
}

/// What waits, by the journal as it is now; saved in `dir` where that is worth it.
///
/// # Errors
/// Status 3 when it cannot be read.
pub fn look(dir: &Path, journal: &Journal) -> Result<Fold<Pending>, Failure> {
    let mut fold = Fold::load(dir);
    fold.catch_up(journal)?;
    if fold.is_worth_saving() {
        // It is computed again where it cannot be written, as on a read-only disk.
        let _ = fold.save();
    }
    Ok(fold)
}

impl Pending {
    /// All that waits, the oldest message first, in the order of the agents' ids.
    pub fn all(&self) -> Vec<Waiting<'_>> {
        let mut all: Vec<Waiting<'_>> = self.messages.iter().flat_map(|(msg_id, asked)| asked.waiting(msg_id)).collect();
        // Stable: those of one message stay as they are.
        all.sort_by_key(|waiting| waiting.seq);
        all
    }

    /// Of whom this message waits; nothing where all have acknowledged it, or it never asked.
    pub fn of(&self, msg_id: &str) -> Vec<Waiting<'_>> {
        self.messages.get_key_value(msg_id).map_or(Vec::new(), |(msg_id, asked)| asked.waiting(msg_id).collect())
    }

    /// True if an acknowledgement of this message by this agent would count.
    pub fn waits_for(&self, msg_id: &str, agent_id: &str) -> bool {
        let Some(asked) = self.messages.get(msg_id) else { return false };
        let agent_id = agent_id.to_ascii_lowercase();
        if asked.agents.contains_key(&agent_id) {
            return true;
        }
        // Nobody was registered: whoever reads it may say so, but its sender.
        let is_new = asked.acknowledged.as_ref().is_some_and(|acknowledged| !acknowledged.contains(&agent_id));
        is_new && !asked.is_delivered && !agent_id.eq_ignore_ascii_case(&asked.sender_id)
    }

    /// True of a message that asks everybody, of whom nobody knows who that is.
    pub fn is_open(&self, msg_id: &str) -> bool {
        self.messages.get(msg_id).is_some_and(|asked| asked.acknowledged.is_some() && !asked.is_delivered)
    }

    /// Who sent this message, if it may wait for anybody.
    pub fn sender_of(&self, msg_id: &str) -> Option<&str> {
        self.messages.get(msg_id).map(|asked| asked.sender_id.as_str())
    }

    /// The id of the message with this seq, if it may wait for anybody.
    pub fn id_of(&self, seq: u64) -> Option<&str> {
        self.messages.iter().find(|(_, asked)| asked.seq == seq).map(|(msg_id, _)| msg_id.as_str())
    }

    /// The ESCALATION records that nobody was told of yet: seq and id, the oldest first.
    pub fn untold(&self) -> impl Iterator<Item = (u64, &str)> {
        self.untold.iter().map(|(seq, msg_id)| (*seq, msg_id.as_str()))
    }

    /// What of the journal is needed for it: what was not escalated may have to be sent again, in full.
    pub fn needed(&self) -> Needed {
        let (mut from_seq, mut unanswered) = (None, Vec::new());
        for waiting in self.all() {
            if !waiting.is_escalated {
                from_seq = from_seq.or(Some(waiting.seq));
            } else if unanswered.last() != Some(&waiting.seq) {
                unanswered.push(waiting.seq);
            }
        }
        Needed { from_seq, unanswered }
    }

    fn message(&mut self, seq: u64, record: &Record<'_>) {
        let (agents, acknowledged) = match record.asks() {
            Asks::Nobody => return,
            Asks::These(ids) => (ids, None),
            Asks::Everybody => (&[][..], Some(BTreeSet::new())),
        };
        let agents: BTreeMap<String, Wait> = agents.iter().map(|id| (id.to_ascii_lowercase(), Wait::of(id))).collect();
        if agents.is_empty() && acknowledged.is_none() {
            return;
        }
        let (sender_id, at) = (record.sender_id.to_string(), Moment::of(record));
        let retry_ms = record.retry().unwrap_or_default().to_vec();
        self.messages.insert(record.msg_id.to_string(), Asked { seq, sender_id, at, retry_ms, agents, acknowledged, is_delivered: false });
    }

    fn acknowledge(&mut self, record: &Record<'_>) {
        let Some(asked) = self.messages.get_mut(record.reply_to.as_ref()) else { return };
        let agent_id = record.sender_id.to_ascii_lowercase();
        asked.agents.remove(&agent_id);
        match &mut asked.acknowledged {
            Some(acknowledged) => _ = acknowledged.insert(agent_id),
            None if asked.agents.is_empty() => _ = self.messages.remove(record.reply_to.as_ref()),
            None => {}
        }
    }

    /// That people were told; and who everybody was, where the message itself does not say it.
    fn delivery(&mut self, msg_id: &str, line: &[u8]) {
        if !self.untold.is_empty() {
            self.untold.retain(|_, escalation| escalation != msg_id);
        }
        let Some(Asked { agents, acknowledged: Some(acknowledged), is_delivered, .. }) = self.messages.get_mut(msg_id) else { return };
        let Some(delivery) = record::data::<Delivery>(line) else { return };
        for outcome in delivery.outcomes {
            *is_delivered = true;
            let key = outcome.agent_id.to_ascii_lowercase();
            if !acknowledged.contains(&key) {
                agents.entry(key).or_insert_with(|| Wait::of(&outcome.agent_id));
            }
        }
    }

    fn retry(&mut self, msg_id: &str, at: Moment, retry: &Retry) {
        let asked = self.messages.get_mut(msg_id);
        let Some(wait) = asked.and_then(|asked| asked.agents.get_mut(&retry.agent_id.to_ascii_lowercase())) else { return };
        // One whose writer was killed before it wrote it down is written down again by the next one, under the same number.
        wait.tries = wait.tries.max(retry.count);
        wait.tried_at = Some(at);
    }

    fn escalate(&mut self, seq: u64, record: &Record<'_>, escalation: &Escalation) {
        self.untold.insert(seq, record.msg_id.to_string());
        let msg_id = record.reply_to.as_ref();
        let Some(asked) = self.messages.get_mut(msg_id) else { return };
        for agent_id in &escalation.agent_ids {
            if let Some(wait) = asked.agents.get_mut(&agent_id.to_ascii_lowercase()) {
                wait.is_escalated = true;
            }
        }
    }
}

impl Asked {
    fn waiting<'p>(&'p self, msg_id: &'p str) -> impl Iterator<Item = Waiting<'p>> {
        self.agents.values().map(move |wait| Waiting {
            msg_id,
            seq: self.seq,
            sender_id: &self.sender_id,
            since: &self.at.at,
            agent_id: &wait.agent_id,
            tries: wait.tries,
            is_escalated: wait.is_escalated,
            last: wait.tried_at.as_ref().unwrap_or(&self.at),
            retry_ms: &self.retry_ms,
        })
    }
}

impl Wait {
    fn of(agent_id: &str) -> Wait {
        Wait { agent_id: agent_id.to_string(), tries: 0, tried_at: None, is_escalated: false }
    }
}

impl State for Pending {
    const NAME: &'static str = "pending";
    type Digest = Digest;

    fn digest(&self) -> Digest {
        let mut digest = Digest { is_untold: !self.untold.is_empty(), ..Digest::default() };
        let mut agents = BTreeSet::new();
        for waiting in self.all().iter().filter(|waiting| !waiting.is_escalated) {
            agents.insert(waiting.agent_id.to_ascii_lowercase());
            let at = waiting.last.at();
            digest.latest_ms = digest.latest_ms.max(Some(at.as_millisecond().saturating_add(1)));
            let (oldest, ms) = match waiting.own_span() {
                Some(span) => (&mut digest.own_due_ms, add(at, span).as_millisecond()),
                None => (digest.oldest_ms.entry(waiting.tries).or_default(), at.as_millisecond()),
            };
            *oldest = Some(oldest.map_or(ms, |known| known.min(ms)));
        }
        digest.are_more = agents.len() > AGENTS_MAX;
        digest.agents = agents.into_iter().take(AGENTS_MAX).collect();
        digest
    }

    fn wants(msg_type: &[u8], rest: &[u8]) -> bool {
        let is_about_one = [TYPE_ACK, TYPE_RETRY, TYPE_ESCALATION, TYPE_DELIVERY].iter().any(|about| about.as_bytes() == msg_type);
        is_about_one || memmem::find(rest, b"requires_ack").is_some()
    }

    fn take(&mut self, seq: u64, line: &[u8]) {
        let Some(record) = record::parse(line) else { return };
        let about = record.reply_to.as_ref();
        match record.msg_type.as_ref() {
            TYPE_DELIVERY => self.delivery(about, line),
            TYPE_RETRY => {
                if let Some(retry) = record::data(line) {
                    self.retry(about, Moment::of(&record), &retry);
                }
            }
            TYPE_ESCALATION => {
                if let Some(escalation) = record::data(line) {
                    self.escalate(seq, &record, &escalation);
                }
            }
            _ if record.is_ack() => self.acknowledge(&record),
            _ => self.message(seq, &record),
        }
    }

    fn forget_before(&mut self, oldest_seq: u64) {
        self.messages.retain(|_, asked| asked.seq >= oldest_seq);
        self.untold = self.untold.split_off(&oldest_seq);
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
