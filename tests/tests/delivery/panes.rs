//! Panes that cannot take a text now, or never again, and panes that others look at.

use std::process::Stdio;

use swarm_tests::swarm::Swarm;
use swarm_tests::tmux::{Mode, Pane, StandIn, is_alive};
use swarm_tests::wait::until;

use crate::{all_of, assert_outcome, is_untouched, texts};

/// Waits until tmux says this of a pane.
fn until_format(swarm: &Swarm, pane: &Pane, format: &str, wanted: &str) {
    until(&format!("{format} is {wanted}"), || swarm.server.format(&pane.id, format) == wanted);
}

#[test]
fn nothing_is_pasted_into_a_dead_pane_and_the_server_lives() {
    // paste-buffer into a dead pane crashes the server of tmux 3.3a, and every agent with it.
    let mut swarm = Swarm::start();
    swarm.server.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    let panes = swarm.agents(3);
    panes[1].kill();
    until_format(&swarm, &panes[1], "#{pane_dead}", "1");
    let sent = swarm.send(&["--to", "agent-0,agent-1,agent-2", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "delivered"), ("agent-1", "refused: dead pane"), ("agent-2", "delivered")]);
    // For everybody: one that is gone is nobody.
    let sent = swarm.send(&["--to", "@all", "two"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "delivered"), ("agent-2", "delivered")]);
    for pane in [&panes[0], &panes[2]] {
        assert_eq!(texts(pane, 2), ["one", "two"]);
    }
    assert!(is_alive(swarm.server.pid()));
    assert_eq!(swarm.server.format("main", "#{pid}"), swarm.server.pid().to_string());
}

#[test]
fn a_pane_that_dies_after_the_text_was_loaded_gets_nothing_and_the_server_lives() {
    let mut swarm = Swarm::start();
    swarm.server.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    let panes = swarm.agents(2);
    // Between look-up and paste, wherever exactly that is: when the text is loaded, or when the client is there, the program dies.
    let socket = swarm.server.socket();
    let wait = format!(
        "kill -9 {}; until [ \"$(tmux -S {} display-message -p -t '{}' '##{{pane_dead}}')\" = 1 ]; do sleep 0.01; done",
        panes[0].pid,
        socket.display(),
        panes[0].id
    );
    for hook in ["client-attached", "after-load-buffer", "after-set-buffer"] {
        swarm.server.tmux(&["set-hook", "-g", hook, &format!("run-shell {}", sh_quoted(&wait))]);
    }
    let sent = swarm.send(&["--to", "agent-0,agent-1", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "refused: dead pane"), ("agent-1", "delivered")]);
    assert_eq!(texts(&panes[1], 1), ["one"]);
    assert_eq!(panes[0].text(), "");
    assert!(is_alive(swarm.server.pid()));
}

/// A word of tmux's command language.
fn sh_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
}

#[test]
fn a_pane_that_closes_between_look_up_and_paste_is_refused() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(3);
    // Two ways in time: when the client attaches, when the text is loaded.
    swarm.server.tmux(&["set-hook", "-g", "client-attached", &format!("kill-pane -t {}", panes[0].id)]);
    swarm.server.tmux(&["set-hook", "-g", "after-load-buffer", &format!("kill-pane -t {}", panes[1].id)]);
    let sent = swarm.send(&["--to", "agent-0,agent-1,agent-2", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "refused: no such pane"), ("agent-1", "refused: no such pane"), ("agent-2", "delivered")]);
    assert_eq!(texts(&panes[2], 1), ["one"]);
    assert!(panes[0].text().is_empty() && panes[1].text().is_empty());
}

#[test]
fn a_closed_pane_is_refused_and_one_that_runs_another_process_too() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(2);
    swarm.server.tmux(&["kill-pane", "-t", &panes[0].id]);
    until("it is gone", || !is_alive(panes[0].pid));
    // Another program of the same kind now runs where the agent was.
    let file = swarm.server.dir().join("other");
    let recorder = swarm_tests::programs::dir().join("pane-recorder");
    let (recorder, file) = (recorder.to_str().unwrap(), file.to_str().unwrap());
    swarm.server.tmux(&["respawn-pane", "-k", "-t", &panes[1].id, "--", recorder, file, "bracketed"]);
    until("it runs", || std::path::Path::new(file).exists());
    let sent = swarm.send(&["--to", "agent-0,agent-1", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "refused: no such pane"), ("agent-1", "refused: another process in the pane")]);
    let other = Pane { file: file.into(), ..panes[1].clone() };
    assert!(is_untouched(&swarm.server, &other));
}

#[test]
fn a_pane_in_a_mode_gets_nothing_until_it_is_left() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(2);
    swarm.server.tmux(&["copy-mode", "-t", &panes[0].id]);
    let sent = swarm.send(&["--to", "agent-0,agent-1", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-0", "queued: mode"), ("agent-1", "delivered")]);
    assert_eq!(panes[0].text(), "");
    assert_eq!(swarm.server.format(&panes[0].id, "#{pane_in_mode}"), "1", "the user reads on");
    swarm.retry();
    assert_eq!(panes[0].text(), "");
    swarm.server.tmux(&["send-keys", "-t", &panes[0].id, "-X", "cancel"]);
    swarm.retry();
    swarm.retry();
    assert_eq!(texts(&panes[0], 1), ["one"]);
    assert!(all_of(&swarm.server, &panes[1]).len() < 300, "once");
}

#[test]
fn a_pane_with_its_input_off_gets_nothing_until_it_is_on() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    swarm.server.tmux(&["select-pane", "-d", "-t", &pane.id]);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "one"]), &[("agent-1", "queued: input off")]);
    swarm.server.tmux(&["select-pane", "-e", "-t", &pane.id]);
    swarm.retry();
    swarm.retry();
    assert_eq!(texts(&pane, 1), ["one"]);
}

#[test]
fn nothing_is_typed_at_a_shell_prompt() {
    let swarm = Swarm::start();
    let pane = swarm.server.window(&["bash", "--norc", "--noprofile", "-i"]);
    until("the prompt is there", || swarm.server.screen(&pane.id).contains("bash"));
    swarm.register("agent-1", &pane, &[]);
    let before = swarm.server.screen(&pane.id);
    for text in ["touch x", "$(touch x)", "\ntouch x\n"] {
        assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", text]), &[("agent-1", "queued: shell")]);
    }
    swarm.retry();
    // What bash got before this it would have echoed before this.
    swarm.server.tmux(&["send-keys", "-t", &pane.id, "-l", "#end"]);
    until("the mark is echoed", || swarm.server.screen(&pane.id).contains("#end"));
    assert_eq!(swarm.server.screen(&pane.id), format!("{before} #end"));
    assert!(!swarm.server.dir().join("x").exists());
}

#[test]
fn a_shell_that_says_it_is_an_agent_is_typed_at() {
    let mut swarm = Swarm::start();
    // A stand-in by a shell's name.
    let shell = swarm.server.dir().join("zsh");
    std::fs::copy(swarm_tests::programs::dir().join("pane-recorder"), &shell).unwrap();
    let pane = swarm.server.stand_in(&StandIn::new(Mode::Bracketed).program(&shell));
    assert_eq!(swarm.server.format(&pane.id, "#{pane_current_command}"), "zsh");
    swarm.register("agent-1", &pane, &[]);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "one"]), &[("agent-1", "queued: shell")]);
    assert_eq!(pane.text(), "");
    swarm.register("agent-1", &pane, &["--shell-ok"]);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "two"]), &[("agent-1", "delivered")]);
    swarm.retry();
    let mut read = texts(&pane, 2);
    read.sort();
    assert_eq!(read, ["one", "two"]);
}

#[test]
fn an_agent_that_died_and_left_its_shell_gets_nothing_typed() {
    let swarm = Swarm::start();
    let pane = swarm.server.window(&["bash", "--norc", "--noprofile", "-i"]);
    let file = swarm.server.dir().join("inside");
    let recorder = swarm_tests::programs::dir().join("pane-recorder");
    let line = format!("{} {} bracketed & echo $! >pid; fg", recorder.display(), file.display());
    until("the prompt is there", || swarm.server.screen(&pane.id).contains("bash"));
    swarm.server.tmux(&["send-keys", "-t", &pane.id, "-l", &line, ";", "send-keys", "-t", &pane.id, "Enter"]);
    until_format(&swarm, &pane, "#{pane_title}", "recorder");
    let pid: u32 = std::fs::read_to_string(swarm.server.dir().join("pid")).unwrap().trim().parse().unwrap();
    swarm.register("agent-1", &pane, &["--pid", &pid.to_string()]);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "one"]), &[("agent-1", "delivered")]);
    let inside = Pane { file, ..pane.clone() };
    assert_eq!(texts(&inside, 1), ["one"]);

    swarm_tests::tmux::signal(pid, nix::sys::signal::Signal::SIGKILL);
    until_format(&swarm, &pane, "#{pane_current_command}", "bash");
    let shown = || swarm.server.screen(&pane.id);
    until("bash has told of it", || shown().contains("Killed"));
    let before = shown();
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "touch x"]), &[("agent-1", "queued: shell")]);
    swarm.server.tmux(&["send-keys", "-t", &pane.id, "-l", "#end"]);
    until("the mark is echoed", || shown().contains("#end"));
    // A terminal that was raw may echo no more than this.
    assert_eq!(shown().replace("#end", "").trim_end(), before.trim_end());
    assert!(!swarm.server.dir().join("x").exists());
    assert_eq!(texts(&inside, 1), ["one"]);
}

#[test]
fn what_users_see_is_not_moved_and_their_other_panes_get_nothing() {
    let mut swarm = Swarm::start();
    // Panes of a window that two sessions have, zoomed on another one; and one in a third session.
    let stand_in = StandIn::new(Mode::Bracketed);
    let left = swarm.server.stand_in(&stand_in);
    let right = swarm.server.stand_ins_by(&["split-window", "-d", "-t", &left.id], &stand_in, 1).remove(0);
    swarm.server.tmux(&["new-session", "-d", "-s", "second", "-x", "90", "-y", "20", "--", "sleep", "infinity"]);
    let window = swarm.server.format(&left.id, "#{window_id}");
    swarm.server.tmux(&["link-window", "-d", "-s", &window, "-t", "second:"]);
    swarm.server.tmux(&["resize-pane", "-Z", "-t", &right.id]);
    let elsewhere = swarm.server.stand_ins_by(&["new-session", "-d", "-s", "third"], &stand_in, 1).remove(0);
    swarm.register("agent-1", &left, &[]);
    swarm.register("agent-2", &elsewhere, &[]);

    let state = || {
        let format = "#{session_name} #{window_id} #{window_active} #{window_width} #{window_height} #{window_zoomed_flag} #{pane_id} \
                      #{pane_active} #{pane_width} #{pane_height} #{session_attached} #{window_linked_sessions}";
        swarm.server.tmux(&["list-panes", "-a", "-F", format])
    };
    let before = state();
    let sent = swarm.send(&["--to", "agent-1,agent-2", "one"]);
    assert_outcome(&swarm, &sent, &[("agent-1", "delivered"), ("agent-2", "delivered")]);
    assert_eq!(texts(&left, 1), ["one"]);
    assert_eq!(texts(&elsewhere, 1), ["one"]);
    until("our client is gone", || swarm.server.tmux(&["list-clients"]).is_empty());
    assert_eq!(state(), before);
    assert!(is_untouched(&swarm.server, &right));
}

#[test]
fn panes_that_are_typed_into_together_get_nothing_until_they_are_apart() {
    // Enter would go to all panes of the window: to a shell with a half-typed command, too.
    let mut swarm = Swarm::start();
    let stand_in = StandIn::new(Mode::Bracketed);
    let left = swarm.server.stand_in(&stand_in);
    let right = swarm.server.stand_ins_by(&["split-window", "-d", "-t", &left.id], &stand_in, 1).remove(0);
    swarm.server.tmux(&["set-option", "-w", "-t", &left.id, "synchronize-panes", "on"]);
    swarm.register("agent-1", &left, &[]);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "one"]), &[("agent-1", "queued: synchronized")]);
    assert_eq!(left.text(), "");
    swarm.server.tmux(&["set-option", "-w", "-t", &left.id, "synchronize-panes", "off"]);
    swarm.retry();
    assert_eq!(texts(&left, 1), ["one"]);
    assert!(is_untouched(&swarm.server, &right));
}

#[test]
fn a_session_that_nobody_reads_and_one_that_a_user_is_attached_to_are_served_alike() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    // A user in control mode, and what it is told of.
    let mut user = swarm.server.command("tmux");
    user.args(["-L", "swarm-test", "-C", "attach-session", "-t", "main"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut user = user.spawn().unwrap();
    until("the user is there", || !swarm.server.tmux(&["list-clients"]).is_empty());
    let state = || swarm.server.tmux(&["list-clients", "-F", "#{client_name} #{client_session} #{window_id} #{client_flags}"]);
    let before = state();
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "one"]), &[("agent-1", "delivered")]);
    assert_eq!(texts(&pane, 1), ["one"]);
    until("our client is gone", || swarm.server.tmux(&["list-clients"]).lines().count() == 1);
    assert_eq!(state(), before);
    drop(user.stdin.take());
    user.wait().unwrap();
}
