//! The text of config.toml, and the small texts that stand in it and on command lines: whatever they are, they are read or refused
//! with words that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarm_common::config::Config;
use swarm_common::limit::Limit;
use swarm_common::{text, time};

fuzz_target!(|bytes: &[u8]| {
    match Config::parse(bytes) {
        Ok(config) => assert_eq!(Config::parse(bytes), Ok(config)),
        Err(why) => assert!(why.starts_with(':') && !why.chars().any(text::is_unsafe), "{why:?}"),
    }
    let Ok(written) = std::str::from_utf8(bytes) else { return };
    if let Ok(limit) = Limit::parse(written) {
        assert_eq!(Limit::parse(&limit.to_string()), Ok(limit), "{limit} reads back");
    }
    let now = time::now();
    let _ = time::span(written);
    let _ = time::instant(written, now);
    if let Some(at) = time::timestamp(bytes) {
        // What is written has microseconds.
        let again = time::timestamp(time::write(at).as_bytes()).expect("what was written reads back");
        assert!((at.as_nanosecond() - again.as_nanosecond()).abs() < 1000, "{at} {again}");
    }
});
