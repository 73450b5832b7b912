//! Asking for a lease: what one has already is prolonged, what is free is granted, else the answer is what stands in the way.

use std::collections::{BTreeMap, HashSet};

use swarm_common::exit::Failure;
use swarm_common::platform::Life;

use super::obstacles::{Obstacles, obstacles};
use super::turn::{Edit, Turn};
use super::{Acquired, Manner, Request, join, leases};
use crate::asked::Asked;
use crate::conflict::Why;
use crate::event::Event;
use crate::lease::{Lease, Row};
use crate::pattern::Pattern;
use crate::table::{self, agent, name, queue};

/// So many grants, and one of them sweeps the whole table: nobody needs to call for it.
const SWEEP_EVERY: u64 = 1_024;

impl Turn<'_> {
    pub(super) fn acquire(&mut self, request: &Request, manner: Manner<'_>) -> Result<Acquired, Failure> {
        let Request { agent_id, mode, patterns, ttl, reason, tie, keeper } = request;
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

        // It may have waited for long.
        if tie.as_ref().is_some_and(|process| process.life() == Life::Gone) {
            return Err(Failure::wrong("the process that the lease was to be tied to has ended").hint("nothing is held"));
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
            keeper: keeper.clone(),
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
        agent::look_by(self.view().dir(), agent_id, &clock, if tie.is_some() { 0 } else { ends_us })
            .map_err(|error| Failure::io("write down when the lease ends", &error))?;
        self.writer.commit(changes)?;
        if let Manner::Queue(place) = manner {
            *place = None;
        }
        let expires_at = clock.wall(ends_us);
        self.tell(&Event {
            msg_type: "LOCKED",
            agent_id,
            by: None,
            token,
            mode: *mode,
            paths: &whole.paths(),
            expires_at: Some(expires_at),
            reason,
        });
        if token.is_multiple_of(SWEEP_EVERY) {
            // Housekeeping: nobody's lease waits for it to succeed.
            let _ = self.sweep(false);
        }
        Ok(Acquired::Granted { lease: Box::new(whole), expires_at, is_renewed: false })
    }

    /// Prolongs the one grant that includes all that is asked for, if there is one.
    fn renew_own(&mut self, request: &Request) -> Result<Option<Acquired>, Failure> {
        let Request { agent_id, mode, patterns, ttl, reason, tie, .. } = request;
        let names = self.writer.view.near(patterns)?;
        self.writer.set_aside(&names, self.note)?;
        let (view, asked) = (self.view(), Asked::of(patterns));
        // By token: which of the patterns it includes, and how many.
        let mut having: BTreeMap<u64, (Vec<bool>, usize)> = BTreeMap::new();
        for row in leases(view, &names) {
            if !row.is_of(agent_id) || !row.mode.includes(*mode) || row.tie() != *tie || !row.is_alive(&view.clock) {
                continue;
            }
            let (has, count) = having.entry(row.token).or_insert_with(|| (vec![false; patterns.len()], 0));
            for (text, is_literal) in row.patterns() {
                for at in asked.included(&text, is_literal) {
                    *count += usize::from(!std::mem::replace(&mut has[at], true));
                }
            }
        }
        // The oldest, if several do: always the same.
        let Some(token) = having.into_iter().find(|(_, (_, count))| *count == patterns.len()).map(|(token, _)| token) else {
            return Ok(None);
        };
        let names = self.files_of(token, patterns)?;
        let ends_us = self.view().clock.after(*ttl);
        let parts = self.prolong(&names, |row| row.token == token, ends_us, Some(reason))?;
        let Some(lease) = parts.into_iter().reduce(join) else { return Ok(None) };
        let expires_at = self.view().clock.wall(lease.ends_us);
        Ok(Some(Acquired::Granted { lease: Box::new(lease), expires_at, is_renewed: true }))
    }

    /// The files in which a grant lies that these patterns are of.
    pub(super) fn files_of(&mut self, token: u64, patterns: &[Pattern]) -> Result<Vec<String>, Failure> {
        let mut names = self.writer.view.near(patterns)?;
        if !self.is_all_of(&HashSet::from([token]), &names) {
            names = self.writer.view.all()?;
        }
        self.writer.set_aside(&names, self.note)?;
        Ok(names)
    }

    /// Prolongs the leases that `is_it` names; what they are then.
    pub(super) fn prolong(
        &mut self,
        names: &[String],
        is_it: impl Fn(&Row<'_>) -> bool,
        ends_us: u64,
        reason: Option<&str>,
    ) -> Result<Vec<Lease>, Failure> {
        let clock = self.view().clock.clone();
        let (mut changes, mut leases) = (Vec::new(), Vec::new());
        for name in names {
            let (change, is_changed) = self.rewritten(name, |row| {
                if !is_it(row) {
                    return Edit::Keep;
                }
                let before = row.lease();
                let mut lease = before.clone();
                lease.ends_us = lease.ends_us.max(ends_us);
                if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
                    lease.reason = reason.to_string();
                }
                // The end by the wall clock would differ by the microsecond between two looks at the clocks.
                let is_same = lease == before;
                let mut line = Vec::new();
                lease.write(&clock, &mut line);
                leases.push(lease);
                if is_same { Edit::Keep } else { Edit::Replace(line) }
            });
            if is_changed {
                changes.push(change);
            }
        }
        self.writer.commit(changes)?;
        Ok(leases)
    }
}
