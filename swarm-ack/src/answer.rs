//! The lines on standard output.

use std::time::Duration;

use jiff::Timestamp;
use swarm_common::exit::Failure;
use swarm_common::json::{self, Object};
use swarm_common::pending::Waiting;
use swarm_send::answer::Refusal;

use crate::story::{Event, Story, What};

/// What waits, for whom, and how it stands.
pub fn waiting(event: &str, waiting: &Waiting<'_>, retry: &[Duration], now: Timestamp) -> Vec<u8> {
    Object::new()
        .text("event", event)
        .text("msg_id", waiting.msg_id)
        .plain("seq", Some(waiting.seq))
        .text("sender_id", waiting.sender_id)
        .text("agent_id", waiting.agent_id)
        .text("state", waiting.standing(retry, now).word())
        .text("since", waiting.since)
        .plain("tries", Some(waiting.tries).filter(|&tries| tries > 0))
        .time("next_at", waiting.next_at(retry, now))
        .end()
}

/// swarm-send's answer to an acknowledgement, with the message that it is for.
pub fn about(answer: &[u8], msg_id: &str) -> Vec<u8> {
    let mut line = answer.strip_suffix(b"}").unwrap_or(answer).to_vec();
    line.extend_from_slice(b",\"reply_to\":");
    json::write_string(msg_id, &mut line);
    line.push(b'}');
    line
}

/// What was not acknowledged, and why.
pub fn refused(line: Option<u64>, msg_id: &str, failure: &Failure) -> Vec<u8> {
    let answer = swarm_send::answer::refused(line, &Refusal::from(failure.clone()));
    if msg_id.is_empty() { answer } else { about(&answer, msg_id) }
}

/// That a message was accepted.
pub fn accepted(story: &Story) -> Vec<u8> {
    let object = event("accepted", story.seq, &story.at).text("msg_id", &story.msg_id).text("msg_type", &story.msg_type);
    object.text("sender_id", &story.sender_id).list("recipients", story.recipients.iter().map(String::as_str)).end()
}

/// What came of it: a line for each agent.
pub fn events(Event { seq, at, what }: &Event) -> Vec<Vec<u8>> {
    match what {
        What::Delivery(outcomes) => outcomes
            .iter()
            .map(|outcome| {
                let object = event("delivery", *seq, at).text("agent_id", &outcome.agent_id).text("outcome", outcome.word.text());
                object.text("why", outcome.why.as_deref().unwrap_or_default()).end()
            })
            .collect(),
        What::Retry(retry) => {
            let object = event("retry", *seq, at).text("agent_id", &retry.agent_id).plain("try", Some(retry.count));
            vec![object.text("outcome", &retry.outcome).text("why", &retry.why).end()]
        }
        What::Ack { agent_id, msg_id, content } => {
            vec![event("acknowledged", *seq, at).text("agent_id", agent_id).text("msg_id", msg_id).text("content", content).end()]
        }
        What::Escalation(escalation) => {
            let escalated = |agent_id: &String| event("escalated", *seq, at).text("agent_id", agent_id).text("why", &escalation.why).end();
            escalation.agent_ids.iter().map(escalated).collect()
        }
    }
}

fn event(word: &str, seq: u64, at: &str) -> Object {
    Object::new().text("event", word).plain("seq", Some(seq)).text("timestamp", at)
}
