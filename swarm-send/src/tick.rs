//! A tick: what is due at this moment is done once. What was not acknowledged in time is sent again, or brought before everyone. Whoever does it has
//! the turn ([`crate::turn`]), and reads the journal to its end first, so that what another one did is not done twice.
//!
//! Nothing is kept of what is under way. Killed before its RETRY record is written, a message may have been typed: it is sent again, under the same
//! number. An ESCALATION record is on disk before anybody is told of it; one without a DELIVERY record is told again.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;

use jiff::Timestamp;
use swarm_common::exit::{self, Failure, Progress};
use swarm_common::fold::{Fold, Head, State};
use swarm_common::identity;
use swarm_common::journal::{self, AppendError, Draft, Journal, Rules, Step};
use swarm_common::message::ALL;
use swarm_common::pending::{self, Digest, Pending, Waiting};
use swarm_common::record::{self, Record};
use swarm_common::registry::{Agent, Route, Status};
use swarm_common::store::Store;
use swarm_common::time;

use crate::answer;
use crate::cli::NAME;
use crate::gate::Recipient;
use crate::overdue::{self, Again, Escalation, Plan, Presence};
use crate::post::{self, Letter, Post, Retry};
use crate::roster::Roster;

/// So much is done in one go. What became of it is written down before the next one.
const WAVE_MAX: usize = 256;

/// What the record of one takes, about, in bytes.
const RECORD_BYTES: u64 = 1024;

/// What was done, in lines as they are printed. Who has the turn gathers them, and gives it back first: whoever reads them may take his time.
#[derive(Debug, Default)]
pub struct Log {
    /// The lines.
    pub lines: Vec<Vec<u8>>,
    /// How far it is.
    pub progress: Progress,
}

/// What a tick did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// How much: what was sent again, and what was brought before everyone.
    pub count: usize,
    /// How much more was due when it ended.
    pub rest: usize,
}

/// What waits, by the journal as it is now.
///
/// # Errors
/// Status 3 when it cannot be read.
pub fn look(store: &Store, journal: &Journal) -> Result<Fold<Pending>, Failure> {
    pending::look(&store.folds_place(), journal)
}

fn save(fold: &mut Fold<Pending>) {
    if fold.is_worth_saving() {
        // It is computed again where it cannot be written, as on a read-only disk.
        let _ = fold.save();
    }
}

/// Does what is due, the oldest first, and no more than `count_max` of it.
///
/// # Errors
/// Status 3 when the system failed; the `log` has what was done by then.
pub fn tick(post: &mut Post<'_>, _turn: &File, count_max: usize, log: &mut Log) -> Result<Done, Failure> {
    let mut done = Done { count: 0, rest: 0 };
    let mut fold = look(post.store(), post.journal())?;
    // What was told meanwhile is of this tick; what falls due meanwhile is the next one's.
    let now = time::now();
    // Once for the whole of it: so that one message is not sent again twice in a tick, whatever the spans are.
    let (mut unreadable, mut due) = (HashSet::new(), 0);
    loop {
        let mut eyes = Eyes::of(post.store());
        std::mem::swap(&mut eyes.unreadable, &mut unreadable);
        told(post, &fold, &mut eyes, log)?;
        let plan = plan(post.store(), &fold, now, (count_max - done.count).min(WAVE_MAX), &mut eyes);
        if plan.is_empty() {
            done.rest = plan.rest;
            break;
        }
        // Nothing is typed of which nobody could write down that it was: it would be typed again and again.
        post.journal().reserve(RECORD_BYTES * plan.count() as u64)?;
        done.count += plan.count();
        due = due.max((done.count + plan.rest).min(count_max));
        let letters = letters(post.journal(), &plan.again, &mut eyes);
        let drafted = draft(post, &plan.escalations, &mut eyes);
        send_again(post, &letters, log)?;
        escalate(post, &mut fold, &drafted)?;
        fold.catch_up(post.journal())?;
        unreadable = eyes.unreadable;
        log.progress.show(&format!("{} of {} done", done.count, due));
    }
    log.progress.end();
    save(&mut fold);
    Ok(done)
}

/// So many records that came since the position was saved are looked at for that alone.
const READ_ON_MAX: u64 = 512;

/// True if something is due. Where nothing is, that is told by the head of one file, what came since, and a look at who was asked.
pub fn is_due(post: &Post<'_>) -> bool {
    let (store, now) = (post.store(), time::now());
    if is_surely_nothing_due(post, now) {
        return false;
    }
    // What cannot be read now is no worry of who does something else.
    let Ok(fold) = look(store, post.journal()) else { return false };
    fold.state().untold().next().is_some() || !plan(store, &fold, now, 1, &mut Eyes::of(store)).is_empty()
}

fn is_surely_nothing_due(post: &Post<'_>, now: Timestamp) -> bool {
    let (store, retry) = (post.store(), &post.store().config().ack.retry);
    let Some(head) = Head::<Digest>::read(&store.folds_place(), Pending::NAME) else { return false };
    if head.digest.may_be_due(retry, now) {
        return false;
    }
    // What came since may be due as well.
    let (mut newer, mut is_escalated) = (Pending::default(), false);
    let is_read = head.read_on(post.journal(), READ_ON_MAX, |line| {
        if journal::type_of(line).is_none_or(|(msg_type, rest)| Pending::wants(msg_type, rest)) {
            newer.take(0, line);
            is_escalated |= newer.untold().next().is_some();
        }
    });
    if is_escalated || !is_read.unwrap_or(false) || newer.digest().may_be_due(retry, now) {
        return false;
    }
    let mut eyes = Eyes::of(store);
    let digest = newer.digest();
    head.digest.agents().iter().chain(digest.agents()).all(|id| eyes.is_waited_for(id))
}

/// What is to be done now.
pub fn plan<'p>(store: &Store, fold: &'p Fold<Pending>, now: Timestamp, count_max: usize, eyes: &mut Eyes) -> Plan<'p> {
    overdue::plan(fold.state(), &store.config().ack.retry, now, count_max, &mut |waiting| eyes.presence(waiting))
}

/// Who is there, and how far each has read. Each agent is looked at once.
pub struct Eyes {
    roster: Roster,
    cursors: PathBuf,
    /// By the agents' ids in lower case.
    seen: HashMap<String, Seen>,
    /// Messages that cannot be read: nothing can be done about them.
    unreadable: HashSet<String>,
}

#[derive(Clone, Copy)]
enum Seen {
    Here { read_up_to: Option<u64> },
    Gone,
    Unknown,
}

impl Eyes {
    /// Those that look at a store.
    pub fn of(store: &Store) -> Eyes {
        Eyes { roster: Roster::of(store), cursors: store.cursors_place(), seen: HashMap::new(), unreadable: HashSet::new() }
    }

    /// How it stands with whom a message waits for.
    pub fn presence(&mut self, waiting: &Waiting<'_>) -> Presence {
        if self.unreadable.contains(waiting.msg_id) {
            return Presence::Unknown;
        }
        let key = waiting.agent_id.to_ascii_lowercase();
        let seen = match self.seen.get(&key) {
            Some(seen) => *seen,
            None => {
                let seen = match self.roster.find(waiting.agent_id) {
                    Err(_) => Seen::Unknown,
                    Ok(Some(agent)) if self.roster.status(&agent) == Status::Gone => Seen::Gone,
                    Ok(_) => Seen::Here { read_up_to: post::read_up_to(&self.cursors, &key) },
                };
                *self.seen.entry(key).or_insert(seen)
            }
        };
        match seen {
            Seen::Here { read_up_to: Some(next_seq) } if next_seq > waiting.seq => Presence::Read,
            Seen::Here { .. } => Presence::Unread,
            Seen::Gone => Presence::Gone,
            Seen::Unknown => Presence::Unknown,
        }
    }

    /// True of one who is not known to have ended.
    fn is_waited_for(&mut self, id: &str) -> bool {
        !matches!(self.roster.find(id), Ok(Some(agent)) if self.roster.status(&agent) == Status::Gone)
    }

    fn find(&mut self, id: &str) -> Option<Rc<Agent>> {
        self.roster.find(id).ok().flatten()
    }

    fn is_there(&self, agent: &Agent) -> bool {
        self.roster.status(agent) != Status::Gone
    }

    /// All who are there.
    fn everybody(&mut self) -> Vec<Rc<Agent>> {
        let all = self.roster.all().map(<[Rc<Agent>]>::to_vec).unwrap_or_default();
        all.into_iter().filter(|agent| self.is_there(agent)).collect()
    }

    /// Who is there of these agents and groups, each once.
    fn named(&mut self, names: &[String]) -> Vec<Rc<Agent>> {
        let mut found: Vec<Rc<Agent>> = Vec::new();
        for name in names {
            let agents = match name.strip_prefix('@') {
                Some(group) => {
                    let is_member = |agent: &Rc<Agent>| agent.groups.iter().any(|name| identity::is_same(name, group));
                    self.everybody().into_iter().filter(is_member).collect()
                }
                None => self.find(name).filter(|agent| self.is_there(agent)).into_iter().collect::<Vec<_>>(),
            };
            for agent in agents {
                if !found.iter().any(|known| known.agent_id == agent.agent_id) {
                    found.push(agent);
                }
            }
        }
        found
    }

    /// Whom an escalation is for, as it stands in its record: those who were named and are there, and the sender; everybody where there are none.
    fn recipients(&mut self, names: &[String], sender_id: &str) -> Vec<String> {
        let everybody = || vec![ALL.to_string()];
        if names.iter().any(|name| name == ALL) {
            return everybody();
        }
        let mut ids: Vec<String> = self.named(names).iter().map(|agent| agent.agent_id.clone()).collect();
        if ids.is_empty() || ids.iter().map(|id| id.len() + 3).sum::<usize>() > overdue::IDS_BYTES_MAX {
            return everybody();
        }
        if !ids.iter().any(|id| identity::is_same(id, sender_id)) {
            ids.push(sender_id.to_string());
        }
        ids
    }
}

/// Messages to be sent again, as letters. What the journal no longer has is left out.
pub fn letters(journal: &Journal, again: &[Again<'_>], eyes: &mut Eyes) -> Vec<Letter> {
    let letters = again.iter().filter_map(|Again { waiting, count, is_read }| {
        let Some(members) = members(journal, waiting.seq, waiting.msg_id) else {
            eyes.unreadable.insert(waiting.msg_id.to_string());
            return None;
        };
        let agent = eyes.find(waiting.agent_id);
        // The line that wakes, and never the text again; nothing where nothing may be typed.
        let route = agent.as_ref().filter(|agent| *is_read && agent.route != Route::Inbox).map(|_| Route::Wake);
        let agent_id = agent.as_ref().map_or(waiting.agent_id, |agent| &agent.agent_id).to_string();
        let (msg_id, sender_id) = (waiting.msg_id.to_string(), waiting.sender_id.to_string());
        let retry = Some(Retry { count: *count, is_read: *is_read });
        Some(Letter { seq: waiting.seq, msg_id, sender_id, members, to: vec![Recipient { agent_id, agent }], route, retry })
    });
    letters.collect()
}

/// The record of a message without its opening brace; `None` where it is gone, or cannot be read, which is said.
pub fn members(journal: &Journal, seq: u64, msg_id: &str) -> Option<Vec<u8>> {
    let read = || -> Result<Option<Vec<u8>>, Failure> {
        let mut reader = journal.read_from(seq)?;
        let Step::Lines { bytes, first_seq, .. } = reader.next()? else { return Ok(None) };
        let line = bytes.split(|&byte| byte == b'\n').next().filter(|_| first_seq == seq);
        Ok(line.filter(|line| journal::id_of(line).as_deref() == Some(msg_id)).and_then(|line| line.get(1..)).map(<[u8]>::to_vec))
    };
    read().unwrap_or_else(|failure| {
        exit::say(NAME, &failure.what);
        None
    })
}

/// The same as a whole record.
pub fn line(journal: &Journal, seq: u64, msg_id: &str) -> Option<Vec<u8>> {
    members(journal, seq, msg_id).map(|members| [b"{", members.as_slice()].concat())
}

fn send_again(post: &mut Post<'_>, letters: &[Letter], log: &mut Log) -> Result<(), Failure> {
    if letters.is_empty() {
        return Ok(());
    }
    let delivered = post.deliver(letters);
    log.lines.extend(letters.iter().zip(&delivered.told).map(|(letter, told)| answer::retried(letter, told)));
    written(delivered.is_written)
}

/// It was said why not.
fn written(is_written: bool) -> Result<(), Failure> {
    if is_written { Ok(()) } else { Err(Failure::system("the journal cannot be written to: what is due stays so")) }
}

/// An escalation that is about to be written down.
struct Drafted {
    draft: Draft,
    /// The message's id.
    msg_id: String,
    agent_ids: Vec<String>,
}

fn draft(post: &mut Post<'_>, escalations: &[Escalation<'_>], eyes: &mut Eyes) -> Vec<Drafted> {
    let drafted = |escalation: &Escalation<'_>| {
        let line = line(post.journal(), escalation.seq, escalation.msg_id).unwrap_or_default();
        let Record { msg_type, content, escalate, .. } = record::parse(&line).unwrap_or_default();
        let names = if escalate.is_empty() { post.store().config().ack.escalate.clone() } else { escalate };
        let recipients = eyes.recipients(&names, escalation.sender_id);
        let draft = overdue::escalation_draft(escalation, &recipients, &msg_type, &content, post.ids());
        let agent_ids = escalation.agent_ids.iter().map(|id| (*id).to_string()).collect();
        Drafted { draft, msg_id: escalation.msg_id.to_string(), agent_ids }
    };
    escalations.iter().map(drafted).collect()
}

/// Puts into the journal that these are brought before everyone, but for those that were acknowledged or escalated meanwhile: that is decided
/// under the journal's lock.
fn escalate(post: &mut Post<'_>, fold: &mut Fold<Pending>, drafted: &[Drafted]) -> Result<(), Failure> {
    let drafts: Vec<Draft> = drafted.iter().map(|drafted| drafted.draft.clone()).collect();
    let mut asked = drafted.iter();
    let (mut is_read, mut failed) = (false, None);
    let mut admit = |_: &Draft| {
        // No other writer comes behind this, until they are stored.
        if !std::mem::replace(&mut is_read, true) {
            failed = fold.catch_up(post.journal()).err();
        }
        let Some(Drafted { msg_id, agent_ids, .. }) = asked.next() else { return false };
        let waiting = fold.state().of(msg_id);
        let is_open = |id: &String| waiting.iter().any(|waiting| identity::is_same(waiting.agent_id, id) && !waiting.is_escalated);
        failed.is_none() && agent_ids.iter().all(is_open)
    };
    let rules = &mut Rules { admit: &mut admit, is_strict: false };
    let appended = post.journal().append_by(&drafts, rules, &mut |words| exit::say(NAME, words));
    match (failed, appended) {
        (Some(failure), _) | (_, Err(AppendError::Failed(failure) | AppendError::Partly { failure, .. })) => Err(failure),
        (_, Err(AppendError::Unknown { why, .. })) => Err(Failure::system(format!("the disk did not confirm what was escalated: {why}"))),
        (_, Ok(_)) => Ok(()),
    }
}

/// Tells whom they are for of the escalations that nobody was told of.
fn told(post: &mut Post<'_>, fold: &Fold<Pending>, eyes: &mut Eyes, log: &mut Log) -> Result<(), Failure> {
    let (mut letters, mut about) = (Vec::new(), Vec::new());
    for (seq, msg_id) in fold.state().untold() {
        let Some(line) = line(post.journal(), seq, msg_id) else { continue };
        let (Some(record), Some(data)) = (record::parse(&line), record::data(&line)) else { continue };
        let agents = if record.recipients == [ALL] { eyes.everybody() } else { eyes.named(&record.recipients) };
        let to = agents.into_iter().map(|agent| Recipient { agent_id: agent.agent_id.clone(), agent: Some(agent) }).collect();
        let sender_id = record.sender_id.to_string();
        about.push((record.reply_to.to_string(), data));
        letters.push(Letter { seq, msg_id: msg_id.to_string(), sender_id, members: line[1..].to_vec(), to, route: None, retry: None });
    }
    if letters.is_empty() {
        return Ok(());
    }
    let delivered = post.deliver(&letters);
    let of = letters.iter().zip(&about).zip(&delivered.told);
    log.lines.extend(of.map(|((letter, (reply_to, data)), told)| answer::escalated(letter, reply_to, data, told)));
    written(delivered.is_written)
}
