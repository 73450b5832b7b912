//! Waiting until all who were asked have acknowledged a message. While it waits, it does what falls due: without that a message that nobody answers would be
//! waited for without an end.

use std::time::{Duration, Instant};

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::pending::Standing;
use swarm_common::record::{self, Asks};
use swarm_common::time;

use crate::answer::{self, Answers};
use crate::attend::{Attendant, Wake};
use crate::cli::NAME;
use crate::post::Post;
use crate::tick::{self, Log};
use crate::turn;

/// So much is done of what is due, each time.
const COUNT_MAX: usize = 32;

/// Waits for the acknowledgements of the message with this seq and id, and tells how it ended: 0 where all have acknowledged, 1 where it was escalated, or
/// the time is out.
///
/// # Errors
/// Status 1 where retention took it, 2 where it asks nobody, 3 when the system failed.
pub fn acknowledged(
    post: &mut Post<'_>,
    seq: u64,
    msg_id: &str,
    timeout: Option<Duration>,
    answers: &mut Answers,
) -> Result<Exit, Failure> {
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let store = post.store();
    let is_open = asks(post, seq, msg_id)?;
    let mut attendant = Attendant::of(store)?;
    let retry = &store.config().ack.retry;
    loop {
        let pending = attendant.look()?;
        let missing = pending.of(msg_id);
        if missing.is_empty() && is_open && pending.is_open(msg_id) {
            return Err(Failure::wrong(format!(
                "the message {msg_id} asks everybody, and nobody was registered: nobody knows who that is"
            )));
        }
        let is_escalated = missing.iter().any(|waiting| waiting.standing(retry, time::now()) == Standing::Escalated);
        let is_late = until.is_some_and(|until| until <= Instant::now());
        let end = match (missing.is_empty(), is_escalated, is_late) {
            (true, ..) if seq < post.journal().oldest_seq()? => {
                return Err(gone(&format!("the message {msg_id}"), post.journal().oldest_seq()?));
            }
            (true, ..) => Some(("acknowledged", Exit::Yes)),
            (_, true, _) => Some(("escalated", Exit::No)),
            (_, _, true) => Some(("timeout", Exit::No)),
            _ => None,
        };
        if let Some((status, exit)) = end {
            answers.line(&answer::waited(status, msg_id, seq, &missing))?;
            answers.flush()?;
            return Ok(exit);
        }
        if attendant.wait(answers.fd(), until)? == Wake::Due {
            let done = turn::try_take(store).map(|turn| tick::tick(post, &turn, COUNT_MAX, &mut Log::default()));
            let done = done.transpose().unwrap_or_else(|failure| {
                exit::tell(NAME, &failure);
                None
            });
            attendant.done(done.map_or(0, |done| done.count));
        }
    }
}

/// True for a message that asks everybody, and does not say who that is.
fn asks(post: &Post<'_>, seq: u64, msg_id: &str) -> Result<bool, Failure> {
    let line = tick::line(post.journal(), seq, msg_id);
    let record = line.as_deref().and_then(record::parse);
    match record.as_ref().map(record::Record::asks) {
        Some(Asks::Nobody) => {
            Err(Failure::wrong(format!("the message {msg_id} asks nobody for an acknowledgement")).hint("to ask:  swarm-send --ack"))
        }
        Some(Asks::Everybody) => Ok(true),
        _ => Ok(false),
    }
}

/// A message that retention took.
pub fn gone(what: &str, oldest_seq: u64) -> Failure {
    Failure::no(format!("{what} is gone: retention removed it")).hint(format!("the journal begins at seq {oldest_seq} now"))
}
