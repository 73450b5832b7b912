//! The operations: each is one turn under the table's lock, which reads what can matter, decides, and commits.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use swarm_common::exit::{self, Failure};
use swarm_common::identity;
use swarm_common::journal::{AppendError, Draft, Journal};
use swarm_common::message::Ids;
use swarm_common::platform::Process;

use crate::conflict::{self, Conflict, Sign, Why};
use crate::event::Event;
use crate::lease::{Lease, Line, Mode, Row, Standing};
use crate::pattern::{self, Pattern};
use crate::table::agent::{self, Notice};
use crate::table::queue::{self, Ticket, Waiter};
use crate::table::{self, Change, Table, View, Writer, ended, name, token};

/// So many grants, and one of them sweeps the whole table: nobody needs to call for it.
const SWEEP_EVERY: u64 = 1_024;

/// The leases of a swarm.
#[derive(Clone, Debug)]
pub struct Leases {
    table: Table,
    /// Where events go; none where they are turned off.
    journal: Option<Journal>,
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
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is held.
    Granted {
        /// The grant, all its paths together.
        lease: Lease,
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

/// A lease as `list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// All of the grant.
    pub lease: Lease,
    /// Until when.
    pub expires_at: Timestamp,
    /// Whether it is in force.
    pub standing: Standing,
    /// How many wait for something of it.
    pub waiters: usize,
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

/// One turn under the lock.
struct Turn<'a> {
    writer: Writer,
    journal: Option<&'a Journal>,
    note: &'a mut dyn FnMut(&str),
    ids: Ids,
    events: Vec<Draft>,
    /// Who is here, and need not be left a notice.
    caller: &'a str,
    heard: Vec<Notice>,
}

impl Leases {
    /// The leases in a table, whose events go to a journal.
    pub fn new(table: Table, journal: Option<Journal>) -> Leases {
        Leases { table, journal }
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

    /// Prolongs one's leases, never shortens them. With `tie` they are tied to that process from now on.
    ///
    /// # Errors
    /// Status 3; nothing was changed then.
    pub fn renew(
        &self,
        agent_id: &str,
        which: &Which,
        ttl: Duration,
        tie: Option<&Process>,
        heard: &mut Vec<Notice>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Done, Failure> {
        let mut turn = self.turn(agent_id, note)?;
        let done = turn.renew(agent_id, which, ttl, tie);
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

    /// The leases that touch one of `patterns`, or all, in the order of their tokens; those that have ended and were not swept yet too.
    ///
    /// # Errors
    /// Status 3 when the table cannot be read.
    pub fn list(&self, patterns: Option<&[Pattern]>, note: &mut dyn FnMut(&str)) -> Result<Vec<Listed>, Failure> {
        let mut view = self.table.read()?;
        let names = match patterns {
            None => view.all()?,
            Some(patterns) => {
                let mut names = Vec::new();
                for pattern in patterns {
                    names.extend(view.near(pattern)?);
                }
                names.sort_unstable();
                names.dedup();
                names
            }
        };
        let mut grants: BTreeMap<u64, (Lease, Standing, bool)> = BTreeMap::new();
        let mut is_partial = false;
        for name in &names {
            for row in view.rows(name) {
                let row = match row {
                    Some(Line::Lease(row)) => row,
                    Some(Line::Damaged(aside)) => {
                        note(&format!("what {} held is not known: see 'swarm-lock sweep --damaged'", aside.text()));
                        continue;
                    }
                    None => {
                        note(&format!("{}: a line that cannot be read", view.dir().join("held").join(name).display()));
                        continue;
                    }
                };
                let touches = patterns.is_none_or(|patterns| {
                    row.patterns().any(|(text, is_literal)| patterns.iter().any(|asked| conflict::meet(asked, &text, is_literal).is_some()))
                });
                is_partial |= touches && row.files > 1;
                merge(&mut grants, &row, &view, touches);
            }
        }
        if patterns.is_some() && is_partial {
            // What touches is a part of grants that go on elsewhere.
            for name in view.all()? {
                if !names.contains(&name) {
                    for row in view.rows(&name) {
                        if let Some(Line::Lease(row)) = row
                            && grants.get(&row.token).is_some_and(|(.., touches)| *touches)
                        {
                            merge(&mut grants, &row, &view, true);
                        }
                    }
                }
            }
        }
        let waiters = waiters(&view)?;
        let listed = grants.into_values().filter(|(.., touches)| *touches).map(|(lease, standing, _)| {
            let waiting = waiters.iter().filter(|waiter| stands_behind(waiter, &lease) && waiter.is_alive()).count();
            Listed { expires_at: expires_at(&view, &lease), waiters: waiting, lease, standing }
        });
        Ok(listed.collect())
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
            for name in view.near(asked)? {
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

    /// The table, for who waits.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn turn<'a>(&'a self, caller: &'a str, note: &'a mut dyn FnMut(&str)) -> Result<Turn<'a>, Failure> {
        let writer = self.table.write()?;
        let mut turn =
            Turn { writer, journal: self.journal.as_ref(), note, ids: Ids::default(), events: Vec::new(), caller, heard: Vec::new() };
        if !caller.is_empty() {
            turn.hear()?;
        }
        Ok(turn)
    }
}

impl Turn<'_> {
    fn view(&self) -> &View {
        &self.writer.view
    }

    /// Puts down what happened, while the lock is still held, so that the journal tells it in its order. Written without a sync of its own: what
    /// a power cut takes of it, it takes of the leases too.
    fn end(mut self, heard: &mut Vec<Notice>) {
        heard.append(&mut self.heard);
        let Some(journal) = self.journal.filter(|_| !self.events.is_empty()) else { return };
        let note = &mut *self.note;
        if let Err(error) = journal.note(&self.events, note) {
            let why = match error {
                AppendError::Failed(failure) | AppendError::Partly { failure, .. } => failure.what,
                AppendError::Unknown { why, .. } => why,
            };
            note(&format!("the leases are as said, but the journal does not tell of it: {why}"));
        }
    }

    fn acquire(&mut self, request: &Request, manner: Manner<'_>) -> Result<Acquired, Failure> {
        let Request { agent_id, mode, patterns, ttl, reason, tie } = request;
        if let Some(renewed) = self.renew_own(request)? {
            if let Manner::Queue(place) = manner {
                *place = None;
            }
            return Ok(renewed);
        }
        let before = match &manner {
            Manner::Queue(Some(ticket)) => ticket.number,
            _ => u64::MAX,
        };
        let Obstacles { mut conflicts, dead } = obstacles(&mut self.writer.view, Some(agent_id), *mode, patterns, before)?;
        for lease in dead {
            self.expire(&lease);
        }
        if !conflicts.is_empty() {
            if let Manner::Queue(place @ None) = manner {
                let circle = self.circle(agent_id, &conflicts)?;
                if circle.is_empty() {
                    let view = self.view();
                    let joined = queue::join(view.dir(), agent_id, *mode, patterns, reason, view.clock.now);
                    *place = Some(joined.map_err(|error| Failure::io("stand in the queue for the lease", &error))?);
                } else {
                    for conflict in &mut conflicts {
                        conflict.why = Why::Deadlock;
                        conflict.circle.clone_from(&circle);
                    }
                }
            }
            return Ok(Acquired::Refused(conflicts));
        }

        let token = self.writer.token(self.note)?;
        let clock = self.view().clock.clone();
        let ends_us = clock.after(*ttl);
        let mut homes: BTreeMap<&str, Vec<Pattern>> = BTreeMap::new();
        for pattern in patterns {
            homes.entry(table::home(pattern)).or_default().push(pattern.clone());
        }
        let whole = Lease {
            token,
            agent_id: agent_id.clone(),
            mode: *mode,
            patterns: patterns.clone(),
            files: u32::try_from(homes.len()).unwrap_or(u32::MAX),
            since: clock.now,
            boot_id: clock.boot_id.clone(),
            ends_us,
            tie: tie.clone(),
            reason: reason.clone(),
        };
        let mut lines: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (dir, patterns) in homes {
            self.writer.make_ancestors(dir)?;
            let line = lines.entry(name::of(dir)).or_default();
            Lease { patterns, ..whole.clone() }.write(&clock, line);
            line.push(b'\n');
        }
        let mut changes = Vec::with_capacity(lines.len());
        for (name, lines) in lines {
            let (mut change, _) = self.rewritten(&name, |_| Edit::Keep);
            change.bytes.extend_from_slice(&lines);
            changes.push(change);
        }
        agent::look_by(self.view().dir(), agent_id, &clock, ends_us)
            .map_err(|error| Failure::io("write down when the lease ends", &error))?;
        self.writer.commit(changes)?;
        if let Manner::Queue(place) = manner {
            *place = None;
        }
        let expires_at = clock.wall(ends_us);
        let paths: Vec<String> = patterns.iter().map(|pattern| pattern.text().to_string()).collect();
        self.tell(&Event {
            msg_type: "LOCKED",
            agent_id,
            by: None,
            token,
            mode: *mode,
            paths: &paths,
            expires_at: Some(expires_at),
            reason,
        });
        if token.is_multiple_of(SWEEP_EVERY) {
            // Housekeeping: nobody's lease waits for it to succeed.
            let _ = self.sweep(false);
        }
        Ok(Acquired::Granted { lease: whole, expires_at, is_renewed: false })
    }

    /// Prolongs the one grant that includes all that is asked for, if there is one.
    fn renew_own(&mut self, request: &Request) -> Result<Option<Acquired>, Failure> {
        let Request { agent_id, mode, patterns, ttl, reason, tie } = request;
        let mut candidates: Option<HashSet<u64>> = None;
        for asked in patterns {
            let names = self.writer.view.near(asked)?;
            self.writer.set_aside(&names, self.note)?;
            let view = self.view();
            let mut having = HashSet::new();
            for row in leases(view, &names) {
                if row.is_of(agent_id)
                    && row.mode.includes(*mode)
                    && candidates.as_ref().is_none_or(|candidates| candidates.contains(&row.token))
                    && row.patterns().any(|(text, is_literal)| conflict::includes(&text, is_literal, asked))
                    && row.is_alive(&view.clock)
                    && row.tie() == *tie
                {
                    having.insert(row.token);
                }
            }
            candidates = Some(having);
        }
        // The oldest, if several do: always the same.
        let Some(token) = candidates.unwrap_or_default().into_iter().min() else { return Ok(None) };
        let names = self.files_of(token, patterns)?;
        let ends_us = self.view().clock.after(*ttl);
        let parts = self.prolong(&names, |row| row.token == token, ends_us, Some(reason), None)?;
        let Some(lease) = parts.into_iter().reduce(join) else { return Ok(None) };
        let expires_at = self.view().clock.wall(lease.ends_us);
        Ok(Some(Acquired::Granted { lease, expires_at, is_renewed: true }))
    }

    /// The files in which a grant lies that these patterns are of.
    fn files_of(&mut self, token: u64, patterns: &[Pattern]) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for pattern in patterns {
            names.extend(self.writer.view.near(pattern)?);
        }
        names.sort_unstable();
        names.dedup();
        let (mut found, mut files) = (0, 0);
        for row in leases(self.view(), &names).filter(|row| row.token == token) {
            found += 1;
            files = files.max(row.files);
        }
        if found < files {
            names = self.writer.view.all()?;
        }
        self.writer.set_aside(&names, self.note)?;
        Ok(names)
    }

    /// Prolongs the leases that `is_it` names; what they are then.
    fn prolong(
        &mut self,
        names: &[String],
        is_it: impl Fn(&Row<'_>) -> bool,
        ends_us: u64,
        reason: Option<&str>,
        tie: Option<&Process>,
    ) -> Result<Vec<Lease>, Failure> {
        let clock = self.view().clock.clone();
        let (mut changes, mut leases) = (Vec::new(), Vec::new());
        for name in names {
            let (change, is_changed) = self.rewritten(name, |row| {
                if !is_it(row) {
                    return Edit::Keep;
                }
                let mut lease = row.lease();
                lease.ends_us = lease.ends_us.max(ends_us);
                if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
                    lease.reason = reason.to_string();
                }
                if let Some(tie) = tie {
                    lease.tie = Some(tie.clone());
                }
                let mut line = Vec::new();
                lease.write(&clock, &mut line);
                leases.push(lease);
                Edit::Replace(line)
            });
            if is_changed {
                changes.push(change);
            }
        }
        self.writer.commit(changes)?;
        Ok(leases)
    }

    fn renew(&mut self, agent_id: &str, which: &Which, ttl: Duration, tie: Option<&Process>) -> Result<Done, Failure> {
        let found = self.find(agent_id, which)?;
        let tokens: HashSet<u64> = found.own.iter().map(|(token, _)| *token).collect();
        let mut done = found.done;
        if tokens.is_empty() {
            return Ok(done);
        }
        // All of each grant, wherever it lies.
        let names = self.writer.view.all()?;
        self.writer.set_aside(&names, self.note)?;
        let ends_us = self.view().clock.after(ttl);
        let leases = self.prolong(&names, |row| tokens.contains(&row.token), ends_us, None, tie)?;
        let mut grants: BTreeMap<u64, Lease> = BTreeMap::new();
        for lease in leases {
            let token = lease.token;
            let lease = match grants.remove(&token) {
                Some(other) => join(other, lease),
                None => lease,
            };
            grants.insert(token, lease);
        }
        done.parts = grants.into_values().map(|lease| part(self.view(), &lease, true)).collect();
        Ok(done)
    }

    fn release(&mut self, agent_id: &str, which: &Which, force: Option<&str>) -> Result<Done, Failure> {
        let mut found = self.find(agent_id, which)?;
        let mut taken: BTreeMap<u64, (Part, bool)> = BTreeMap::new();
        let mut goes: HashSet<(u64, String, bool)> = HashSet::new();
        for (token, named) in found.own.drain(..) {
            goes.extend(named.into_iter().map(|(text, is_literal)| (token, text, is_literal)));
        }
        if force.is_some() {
            for (token, named) in found.others.drain(..) {
                goes.extend(named.into_iter().map(|(text, is_literal)| (token, text, is_literal)));
            }
            found.done.others.clear();
        }
        let clock = self.view().clock.clone();
        let mut changes = Vec::new();
        for name in found.names {
            let (change, is_changed) = self.rewritten(&name, |row| {
                let (out, left): (Vec<_>, Vec<_>) =
                    row.patterns().partition(|(text, is_literal)| goes.contains(&(row.token, text.to_string(), *is_literal)));
                if out.is_empty() {
                    return Edit::Keep;
                }
                let mut lease = row.lease();
                let is_own = row.is_of(agent_id);
                let whole =
                    || Part { token: row.token, agent_id: lease.agent_id.clone(), mode: row.mode, paths: Vec::new(), expires_at: None };
                let (part, _) = taken.entry(row.token).or_insert_with(|| (whole(), is_own));
                part.paths.extend(out.into_iter().map(|(text, _)| text.into_owned()));
                if left.is_empty() {
                    return Edit::Drop;
                }
                lease
                    .patterns
                    .retain(|pattern| left.iter().any(|(text, is_literal)| text == pattern.text() && *is_literal == pattern.is_literal()));
                let mut line = Vec::new();
                lease.write(&clock, &mut line);
                Edit::Replace(line)
            });
            if is_changed {
                changes.push(change);
            }
        }
        let mut done = found.done;
        for (part, is_own) in taken.values() {
            self.write_down(part.token, if *is_own { ended::Why::Released } else { ended::Why::Stolen });
            if !*is_own {
                self.leave(
                    &part.agent_id,
                    Notice {
                        token: part.token,
                        why: ended::Why::Stolen,
                        paths: part.paths.clone(),
                        at: clock.now,
                        by: Some(agent_id.to_string()),
                        reason: force.unwrap_or_default().to_string(),
                    },
                );
            }
        }
        self.writer.commit(changes)?;
        for (part, is_own) in taken.into_values() {
            self.tell(&Event {
                msg_type: if is_own { "RELEASED" } else { "STOLEN" },
                agent_id: &part.agent_id,
                by: (!is_own).then_some(agent_id),
                token: part.token,
                mode: part.mode,
                paths: &part.paths,
                expires_at: None,
                reason: if is_own { "" } else { force.unwrap_or_default() },
            });
            done.parts.push(part);
        }
        Ok(done)
    }

    fn sweep(&mut self, damaged: bool) -> Result<Swept, Failure> {
        let names = self.writer.view.all()?;
        self.writer.set_aside(&names, self.note)?;
        let (mut swept, mut forgotten): (BTreeMap<u64, (Part, Standing)>, Vec<String>) = (BTreeMap::new(), Vec::new());
        for name in &names {
            for row in leases(self.view(), std::slice::from_ref(name)) {
                let standing = row.standing(&self.view().clock);
                if standing != Standing::Alive {
                    let lease = row.lease();
                    let all = part(self.view(), &lease, false);
                    match swept.get_mut(&row.token) {
                        Some((part, _)) => part.paths.extend(all.paths),
                        None => drop(swept.insert(row.token, (all, standing))),
                    }
                }
            }
            let (mut change, mut is_changed) = self.rewritten(name, |_| Edit::Keep);
            if damaged {
                let markers: Vec<String> = self
                    .view()
                    .rows(name)
                    .filter_map(|row| match row {
                        Some(Line::Damaged(aside)) => Some(aside.text().into_owned()),
                        _ => None,
                    })
                    .collect();
                if !markers.is_empty() {
                    let mut scanner = swarm_common::json::Scanner::new();
                    let kept: Vec<&[u8]> = change
                        .bytes
                        .split(|&byte| byte == b'\n')
                        .filter(|line| matches!(crate::lease::parse(line, &mut scanner), Some(Line::Lease(_))))
                        .collect();
                    let mut bytes = kept.join(&b'\n');
                    if !bytes.is_empty() {
                        bytes.push(b'\n');
                    }
                    change.bytes = bytes;
                    is_changed = true;
                    forgotten.extend(markers);
                }
            }
            if is_changed {
                self.writer.commit(vec![change])?;
            }
        }
        self.writer.remove_empty()?;
        queue::sweep(self.view().dir()).map_err(|error| Failure::io("sweep the queue", &error))?;
        Ok(Swept { ended: swept.into_values().collect(), forgotten })
    }

    /// A file's new content: what `edit` makes of each lease, and without those that have ended, which are told of. True if it differs.
    fn rewritten(&mut self, name: &str, mut edit: impl FnMut(&Row<'_>) -> Edit) -> (Change, bool) {
        let view = &self.writer.view;
        let (mut bytes, mut is_changed, mut dead) = (Vec::new(), false, Vec::new());
        let mut put = |line: &[u8]| {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        };
        for (line, row) in view.lines(name).zip(view.rows(name)) {
            let Some(Line::Lease(row)) = row else {
                put(line);
                continue;
            };
            if !row.is_alive(&view.clock) {
                dead.push(row.lease());
                is_changed = true;
                continue;
            }
            match edit(&row) {
                Edit::Keep => put(line),
                Edit::Drop => is_changed = true,
                Edit::Replace(new) => {
                    is_changed |= new != line;
                    put(&new);
                }
            }
        }
        for lease in dead {
            self.expire(&lease);
        }
        (Change { name: name.to_string(), bytes }, is_changed)
    }

    /// A lease has ended by itself: written down, told to its holder and in the journal; once.
    fn expire(&mut self, lease: &Lease) {
        if ended::get(&self.view().dir().join("ended"), lease.token) == Some(ended::Why::Expired) {
            return;
        }
        let paths: Vec<String> = lease.patterns.iter().map(|pattern| pattern.text().to_string()).collect();
        self.write_down(lease.token, ended::Why::Expired);
        let at = self.view().clock.now;
        self.leave(
            &lease.agent_id,
            Notice { token: lease.token, why: ended::Why::Expired, paths: paths.clone(), at, by: None, reason: lease.reason.clone() },
        );
        self.tell(&Event {
            msg_type: "EXPIRED",
            agent_id: &lease.agent_id,
            by: None,
            token: lease.token,
            mode: lease.mode,
            paths: &paths,
            expires_at: None,
            reason: &lease.reason,
        });
    }

    fn write_down(&mut self, token: u64, why: ended::Why) {
        let path = self.view().dir().join("ended");
        if let Err(error) = ended::put(&path, token, why) {
            (self.note)(&format!("cannot write to {}: {}", path.display(), exit::reason(&error)));
        }
    }

    fn leave(&mut self, agent_id: &str, notice: Notice) {
        if identity::is_same(agent_id, self.caller) {
            self.heard.push(notice);
            return;
        }
        let view = &self.writer.view;
        if let Err(error) = agent::leave(view.dir(), agent_id, &view.clock, &notice) {
            (self.note)(&format!("cannot leave {agent_id} a notice: {}", exit::reason(&error)));
        }
    }

    fn tell(&mut self, event: &Event<'_>) {
        if self.journal.is_some() {
            self.events.push(event.draft(&mut self.ids));
        }
    }

    /// What the caller lost since its last call.
    fn hear(&mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::io("read what this agent is to be told", &error);
        let view = &mut self.writer.view;
        let there = agent::read(view.dir(), self.caller, &view.clock).map_err(failed)?;
        if !there.is_due && there.notices.is_empty() {
            return Ok(());
        }
        let names = view.all()?;
        self.writer.set_aside(&names, self.note)?;
        // A notice that was left, and then its writer killed before the lease went, is wrong.
        let view = &self.writer.view;
        let (mut alive, mut dead, mut next_us) = (HashSet::new(), Vec::new(), u64::MAX);
        for row in leases(view, &names).filter(|row| row.is_of(self.caller)) {
            if row.is_alive(&view.clock) {
                next_us = next_us.min(row.ends_us);
                alive.extend(row.patterns().map(|(text, _)| (row.token, text.into_owned())));
            } else {
                dead.push(row.lease());
            }
        }
        for mut notice in there.notices {
            notice.paths.retain(|path| !alive.contains(&(notice.token, path.clone())));
            if !notice.paths.is_empty() {
                self.heard.push(notice);
            }
        }
        for lease in dead {
            self.expire(&lease);
        }
        let view = &self.writer.view;
        agent::empty(view.dir(), self.caller, &view.clock, next_us).map_err(failed)
    }

    /// The circle of agents that would wait for each other if `agent_id` waited for what is in its way; empty if there is none.
    fn circle(&mut self, agent_id: &str, conflicts: &[Conflict]) -> Result<Vec<String>, Failure> {
        let waiters = waiters(self.view())?;
        let blockers = |conflicts: &[Conflict]| {
            let mut agents: Vec<String> = conflicts.iter().filter_map(|conflict| conflict.agent_id.clone()).collect();
            agents.sort_unstable();
            agents.dedup_by(|a, b| identity::is_same(a, b));
            agents
        };
        // Depth first, each agent once; the way back is kept with it.
        let mut seen: HashSet<String> = HashSet::new();
        let mut open: Vec<Vec<String>> = blockers(conflicts).into_iter().map(|next| vec![agent_id.to_string(), next]).collect();
        while let Some(way) = open.pop() {
            let Some(last) = way.last().filter(|last| seen.insert(last.to_ascii_lowercase())).cloned() else { continue };
            for waiter in waiters.iter().filter(|waiter| identity::is_same(&waiter.agent_id, &last) && waiter.is_alive()) {
                let found = obstacles(&mut self.writer.view, Some(&waiter.agent_id), waiter.mode, &waiter.patterns, waiter.number)?;
                for next in blockers(&found.conflicts) {
                    if identity::is_same(&next, agent_id) {
                        return Ok(way);
                    }
                    let mut longer = way.clone();
                    longer.push(next);
                    open.push(longer);
                }
            }
        }
        Ok(Vec::new())
    }

    /// The leases that were named, one's own and others'.
    fn find(&mut self, agent_id: &str, which: &Which) -> Result<Found, Failure> {
        let mut found = Found::default();
        let names = match which {
            Which::Paths(named) => {
                let mut names = Vec::new();
                for pattern in named.iter().flat_map(|named| &named.readings) {
                    names.extend(self.writer.view.near(pattern)?);
                }
                names.sort_unstable();
                names.dedup();
                names
            }
            Which::Token(_) | Which::All => self.writer.view.all()?,
        };
        self.writer.set_aside(&names, self.note)?;
        let view = &self.writer.view;
        match which {
            Which::Paths(named) => {
                for Named { argument, readings } in named {
                    let mut is_own = false;
                    let mut others = Vec::new();
                    for row in leases(view, &names).filter(|row| row.is_alive(&view.clock)) {
                        let it: Vec<(String, bool)> = row
                            .patterns()
                            .filter(|(text, is_literal)| {
                                readings.iter().any(|reading| reading.text() == text && reading.is_literal() == *is_literal)
                            })
                            .map(|(text, is_literal)| (text.into_owned(), is_literal))
                            .collect();
                        if it.is_empty() {
                            continue;
                        }
                        if row.is_of(agent_id) {
                            is_own = true;
                            found.own.push((row.token, it));
                        } else {
                            others.push((row, it));
                        }
                    }
                    if is_own {
                        // What others hold with us, shared, is theirs.
                        continue;
                    }
                    if others.is_empty() {
                        found.done.missing.push(argument.clone());
                    }
                    for (row, it) in others {
                        found.done.others.push((argument.clone(), part(view, &row.lease(), true)));
                        found.others.push((row.token, it));
                    }
                }
            }
            Which::Token(_) | Which::All => {
                for row in leases(view, &names).filter(|row| row.is_alive(&view.clock)) {
                    let is_own = row.is_of(agent_id);
                    let is_it = match which {
                        Which::Token(token) => row.token == *token,
                        _ => is_own,
                    };
                    let it = row.patterns().map(|(text, is_literal)| (text.into_owned(), is_literal)).collect();
                    match (is_it, is_own) {
                        (true, true) => found.own.push((row.token, it)),
                        (true, false) => {
                            found.done.others.push((format!("token {}", row.token), part(view, &row.lease(), true)));
                            found.others.push((row.token, it));
                        }
                        _ => {}
                    }
                }
                if let Which::Token(token) = which
                    && found.own.is_empty()
                    && found.others.is_empty()
                {
                    found.done.missing.push(format!("token {token}"));
                }
            }
        }
        found.names = names;
        Ok(found)
    }
}

/// What becomes of a line.
enum Edit {
    Keep,
    Drop,
    Replace(Vec<u8>),
}

/// Texts, and whether they are paths rather than globs.
type Texts = Vec<(String, bool)>;

/// What [`Turn::find`] found: by token, which texts of it.
#[derive(Default)]
struct Found {
    own: Vec<(u64, Texts)>,
    others: Vec<(u64, Texts)>,
    /// Where it was looked for.
    names: Vec<String>,
    /// What is to be told of it.
    done: Done,
}

/// What is in the way, and what was.
struct Obstacles {
    conflicts: Vec<Conflict>,
    /// Leases that would be in the way, and have ended.
    dead: Vec<Lease>,
}

/// What is in the way of somebody who asks, or of anybody: leases of others, and those who wait with a lower number than `before`.
fn obstacles(view: &mut View, agent_id: Option<&str>, mode: Mode, patterns: &[Pattern], before: u64) -> Result<Obstacles, Failure> {
    let (mut conflicts, mut dead): (Vec<Conflict>, BTreeMap<u64, Lease>) = (Vec::new(), BTreeMap::new());
    let waiters = waiters(view)?;
    for asked in patterns {
        let names = view.near(asked)?;
        for name in &names {
            let file = view.dir().join("held").join(name);
            for row in view.rows(name) {
                let row = match row {
                    Some(Line::Lease(row)) => row,
                    damaged => {
                        conflicts.extend(unknown(asked, name, damaged.is_some(), &file));
                        continue;
                    }
                };
                if agent_id.is_some_and(|agent_id| row.is_of(agent_id)) || mode.agrees(row.mode) {
                    continue;
                }
                let mut is_alive = None;
                for (text, is_literal) in row.patterns() {
                    let Some(witness) = conflict::meet(asked, &text, is_literal) else { continue };
                    if !*is_alive.get_or_insert_with(|| row.is_alive(&view.clock)) {
                        dead.entry(row.token).or_insert_with(|| row.lease());
                        break;
                    }
                    conflicts.push(Conflict {
                        path: asked.text().to_string(),
                        held: text.into_owned(),
                        agent_id: Some(row.agent_id.text().into_owned()),
                        token: Some(row.token),
                        mode: row.mode,
                        since: Some(row.since()),
                        expires_at: Some(view.clock.wall(row.ends_us)),
                        reason: row.reason().into_owned(),
                        witness,
                        why: Why::Held,
                        circle: Vec::new(),
                        sign: Sign { file: file.clone(), ends_us: Some(row.ends_us), tie: row.tie() },
                    });
                }
            }
        }
        for waiter in waiters.iter().take_while(|waiter| waiter.number < before) {
            if agent_id.is_some_and(|agent_id| identity::is_same(agent_id, &waiter.agent_id)) || mode.agrees(waiter.mode) {
                continue;
            }
            let met = waiter.patterns.iter().find_map(|pattern| {
                conflict::meet(asked, pattern.text(), pattern.is_literal()).map(|witness| (pattern.text().to_string(), witness))
            });
            if let Some((held, witness)) = met.filter(|_| waiter.is_alive()) {
                conflicts.push(Conflict {
                    path: asked.text().to_string(),
                    held,
                    agent_id: Some(waiter.agent_id.clone()),
                    token: None,
                    mode: waiter.mode,
                    since: Some(waiter.since),
                    expires_at: None,
                    reason: waiter.reason.clone(),
                    witness,
                    why: Why::Waiting,
                    circle: Vec::new(),
                    sign: Sign { file: waiter.path.clone(), ends_us: None, tie: None },
                });
            }
        }
    }
    Ok(Obstacles { conflicts, dead: dead.into_values().collect() })
}

/// What a damaged file may have held, if that is in the way.
fn unknown(asked: &Pattern, name: &str, is_set_aside: bool, file: &std::path::Path) -> Option<Conflict> {
    // All that lies in the file of a directory is about what is below it; of a file whose directory is not known, anything.
    let dir = name::dir_of(name).filter(|dir| !dir.is_empty());
    let held = dir.map_or(pattern::ROOT.to_string(), |dir| format!("{}/**", pattern::escape(&dir)));
    let witness = conflict::meet(asked, &held, false)?;
    Some(Conflict {
        path: asked.text().to_string(),
        held,
        agent_id: None,
        token: None,
        mode: Mode::Exclusive,
        since: None,
        expires_at: None,
        reason: if is_set_aside { String::new() } else { "a line of the table that cannot be read".to_string() },
        witness,
        why: Why::Damaged,
        circle: Vec::new(),
        sign: Sign { file: file.to_path_buf(), ends_us: None, tie: None },
    })
}

/// The leases among the lines of these files.
fn leases<'a>(view: &'a View, names: &'a [String]) -> impl Iterator<Item = Row<'a>> + use<'a> {
    names.iter().flat_map(|name| view.rows(name)).filter_map(|row| match row {
        Some(Line::Lease(row)) => Some(row),
        _ => None,
    })
}

fn waiters(view: &View) -> Result<Vec<Waiter>, Failure> {
    queue::list(view.dir()).map_err(|error| Failure::io(format_args!("read who waits in {}", view.dir().display()), &error))
}

fn stands_behind(waiter: &Waiter, lease: &Lease) -> bool {
    !identity::is_same(&waiter.agent_id, &lease.agent_id)
        && !waiter.mode.agrees(lease.mode)
        && waiter
            .patterns
            .iter()
            .any(|asked| lease.patterns.iter().any(|held| conflict::meet(asked, held.text(), held.is_literal()).is_some()))
}

fn merge(grants: &mut BTreeMap<u64, (Lease, Standing, bool)>, row: &Row<'_>, view: &View, touches: bool) {
    let standing = row.standing(&view.clock);
    match grants.remove(&row.token) {
        None => drop(grants.insert(row.token, (row.lease(), standing, touches))),
        Some((lease, other, touched)) => {
            let standing = if other == Standing::Alive { standing } else { other };
            grants.insert(row.token, (join(lease, row.lease()), standing, touched || touches));
        }
    }
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
        paths: lease.patterns.iter().map(|pattern| pattern.text().to_string()).collect(),
        expires_at: goes_on.then(|| expires_at(view, lease)),
    }
}

/// When a lease ends by the wall clock; of another boot, that it has.
fn expires_at(view: &View, lease: &Lease) -> Timestamp {
    if lease.boot_id == view.clock.boot_id { view.clock.wall(lease.ends_us) } else { lease.since }
}

/// All tokens that were given are below this.
pub fn next_token(view: &View) -> Option<u64> {
    token::next(&view.dir().join("tokens"), &view.clock)
}
