//! What is sent again and what is brought before everyone, in panes.

use serde_json::json;
use swarm_tests::swarm::Swarm;
use swarm_tests::typed::{self, Piece};
use swarm_tests::wait::until;

use crate::{BY_HAND, ack, done, records, tick};

/// What a pane got, when it has so many pieces.
fn pieces(pane: &swarm_tests::tmux::Pane, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let one = |piece: &Piece| match piece {
        Piece::Message(message) => format!("{} {} {:?} {}", message.msg_type, message.seq, message.retry, message.lines.join("/")),
        Piece::Wake { .. } => "wake".to_string(),
        Piece::Else(text) => format!("else: {text}"),
    };
    let is_entered =
        |piece: &Piece| matches!(piece, Piece::Message(typed::Message { is_entered: true, .. }) | Piece::Wake { is_entered: true });
    until("it was typed", || {
        let pieces = typed::pieces(&pane.bytes());
        found = pieces.iter().map(one).collect();
        pieces.len() >= count && pieces.iter().all(is_entered)
    });
    found
}

#[test]
fn the_text_comes_again_with_its_number_and_the_escalation_to_everyone_who_is_there() {
    let mut swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1ms\"]\n{BY_HAND}"));
    let panes = swarm.agents(3);
    swarm.good("swarm-agents", &["register", "user"]);
    swarm.send(&["--to", "agent-0", "--ack", "--id", "m1", "--type", "question", "Which?"]);
    for n in 1..=3 {
        let lines = tick(&swarm);
        assert_eq!((lines.len(), lines[0]["outcomes"][0]["outcome"].as_str()), (1, Some("delivered")), "{n}: {lines:?}");
    }
    let escalation = records(&swarm, "ESCALATION")[0]["seq"].as_u64().unwrap();
    let told = format!("ESCALATION {escalation} None seq 1, QUESTION from user: no acknowledgement of agent-0 after 2 retries/Which?");
    assert_eq!(pieces(&panes[0], 4), ["QUESTION 1 None Which?", "QUESTION 1 Some(1) Which?", "QUESTION 1 Some(2) Which?", &told]);
    for pane in &panes[1..] {
        assert_eq!(pieces(pane, 1), std::slice::from_ref(&told));
    }
    assert!(swarm.good("swarm-tail", &["--inbox", "--as", "user"]).contains("ESCALATION"));
    assert!(panes[0].text().contains("INFO") || panes[0].text().contains("To acknowledge: swarm-ack m1"));
    assert_eq!(tick(&swarm).len(), 0);
    assert_eq!(pieces(&panes[1], 1).len(), 1, "once");
}

#[test]
fn who_has_read_it_is_only_reminded_and_finds_in_his_inbox_of_what() {
    let mut swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1ms\", \"1ms\"]\n{BY_HAND}"));
    let pane = swarm.agent("ann");
    swarm.good("swarm-agents", &["register", "bob"]);
    swarm.send(&["--to", "ann,bob", "--ack", "--id", "m1", "Which?"]);
    swarm.good("swarm-tail", &["--inbox", "--as", "ann"]);
    swarm.good("swarm-tail", &["--inbox", "--as", "bob"]);
    tick(&swarm);
    assert_eq!(pieces(&pane, 2), ["INFO 1 None Which?", "wake"]);
    // It has not looked since: it is not woken again.
    tick(&swarm);
    assert_eq!(pieces(&pane, 2).len(), 2);
    for id in ["ann", "bob"] {
        let inbox = swarm.good("swarm-tail", &["--inbox", "--as", id]);
        assert_eq!(inbox.lines().count(), 2, "{inbox}");
        assert!(inbox.contains("\"msg_type\":\"RETRY\"") && inbox.contains("is read, and not acknowledged: swarm-ack m1"), "{inbox}");
        // A reminder stands for the message that it is about.
        let mut call = ack(&swarm, &["--as", id, "-"]);
        let mut call = call.stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut call.stdin.take().unwrap(), inbox.as_bytes()).unwrap();
        let (status, lines) = done(&call.wait_with_output().unwrap());
        assert_eq!((status, lines.len(), &lines[0]["reply_to"]), (0, 1, &json!("m1")), "{lines:?}");
    }
    assert_eq!(tick(&swarm).len(), 0);
}

#[test]
fn what_is_in_the_way_is_written_down_and_the_next_try_comes() {
    let mut swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1ms\", \"1ms\"]\n{BY_HAND}[send]\nretry_queued = false\n"));
    let pane = swarm.agent("ann");
    swarm.server.tmux(&["copy-mode", "-t", &pane.id]);
    assert_eq!(swarm.send(&["--to", "ann", "--ack", "--id", "m1", "Which?"]).outcome("ann"), "queued: mode");
    let outcome = |swarm: &Swarm| tick(swarm)[0]["outcomes"][0].clone();
    assert_eq!(outcome(&swarm)["why"], "mode");
    swarm.server.tmux(&["send-keys", "-t", &pane.id, "-X", "cancel"]);
    assert_eq!(outcome(&swarm)["outcome"], "delivered");
    assert_eq!(pieces(&pane, 1), ["INFO 1 Some(2) Which?"]);
}

#[test]
fn when_tmux_was_gone_and_is_back_what_waits_goes_on() {
    let mut swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1ms\", \"1ms\"]\n{BY_HAND}"));
    swarm.agent("ann");
    swarm.good("swarm-agents", &["register", "user"]);
    assert_eq!(swarm.send(&["--to", "ann", "--ack", "--id", "m1", "Which?"]).outcome("ann"), "delivered");
    swarm.server.kill();
    // Its pane is gone, and so is the agent: everyone hears of it, who has an inbox.
    let lines = tick(&swarm);
    assert_eq!((lines.len(), &lines[0]["why"]), (1, &json!("gone")), "{lines:?}");
    swarm.send(&["--to", "ann", "--ack", "--id", "m2", "And?"]);
    assert_eq!(tick(&swarm)[0]["why"], "gone");
    swarm.server.boot();
    let pane = swarm.agent("ann");
    swarm.send(&["--to", "ann", "--ack", "--id", "m3", "Hm?"]);
    tick(&swarm);
    let seq = swarm.messages().iter().find(|message| message["msg_id"] == "m3").unwrap()["seq"].as_u64().unwrap();
    assert_eq!(pieces(&pane, 2), [format!("INFO {seq} None Hm?"), format!("INFO {seq} Some(1) Hm?")]);
    // It can acknowledge what was escalated, too.
    for id in ["m1", "m2", "m3"] {
        assert_eq!(done(&ack(&swarm, &["--as", "ann", id]).output().unwrap()).0, 0);
    }
    assert_eq!(done(&ack(&swarm, &["pending"]).output().unwrap()).0, 1);
}

#[test]
fn what_is_due_goes_along_with_a_send_that_types_and_before_it() {
    let mut swarm = Swarm::configured("[ack]\nretry = [\"1ms\", \"1h\"]\n");
    let panes = swarm.agents(2);
    swarm.send(&["--to", "agent-0", "--ack", "--id", "m1", "--no-deliver", "Which?"]);
    let sent = swarm.send(&["--to", "agent-0,agent-1", "new"]);
    assert_eq!((sent.outcome("agent-0"), sent.outcome("agent-1")), ("delivered".to_string(), "delivered".to_string()));
    assert_eq!(pieces(&panes[0], 2), ["INFO 1 Some(1) Which?".to_string(), format!("INFO {} None new", sent.seq())]);
    assert_eq!(pieces(&panes[1], 1).len(), 1);
    assert_eq!(records(&swarm, "RETRY").len(), 1);
}
