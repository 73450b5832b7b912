//! Delivery to panes of a real tmux, on a private socket.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Instant;

use support::{Tmux, content, message, send, wait};
use swarm_send::deliver::{Job, Word, deliver};

#[test]
fn a_message_is_typed_and_submitted() {
    let tmux = Tmux::new();
    let (pane, file) = tmux.keeper();
    let text = message("Which schema?\nold or new");
    let outcome = send(&tmux.agent("a", &pane), &text, &tmux.quick());
    assert_eq!((outcome.word, outcome.why), (Word::Delivered, None));
    wait("it is there", || content(&file) == format!("{}\n", text.text()));
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    for count in [1, 100, 1000] {
        let tmux = Tmux::new();
        let settings = tmux.quick();
        let ids: Vec<String> = (0..count).map(|_| tmux.window("exec cat")).collect();
        let last = ids.last().unwrap();
        wait("cat", || tmux.shown(last, "#{pane_current_command}") == "cat");
        let server = tmux.server();
        let agents: Vec<_> = ids
            .iter()
            .map(|id| {
                let mut agent = tmux.agent_of(id, &server);
                agent.agent_id = format!("agent-{}", &id[1..]);
                agent
            })
            .collect();
        for round in 0..5 {
            let text = message(&format!("round {round}"));
            let jobs: Vec<Job> = agents.iter().map(|agent| Job { agent, route: agent.route, text: &text }).collect();
            let since = Instant::now();
            let outcomes = deliver(&jobs, &settings);
            let took = since.elapsed();
            let bad = outcomes.iter().filter(|outcome| outcome.word != Word::Delivered).count();
            wait("shown", || tmux.screen(last).contains(&format!("round {round}")));
            eprintln!("{count} panes: {took:?}, shown {:?}, {bad} bad {:?}", since.elapsed(), outcomes[0]);
        }
        let since = Instant::now();
        for _ in 0..20 {
            tmux.run(&["display-message", "-p", "x"]);
        }
        eprintln!("display-message {:?}", since.elapsed() / 20);
    }
}
