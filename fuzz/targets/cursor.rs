//! The text of a cursor's file: read as serde_json reads it, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use swarm_common::cursor;

fuzz_target!(|bytes: &[u8]| {
    match cursor::parse(bytes) {
        Ok(next_seq) => {
            let value: Value = serde_json::from_slice(bytes).expect("JSON");
            assert!(next_seq > 0 && value["next_seq"].as_u64() == Some(next_seq));
        }
        Err(why) => assert!(!why.chars().any(swarm_common::text::is_unsafe), "{why:?}"),
    }
});
