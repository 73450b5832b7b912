use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

use crate::fold::Fold;
use crate::journal::{self, Draft, Journal, Settings};

/// At so many seconds after a moment.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Takes a record that was accepted at so many seconds.
fn take(pending: &mut Pending, seq: u64, seconds: i64, mut record: Value) {
    record["timestamp"] = json!(time::write(at(seconds)));
    pending.take(seq, record.to_string().as_bytes());
}

fn question(to: &[&str]) -> Value {
    json!({"msg_id": "m1", "msg_type": "QUESTION", "sender_id": "lead", "recipients": to, "requires_ack": true})
}

fn ack(by: &str) -> Value {
    json!({"msg_id": "k", "msg_type": "ACK", "sender_id": by, "recipients": ["lead"], "reply_to": "m1"})
}

fn retry(agent_id: &str, count: u32) -> Value {
    json!({"msg_type": "RETRY", "reply_to": "m1", "data": {"agent_id": agent_id, "try": count, "outcome": "delivered"}})
}

fn waits(pending: &Pending) -> Vec<&str> {
    pending.all().iter().map(|waiting| waiting.agent_id).collect()
}

#[test]
fn a_message_waits_for_each_whom_it_asked_until_that_one_acknowledges_it() {
    let mut pending = Pending::default();
    take(&mut pending, 1, 0, question(&["Ann", "bob"]));
    assert_eq!(waits(&pending), ["Ann", "bob"]);
    take(&mut pending, 2, 1, ack("zed"));
    take(&mut pending, 3, 1, json!({"msg_type": "INFO", "sender_id": "bob", "reply_to": "m1"}));
    assert_eq!(waits(&pending), ["Ann", "bob"], "one was not asked, the other only answered");
    take(&mut pending, 4, 2, ack("ANN"));
    take(&mut pending, 5, 2, ack("ann"));
    assert_eq!(waits(&pending), ["bob"]);
    assert!(pending.waits_for("m1", "BOB") && !pending.waits_for("m1", "ann") && !pending.waits_for("m2", "bob"));
    take(&mut pending, 6, 3, ack("bob"));
    assert_eq!(pending, Pending::default());
}

#[test]
fn a_broadcast_waits_for_those_who_were_there_when_it_was_sent() {
    let mut pending = Pending::default();
    let mut broadcast = question(&["@all"]);
    broadcast["all"] = json!(["ann", "bob"]);
    take(&mut pending, 1, 0, broadcast);
    assert_eq!(waits(&pending), ["ann", "bob"]);
    assert!(!pending.waits_for("m1", "carl"));
}

#[test]
fn who_everybody_was_is_in_its_delivery_where_the_message_does_not_say_it() {
    let mut pending = Pending::default();
    take(&mut pending, 1, 0, question(&["@all"]));
    assert!(waits(&pending).is_empty() && pending.waits_for("m1", "Ann") && !pending.waits_for("m1", "LEAD"));
    take(&mut pending, 2, 1, ack("Ann"));
    assert!(!pending.waits_for("m1", "ann"));
    let outcomes = ["ann", "bob", "carl"].map(|id| json!({"agent_id": id, "outcome": "delivered"}));
    take(&mut pending, 3, 2, json!({"msg_type": "DELIVERY", "reply_to": "m1", "data": {"seq": 1, "outcomes": outcomes}}));
    assert_eq!(waits(&pending), ["bob", "carl"], "one acknowledged it before");
    assert!(!pending.waits_for("m1", "zed"));
    take(&mut pending, 4, 3, ack("bob"));
    take(&mut pending, 5, 3, json!({"msg_type": "DELIVERY", "reply_to": "m1", "data": {"seq": 1, "outcomes": outcomes}}));
    assert_eq!(waits(&pending), ["carl"]);
    take(&mut pending, 6, 4, ack("carl"));
    assert!(!pending.waits_for("m1", "zed"), "all whom it asked have acknowledged it: it asked nobody else");
}

#[test]
fn what_does_not_ask_never_waits_and_an_acknowledgement_asks_for_none() {
    let mut pending = Pending::default();
    take(&mut pending, 1, 0, json!({"msg_id": "m1", "msg_type": "INFO", "sender_id": "lead", "recipients": ["ann"]}));
    let mut asking = ack("ann");
    asking["requires_ack"] = json!(true);
    take(&mut pending, 2, 0, asking);
    for garbage in ["", "{}", "[]", "{\"requires_ack\":7}", "{\"msg_type\":\"RETRY\",\"data\":7}", "{\"msg_type\":\"ESCALATION\"}"] {
        pending.take(3, garbage.as_bytes());
    }
    assert_eq!(pending, Pending::default());
}

#[test]
fn each_try_gives_it_the_next_span_and_behind_the_last_one_that_again() {
    let spans = [30, 60, 120].map(Duration::from_secs);
    let mut pending = Pending::default();
    take(&mut pending, 1, 0, question(&["ann"]));
    let mut now = 0;
    for (count, span) in [30, 60, 120, 120, 120].into_iter().enumerate() {
        let waiting = pending.of("m1")[0];
        assert_eq!((waiting.tries as usize, waiting.next_at(&spans, at(now))), (count, Some(at(now + span))));
        assert_eq!(waiting.standing(&spans, at(now + span - 1)), Standing::Waiting);
        assert_eq!(waiting.standing(&spans, at(now + span)), Standing::Overdue);
        now += span;
        take(&mut pending, 2, now, retry("ANN", count as u32 + 1));
    }
    take(&mut pending, 3, now, retry("ann", 5));
    assert_eq!(pending.of("m1")[0].tries, 5, "the same try, written down twice");
    take(
        &mut pending,
        4,
        now,
        json!({"msg_type": "ESCALATION", "reply_to": "m1", "data": {"agent_ids": ["Ann"], "why": "no acknowledgement"}}),
    );
    let waiting = pending.of("m1")[0];
    assert_eq!((waiting.standing(&spans, at(now)), waiting.next_at(&spans, at(now))), (Standing::Escalated, None));
    take(&mut pending, 5, now, ack("ann"));
    assert!(waits(&pending).is_empty(), "it can be acknowledged yet");
}

#[test]
fn its_sender_may_say_when_it_is_sent_again_and_after_so_many_times_everyone_is_told() {
    let spans = [30, 60].map(Duration::from_secs);
    let step = |own: Value, tries: u32| {
        let mut pending = Pending::default();
        let mut message = question(&["ann"]);
        message["retry_ms"] = own;
        take(&mut pending, 1, 0, message);
        (1..=tries).for_each(|count| take(&mut pending, 2, 0, retry("ann", count)));
        let waiting = pending.of("m1")[0];
        (waiting.step(&spans), waiting.next_at(&spans, at(0)).unwrap().duration_since(at(0)).as_secs())
    };
    // What is no list of spans says nothing.
    for configured in [json!([]), json!([0]), json!(vec![1; 17])] {
        let steps = [0, 1, 2].map(|tries| step(configured.clone(), tries));
        assert_eq!(steps, [(Step::Retry(1), 30), (Step::Retry(2), 60), (Step::Escalate, 60)]);
    }
    assert_eq!([0, 1].map(|tries| step(json!([5000]), tries)), [(Step::Retry(1), 5), (Step::Escalate, 5)]);
}

#[test]
fn a_clock_that_is_set_back_silences_nothing_and_hastens_one_try_at_most() {
    let spans = [30, 60].map(Duration::from_secs);
    let next = |id: &str, retries: &[(i64, &str)], now: i64| {
        let mut pending = Pending::default();
        let mut message = question(&["ann"]);
        message["msg_id"] = json!(id);
        take(&mut pending, 1, 0, message);
        for (n, (seconds, id)) in retries.iter().enumerate() {
            let mut again = retry("ann", n as u32 + 1);
            (again["msg_id"], again["reply_to"]) = (json!(id), pending.all()[0].msg_id.into());
            take(&mut pending, 2, *seconds, again);
        }
        pending.all()[0].next_at(&spans, at(now)).unwrap().duration_since(at(now)).as_secs()
    };
    /// An id that was made at so many seconds.
    fn made(seconds: i64) -> String {
        let ms = format!("{:012x}", at(seconds).as_millisecond());
        format!("{}-{}-7000-8000-000000000000", &ms[..8], &ms[8..])
    }
    // The clock was an hour ahead; the journal's time stands still until then.
    assert_eq!(next("m1", &[], -3600), 0, "nobody knows how long it is ago: now");
    assert_eq!(next(&made(-3600), &[], -3590), 20, "its id tells");
    assert_eq!(next("m1", &[(0, &made(-3600))], -3590), 50, "after that it goes on by the new clock");
    assert_eq!(next("m1", &[(0, "r1")], -3590), 0);
    assert_eq!(next("m1", &[], -1), 31, "a clock that is slewed was not set back");
    assert_eq!(next("m1", &[], 3600), -3570, "set ahead: it is late");
}

#[test]
fn an_escalation_is_untold_until_its_own_delivery_is_written_down() {
    let mut pending = Pending::default();
    take(&mut pending, 1, 0, question(&["ann"]));
    let escalation = json!({"msg_id": "e1", "msg_type": "ESCALATION", "reply_to": "m1", "data": {"agent_ids": ["ann"], "why": "gone"}});
    take(&mut pending, 2, 0, escalation);
    assert_eq!(pending.untold().collect::<Vec<_>>(), [(2, "e1")]);
    let delivery = |about: &str| json!({"msg_type": "DELIVERY", "reply_to": about, "data": {"seq": 2, "outcomes": []}});
    take(&mut pending, 3, 0, delivery("m1"));
    assert_eq!(pending.untold().count(), 1);
    take(&mut pending, 4, 0, delivery("e1"));
    assert_eq!(pending.untold().count(), 0);
}

#[test]
fn with_nothing_late_the_digest_says_that_nothing_is_due() {
    let spans = [30, 60].map(Duration::from_secs);
    let mut pending = Pending::default();
    assert!(!pending.digest().may_be_due(&spans, at(0)));
    take(&mut pending, 1, 0, question(&["Ann", "bob"]));
    take(&mut pending, 2, 10, retry("bob", 1));
    let digest = pending.digest();
    assert_eq!([10, 29, 30].map(|seconds| digest.may_be_due(&spans, at(seconds))), [false, false, true]);
    assert_eq!((digest.agents(), digest.may_be_due(&spans, at(-10))), (&["ann".to_string(), "bob".to_string()][..], true));
    take(&mut pending, 3, 20, ack("ann"));
    assert_eq!([69, 70].map(|seconds| pending.digest().may_be_due(&spans, at(seconds))), [false, true]);
}

/// What a naive reader says of the journal's lines: seq, agent, tries, whether it was escalated.
fn naive(lines: &[(u64, Value)]) -> Vec<(u64, String, u32, bool)> {
    let mut found = Vec::new();
    for (seq, message) in lines.iter().filter(|(_, record)| record["requires_ack"] == true && record["msg_type"] != "ACK") {
        let later = || lines.iter().filter(|(at, record)| at > seq && record["reply_to"] == message["msg_id"]);
        // From which place on each is asked.
        let mut asked: BTreeMap<String, u64> = BTreeMap::new();
        let names = if message["recipients"] == json!(["@all"]) { &message["all"] } else { &message["recipients"] };
        for name in names.as_array().into_iter().flatten() {
            asked.entry(name.as_str().unwrap().to_lowercase()).or_insert(*seq);
        }
        if names.is_null() {
            for (at, record) in later().filter(|(_, record)| record["msg_type"] == "DELIVERY") {
                for outcome in record["data"]["outcomes"].as_array().unwrap() {
                    asked.entry(outcome["agent_id"].as_str().unwrap().to_lowercase()).or_insert(*at);
                }
            }
        }
        for (agent, from) in asked {
            let is_his = |name: &Value| name.as_str().is_some_and(|name| name.to_lowercase() == agent);
            if later().any(|(_, record)| record["msg_type"] == "ACK" && is_his(&record["sender_id"])) {
                continue;
            }
            let since = || later().filter(|(at, _)| *at > from).map(|(_, record)| record);
            let retries = since().filter(|record| record["msg_type"] == "RETRY" && is_his(&record["data"]["agent_id"]));
            let tries = retries.map(|record| record["data"]["try"].as_u64().unwrap() as u32).max().unwrap_or(0);
            let is_escalated = since()
                .filter(|record| record["msg_type"] == "ESCALATION")
                .any(|record| record["data"]["agent_ids"].as_array().unwrap().iter().any(is_his));
            found.push((*seq, agent, tries, is_escalated));
        }
    }
    found
}

fn lines(journal: &Journal) -> Vec<(u64, Value)> {
    let (mut reader, mut lines) = (journal.read_from(0).unwrap(), Vec::new());
    loop {
        match reader.next().unwrap() {
            journal::Step::Lines { bytes, .. } => {
                lines.extend(bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(|line| {
                    let record: Value = serde_json::from_slice(line).unwrap();
                    (record["seq"].as_u64().unwrap(), record)
                }))
            }
            journal::Step::End => return lines,
            _ => {}
        }
    }
}

fn fold(dir: &Path, journal: &Journal) -> Fold<Pending> {
    let mut fold = Fold::load(dir);
    fold.catch_up(journal).unwrap();
    fold
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_saved_what_is_computed_anew_and_a_naive_reader_agree(
        steps in prop::collection::vec((0usize..12, 0usize..12, 0usize..5, 0usize..5), 1..60)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { segment_bytes: 1500, keep_bytes: Some(6000), keep_age: None };
        let journal = Journal::at(dir.path().join("journal"), settings);
        let (folds, nothing) = (dir.path().join("folds"), dir.path().join("nothing"));
        let name = |n: usize| ["ann", "Ann", "bob", "BOB", "carl"][n];
        for (n, (kind, about, one, other)) in steps.into_iter().enumerate() {
            // About one of the latest, or one that is yet to come.
            let about = format!("m{}", (n + 1).saturating_sub(about));
            let mut record = match kind {
                0..=2 => json!({"msg_type": "QUESTION", "sender_id": "lead", "recipients": [name(one)], "requires_ack": true,
                    "retry_ms": if other == 0 { json!([1, 40_000]) } else { json!([]) }}),
                3 => json!({"msg_type": "INFO", "sender_id": "lead", "recipients": ["ann", "bob", "carl"], "requires_ack": other > 0}),
                4 => json!({"msg_type": "INFO", "sender_id": "lead", "recipients": ["@all"], "all": ["bob", name(one)], "requires_ack": true}),
                5 => json!({"msg_type": "INFO", "sender_id": "lead", "recipients": ["@all"], "requires_ack": true}),
                6..=8 => json!({"msg_type": "ACK", "sender_id": name(one), "requires_ack": other == 0, "reply_to": about}),
                9 => json!({"msg_type": "DELIVERY", "sender_id": "lead", "reply_to": about, "data": {"seq": 1, "outcomes": [
                    {"agent_id": name(one), "outcome": "delivered"}, {"agent_id": name(other), "outcome": "queued", "why": "shell"}]}}),
                10 => json!({"msg_type": "RETRY", "sender_id": "lead", "reply_to": about,
                    "data": {"agent_id": name(one), "try": other + 1, "outcome": "delivered"}}),
                _ => json!({"msg_type": "ESCALATION", "sender_id": "lead", "reply_to": about, "data": {"agent_ids": [name(one)], "why": "gone"}}),
            };
            record["content"] = json!("x".repeat(n * 37 % 200));
            let body = record.to_string().into_bytes()[1..].to_vec();
            let draft = Draft { msg_id: format!("m{n}"), id_is_own: false, sender_id: "lead".into(), body };
            journal.note(&[draft], &mut |_| {}).unwrap();
            let (mut saved, rebuilt) = (fold(&folds, &journal), fold(&nothing, &journal));
            prop_assert_eq!(saved.state(), rebuilt.state());
            let said: Vec<_> = saved.state().all().iter().map(|waiting| (waiting.seq, waiting.agent_id.to_lowercase(), waiting.tries, waiting.is_escalated)).collect();
            prop_assert_eq!(said, naive(&lines(&journal)));
            // The digest may say too much, and never too little.
            let (spans, digest) = ([30, 60].map(Duration::from_secs), saved.state().digest());
            for seconds in [-3600, -10, 0, 29, 31, 59, 61, 3600] {
                let now = Timestamp::now() + SignedDuration::from_secs(seconds);
                let is_due = saved.state().all().iter().any(|waiting| waiting.standing(&spans, now) == Standing::Overdue);
                prop_assert!(!is_due || digest.may_be_due(&spans, now), "{digest:?} at {seconds}");
            }
            if one > 0 {
                saved.save().unwrap();
            }
        }
    }
}
