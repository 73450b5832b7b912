//! What follows the journal: each stored message to its recipients, each by its route, and what became of it into the journal again.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use swarm_common::cursor::{self, Cursor};
use swarm_common::exit;
use swarm_common::fold::{Fold, State};
use swarm_common::journal::{AppendError, Draft, Journal};
use swarm_common::message::Ids;
use swarm_common::platform::Life;
use swarm_common::registry::{Agent, Route};
use swarm_common::store::Store;

use crate::besides::Owed;
use crate::cli::NAME;
use crate::deliver::{self, Block, Job, Outcome, Settings, Word, why};
use crate::delivery::{self, Of, Told};
use crate::gate::Recipient;
use crate::overdue;
use crate::queue::Queue;
use crate::record;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its place in the journal.
    pub seq: u64,
    /// Its id.
    pub msg_id: String,
    /// Who sent it.
    pub sender_id: String,
    /// Its record without the opening brace, or without what stands before its type.
    pub members: Vec<u8>,
    /// Who gets it.
    pub to: Vec<Recipient>,
    /// By this route, whatever the recipient's own is.
    pub route: Option<Route>,
    /// It was not acknowledged, and is sent again.
    pub retry: Option<Retry>,
}

/// That a message is sent again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// How often by then.
    pub count: u32,
    /// Its recipient has read it, and is reminded.
    pub is_read: bool,
}

impl Letter {
    /// The way it takes to a recipient. Where there is no pane, it is the inbox.
    pub fn route_to(&self, agent: &Agent) -> Route {
        let route = self.route.unwrap_or(agent.route);
        if agent.pane.is_some() { route } else { Route::Inbox }
    }

    /// True if something is to be typed.
    pub fn is_typed(&self) -> bool {
        self.agents().any(|agent| self.route_to(agent) != Route::Inbox)
    }

    fn agents(&self) -> impl Iterator<Item = &Rc<Agent>> {
        self.to.iter().filter_map(|recipient| recipient.agent.as_ref())
    }

    /// The records that say what became of it.
    fn drafts(&self, told: &[Told], ids: &mut Ids) -> Vec<Draft> {
        match self.retry {
            None => delivery::drafts(self.of(), told, ids),
            Some(Retry { count, is_read }) => told.iter().map(|told| overdue::retry_draft(self.of(), told, count, is_read, ids)).collect(),
        }
    }

    fn of(&self) -> Of<'_> {
        Of { seq: self.seq, msg_id: &self.msg_id, sender_id: &self.sender_id }
    }
}

/// Delivers.
pub struct Post<'a> {
    store: &'a Store,
    journal: Journal,
    ids: Ids,
    /// What else it may do, since something was delivered.
    pub owed: Owed,
}

/// What became of letters.
pub struct Delivered {
    /// For each, for each recipient.
    pub told: Vec<Vec<Told>>,
    /// It is in the journal.
    pub is_written: bool,
}

/// What is known of one outcome before anything is typed.
enum Plan {
    /// It is told without tmux.
    Known(Outcome),
    /// It is that of a task.
    Task(usize),
}

/// Something that is to be typed.
struct Task {
    letter: usize,
    agent: Rc<Agent>,
    route: Route,
}

impl<'a> Post<'a> {
    /// The one of a store. Opens nothing.
    pub fn of(store: &'a Store) -> Post<'a> {
        Post { store, journal: store.journal(), ids: Ids::default(), owed: Owed::default() }
    }

    /// An id for a record of ours.
    pub fn ids(&mut self) -> &mut Ids {
        &mut self.ids
    }

    /// The store.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Its journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Delivers these, writes down what became of them, and tells it: for each letter, for each recipient. In a pane they arrive in this order.
    pub fn deliver(&mut self, letters: &[Letter]) -> Delivered {
        if letters.is_empty() {
            return Delivered { told: Vec::new(), is_written: true };
        }
        let mut tasks: Vec<Task> = Vec::new();
        let mut plan = |at: usize, letter: &Letter, recipient: &Recipient| {
            let queued = |why: &'static str| Plan::Known(Outcome::of(&recipient.agent_id, Word::Queued, why));
            let Some(agent) = &recipient.agent else { return queued(why::NOT_REGISTERED) };
            match letter.route_to(agent) {
                Route::Inbox if agent.life() == Life::Gone => Plan::Known(Outcome::of(&recipient.agent_id, Word::Refused, why::GONE)),
                Route::Inbox => queued(why::INBOX),
                // To ask tmux for that would be work for nothing.
                Route::Wake if deliver::is_unread(self.store, agent) => queued(why::UNREAD),
                route => {
                    tasks.push(Task { letter: at, agent: Rc::clone(agent), route });
                    Plan::Task(tasks.len() - 1)
                }
            }
        };
        let plans: Vec<Vec<Plan>> = letters
            .iter()
            .enumerate()
            .map(|(at, letter)| letter.to.iter().map(|recipient| plan(at, letter, recipient)).collect())
            .collect();
        let done = self.type_all(letters, &tasks);
        let told = |plan| match plan {
            Plan::Known(outcome) => Told { outcome, is_wake: false },
            Plan::Task(at) => {
                let is_typed = matches!(done[at].word, Word::Delivered | Word::Unconfirmed);
                Told { outcome: done[at].clone(), is_wake: is_typed && tasks[at].route == Route::Wake }
            }
        };
        let told: Vec<Vec<Told>> = plans.into_iter().map(|plans| plans.into_iter().map(told).collect()).collect();
        let is_written = self.write_down(letters, &told);
        Delivered { told, is_written }
    }

    /// Has all typed, in one go.
    fn type_all(&self, letters: &[Letter], tasks: &[Task]) -> Vec<Outcome> {
        if tasks.is_empty() {
            return Vec::new();
        }
        let settings = match Settings::of(self.store) {
            Ok(settings) => settings,
            Err(failure) => {
                exit::say(NAME, &failure.what);
                return tasks.iter().map(|task| Outcome::of(&task.agent.agent_id, Word::Queued, why::STORE)).collect();
            }
        };
        let wake = Block::wake();
        let mut blocks: HashMap<usize, Block> = HashMap::new();
        for task in tasks.iter().filter(|task| task.route == Route::Pane) {
            let Letter { seq, msg_id, members, retry, .. } = &letters[task.letter];
            let retry = retry.map(|retry| retry.count);
            // What cannot be read was written by another program; the agent is told to look for itself.
            blocks.entry(task.letter).or_insert_with(|| record::block(members, *seq, msg_id, retry).unwrap_or_else(Block::wake));
        }
        let jobs: Vec<Job<'_>> = tasks
            .iter()
            .map(|Task { letter, agent, route }| {
                let text = if *route == Route::Pane { blocks.get(letter).unwrap_or(&wake) } else { &wake };
                Job { agent, route: *route, text }
            })
            .collect();
        let done = deliver::deliver(&jobs, &settings);
        debug_assert_eq!(done.len(), jobs.len(), "one outcome a job");
        done
    }

    /// Into the journal, without a sync of its own: the messages are on disk, and what a power cut takes of this it takes of the panes too.
    /// False where it could not be.
    pub fn write_down(&mut self, letters: &[Letter], told: &[Vec<Told>]) -> bool {
        let drafts: Vec<Draft> = letters.iter().zip(told).flat_map(|(letter, told)| letter.drafts(told, &mut self.ids)).collect();
        let said = self.journal.note(&drafts, &mut |words| exit::say(NAME, words));
        let is_written = said.is_ok();
        if let Err(error) = said {
            let why = match error {
                AppendError::Failed(failure) | AppendError::Partly { failure, .. } => failure.what,
                AppendError::Unknown { why, .. } => why,
            };
            exit::say(NAME, &format!("what became of the messages could not be written down, only answered: {why}"));
        }
        // So that who sends next sees by one small file whether something waits.
        let waits = |told: &Told| told.outcome.word == Word::Queued && told.outcome.why.as_deref() != Some(why::INBOX);
        if told.iter().flatten().any(waits) {
            refresh::<Queue>(&self.store.folds_place(), &self.journal);
        }
        is_written
    }
}

/// Reads on, and saves. Where that fails nothing is lost: the next one does it.
pub fn refresh<S: State>(dir: &Path, journal: &Journal) {
    let mut fold: Fold<S> = Fold::load(dir);
    if fold.catch_up(journal).is_ok() && fold.is_worth_saving() {
        let _ = fold.save();
    }
}

/// The first seq that the agent has not read in its inbox; `None` where it never looked, or nobody can tell.
pub fn read_up_to(cursors: &Path, agent_id: &str) -> Option<u64> {
    Cursor::open(cursors, &cursor::of_inbox(agent_id), true).ok()?.next_seq()
}
