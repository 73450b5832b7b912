//! Listing: each grant from its lines as they lie in the table, without a copy.

use swarm_common::exit::Failure;
use swarm_common::identity;

use super::Leases;
use crate::conflict;
use crate::lease::{Line, Row, Standing};
use crate::pattern::Pattern;
use crate::table::queue::Waiter;

/// The shortest line of a lease, about.
const LINE_BYTES_MIN: usize = 160;

/// A grant as it lies in the table.
pub struct Listed<'a> {
    /// Its lines: one for each directory that it has something in.
    pub rows: &'a [&'a Row<'a>],
    /// Whether all of it is in force.
    pub standing: Standing,
    /// How many wait for something of it.
    pub waiters: usize,
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
        // No line is shorter. What is too much is room that nobody touches.
        let mut lines: Vec<Option<Line<'_>>> = Vec::with_capacity(names.iter().map(|name| view.bytes(name).len() / LINE_BYTES_MIN).sum());
        for name in &names {
            let start = lines.len();
            lines.extend(view.rows(name));
            for line in &lines[start..] {
                match line {
                    Some(Line::Lease(_)) => {}
                    Some(Line::Damaged(aside)) => {
                        note(&format!("what {} held is not known: see 'swarm-lock sweep --damaged'", aside.text()))
                    }
                    None => note(&format!("{}: a line that cannot be read", view.dir().join("held").join(name).display())),
                }
            }
        }
        let mut rows: Vec<&Row<'_>> = lines.iter().flatten().filter_map(Line::lease).collect();
        rows.sort_by_key(|row| row.token);
        for rows in rows.chunk_by(|one, two| one.token == two.token).filter(|rows| rows.iter().any(|row| touches(row))) {
            let standings = rows.iter().map(|row| row.standing(&view.clock));
            let standing = standings.reduce(|one, two| if one == Standing::Alive { two } else { one }).unwrap_or(Standing::Alive);
            let waiting = waiters.iter().filter(|waiter| waits_for(waiter, rows) && waiter.is_alive()).count();
            each(&Listed { rows, standing, waiters: waiting })?;
        }
        Ok(())
    }
}

fn waits_for(waiter: &Waiter, rows: &[&Row<'_>]) -> bool {
    rows.iter().any(|row| {
        !identity::is_same(&waiter.agent_id, &row.agent_id.text())
            && !waiter.mode.agrees(row.mode)
            && row
                .patterns()
                .any(|(text, is_literal)| waiter.patterns.iter().any(|asked| conflict::meet(asked, &text, is_literal).is_some()))
    })
}
