//! `swarm-ack watch`, and who waits.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use swarm_tests::swarm::Swarm;
use swarm_tests::tmux::signal;
use swarm_tests::wait::until;

use crate::{BY_HAND, Running, ack, ask, done, escalations, records, retries};

/// A watch that is at work.
fn watch(swarm: &Swarm) -> Running {
    let mut watch = Running::begin(ack(swarm, &["watch"]));
    assert_eq!(watch.line()["status"], "watching");
    watch
}

#[test]
fn a_watch_does_what_falls_due_without_any_call_also_of_what_comes_while_it_sleeps() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"1h\"]\n{BY_HAND}"));
    let mut watch = watch(&swarm);
    swarm.send(&["--to", "ann", "--ack", "--id", "long", "x"]);
    swarm.send(&["--to", "ann", "--ack", "--id", "short", "--retry", "150ms,150ms", "x"]);
    let told: Vec<_> = (0..3).map(|_| watch.line()).map(|line| (line["status"].clone(), line["try"].clone())).collect();
    let told_of = |status: &str, count: serde_json::Value| (json!(status), count);
    assert_eq!(told, [told_of("retried", json!(1)), told_of("retried", json!(2)), told_of("escalated", json!(null))]);
    let about: Vec<_> = records(&swarm, "RETRY").iter().map(|record| record["reply_to"].clone()).collect();
    assert_eq!(about, ["short", "short"]);
}

#[test]
fn one_watches_and_another_stands_by_and_takes_over_when_the_first_is_killed() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"10ms\", \"1h\"]\n{BY_HAND}"));
    let mut first = watch(&swarm);
    let mut second = Running::begin(ack(&swarm, &["watch"]));
    assert_eq!(second.line()["status"], "standby");
    swarm.send(&["--to", "ann", "--ack", "--id", "m1", "x"]);
    assert_eq!(first.line()["msg_id"], "m1");
    first.kill();
    assert_eq!(second.line()["status"], "watching");
    swarm.send(&["--to", "ann", "--ack", "--id", "m2", "x"]);
    assert_eq!(second.line()["msg_id"], "m2");
    assert!(retries(&swarm).values().all(|times| *times == 1));
}

#[test]
fn who_has_ended_is_noticed_at_once_and_nothing_is_looked_at_while_nothing_happens() {
    let swarm = Swarm::configured(&format!("[ack]\n{BY_HAND}"));
    let mut process = Command::new("sleep").arg("600").spawn().unwrap();
    swarm.good("swarm-agents", &["register", "ann", "--pid", &process.id().to_string()]);
    swarm.send(&["--to", "ann", "--ack", "--id", "m1", "x"]);
    let mut watch = watch(&swarm);
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", watch.child.id())).unwrap();
        status.lines().find(|line| line.starts_with("voluntary")).unwrap().to_string()
    };
    // It has gone to sleep when it has not moved for a while; then it stays asleep.
    let mut last = switches();
    until("it sleeps", || {
        std::thread::sleep(Duration::from_millis(100));
        std::mem::replace(&mut last, switches()) == last
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(switches(), last, "it woke, and nothing had happened");
    process.kill().unwrap();
    process.wait().unwrap();
    let line = watch.line();
    assert_eq!((&line["status"], &line["why"]), (&json!("escalated"), &json!("gone")));
}

#[test]
fn a_watch_whose_turn_another_has_goes_on_when_that_one_is_gone() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"10ms\", \"1h\"]\n{BY_HAND}"));
    fs::create_dir_all(swarm.store().join("folds")).unwrap();
    let lock = swarm_common::files::lock(&swarm.store().join("folds/retry.lock"), true).unwrap();
    let mut watch = watch(&swarm);
    ask(&swarm, "ann", 3, &[]);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(records(&swarm, "RETRY").len(), 0);
    drop(lock);
    for n in 1..=3 {
        assert_eq!(watch.line()["seq"], n);
    }
}

#[test]
fn a_watch_ends_when_its_reader_goes() {
    let swarm = Swarm::configured("[ack]\n");
    let mut watch = watch(&swarm);
    let Running { child, lines } = &mut watch;
    drop(std::mem::replace(
        lines,
        std::io::BufReader::new(Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap()),
    ));
    until("it ended", || child.try_wait().unwrap().is_some());
}

#[test]
fn who_waits_does_what_falls_due_and_hears_how_it_ended() {
    let swarm = Swarm::configured("[ack]\nretry = [\"50ms\", \"50ms\"]\n");
    let sent = swarm.tool("swarm-send").args(["--as", "lead", "--to", "ann", "--ack", "--wait", "--id", "m1", "x"]).output().unwrap();
    let (status, lines) = done(&sent);
    assert_eq!((status, &lines[1]), (1, &json!({"status": "escalated", "msg_id": "m1", "seq": 1, "waiting": ["ann"]})));
    assert_eq!((retries(&swarm).len(), escalations(&swarm).len()), (2, 1));
    // All acknowledge, one after the other.
    swarm.configure("[ack]\nretry = [\"1h\"]\n");
    let mut wait = swarm.tool("swarm-send");
    wait.args(["--as", "lead", "--to", "ann,bob", "--ack", "--wait=1m", "--id", "m2", "x"]);
    let mut wait = Running::begin(wait);
    assert_eq!(wait.line()["status"], "accepted");
    for agent in ["ann", "bob"] {
        assert!(wait.child.try_wait().unwrap().is_none());
        assert_eq!(done(&ack(&swarm, &["--as", agent, "m2"]).output().unwrap()).0, 0);
    }
    assert_eq!(wait.line()["status"], "acknowledged");
    assert_eq!(wait.child.wait().unwrap().code(), Some(0));
    // Again under the same id: it is acknowledged already.
    let again = swarm.tool("swarm-send").args(["--as", "lead", "--to", "ann", "--ack", "--wait", "--id", "m2", "x"]).output().unwrap();
    assert_eq!(done(&again).1[1]["status"], "acknowledged", "{again:?}");
    let begun = Instant::now();
    let late = swarm.tool("swarm-send").args(["--as", "lead", "--to", "ann", "--ack", "--wait=100ms", "--id", "m3", "x"]).output().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert_eq!((late.status.code(), &done(&late).1[1]["status"]), (Some(1), &json!("timeout")));
}

#[test]
fn a_wait_that_cannot_end_is_refused() {
    let swarm = Swarm::start();
    for (args, told) in [
        (&["--to", "ann", "--wait", "x"][..], "--ack"),
        (&["--to", "@all", "--ack", "--wait", "x"], "nobody was registered"),
        (&["--to", "ann", "--ack", "--wait=soon", "x"], "no span of time"),
        (&["--to", "ann", "--ack", "--wait", "--no-deliver", "x"], "cannot be used with"),
        (&["--to", "ann", "--ack", "--wait"], "one message"),
    ] {
        let mut call = swarm.tool("swarm-send");
        let output = call.args(["--as", "lead"]).args(args).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(told), "{args:?}: {output:?}");
    }
}

#[test]
fn a_waiting_sender_that_is_interrupted_leaves_its_message_to_the_others() {
    let swarm = Swarm::configured("[ack]\nretry = [\"300ms\", \"1h\"]\n");
    let mut wait = swarm.tool("swarm-send");
    wait.args(["--as", "lead", "--to", "ann", "--ack", "--wait", "--id", "m1", "x"]);
    let mut wait = Running::begin(wait);
    assert_eq!(wait.line()["status"], "accepted");
    signal(wait.child.id(), nix::sys::signal::Signal::SIGINT);
    wait.child.wait().unwrap();
    until("a call does it", || {
        swarm.send(&["--to", "bob", "x"]);
        !records(&swarm, "RETRY").is_empty()
    });
    assert!(retries(&swarm).values().all(|times| *times == 1));
}
