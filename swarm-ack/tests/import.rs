//! `swarm-ack import`: what waits in the Python program, taken over.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Swarm(TempDir);

impl Swarm {
    fn new() -> Swarm {
        Swarm(tempfile::tempdir().unwrap())
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-ack"));
        call.env_clear().env("TZ", "CET-1").env("SWARM_STORE", self.0.path().join("store")).args(args).output().unwrap()
    }

    fn import(&self, file: &Path) -> (i32, Vec<Value>, String) {
        let output = self.run(&["import", file.to_str().unwrap()]);
        (output.status.code().unwrap(), lines(&output.stdout), String::from_utf8(output.stderr).unwrap())
    }

    /// A file of these entries.
    fn file(&self, entries: &[Value]) -> PathBuf {
        let path = self.0.path().join("PENDING_ACKS.json");
        fs::write(&path, json!({"pending_acks": entries}).to_string()).unwrap();
        path
    }

    /// What waits: message, agent, tries.
    fn pending(&self) -> Vec<(String, String, u64)> {
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_string();
        let lines = lines(&self.run(&["pending"]).stdout);
        lines.iter().map(|line| (text(line, "msg_id"), text(line, "agent_id"), line["tries"].as_u64().unwrap_or(0))).collect()
    }

    fn journal(&self) -> Vec<Value> {
        let segment = self.0.path().join("store/journal/00000000000000000001.ndjson");
        lines(&fs::read(segment).unwrap())
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn entry(msg_id: &str, to: &str, count: u32) -> Value {
    json!({"msg_id": msg_id, "sender_id": "lead", "recipient_id": to, "sent_at": "2026-11-23T19:17:31.194859", "retry_count": count,
        "next_retry_at": "2026-11-23T19:20:36.707512", "message": {"msg_type": "QUESTION", "content": "[REQUIRES-ACK] Which?"}})
}

#[test]
fn the_programs_own_file_waits_on_and_imported_again_nothing_is_stored() {
    let swarm = Swarm::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/PENDING_ACKS.json");
    let (status, answers, said) = swarm.import(&file);
    let taken: Vec<&Value> = answers.iter().filter(|answer| answer["status"] == "accepted").collect();
    assert_eq!((status, taken.len()), (1, 6), "{said}");
    // Its sender was killed.
    assert!(said.contains("left out entry 7: temp-agent-1-1795461516.92059 has no message"), "{said}");
    let tries: Vec<u64> = swarm.pending().iter().map(|(.., tries)| *tries).collect();
    assert_eq!(tries, [2, 1, 0, 0, 0, 0]);
    let journal = swarm.journal();
    let content = "Line one: which lock file?\nLine two: C:\\locks\\a.lock or `locks/a.lock`?\n\t\u{2013} agent \u{dc}n\u{ef}c\u{f6}d\u{e9} \u{65e5}\u{672c}";
    assert_eq!(journal[1]["content"], content);
    // Its times are those of the clock on the wall, and ours are not.
    let imported = json!({"sent_at": "2026-11-23T18:17:31.194859Z", "retry_count": 2, "next_retry_at": "2026-11-23T18:20:36.707512Z"});
    assert_eq!(journal[0]["data"]["imported"], imported);
    let (status, answers, said) = swarm.import(&file);
    assert!(status == 1 && said.contains("0 taken over, 6 were here before, 1 left out"), "{said}");
    assert_eq!((answers.iter().filter(|answer| answer["repeated"] == true).count(), swarm.journal().len()), (6, journal.len()));
    let acked = swarm.run(&["--as", "agent-4", "acb24a6c-60a0-4962-b231-7939e4cc9d42"]);
    assert!(acked.status.success() && swarm.pending().len() == 5, "{acked:?}");
}

#[test]
fn the_entries_of_one_message_are_one_and_what_a_killed_import_left_is_made_good() {
    let swarm = Swarm::new();
    let both = [entry("m1", "ann", 0), entry("m1", "bob", 2)];
    // As one that was killed before it wrote down how often it was sent again.
    assert_eq!(swarm.import(&swarm.file(&[entry("m1", "ann", 0), entry("m1", "bob", 0)])).0, 0);
    assert_eq!(swarm.import(&swarm.file(&both)).0, 0);
    assert_eq!(swarm.import(&swarm.file(&both)).0, 0);
    assert_eq!(swarm.pending(), [("m1".into(), "ann".into(), 0), ("m1".into(), "bob".into(), 2)]);
    assert_eq!(swarm.journal().len(), 2);
}

#[test]
fn what_is_no_entry_is_left_out_and_the_others_are_taken() {
    let swarm = Swarm::new();
    let mut long = entry("m3", "ann", 0);
    long["message"]["content"] = json!("x".repeat(20_000));
    let mut system = entry("m4", "ann", 0);
    system["message"]["msg_type"] = json!("RETRY");
    let wrong = [json!(7), json!({}), entry("a b", "ann", 0), entry("m2", "@x", 0), long, system];
    let entries: Vec<Value> = wrong.iter().cloned().chain([entry("m1", "ann", 1)]).collect();
    let (status, answers, said) = swarm.import(&swarm.file(&entries));
    let refused = answers.iter().filter(|answer| answer["status"] == "refused").count();
    assert_eq!((status, refused, said.matches("left out entry").count()), (1, wrong.len(), wrong.len()), "{said}");
    assert_eq!(swarm.pending(), [("m1".into(), "ann".into(), 1)]);
    // An id that is another's message here.
    let mut others = entry("m1", "ann", 0);
    others["sender_id"] = json!("carl");
    assert_eq!(swarm.import(&swarm.file(&[others])).0, 1);
}

#[test]
fn ten_thousand_entries_are_taken_in_one_go() {
    let swarm = Swarm::new();
    let entries: Vec<Value> = (0..10_000).map(|n| entry(&format!("m{n}"), "ann", n % 3)).collect();
    assert_eq!(swarm.import(&swarm.file(&entries)).0, 0);
    assert_eq!(swarm.pending().len(), 10_000);
}

#[test]
fn what_is_no_file_of_it_is_refused() {
    let swarm = Swarm::new();
    let path = swarm.0.path().join("x");
    for text in ["", "[]", "{\"pending_acks\":7}", "\u{1b}[31m"] {
        fs::write(&path, text).unwrap();
        let (status, answers, said) = swarm.import(&path);
        assert!(status == 2 && answers.is_empty() && said.contains("PENDING_ACKS.json") && !said.contains('\u{1b}'), "{said}");
    }
    assert_eq!(swarm.import(&swarm.0.path().join("none")).0, 2);
    assert_eq!(swarm.run(&["import"]).status.code(), Some(2));
}
