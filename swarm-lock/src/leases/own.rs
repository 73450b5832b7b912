//! Giving back and prolonging what was named.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use swarm_common::exit::Failure;

use super::turn::{Edit, Turn};
use super::{Done, Named, Part, Which, join, leases, part};
use crate::event::Event;
use crate::lease::Lease;
use crate::pattern::Pattern;
use crate::table::agent::Notice;
use crate::table::ended;

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

impl Turn<'_> {
    pub(super) fn renew(&mut self, agent_id: &str, which: &Which, ttl: Duration) -> Result<Done, Failure> {
        let found = self.find(agent_id, which)?;
        let tokens: HashSet<u64> = found.own.iter().map(|(token, _)| *token).collect();
        let mut done = found.done;
        if tokens.is_empty() {
            return Ok(done);
        }
        // All of each grant, wherever it lies.
        let names = if self.is_all_of(&tokens, &found.names) { found.names } else { self.writer.view.all()? };
        self.writer.set_aside(&names, self.note)?;
        let ends_us = self.view().clock.after(ttl);
        let leases = self.prolong(&names, |row| tokens.contains(&row.token), ends_us, None)?;
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

    /// True if all that these grants have lies in these files.
    pub(super) fn is_all_of(&self, tokens: &HashSet<u64>, names: &[String]) -> bool {
        let mut left: HashMap<u64, u64> = HashMap::new();
        for row in leases(self.view(), names).filter(|row| tokens.contains(&row.token)) {
            let left = left.entry(row.token).or_insert(row.files);
            *left = left.saturating_sub(1);
        }
        left.values().all(|left| *left == 0)
    }

    pub(super) fn release(&mut self, agent_id: &str, which: &Which, force: Option<&str>) -> Result<Done, Failure> {
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
                        is_gone: false,
                        paths: part.paths.clone(),
                        at: clock.now,
                        by: Some(agent_id.to_string()),
                        reason: force.unwrap_or_default().to_string(),
                    },
                )?;
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

    /// The leases that were named, one's own and others'.
    fn find(&mut self, agent_id: &str, which: &Which) -> Result<Found, Failure> {
        let mut found = Found::default();
        let names = match which {
            Which::Paths(named) => {
                let readings: Vec<Pattern> = named.iter().flat_map(|named| named.readings.iter().cloned()).collect();
                self.writer.view.near(&readings)?
            }
            Which::Grant(token, patterns) => self.files_of(*token, patterns)?,
            Which::Token(_) | Which::All => self.writer.view.all()?,
        };
        self.writer.set_aside(&names, self.note)?;
        let view = &self.writer.view;
        match which {
            Which::Paths(named) => {
                // By text: which arguments mean it.
                let mut meant: HashMap<(&str, bool), Vec<usize>> = HashMap::new();
                for (at, Named { readings, .. }) in named.iter().enumerate() {
                    for reading in readings {
                        meant.entry((reading.text(), reading.is_literal())).or_default().push(at);
                    }
                }
                let (mut is_own, mut others): (Vec<bool>, Vec<Vec<_>>) = (vec![false; named.len()], vec![Vec::new(); named.len()]);
                for row in leases(view, &names).filter(|row| row.is_alive(&view.clock)) {
                    for (text, is_literal) in row.patterns() {
                        for &at in meant.get(&(&*text, is_literal)).into_iter().flatten() {
                            let it = (row.token, vec![(text.clone().into_owned(), is_literal)]);
                            if row.is_of(agent_id) {
                                is_own[at] = true;
                                found.own.push(it);
                            } else {
                                others[at].push((part(view, &row.lease(), true), it));
                            }
                        }
                    }
                }
                for ((Named { argument, .. }, is_own), others) in named.iter().zip(is_own).zip(others) {
                    if !is_own && others.is_empty() {
                        found.done.missing.push(argument.clone());
                    }
                    // What others hold with us, shared, is theirs.
                    for (part, it) in others.into_iter().filter(|_| !is_own) {
                        found.done.others.push((argument.clone(), part));
                        found.others.push(it);
                    }
                }
            }
            Which::Token(_) | Which::Grant(..) | Which::All => {
                for row in leases(view, &names).filter(|row| row.is_alive(&view.clock)) {
                    let is_own = row.is_of(agent_id);
                    let is_it = match which {
                        Which::Token(token) | Which::Grant(token, _) => row.token == *token,
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
                if let Which::Token(token) | Which::Grant(token, _) = which
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
