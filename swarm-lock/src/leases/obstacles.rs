//! What is in the way of who asks: leases of others, those who came before, and what is not known; and whether a wait would close a circle.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use swarm_common::exit::Failure;
use swarm_common::identity;

use super::turn::Turn;
use crate::asked::Asked;
use crate::conflict::{Conflict, Sign, Why};
use crate::lease::{Lease, Line, Mode};
use crate::pattern::{self, Pattern};
use crate::table::{View, name};

/// What is in the way, and what was.
pub(super) struct Obstacles {
    pub(super) conflicts: Vec<Conflict>,
    /// Leases that would be in the way, and have ended.
    pub(super) dead: Vec<Lease>,
}

/// What is in the way of somebody who asks, or of anybody: leases of others, and those who wait with a lower number than `before`.
pub(super) fn obstacles(
    view: &mut View,
    agent_id: Option<&str>,
    mode: Mode,
    patterns: &[Pattern],
    before: u64,
) -> Result<Obstacles, Failure> {
    let asked = Asked::of(patterns);
    // Each with the place of what was asked for, in whose order they are told.
    let (mut found, mut dead): (Vec<(usize, Conflict)>, BTreeMap<u64, Lease>) = (Vec::new(), BTreeMap::new());
    for name in &view.near(patterns)? {
        let file = view.dir().join("held").join(name);
        for row in view.rows(name) {
            let row = match row {
                Some(Line::Lease(row)) => row,
                damaged => {
                    found.extend(unknown(&asked, name, damaged.is_some(), &file));
                    continue;
                }
            };
            if agent_id.is_some_and(|agent_id| row.is_of(agent_id)) || mode.agrees(row.mode) {
                continue;
            }
            let mut is_alive = None;
            for (text, is_literal) in row.patterns() {
                let met = asked.meet(&text, is_literal);
                if !met.is_empty() && !*is_alive.get_or_insert_with(|| row.is_alive(&view.clock)) {
                    dead.entry(row.token).or_insert_with(|| row.lease());
                    break;
                }
                found.extend(met.into_iter().map(|(at, witness)| {
                    let conflict = Conflict {
                        path: patterns[at].text().to_string(),
                        held: text.clone().into_owned(),
                        agent_id: Some(row.agent_id.text().into_owned()),
                        token: Some(row.token),
                        mode: row.mode,
                        since: Some(row.since()),
                        expires_at: Some(view.clock.wall(row.ends_us)),
                        reason: row.reason().into_owned(),
                        witness,
                        why: Why::Held,
                        circle: Vec::new(),
                        sign: Sign { file: file.clone(), is_waiter: false, ends_us: Some(row.ends_us), tie: row.tie() },
                    };
                    (at, conflict)
                }));
            }
        }
    }
    for waiter in view.waiters()?.iter().take_while(|waiter| waiter.number < before) {
        if agent_id.is_some_and(|agent_id| identity::is_same(agent_id, &waiter.agent_id)) || mode.agrees(waiter.mode) {
            continue;
        }
        // Of what it waits for, the first that meets is told.
        let mut met: BTreeMap<usize, (String, Option<String>)> = BTreeMap::new();
        for pattern in &waiter.patterns {
            for (at, witness) in asked.meet(pattern.text(), pattern.is_literal()) {
                met.entry(at).or_insert_with(|| (pattern.text().to_string(), witness));
            }
        }
        if met.is_empty() || !waiter.is_alive() {
            continue;
        }
        found.extend(met.into_iter().map(|(at, (held, witness))| {
            let conflict = Conflict {
                path: patterns[at].text().to_string(),
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
                sign: Sign { file: waiter.path.clone(), is_waiter: true, ends_us: None, tie: None },
            };
            (at, conflict)
        }));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(Obstacles { conflicts: found.into_iter().map(|(_, conflict)| conflict).collect(), dead: dead.into_values().collect() })
}

/// What a damaged file may have held, if that is in the way.
fn unknown(asked: &Asked<'_>, name: &str, is_set_aside: bool, file: &Path) -> Vec<(usize, Conflict)> {
    // All that lies in the file of a directory is about what is below it; of a file whose directory is not known, anything.
    let dir = name::dir_of(name).filter(|dir| !dir.is_empty());
    let held = dir.map_or(pattern::ROOT.to_string(), |dir| format!("{}/**", pattern::escape(&dir)));
    let conflict = |(at, witness): (usize, Option<String>)| {
        let conflict = Conflict {
            path: asked.patterns[at].text().to_string(),
            held: held.clone(),
            agent_id: None,
            token: None,
            mode: Mode::Exclusive,
            since: None,
            expires_at: None,
            reason: if is_set_aside { String::new() } else { "a line of the table that cannot be read".to_string() },
            witness,
            why: Why::Damaged,
            circle: Vec::new(),
            sign: Sign { file: file.to_path_buf(), is_waiter: false, ends_us: None, tie: None },
        };
        (at, conflict)
    };
    asked.meet(&held, false).into_iter().map(conflict).collect()
}

impl Turn<'_> {
    /// The circle of agents that would wait for each other if `agent_id` waited for what is in its way; empty if there is none.
    pub(super) fn circle(&mut self, agent_id: &str, conflicts: &[Conflict]) -> Result<Vec<String>, Failure> {
        let waiters = self.writer.view.waiters()?;
        let blockers =
            |conflicts: &[Conflict]| -> Vec<String> { conflicts.iter().filter_map(|conflict| conflict.agent_id.clone()).collect() };
        // Who waits for an agent that was found, by its name in lower case; each agent is looked at once.
        let mut behind: HashMap<String, String> = HashMap::new();
        let mut open = vec![(agent_id.to_string(), blockers(conflicts))];
        while let Some((agent, ahead)) = open.pop() {
            for next in ahead {
                if identity::is_same(&next, agent_id) {
                    let way = std::iter::successors(Some(&agent), |agent| behind.get(&agent.to_ascii_lowercase()));
                    let mut circle: Vec<String> = way.cloned().collect();
                    circle.reverse();
                    return Ok(circle);
                }
                if behind.contains_key(&next.to_ascii_lowercase()) {
                    continue;
                }
                behind.insert(next.to_ascii_lowercase(), agent.clone());
                for waiter in waiters.iter().filter(|waiter| identity::is_same(&waiter.agent_id, &next) && waiter.is_alive()) {
                    let found = obstacles(&mut self.writer.view, Some(&waiter.agent_id), waiter.mode, &waiter.patterns, waiter.number)?;
                    open.push((next.clone(), blockers(&found.conflicts)));
                }
            }
        }
        Ok(Vec::new())
    }
}
