//! The log of the Python program: the counts are those of a `jq` that is written for its fields.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::process::Command;

use serde_json::Value;
use support::{run, stderr, stdout};

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/agent_messages.log");

/// What jq answers about the whole log.
fn jq(program: &str) -> Value {
    let output = Command::new("jq").args(["-n", "-c", program, LOG]).output();
    let output = output.unwrap_or_else(|error| panic!("jq does not run ({error}): apt-get install jq, or brew install jq"));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn count(option: &str, value: &str) -> u64 {
    let by_name = run(&["-c", &format!("--{option}={value}"), LOG], "");
    assert!(stderr(&by_name).is_empty(), "{}", stderr(&by_name));
    stdout(&by_name).trim().parse().unwrap()
}

#[test]
fn each_type_sender_and_recipient_is_counted_as_jq_counts_it() {
    let counts = jq(r#"[inputs] | def tally: group_by(.) | map({key: .[0], value: length}) | from_entries;
        {type: map(.msg_type) | tally, from: map(.sender) | tally, to: map(.recipients | unique | .[]) | tally}"#);
    for (option, least) in [("type", 7), ("from", 10), ("to", 7)] {
        let tally = counts[option].as_object().unwrap();
        assert!(tally.len() >= least, "{tally:?}");
        for (value, expected) in tally {
            assert_eq!(Some(count(option, value)), expected.as_u64(), "--{option} {value}");
        }
    }
    assert_eq!(counts["type"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 1698);
}

#[test]
fn times_without_offset_and_escaped_contents_are_found_as_jq_finds_them() {
    // Both ends lie on a record of the log; jq compares the texts, which sort as the times do.
    let (since, until) = ("2026-11-23T19:14:37", "2026-11-23T19:14:48.408364");
    let expected = jq(&format!(r#"[inputs | select(.timestamp >= "{since}" and .timestamp <= "{until}")] | length"#));
    let output = run(&["-c", "--since", since, "--until", until, LOG], "");
    assert_eq!(stdout(&output).trim(), expected.to_string());
    for text in ["ACK", "[RETRY-", "\u{202e}", "\u{1f600}", "\u{1b}[", "\"msg_type\"", "\\", "\t", "no such text"] {
        let expected = jq(&format!("[inputs | select(.content | contains({}))] | length", Value::from(text)));
        assert_eq!(Some(count("contains", text)), expected.as_u64(), "{text:?}");
    }
    let either = jq(r#"[inputs | select(.sender == "agent-1" or any(.recipients[]; . == "agent-1"))] | length"#);
    assert_eq!(Some(count("agent", "agent-1")), either.as_u64());
}

#[test]
fn the_whole_log_goes_through_a_pipe_byte_for_byte() {
    let log = std::fs::read(LOG).unwrap();
    let output = run(&[], &log);
    assert!(output.stdout == log && output.status.code() == Some(0), "{}", stderr(&output));
}
