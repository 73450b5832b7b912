//! Waiting for a lease: asleep until what is in the way may be gone.
//!
//! Whoever waits watches one of the things in its way: the waiter just ahead, else a lease. While that one is there, it cannot go, so it need not
//! look at any other. So a lease that is given back wakes the first in the queue, and nobody else.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use swarm_common::exit::Failure;
use swarm_common::platform::{self, Watch, Woken};
use swarm_common::time;

use crate::answer;
use crate::conflict::{Conflict, Sign, Why};
use crate::leases::{Acquired, Leases, Manner, Request};
use crate::table::agent::Notice;
use crate::table::{self, queue};

/// How often is looked after a process whose end the system does not tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks for a lease, and waits for it in the queue, at most so long; the last answer. Ends at once where the wait would close a circle, and
/// with status 1 when the reader of `output` is gone. `hear` gets what the agent lost.
///
/// # Errors
/// As [`Leases::acquire`]; the place in the queue is left.
pub fn acquire(
    leases: &Leases,
    request: &Request,
    limit: Option<Duration>,
    output: Option<BorrowedFd<'_>>,
    hear: &mut dyn FnMut(Vec<Notice>),
    note: &mut dyn FnMut(&str),
) -> Result<Acquired, Failure> {
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut place = None;
    let mut watched: Option<(Sign, Watch)> = None;
    loop {
        // Before the question: what changes behind it is not to be missed.
        let seen = watched.as_ref().map(|(sign, _)| mark(sign));
        let mut heard = Vec::new();
        let answer = leases.acquire(request, Manner::Queue(&mut place), &mut heard, note);
        // At once: the wait may be long, and be ended by a signal.
        if !heard.is_empty() {
            hear(heard);
        }
        let conflicts = match answer? {
            Acquired::Refused(conflicts) if place.is_some() => conflicts,
            answer => return Ok(answer),
        };
        if watched.is_none() && io::stderr().is_terminal() {
            let (words, _) = answer::words(&conflicts, time::now());
            words.iter().take(1).for_each(|first| note(&format!("waiting: {first}")));
        }
        let is_late = until.is_some_and(|until| until <= Instant::now());
        let Some(sign) = nearest(&conflicts).filter(|_| !is_late) else { return Ok(Acquired::Refused(conflicts)) };
        let watch = match &mut watched {
            Some((same, watch)) if same == sign => watch,
            _ => {
                let mut watch = Watch::new(&[]);
                watch.add_held(&sign.file);
                watched = Some((sign.clone(), watch));
                // It may have gone before it was watched: once more.
                continue;
            }
        };
        let end = sign.tie.as_ref().and_then(|process| process.end());
        let left = [
            until.map(|until| until.saturating_duration_since(Instant::now())),
            sign.ends_us.map(|ends_us| Duration::from_micros(ends_us).saturating_sub(platform::boottime())),
            (sign.tie.is_some() && end.is_none()).then_some(LOOK_EVERY),
        ];
        let left = left.into_iter().flatten().min().and_then(|left| Instant::now().checked_add(left));
        loop {
            let left = left.map(|left| left.saturating_duration_since(Instant::now()));
            let woken = watch.wait_or_end(output, end.as_ref().map(std::os::fd::AsFd::as_fd), left)?;
            if woken == Woken::ReaderGone {
                return Err(Failure::no("nobody reads the answer any more: not waited for"));
            }
            // Where the system tells of no changes, as when a user has too many watches, the file is looked at again and again, and not the table.
            if woken != Woken::Changed || watch.polling().is_none() || Some(mark(sign)) != seen {
                break;
            }
        }
        // A change gives the name another file: what is watched is the file, and the next change comes to the new one.
        watch.add_held(&sign.file);
    }
}

/// What changes about a sign when there is something to look at.
fn mark(sign: &Sign) -> Option<(u64, i64, i64, bool)> {
    let meta = fs::metadata(&sign.file).ok()?;
    let is_there = if sign.is_waiter { queue::is_held(&sign.file) } else { table::is_staged(&sign.file) };
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), is_there))
}

/// The one to watch: the waiter just ahead, who goes when those before him went; else the lease that ends last.
fn nearest(conflicts: &[Conflict]) -> Option<&Sign> {
    let ahead = conflicts.iter().filter(|conflict| conflict.why == Why::Waiting).map(|conflict| &conflict.sign);
    let held = conflicts.iter().filter(|conflict| conflict.why != Why::Waiting).map(|conflict| &conflict.sign);
    ahead.max_by_key(|sign| &sign.file).or_else(|| held.max_by_key(|sign| (sign.ends_us.is_none(), sign.ends_us, &sign.file)))
}
