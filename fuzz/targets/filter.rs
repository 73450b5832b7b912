//! An input under some conditions: the front, the scanner that stops early and the one that goes to the end agree with each other
//! and with a filter over serde_json; blocks by several workers find what a stream finds.
#![no_main]

#[path = "../../swarm-filter/tests/support/lines.rs"]
#[allow(dead_code)]
mod lines;
#[path = "../../swarm-filter/tests/support/oracle.rs"]
mod oracle;

use std::fmt;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::BorrowedFd;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lines::Chance;
use oracle::{Fate, Manner};
use swarm_common::exit::Failure;
use swarm_filter::condition::{Judge, Room, Verdict};
use swarm_filter::files::{self, Settings};
use swarm_filter::output::{Flow, Sink};
use swarm_filter::stream;

static INPUT: LazyLock<File> = LazyLock::new(|| tempfile::tempfile().expect("a temporary file"));

fuzz_target!(|bytes: &[u8]| {
    let Some((head, input)) = bytes.split_first_chunk::<5>() else { return };
    let [values, some, others, manner, block] = *head;
    let conditions = lines::some_conditions(&mut Chance(values.into()), u16::from_le_bytes([some, others]));
    let (invert, exhaustive) = (manner & 1 != 0, manner & 2 != 0);
    let judge = Judge::new(conditions.clone(), invert, exhaustive);
    let to_the_end = Judge::new(conditions.clone(), invert, true);
    let mut room = Room::default();
    for line in input.split(|byte| *byte == b'\n').filter(|line| line.len() <= 65_536) {
        let judged = fate(&judge.judge(line, &mut room));
        assert_eq!(judged, fate(&judge.walk(line, &mut room)), "the front and the scanner differ");
        let whole = fate(&to_the_end.judge(line, &mut room));
        match judged {
            Fate::Pass | Fate::Bad | Fate::Blank => assert_eq!(whole, judged),
            Fate::Drop => assert!(matches!(whole, Fate::Drop | Fate::Bad)),
        }
        if !oracle::knows(line) {
            continue;
        }
        assert_eq!(whole, oracle::fate(line, &conditions, Manner { invert, exhaustive: true }));
        // Where the scanner looks later than serde_json does, an early no may come before a fault: bytes that are no UTF-8, and
        // a key that stands twice among many.
        let is_late = std::str::from_utf8(line).is_err() || line.iter().filter(|byte| **byte == b':').count() > 16;
        if !is_late {
            assert_eq!(judged, oracle::fate(line, &conditions, Manner { invert, exhaustive }));
        }
    }
    let mut file = &*INPUT;
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(input)).expect("written");
    let block_bytes = 1 + usize::from(block) * 8 + input.len() / 100;
    let mut by_blocks = Kept::default();
    let settings = Settings { block_bytes, workers: 1 + usize::from(manner >> 2 & 1) };
    assert_eq!(files::run(file, 0, settings, &judge, &mut by_blocks), Ok(Flow::On));
    file.rewind().expect("rewound");
    let mut by_stream = Kept::default();
    assert_eq!(stream::run(file.try_clone().expect("a descriptor"), &judge, &mut by_stream), Ok(Flow::On));
    assert!(by_blocks == by_stream);
});

fn fate(verdict: &Verdict) -> Fate {
    match verdict {
        Verdict::Pass => Fate::Pass,
        Verdict::Drop => Fate::Drop,
        Verdict::Blank => Fate::Blank,
        Verdict::Bad(why) => {
            assert!(!why.to_string().chars().any(swarm_common::text::is_unsafe), "a reason can be shown");
            Fate::Bad
        }
    }
}

/// Keeps what it is given.
#[derive(Default, PartialEq)]
struct Kept {
    passed: Vec<u8>,
    count: u64,
    bad: Vec<(u64, Vec<u8>, String)>,
}

impl Sink for Kept {
    fn pass(&mut self, lines: &[u8], count: u64) -> Result<Flow, Failure> {
        self.passed.extend_from_slice(lines);
        if lines.last() != Some(&b'\n') {
            self.passed.push(b'\n');
        }
        self.count += count;
        Ok(Flow::On)
    }
    fn bad(&mut self, number: u64, line: &[u8], why: &dyn fmt::Display) -> Result<(), Failure> {
        self.bad.push((number, line.to_vec(), why.to_string()));
        Ok(())
    }
    fn too_long(&mut self, number: u64, part: &[u8], first: bool, _: bool) -> Result<(), Failure> {
        if first {
            self.bad.push((number, Vec::new(), String::new()));
        }
        let open = self.bad.last_mut().expect("its first part came before");
        assert_eq!(open.0, number);
        open.1.extend_from_slice(part);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    fn wait(&self, _: BorrowedFd<'_>) -> Result<(), Failure> {
        Ok(())
    }
}
