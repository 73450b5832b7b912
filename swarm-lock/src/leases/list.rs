//! Listing: each grant from its lines as they lie in the table, without a copy.

use swarm_common::exit::Failure;
use swarm_common::identity;
use swarm_common::json::Scanner;

use super::Leases;
use crate::conflict;
use crate::lease::{self, Line, Row, Standing};
use crate::pattern::Pattern;
use crate::table::queue::Waiter;

/// A grant as it lies in the table.
pub struct Listed<'a> {
    /// Its lines: one for each directory that it has something in.
    pub rows: &'a [Row<'a>],
    /// Whether all of it is in force.
    pub standing: Standing,
    /// How many wait for something of it.
    pub waiters: usize,
}

/// A line, to be read when its turn comes: to fill the room that ten thousand read ones take would cost more than to read a token twice.
struct Found<'a> {
    token: u64,
    /// The file that it lies in.
    name: &'a str,
    line: &'a [u8],
}

impl Leases {
    /// Tells `each` the leases that touch one of `patterns`, or all, in the order of their tokens; those that have ended and were not swept
    /// yet, too. `note` hears of lines that cannot be read.
    ///
    /// # Errors
    /// Status 3 when the table cannot be read, and what `each` answers.
    pub fn list(
        &self,
        patterns: Option<&[Pattern]>,
        note: &mut dyn FnMut(&str),
        each: &mut dyn FnMut(&Listed<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut view = self.table.read()?;
        let waiters = view.waiters()?;
        let mut names = match patterns {
            None => view.all()?,
            Some(patterns) => view.near(patterns)?,
        };
        let touches = |row: &Row<'_>| {
            patterns.is_none_or(|patterns| {
                row.patterns().any(|(text, is_literal)| patterns.iter().any(|asked| conflict::meet(asked, &text, is_literal).is_some()))
            })
        };
        // What touches may be a part of grants that go on elsewhere.
        let is_partial = patterns.is_some() && super::leases(&view, &names).any(|row| row.files > 1 && touches(&row));
        if is_partial {
            names = view.all()?;
        }
        let mut scanner = Scanner::new();
        let mut tell = |name: &str, line: Option<Line<'_>>| match line {
            Some(Line::Damaged(aside)) => note(&format!("what {} held is not known: see 'swarm-lock sweep --damaged'", aside.text())),
            _ => note(&format!("{}: a line that cannot be read", view.dir().join("held").join(name).display())),
        };
        let mut found: Vec<Found<'_>> = Vec::new();
        for name in &names {
            for line in view.lines(name) {
                match lease::token(line, &mut scanner) {
                    Some(token) => found.push(Found { token, name, line }),
                    None => tell(name, lease::parse(line, &mut scanner)),
                }
            }
        }
        found.sort_by_key(|found| found.token);
        let mut rows: Vec<Row<'_>> = Vec::new();
        for found in found.chunk_by(|one, two| one.token == two.token) {
            rows.clear();
            for Found { name, line, .. } in found {
                match lease::parse(line, &mut scanner) {
                    Some(Line::Lease(row)) => rows.push(row),
                    line => tell(name, line),
                }
            }
            if !rows.iter().any(touches) {
                continue;
            }
            let standings = rows.iter().map(|row| row.standing(&view.clock));
            let standing = standings.reduce(|one, two| if one == Standing::Alive { two } else { one }).unwrap_or(Standing::Alive);
            let waiting = waiters.iter().filter(|waiter| waits_for(waiter, &rows) && waiter.is_alive()).count();
            each(&Listed { rows: &rows, standing, waiters: waiting })?;
        }
        Ok(())
    }
}

fn waits_for(waiter: &Waiter, rows: &[Row<'_>]) -> bool {
    rows.iter().any(|row| {
        !identity::is_same(&waiter.agent_id, &row.agent_id.text())
            && !waiter.mode.agrees(row.mode)
            && row
                .patterns()
                .any(|(text, is_literal)| waiter.patterns.iter().any(|asked| conflict::meet(asked, &text, is_literal).is_some()))
    })
}
