//! The lines on standard output: what became of each record (DESIGN 8).

use std::os::fd::BorrowedFd;

use serde::Deserialize;
use swarm_common::exit::{Exit, Failure};
use swarm_common::json::{self, Object};
use swarm_common::ndjson::{self, Out};
use swarm_common::pending::Waiting;
use swarm_common::platform::Life;
use swarm_common::record::Escalation;
use swarm_common::registry::Route;

use crate::deliver::why;
use crate::delivery::{self, Told};
use crate::post::Letter;

/// Where the answers go; nowhere, where nobody wants them. A reader that leaves ends no more than the answers: what was asked to be sent is
/// sent.
pub struct Answers(Option<Out>);

impl Answers {
    /// Into `out`, if anywhere.
    pub fn to(out: Option<Out>) -> Answers {
        Answers(out)
    }

    /// True when somebody wants them.
    pub fn are_read(&self) -> bool {
        self.0.is_some()
    }

    /// One answer.
    ///
    /// # Errors
    /// Status 3 when it cannot be written (disk full).
    pub fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let done = self.0.as_mut().map_or(Ok(()), |out| out.line(line));
        self.outlive_reader(done)
    }

    /// Where they go, to notice when nobody reads them any more.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Out::fd)
    }

    /// There are no more: who reads them sees their end, whatever else is done yet.
    pub fn close(&mut self) {
        if self.0.take().is_some() {
            ndjson::close_stdout();
        }
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As [`Answers::line`].
    pub fn flush(&mut self) -> Result<(), Failure> {
        let done = self.0.as_mut().map_or(Ok(()), Out::flush);
        self.outlive_reader(done)
    }

    /// Sleeps until `input` can be read.
    ///
    /// # Errors
    /// What the system answers.
    pub fn wait_for(&mut self, input: BorrowedFd<'_>) -> Result<(), Failure> {
        match ndjson::wait_for_input(input, self.0.as_ref().map(Out::fd)) {
            Err(failure) if failure.is_quiet() => {
                self.0 = None;
                ndjson::wait_for_input(input, None)
            }
            done => done,
        }
    }

    fn outlive_reader(&mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        match done {
            Err(failure) if failure.is_quiet() => {
                self.0 = None;
                Ok(())
            }
            done => done,
        }
    }
}

/// `{"status":"accepted","seq":7,"msg_id":"..","recipients":["a"],"outcomes":[..]}`; without outcomes where nothing was to be delivered.
pub fn accepted(seq: u64, msg_id: &str, recipients: &[String], outcomes: Option<&[Told]>) -> Vec<u8> {
    let mut line = stored("accepted", seq, msg_id);
    line.extend_from_slice(b",\"recipients\":[");
    for (n, recipient) in recipients.iter().enumerate() {
        if n > 0 {
            line.push(b',');
        }
        json::write_string(recipient, &mut line);
    }
    line.push(b']');
    if let Some(outcomes) = outcomes {
        line.extend_from_slice(b",\"outcomes\":");
        line.extend_from_slice(&delivery::list(outcomes));
    }
    line.push(b'}');
    line
}

/// The seq that an answer tells.
pub fn seq_of(answer: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Stored {
        seq: u64,
    }
    serde_json::from_slice::<Stored>(answer).ok().map(|stored| stored.seq)
}

/// `{"status":"retried","seq":7,"msg_id":"..","try":1,"outcomes":[..]}`; without `try` where it was queued, and not unacknowledged.
pub fn retried(letter: &Letter, outcomes: &[Told]) -> Vec<u8> {
    let object = of("retried", letter).plain("try", letter.retry.map(|retry| retry.count));
    object.json("outcomes", &delivery::list(outcomes)).end()
}

/// `{"status":"escalated","seq":9,"msg_id":"..","reply_to":"..","agent_ids":["a"],"why":"gone","outcomes":[..]}`: the message that it is about is
/// `reply_to`.
pub fn escalated(letter: &Letter, reply_to: &str, escalation: &Escalation, outcomes: &[Told]) -> Vec<u8> {
    let object = of("escalated", letter).text("reply_to", reply_to).list("agent_ids", escalation.agent_ids.iter().map(String::as_str));
    object.text("why", &escalation.why).json("outcomes", &delivery::list(outcomes)).end()
}

/// How a wait ended: `acknowledged`, `escalated` or `timeout`, and who has not acknowledged.
pub fn waited(status: &str, msg_id: &str, seq: u64, missing: &[Waiting<'_>]) -> Vec<u8> {
    let object = Object::new().text("status", status).text("msg_id", msg_id).plain("seq", Some(seq));
    if missing.is_empty() { object.end() } else { object.list("waiting", missing.iter().map(|waiting| waiting.agent_id)).end() }
}

fn of(status: &str, letter: &Letter) -> Object {
    Object::new().text("status", status).plain("seq", Some(letter.seq)).text("msg_id", &letter.msg_id)
}

/// `{"status":"dry-run","recipients":["a"],"deliveries":[{"agent_id":"a","route":"pane","pane":"%3"},..]}`
pub fn dry_run(recipients: &[String], letter: &Letter) -> Vec<u8> {
    let deliveries = letter.to.iter().map(|recipient| {
        let object = Object::new().text("agent_id", &recipient.agent_id);
        let Some(agent) = &recipient.agent else { return object.text("why", why::NOT_REGISTERED).end() };
        let route = letter.route_to(agent);
        let pane = agent.pane.as_ref().filter(|_| route != Route::Inbox).map_or("", |pane| &pane.id);
        let why = if agent.life() == Life::Gone { why::GONE } else { "" };
        object.text("route", route.word()).text("pane", pane).text("why", why).end()
    });
    let mut line = Object::new().text("status", "dry-run").list("recipients", recipients.iter().map(String::as_str)).end();
    line.pop();
    line.extend_from_slice(b",\"deliveries\":[");
    line.extend_from_slice(&deliveries.collect::<Vec<_>>().join(&b","[..]));
    line.extend_from_slice(b"]}");
    line
}

/// `{"status":"accepted","seq":7,"msg_id":"..","repeated":true}`: without recipients, for they are those of the first one, whatever this one
/// says.
pub fn repeated(seq: u64, msg_id: &str) -> Vec<u8> {
    let mut line = stored("accepted", seq, msg_id);
    line.extend_from_slice(b",\"repeated\":true}");
    line
}

/// `{"status":"unknown","seq":7,"msg_id":"..","error":".."}`: written, and the disk would not say whether it keeps it.
pub fn unknown(seq: u64, msg_id: &str, why: &str) -> Vec<u8> {
    let mut line = stored("unknown", seq, msg_id);
    text("error", why, &mut line);
    line.push(b'}');
    line
}

fn stored(status: &str, seq: u64, msg_id: &str) -> Vec<u8> {
    let mut line = format!("{{\"status\":\"{status}\",\"seq\":{seq}").into_bytes();
    text("msg_id", msg_id, &mut line);
    line
}

/// The status of a record that a rule refused.
pub const REFUSED: &str = "refused";
/// The status of a record that the system could not store.
pub const FAILED: &str = "failed";

/// Why a record is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// [`REFUSED`] or [`FAILED`].
    pub status: &'static str,
    /// What is said.
    pub failure: Failure,
    /// When it is worth another try.
    pub retry_after_ms: Option<u64>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let status = if failure.exit == Exit::System { FAILED } else { REFUSED };
        Refusal { status, failure, retry_after_ms: None }
    }
}

/// `{"status":"refused","line":3,"error":"..","hint":".."}`; no line where it was no stream.
pub fn refused(number: Option<u64>, refusal: &Refusal) -> Vec<u8> {
    let mut line = format!("{{\"status\":\"{}\"", refusal.status).into_bytes();
    if let Some(number) = number {
        line.extend_from_slice(format!(",\"line\":{number}").as_bytes());
    }
    text("error", &refusal.failure.what, &mut line);
    if !refusal.failure.hint.is_empty() {
        text("hint", &refusal.failure.hint, &mut line);
    }
    if let Some(ms) = refusal.retry_after_ms {
        line.extend_from_slice(format!(",\"retry_after_ms\":{ms}").as_bytes());
    }
    line.push(b'}');
    line
}

fn text(name: &str, value: &str, line: &mut Vec<u8>) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
    json::write_string(value, line);
}
