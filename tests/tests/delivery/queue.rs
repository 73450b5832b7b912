//! What could not be typed at once: it comes later, the oldest first, once each, and not at all when it has been read.

use std::process::Stdio;

use swarm_tests::swarm::{Answered, Swarm};
use swarm_tests::tmux::Pane;
use swarm_tests::wait::until;

use crate::{assert_outcome, texts};

/// Somebody looks at what the pane showed before.
fn look(swarm: &Swarm, pane: &Pane) {
    swarm.server.tmux(&["copy-mode", "-t", &pane.id]);
}

fn look_away(swarm: &Swarm, pane: &Pane) {
    swarm.server.tmux(&["send-keys", "-t", &pane.id, "-X", "cancel"]);
}

/// Messages that wait for agent-1, whose pane somebody looks into.
fn queued(count: usize) -> (Swarm, Pane) {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    look(&swarm, &pane);
    for n in 0..count {
        assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", &format!("text {n}")]), &[("agent-1", "queued: mode")]);
    }
    (swarm, pane)
}

#[test]
fn what_waited_comes_oldest_first_and_once_and_the_journal_tells_of_it() {
    let (swarm, pane) = queued(5);
    look_away(&swarm, &pane);
    let retried = swarm.retry();
    assert_eq!(retried.status, 0, "{retried:?}");
    assert_eq!(texts(&pane, 5), ["text 0", "text 1", "text 2", "text 3", "text 4"]);
    swarm.retry();
    swarm.send(&["--to", "agent-1", "--no-deliver", "x"]);
    assert_eq!(texts(&pane, 5).len(), 5);
    for message in swarm.messages().iter().filter(|message| message["content"] != "x") {
        let tries = swarm.tries(message["seq"].as_u64().unwrap(), "agent-1");
        assert_eq!(tries.first().unwrap(), "queued: mode");
        assert_eq!(tries.iter().filter(|outcome| *outcome == "delivered").count(), 1, "{tries:?}");
        assert_eq!(tries.last().unwrap(), "delivered");
    }
}

#[test]
fn a_send_that_finds_something_due_brings_it() {
    let (swarm, pane) = queued(2);
    look_away(&swarm, &pane);
    // It is not due at once: who is busy is not asked at every message.
    until("it was brought", || {
        assert_eq!(swarm.send(&["--to", "agent-1", "--route", "inbox", "x"]).status, 0);
        pane.text().matches('\r').count() >= 2
    });
    assert_eq!(texts(&pane, 2), ["text 0", "text 1"]);
}

#[test]
fn what_was_read_by_the_inbox_or_acknowledged_does_not_come_again() {
    let (swarm, pane) = queued(3);
    // Three are read; a fourth is acknowledged unread.
    swarm.good("swarm-tail", &["--cursor", "inbox-agent-1"]);
    let late = swarm.send(&["--to", "agent-1", "--ack", "late"]);
    assert_outcome(&swarm, &late, &[("agent-1", "queued: mode")]);
    let msg_id = late.answers[0]["msg_id"].as_str().unwrap().to_string();
    let mut ack = swarm.tool("swarm-send");
    ack.args(["--as", "agent-1", "--to", "user", "--allow-unknown", "--type", "ack", "--reply-to", &msg_id, "ok"]);
    let acked = ack.output().unwrap();
    assert!(acked.status.success(), "{acked:?}");
    look_away(&swarm, &pane);
    swarm.retry();
    assert_eq!(swarm.send(&["--to", "agent-1", "new"]).outcome("agent-1"), "delivered");
    assert_eq!(texts(&pane, 1), ["new"]);
}

#[test]
fn many_who_retry_at_once_deliver_once() {
    let (swarm, pane) = queued(10);
    look_away(&swarm, &pane);
    let retries: Vec<_> = (0..8)
        .map(|_| swarm.tool("swarm-send").arg("--retry-queued").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for retry in retries {
        let done = Answered::of(&retry.wait_with_output().unwrap());
        assert_eq!(done.status, 0, "{done:?}");
    }
    swarm.retry();
    let wanted: Vec<String> = (0..10).map(|n| format!("text {n}")).collect();
    assert_eq!(texts(&pane, 10), wanted);
}

#[test]
fn a_retry_that_is_killed_delivers_nothing_twice() {
    let (swarm, pane) = queued(6);
    swarm.configure("[delivery.default]\nenter_delay_ms = 150\n");
    look_away(&swarm, &pane);
    for n in 1..4 {
        let mut retry = swarm.tool("swarm-send").arg("--retry-queued").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("it has typed something, or there is nothing left", || {
            pane.text().matches(", seq ").count() >= n || retry.try_wait().unwrap().is_some()
        });
        retry.kill().unwrap();
        retry.wait().unwrap();
    }
    swarm.retry();
    let typed = String::from_utf8(crate::all_of(&swarm.server, &pane)).unwrap();
    for message in swarm.messages() {
        let count = typed.matches(&format!(", seq {}. ", message["seq"])).count();
        assert!(count <= 1, "{count} times: {message}\n{typed:?}");
    }
}

#[test]
fn a_damaged_position_of_the_queue_is_rebuilt_from_the_journal() {
    let (swarm, pane) = queued(2);
    look_away(&swarm, &pane);
    // Whatever is kept beside the journal, agents and locks is a copy.
    let mut damaged = 0;
    for entry in std::fs::read_dir(swarm.store()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !["journal", "agents", "config.toml", ".gitignore", "cursors"].contains(&name.as_str()) {
            damaged += damage(&entry.path());
        }
    }
    assert!(damaged > 0, "the position is kept somewhere");
    swarm.retry();
    assert_eq!(texts(&pane, 2), ["text 0", "text 1"]);
}

/// Writes garbage into every file that has something in it; how many there are.
fn damage(path: &std::path::Path) -> usize {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().flatten().map(|entry| damage(&entry.path())).sum();
    }
    let is_empty = std::fs::metadata(path).unwrap().len() == 0;
    if !is_empty {
        std::fs::write(path, b"{\"next_seq\":99,\0garbage").unwrap();
    }
    usize::from(!is_empty)
}
