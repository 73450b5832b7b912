use super::*;
use crate::window::{Key, Windows};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use swarm_common::limit::Limit;

/// Bytes in memory, whose writer is killed after so many writes.
#[derive(Default)]
struct Memory {
    bytes: RefCell<Vec<u8>>,
    writes_left: Cell<Option<u32>>,
    reads: Cell<u32>,
}

impl Place for Memory {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.set(self.reads.get() + 1);
        let bytes = self.bytes.borrow();
        let from = bytes.get(offset as usize..).unwrap_or(&[]);
        let n = from.len().min(to.len());
        to[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert_eq!(offset / 4096, (offset + bytes.len() as u64 - 1) / 4096, "a write crosses a page");
        match self.writes_left.get() {
            Some(0) => return Err(io::Error::other("killed")),
            left => self.writes_left.set(left.map(|left| left - 1)),
        }
        let (mut to, end) = (self.bytes.borrow_mut(), offset as usize + bytes.len());
        if to.len() < end {
            to.resize(end, 0);
        }
        to[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }
}

struct Bucket {
    memory: Memory,
    limit: Limit,
    boot_id: &'static str,
}

impl Bucket {
    fn new(limit: &str) -> Bucket {
        Bucket { memory: Memory::default(), limit: Limit::parse(limit).expect("a limit"), boot_id: "b" }
    }

    fn ask(&self, now_us: i64, n: u32, commit: bool) -> io::Result<(Answer, Option<Damage>)> {
        let rule = Rule::of(&self.limit);
        let limit = self.limit.to_string();
        let terms = Terms { rule: &rule, limit: &limit, boot_id: self.boot_id, key: "agent-1", now_us };
        ask(&self.memory, &terms, n, commit)
    }

    fn take(&self, now_us: i64) -> Taken {
        let (answer, damage) = self.ask(now_us, 1, true).expect("taken");
        assert_eq!(damage, None);
        answer.taken
    }
}

fn is_yes(taken: Taken) -> bool {
    taken == Taken::Yes
}

#[test]
fn every_line_is_json_and_the_header_says_whose_it_is() {
    let bucket = Bucket::new("3/1s");
    for n in 1..=5 {
        bucket.take(n * 100);
    }
    let text = String::from_utf8(bucket.memory.bytes.borrow().clone()).expect("text");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["key"], "agent-1");
    assert_eq!(lines[3], serde_json::json!({"at_us": 300, "taken": 3}));
    assert_eq!(text.len(), 512 + 3 * 64);
}

#[test]
fn a_take_of_a_large_window_reads_as_little_as_one_of_a_small_window() {
    for limit in ["2/1s", "4000/1s", "1000000/1s"] {
        let bucket = Bucket::new(limit);
        for n in 0..10_000 {
            bucket.take(n * 90);
        }
        bucket.memory.reads.set(0);
        for n in 10_000..10_100 {
            bucket.take(n * 90);
        }
        assert!(bucket.memory.reads.get() <= 3 * 100 + 8, "{limit}: {} reads", bucket.memory.reads.get());
        let most = HEADER_BYTES + (RUNS_MAX as usize + 2) * RUN_BYTES;
        assert!(bucket.memory.bytes.borrow().len() <= most);
    }
}

#[test]
fn what_makes_no_sense_is_told_once_and_counts_as_full_for_one_window() {
    let good = Bucket::new("3/1s");
    for n in 1..=2 {
        good.take(n * 100);
    }
    let good = good.memory.bytes.borrow().clone();
    let text = String::from_utf8(good.clone()).expect("text");
    let damaged = [
        b"garbage".to_vec(),
        good[..300].to_vec(),
        good[..HEADER_BYTES + 64].to_vec(),
        good[..HEADER_BYTES + 100].to_vec(),
        text.replace("3/1s", "4/1s").into_bytes(),
        text.replace("\"next\":2", "\"next\":9").into_bytes(),
        text.replace("\"next\":2", "\"nxet\":2").into_bytes(),
        text.replace("\"first\":0", "\"first\":7").into_bytes(),
        text.replace("\"given_back\":0", "\"given_back\":5").into_bytes(),
        text.replace("\"taken\":2", "\"taken\":9").into_bytes(),
        text.replace("\"taken\":2", "\"taken\":0").into_bytes(),
        text.replace("\"at_us\":100", "\"at_us\":999").into_bytes(),
        text.replace("\"at_us\":200,\"taken\":2}     ", "\"at_us\":9000000,\"taken\":2} ").into_bytes(),
        text.replace("\"at_us\":200,\"taken\":2}               ", "\"at_us\":9223372036854775807,\"taken\":2}").into_bytes(),
    ];
    for bytes in damaged {
        assert_ne!(bytes, good);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let bucket = Bucket::new("3/1s");
        *bucket.memory.bytes.borrow_mut() = bytes;
        let full = Answer { taken: Taken::No { retry_after: Duration::from_secs(1) }, used: 3 };
        let (answer, damage) = bucket.ask(500, 1, false).expect("asked");
        assert!(damage.is_some() && answer == full, "{shown}: {answer:?}");
        assert_eq!(bucket.ask(500, 1, true).expect("asked"), (full, damage), "a question mends nothing");
        assert_eq!(bucket.take(600), Taken::No { retry_after: Duration::from_micros(999_900) }, "{shown}");
        assert!((0..3).all(|_| is_yes(bucket.take(1_000_500))) && !is_yes(bucket.take(1_000_500)), "{shown}");
    }
}

#[test]
fn another_boot_or_what_a_power_cut_leaves_is_an_empty_window() {
    let mut bucket = Bucket::new("2/1s");
    assert!(is_yes(bucket.take(900)) && is_yes(bucket.take(900)) && !is_yes(bucket.take(901)));
    bucket.boot_id = "c";
    assert!(is_yes(bucket.take(5)) && is_yes(bucket.take(6)) && !is_yes(bucket.take(7)));
    for left in [Vec::new(), vec![0; 576]] {
        *bucket.memory.bytes.borrow_mut() = left;
        assert!(is_yes(bucket.take(8)) && is_yes(bucket.take(8)) && !is_yes(bucket.take(8)));
    }
}

#[test]
fn a_question_takes_nothing_and_several_are_taken_together_or_not_at_all() {
    let bucket = Bucket::new("5/1s");
    let ask = |now_us, n, commit| bucket.ask(now_us, n, commit).expect("asked").0;
    assert_eq!(ask(0, 5, false), Answer { taken: Taken::Yes, used: 0 });
    assert_eq!(ask(100, 3, true), Answer { taken: Taken::Yes, used: 3 });
    assert_eq!(ask(200, 1, true), Answer { taken: Taken::Yes, used: 4 });
    assert_eq!(ask(300, 4, true), Answer { taken: Taken::No { retry_after: Duration::from_micros(999_800) }, used: 4 });
    assert_eq!(ask(300, 5, true), Answer { taken: Taken::No { retry_after: Duration::from_micros(999_900) }, used: 4 });
    assert_eq!(ask(1_000_100, 4, true), Answer { taken: Taken::Yes, used: 5 });
}

proptest! {
    #[test]
    fn the_file_answers_as_the_window_in_memory_does(count in 1u32..30, steps in prop::collection::vec(prop_oneof![9 => 0i64..300, 1 => 900i64..2500], 1..300)) {
        let bucket = Bucket::new(&format!("{count}/1ms"));
        let mut windows = Windows::new(&bucket.limit, 1);
        let mut now_us = 0;
        for step_us in steps {
            now_us += step_us / i64::from(count);
            let expected = windows.take(Key::All, now_us);
            prop_assert_eq!(bucket.take(now_us), expected);
        }
    }

    #[test]
    fn a_taker_who_is_killed_between_any_two_writes_leaves_the_state_before_or_after(
        count in 1u32..6, steps in prop::collection::vec((0i64..700, 1u32..4, prop::option::of(0u32..3)), 1..120),
    ) {
        let bucket = Bucket::new(&format!("{count}/1ms"));
        let mut now_us = 0;
        let mut used = Vec::new();
        for (step_us, n, kill) in steps {
            now_us += step_us;
            let n = n.min(count);
            let before = bucket.ask(now_us, 1, false).expect("asked");
            prop_assert_eq!(before.1, None);
            let in_window = used.iter().filter(|(at, _)| now_us - at < 1000).map(|(_, n)| n).sum::<u32>();
            prop_assert_eq!(before.0.used, in_window);
            bucket.memory.writes_left.set(kill);
            let taken = bucket.ask(now_us, n, true);
            bucket.memory.writes_left.set(None);
            let after = bucket.ask(now_us, 1, false).expect("asked");
            prop_assert_eq!(after.1, None);
            match taken {
                Ok((answer, _)) => prop_assert_eq!(after.0.used, in_window + if is_yes(answer.taken) { n } else { 0 }),
                Err(_) => prop_assert!([in_window, in_window + n].contains(&after.0.used)),
            }
            if after.0.used > in_window {
                used.push((now_us, n));
            }
        }
    }
}
