//! One turn under the table's lock: what it has read and said so far, and what follows from whatever is done in it.

use std::collections::HashSet;
use std::io;

use swarm_common::exit::{self, Failure};
use swarm_common::identity;
use swarm_common::journal::{AppendError, Draft, Journal};
use swarm_common::message::Ids;

use super::leases;
use crate::event::Event;
use crate::lease::{Lease, Line, Row};
use crate::table::agent::{self, Notice};
use crate::table::{Change, Table, View, Writer, ended};

/// One turn under the lock.
pub(super) struct Turn<'a> {
    pub(super) writer: Writer,
    pub(super) journal: Option<&'a Journal>,
    pub(super) note: &'a mut dyn FnMut(&str),
    pub(super) ids: Ids,
    pub(super) events: Vec<Draft>,
    /// Who is here, and hears at once what it lost.
    pub(super) caller: &'a str,
    /// Who that is in truth, where he calls himself otherwise.
    pub(super) forced_by: Option<&'a str>,
    pub(super) heard: Vec<Notice>,
}

/// What becomes of a line.
pub(super) enum Edit {
    Keep,
    Drop,
    Replace(Vec<u8>),
}

impl<'a> Turn<'a> {
    /// Takes the lock, for `caller`, who hears first what it has lost; for nobody where it is empty.
    pub(super) fn begin(
        table: &Table,
        journal: Option<&'a Journal>,
        caller: &'a str,
        forced_by: Option<&'a str>,
        note: &'a mut dyn FnMut(&str),
    ) -> Result<Turn<'a>, Failure> {
        let writer = table.write()?;
        let mut turn = Turn { writer, journal, note, ids: Ids::default(), events: Vec::new(), caller, forced_by, heard: Vec::new() };
        if !caller.is_empty() {
            turn.hear()?;
        }
        Ok(turn)
    }

    pub(super) fn view(&self) -> &View {
        &self.writer.view
    }

    /// Puts down what happened, while the lock is still held, so that the journal tells it in its order. Written without a sync of its own: what
    /// a power cut takes of it, it takes of the leases too.
    pub(super) fn end(mut self, heard: &mut Vec<Notice>) {
        heard.append(&mut self.heard);
        let events = std::mem::take(&mut self.events);
        self.put_down(&events);
    }

    fn put_down(&mut self, events: &[Draft]) {
        let Some(journal) = self.journal.filter(|_| !events.is_empty()) else { return };
        let note = &mut *self.note;
        if let Err(error) = journal.note(events, note) {
            let why = match error {
                AppendError::Failed(failure) | AppendError::Partly { failure, .. } => failure.what,
                AppendError::Unknown { why, .. } => why,
            };
            note(&format!("the leases are as said, but the journal does not tell of it: {why}"));
        }
    }

    /// A file's new content: what `edit` makes of each lease, and without those that have ended, which are told of. True if it differs.
    pub(super) fn rewritten(&mut self, name: &str, mut edit: impl FnMut(&Row<'_>) -> Edit) -> (Change, bool) {
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

    /// A lease has ended by itself: told to its holder and in the journal, and then written down, so that it is told once; twice, where
    /// somebody was killed in between, and never not at all.
    pub(super) fn expire(&mut self, lease: &Lease) {
        if ended::get(&self.view().dir().join("ended"), lease.token) == Some(ended::Why::Expired) {
            return;
        }
        let paths = self.paths_of(lease);
        let is_gone = lease.boot_id == self.view().clock.boot_id && lease.ends_us > self.view().clock.boot_us;
        let notice = Notice {
            token: lease.token,
            why: ended::Why::Expired,
            is_gone,
            paths: paths.clone(),
            at: self.view().clock.now,
            by: None,
            reason: lease.reason.clone(),
        };
        if let Err(failure) = self.leave(&lease.agent_id, notice) {
            (self.note)(&failure.what);
        }
        let event = Event {
            msg_type: "EXPIRED",
            agent_id: &lease.agent_id,
            by: None,
            token: lease.token,
            mode: lease.mode,
            paths: &paths,
            expires_at: None,
            reason: &lease.reason,
        };
        let event = event.draft(None, &mut self.ids);
        self.put_down(&[event]);
        self.write_down(lease.token, ended::Why::Expired);
    }

    /// All that the grant has which this is a part of.
    fn paths_of(&mut self, part: &Lease) -> Vec<String> {
        if part.files <= 1 {
            return part.paths();
        }
        // Of a file that cannot be read, there is nothing to be told.
        let Ok(names) = self.writer.view.all() else { return part.paths() };
        let rows = leases(self.view(), &names).filter(|row| row.token == part.token);
        rows.flat_map(|row| row.patterns().map(|(text, _)| text.into_owned())).collect()
    }

    pub(super) fn write_down(&mut self, token: u64, why: ended::Why) {
        let path = self.view().dir().join("ended");
        if let Err(error) = ended::put(&path, token, why) {
            (self.note)(&format!("cannot write to {}: {}", path.display(), exit::reason(&error)));
        }
    }

    /// Leaves an agent a notice; it hears it at once where it is the caller.
    pub(super) fn leave(&mut self, agent_id: &str, notice: Notice) -> Result<(), Failure> {
        let view = &self.writer.view;
        let left = agent::leave(view.dir(), agent_id, &view.clock, &notice);
        if identity::is_same(agent_id, self.caller) {
            self.heard.push(notice);
        }
        left.map_err(|error| Failure::io(format_args!("leave {agent_id} a notice"), &error))
    }

    pub(super) fn tell(&mut self, event: &Event<'_>) {
        if self.journal.is_some() {
            self.events.push(event.draft(self.forced_by, &mut self.ids));
        }
    }

    /// What the caller lost since its last call. It stays there until it was said ([`super::Leases::told`]).
    fn hear(&mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::io("keep account of what this agent is to be told", &error);
        let view = &mut self.writer.view;
        let there = agent::read(view.dir(), self.caller, &view.clock).map_err(failed)?;
        if !there.is_due && there.notices.is_empty() {
            return Ok(());
        }
        let names = view.all()?;
        self.writer.set_aside(&names, self.note)?;
        let view = &self.writer.view;
        let (mut alive, mut dead, mut next_us) = (HashSet::new(), Vec::new(), u64::MAX);
        for row in leases(view, &names).filter(|row| row.is_of(self.caller)) {
            if row.is_alive(&view.clock) {
                // When a process ends, nobody knows.
                next_us = next_us.min(if row.pid.is_some() { 0 } else { row.ends_us });
                alive.extend(row.patterns().map(|(text, _)| (row.token, text.into_owned())));
            } else {
                dead.push(row.lease());
            }
        }
        // One that was left, and then its writer killed before the lease went, is wrong.
        let is_right = |notice: &Notice| notice.paths.iter().any(|path| !alive.contains(&(notice.token, path.clone())));
        if !there.notices.iter().all(is_right) {
            agent::keep(view.dir(), self.caller, &view.clock, &is_right).map_err(failed)?;
        }
        if there.is_due {
            agent::look_at(view.dir(), self.caller, &view.clock, next_us).map_err(failed)?;
        }
        self.heard.extend(there.notices.into_iter().filter(is_right));
        for lease in dead {
            self.expire(&lease);
        }
        Ok(())
    }
}
