//! tmux servers that end, are replaced, hang, or cannot be reached.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::io::ioctl_fionread;
use swarm_tests::swarm::{Answered, Swarm, outcomes};
use swarm_tests::tmux::{Mode, Pane, Server, StandIn, is_alive};
use swarm_tests::typed::{Piece, pieces};
use swarm_tests::wait::until;

use crate::{all_of, assert_outcome, is_untouched, texts};

/// What a call may take that finds tmux stopped: the time limit, and some for a loaded machine.
const BOUND: Duration = Duration::from_secs(20);

#[test]
fn a_pane_id_that_a_new_server_gave_again_is_another_pane() {
    let mut swarm = Swarm::start();
    let old = swarm.agent("agent-1");
    swarm.server.kill();
    swarm.server.boot();
    // Other files, and the same ids.
    let new = swarm.server.stand_in(&StandIn::new(Mode::Bracketed));
    assert_eq!(new.id, old.id);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "one"]), &[("agent-1", "refused: another tmux server")]);
    swarm.retry();
    assert!(is_untouched(&swarm.server, &new));
    // Registered anew it is reached.
    swarm.server.tmux(&["select-pane", "-e", "-t", &new.id]);
    swarm.register("agent-1", &new, &[]);
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "two"]), &[("agent-1", "delivered")]);
}

#[test]
fn a_server_that_ended_delivers_nothing_and_the_message_is_kept() {
    let mut swarm = Swarm::start();
    swarm.agent("agent-1");
    swarm.server.kill();
    let sent = swarm.send(&["--to", "agent-1", "one"]);
    let outcome = sent.outcome("agent-1");
    assert!(outcome.starts_with("refused: ") || outcome.starts_with("queued: "), "{sent:?}");
    assert_eq!(swarm.messages().len(), 1);
}

#[test]
fn a_tmux_variable_that_names_a_socket_which_is_gone_changes_nothing() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    let mut call = swarm.tool("swarm-send");
    call.args(["--as", "user", "--to", "agent-1", "one"]).env("TMUX", "/nonexistent/socket,1,0").env("TMUX_PANE", "%0");
    let sent = Answered::of(&call.output().unwrap());
    assert_outcome(&swarm, &sent, &[("agent-1", "delivered")]);
    assert_eq!(texts(&pane, 1), ["one"]);
}

#[test]
fn where_no_tmux_is_installed_or_its_socket_is_gone_messages_are_queued() {
    let mut swarm = Swarm::start();
    let pane = swarm.agent("agent-1");
    let empty = swarm.server.dir().join("empty");
    fs::create_dir(&empty).unwrap();
    let mut call = swarm.tool("swarm-send");
    let sent = Answered::of(&call.args(["--as", "user", "--to", "agent-1", "one"]).env("PATH", &empty).output().unwrap());
    assert_outcome(&swarm, &sent, &[("agent-1", "queued: tmux is not installed")]);

    let (socket, away) = (swarm.server.socket(), swarm.server.dir().join("away"));
    fs::rename(&socket, &away).unwrap();
    assert_outcome(&swarm, &swarm.send(&["--to", "agent-1", "two"]), &[("agent-1", "queued: tmux cannot be reached")]);
    fs::rename(&away, &socket).unwrap();
    swarm.retry();
    swarm.retry();
    assert_eq!(texts(&pane, 2), ["one", "two"]);
}

#[test]
fn a_stopped_server_costs_a_bounded_time_and_nothing_arrives_that_was_said_not_to_be_typed() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(3);
    // One that lives on another server is not kept from its message.
    let mut second = Server::start();
    let other = second.stand_in(&StandIn::new(Mode::Bracketed));
    let mut register = swarm.tool("swarm-agents");
    register.args(["register", "other", "--pane", &other.id]).env("TMUX", second.variable());
    assert!(register.status().unwrap().success());

    swarm.server.stop();
    let begun = Instant::now();
    let sent = swarm.send(&["--to", "agent-0,agent-1,agent-2,other", "one"]);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    let none = "queued: tmux does not answer";
    assert_outcome(&swarm, &sent, &[("agent-0", none), ("agent-1", none), ("agent-2", none), ("other", "delivered")]);
    assert_eq!(texts(&other, 1), ["one"]);
    swarm.server.go_on();
    for pane in &panes {
        assert!(is_untouched(&swarm.server, pane));
        swarm.server.tmux(&["select-pane", "-e", "-t", &pane.id]);
    }
    swarm.retry();
    swarm.retry();
    for pane in &panes {
        let read = || String::from_utf8_lossy(&pane.bytes()).into_owned();
        until("the retried message is read", || read().ends_with('\r'));
        let typed = read().replace(swarm_tests::tmux::MARK, "");
        assert_eq!(swarm_tests::typed::messages(typed.as_bytes()).unwrap().len(), 1, "{typed:?}");
    }
    assert_eq!(texts(&other, 1), ["one"]);
}

#[test]
fn a_server_that_stops_in_the_middle_is_answered_by_what_is_true() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(20);
    // It stops itself when the text is there, or some panes later.
    for (hook, at) in [("after-load-buffer", 1), ("after-paste-buffer", 1), ("after-paste-buffer", 8)] {
        stop_at(&swarm, hook, at);
        let begun = Instant::now();
        let sent = swarm.send(&["--to", "@all", "one"]);
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        swarm.server.go_on();
        swarm.server.tmux(&["set-hook", "-gu", hook]);
        until("no client is left", || swarm.server.tmux(&["list-clients"]).is_empty());
        assert_true_outcomes(&swarm, &panes, &sent, &mut |pane| {
            let bytes = all_of(&swarm.server, pane);
            swarm.server.tmux(&["select-pane", "-e", "-t", &pane.id]);
            bytes
        });
        assert!((0..panes.len()).any(|n| outcome_of(&sent, n) != "delivered"), "it did not stop in the middle");
        // What is queued comes once, later; the rest not again.
        swarm.retry();
        swarm.retry();
        for (n, pane) in panes.iter().enumerate() {
            let wanted = usize::from(!outcome_of(&sent, n).starts_with("unconfirmed"));
            let bytes = all_of(&swarm.server, pane);
            let count = count_in(&bytes, sent.seq());
            assert!(count == wanted || (wanted == 0 && count <= 1), "agent-{n}: {count} times; {sent:?}");
            swarm.server.tmux(&["select-pane", "-e", "-t", &pane.id]);
        }
    }
}

#[test]
fn a_server_killed_in_the_middle_of_a_broadcast_makes_no_outcome_a_lie() {
    let mut swarm = Swarm::configured("[delivery.default]\nenter_delay_ms = 0\nenter_delay_ms_per_kib = 0\n");
    let panes = swarm.agents(200);
    let terminals = swarm.server.tmux(&["list-panes", "-a", "-F", "#{pane_tty}"]);
    let terminals: Vec<&str> = terminals.lines().collect();
    // Stopped first, so that what it wrote so far can be read to the end before its terminals vanish with it.
    stop_at(&swarm, "after-paste-buffer", 100);
    let mut call = swarm.tool("swarm-send");
    call.args(["--as", "user", "--to", "@all", "one"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let send = call.spawn().unwrap();
    until("it stops", || swarm.server.is_stopped());
    let is_drained = || terminals.iter().all(|terminal| waiting(terminal) == 0);
    let total = || panes.iter().map(|pane| pane.bytes().len()).sum::<usize>();
    until("all that was typed is read", || {
        let before = total();
        thread::sleep(Duration::from_millis(20));
        is_drained() && total() == before
    });
    swarm.server.kill();
    let sent = Answered::of(&send.wait_with_output().unwrap());
    assert_eq!(sent.recipients().len(), 200, "{sent:?}");
    assert_true_outcomes(&swarm, &panes, &sent, &mut Pane::bytes);
    let delivered = (0..panes.len()).filter(|n| outcome_of(&sent, *n) == "delivered").count();
    assert!((50..150).contains(&delivered), "it was not killed in the middle: {delivered}");
}

/// Has the server stop itself at the end of such a command, the so-many-th time.
fn stop_at(swarm: &Swarm, hook: &str, at: usize) {
    let counter = swarm.server.dir().join("counter");
    let _ = fs::remove_file(&counter);
    let (counter, pid) = (counter.display(), swarm.server.pid());
    // It waits for the shell, and so it goes no further.
    let line = format!("echo >>{counter}; if [ \\$(wc -l <{counter}) -eq {at} ]; then kill -STOP {pid}; fi");
    swarm.server.tmux(&["set-hook", "-g", hook, &format!("run-shell \"{line}\"")]);
}

/// How many bytes wait in a terminal for whoever reads it.
fn waiting(terminal: &str) -> u64 {
    fs::File::open(terminal).and_then(|terminal| Ok(ioctl_fionread(terminal)?)).unwrap_or(0)
}

fn outcome_of(sent: &Answered, n: usize) -> String {
    sent.outcome(&format!("agent-{n}"))
}

/// How often a message was typed, entered or not, whole or not.
fn count_in(bytes: &[u8], seq: u64) -> usize {
    String::from_utf8_lossy(bytes).matches(&format!(", seq {seq}. ")).count()
}

/// Each `delivered` is there once and was entered; what is queued or refused is not there; the rest at most once.
fn assert_true_outcomes(swarm: &Swarm, panes: &[Pane], sent: &Answered, bytes_of: &mut dyn FnMut(&Pane) -> Vec<u8>) {
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for (n, pane) in panes.iter().enumerate() {
        let outcome = outcome_of(sent, n);
        let bytes = bytes_of(pane);
        let count = count_in(&bytes, sent.seq());
        let is_entered =
            pieces(&bytes).iter().any(|piece| matches!(piece, Piece::Message(message) if message.seq == sent.seq() && message.is_entered));
        let is_true = match outcome.split(':').next().unwrap() {
            "delivered" => count == 1 && is_entered,
            "unconfirmed" => count <= 1,
            _ => count == 0,
        };
        assert!(is_true, "agent-{n} is told {outcome} and got {:?}", String::from_utf8_lossy(&bytes));
        *words.entry(outcome).or_default() += 1;
    }
    eprintln!("{words:?}");
    let told: BTreeMap<String, String> = outcomes(&sent.answers[0]).into_iter().collect();
    let record =
        swarm.journal().into_iter().find(|record| record["msg_type"] == "DELIVERY" && record["reply_to"] == sent.answers[0]["msg_id"]);
    let record = record.unwrap_or_else(|| panic!("no DELIVERY in the journal"));
    assert_eq!(outcomes(&record["data"]).into_iter().collect::<BTreeMap<_, _>>(), told);
}

#[test]
fn a_tmux_that_never_greets_is_given_up_and_ended() {
    let mut swarm = Swarm::configured("[tmux]\ntimeout_ms = 300\n");
    let pane = swarm.agent("agent-1");
    // In tmux's place a program that reads all and says nothing.
    let bin = swarm.server.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    let pid_file = swarm.server.dir().join("pid");
    fs::write(bin.join("tmux"), format!("#!/bin/sh\necho $$ >>{}\nexec sleep 600\n", pid_file.display())).unwrap();
    fs::set_permissions(bin.join("tmux"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let begun = Instant::now();
    let mut call = swarm.tool("swarm-send");
    let sent = Answered::of(&call.args(["--as", "user", "--to", "agent-1", "one"]).env("PATH", path).output().unwrap());
    assert!(begun.elapsed() < BOUND);
    assert_outcome(&swarm, &sent, &[("agent-1", "queued: tmux does not answer")]);
    let pids = fs::read_to_string(&pid_file).unwrap();
    assert!(!pids.is_empty() && pids.lines().all(|pid| !is_alive(pid.parse().unwrap())), "it is not left behind: {pids:?}");
    assert!(is_untouched(&swarm.server, &pane));
}

#[test]
fn a_sender_that_is_killed_leaves_nothing_half_typed_that_a_retry_types_twice() {
    let mut swarm = Swarm::configured("[delivery.default]\nenter_delay_ms = 400\n");
    let panes = swarm.agents(5);
    for round in 0..6 {
        let mut call = swarm.tool("swarm-send");
        call.args(["--as", "user", "--to", "@all", &format!("round {round}")]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut send = call.spawn().unwrap();
        match round % 3 {
            // While the text is there and Enter is not.
            0 => until("the text is typed", || panes.iter().any(|pane| pane.text().contains(&format!("round {round}")))),
            // As soon as it is in the journal.
            1 => until("it is accepted", || {
                swarm.store().join("journal").exists()
                    && swarm.messages().iter().any(|record| record["content"] == format!("round {round}"))
            }),
            _ => until("its tmux is there", || !children(send.id()).is_empty() || send.try_wait().unwrap().is_some()),
        }
        send.kill().unwrap();
        send.wait().unwrap();
    }
    swarm.retry();
    swarm.retry();
    // What they left in tmux, the next sender ends.
    assert_eq!(swarm.send(&["--to", "@all", "last"]).status, 0);
    until("no client is left", || swarm.server.tmux(&["list-clients"]).is_empty());
    for pane in &panes {
        let bytes = all_of(&swarm.server, pane);
        for message in swarm.messages() {
            let seq = message["seq"].as_u64().unwrap();
            assert!(count_in(&bytes, seq) <= 1, "seq {seq} twice: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
    assert_eq!(swarm.server.tmux(&["list-buffers"]), "", "no text is left in tmux");
}

#[test]
fn senders_that_are_killed_at_any_moment_end_no_server_and_type_nothing_twice() {
    let mut swarm = Swarm::start();
    let panes = swarm.agents(4);
    thread::scope(|scope| {
        for worker in 0..4 {
            let swarm = &swarm;
            scope.spawn(move || {
                for round in 0..30 {
                    let mut call = swarm.tool("swarm-send");
                    call.args(["--as", "user", "--to", &format!("agent-{worker}"), &format!("round {round}")]);
                    let mut send = call.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
                    // The moment is what is tried; the killed one's whole group, as a time limit does it, every other time.
                    thread::sleep(Duration::from_millis((worker * 30 + round) * 37 % 130));
                    if round % 2 == 0 {
                        send.kill().unwrap();
                    } else {
                        let _ = killpg(Pid::from_raw(i32::try_from(send.id()).unwrap()), Signal::SIGKILL);
                    }
                    send.wait().unwrap();
                }
            });
        }
    });
    assert_eq!(swarm.send(&["--to", "@all", "last"]).status, 0, "the server lives");
    until("no client is left", || swarm.server.tmux(&["list-clients"]).is_empty());
    for pane in &panes {
        let bytes = all_of(&swarm.server, pane);
        for message in swarm.messages() {
            let seq = message["seq"].as_u64().unwrap();
            assert!(count_in(&bytes, seq) <= 1, "seq {seq} twice: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

fn children(pid: u32) -> String {
    let list = Command::new("pgrep").args(["-P", &pid.to_string()]).output().unwrap();
    String::from_utf8(list.stdout).unwrap()
}
