//! Ticks and watches that are killed at any moment: nothing is lost, nothing is escalated twice, and a text comes no more often than its tries and the kills.

use std::thread;
use std::time::Duration;

use swarm_tests::random::Random;
use swarm_tests::swarm::Swarm;
use swarm_tests::wait::until;

use crate::{BY_HAND, Running, ack, ask, escalations, pending, records, retries, tick};

const AGENTS: [&str; 3] = ["ann", "bob", "carl"];

/// All is escalated once, after each try was written down once.
fn check(swarm: &Swarm, count: usize, spans: usize) {
    until("all is escalated", || {
        tick(swarm);
        pending(swarm).iter().all(|(_, _, state, _)| state == "escalated")
    });
    let (escalations, retries) = (escalations(swarm), retries(swarm));
    assert_eq!(escalations.len(), count, "each message for each agent");
    assert!(escalations.values().all(|times| *times == 1), "{escalations:?}");
    assert_eq!(retries.len(), count * spans);
    assert!(retries.values().all(|times| *times == 1));
    // Everybody was told of each.
    let told = records(swarm, "DELIVERY");
    for escalation in records(swarm, "ESCALATION") {
        assert!(told.iter().any(|record| record["reply_to"] == escalation["msg_id"]), "{escalation}");
    }
}

#[test]
fn two_hundred_kills_of_ticks_and_watches_lose_nothing_and_escalate_nothing_twice() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1ms\", \"1ms\"]\n{BY_HAND}"));
    let mut random = Random(200);
    let messages = 400;
    ask(&swarm, &AGENTS.join(","), messages, &["--no-deliver"]);
    let mut killed = 0;
    while killed < 200 {
        let args: &[&str] = if killed % 2 == 0 { &["watch"] } else { &["tick", "--max", "40"] };
        let mut running = Running::begin(ack(&swarm, args));
        thread::sleep(Duration::from_micros(random.below(12_000)));
        running.kill();
        killed += 1;
    }
    check(&swarm, messages * AGENTS.len(), 3);
}

#[test]
fn in_panes_a_text_comes_no_more_often_than_its_tries_and_the_kills() {
    let mut swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1ms\"]\n{BY_HAND}[delivery.default]\nenter_delay_ms = 1\n"));
    let panes = swarm.agents(2);
    let mut random = Random(20);
    let messages = 6;
    ask(&swarm, "agent-0,agent-1", messages, &["--no-deliver"]);
    let mut killed = 0;
    for _ in 0..20 {
        let mut running = Running::begin(ack(&swarm, &["tick", "--max", "4"]));
        thread::sleep(Duration::from_micros(random.below(40_000)));
        killed += usize::from(running.child.try_wait().unwrap().is_none());
        running.kill();
    }
    check(&swarm, messages * 2, 2);
    for pane in &panes {
        let typed = pane.text();
        for seq in 1..=messages {
            let count = (1..=2).map(|retry| typed.matches(&format!(": INFO, seq {seq}, retry {retry}. ")).count()).collect::<Vec<_>>();
            assert!(count.iter().all(|count| (1..=1 + killed).contains(count)), "seq {seq}: {count:?}, {killed} kills");
        }
    }
}
