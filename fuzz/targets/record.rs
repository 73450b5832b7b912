//! One line: the scanner takes what serde_json takes under the rules of a record, and reads the same in it; a message that
//! is accepted reads back as it was said.
#![no_main]

#[path = "../../swarm-filter/tests/support/oracle.rs"]
#[allow(dead_code)]
mod oracle;

use libfuzzer_sys::{Corpus, fuzz_target};
use oracle::{Fate, Manner};
use serde_json::{Map, Value};
use swarm_common::json::{self, Scanner, Walk};
use swarm_common::message::{Ids, Message};
use swarm_filter::condition::Conditions;

fuzz_target!(|line: &[u8]| -> Corpus {
    if line.contains(&b'\n') || line.len() > 65_536 || !oracle::knows(line) {
        return Corpus::Reject;
    }
    let expected = oracle::fate(line, &Conditions::default(), Manner { invert: false, exhaustive: true });
    let mut members = Vec::new();
    let walked = Scanner::new().members(line, |key, value| {
        members.push((key, value));
        Walk::On
    });
    assert_eq!(walked.is_ok(), expected == Fate::Pass, "{walked:?}");
    let message = Message::parse(line, &mut Scanner::new());
    if walked.is_err() {
        assert!(message.is_err());
        return Corpus::Keep;
    }
    let read: Map<String, Value> = serde_json::from_slice(line).expect("the oracle took it");
    assert_eq!(members.len(), read.len());
    for ((key, value), (expected_key, expected)) in members.iter().zip(&read) {
        assert_eq!(key.text(), expected_key.as_str());
        match value {
            json::Value::String(text) => assert_eq!(Some(text.text().as_ref()), expected.as_str()),
            json::Value::Number(_) => assert!(expected.is_number() && value.as_u64().is_none_or(|n| expected.as_u64() == Some(n))),
            json::Value::Bool(is) => assert_eq!(Some(*is), expected.as_bool()),
            json::Value::Null => assert!(expected.is_null()),
            json::Value::Array(raw) => {
                assert_eq!(Some(value.items().count()), expected.as_array().map(Vec::len));
                assert_eq!(&written(raw), expected);
            }
            json::Value::Object(raw) => assert_eq!(&written(raw), expected),
        }
    }
    if let Ok(accepted) = message.and_then(|message| message.accept(&mut Ids::default())) {
        let stored = [b"{".as_slice(), &accepted.draft.body].concat();
        assert!(Scanner::new().check(&stored).is_ok() && stored.len() <= 65_536);
        let stored: Map<String, Value> = serde_json::from_slice(&stored).expect("JSON");
        let content = read.get("content").cloned().unwrap_or_else(|| "".into());
        assert_eq!((&stored["content"], stored.get("data"), stored.get("thread")), (&content, read.get("data"), read.get("thread")));
    }
    Corpus::Keep
});

fn written(raw: &[u8]) -> Value {
    let mut canonical = Vec::new();
    json::write_canonical(raw, &mut canonical);
    serde_json::from_slice(&canonical).expect("canonical JSON")
}
