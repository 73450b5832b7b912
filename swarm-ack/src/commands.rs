//! The commands that only look: pending, status, wait.

use std::time::Instant;

use swarm_common::exit::{Exit, Failure};
use swarm_common::fold::Fold;
use swarm_common::journal::Journal;
use swarm_common::ndjson::Out;
use swarm_common::pending::{Pending, Standing, Waiting};
use swarm_common::platform::Woken;
use swarm_common::store::Store;
use swarm_common::{identity, time};

use crate::story::{self, Asked};
use crate::{answer, cli, targets};

/// What waits, by the journal as it is now.
///
/// # Errors
/// Status 3 when it cannot be read.
pub fn look(store: &Store, journal: &Journal) -> Result<Fold<Pending>, Failure> {
    let mut fold = Fold::load(&store.folds_place());
    fold.catch_up(journal)?;
    if fold.is_worth_saving() {
        // It is computed again where it cannot be written, as on a read-only disk.
        let _ = fold.save();
    }
    Ok(fold)
}

/// Prints what waits.
///
/// # Errors
/// Status 2 for what is no agent id, 3 when the system failed.
pub fn pending(options: &cli::Pending) -> Result<Exit, Failure> {
    let cli::Pending { agent, from, overdue, place } = options;
    for (name, id) in [("--for", agent), ("--from", from)] {
        id.as_deref().map_or(Ok(()), |id| identity::check(name, id))?;
    }
    let store = Store::look(place.store.as_deref())?;
    let fold = look(&store, &store.journal())?;
    let (retry, now) = (&store.config().ack.retry, time::now());
    let is = |wanted: &Option<String>, id: &str| wanted.as_deref().is_none_or(|wanted| identity::is_same(wanted, id));
    let is_late = |waiting: &Waiting<'_>| waiting.standing(retry, now) != Standing::Waiting;
    let (mut out, mut is_any) = (Out::stdout()?, false);
    for waiting in fold.state().all() {
        if is(agent, waiting.agent_id) && is(from, waiting.sender_id) && (!*overdue || is_late(&waiting)) {
            is_any = true;
            out.line(&answer::waiting("", &waiting, retry, now))?;
        }
    }
    out.flush()?;
    Ok(if is_any { Exit::Yes } else { Exit::No })
}

/// Prints the whole story of a message.
///
/// # Errors
/// Status 1 where retention took it, 2 where there is none of that id, 3 when the system failed.
pub fn status(options: &cli::Status) -> Result<Exit, Failure> {
    targets::id(None, &options.msg_id)?;
    let store = Store::look(options.place.store.as_deref())?;
    let journal = store.journal();
    // What waits is looked at first: what came meanwhile is then in the story, and the two do not contradict each other but in that.
    let fold = look(&store, &journal)?;
    let story = story::of(&journal, &options.msg_id)?;
    let mut out = Out::stdout()?;
    out.line(&answer::accepted(&story))?;
    for line in story.events.iter().flat_map(answer::events) {
        out.line(&line)?;
    }
    let (retry, now) = (&store.config().ack.retry, time::now());
    for waiting in fold.state().of(&options.msg_id).iter().filter(|waiting| story.acknowledged_by(waiting.agent_id).is_none()) {
        out.line(&answer::waiting("waiting", waiting, retry, now))?;
    }
    out.flush()?;
    Ok(Exit::Yes)
}

/// Waits until all who were asked have acknowledged a message.
///
/// # Errors
/// Status 1 where retention took it, 2 where it asks nobody or there is none of that id, 3 when the system failed.
pub fn wait(options: &cli::Wait) -> Result<Exit, Failure> {
    let cli::Wait { msg_id, timeout, place } = options;
    targets::id(None, msg_id)?;
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let store = Store::look(place.store.as_deref())?;
    let journal = store.journal();
    let story = story::of(&journal, msg_id)?;
    match story.asked {
        Asked::Nobody => {
            return Err(
                Failure::wrong(format!("the message {msg_id} asks nobody for an acknowledgement")).hint("to ask:  swarm-send --ack")
            );
        }
        Asked::Anybody => {
            return Err(Failure::wrong(format!(
                "the message {msg_id} asks everybody, and nobody was registered: nobody knows who that is"
            )));
        }
        Asked::These(_) => {}
    }
    // Before the first look: what comes behind it wakes.
    let (mut watch, mut out) = (journal.watch(), Out::stdout()?);
    let mut fold = look(&store, &journal)?;
    let retry = &store.config().ack.retry;
    loop {
        let oldest_seq = journal.oldest_seq()?;
        if story.seq < oldest_seq {
            return Err(story::gone(&format!("the message {msg_id}"), oldest_seq));
        }
        let missing = fold.state().of(msg_id);
        let is_escalated = missing.iter().any(|waiting| waiting.standing(retry, time::now()) == Standing::Escalated);
        let is_late = until.is_some_and(|until| until <= Instant::now());
        let (status, exit) = match (missing.is_empty(), is_escalated, is_late) {
            (true, ..) => ("acknowledged", Exit::Yes),
            (_, true, _) => ("escalated", Exit::No),
            (_, _, true) => ("timeout", Exit::No),
            _ => {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                if watch.wait(out.fd(), left)? == Woken::ReaderGone {
                    return Err(swarm_common::ndjson::reader_gone());
                }
                fold.catch_up(&journal)?;
                continue;
            }
        };
        out.line(&answer::waited(status, msg_id, story.seq, &missing))?;
        out.flush()?;
        return Ok(exit);
    }
}
