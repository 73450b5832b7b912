//! Who gets a message, by which route, and who sent it.

use std::fs;

use serde_json::Value;
use swarm_tests::swarm::{Answered, Swarm};
use swarm_tests::tmux::{MARK, Mode, StandIn};
use swarm_tests::typed::{Piece, pieces};
use swarm_tests::wait::until;

use crate::{assert_outcome, is_untouched, messages, texts};

#[test]
fn everybody_is_every_living_agent_but_the_sender() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(4);
    panes[3].kill();
    until("it is gone", || !swarm_tests::tmux::is_alive(panes[3].pid));
    let mut call = swarm.tool_in(&panes[0], "swarm-send");
    let sent = Answered::of(&call.args(["--to", "@all", "one"]).output().unwrap());
    assert_outcome(&swarm, &sent, &[("agent-1", "delivered"), ("agent-2", "delivered")]);
    assert_eq!(texts(&panes[1], 1), ["one"]);
    assert_eq!(messages(&panes[2], 1)[0].from, "agent-0");
    assert!(is_untouched(&swarm.server, &panes[0]));
    assert_eq!(swarm.messages()[0]["recipients"], serde_json::json!(["@all"]));
}

#[test]
fn a_group_is_its_members_when_the_message_is_sent() {
    let mut swarm = Swarm::start();
    let panes = swarm.server.stand_ins(&StandIn::new(Mode::Bracketed), 3);
    swarm.register("ann", &panes[0], &["--group", "backend"]);
    swarm.register("bob", &panes[1], &["--group", "backend", "--group", "web"]);
    swarm.register("cay", &panes[2], &["--group", "web"]);
    let sent = swarm.send(&["--to", "@Backend", "one"]);
    assert_outcome(&swarm, &sent, &[("ann", "delivered"), ("bob", "delivered")]);
    // Who is named twice, in whatever case, gets it once.
    let sent = swarm.send(&["--to", "@web,BOB", "--to", "bob", "two"]);
    assert_outcome(&swarm, &sent, &[("bob", "delivered"), ("cay", "delivered")]);
    let sent = swarm.send(&["--to", "@nobody", "three"]);
    assert_eq!(sent.status, 2, "{sent:?}");
    assert_eq!(texts(&panes[0], 1), ["one"]);
    assert_eq!(texts(&panes[1], 2), ["one", "two"]);
    assert_eq!(texts(&panes[2], 1), ["two"]);
}

#[test]
fn whom_nobody_knows_is_refused_with_the_nearest_names_and_nothing_is_stored() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(2);
    let sent = swarm.send(&["--to", "agent-0,agnet-1", "one"]);
    assert_eq!(sent.status, 2, "{sent:?}");
    let all = format!("{sent:?}");
    assert!(all.contains("agnet-1") && all.contains("agent-1"), "{sent:?}");
    assert!(!swarm.store().join("journal").exists() || swarm.messages().is_empty());
    for pane in &panes {
        assert!(is_untouched(&swarm.server, pane));
    }
    // Of a stream the good records go on.
    let mut lines = String::new();
    for (to, text) in [("agnet-1", "bad"), ("agent-1", "good")] {
        lines += &format!("{{\"recipients\":[\"{to}\"],\"content\":\"{text}\"}}\n");
    }
    let file = swarm.server.dir().join("lines");
    fs::write(&file, lines).unwrap();
    swarm.server.tmux(&["select-pane", "-e", "-t", &panes[1].id]);
    let output = swarm.tool("swarm-send").args(["--as", "user"]).stdin(fs::File::open(file).unwrap()).output().unwrap();
    let sent = Answered::of(&output);
    assert_eq!(sent.status, 2, "{sent:?}");
    let statuses: Vec<&str> = sent.answers.iter().map(|answer| answer["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["refused", "accepted"]);
    until("the good one is typed", || panes[1].text().contains("| good\x1b[201~\r"));
}

#[test]
fn one_who_is_yet_to_come_is_queued_for_where_that_is_asked_for() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-0");
    let sent = swarm.send(&["--to", "agent-0,late", "--allow-unknown", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "delivered"), ("late", "queued: not registered")]);
    assert_eq!(texts(&pane, 1), ["one"]);
}

#[test]
fn a_message_for_the_journal_alone_is_typed_nowhere_then_or_later() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    let sent = swarm.send(&["--to", "agent-1", "--no-deliver", "quiet"]);
    assert_eq!(sent.status, 0, "{sent:?}");
    assert_eq!(swarm.messages().len(), 1);
    swarm.retry();
    assert_eq!(swarm.send(&["--to", "agent-1", "loud"]).outcome("agent-1"), "delivered");
    assert_eq!(texts(&pane, 1), ["loud"]);
}

#[test]
fn a_dry_run_says_who_would_get_it_and_does_nothing() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(2);
    let sent = swarm.send(&["--to", "@all", "--dry-run", "one"]);
    assert_eq!(sent.status, 0, "{sent:?}");
    assert!(["agent-0", "agent-1"].iter().all(|id| format!("{:?}", sent.answers).contains(id)), "{sent:?}");
    assert_eq!(swarm.send(&["--to", "agent-7", "--dry-run", "one"]).status, 2);
    assert!(!swarm.store().join("journal").exists() || swarm.journal().is_empty());
    for pane in &panes {
        assert!(is_untouched(&swarm.server, pane));
    }
}

#[test]
fn the_inbox_route_types_nothing_and_the_route_can_be_chosen_for_a_message() {
    let mut swarm = Swarm::start();
    let panes = swarm.server.stand_ins(&StandIn::new(Mode::Bracketed), 2);
    swarm.register("reader", &panes[0], &["--route", "inbox"]);
    swarm.register("agent-1", &panes[1], &[]);
    let sent = swarm.send(&["--to", "reader,agent-1", "one"]);
    assert_outcome(&swarm, &sent, &[("reader", "queued: inbox"), ("agent-1", "delivered")]);
    let sent = swarm.send(&["--to", "agent-1", "--route", "inbox", "two"]);
    assert_outcome(&swarm, &sent, &[("agent-1", "queued: inbox")]);
    swarm.retry();
    assert_eq!(texts(&panes[1], 1), ["one"]);
    assert!(is_untouched(&swarm.server, &panes[0]));
}

#[test]
fn a_wake_is_one_line_without_the_text_and_is_not_repeated_until_the_inbox_was_read() {
    let mut swarm = Swarm::start();
    let pane = swarm.server.stand_in(&StandIn::new(Mode::Bracketed));
    swarm.register("agent-1", &pane, &["--route", "wake"]);
    let wakes = |count: usize| {
        until("woken so often", || pieces(&pane.bytes()).len() >= count && pane.text().ends_with('\r'));
        assert_eq!(pieces(&pane.bytes()), vec![Piece::Wake { is_entered: true }; count]);
    };
    let outcome = |text: &str| swarm.send(&["--to", "agent-1", text]).outcome("agent-1");
    assert_eq!(outcome("secret 1"), "delivered");
    wakes(1);
    assert_eq!(outcome("secret 2"), "queued: unread");
    swarm.retry();
    assert_eq!(outcome("secret 3"), "queued: unread");
    wakes(1);
    // It reads: the cursor of the inbox moves.
    let read = swarm.good("swarm-tail", &["--cursor", "inbox-agent-1"]);
    assert!(read.contains("secret 3"));
    swarm.retry();
    wakes(1);
    assert_eq!(outcome("secret 4"), "delivered");
    wakes(2);
    assert!(!pane.text().contains("secret"));
}

#[test]
fn in_a_registered_pane_nobody_needs_a_name_and_another_name_is_refused_unless_forced() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(2);
    let send = |args: &[&str]| Answered::of(&swarm.tool_in(&panes[0], "swarm-send").args(["--to", "agent-1"]).args(args).output().unwrap());
    assert_eq!(send(&["one"]).outcome("agent-1"), "delivered");
    let refused = send(&["--as", "agent-1", "two"]);
    assert_eq!(refused.status, 2);
    assert!(refused.said.contains("--force"), "{refused:?}");
    assert_eq!(send(&["--as", "boss", "--force", "three"]).outcome("agent-1"), "delivered");
    let read = messages(&panes[1], 2);
    assert_eq!((read[0].from.as_str(), read[1].from.as_str()), ("agent-0", "boss"));
    assert_eq!(swarm.messages()[1]["forced_by"], "agent-0");
}

#[test]
fn two_agents_that_claim_one_pane_are_not_both_believed() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    let claim = |more: &[&str]| {
        let mut call = swarm.tool("swarm-agents");
        call.args(["register", "agent-2", "--pane", &pane.id]).args(more).env("TMUX", swarm.server.variable());
        call.output().unwrap().status.code()
    };
    assert_eq!(claim(&[]), Some(1));
    assert_eq!(swarm.send(&["--to", "agent-1", "one"]).outcome("agent-1"), "delivered");
    assert_eq!(swarm.send(&["--to", "agent-2", "two"]).status, 2, "nobody of that name");
    assert_eq!(claim(&["--force"]), Some(0));
    assert_eq!(swarm.send(&["--to", "agent-2", "three"]).outcome("agent-2"), "delivered");
    assert_eq!(swarm.send(&["--to", "agent-1", "four"]).status, 2, "it has lost its pane and its name");
    assert_eq!(texts(&pane, 2), ["one", "three"]);

    // At once, and many: one gets it.
    let other = swarm.server.stand_in(&StandIn::new(Mode::Bracketed));
    let claims: Vec<_> = (0..8)
        .map(|n| {
            let mut call = swarm.tool("swarm-agents");
            call.args(["register", &format!("rival-{n}"), "--pane", &other.id]).env("TMUX", swarm.server.variable());
            call.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    let codes: Vec<i32> = claims.into_iter().map(|mut claim| claim.wait().unwrap().code().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 1).count(), 7, "{codes:?}");
    let sent = swarm.send(&["--to", "@all", "five"]);
    assert_eq!(sent.recipients().len(), 2, "{sent:?}");
    assert_eq!(texts(&other, 1), ["five"]);
}

#[test]
fn a_record_of_an_agent_that_is_garbage_hurts_nobody_else_and_is_told() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(3);
    for garbage in [&b""[..], b"{", b"\0\xff\0", b"{\"agent_id\":\"agent-0\",\"route\":\"pane\",\"pane\":\"%0; kill-server\"}\n"] {
        fs::write(swarm.store().join("agents/agent-1.json"), garbage).unwrap();
        let sent = swarm.send(&["--to", "@all", "one"]);
        assert_outcome(&swarm, &sent, &[("agent-0", "delivered"), ("agent-2", "delivered")]);
        assert!(sent.said.contains("agent-1"), "it is told: {sent:?}");
        let sent = swarm.send(&["--to", "agent-1", "two"]);
        assert!(sent.status >= 2 && sent.said.contains("agent-1"), "{sent:?}");
    }
    let list: Vec<Value> = swarm.good("swarm-agents", &["list"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(list.len(), 2, "{list:?}");
    swarm.register("agent-1", &panes[1], &[]);
    assert_eq!(swarm.send(&["--to", "agent-1", "three"]).outcome("agent-1"), "delivered");
    assert_eq!(texts(&panes[1], 1), ["three"]);
    assert_eq!(texts(&panes[0], 4), ["one"; 4]);
    assert!(!panes[0].text().contains(MARK));
}
