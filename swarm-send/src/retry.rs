//! What was queued, delivered again: by one process at a time ([`turn`]), the oldest first. What is due is read from the journal, and whether an agent is there
//! and has not read the message meanwhile is asked at that moment.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::fold::Fold;
use swarm_common::journal::Journal;
use swarm_common::registry::Route;
use swarm_common::store::Store;
use swarm_common::time;

use crate::answer::{self, Answers};
use crate::attempt::{self, Attempt};
use crate::cli::NAME;
use crate::deliver::{self, Outcome, Word, why};
use crate::delivery::Told;
use crate::gate::Recipient;
use crate::post::{self, Delivered, Letter, Post};
use crate::queue::{Due, Queue};
use crate::roster::Roster;
use crate::{record, tick, turn};

/// So many are delivered in one go. What became of them is written down before the next ones.
const WAVE_MAX: usize = 256;

/// Delivers all that is queued, however lately it was tried, and tells of each.
///
/// # Errors
/// Status 1 while another process does it; 3 when the system failed.
pub fn all(post: &mut Post<'_>, answers: &mut Answers) -> Result<Exit, Failure> {
    let store = post.store();
    let Some(turn) = turn::take(store)? else { return Err(turn::is_taken()) };
    let turn = Turn::begin(post, turn)?;
    // Gathered: whoever reads the answers may take his time, and others want the turn.
    let mut lines: Vec<Vec<u8>> = turn.lost.iter().map(|(letter, told)| answer::retried(letter, told)).collect();
    let chosen = Look::new(store).choose(turn.fold.state().due(since(store), None), usize::MAX, false);
    let mut worst = Exit::Yes;
    for wave in chosen.chunks(WAVE_MAX) {
        let queued = turn.letters(post.journal(), wave);
        let told = turn.deliver(post, queued.clone(), Vec::new()).0;
        if told.iter().flatten().any(|told| told.outcome.word == Word::Refused) {
            worst = worst.max(Exit::No);
        }
        // Nothing was tried, and it was said why not.
        if told.len() < queued.len() {
            worst = Exit::System;
        }
        lines.extend(queued.iter().zip(&told).map(|((letter, _), told)| answer::retried(letter, told)));
    }
    drop(turn);
    lines.iter().try_for_each(|line| answers.line(line)).and_then(|()| answers.flush())?;
    Ok(worst)
}

/// A message to be tried again, and that it is.
pub type Queued = (Letter, Attempt);

/// True if something is due that can be tried now, by one small file.
pub fn is_due(store: &Store) -> bool {
    let fold: Fold<Queue> = Fold::load(&store.folds_place());
    !Look::new(store).choose(fold.state().due(since(store), Some(time::now())), 1, true).is_empty()
}

/// Somebody who has the turn, and knows what is queued.
pub struct Turn<'a> {
    /// That it is his.
    pub lock: File,
    store: &'a Store,
    /// The queue as it is now.
    fold: Fold<Queue>,
    /// What somebody who had the turn before was killed over.
    lost: Vec<(Letter, Vec<Told>)>,
}

impl<'a> Turn<'a> {
    /// Begins it. What is lost may have been typed: that is written down, and it is not tried again.
    ///
    /// # Errors
    /// Status 3 when the journal cannot be read, or written to.
    pub fn begin(post: &mut Post<'a>, lock: File) -> Result<Turn<'a>, Failure> {
        let store = post.store();
        let mut turn = Turn { lock, store, fold: queue(store, post.journal())?, lost: Vec::new() };
        turn.lost = attempt::read(&store.folds_place())
            .into_iter()
            .filter(|attempt| attempt.is_open(turn.fold.state()))
            .map(|Attempt { seq, msg_id, sender_id, agent_id, .. }| {
                let outcome = Outcome::of(&agent_id, Word::Unconfirmed, why::KILLED);
                let to = vec![Recipient { agent_id, agent: None }];
                (
                    Letter { seq, msg_id, sender_id, members: Vec::new(), to, route: None, retry: None },
                    vec![Told { outcome, is_wake: false }],
                )
            })
            .collect();
        if !turn.lost.is_empty() {
            let (letters, told): (Vec<Letter>, Vec<Vec<Told>>) = turn.lost.iter().cloned().unzip();
            if !post.write_down(&letters, &told) {
                return Err(Failure::system("the journal cannot be written to"));
            }
            turn.fold.catch_up(post.journal())?;
        }
        attempt::clear(&store.folds_place());
        Ok(turn)
    }

    /// What is due and can be tried now, at most so many, and one for each agent.
    pub fn due(&self, journal: &Journal, count_max: usize) -> Vec<Queued> {
        let due = self.fold.state().due(since(self.store), Some(time::now()));
        self.letters(journal, &Look::new(self.store).choose(due, count_max, true))
    }

    /// What was chosen, as letters: one for each message and recipient. What the journal no longer has is left out.
    fn letters(&self, journal: &Journal, chosen: &[(Due, Recipient)]) -> Vec<Queued> {
        let letters = chosen.iter().filter_map(|(due, to)| {
            let letter = letter(journal, due, to)?;
            let attempt = Attempt::of(due, &letter.sender_id, &to.agent_id);
            Some((letter, attempt))
        });
        letters.collect()
    }

    /// Delivers these, and new letters behind them in the same go; what became of both.
    pub fn deliver(&self, post: &mut Post<'_>, queued: Vec<Queued>, new: Vec<Letter>) -> (Vec<Vec<Told>>, Vec<Vec<Told>>) {
        let dir = self.store.folds_place();
        let (mut letters, attempts): (Vec<Letter>, Vec<Attempt>) = queued.into_iter().unzip();
        if let Err(error) = attempt::write(&dir, &attempts) {
            exit::say(NAME, &format!("what is queued stays so: cannot write to {}: {}", dir.display(), exit::reason(&error)));
            return (Vec::new(), post.deliver(&new).told);
        }
        letters.extend(new);
        let Delivered { mut told, is_written } = post.deliver(&letters);
        if is_written {
            attempt::clear(&dir);
        }
        post::refresh::<Queue>(&dir, post.journal());
        let new = told.split_off(attempts.len());
        (told, new)
    }
}

fn queue(store: &Store, journal: &Journal) -> Result<Fold<Queue>, Failure> {
    let mut fold = Fold::load(&store.folds_place());
    fold.catch_up(journal)?;
    Ok(fold)
}

/// What was queued before is too old.
fn since(store: &Store) -> Timestamp {
    let span = SignedDuration::try_from(store.config().send.retry_for).unwrap_or(SignedDuration::MAX);
    time::now().checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// Who is there, and how far each has read.
struct Look<'a> {
    store: &'a Store,
    roster: Roster,
    cursors: PathBuf,
    read: HashMap<String, Option<u64>>,
}

impl Look<'_> {
    fn new(store: &Store) -> Look<'_> {
        Look { store, roster: Roster::of(store), cursors: store.cursors_place(), read: HashMap::new() }
    }

    /// Those that can be tried now: of agents who are registered, who do not look for themselves, and who have not read them.
    fn choose(&mut self, due: Vec<Due>, count_max: usize, one_a_pane: bool) -> Vec<(Due, Recipient)> {
        let (mut chosen, mut taken) = (Vec::new(), HashSet::new());
        for due in due {
            if chosen.len() == count_max {
                break;
            }
            // What cannot be read now may be readable later.
            let Ok(Some(agent)) = self.roster.find(&due.agent_id) else { continue };
            if agent.route == Route::Inbox || agent.pane.is_none() || (one_a_pane && taken.contains(&due.agent_id)) {
                continue;
            }
            let read = self.read.entry(due.agent_id.clone()).or_insert_with(|| post::read_up_to(&self.cursors, &due.agent_id));
            if read.is_some_and(|next_seq| next_seq > due.seq) {
                continue;
            }
            if agent.route == Route::Wake && deliver::is_unread(self.store, &agent) {
                continue;
            }
            taken.insert(due.agent_id.clone());
            chosen.push((due, Recipient { agent_id: agent.agent_id.clone(), agent: Some(agent) }));
        }
        chosen
    }
}

/// The message, read from the journal; `None` where it is gone.
fn letter(journal: &Journal, due: &Due, to: &Recipient) -> Option<Letter> {
    let members = tick::members(journal, due.seq, &due.msg_id)?;
    let sender_id = record::head(&[b"{", members.as_slice()].concat())?.sender_id.into_owned();
    Some(Letter { seq: due.seq, msg_id: due.msg_id.clone(), sender_id, members, to: vec![to.clone()], route: None, retry: None })
}
