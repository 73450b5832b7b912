//! What is queued, and delivered again, in a real tmux on a private socket.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Tmux, content, wait};
use swarm_common::cursor::Cursor;
use swarm_common::registry::{Registry, Route};
use swarm_common::store::Store;

/// A tmux, and a store with a config without delays.
struct Swarm(Tmux);

impl Swarm {
    fn new(config: &str) -> Swarm {
        let tmux = Tmux::new();
        let delay = if config.starts_with("enter_delay_ms") { "" } else { "enter_delay_ms = 0\n" };
        let delays = format!("[delivery.default]\nenter_delay_ms_per_kib = 0\n{delay}");
        fs::write(tmux.dir.path().join(".swarm/config.toml"), format!("{delays}{config}")).unwrap();
        Swarm(tmux)
    }

    fn dir(&self) -> PathBuf {
        self.0.dir.path().join(".swarm")
    }

    fn store(&self) -> Store {
        Store::open(Some(self.dir().as_os_str())).unwrap()
    }

    fn register(&self, id: &str, pane: &str, route: Route) {
        let mut agent = self.0.agent(id, pane);
        agent.route = route;
        agent.registered_at = swarm_common::time::now();
        Registry::of(&self.store()).put(&agent, true).unwrap();
    }

    fn call(&self, args: &[&str]) -> Command {
        let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-send"));
        call.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("SWARM_STORE", self.dir()).args(args);
        call
    }

    /// The answers to a call.
    fn send(&self, args: &[&str]) -> Vec<Value> {
        let output = self.call(args).output().unwrap();
        assert!(output.status.code() < Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        records(&output.stdout)
    }

    /// The outcome for the only recipient.
    fn outcome(&self, args: &[&str]) -> String {
        let outcomes = &self.send(&[&["--as", "boss"], args].concat())[0]["outcomes"];
        word(&outcomes[0])
    }

    fn retry(&self) -> Vec<(u64, String)> {
        let answers = self.send(&["--retry-queued"]);
        assert!(answers.iter().all(|answer| answer["status"] == "retried"));
        answers.iter().map(|answer| (answer["seq"].as_u64().unwrap(), word(&answer["outcomes"][0]))).collect()
    }

    fn deliveries(&self) -> usize {
        let path = self.dir().join("journal/00000000000000000001.ndjson");
        records(&fs::read(path).unwrap()).iter().filter(|record| record["msg_type"] == "DELIVERY").count()
    }

    /// The agent has read its inbox so far.
    fn read(&self, id: &str, next_seq: u64) {
        Cursor::open(&self.store().cursors_dir().unwrap(), &format!("inbox-{id}"), false).unwrap().commit(next_seq).unwrap();
    }

    /// Into copy mode and out of it.
    fn busy(&self, pane: &str, is_busy: bool) {
        if is_busy {
            self.0.run(&["copy-mode", "-t", pane]);
        } else {
            self.0.run(&["send-keys", "-X", "-t", pane, "cancel"]);
        }
    }
}

/// A process that does nothing, until this is dropped.
struct Stopped(u32);

impl Stopped {
    fn new(pid: u32) -> Stopped {
        signal(pid, "-STOP");
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, "-CONT");
    }
}

/// A tmux server that is ended without being asked: one of 3.3a waits for ever for a client whose reader was killed.
struct Ended(u32);

impl Drop for Ended {
    fn drop(&mut self) {
        signal(self.0, "-KILL");
    }
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([name, &pid.to_string()]).status();
}

fn word(outcome: &Value) -> String {
    let text = |key: &str| outcome[key].as_str().unwrap_or_default();
    [text("outcome"), text("why"), text("route")].join(" ").trim_end().replace("  ", " ")
}

fn records(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The texts that a pane's program got, in their order.
fn texts(file: &std::path::Path) -> Vec<String> {
    content(file).lines().filter_map(|line| line.strip_prefix("| ")).map(str::to_string).collect()
}

#[test]
fn what_was_queued_for_a_busy_pane_is_delivered_once_and_in_order_when_somebody_asks_for_it() {
    let swarm = Swarm::new("[send]\nretry_queued = false\n");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    for text in ["one", "two", "three"] {
        assert_eq!(swarm.outcome(&["--to", "a", text]), "queued mode");
    }
    assert_eq!(swarm.retry(), [1, 3, 5].map(|seq| (seq, "queued mode".to_string())));
    swarm.busy(&pane, false);
    assert_eq!(swarm.retry(), [1, 3, 5].map(|seq| (seq, "delivered".to_string())));
    assert_eq!(swarm.retry(), []);
    wait("all are there", || texts(&file) == ["one", "two", "three"]);
    assert_eq!(swarm.deliveries(), 9);
}

#[test]
fn a_send_takes_along_what_is_due_and_puts_it_first() {
    let swarm = Swarm::new("");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    assert_eq!(swarm.outcome(&["--to", "a", "old"]), "queued mode");
    let queued = std::time::Instant::now();
    swarm.busy(&pane, false);
    assert_eq!(swarm.outcome(&["--to", "a", "new"]), "delivered");
    assert!(queued.elapsed().as_millis() > 900 || swarm.deliveries() == 2, "it is not due for a second");
    wait("a second has gone by", || queued.elapsed().as_millis() > 1100);
    assert_eq!(swarm.outcome(&["--to", "a", "newer"]), "delivered");
    wait("all are there", || texts(&file).len() == 3);
    let texts = texts(&file);
    let place = |text: &str| texts.iter().position(|found| found == text).unwrap();
    assert!(place("old") < place("newer"), "{texts:?}");
    assert_eq!(swarm.retry(), []);
}

#[test]
fn a_send_that_types_nothing_delivers_what_is_due_after_its_answer() {
    let swarm = Swarm::new("");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    assert_eq!(swarm.outcome(&["--to", "a", "old"]), "queued mode");
    swarm.busy(&pane, false);
    swarm.send(&["--as", "boss", "--to", "a", "--no-deliver", "not to be typed"]);
    wait("it is due, and was delivered", || {
        swarm.outcome(&["--to", "a", "--route", "inbox", "x"]);
        texts(&file) == ["old"]
    });
    assert_eq!(swarm.retry(), []);
}

#[test]
fn what_was_read_or_acknowledged_or_whose_recipient_is_unknown_is_not_delivered_again() {
    let swarm = Swarm::new("[send]\nretry_queued = false\n");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    let id = swarm.send(&["--as", "boss", "--to", "a", "--ack", "one"])[0]["msg_id"].as_str().unwrap().to_string();
    swarm.outcome(&["--to", "a", "two"]);
    swarm.outcome(&["--to", "a", "three"]);
    swarm.send(&["--as", "A", "--to", "a", "--type", "ack", "--no-deliver", "--reply-to", &id, "ok"]);
    assert_eq!(swarm.retry(), [3, 5].map(|seq| (seq, "queued mode".to_string())));
    swarm.read("a", 4);
    assert_eq!(swarm.retry(), [(5, "queued mode".to_string())]);
    Registry::of(&swarm.store()).remove("a").unwrap();
    assert_eq!(swarm.retry(), []);
    swarm.busy(&pane, false);
    swarm.register("a", &pane, Route::Inbox);
    assert_eq!(swarm.retry(), [], "it looks by itself now");
    swarm.register("a", &pane, Route::Pane);
    assert_eq!(swarm.retry(), [(5, "delivered".to_string())]);
    wait("it is there", || texts(&file) == ["three"]);
}

#[test]
fn who_comes_late_gets_what_was_written_to_it() {
    let swarm = Swarm::new("");
    assert_eq!(swarm.outcome(&["--to", "Late", "--allow-unknown", "welcome"]), "queued not registered");
    let (pane, file) = swarm.0.keeper();
    swarm.register("late", &pane, Route::Pane);
    assert_eq!(swarm.retry(), [(1, "delivered".to_string())]);
    wait("it is there", || texts(&file) == ["welcome"]);
}

#[test]
fn a_wake_is_not_repeated_until_the_inbox_was_read() {
    let swarm = Swarm::new("[send]\nretry_queued = false\n");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Wake);
    assert_eq!(swarm.outcome(&["--to", "a", "one"]), "delivered wake");
    assert_eq!(swarm.outcome(&["--to", "a", "two"]), "queued unread");
    assert_eq!(swarm.retry(), [], "it would be told the same again");
    swarm.read("a", 2);
    assert_eq!(swarm.retry(), [(3, "delivered wake".to_string())]);
    swarm.read("a", 5);
    assert_eq!(swarm.outcome(&["--to", "a", "three"]), "delivered wake");
    assert_eq!(swarm.outcome(&["--to", "a", "--route", "pane", "four"]), "delivered");
    wait("it is there", || texts(&file) == ["four"]);
    let wakes = content(&file).lines().filter(|line| *line == "[swarm] unread messages: swarm-tail --inbox").count();
    assert_eq!(wakes, 3);
}

#[test]
fn of_many_who_retry_at_once_each_message_is_delivered_by_one() {
    let swarm = Swarm::new("[send]\nretry_queued = false\n");
    let panes: Vec<_> = (0..4).map(|_| swarm.0.keeper()).collect();
    for (n, (pane, _)) in panes.iter().enumerate() {
        swarm.register(&format!("a{n}"), pane, Route::Pane);
        swarm.busy(pane, true);
    }
    for n in 0..10 {
        let queued = &swarm.send(&["--as", "boss", "--to", "@all", &format!("text {n}")])[0]["outcomes"];
        assert!(
            queued.as_array().unwrap().iter().all(|one| word(one) == "queued mode") && queued.as_array().unwrap().len() == 4,
            "{queued}"
        );
    }
    panes.iter().for_each(|(pane, _)| swarm.busy(pane, false));
    let told: Vec<(u64, String)> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| swarm.retry())).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert_eq!((told.len(), told.iter().filter(|(_, word)| word == "delivered").count()), (40, 40));
    let expected: Vec<String> = (0..10).map(|n| format!("text {n}")).collect();
    for (_, file) in &panes {
        wait("all are there", || texts(file).len() >= 10);
        assert_eq!(texts(file), expected);
    }
    assert_eq!(swarm.retry(), []);
}

#[test]
fn what_is_older_than_its_span_is_left_to_the_inbox() {
    let swarm = Swarm::new("[send]\nretry_queued = false\nretry_for = \"1s\"\n");
    let (pane, _) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    swarm.outcome(&["--to", "a", "old"]);
    wait("it is too old", || swarm.retry().is_empty());
}

#[test]
fn a_refused_delivery_is_told_and_ends_with_one_and_is_not_tried_again() {
    let swarm = Swarm::new("");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    let (gone, _) = swarm.0.keeper();
    swarm.register("b", &gone, Route::Pane);
    swarm.0.run(&["kill-pane", "-t", &gone]);
    wait("it has closed", || !swarm.0.run(&["list-panes", "-a", "-F", "#{pane_id}"]).lines().any(|id| id == gone));
    let output = swarm.call(&["--as", "boss", "--to", "a,b", "hi"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("stored, and not to be delivered to b (no such pane)"), "{said}");
    let outcomes = &records(&output.stdout)[0]["outcomes"];
    assert_eq!([word(&outcomes[0]), word(&outcomes[1])], ["delivered", "refused no such pane"]);
    assert_eq!(swarm.retry(), []);
    wait("it is there", || texts(&file) == ["hi"]);
}

#[test]
fn what_a_killed_sender_may_have_typed_is_not_typed_again() {
    let swarm = Swarm::new("[send]\nretry_queued = false\n[tmux]\ntimeout_ms = 60000\n");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    let _ended = Ended(swarm.0.server().pid);
    let stopped = Stopped::new(swarm.0.server().pid);
    let mut sender = swarm.call(&["--as", "boss", "--to", "a", "hi"]).stdout(Stdio::null()).spawn().unwrap();
    wait("it is stored", || content(&swarm.dir().join("journal/00000000000000000001.ndjson")).ends_with('\n'));
    sender.kill().unwrap();
    sender.wait().unwrap();
    drop(stopped);
    assert_eq!((swarm.deliveries(), swarm.retry()), (0, vec![]));
    assert_eq!(swarm.outcome(&["--to", "a", "next"]), "delivered");
    wait("the next one is there", || texts(&file).last().is_some_and(|text| text == "next"));
    assert!(texts(&file).iter().filter(|text| *text == "hi").count() < 2);
}

#[test]
fn what_a_killed_retry_may_have_typed_is_not_typed_again_and_it_is_told() {
    // Typed again by each retry that was killed before it could write down what became of it.
    let swarm = Swarm::new("enter_delay_ms = 3000\n[send]\nretry_queued = false\n");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    assert_eq!(swarm.outcome(&["--to", "a", "hi"]), "queued mode");
    swarm.busy(&pane, false);
    let _ended = Ended(swarm.0.server().pid);
    let mut retrier = swarm.call(&["--retry-queued"]).stdout(Stdio::null()).spawn().unwrap();
    wait("it tries", || !content(&swarm.dir().join("folds/attempts.json")).is_empty());
    retrier.kill().unwrap();
    retrier.wait().unwrap();
    assert_eq!(swarm.deliveries(), 1);
    assert_eq!(swarm.retry(), [(1, "unconfirmed its sender was killed".to_string())]);
    assert_eq!((swarm.retry(), swarm.deliveries()), (vec![], 2));
    assert!(!swarm.dir().join("folds/attempts.json").exists());
    swarm.0.run(&["send-keys", "-t", &pane, "Enter"]);
    wait("its line ends", || !content(&file).is_empty());
    assert!(texts(&file).iter().filter(|text| *text == "hi").count() < 2);
}

#[test]
fn an_attempt_that_was_written_down_and_stayed_on_file_changes_nothing() {
    let swarm = Swarm::new("[send]\nretry_queued = false\n");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    let id = swarm.send(&["--as", "boss", "--to", "a", "hi"])[0]["msg_id"].as_str().unwrap().to_string();
    let left = format!("[{{\"seq\":1,\"msg_id\":\"{id}\",\"sender_id\":\"boss\",\"agent_id\":\"a\",\"count\":0}}]");
    for left in [left.as_str(), "[{\"seq\":1", ""] {
        fs::write(swarm.dir().join("folds/attempts.json"), left).unwrap();
        assert_eq!(swarm.retry(), [(1, "queued mode".to_string())]);
    }
    swarm.busy(&pane, false);
    assert_eq!(swarm.retry(), [(1, "delivered".to_string())]);
    wait("it is there", || texts(&file) == ["hi"]);
}

#[test]
fn a_saved_queue_that_is_damaged_or_gone_changes_nothing() {
    let swarm = Swarm::new("[send]\nretry_queued = false\n");
    let (pane, file) = swarm.0.keeper();
    swarm.register("a", &pane, Route::Pane);
    swarm.busy(&pane, true);
    swarm.outcome(&["--to", "a", "one"]);
    let saved = swarm.dir().join("folds/queue.ndjson");
    for garbage in ["", "{", "{\"next_seq\":900,\"last_id\":\"x\",\"state\":{\"waiting\":{},\"early\":[]}}"] {
        fs::write(&saved, garbage).unwrap();
        assert_eq!(swarm.retry(), [(1, "queued mode".to_string())], "{garbage}");
    }
    fs::remove_file(&saved).unwrap();
    swarm.busy(&pane, false);
    assert_eq!(swarm.retry(), [(1, "delivered".to_string())]);
    wait("it is there", || texts(&file) == ["one"]);
    assert_eq!(swarm.deliveries(), 5);
}
