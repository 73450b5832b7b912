//! Ticks, and what each call does besides.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use swarm_tests::programs;
use swarm_tests::swarm::Swarm;
use swarm_tests::wait::until;

use crate::{BY_HAND, Running, ack, ask, done, escalations, pending, records, retries, tick};

fn state(swarm: &Swarm) -> String {
    let waiting = pending(swarm);
    let [(_, _, state, tries)] = waiting.as_slice() else { return format!("{waiting:?}") };
    format!("{state} {tries}")
}

#[test]
fn what_nobody_acknowledges_is_sent_again_then_brought_before_everyone_once_and_can_be_acknowledged_yet() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"100ms\", \"200ms\"]\n{BY_HAND}"));
    let sent = Instant::now();
    swarm.send(&["--to", "ann", "--ack", "--id", "m1", "--type", "question", "Which?"]);
    for (count, spans) in [(1, 100), (2, 300)] {
        until("it is late", || state(&swarm) == format!("overdue {}", count - 1));
        assert!(sent.elapsed() >= Duration::from_millis(spans), "too early");
        let lines = tick(&swarm);
        assert_eq!((lines.len(), &lines[0]["status"], &lines[0]["try"]), (1, &json!("retried"), &json!(count)), "{lines:?}");
    }
    // The last span again.
    until("it is late", || state(&swarm) == "overdue 2");
    assert!(sent.elapsed() >= Duration::from_millis(500), "too early");
    let lines = tick(&swarm);
    assert_eq!(
        (&lines[0]["status"], &lines[0]["agent_ids"], &lines[0]["why"]),
        (&json!("escalated"), &json!(["ann"]), &json!("no acknowledgement"))
    );
    assert_eq!((lines.len(), tick(&swarm), state(&swarm)), (1, vec![], "escalated 2".to_string()));
    let escalation = &records(&swarm, "ESCALATION")[0];
    assert_eq!((&escalation["recipients"], &escalation["reply_to"]), (&json!(["@all"]), &json!("m1")));
    assert!(escalation["content"].as_str().unwrap().ends_with("no acknowledgement of ann after 2 retries\nWhich?"), "{escalation}");
    assert_eq!(done(&ack(&swarm, &["--as", "ann", "m1"]).output().unwrap()).0, 0);
    assert_eq!((pending(&swarm), tick(&swarm)), (vec![], vec![]));
    let (_, story) = done(&ack(&swarm, &["status", "m1"]).output().unwrap());
    let story: Vec<&str> = story.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(story, ["accepted", "retry", "retry", "escalated", "acknowledged"]);
}

#[test]
fn eight_ticks_at_once_beside_sends_and_reads_send_each_of_five_hundred_again_once() {
    let swarm = Swarm::configured("[ack]\nretry = [\"1ms\", \"1h\"]\n");
    ask(&swarm, "ann", 500, &["--no-deliver"]);
    let ticks: Vec<_> = (0..8).map(|_| ack(&swarm, &["tick"]).spawn().unwrap()).collect();
    let others: Vec<_> = (0..8)
        .map(|n| {
            let (tool, args) = match n % 2 {
                0 => ("swarm-send", vec!["-q", "--as", "bob", "--to", "carl", "x"]),
                _ => ("swarm-tail", vec!["--inbox", "--as", "bob"]),
            };
            swarm.tool(tool).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for child in ticks {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    for child in others {
        child.wait_with_output().unwrap();
    }
    let retries = retries(&swarm);
    assert_eq!(retries.len(), 500);
    assert!(retries.iter().all(|((.., count), times)| *count == 1 && *times == 1));
}

#[test]
fn of_ten_thousand_that_are_late_each_tick_does_a_thousand_the_oldest_first() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1h\"]\n{BY_HAND}"));
    ask(&swarm, "ann", 10_000, &["--no-deliver"]);
    for n in 0..10 {
        let output = ack(&swarm, &["tick"]).output().unwrap();
        let (status, lines) = done(&output);
        assert_eq!((status, lines.len()), (0, 1000));
        let seqs: Vec<u64> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (n * 1000 + 1..=n * 1000 + 1000).collect::<Vec<u64>>());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let left = 9000 - n * 1000;
        assert_eq!(said.contains(&format!("{left} more are due")), left > 0, "{said}");
    }
    assert_eq!(tick(&swarm), Vec::<serde_json::Value>::new());
    assert_eq!(retries(&swarm).len(), 10_000);
    let (status, lines) = done(&ack(&swarm, &["tick", "--max", "3"]).output().unwrap());
    assert_eq!((status, lines.len()), (0, 0));
}

#[test]
fn who_is_gone_is_not_waited_for() {
    let swarm = Swarm::configured(&format!("[ack]\n{BY_HAND}"));
    let mut process = Command::new("sleep").arg("600").spawn().unwrap();
    swarm.good("swarm-agents", &["register", "ann", "--pid", &process.id().to_string()]);
    swarm.good("swarm-agents", &["register", "bob"]);
    swarm.send(&["--to", "ann,bob", "--ack", "--id", "m1", "Which?"]);
    assert_eq!(tick(&swarm), Vec::<serde_json::Value>::new());
    process.kill().unwrap();
    process.wait().unwrap();
    let lines = tick(&swarm);
    assert_eq!(
        (lines.len(), &lines[0]["status"], &lines[0]["agent_ids"], &lines[0]["why"]),
        (1, &json!("escalated"), &json!(["ann"]), &json!("gone"))
    );
    let waiting: Vec<_> = pending(&swarm).into_iter().map(|(_, agent, state, _)| (agent, state)).collect();
    assert_eq!(waiting, [("ann".to_string(), "escalated".to_string()), ("bob".to_string(), "waiting".to_string())]);
    assert_eq!(tick(&swarm), Vec::<serde_json::Value>::new());
    // It is in everyone's inbox, the sender's too.
    let inbox = swarm.good("swarm-tail", &["--inbox", "--as", "bob"]);
    assert!(inbox.contains("ann: gone, and has not acknowledged it"), "{inbox}");
}

#[test]
fn a_sender_says_when_it_is_sent_again_and_who_is_told() {
    let swarm = Swarm::configured(&format!("[ack]\nescalate = [\"bob\"]\n{BY_HAND}"));
    for (id, group) in [("ann", "x"), ("bob", "x"), ("carl", "leads"), ("dora", "leads")] {
        swarm.good("swarm-agents", &["register", id, "--group", group]);
    }
    swarm.send(&["--to", "ann", "--ack", "--id", "m1", "--retry", "1ms", "--escalate", "@LEADS", "Which?"]);
    swarm.send(&["--to", "ann", "--ack", "--id", "m2", "--retry", "1ms", "And?"]);
    swarm.send(&["--to", "ann", "--ack", "--id", "m3", "Hm?"]);
    let mut lines = tick(&swarm);
    lines.extend(tick(&swarm));
    let told: Vec<&str> = lines.iter().map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(told, ["retried", "retried", "escalated", "escalated"], "{lines:?}");
    let to: Vec<_> = records(&swarm, "ESCALATION").into_iter().map(|record| record["recipients"].clone()).collect();
    assert_eq!(to, [json!(["carl", "dora", "user"]), json!(["bob", "user"])]);
    for (args, hint) in
        [(["--escalate", "@leds"], "did you mean @leads?"), (["--escalate", "carll"], "did you mean carl?"), (["--retry", "0s"], "1 to 16")]
    {
        let refused = swarm.send(&[&["--to", "ann", "--ack", "x"], &args[..]].concat());
        assert!(refused.status == 2 && refused.said.contains(hint), "{refused:?}");
    }
    assert_eq!(swarm.send(&["--to", "ann", "--retry", "1s", "x"]).status, 2, "it asks for no acknowledgement");
    // Nobody of the group is there any more: everybody is told.
    swarm.send(&["--to", "ann", "--ack", "--id", "m4", "--retry", "1ms", "--escalate", "@leads", "Which?"]);
    swarm.good("swarm-agents", &["unregister", "carl"]);
    swarm.good("swarm-agents", &["unregister", "dora"]);
    tick(&swarm);
    tick(&swarm);
    assert_eq!(records(&swarm, "ESCALATION").last().unwrap()["recipients"], json!(["@all"]));
}

#[test]
fn a_send_an_acknowledgement_and_an_inbox_read_do_a_piece_and_who_only_looks_does_not() {
    type Act = fn(&Swarm);
    let acts: [(&str, bool, Act); 7] = [
        ("a send", true, |swarm| assert_eq!(swarm.send(&["--to", "bob", "x"]).status, 0)),
        ("an acknowledgement", true, |swarm| assert_eq!(done(&ack(swarm, &["--as", "carl", "k1"]).output().unwrap()).0, 0)),
        ("an inbox read", true, |swarm| drop(swarm.good("swarm-tail", &["--inbox", "--as", "bob"]))),
        ("a follower", true, |swarm| {
            let mut follow = swarm.tool("swarm-tail");
            follow.args(["--inbox", "--as", "carl", "-f"]);
            assert_eq!(Running::begin(follow).line()["msg_id"], "k1");
            let mut follow = swarm.tool("swarm-tail");
            follow.args(["--inbox", "--as", "dora", "-f"]);
            let _follow = Running::begin(follow);
            until("it was sent again", || !records(swarm, "RETRY").is_empty());
        }),
        ("a peek", false, |swarm| drop(swarm.good("swarm-tail", &["--inbox", "--as", "bob", "--peek"]))),
        ("what waits", false, |swarm| drop(swarm.good("swarm-ack", &["pending"]))),
        ("a dry run", false, |swarm| assert_eq!(swarm.send(&["--to", "bob", "--dry-run", "x"]).status, 0)),
    ];
    for (what, is_done, act) in acts {
        for auto in [true, false] {
            let swarm = Swarm::configured("[ack]\nauto = false\n");
            ask(&swarm, "ann", 1, &["--retry", "1ms"]);
            swarm.send(&["--to", "carl", "--ack", "--id", "k1", "x"]);
            swarm.configure(&format!("[ack]\nauto = {auto}\n"));
            if auto || what != "a follower" {
                act(&swarm);
            }
            assert_eq!(records(&swarm, "RETRY").len(), usize::from(is_done && auto), "{what}, auto = {auto}");
        }
    }
}

#[test]
fn without_room_for_what_has_to_be_written_down_nothing_is_done_and_it_is_said() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\"]\n{BY_HAND}"));
    ask(&swarm, "ann", 20, &[]);
    let tool = programs::dir().join("swarm-ack");
    let limited = |blocks: u64| {
        let mut call = swarm.server.command("bash");
        call.env("SWARM_STORE", swarm.store()).args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" tick"), tool.to_str().unwrap()]);
        call.output().unwrap()
    };
    let output = limited(1);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot append to the journal"), "{output:?}");
    assert_eq!(records(&swarm, "RETRY").len(), 0);
    assert_eq!(done(&limited(1000)).1.len(), 20);
}

#[test]
fn an_agents_damaged_record_keeps_nobody_elses_message() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1h\"]\n{BY_HAND}"));
    swarm.good("swarm-agents", &["register", "ann"]);
    swarm.good("swarm-agents", &["register", "bob"]);
    swarm.send(&["--to", "ann,bob", "--ack", "--id", "m1", "x"]);
    let path = swarm.store().join("agents/ann.json");
    let good = fs::read(&path).unwrap();
    fs::write(&path, "garbage\n").unwrap();
    assert_eq!(tick(&swarm).len(), 1);
    assert_eq!(tick(&swarm).len(), 0);
    fs::write(&path, good).unwrap();
    assert_eq!(tick(&swarm).len(), 1);
    assert_eq!(escalations(&swarm).len(), 0);
}

#[test]
fn a_tick_waits_a_while_for_another_and_then_says_no() {
    let swarm = Swarm::configured("[ack]\nretry = [\"1ms\"]\n");
    ask(&swarm, "ann", 1, &["--no-deliver"]);
    fs::create_dir_all(swarm.store().join("folds")).unwrap();
    let lock = swarm_common::files::lock(&swarm.store().join("folds/retry.lock"), true).unwrap();
    // A send does not wait at all.
    assert_eq!(swarm.send(&["--to", "bob", "x"]).status, 0);
    assert_eq!(records(&swarm, "RETRY").len(), 0);
    let output = ack(&swarm, &["tick"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    drop(lock);
    assert_eq!(tick(&swarm).len(), 1);
}

#[test]
fn retention_takes_nothing_that_waits_whoever_writes_and_says_what_it_took_that_was_never_acknowledged() {
    let small = "segment_bytes = 2000\nkeep_bytes = 8000\n";
    let swarm = Swarm::configured(&format!("[journal]\n{small}[ack]\nretry = [\"1h\"]\n{BY_HAND}"));
    let fill = |text: &str| {
        let mut said = String::new();
        for n in 0..40 {
            said.push_str(&swarm.send(&["--to", "bob", "--no-deliver", &text.repeat(300)]).said);
            let mut lock = swarm.tool("swarm-lock");
            let output = lock.args(["run", "--as", "zed", &format!("f{n}"), "--", "true"]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            said.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        said
    };
    let is_there = |id: &str| swarm.journal().iter().any(|record| record["msg_id"] == id);
    swarm.send(&["--to", "bob", "--id", "before", &"x".repeat(1900)]);
    swarm.send(&["--to", "ann", "--ack", "--id", "m1", "Which?"]);
    let said = fill("x");
    assert!(is_there("m1") && !is_there("before"), "what came before it may go");
    assert!(said.contains("kept that retention would remove: seq 2 waits for an acknowledgement yet"), "{said}");
    assert!(said.contains("swarm-lock: ") && said.contains("swarm-send: "), "{said}");
    // Acknowledged, it goes.
    assert_eq!(done(&ack(&swarm, &["--as", "ann", "m1"]).output().unwrap()).0, 0);
    fill("y");
    assert!(!is_there("m1"));
    // Escalated, it may go, and that is said.
    swarm.configure(&format!("[journal]\n{small}[ack]\nretry = [\"1ms\"]\n{BY_HAND}"));
    swarm.send(&["--to", "ann", "--ack", "--id", "m2", "Which?"]);
    tick(&swarm);
    tick(&swarm);
    let said = fill("z");
    assert!(!is_there("m2") && said.contains("removed a message that was escalated and never acknowledged"), "{said}");
    assert_eq!(pending(&swarm).len(), 0);
}

#[test]
fn on_a_terminal_it_is_shown_how_far_a_long_tick_is() {
    let swarm = Swarm::configured(&format!("[ack]\nretry = [\"1ms\", \"1h\"]\n{BY_HAND}"));
    ask(&swarm, "ann", 600, &["--no-deliver"]);
    let tool = programs::dir().join("swarm-ack");
    let mut script = swarm.server.command("script");
    script.env("SWARM_STORE", swarm.store()).args(["-qec", &format!("{} tick >/dev/null", tool.display()), "/dev/null"]);
    let output = script.stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.contains("\r256 of 600 done") && shown.contains("\r512 of 600 done"), "{output:?}");
    assert!(shown.ends_with("\r\x1b[K"), "and then it goes: {shown:?}");
}

#[test]
fn wrong_calls_are_refused() {
    let swarm = Swarm::start();
    for args in [&["tick", "--max", "0"][..], &["tick", "--max", "x"], &["tick", "m1"], &["watch", "m1"], &["tick", "--as", "ann"]] {
        let output = ack(&swarm, args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
}
