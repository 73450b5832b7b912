//! A file that changes while it is read: the end that is seen first is the end, and what came before it is whole.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::BorrowedFd;

use swarm_common::exit::Failure;
use swarm_filter::condition::{Conditions, Judge};
use swarm_filter::files::{self, Settings};
use swarm_filter::output::{Flow, Sink};

/// Keeps what passes, and does something to the file when the first of it does.
struct Meddler<F> {
    passed: Vec<u8>,
    bad: Vec<Vec<u8>>,
    meddle: Option<F>,
}

impl<F: FnOnce()> Sink for Meddler<F> {
    fn pass(&mut self, lines: &[u8], _: u64) -> Result<Flow, Failure> {
        if let Some(meddle) = self.meddle.take() {
            meddle();
        }
        self.passed.extend_from_slice(lines);
        Ok(Flow::On)
    }
    fn bad(&mut self, _: u64, line: &[u8], _: &dyn fmt::Display) -> Result<(), Failure> {
        self.bad.push(line.to_vec());
        Ok(())
    }
    fn too_long(&mut self, _: u64, _: &[u8], _: bool, _: bool) -> Result<(), Failure> {
        panic!("no line is too long");
    }
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    fn wait(&self, _: BorrowedFd<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

fn text(lines: std::ops::Range<u32>) -> String {
    lines.map(|n| format!("{{\"seq\":{n},\"content\":\"{}\"}}\n", "x".repeat(n as usize % 300))).collect()
}

fn read(text: &str, meddle: impl FnOnce(&mut File) + Send, workers: usize) -> Meddler<impl FnOnce() + Send> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let mut writer = file.try_clone().unwrap();
    let mut sink = Meddler { passed: Vec::new(), bad: Vec::new(), meddle: Some(move || meddle(&mut writer)) };
    let judge = Judge::new(Conditions::default(), false, false);
    assert_eq!(files::run(&file, 0, Settings { block_bytes: 1000, workers }, &judge, &mut sink), Ok(Flow::On));
    assert!(sink.meddle.is_none(), "something passed");
    sink
}

#[test]
fn a_file_that_is_cut_while_it_is_read_ends_there() {
    let before = text(1..2000);
    for workers in [1, 2, 4] {
        let sink = read(&before, |file| file.set_len(5).unwrap(), workers);
        assert!(before.as_bytes().starts_with(&sink.passed) && sink.passed.len() < before.len(), "{workers}");
        // At most one line was cut in two.
        assert!(sink.bad.len() <= 1, "{workers}: {:?}", sink.bad);
    }
}

#[test]
fn of_a_file_that_grows_while_it_is_read_no_line_is_left_out_or_torn() {
    let (before, behind) = (text(1..200), text(200..2000));
    let all = before.clone() + &behind;
    for workers in [1, 2, 4] {
        let sink = read(&before, |file| file.write_all(behind.as_bytes()).unwrap(), workers);
        assert!(all.as_bytes().starts_with(&sink.passed) && sink.passed.len() >= before.len(), "{workers}");
        assert!(sink.bad.is_empty(), "{workers}: {:?}", sink.bad);
    }
}
