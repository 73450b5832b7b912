//! `swarm-send` as a user calls it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::Command as Call;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A store of its own, and calls on it with nothing of the caller's swarm in their environment.
struct Swarm(TempDir);

impl Swarm {
    fn new() -> Swarm {
        Swarm(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> std::path::PathBuf {
        self.0.path().join("store")
    }

    fn send(&self, args: &[&str]) -> Call {
        let mut call = Call::new(env!("CARGO_BIN_EXE_swarm-send"));
        call.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(self.0.path());
        call.env("SWARM_STORE", self.store()).args(args);
        call
    }

    /// As agent-0, to agent-1.
    fn to_one(&self, args: &[&str]) -> Call {
        let mut call = self.send(&["--as", "agent-0", "--to", "agent-1"]);
        call.args(args);
        call
    }

    fn stored(&self) -> Vec<Value> {
        let mut names: Vec<_> =
            fs::read_dir(self.store().join("journal")).map_or(Vec::new(), |dir| dir.map(|e| e.unwrap().path()).collect());
        names.retain(|name| name.extension().is_some_and(|ext| ext == "ndjson"));
        names.sort();
        names.iter().flat_map(|name| records(&fs::read(name).unwrap())).collect()
    }
}

fn records(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn answers(call: &mut Call) -> Vec<Value> {
    records(&call.output().unwrap().stdout)
}

#[test]
fn a_message_is_stored_and_answered_with_its_seq_its_id_and_its_recipients() {
    let swarm = Swarm::new();
    let answer = &answers(&mut swarm.send(&["--as", "agent-0", "--to", "b,c", "--to", "d", "-t", "review-request", "--ack", "Look"]))[0];
    assert_eq!((&answer["status"], &answer["seq"], &answer["recipients"]), (&json!("accepted"), &json!(1), &json!(["b", "c", "d"])));
    let args = ["--reply-to", answer["msg_id"].as_str().unwrap(), "--thread", "auth", "--data", "{\"n\": 1}", "--", "--yes"];
    swarm.to_one(&args).assert().success();
    let stored = swarm.stored();
    let known = json!({"seq": 1, "msg_id": answer["msg_id"], "timestamp": stored[0]["timestamp"], "msg_type": "REVIEW-REQUEST",
        "sender_id": "agent-0", "recipients": ["b", "c", "d"], "requires_ack": true, "content": "Look"});
    assert_eq!(stored[0], known);
    assert_eq!((&stored[1]["reply_to"], &stored[1]["thread"], &stored[1]["data"]), (&answer["msg_id"], &json!("auth"), &json!({"n": 1})));
    assert_eq!((&stored[1]["content"], &stored[1]["msg_type"]), (&json!("--yes"), &json!("INFO")));
}

#[test]
fn a_dash_takes_all_of_standard_input_as_the_text() {
    let swarm = Swarm::new();
    swarm.to_one(&["-"]).write_stdin("two\nlines\n").assert().success();
    assert_eq!(swarm.stored()[0]["content"], "two\nlines\n");
    swarm.to_one(&["-"]).write_stdin("x".repeat(10 * 1024)).assert().success();
    let long = swarm.to_one(&["-"]).write_stdin("x".repeat(10 * 1024 + 1)).assert().code(2).stderr(contains("10241 bytes: at most 10240"));
    assert_eq!(records(&long.get_output().stdout)[0]["status"], "refused", "as for a text on the command line");
    swarm.to_one(&["-"]).write_stdin(b"a\xff".to_vec()).assert().code(2).stderr(contains("not UTF-8 at byte 2"));
    swarm.to_one(&["-"]).write_stdin("").assert().code(2).stderr(contains("content is empty"));
    assert_eq!(swarm.stored().len(), 2);
}

#[test]
fn who_i_am_is_said_by_the_option_else_by_the_environment_else_an_error_names_both() {
    let swarm = Swarm::new();
    swarm
        .send(&["--to", "b", "x"])
        .assert()
        .code(2)
        .stderr(contains("who are you").and(contains("--as agent-1")).and(contains("SWARM_AGENT=")));
    swarm.send(&["--to", "b", "x"]).env("SWARM_AGENT", "from-env").assert().success();
    swarm.send(&["--to", "b", "--as", "given", "x"]).env("SWARM_AGENT", "from-env").assert().success();
    swarm.send(&["--to", "b", "x"]).env("SWARM_AGENT", "a/b").assert().code(2).stderr(contains("$SWARM_AGENT: 'a/b'"));
    let senders: Vec<Value> = swarm.stored().iter().map(|record| record["sender_id"].clone()).collect();
    assert_eq!(senders, ["from-env", "given"]);
}

#[test]
fn records_go_through_a_pipe_and_options_fill_what_they_leave_out() {
    let swarm = Swarm::new();
    let input = "{\"content\":\"one\"}\r\n\n  \n{\"content\":\"two\",\"recipients\":[\"c\"],\"msg_type\":\"ack\",\"requires_ack\":false}\n{\"content\":\"last\"}";
    swarm.to_one(&["--type", "question", "--ack"]).write_stdin(input).assert().success().stderr("");
    let seen: Vec<_> = swarm
        .stored()
        .iter()
        .map(|r| (r["content"].clone(), r["recipients"][0].clone(), r["msg_type"].clone(), r["requires_ack"].clone()))
        .collect();
    let known = |content, to, kind, ack| (json!(content), json!(to), json!(kind), ack);
    let expected = [
        known("one", "agent-1", "QUESTION", json!(true)),
        known("two", "c", "ACK", Value::Null),
        known("last", "agent-1", "QUESTION", json!(true)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn an_input_that_its_own_output_or_rejects_make_longer_is_refused() {
    // A one-line file grew to millions of lines: each refused line was read again.
    let swarm = Swarm::new();
    fs::write(swarm.0.path().join("in"), "bad\n").unwrap();
    let send = env!("CARGO_BIN_EXE_swarm-send");
    for rest in ["--reject in < in", "< in >> in"] {
        let mut call = Call::new("sh");
        call.args(["-c", &format!("exec {send} --store store --as a --to b {rest}")]).current_dir(swarm.0.path());
        call.timeout(std::time::Duration::from_secs(20)).assert().code(2).stderr(contains("standard input is "));
    }
    assert_eq!(fs::read_to_string(swarm.0.path().join("in")).unwrap(), "bad\n");
}

#[test]
fn a_file_size_limit_on_the_rejects_is_told_without_answers_too() {
    let swarm = Swarm::new();
    fs::write(swarm.0.path().join("bad"), "not a record\n".repeat(1000)).unwrap();
    let send = env!("CARGO_BIN_EXE_swarm-send");
    let mut call = Call::new("sh");
    call.args(["-c", &format!("ulimit -f 1; exec {send} -q --store store --as a --to b --reject r < bad")]).current_dir(swarm.0.path());
    call.assert().code(3).stderr(contains("File too large"));
}

#[test]
fn an_empty_input_sends_nothing_and_says_so() {
    let swarm = Swarm::new();
    swarm.to_one(&[]).write_stdin("").assert().success().stdout("").stderr(contains("nothing was sent"));
    swarm.to_one(&["-q"]).write_stdin("").assert().success().stderr("");
}

#[test]
fn a_record_brings_its_own_sender_where_none_is_set_and_anothers_must_be_forced() {
    let swarm = Swarm::new();
    let from = |id: &str| format!("{{\"sender_id\":\"{id}\",\"recipients\":[\"x\"],\"content\":\"c\"}}\n");
    swarm.send(&[]).write_stdin(from("a") + &from("b").replace("sender_id", "sender")).assert().success();
    let refused = swarm
        .send(&["--as", "a"])
        .write_stdin(from("b") + &from("A"))
        .assert()
        .code(2)
        .stderr(contains("line 1: sender_id is 'b', and you are 'a'"));
    assert_eq!(records(&refused.get_output().stdout)[0]["status"], "refused");
    swarm.send(&["--as", "a", "--force"]).write_stdin(from("b")).assert().success();
    let senders: Vec<_> = swarm.stored().iter().map(|r| (r["sender_id"].clone(), r["forced_by"].clone())).collect();
    let expected = [("a", Value::Null), ("b", Value::Null), ("a", Value::Null), ("b", json!("a"))];
    assert_eq!(senders, expected.map(|(id, by)| (json!(id), by)));
    let forged = from("b").replace("\"content\"", "\"forced_by\":\"z\",\"content\"");
    swarm.send(&[]).write_stdin(forged).assert().code(2).stdout(contains("forced_by").and(contains("no field")));
}

#[test]
fn every_bad_line_is_answered_with_its_number_and_the_good_ones_go_on() {
    let swarm = Swarm::new();
    let long = format!("{{\"content\":\"{}\"}}", "x".repeat(70_000));
    let exact = |bytes: usize| format!("{{\"content\":\"{}\"}}", "x".repeat(bytes));
    let deep = |depth: usize| format!("{{\"content\":\"d\",\"data\":{}{{}}{}}}", "{\"a\":".repeat(depth - 2), "}".repeat(depth - 2));
    let bad: Vec<(Vec<u8>, &str)> = vec![
        (b"{\"content\":\"\xff\"}".to_vec(), "not UTF-8"),
        (long.into(), "longer than 65536 bytes"),
        (deep(33).into(), "nested deeper than 32"),
        (b"{\"content\":\"a\",\"content\":\"b\"}".to_vec(), "duplicate key \"content\""),
        (b"{\"content\":\"a\0b\"}".to_vec(), "raw control character"),
        (b"{\"content\":\"a\\u0000b\"}".to_vec(), "NUL"),
        (b"{\"content\":\"\\ud800\"}".to_vec(), "half a surrogate pair"),
        (b"\xef\xbb\xbf{\"content\":\"a\"}".to_vec(), "byte order mark"),
        (b"[1]".to_vec(), "not one JSON object"),
        (b"{\"content\":\"a\"} {}".to_vec(), "more follows"),
        (b"{\"content\":\"a\",\"recipients\":[\"a/b\"]}".to_vec(), "'a/b' is no agent id"),
        (exact(10_241).into(), "content of 10241 bytes: at most 10240"),
        (b"{\"content\":\"a\",\"seq\":7}".to_vec(), "\"seq\" is the journal's to give"),
        (b"{\"content\":\"a\",\"timestamp\":\"2026-11-23T08:34:30Z\"}".to_vec(), "\"timestamp\" is the journal's to give"),
        (b"{\"content\":\"trunca".to_vec(), "the line ends inside the object"),
    ];
    let good = [exact(10_240), deep(32), "{\"content\":\"crlf\"}\r".into()];
    let mut input = Vec::new();
    for (n, (line, _)) in bad.iter().enumerate() {
        input.extend_from_slice(good.get(n).map_or("", String::as_str).as_bytes());
        input.push(b'\n');
        input.extend_from_slice(line);
        input.push(b'\n');
    }
    let reject = swarm.0.path().join("rejects");
    let run = swarm.to_one(&[]).write_stdin(input.clone()).assert().code(2).stderr(contains("15 bad lines in all"));
    let told = records(&run.get_output().stdout);
    let refused: Vec<&Value> = told.iter().filter(|answer| answer["status"] == "refused").collect();
    assert_eq!((told.len(), refused.len(), swarm.stored().len()), (18, 15, 3));
    for (n, (answer, (_, why))) in refused.iter().zip(&bad).enumerate() {
        assert_eq!(answer["line"], 2 * (n + 1));
        assert!(answer["error"].as_str().unwrap().contains(why), "{answer} {why}");
    }
    // With a file for them they are expected, and kept byte for byte.
    swarm.to_one(&["-q", "--reject", "rejects"]).write_stdin(input).assert().success().stdout("");
    let kept: Vec<u8> = bad.iter().flat_map(|(line, _)| [line.as_slice(), b"\n"].concat()).collect();
    assert!(fs::read(reject).unwrap() == kept);
}

#[test]
fn strict_stops_at_the_first_refusal_and_keeps_what_was_accepted() {
    let swarm = Swarm::new();
    let input = "{\"content\":\"one\"}\nfoo\n{\"content\":\"three\"}\n";
    let run = swarm.to_one(&["--strict"]).write_stdin(input).assert().code(2).stderr(contains("line 2: not one JSON object"));
    assert_eq!(records(&run.get_output().stdout).len(), 2);
    assert_eq!(swarm.stored().len(), 1);
    // What helps is what the refusal says, be it that one has to wait.
    fs::write(swarm.store().join("config.toml"), "[send]\nrate = \"1/1h\"\n").unwrap();
    let said =
        contains("line 2: agent-0 is over the limit of 1/1h\n  again in ").and(contains("\n  without --strict, what is refused is told"));
    swarm.to_one(&["--strict"]).write_stdin("{\"content\":\"1\"}\n{\"content\":\"2\"}\n").assert().code(1).stderr(said);
}

#[test]
fn the_same_id_is_stored_once_and_answered_with_the_first_seq() {
    let swarm = Swarm::new();
    swarm.to_one(&["first"]).assert().success();
    swarm.to_one(&["--id", "m-1", "x"]).assert().success();
    let again = &answers(&mut swarm.to_one(&["--id", "m-1", "x"]))[0];
    assert_eq!((&again["status"], &again["seq"], &again["repeated"]), (&json!("accepted"), &json!(2), &json!(true)));
    let to_others = &answers(&mut swarm.send(&["--as", "agent-0", "--to", "c,d", "--id", "m-1", "another text"]))[0];
    assert_eq!((&to_others["seq"], &to_others["recipients"]), (&json!(2), &Value::Null), "they do not get it");
    let other =
        swarm.send(&["--as", "other", "--to", "b", "--id", "m-1", "x"]).assert().code(2).stderr(contains("message of agent-0 (seq 2)"));
    assert_eq!(records(&other.get_output().stdout)[0]["status"], "refused");
    let input =
        "{\"msg_id\":\"m-1\",\"content\":\"x\",\"sender_id\":\"other\"}\n{\"msg_id\":\"m-2\",\"content\":\"y\",\"sender_id\":\"other\"}\n";
    swarm.send(&["--to", "b", "--reject", "rejects"]).write_stdin(input).assert().success();
    assert_eq!(fs::read_to_string(swarm.0.path().join("rejects")).unwrap(), input.lines().next().unwrap().to_string() + "\n");
    assert_eq!(swarm.stored().len(), 3);
}

#[test]
fn a_wrong_call_says_what_to_do_and_stores_nothing() {
    let swarm = Swarm::new();
    for (args, why) in [
        (&["--as", "a", "x"][..], "no recipients"),
        (&["--as", "a", "--to", "b/c", "x"], "'b/c' is no agent id"),
        (&["--as", "a", "--to", "@backend", "x"], "no group"),
        (&["--as", "a", "--to", "b", ""], "content is empty"),
        (&["--as", "a", "--to", "b", "x", "y"], "unexpected argument 'y'"),
        (&["--as", "a", "--tow", "b", "x"], "'--to'"),
        (&["--as", "a", "--to", "b", "--type", "a b", "x"], "'a b' is no message type"),
        (&["--as", "a", "--to", "b", "--type", "locked", "x"], "LOCKED is written by the tools alone"),
        (&["--as", "a", "--to", "b", "--data", "[]", "x"], "--data: "),
        (&["--as", "a", "--to", "b", "--thread", "", "x"], "thread: "),
        (&["--as", "a", "--to", "b", "--id", "a b", "x"], "'a b' is no message id"),
        (&["--as", "a", "--to", "b", "--id", "x"], "--id names one message"),
        (&["--as", "a", "--to", "b", "--strict", "x"], "--strict"),
        (&["--as", "a", "--to", "b", "--type", "\u{1b}[31m", "x"], "\\u{1b}[31m"),
    ] {
        swarm.send(args).write_stdin("").assert().code(2).stderr(contains(why).and(contains("\u{1b}").not()));
    }
    assert!(swarm.stored().is_empty());
    swarm.send(&["--help"]).assert().success().stdout(contains("Usage: swarm-send --to").and(contains("Example:")));
    swarm.send(&["-V"]).assert().success().stdout(contains("swarm-send "));
}

#[test]
fn a_single_line_of_a_slow_producer_is_answered_before_the_next_one_comes() {
    let swarm = Swarm::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_swarm-send"));
    child.args(["--as", "a", "--to", "b"]).env("SWARM_STORE", swarm.store()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for seq in 1..=3 {
        stdin.write_all(b"{\"content\":\"x\"}\n").unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        assert_eq!(records(answer.as_bytes())[0]["seq"], seq);
        assert_eq!(swarm.stored().len(), seq);
    }
    // Half a line is no record yet.
    stdin.write_all(b"{\"content\":").unwrap();
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn a_reader_of_the_answers_that_leaves_keeps_no_message_from_being_sent() {
    let swarm = Swarm::new();
    let send = env!("CARGO_BIN_EXE_swarm-send");
    fs::write(swarm.0.path().join("many"), "{\"content\":\"x\"}\n".repeat(10_000) + "foo\n").unwrap();
    // The status of swarm-send itself; the answers are more than a pipe holds.
    let script = format!("{{ {send} --store store --as a --to b < many; echo $? > status; }} | head -1");
    let run = Call::new("sh").args(["-c", &script]).current_dir(swarm.0.path()).assert().success();
    assert_eq!(records(&run.get_output().stdout)[0]["seq"], 1);
    run.stderr(contains("line 10001: not one JSON object"));
    assert_eq!((swarm.stored().len(), fs::read_to_string(swarm.0.path().join("status")).unwrap().as_str()), (10_000, "2\n"));
}

#[test]
fn a_reader_of_the_answers_that_leaves_before_the_first_message_keeps_none_from_being_sent() {
    let swarm = Swarm::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_swarm-send"));
    child
        .args(["--as", "a", "--to", "b"])
        .env("SWARM_STORE", swarm.store())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    for _ in 0..3 {
        stdin.write_all(b"{\"content\":\"x\"}\n").unwrap();
    }
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
    assert_eq!(swarm.stored().len(), 3);
}

#[test]
fn rejects_that_nobody_takes_are_the_systems_failure() {
    let swarm = Swarm::new();
    let send = env!("CARGO_BIN_EXE_swarm-send");
    // The reader of the pipe is gone once it could be opened.
    let script = format!("mkfifo r; true < r & yes foo | head -100000 | {send} -q --store store --as a --to b --reject r");
    Call::new("sh")
        .args(["-c", &script])
        .current_dir(swarm.0.path())
        .assert()
        .code(3)
        .stderr(contains("keep a rejected line in r: Broken pipe"));
}

#[test]
fn without_answers_it_sleeps_while_nothing_comes_also_on_an_input_that_does_not_block() {
    // It read again and again, on a whole core: programs like node make the pipes that they share not block.
    let swarm = Swarm::new();
    let (input, mut writer) = std::io::pipe().unwrap();
    fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_swarm-send"));
    child.args(["-q", "--as", "a", "--to", "b"]).env("SWARM_STORE", swarm.store()).stdin(input);
    let mut child = child.spawn().unwrap();
    writer.write_all(b"{\"content\":\"x\"}\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    let reads: u64 = io.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap();
    assert!(reads < 100, "{reads} reads of nothing");
    drop(writer);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(swarm.stored().len(), 1);
}

#[test]
fn ten_thousand_records_are_answered_in_order_with_dense_seqs() {
    let swarm = Swarm::new();
    let input: String = (0..10_000).map(|n| format!("{{\"content\":\"{n}\"}}\n")).collect();
    let told = answers(swarm.to_one(&[]).write_stdin(input));
    assert!(told.iter().enumerate().all(|(n, answer)| answer["seq"] == n + 1));
    assert!(swarm.stored().iter().enumerate().all(|(n, record)| record["content"].as_str() == Some(n.to_string().as_str())));
    assert_eq!(told.len(), 10_000);
}

#[test]
fn a_configured_rate_refuses_what_is_over_it_and_says_when_to_try_again() {
    let swarm = Swarm::new();
    fs::create_dir(swarm.store()).unwrap();
    fs::write(swarm.store().join("config.toml"), "[send]\nrate = \"2/1h\"\n").unwrap();
    swarm.to_one(&["one"]).assert().success();
    let input = "{\"content\":\"two\"}\n{\"content\":\"three\"}\n{\"content\":\"other\",\"sender_id\":\"AGENT-0\"}\n";
    let run = swarm.to_one(&[]).write_stdin(input).assert().code(1).stderr(contains("line 2: agent-0 is over the limit of 2/1h"));
    let told = records(&run.get_output().stdout);
    assert_eq!(told.iter().map(|answer| answer["status"].as_str().unwrap()).collect::<Vec<_>>(), ["accepted", "refused", "refused"]);
    assert!((3_500_000..=3_600_000).contains(&told[1]["retry_after_ms"].as_u64().unwrap()), "{}", told[1]);
    swarm.to_one(&["four"]).assert().code(1);
    swarm.send(&["--as", "agent-9", "--to", "b", "x"]).assert().success();
    fs::write(swarm.store().join("config.toml"), "[send]\nrate = \"ten\"\n").unwrap();
    swarm.to_one(&["five"]).assert().code(2).stderr(contains("config.toml:2: 'ten' is no rate"));
    assert_eq!(swarm.stored().len(), 3);
}

#[test]
fn a_retry_over_the_rate_is_answered_with_the_first_seq_and_what_is_not_stored_takes_nothing() {
    let swarm = Swarm::new();
    fs::create_dir(swarm.store()).unwrap();
    fs::write(swarm.store().join("config.toml"), "[send]\nrate = \"3/1h\"\n").unwrap();
    swarm.to_one(&["--id", "m-1", "x"]).assert().success();
    // Repeated, another's id, and twice in one batch: none of them is stored.
    for _ in 0..5 {
        swarm.to_one(&["--id", "m-1", "x"]).assert().success().stdout(contains("\"repeated\":true"));
        swarm.send(&["--as", "agent-9", "--to", "b", "--id", "m-1", "x"]).assert().code(2).stderr(contains("message of agent-0"));
    }
    let twice = "{\"msg_id\":\"m-2\",\"content\":\"x\"}\n".repeat(3);
    assert_eq!(answers(swarm.to_one(&[]).write_stdin(twice.clone())).iter().filter(|told| told["seq"] == 2).count(), 3);
    swarm.to_one(&["three"]).assert().success();
    swarm.to_one(&["four"]).assert().code(1);
    swarm.to_one(&["--id", "m-4", "x"]).assert().code(1);
    swarm.to_one(&["--id", "m-1", "x"]).assert().success().stdout(contains("\"seq\":1,").and(contains("\"repeated\":true")));
    swarm.to_one(&[]).write_stdin(twice).assert().success();
    // The other sender's window is as it was.
    for _ in 0..3 {
        swarm.send(&["--as", "agent-9", "--to", "b", "x"]).assert().success();
    }
    assert_eq!(swarm.stored().len(), 6);
}

#[test]
fn retries_that_overlap_their_first_attempt_take_one_from_the_rate_and_are_all_answered() {
    let swarm = Swarm::new();
    fs::create_dir(swarm.store()).unwrap();
    fs::write(swarm.store().join("config.toml"), "[send]\nrate = \"2/1h\"\n").unwrap();
    for id in ["m-1", "m-2"] {
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| answers(&mut swarm.to_one(&["--id", id, "x"])))).collect();
            let told: Vec<Value> = calls.into_iter().flat_map(|call| call.join().unwrap()).collect();
            assert!(told.len() == 8 && told.iter().all(|told| told["status"] == "accepted"), "{told:?}");
        });
    }
    assert_eq!(swarm.stored().len(), 2);
    swarm.to_one(&["--id", "m-3", "x"]).assert().code(1);
}

#[test]
fn strict_stops_at_an_id_of_another_sender_too() {
    let swarm = Swarm::new();
    swarm.send(&["--as", "other", "--to", "b", "--id", "m-1", "x"]).assert().success();
    let input = ["m-0", "m-1", "m-2", "m-1"].map(|id| format!("{{\"msg_id\":\"{id}\",\"content\":\"x\"}}\n")).concat() + "foo\n";
    let run = swarm.to_one(&["--strict"]).write_stdin(input).assert().code(2).stderr(contains("line 2: msg_id m-1 is that of"));
    let told = records(&run.get_output().stdout);
    assert_eq!(told.iter().map(|told| told["status"].as_str().unwrap()).collect::<Vec<_>>(), ["accepted", "refused"]);
    assert_eq!(swarm.stored().len(), 2);
}

#[test]
fn a_retry_of_what_is_stored_is_never_called_failed_whatever_the_disk_does() {
    let swarm = Swarm::new();
    swarm.to_one(&["--id", "m-1", "x"]).assert().success();
    swarm.to_one(&[&"x".repeat(3000)]).assert().success();
    swarm.to_one(&["--id", "m-3", "x"]).assert().success();
    let line = |id: &str| format!("{{\"msg_id\":\"{id}\",\"content\":\"x\"}}\n");
    let send = env!("CARGO_BIN_EXE_swarm-send");
    let limited = |ids: &[&str]| {
        fs::write(swarm.0.path().join("input"), ids.iter().map(|id| line(id)).collect::<String>()).unwrap();
        let mut call = Call::new("sh");
        // A block has 512 or 1024 bytes: the first record is below, the third above it.
        call.args(["-c", &format!("ulimit -f 1; exec {send} --store store --as agent-0 --to b < input")]).current_dir(swarm.0.path());
        let run = call.assert().code(3).stderr(contains("File too large"));
        let told = records(&run.get_output().stdout);
        told.iter().map(|told| (told["status"].as_str().unwrap().to_string(), told["seq"].clone())).collect::<Vec<_>>()
    };
    let is = |status: &str, seq: Value| (status.to_string(), seq);
    assert_eq!(limited(&["m-1", "new"]), [is("accepted", json!(1)), is("failed", Value::Null)]);
    assert_eq!(limited(&["m-1", "m-3", "new"]), [is("unknown", json!(1)), is("unknown", json!(3)), is("failed", Value::Null)]);
    assert_eq!(swarm.stored().len(), 3);
    let input = ["m-1", "m-3"].map(line).concat();
    assert!(answers(swarm.to_one(&[]).write_stdin(input)).iter().all(|told| told["repeated"] == true));
}

#[test]
fn what_is_over_the_rate_is_kept_in_its_place_and_with_strict_nothing_behind_it_is_sent() {
    let swarm = Swarm::new();
    fs::create_dir(swarm.store()).unwrap();
    fs::write(swarm.store().join("config.toml"), "[send]\nrate = \"1/1h\"\n").unwrap();
    let line = |sender: &str| format!("{{\"sender_id\":\"{sender}\",\"content\":\"x\"}}\n");
    let (ann, bob) = (line("ann"), line("bob"));
    let strict = swarm.send(&["--to", "c", "--strict"]).write_stdin([&ann, &ann, &bob, "foo\n"].map(str::to_string).concat()).assert();
    let strict = strict.code(1).stderr(contains("line 2: ann is over the limit"));
    let told = records(&strict.get_output().stdout);
    assert_eq!(told.iter().map(|told| told["status"].as_str().unwrap()).collect::<Vec<_>>(), ["accepted", "refused"]);
    let input = [&ann, "foo\n", &bob, &ann].map(str::to_string).concat();
    let all = swarm.send(&["--to", "c", "--reject", "rejects"]).write_stdin(input).assert().success();
    let told = records(&all.get_output().stdout);
    assert_eq!(told.iter().map(|told| told["status"].as_str().unwrap()).collect::<Vec<_>>(), ["refused", "refused", "accepted", "refused"]);
    assert_eq!(told.iter().map(|told| told["line"].clone()).collect::<Vec<_>>(), [json!(1), json!(2), json!(null), json!(4)]);
    let mut kept: Vec<String> =
        fs::read_to_string(swarm.0.path().join("rejects")).unwrap().lines().map(|line| format!("{line}\n")).collect();
    kept.sort();
    assert_eq!(kept, ["foo\n", &ann, &ann].map(str::to_string));
    assert_eq!(swarm.stored().len(), 2);
}

#[test]
fn windows_that_cannot_be_used_are_the_systems_failure_and_nothing_is_sent() {
    let swarm = Swarm::new();
    fs::create_dir(swarm.store()).unwrap();
    fs::write(swarm.store().join("config.toml"), "[send]\nrate = \"9/1h\"\n").unwrap();
    fs::create_dir_all(swarm.store().join("rate/agent-0@9-per-1h")).unwrap();
    let run = swarm.to_one(&[]).write_stdin("{\"content\":\"x\"}\n{\"content\":\"y\"}\n").assert().code(3);
    let run = run.stderr(contains("the shared window").and(contains("stopped at line 2")));
    let told = records(&run.get_output().stdout);
    assert_eq!(told.iter().map(|told| told["status"].as_str().unwrap()).collect::<Vec<_>>(), ["failed", "failed"]);
    swarm.to_one(&["x"]).assert().code(3).stdout(contains("\"status\":\"failed\""));
    assert!(swarm.stored().is_empty());
}

#[test]
fn a_slip_in_the_config_is_told_with_its_line() {
    let swarm = Swarm::new();
    fs::create_dir(swarm.store()).unwrap();
    fs::write(swarm.store().join("config.toml"), "# mine\n[journal]\nsegment_byte = 1\n").unwrap();
    swarm.to_one(&["x"]).assert().code(2).stderr(contains("config.toml:3: ").and(contains("segment_byte")));
    assert!(swarm.stored().is_empty());
}

#[test]
fn no_store_anywhere_names_the_ways_to_have_one() {
    let swarm = Swarm::new();
    if swarm.0.path().ancestors().any(|above| above.join(".git").exists() || above.join(".swarm").exists()) {
        return;
    }
    let mut call = swarm.to_one(&["x"]);
    call.env_remove("SWARM_STORE")
        .assert()
        .code(2)
        .stderr(contains("mkdir .swarm").and(contains("--store DIR")).and(contains("SWARM_STORE=DIR")));
}

#[test]
fn a_store_of_another_user_a_link_and_one_open_to_others_are_refused() {
    let swarm = Swarm::new();
    swarm.to_one(&["x"]).assert().success();
    std::os::unix::fs::symlink(swarm.store(), swarm.0.path().join("link")).unwrap();
    swarm.to_one(&["--store", "link", "x"]).assert().code(3).stderr(contains("symbolic link"));
    fs::set_permissions(swarm.store(), fs::Permissions::from_mode(0o777)).unwrap();
    swarm.to_one(&["x"]).assert().code(3).stderr(contains("others may write to it (mode 777)").and(contains("chmod 700")));
    fs::set_permissions(swarm.store(), fs::Permissions::from_mode(0o700)).unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(swarm.store(), Some(65_534), None).unwrap();
        swarm.to_one(&["x"]).assert().code(3).stderr(contains("belongs to user 65534"));
        chown(swarm.store(), Some(0), None).unwrap();
    }
    assert_eq!(swarm.stored().len(), 1);
}

/// Runs a shell's line as a user who is not root, with the binary as `$SEND`.
fn as_nobody(dir: &Path, line: &str) -> Call {
    let mut call = if nix::unistd::geteuid().is_root() {
        let mut call = Call::new("setpriv");
        call.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", line]);
        call
    } else {
        let mut call = Call::new("sh");
        call.args(["-c", line]);
        call
    };
    call.current_dir(dir).env("HOME", dir);
    call
}

#[test]
fn a_store_that_cannot_be_written_is_the_systems_failure_and_stays_as_it_was() {
    let swarm = Swarm::new();
    // Where a user who is not root can reach both.
    let binary = swarm.0.path().join("swarm-send");
    fs::copy(env!("CARGO_BIN_EXE_swarm-send"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(swarm.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(swarm.store()).unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(swarm.store(), Some(65_534), Some(65_534)).unwrap();
    }
    let send = "./swarm-send --store store --as a --to b x";
    as_nobody(swarm.0.path(), send).assert().success();
    as_nobody(swarm.0.path(), "chmod 500 store/journal && chmod 400 store/journal/*").assert().success();
    let before = swarm.stored();
    as_nobody(swarm.0.path(), send).assert().code(3).stderr(contains("cannot append to the journal").and(contains("Permission denied")));
    as_nobody(swarm.0.path(), "chmod 700 store/journal && chmod 600 store/journal/*").assert().success();
    assert_eq!((before.len(), swarm.stored()), (1, before));
    as_nobody(swarm.0.path(), send).assert().success();
    assert_eq!(swarm.stored().len(), 2);
}

#[test]
fn a_disk_that_is_full_stores_nothing_of_the_batch_and_the_journal_goes_on_when_there_is_room() {
    let swarm = Swarm::new();
    swarm.to_one(&["before"]).assert().success();
    let line = format!("{{\"content\":\"{}\"}}\n", "x".repeat(1000));
    fs::write(swarm.0.path().join("input"), line.repeat(100)).unwrap();
    // The limit is in blocks of 512 or 1024 bytes, as the shell counts.
    let send = env!("CARGO_BIN_EXE_swarm-send");
    let mut call = Call::new("sh");
    call.args(["-c", &format!("ulimit -f 40; exec {send} --store store --as a --to b < input")]).current_dir(swarm.0.path());
    let run = call
        .assert()
        .code(3)
        .stderr(contains("File too large").and(contains("nothing of it is stored")).and(contains("stopped at line 100")));
    let told = records(&run.get_output().stdout);
    assert!(told.len() == 100 && told.iter().all(|answer| answer["status"] == "failed"), "{told:?}");
    assert_eq!(swarm.stored().len(), 1);
    swarm.to_one(&["after"]).assert().success();
    assert_eq!(swarm.stored().last().unwrap()["seq"], 2);
}

#[test]
fn a_small_file_system_that_is_full_is_told_and_nothing_is_torn() {
    if !nix::unistd::geteuid().is_root() {
        // Mounting is root's; the file size limit above is everybody's.
        return;
    }
    let swarm = Swarm::new();
    fs::create_dir(swarm.store()).unwrap();
    let send = env!("CARGO_BIN_EXE_swarm-send");
    // A mount of its own name space: gone with the shell.
    let script = format!(
        "mount -t tmpfs -o size=64k,mode=700 none store || exit 99
         i=0; while [ $i -lt 40 ] && {send} -q --store store --as a --to b \"$(head -c 5000 /dev/zero | tr '\\0' x)\" 2> err; do i=$((i+1)); done
         cat err >&2; echo $i; {send} --store store --as a --to b small > /dev/null 2>&1; cat store/journal/*.ndjson | wc -l
         cat store/journal/*.ndjson | tail -c 1 | od -An -c; rm store/journal/00000000000000000001.ndjson"
    );
    let mut call = Call::new("unshare");
    let done = call.args(["-m", "sh", "-c", &script]).current_dir(swarm.0.path()).output().unwrap();
    if done.status.code() == Some(99) || String::from_utf8_lossy(&done.stderr).contains("unshare") {
        return;
    }
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    let sent: usize = lines[0].parse().unwrap();
    assert!((3..40).contains(&sent), "the disk was full at some time: {out} {err}");
    assert!(err.contains("No space left on device") && err.contains("make room"), "{err}");
    let kept: usize = lines[1].parse().unwrap();
    assert!(kept == sent || kept == sent + 1, "{out}");
    assert_eq!(lines[2], "\\n");
}

#[test]
fn a_text_on_a_standard_input_that_does_not_block_is_waited_for_and_one_that_cannot_be_read_has_failed() {
    // "Resource temporarily unavailable", and the answer said `refused`.
    let swarm = Swarm::new();
    let (input, mut writer) = std::io::pipe().unwrap();
    fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_swarm-send"));
    child.args(["-q", "--as", "a", "--to", "b", "-"]).env("SWARM_STORE", swarm.store()).stdin(input);
    let mut child = child.spawn().unwrap();
    writer.write_all(b"one ").unwrap();
    // Where the system does not tell, a second is enough.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
    let is_asleep = |id| fs::read_to_string(format!("/proc/{id}/wchan")).is_ok_and(|wchan| wchan.contains("poll"));
    while !is_asleep(child.id()) && child.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    writer.write_all(b"two").unwrap();
    drop(writer);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(swarm.stored()[0]["content"], "one two");
    // A directory cannot be read.
    let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-send"));
    call.args(["--as", "a", "--to", "b", "-"]).env("SWARM_STORE", swarm.store()).stdin(fs::File::open("/").unwrap());
    let output = call.output().unwrap();
    assert_eq!((output.status.code(), &records(&output.stdout)[0]["status"]), (Some(3), &json!("failed")));
}

#[test]
fn an_answer_that_cannot_be_printed_is_told_for_the_message_is_stored() {
    let swarm = Swarm::new();
    let send = |args: &[&str], input: Stdio| {
        let mut call = Command::new(env!("CARGO_BIN_EXE_swarm-send"));
        call.args(["--as", "a", "--to", "b"]).args(args).env("SWARM_STORE", swarm.store()).stdin(input);
        let output = call.stdout(fs::File::options().write(true).open("/dev/full").unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = send(&["hello"], Stdio::null());
    assert!(said.contains("No space left") && said.contains("the answer was: {\"status\":\"accepted\",\"seq\":1,"), "{said}");
    let path = swarm.0.path().join("records");
    fs::write(&path, "{\"content\":\"x\"}\n").unwrap();
    let said = send(&[], fs::File::open(&path).unwrap().into());
    assert!(said.contains("answers are lost, and what they told of is stored") && said.contains("stopped at line 1"), "{said}");
    assert_eq!(swarm.stored().len(), 2);
}

#[test]
fn a_file_size_limit_on_a_new_store_is_told_and_the_store_is_whole_afterwards() {
    // SIGXFSZ ended it without a word, and the empty .gitignore kept git open to the store for ever.
    let swarm = Swarm::new();
    let command = format!("ulimit -f 0; exec {} --as a --to b hello 2>&1 | cat", env!("CARGO_BIN_EXE_swarm-send"));
    let output = Command::new("bash").args(["-c", &command]).env("SWARM_STORE", swarm.store()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("make the store"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("File too large"), "{output:?}");
    assert_eq!(fs::read_to_string(swarm.store().join(".gitignore")).unwrap(), "");
    swarm.to_one(&["hello"]).assert().success();
    assert_eq!(fs::read_to_string(swarm.store().join(".gitignore")).unwrap(), "*\n");
}
