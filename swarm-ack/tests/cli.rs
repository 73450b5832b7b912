//! `swarm-ack` as a user calls it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command as Call;
use jiff::Timestamp;
use serde_json::{Value, json};
use swarm_common::files;
use swarm_common::journal::{Draft, Journal};
use swarm_common::message::{Ids, Message};
use swarm_common::registry::{Agent, Registry};
use swarm_common::store::Store;
use tempfile::TempDir;

/// A store of its own, and calls on it with nothing of the caller's swarm in their environment.
struct Swarm(TempDir);

impl Swarm {
    fn new() -> Swarm {
        Swarm(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn store(&self) -> Store {
        Store::open(Some(self.dir().as_os_str())).unwrap()
    }

    fn journal(&self) -> Journal {
        self.store().journal()
    }

    fn configure(&self, text: &str) {
        fs::write(self.store().dir().join("config.toml"), text).unwrap();
    }

    /// Sends a message of agent-0's; its id.
    fn send(&self, message: Message) -> String {
        let message = Message { sender_id: Some("agent-0".into()), content: Some("Which?".into()), ..message };
        let accepted = message.accept(&mut Ids::default()).unwrap();
        self.journal().append(std::slice::from_ref(&accepted.draft), &mut |_| {}).unwrap();
        accepted.draft.msg_id
    }

    /// Asks these for an acknowledgement.
    fn ask(&self, to: &[&str]) -> String {
        self.send(Message {
            recipients: Some(to.iter().map(|id| id.to_string()).collect()),
            requires_ack: Some(true),
            ..Message::default()
        })
    }

    /// A record of the tools.
    fn note(&self, body: Value) {
        let body = body.to_string().into_bytes()[1..].to_vec();
        let draft = Draft { msg_id: Ids::default().make(), id_is_own: false, sender_id: "agent-0".into(), body };
        self.journal().append(&[draft], &mut |_| {}).unwrap();
    }

    fn ack(&self, args: &[&str]) -> Call {
        let mut call = Call::new(env!("CARGO_BIN_EXE_swarm-ack"));
        call.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(self.0.path());
        call.env("SWARM_STORE", self.dir()).args(args).timeout(Duration::from_secs(60));
        call
    }

    /// Status, answers, words.
    fn run(&self, args: &[&str]) -> (i32, Vec<Value>, String) {
        told(self.ack(args).output().unwrap())
    }

    fn pipe(&self, args: &[&str], input: &str) -> (i32, Vec<Value>, String) {
        told(self.ack(args).write_stdin(input).output().unwrap())
    }

    fn begin(&self, args: &[&str]) -> Child {
        let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-ack"));
        call.env_clear().env("SWARM_STORE", self.dir()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn stored(&self) -> Vec<Value> {
        let mut names: Vec<_> = fs::read_dir(self.dir().join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "ndjson"));
        names.sort();
        names.iter().flat_map(|name| records(&fs::read(name).unwrap())).collect()
    }

    fn acks(&self) -> Vec<Value> {
        self.stored().into_iter().filter(|record| record["msg_type"] == "ACK").collect()
    }
}

fn records(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(output: Output) -> (i32, Vec<Value>, String) {
    (output.status.code().unwrap(), records(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until the process sleeps in such a call: what it was to do before is behind it.
fn until_asleep_in(call: &str, child: &Child) {
    let until = Instant::now() + Duration::from_secs(60);
    let is_asleep = || fs::read_to_string(format!("/proc/{}/wchan", child.id())).unwrap_or_default().contains(call);
    while !is_asleep() {
        assert!(Instant::now() < until, "it does not sleep");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn until_asleep(child: &Child) {
    until_asleep_in("poll", child);
}

#[test]
fn a_recipient_acknowledges_and_it_waits_for_the_others_alone() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann", "Bob"]);
    let (status, lines, _) = swarm.run(&["pending"]);
    assert_eq!((status, lines.len()), (0, 2));
    let since = &swarm.stored()[0]["timestamp"];
    let at: Timestamp = since.as_str().unwrap().parse().unwrap();
    let next_at = format!("{:.6}", at + Duration::from_secs(30));
    let expected = json!({"msg_id": id, "seq": 1, "sender_id": "agent-0", "agent_id": "ann", "state": "waiting", "since": since,
        "next_at": next_at});
    assert_eq!(lines[0], expected);
    let (status, lines, words) = swarm.run(&["--as", "ANN", "-m", "The new one.", &id]);
    assert_eq!((status, words.as_str()), (0, ""));
    let ack = &swarm.acks()[0];
    assert_eq!(lines, [json!({"status": "accepted", "seq": 2, "msg_id": ack["msg_id"], "recipients": ["agent-0"], "reply_to": id})]);
    assert_eq!((&ack["sender_id"], &ack["reply_to"], &ack["content"]), (&json!("ANN"), &json!(id), &json!("The new one.")));
    let (_, lines, _) = swarm.run(&["pending"]);
    assert_eq!(lines.iter().map(|line| &line["agent_id"]).collect::<Vec<_>>(), ["Bob"]);
    assert_eq!(swarm.run(&["--as", "bob", "--seq", "1"]).0, 0);
    assert_eq!(swarm.run(&["pending"]).0, 1, "nothing waits");
}

#[test]
fn twice_is_no_error_and_stores_nothing_new() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann"]);
    let (_, first, _) = swarm.run(&["--as", "ann", &id, &id]);
    assert_eq!(first.len(), 1, "named twice, answered once");
    let (status, lines, words) = swarm.run(&["--as", "ANN", &id]);
    let expected = json!({"status": "accepted", "seq": 2, "msg_id": first[0]["msg_id"], "repeated": true, "reply_to": id});
    assert_eq!((status, lines, words.as_str()), (0, vec![expected], ""));
    assert_eq!(swarm.acks().len(), 1);
}

#[test]
fn of_many_who_acknowledge_the_same_at_once_one_is_stored_and_all_are_told_so() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann"]);
    // All have seen that it waits before the first may write.
    let lock = files::lock(&swarm.dir().join("journal/lock"), true).unwrap();
    let children: Vec<Child> = (0..8).map(|_| swarm.begin(&["--as", "ann", &id])).collect();
    children.iter().for_each(|child| until_asleep_in("lock", child));
    drop(lock);
    let ends: Vec<_> = children.into_iter().map(|child| told(child.wait_with_output().unwrap())).collect();
    assert_eq!(swarm.acks().len(), 1);
    let answer = |line: &Value| (line["status"] == "accepted", line["seq"].as_u64(), line["reply_to"] == id);
    for (status, lines, words) in &ends {
        assert_eq!((*status, lines.len(), answer(&lines[0]), words.as_str()), (0, 1, (true, Some(2), true), ""));
    }
    assert_eq!(ends.iter().filter(|(_, lines, _)| lines[0]["repeated"] == true).count(), 7);
}

#[test]
fn who_was_not_asked_and_what_does_not_ask_are_refused_and_nothing_is_stored() {
    let swarm = Swarm::new();
    let asks = swarm.ask(&["ann"]);
    let tells = swarm.send(Message { recipients: Some(vec!["ann".into()]), ..Message::default() });
    swarm.run(&["--as", "ann", &asks]);
    let ack = swarm.acks()[0]["msg_id"].as_str().unwrap().to_string();
    let before = swarm.stored();
    for (own, id, why) in [
        ("zed", asks.as_str(), "does not ask zed for an acknowledgement"),
        ("agent-0", &asks, "does not ask agent-0"),
        ("ann", &tells, "does not ask for an acknowledgement"),
        ("agent-0", &ack, "is an acknowledgement: it needs none"),
        ("ann", "m-of-nobody", "no message has the id m-of-nobody"),
        ("ann", "a b", "is no message id"),
        ("ann", "", "is no message id"),
        ("a/b", &asks, "is no agent id"),
    ] {
        let (status, _, words) = swarm.run(&["--as", own, "--", id]);
        assert!(status == 2 && words.contains(why), "{own} {id}: {status} {words}");
    }
    let (status, lines, words) = swarm.run(&["--as", "ann", "--seq", "99"]);
    assert!(status == 2 && words.contains("the last one is seq 3") && lines[0]["status"] == "refused", "{words}");
    assert_eq!(swarm.stored(), before);
}

#[test]
fn one_that_is_refused_does_not_keep_the_others_back() {
    let swarm = Swarm::new();
    let (one, two) = (swarm.ask(&["ann"]), swarm.ask(&["ann"]));
    let (status, lines, _) = swarm.run(&["--as", "ann", &one, "nothing", &two]);
    let refused: Vec<&Value> = lines.iter().filter(|line| line["status"] == "refused").collect();
    assert_eq!((status, lines.len(), &refused[0]["reply_to"], swarm.acks().len()), (2, 3, &json!("nothing"), 2));
}

#[test]
fn a_wrong_call_says_what_is_wrong() {
    let swarm = Swarm::new();
    for (args, why) in [
        (&[][..], "which message?"),
        (&["m1"], "who are you?"),
        (&["--as", "a", "m1", "-"], "'-' stands alone"),
        (&["--as", "a", "--seq", "0"], "not a whole number from 1"),
        (&["pending", "--for", "@all"], "'@all' is no agent id"),
        (&["wait"], "MSG_ID"),
        (&["wait", "--timeout", "soon", "m1"], "is no span of time"),
        (&["status", "m1"], "no message has the id m1"),
        (&["wait", "m1"], "no message has the id m1"),
        (&["pending", "--frm", "a"], "--from"),
        (&["--as", "a", "pending"], "swarm-ack pending  (its options stand behind it)"),
        (&["--as", "a", "statsu"], "swarm-ack status "),
    ] {
        let (status, _, words) = swarm.run(args);
        assert!(status == 2 && words.contains(why), "{args:?}: {status} {words}");
    }
    assert_eq!(swarm.run(&["pending"]).0, 1);
    assert!(!swarm.dir().exists(), "who only looks makes no store");
}

#[test]
fn records_through_a_pipe_are_acknowledged_where_they_ask_me_and_passed_over_else() {
    let swarm = Swarm::new();
    let (one, two) = (swarm.ask(&["ann", "bob"]), swarm.ask(&["ann"]));
    swarm.send(Message { recipients: Some(vec!["ann".into()]), ..Message::default() });
    swarm.ask(&["bob"]);
    let inbox: String = swarm.stored().iter().map(|record| format!("{record}\r\n\n")).collect();
    let (status, lines, words) = swarm.pipe(&["--as", "ann", "-m", "seen", "-"], &inbox);
    assert_eq!((status, words.as_str()), (0, ""));
    assert_eq!(lines.iter().map(|line| line["reply_to"].as_str().unwrap()).collect::<Vec<_>>(), [one.as_str(), &two]);
    assert_eq!(swarm.acks().len(), 2);
    let (status, lines, _) = swarm.pipe(&["--as", "ann", "-"], &inbox);
    assert!(status == 0 && lines.iter().all(|line| line["repeated"] == true) && swarm.acks().len() == 2);
    assert_eq!(swarm.pipe(&["--as", "zed", "-"], &inbox), (1, vec![], String::new()), "none of it is his");
    assert_eq!(swarm.pipe(&["--as", "bob", "-"], &format!("{one}\n")).0, 0, "an id");
    for (input, why) in
        [("{\n", "line 1: no record"), ("a b\n", "line 1: message: 'a b'"), ("\nnobody\n", "line 2: no message"), ("[1]\n", "line 1")]
    {
        let (status, lines, words) = swarm.pipe(&["--as", "bob", "-"], input);
        assert!(status == 2 && words.contains(why) && lines[0]["line"].is_u64(), "{input}: {words}");
    }
}

#[test]
fn a_broadcast_waits_for_each_who_was_there_and_one_to_nobody_known_for_whoever_reads_it() {
    let swarm = Swarm::new();
    let all = Some(vec!["ann".to_string(), "bob".to_string()]);
    let everybody = || Message { recipients: Some(vec!["@all".into()]), requires_ack: Some(true), ..Message::default() };
    let known = swarm.send(Message { all, ..everybody() });
    assert_eq!(swarm.run(&["pending", "--for", "BOB"]).1.len(), 1);
    assert_eq!(swarm.run(&["--as", "carl", &known]).0, 2);
    assert_eq!(swarm.run(&["--as", "ann", &known]).0, 0);
    let unknown = swarm.send(everybody());
    assert_eq!(swarm.run(&["pending"]).1.len(), 1, "it waits for nobody by name");
    assert_eq!(swarm.run(&["--as", "carl", &unknown]).0, 0);
    assert_eq!(swarm.run(&["--as", "Carl", &unknown]).1[0]["repeated"], true);
    assert!(swarm.run(&["--as", "agent-0", &unknown]).2.contains("is your own"));
    assert!(swarm.run(&["wait", &unknown]).2.contains("nobody knows who that is"));
}

#[test]
fn what_is_late_is_overdue_and_each_try_gives_it_more_time() {
    let swarm = Swarm::new();
    swarm.configure("[ack]\nretry = [\"1ms\", \"1h\"]\n");
    let id = swarm.ask(&["ann", "bob"]);
    let late = |args: &[&str]| swarm.run(&[&["pending", "--overdue"], args].concat()).1;
    let until = Instant::now() + Duration::from_secs(60);
    while late(&[]).len() < 2 {
        assert!(Instant::now() < until);
    }
    assert_eq!(late(&["--for", "ann"])[0]["state"], "overdue");
    assert_eq!(late(&["--from", "ann"]), Vec::<Value>::new());
    swarm.note(json!({"msg_type": "RETRY", "sender_id": "agent-0", "reply_to": id, "data": {"agent_id": "ann", "try": 1, "outcome": "delivered"}, "content": ""}));
    let waiting = &swarm.run(&["pending", "--for", "ann"]).1[0];
    assert_eq!((&waiting["state"], &waiting["tries"]), (&json!("waiting"), &json!(1)));
    swarm.note(json!({"msg_type": "ESCALATION", "sender_id": "agent-0", "reply_to": id, "data": {"agent_ids": ["bob"], "why": "gone"}, "content": ""}));
    let waiting = &late(&["--for", "bob"])[0];
    assert_eq!((&waiting["state"], &waiting["next_at"]), (&json!("escalated"), &Value::Null));
    assert_eq!(swarm.run(&["--as", "bob", &id]).0, 0, "it can be acknowledged yet");
}

#[test]
fn the_story_of_a_message_is_told_in_the_order_in_which_it_happened() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann", "bob"]);
    let other = swarm.ask(&["zed"]);
    let of = |msg_type: &str, data: Value| {
        swarm.note(json!({"msg_type": msg_type, "sender_id": "agent-0", "reply_to": id, "data": data, "content": ""}))
    };
    let outcomes = json!([{"agent_id": "ann", "outcome": "delivered"}, {"agent_id": "bob", "outcome": "queued", "why": "shell"}]);
    of("DELIVERY", json!({"seq": 1, "outcomes": outcomes}));
    of("RETRY", json!({"agent_id": "bob", "try": 1, "outcome": "delivered"}));
    of("ESCALATION", json!({"agent_ids": ["bob"], "why": "no acknowledgement"}));
    swarm.note(json!({"msg_type": "ACK", "sender_id": "zed", "reply_to": id, "content": ""}));
    swarm.run(&["--as", "ann", "-m", "yes", &id]);
    swarm.run(&["--as", "zed", &other]);
    let (status, lines, _) = swarm.run(&["status", &id]);
    let told: Vec<(&str, &str)> =
        lines.iter().map(|line| (line["event"].as_str().unwrap(), line["agent_id"].as_str().unwrap_or_default())).collect();
    let expected = [
        ("accepted", ""),
        ("delivery", "ann"),
        ("delivery", "bob"),
        ("retry", "bob"),
        ("escalated", "bob"),
        ("acknowledged", "ann"),
        ("waiting", "bob"),
    ];
    assert_eq!((status, told), (0, expected.to_vec()));
    assert_eq!((&lines[2]["why"], &lines[5]["content"], &lines[6]["state"]), (&json!("shell"), &json!("yes"), &json!("escalated")));
}

#[test]
fn a_wait_sleeps_until_all_have_acknowledged() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann", "bob"]);
    let waiter = swarm.begin(&["wait", &id]);
    until_asleep(&waiter);
    swarm.run(&["--as", "ann", &id]);
    until_asleep(&waiter);
    swarm.run(&["--as", "bob", &id]);
    let (status, lines, words) = told(waiter.wait_with_output().unwrap());
    assert_eq!((status, lines, words.as_str()), (0, vec![json!({"status": "acknowledged", "msg_id": id, "seq": 1})], ""));
    assert_eq!(swarm.run(&["wait", &id]).0, 0, "it was before");
}

#[test]
fn a_wait_ends_with_a_no_when_its_time_is_out_or_the_message_is_escalated() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann", "bob"]);
    swarm.run(&["--as", "ann", &id]);
    let (status, lines, _) = swarm.run(&["wait", "--timeout", "20ms", &id]);
    assert_eq!((status, &lines[0]), (1, &json!({"status": "timeout", "msg_id": id, "seq": 1, "waiting": ["bob"]})));
    let waiter = swarm.begin(&["wait", "--timeout", "60s", &id]);
    until_asleep(&waiter);
    swarm.note(json!({"msg_type": "ESCALATION", "sender_id": "agent-0", "reply_to": id, "data": {"agent_ids": ["bob"], "why": "gone"}, "content": ""}));
    let (status, lines, _) = told(waiter.wait_with_output().unwrap());
    assert_eq!((status, &lines[0]["status"]), (1, &json!("escalated")));
    let tells = swarm.send(Message { recipients: Some(vec!["ann".into()]), ..Message::default() });
    assert_eq!(swarm.run(&["wait", &tells]).0, 2, "it asks nobody");
}

#[test]
fn a_wait_whose_reader_is_gone_ends() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann"]);
    let mut waiter = swarm.begin(&["wait", &id]);
    drop(waiter.stdout.take());
    assert_eq!(waiter.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn what_retention_removed_is_told_apart_from_what_never_was() {
    let swarm = Swarm::new();
    swarm.configure("[journal]\nsegment_bytes = 500\nkeep_bytes = 1000\n");
    let id = swarm.ask(&["ann"]);
    // What waits is kept; what was brought before everyone may go.
    swarm.note(json!({"msg_type": "ESCALATION", "sender_id": "agent-0", "reply_to": id, "data": {"agent_ids": ["ann"], "why": "gone"}, "content": ""}));
    while swarm.journal().oldest_seq().unwrap() == 1 {
        swarm.send(Message { recipients: Some(vec!["ann".into()]), ..Message::default() });
    }
    for args in [&["--as", "ann", id.as_str()][..], &["--as", "ann", "--seq", "1"], &["status", &id], &["wait", &id]] {
        let (status, _, words) = swarm.run(args);
        assert!(status == 1 && words.contains("gone: retention removed it"), "{args:?}: {status} {words}");
    }
    assert_eq!(swarm.run(&["pending"]).0, 1, "it waits no longer");
    let unknown = Ids::default().make();
    let (status, _, words) = swarm.run(&["--as", "ann", &unknown]);
    assert!(status == 2 && words.contains("no message has the id"), "{words}");
    let (status, _, words) = swarm.run(&["--as", "ann", "release-7"]);
    assert!(status == 2 && words.contains("this one perhaps"), "{words}");
}

#[test]
fn a_saved_position_that_is_missing_or_damaged_is_made_again() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann", "bob"]);
    swarm.run(&["--as", "ann", &id]);
    let path = swarm.dir().join("folds/pending.ndjson");
    let expected = swarm.run(&["pending"]);
    let saved = fs::read(&path).unwrap();
    for damaged in [&b""[..], b"{", &saved[..saved.len() / 2], b"\0\0\0\0"] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(swarm.run(&["pending"]), expected);
        assert_eq!(fs::read(&path).unwrap(), saved);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(swarm.run(&["pending"]), expected);
}

#[test]
fn the_sender_is_told_by_its_route() {
    let swarm = Swarm::new();
    let registry = Registry::of(&swarm.store());
    for id in ["agent-0", "ann"] {
        registry.put(&Agent::new(id, Timestamp::now()), false).unwrap();
    }
    let id = swarm.ask(&["ann"]);
    let (_, lines, _) = swarm.run(&["--as", "ann", &id]);
    assert_eq!(lines[0]["outcomes"], json!([{"agent_id": "agent-0", "outcome": "queued", "why": "inbox"}]));
    let delivery = swarm.stored().pop().unwrap();
    assert_eq!((&delivery["msg_type"], &delivery["reply_to"]), (&json!("DELIVERY"), &lines[0]["msg_id"]));
}

#[test]
fn a_sender_over_its_limit_is_told_when_and_a_repeated_acknowledgement_takes_nothing_of_it() {
    let swarm = Swarm::new();
    swarm.configure("[send]\nrate = \"1/1h\"\n");
    let (one, two) = (swarm.ask(&["ann"]), swarm.ask(&["ann"]));
    assert_eq!(swarm.run(&["--as", "ann", &one]).0, 0);
    assert_eq!(swarm.run(&["--as", "ann", &one]).0, 0);
    let (status, lines, words) = swarm.run(&["--as", "ann", &two]);
    assert!(status == 1 && lines[0]["retry_after_ms"].is_u64() && words.contains("over the limit"), "{words}");
    assert_eq!(lines[0]["reply_to"], json!(two));
}

#[test]
fn a_sender_who_is_registered_no_longer_is_acknowledged_all_the_same() {
    let swarm = Swarm::new();
    let id = swarm.ask(&["ann"]);
    Registry::of(&swarm.store()).put(&Agent::new("ann", Timestamp::now()), false).unwrap();
    let (status, lines, _) = swarm.run(&["--as", "ann", &id]);
    assert_eq!((status, &lines[0]["outcomes"]), (0, &json!([{"agent_id": "agent-0", "outcome": "queued", "why": "not registered"}])));
}

#[test]
fn what_comes_through_a_pipe_is_acknowledged_before_more_comes() {
    let swarm = Swarm::new();
    let ids = [swarm.ask(&["ann"]), swarm.ask(&["ann"])];
    let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-ack"));
    call.env_clear().env("SWARM_STORE", swarm.dir()).args(["--as", "ann", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = call.spawn().unwrap();
    let (mut input, mut answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    for (n, id) in ids.iter().enumerate() {
        writeln!(input, "{id}").unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!((&answer["reply_to"], swarm.acks().len()), (&json!(id), n + 1));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}
