//! The operations: each is one turn under the table's lock, which reads what can matter, decides, and commits.
//!
//! `turn` is what they share; `acquire` asks, `own` gives back and prolongs, `sweep` cleans up, `list` only looks; `obstacles` says what is in
//! the way.

mod acquire;
mod list;
mod obstacles;
mod own;
mod sweep;
mod turn;

use std::time::Duration;

use jiff::Timestamp;
use swarm_common::exit::Failure;
use swarm_common::journal::Journal;
use swarm_common::platform::Process;

pub use list::Listed;
use obstacles::obstacles;
use turn::Turn;

use crate::conflict::{self, Conflict};
use crate::lease::{Lease, Line, Mode, Row, Standing};
use crate::pattern::Pattern;
use crate::table::agent::{self, Notice};
use crate::table::queue::Ticket;
use crate::table::{Table, View, ended};

/// The leases of a swarm.
#[derive(Clone, Debug)]
pub struct Leases {
    table: Table,
    /// Where events go; none where they are turned off.
    journal: Option<Journal>,
    /// Who calls in another's name: the events say so.
    forced_by: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub agent_id: String,
    /// How.
    pub mode: Mode,
    /// What; none of them twice.
    pub patterns: Vec<Pattern>,
    /// For how long.
    pub ttl: Duration,
    /// What for; may be empty.
    pub reason: String,
    /// The process that it must not outlive.
    pub tie: Option<Process>,
    /// With a tie: a process that gives the lease back when that one ends. It ends by itself when both have ended.
    pub keeper: Option<Process>,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is held.
    Granted {
        /// The grant, all its paths together.
        lease: Box<Lease>,
        /// Until when.
        expires_at: Timestamp,
        /// It was held before, and is now for longer.
        is_renewed: bool,
    },
    /// It is not, and nothing of it.
    Refused(Vec<Conflict>),
}

/// How somebody asks.
pub enum Manner<'a> {
    /// Now or not at all.
    Once,
    /// If it is not free, stands in the queue: the place is put here. One who stands there already keeps his place, and leaves it
    /// when he gets what he wants.
    Queue(&'a mut Option<Ticket>),
}

/// Which of one's leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// These paths and globs, as they were asked for. An argument has one reading, or two where it is not sure which was meant.
    Paths(Vec<Named>),
    /// The grant of this token.
    Token(u64),
    /// The same, for who remembers what it was given for: only what lies near that is read.
    Grant(u64, Vec<Pattern>),
    /// All.
    All,
}

/// An argument that names what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As it was given.
    pub argument: String,
    /// What it may mean.
    pub readings: Vec<Pattern>,
}

/// A grant, or what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its token.
    pub token: u64,
    /// Its holder.
    pub agent_id: String,
    /// How.
    pub mode: Mode,
    /// What of it.
    pub paths: Vec<String>,
    /// Until when, where it goes on.
    pub expires_at: Option<Timestamp>,
}

/// What became of giving back, or of prolonging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// What was done, a grant each.
    pub parts: Vec<Part>,
    /// What another holds, with who it is.
    pub others: Vec<(String, Part)>,
    /// What nobody holds under that name.
    pub missing: Vec<String>,
}

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leases that had ended, and how.
    pub ended: Vec<(Part, Standing)>,
    /// Files that were set aside, and do not count any more.
    pub forgotten: Vec<String>,
}

/// Whether a grant still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// It does.
    Yes,
    /// It does not, and why, where that is known.
    No(Option<ended::Why>),
}

impl Leases {
    /// The leases in a table, whose events go to a journal.
    pub fn new(table: Table, journal: Option<Journal>) -> Leases {
        Leases { table, journal, forced_by: None }
    }

    /// The same for who calls in another's name.
    #[must_use]
    pub fn forced_by(self, forced_by: Option<String>) -> Leases {
        Leases { forced_by, ..self }
    }

    /// Asks for a lease: all of it or nothing. What one holds already is prolonged, and has the token that it had. `heard` gets what the
    /// agent lost since its last call, `note` words for people.
    ///
    /// # Errors
    /// Status 3; nothing is held then that was not.
    pub fn acquire(
        &self,
        request: &Request,
        manner: Manner<'_>,
        heard: &mut Vec<Notice>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Acquired, Failure> {
        let mut turn = self.turn(&request.agent_id, note)?;
        let answer = turn.acquire(request, manner);
        turn.end(heard);
        answer
    }

    /// Gives back. With `force`, a reason, what another holds is taken from it.
    ///
    /// # Errors
    /// Status 3; nothing was changed then.
    pub fn release(
        &self,
        agent_id: &str,
        which: &Which,
        force: Option<&str>,
        heard: &mut Vec<Notice>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Done, Failure> {
        let mut turn = self.turn(agent_id, note)?;
        let done = turn.release(agent_id, which, force);
        turn.end(heard);
        done
    }

    /// Prolongs one's leases, never shortens them.
    ///
    /// # Errors
    /// Status 3; nothing was changed then.
    pub fn renew(
        &self,
        agent_id: &str,
        which: &Which,
        ttl: Duration,
        heard: &mut Vec<Notice>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Done, Failure> {
        let mut turn = self.turn(agent_id, note)?;
        let done = turn.renew(agent_id, which, ttl);
        turn.end(heard);
        done
    }

    /// What would be in the way of who asks; of nobody in particular, all that is held.
    ///
    /// # Errors
    /// Status 3 when the table cannot be read.
    pub fn who(&self, agent_id: Option<&str>, mode: Mode, patterns: &[Pattern]) -> Result<Vec<Conflict>, Failure> {
        let mut view = self.table.read()?;
        Ok(obstacles(&mut view, agent_id, mode, patterns, u64::MAX)?.conflicts)
    }

    /// Whether the grant of `token` still stands for each of these.
    ///
    /// # Errors
    /// Status 3 when the table cannot be read.
    pub fn check(&self, token: u64, patterns: &[Pattern]) -> Result<Vec<Valid>, Failure> {
        let mut view = self.table.read()?;
        let mut answers = Vec::new();
        for asked in patterns {
            let mut valid = Valid::No(None);
            for name in view.near(std::slice::from_ref(asked))? {
                for row in view.rows(&name) {
                    if let Some(Line::Lease(row)) = row
                        && row.token == token
                        && row.patterns().any(|(text, is_literal)| conflict::includes(&text, is_literal, asked))
                    {
                        valid = if row.is_alive(&view.clock) { Valid::Yes } else { Valid::No(Some(ended::Why::Expired)) };
                    }
                }
            }
            if valid == Valid::No(None) {
                valid = Valid::No(ended::get(&view.dir().join("ended"), token));
            }
            answers.push(valid);
        }
        Ok(answers)
    }

    /// Removes what has ended: a part each. With `damaged`, forgets also what files that were set aside may have held; their names.
    ///
    /// # Errors
    /// Status 3 when something cannot be removed.
    pub fn sweep(&self, damaged: bool, note: &mut dyn FnMut(&str)) -> Result<Swept, Failure> {
        let mut turn = self.turn("", note)?;
        let done = turn.sweep(damaged);
        turn.end(&mut Vec::new());
        done
    }

    /// These were said to the agent: they need not be heard again.
    ///
    /// # Errors
    /// Status 3 when that cannot be written down.
    pub fn told(&self, agent_id: &str, notices: &[Notice]) -> Result<(), Failure> {
        if notices.is_empty() {
            return Ok(());
        }
        let view = self.table.write()?.view;
        let kept = agent::keep(view.dir(), agent_id, &view.clock, &|notice| !notices.contains(notice));
        kept.map_err(|error| Failure::io("keep account of what this agent was told", &error))
    }

    /// The table, for who waits.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn turn<'a>(&'a self, caller: &'a str, note: &'a mut dyn FnMut(&str)) -> Result<Turn<'a>, Failure> {
        Turn::begin(&self.table, self.journal.as_ref(), caller, self.forced_by.as_deref(), note)
    }
}

/// The leases among the lines of these files.
fn leases<'a>(view: &'a View, names: &'a [String]) -> impl Iterator<Item = Row<'a>> + use<'a> {
    names.iter().flat_map(|name| view.rows(name)).filter_map(|row| match row {
        Some(Line::Lease(row)) => Some(row),
        _ => None,
    })
}

/// Two parts of one grant as one; it ends with the part that ends first.
fn join(mut one: Lease, two: Lease) -> Lease {
    one.patterns.extend(two.patterns);
    one.ends_us = one.ends_us.min(two.ends_us);
    one
}

fn part(view: &View, lease: &Lease, goes_on: bool) -> Part {
    Part {
        token: lease.token,
        agent_id: lease.agent_id.clone(),
        mode: lease.mode,
        paths: lease.paths(),
        expires_at: goes_on.then(|| expires_at(view, lease)),
    }
}

/// When a lease ends by the wall clock; of another boot, that it has.
fn expires_at(view: &View, lease: &Lease) -> Timestamp {
    if lease.boot_id == view.clock.boot_id { view.clock.wall(lease.ends_us) } else { lease.since }
}
