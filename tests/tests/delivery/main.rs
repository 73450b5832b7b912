//! Messages on their way into real panes, each test with a tmux server of its own. What is looked at is what the programs in the panes got, byte
//! for byte, what was answered, and what the journal says; they have to agree.

#![allow(clippy::unwrap_used, clippy::panic)]

mod crowd;
mod hostile;
mod panes;
mod queue;
mod recipients;
mod servers;
mod signs;

use std::collections::BTreeMap;

use swarm_tests::swarm::{Answered, Swarm};
use swarm_tests::tmux::{MARK, Pane, Server};
use swarm_tests::typed::{self, Message};
use swarm_tests::wait::until;

/// The messages in a pane, when it has so many; there is nothing else in it.
fn messages(pane: &Pane, count: usize) -> Vec<Message> {
    let mut read = Vec::new();
    until("the messages are read", || {
        read = typed::messages(&pane.bytes()).unwrap_or_default();
        read.len() >= count && read.last().is_none_or(|message| message.is_entered)
    });
    assert_eq!(read.len(), count, "{:?}", pane.text());
    assert!(read.iter().all(|message| message.is_entered), "{read:?}");
    read
}

/// The texts in a pane, when it has so many.
fn texts(pane: &Pane, count: usize) -> Vec<String> {
    messages(pane, count).iter().map(|message| message.lines.join("\n")).collect()
}

/// All that a pane ever got; it gets nothing more. What is on its way gets there first.
fn all_of(server: &Server, pane: &Pane) -> Vec<u8> {
    until("no client is left", || server.tmux(&["list-clients"]).is_empty());
    server.seal(pane);
    let mut bytes = pane.bytes();
    bytes.truncate(bytes.len() - MARK.len());
    bytes
}

/// Nothing was typed into this pane, and nothing will be.
fn is_untouched(server: &Server, pane: &Pane) -> bool {
    let bytes = all_of(server, pane);
    assert!(bytes.is_empty(), "{:?}", String::from_utf8_lossy(&bytes));
    true
}

/// The message was sent and every outcome is this one; the journal says the same.
fn assert_outcome(swarm: &Swarm, sent: &Answered, outcomes: &[(&str, &str)]) {
    let wanted: BTreeMap<&str, &str> = outcomes.iter().copied().collect();
    let told: BTreeMap<String, String> = swarm_tests::swarm::outcomes(&sent.answers[0]).into_iter().collect();
    let told: BTreeMap<&str, &str> = told.iter().map(|(id, outcome)| (id.as_str(), outcome.as_str())).collect();
    assert_eq!(told, wanted, "{sent:?}");
    let status = i32::from(outcomes.iter().any(|(_, outcome)| outcome.starts_with("refused")));
    assert_eq!(sent.status, status, "{sent:?}");
    for (agent_id, outcome) in outcomes {
        assert_eq!(swarm.tries(sent.seq(), agent_id), [*outcome], "what the journal says of {agent_id}");
    }
}
