//! The binary against a naive list of everything that ever passed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use proptest::prelude::*;
use support::{run, stdout};
use swarm_common::time;

/// How long after the one before a line was written, the line, and whose it is where it is a record. AT stands for the time.
fn line() -> impl Strategy<Value = (u64, &'static str, Option<&'static str>)> {
    let line = prop_oneof![
        8 => Just((r#"{"timestamp":"AT","sender_id":"a","content":"x"}"#, Some("a"))),
        4 => Just((r#" { "content" : "\"sender_id\":\"a\"" , "sender\u005fid" : "b" , "timestamp" : "AT" } "#, Some("b"))),
        2 => Just((r#"{"sender":"b","timestamp":"AT"}"#, Some("b"))),
        2 => Just((r#"{"sender":"a","sender_id":"b","timestamp":"AT","data":{"over_limit":false}}"#, Some("b"))),
        2 => Just((r#"{"timestamp":"AT"}"#, Some(""))),
        1 => Just((r#"{"sender_id":"a","timestamp":"AT","timestamp":"AT"}"#, None)),
        1 => Just((r#"{"sender_id":"a","timestamp":"AT""#, None)),
        1 => Just((r#"{"sender_id":1,"timestamp":"AT"}"#, None)),
        1 => Just((r#"{"sender_id":"a"}"#, None)),
        1 => Just(("no record", None)),
    ];
    (0u64..900, line).prop_map(|(step_ms, (line, sender))| (step_ms, line, sender))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_stream_passes_what_a_naive_list_passes(count in 1usize..4, lines in prop::collection::vec(line(), 0..80), marks in any::<bool>()) {
        let (mut input, mut passed, mut rejected) = (String::new(), String::new(), String::new());
        let mut taken: Vec<(&str, u64)> = Vec::new();
        let mut at_ms = 1_764_000_000_000;
        for (step_ms, line, sender) in lines {
            at_ms += step_ms;
            let at = jiff::Timestamp::from_millisecond(at_ms as i64).unwrap();
            let line = line.replace("AT", &time::write(at)) + "\n";
            input += &line;
            let Some(sender) = sender else {
                rejected += &line;
                continue;
            };
            let in_window = taken.iter().filter(|(other, then_ms)| *other == sender && at_ms - then_ms < 2000).count();
            if in_window < count {
                taken.push((sender, at_ms));
                passed += &line;
            } else if marks {
                // No string here has a brace.
                let (head, tail) = line.rsplit_once('}').unwrap();
                passed += &format!("{head},\"over_limit\":true}}{tail}");
            } else {
                rejected += &line;
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejects");
        let (count, over) = (count.to_string(), if marks { "mark" } else { "drop" });
        let output = run(&["-n", &count, "--per=2s", "--by=timestamp", "--over", over, "--reject", path.to_str().unwrap()], &input);
        prop_assert_eq!(output.status.code(), Some(0));
        prop_assert_eq!(stdout(&output), passed);
        prop_assert_eq!(std::fs::read_to_string(&path).unwrap(), rejected);
    }
}

#[test]
fn what_is_dropped_in_a_flood_is_kept_whole_and_in_order() {
    let line = |n: u32| format!("{{\"sender_id\":\"a\",\"seq\":{n}}}\n");
    let input: String = (0..20_000).map(line).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rejects");
    let output = run(&["--per=1h", "--reject", path.to_str().unwrap()], &input);
    let passed = stdout(&output);
    assert_eq!(passed.lines().count(), 10);
    assert!(passed + &std::fs::read_to_string(&path).unwrap() == input);
}
