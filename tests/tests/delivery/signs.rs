//! What an agent's composer shows: a draft that is left alone, and a sign that a text was taken.

use swarm_tests::swarm::Swarm;
use swarm_tests::tmux::{Mode, StandIn};
use swarm_tests::wait::until;

use crate::{assert_outcome, texts};

#[test]
fn a_draft_is_left_alone_and_what_was_queued_for_it_comes_when_it_is_gone() {
    let mut swarm = Swarm::configured("[delivery.default]\ndraft = '^> .'\n");
    let stand_in = StandIn::new(Mode::Bracketed).prompt("> ");
    let free = swarm.agent_like("agent-0", &stand_in);
    let busy = swarm.agent_like("agent-1", &stand_in.clone().draft("half a thou"));
    let sent = swarm.send(&["--to", "agent-0,agent-1", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "delivered"), ("agent-1", "queued: draft")]);
    assert_eq!(texts(&free, 1), ["one"]);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "two"]), &[("agent-1", "queued: draft")]);
    swarm.retry();
    assert_eq!(busy.text(), "");
    assert_eq!(swarm.server.screen(&busy.id), "> half a thou");
    // The human clears the line.
    swarm.server.tmux(&["send-keys", "-t", &busy.id, "C-u"]);
    until("the line is clear", || swarm.server.screen(&busy.id) == ">");
    swarm.retry();
    swarm.retry();
    until("both are read", || busy.text().matches('\r').count() >= 2);
    let typed = busy.text();
    let typed = typed.strip_prefix('\u{15}').unwrap();
    let read = swarm_tests::typed::messages(typed.as_bytes()).unwrap();
    let read: Vec<&str> = read.iter().map(|message| message.lines[0].as_str()).collect();
    assert_eq!(read, ["one", "two"], "oldest first, each once");
}

#[test]
fn a_text_counts_as_delivered_when_the_sign_was_seen_and_else_as_unconfirmed() {
    let mut swarm = Swarm::configured("[delivery.default]\ntaken = 'esc to interrupt'\nconfirm_ms = 300\n");
    let takes = swarm.agent_like("agent-0", &StandIn::new(Mode::Bracketed).prompt("> ").taken("* Working (esc to interrupt)"));
    let deaf = swarm.agent_like("agent-1", &StandIn::new(Mode::Bracketed).prompt("> "));
    let sent = swarm.send(&["--to", "agent-0,agent-1", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "delivered"), ("agent-1", "unconfirmed: no sign that it was taken")]);
    // What may have been taken is not typed again.
    swarm.retry();
    assert_eq!(texts(&takes, 1), ["one"]);
    assert_eq!(texts(&deaf, 1), ["one"]);
}

#[test]
fn enter_is_pressed_as_configured_and_after_the_configured_time() {
    let mut swarm = Swarm::configured("[delivery.slow]\nenter_delay_ms = 700\nenter_delay_ms_per_kib = 0\nsubmit = \"C-j\"\n");
    let pane = swarm.server.stand_in(&StandIn::new(Mode::Bracketed));
    swarm.register("agent-1", &pane, &["--kind", "slow"]);
    let begun = std::time::Instant::now();
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "one"]), &[("agent-1", "delivered")]);
    assert!(begun.elapsed().as_millis() >= 700, "apart in time: {:?}", begun.elapsed());
    until("it is entered", || pane.text().ends_with("\x1b[201~\n"));
}

#[test]
fn keys_that_would_end_an_agents_work_are_no_way_to_submit() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    for key in ["Escape", "C-c", "C-["] {
        swarm.configure(&format!("[delivery.default]\nsubmit = \"{key}\"\n"));
        let sent = swarm.send(&["--to", "agent-1", "one"]);
        assert!(sent.status >= 2 && sent.said.contains("submit"), "{key}: {sent:?}");
    }
    assert!(crate::is_untouched(&swarm.server, &pane));
}
