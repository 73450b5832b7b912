//! Who gets a message, and what the journal says became of it; without a terminal.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use assert_cmd::Command as Call;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use swarm_common::registry::{Agent, Registry};
use swarm_common::store::Store;
use tempfile::TempDir;

/// A store of its own, in which these are registered: `ID`, or `ID@GROUP`; with `!` behind it, it has gone.
struct Swarm(TempDir);

impl Swarm {
    fn of(agents: &[&str]) -> Swarm {
        let swarm = Swarm(tempfile::tempdir().unwrap());
        agents.iter().for_each(|agent| swarm.register(agent));
        swarm
    }

    fn register(&self, agent: &str) {
        let store = Store::open(Some(self.store().as_os_str())).unwrap();
        let (agent, is_gone) = agent.strip_suffix('!').map_or((agent, false), |agent| (agent, true));
        let (id, group) = agent.split_once('@').unwrap_or((agent, ""));
        let mut agent = Agent::new(id, swarm_common::time::now());
        agent.groups.extend((!group.is_empty()).then(|| group.to_string()));
        if is_gone {
            agent.boot = "another".into();
        }
        Registry::of(&store).put(&agent, false).unwrap();
    }

    fn store(&self) -> std::path::PathBuf {
        self.0.path().join("store")
    }

    fn send(&self, args: &[&str]) -> Call {
        let mut call = Call::new(env!("CARGO_BIN_EXE_swarm-send"));
        call.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(self.0.path());
        call.env("SWARM_STORE", self.store()).args(["--as", "boss"]).args(args);
        call
    }

    /// The one answer.
    fn sent(&self, args: &[&str]) -> Value {
        let output = self.send(args).output().unwrap();
        let mut answers = records(&output.stdout);
        assert_eq!(answers.len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
        answers.remove(0)
    }

    fn stored(&self) -> Vec<Value> {
        let path = self.store().join("journal/00000000000000000001.ndjson");
        records(&fs::read(path).unwrap_or_default())
    }
}

fn records(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn inbox(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"agent_id": id, "outcome": "queued", "why": "inbox"})).collect()
}

#[test]
fn each_recipient_is_spelled_as_it_is_registered_and_has_its_outcome_in_the_answer_and_in_the_journal() {
    let swarm = Swarm::of(&["Ann", "bob"]);
    let answer = swarm.sent(&["--to", "ann,BOB", "--to", "ANN", "hi"]);
    assert_eq!((&answer["recipients"], &answer["outcomes"]), (&json!(["Ann", "bob"]), &inbox(&["Ann", "bob"])));
    let stored = swarm.stored();
    assert_eq!((stored.len(), &stored[0]["recipients"]), (2, &json!(["Ann", "bob"])));
    let expected = json!({"seq": 2, "msg_id": stored[1]["msg_id"], "timestamp": stored[1]["timestamp"], "msg_type": "DELIVERY",
        "sender_id": "boss", "reply_to": stored[0]["msg_id"],
        "data": {"seq": 1, "outcomes": inbox(&["Ann", "bob"]), "counts": {"queued": 2}}, "content": "seq 1: queued for Ann, bob (inbox)"});
    assert_eq!(stored[1], expected);
}

#[test]
fn without_a_registry_any_id_will_do_and_nothing_is_written_down_of_a_delivery() {
    let swarm = Swarm::of(&[]);
    let answer = swarm.sent(&["--to", "anyone", "hi"]);
    assert_eq!((&answer["recipients"], answer.get("outcomes")), (&json!(["anyone"]), None));
    assert_eq!(swarm.stored().len(), 1);
    swarm.send(&["--to", "@all", "hi"]).assert().success();
    swarm.send(&["--to", "@backend", "hi"]).assert().code(2).stderr(contains("no group that is known here"));
    assert!(!swarm.store().join("folds").exists() && !swarm.store().join("delivery").exists());
}

#[test]
fn an_id_that_nobody_has_is_refused_with_the_nearest_and_keeps_no_other_from_being_sent() {
    let swarm = Swarm::of(&["agent-1", "reviewer"]);
    swarm
        .send(&["--to", "agent-1,revewer", "hi"])
        .assert()
        .code(2)
        .stderr(contains("nobody is registered as revewer").and(contains("did you mean reviewer?")).and(contains("--allow-unknown")));
    swarm.send(&["--to", "zzz", "hi"]).assert().code(2).stderr(contains("known are: agent-1, reviewer"));
    assert_eq!(swarm.stored(), Vec::<Value>::new());
    let input = "{\"content\":\"1\",\"recipients\":[\"agnt-1\"]}\n{\"content\":\"2\",\"recipients\":[\"agent-1\"]}\n";
    let call = swarm.send(&[]).write_stdin(input).assert().code(2);
    let answers = records(&call.get_output().stdout);
    assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&json!("refused"), &json!("accepted")));
    assert_eq!(answers[0]["line"], 1);
    assert_eq!(swarm.stored()[0]["content"], "2");
}

#[test]
fn a_group_is_who_is_in_it_and_there_when_it_is_written_to() {
    let swarm = Swarm::of(&["a@Backend", "b@backend!", "c@web", "boss@backend", "d@solo!"]);
    let answer = swarm.sent(&["--to", "@backend,c,@BACKEND,A", "hi"]);
    assert_eq!((&answer["recipients"], &answer["outcomes"]), (&json!(["a", "c"]), &inbox(&["a", "c"])));
    assert_eq!(swarm.stored()[0]["recipients"], json!(["a", "c"]));
    swarm.send(&["--to", "@bakend", "hi"]).assert().code(2).stderr(contains("did you mean @Backend?"));
    swarm.send(&["--to", "@nowhere", "hi"]).assert().code(2).stderr(contains("known are: @Backend, @solo, @web"));
    swarm.send(&["--to", "@solo", "hi"]).assert().code(1).stderr(contains("nobody in @solo is there"));
    assert_eq!(swarm.stored().len(), 2);
}

#[test]
fn everybody_is_stored_as_such_and_delivered_to_who_is_there_but_the_sender() {
    let swarm = Swarm::of(&["a", "b", "gone!", "Boss"]);
    let answer = swarm.sent(&["--to", "@all", "hi"]);
    assert_eq!((&answer["recipients"], &answer["outcomes"]), (&json!(["@all"]), &inbox(&["a", "b"])));
    swarm.send(&["--to", "@all", "--ack", "hi"]).assert().success();
    let bare = swarm.sent(&["--to", "@all", "--ack", "--no-deliver", "hi"]);
    assert_eq!(bare.get("outcomes"), None);
    swarm.send(&["--to", "@all,a", "hi"]).assert().code(2).stderr(contains("stands alone"));
    let stored = swarm.stored();
    let types: Vec<&str> = stored.iter().map(|record| record["msg_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["INFO", "DELIVERY", "INFO", "DELIVERY", "INFO"]);
    // Who has to acknowledge it is known as soon as it is stored, whatever becomes of the sender.
    let all: Vec<_> = [0, 2, 4].iter().map(|&at| stored[at].get("all")).collect();
    assert_eq!(all, [None, Some(&json!(["a", "b"])), Some(&json!(["a", "b"]))]);
    let forged = swarm.send(&[]).write_stdin("{\"content\":\"x\",\"recipients\":[\"@all\"],\"all\":[\"a\"]}\n").assert().code(2);
    forged.stderr(contains("\"all\" is no field of a message"));
    let alone = Swarm::of(&["boss"]);
    assert_eq!(alone.sent(&["--to", "@all", "hi"])["outcomes"], json!([]));
    assert_eq!(alone.stored()[1]["content"], "seq 1: nobody was there");
}

#[test]
fn who_is_yet_to_come_can_be_written_to_and_it_is_told_as_queued() {
    let swarm = Swarm::of(&["a"]);
    let answer = swarm.sent(&["--to", "a,Late", "--allow-unknown", "hi"]);
    assert_eq!(answer["outcomes"][1], json!({"agent_id": "Late", "outcome": "queued", "why": "not registered"}));
    assert_eq!(answer["recipients"], json!(["a", "Late"]));
    // It reads for itself when it has come.
    swarm.register("late");
    swarm.send(&["--to", "a", "x"]).assert().success();
    assert_eq!(swarm.stored().len(), 4);
    Call::new(env!("CARGO_BIN_EXE_swarm-send")).args(["--retry-queued", "--store"]).arg(swarm.store()).assert().success().stdout("");
}

#[test]
fn what_is_repeated_is_not_delivered_again() {
    let swarm = Swarm::of(&["a"]);
    let first = swarm.sent(&["--to", "a", "--id", "job-1", "hi"]);
    assert_eq!(first["outcomes"], inbox(&["a"]));
    let second = swarm.sent(&["--to", "a", "--id", "job-1", "hi"]);
    assert_eq!((&second["repeated"], second.get("outcomes")), (&json!(true), None));
    let twice = "{\"msg_id\":\"job-2\",\"content\":\"x\"}\n".repeat(2);
    let call = swarm.send(&["--to", "a"]).write_stdin(twice).assert().success();
    let answers = records(&call.get_output().stdout);
    assert_eq!((answers[0].get("outcomes"), answers[1].get("outcomes")), (Some(&inbox(&["a"])), None));
    assert_eq!(swarm.stored().iter().filter(|record| record["msg_type"] == "DELIVERY").count(), 2);
}

#[test]
fn a_batch_is_stored_and_then_what_became_of_each_message_in_one_go() {
    let swarm = Swarm::of(&["a", "b"]);
    let input: String =
        (0..100).map(|n| format!("{{\"content\":\"{n}\",\"recipients\":[\"{}\"]}}\n", ["a", "b", "nobody"][n % 3])).collect();
    let call = swarm.send(&[]).write_stdin(input).assert().code(2);
    let answers = records(&call.get_output().stdout);
    for (n, answer) in answers.iter().enumerate() {
        let expected = if n % 3 == 2 { Value::Null } else { inbox(&[["a", "b"][n % 3]]) };
        assert_eq!(answer["outcomes"], expected, "{n}");
    }
    let stored = swarm.stored();
    let deliveries: Vec<&Value> = stored.iter().filter(|record| record["msg_type"] == "DELIVERY").collect();
    assert_eq!((stored.len(), deliveries.len()), (134, 67));
    for delivery in deliveries {
        let message = &stored[delivery["data"]["seq"].as_u64().unwrap() as usize - 1];
        assert_eq!((&message["msg_id"], &message["recipients"][0]), (&delivery["reply_to"], &delivery["data"]["outcomes"][0]["agent_id"]));
    }
}

#[test]
fn hundreds_of_recipients_with_the_longest_names_are_told_in_records_that_fit() {
    let swarm = Swarm::of(&["a"]);
    let ids: Vec<String> = (0..900).map(|n| format!("{n:x>64}")).collect();
    let answer = swarm.sent(&["--to", &ids.join(","), "--allow-unknown", "hi"]);
    assert_eq!(answer["outcomes"].as_array().unwrap().len(), 900);
    let stored = swarm.stored();
    let parts = &stored[1..];
    let told: Vec<&Value> =
        parts.iter().flat_map(|part| part["data"]["outcomes"].as_array().unwrap()).map(|one| &one["agent_id"]).collect();
    assert!(parts.len() > 1 && told == ids.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert_eq!((&parts[0]["data"]["part"], &parts[0]["data"]["parts"]), (&json!(1), &json!(parts.len())));
}

#[test]
fn a_dry_run_says_who_would_get_it_and_how_and_stores_nothing_anywhere() {
    let swarm = Swarm::of(&["a@web", "gone!"]);
    let answer = swarm.sent(&["--to", "@web,gone,late", "--allow-unknown", "--dry-run", "hi"]);
    let deliveries = json!([{"agent_id": "a", "route": "inbox"}, {"agent_id": "gone", "route": "inbox", "why": "gone"},
        {"agent_id": "late", "why": "not registered"}]);
    assert_eq!(answer, json!({"status": "dry-run", "recipients": ["a", "gone", "late"], "deliveries": deliveries}));
    swarm.send(&["--to", "nobody", "--dry-run", "hi"]).assert().code(2);
    assert!(!swarm.store().join("journal").exists());
    let empty = Swarm::of(&[]);
    assert_eq!(empty.sent(&["--to", "x", "--dry-run", "hi"])["deliveries"], json!([]));
    assert!(!empty.store().exists());
}

#[test]
fn a_record_of_an_agent_that_is_garbage_is_told_and_hinders_no_other() {
    let swarm = Swarm::of(&["a", "b"]);
    fs::write(swarm.store().join("agents/b.json"), "garbage\n").unwrap();
    swarm
        .send(&["--to", "b", "hi"])
        .assert()
        .code(3)
        .stderr(contains("b.json is no agent's record").and(contains("swarm-agents register b")));
    assert_eq!(swarm.sent(&["--to", "a", "hi"])["outcomes"], inbox(&["a"]));
    let all = swarm.send(&["--to", "@all", "hi"]).assert().success().stderr(contains("b.json is no agent's record; it is left out"));
    assert_eq!(records(&all.get_output().stdout)[0]["outcomes"], inbox(&["a"]));
}

#[test]
fn options_that_contradict_each_other_are_a_wrong_call() {
    let swarm = Swarm::of(&["a"]);
    for args in [
        &["--retry-queued", "--to", "a"][..],
        &["--retry-queued", "text"],
        &["--retry-queued", "--dry-run"],
        &["--dry-run", "--no-deliver", "--to", "a", "x"],
        &["--route", "post", "--to", "a", "x"],
    ] {
        swarm.send(args).assert().code(2);
    }
    assert_eq!(swarm.stored(), Vec::<Value>::new());
    let call = swarm.send(&["--to", "a", "--route", "wake", "x"]).assert().success();
    assert_eq!(records(&call.get_output().stdout)[0]["outcomes"], inbox(&["a"]), "it has no pane");
}

#[test]
fn who_is_gone_is_refused_by_every_way_and_the_message_is_in_the_inbox_all_the_same() {
    let swarm = Swarm::of(&["ann", "bob!"]);
    let sent = swarm.sent(&["--to", "ann,bob", "x"]);
    let outcome = |agent_id, outcome, why| json!({"agent_id": agent_id, "outcome": outcome, "why": why});
    assert_eq!(sent["outcomes"], json!([outcome("ann", "queued", "inbox"), outcome("bob", "refused", "gone")]));
    swarm.send(&["--to", "bob", "x"]).assert().code(1);
    assert_eq!(swarm.stored()[0]["recipients"], json!(["ann", "bob"]));
    swarm.send(&["--to", "zed", "x"]).assert().code(2).stderr(contains("known are: ann, bob"));
}
