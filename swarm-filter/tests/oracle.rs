//! Random lines and random conditions, against a filter written over serde_json: the same lines pass, the same are bad, with the same
//! status, however the input is read.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "support/lines.rs"]
mod lines;
#[path = "support/oracle.rs"]
mod oracle;
mod support;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::thread;

use lines::Chance;
use oracle::{Fate, Manner, fate};
use proptest::prelude::*;
use support::{filter, run};
use swarm_common::exit::Failure;
use swarm_filter::condition::{Conditions, Judge};
use swarm_filter::files::{self, Settings};
use swarm_filter::output::{Flow, Sink};
use swarm_filter::stream;

/// An input, with its lines as they were made.
struct Input {
    lines: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

fn input(seeds: &[u64], ends_with_newline: bool) -> Input {
    let lines: Vec<Vec<u8>> = seeds.iter().map(|seed| lines::line(&mut Chance(*seed))).collect();
    let mut bytes = lines.join(&b'\n');
    if ends_with_newline {
        bytes.push(b'\n');
    }
    Input { lines, bytes }
}

impl Input {
    fn fates(&self, conditions: &Conditions, manner: Manner) -> Vec<Fate> {
        self.lines.iter().map(|line| fate(line, conditions, manner)).collect()
    }

    fn passing(&self, fates: &[Fate], max: usize) -> Vec<u8> {
        let passing = self.lines.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Pass).take(max);
        passing.flat_map(|(line, _)| [line.as_slice(), b"\n"].concat()).collect()
    }
}

/// Keeps what it is given.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    passed: Vec<u8>,
    count: u64,
    /// Number and bytes of each bad line.
    bad: Vec<(u64, Vec<u8>)>,
    is_long_open: bool,
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
    fn bad(&mut self, number: u64, line: &[u8], _: &dyn fmt::Display) -> Result<(), Failure> {
        self.bad.push((number, line.to_vec()));
        Ok(())
    }
    fn too_long(&mut self, number: u64, part: &[u8], first: bool, last: bool) -> Result<(), Failure> {
        assert_eq!(first, !self.is_long_open, "parts come in order");
        if first {
            self.bad.push((number, Vec::new()));
        }
        let open = self.bad.last_mut().unwrap();
        assert_eq!(open.0, number);
        open.1.extend_from_slice(part);
        self.is_long_open = !last;
        Ok(())
    }
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    fn wait(&self, _: BorrowedFd<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

fn through_a_pipe(bytes: &[u8], judge: &Judge) -> Kept {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut kept = Kept::default();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(bytes).unwrap());
        assert_eq!(stream::run(File::from(OwnedFd::from(reader)), judge, &mut kept), Ok(Flow::On));
    });
    kept
}

fn from_a_file(bytes: &[u8], judge: &Judge, skipped: u64, settings: Settings) -> Kept {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![b'\n'; usize::try_from(skipped).unwrap()]).unwrap();
    file.write_all(bytes).unwrap();
    let mut kept = Kept::default();
    assert_eq!(files::run(&file, skipped, settings, judge, &mut kept), Ok(Flow::On));
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn the_same_lines_pass_and_are_bad_as_by_the_oracle_however_they_are_read(
        seeds in prop::collection::vec(any::<u64>(), 0..30), wanted in any::<u64>(), invert in any::<bool>(), exhaustive in any::<bool>(),
        ends in any::<bool>(), block in prop_oneof![1usize..200, 200usize..5000, Just(70_000)], workers in 1usize..5, skipped in 0u64..9,
    ) {
        let Input { lines, bytes } = &input(&seeds, ends);
        let conditions = lines::conditions(&mut Chance(wanted));
        prop_assume!(lines.iter().all(|line| oracle::knows(line)));
        let mut expected = Kept::default();
        for (n, line) in lines.iter().enumerate() {
            match fate(line, &conditions, Manner { invert, exhaustive }) {
                Fate::Pass => {
                    expected.passed.extend([line.as_slice(), b"\n"].concat());
                    expected.count += 1;
                }
                Fate::Bad => expected.bad.push((n as u64 + 1, line.clone())),
                Fate::Drop | Fate::Blank => {}
            }
        }
        let judge = Judge::new(conditions, invert, exhaustive);
        // A block of some bytes is read with a page behind it: over long lines small ones would take all day.
        let block_bytes = block.max(bytes.len() / 500);
        prop_assert!(through_a_pipe(bytes, &judge) == expected);
        let settings = Settings { block_bytes, workers };
        prop_assert!(from_a_file(bytes, &judge, skipped, settings) == expected);
    }
}

/// The conditions as somebody would type them.
fn arguments(conditions: &Conditions, chance: &mut Chance) -> Vec<String> {
    let mut arguments = Vec::new();
    for (name, values, splits) in [
        ("type", &conditions.types, true),
        ("from", &conditions.from, true),
        ("to", &conditions.to, true),
        ("agent", &conditions.agents, true),
        ("reply-to", &conditions.replies, true),
        ("id", &conditions.ids, true),
        ("thread", &conditions.threads, false),
        ("contains", &conditions.contains, false),
    ] {
        if splits && chance.one_in(2) && !values.is_empty() {
            arguments.push(format!("--{name}={}", values.join(",")));
        } else {
            values.iter().for_each(|value| arguments.extend([format!("--{name}"), value.clone()]));
        }
    }
    for (name, at) in [("since", conditions.since), ("until", conditions.until)] {
        arguments.extend(at.map(|at| format!("--{name}={at}")));
    }
    arguments.extend(conditions.requires_ack.then(|| "--requires-ack".to_string()));
    arguments
}

/// What else a call says.
#[derive(Debug)]
struct Rest {
    invert: bool,
    count: bool,
    quiet: bool,
    max: Option<usize>,
    strict: bool,
    reject: bool,
}

impl Rest {
    /// Output, status and kept lines that the issue promises for these fates.
    fn promise(&self, input: &Input, fates: &[Fate]) -> (Vec<u8>, i32, Vec<u8>) {
        let enough = if self.quiet { Some(self.max.unwrap_or(1).min(1)) } else { self.max };
        let (mut matched, mut bad, mut stopped, mut kept) = (0, 0, false, Vec::new());
        for (fate, line) in fates.iter().zip(&input.lines) {
            if stopped || enough == Some(matched) {
                break;
            }
            match fate {
                Fate::Pass => matched += 1,
                Fate::Bad => {
                    bad += 1;
                    stopped = self.strict;
                    kept.extend([line.as_slice(), b"\n"].concat());
                }
                Fate::Drop | Fate::Blank => {}
            }
        }
        let out = match self {
            Rest { quiet: true, .. } => Vec::new(),
            Rest { count: true, .. } if stopped => Vec::new(),
            Rest { count: true, .. } => format!("{matched}\n").into_bytes(),
            _ => input.passing(fates, matched),
        };
        let ended_early = matched > 0 && enough == Some(matched);
        let status = match () {
            () if stopped => 2,
            () if ended_early => 0,
            () if bad > 0 && !self.reject => 2,
            () => i32::from(matched == 0),
        };
        (out, status, if self.reject { kept } else { Vec::new() })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_binary_answers_with_the_output_and_the_status_that_the_oracle_promises(
        seeds in prop::collection::vec(any::<u64>(), 0..20), wanted in any::<u64>(), ends in any::<bool>(),
        (invert, count, quiet, strict, reject) in (any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.2), prop::bool::weighted(0.2), prop::bool::weighted(0.3)),
        max in prop::option::weighted(0.3, 0usize..4),
    ) {
        let input = input(&seeds, ends);
        let mut chance = Chance(wanted);
        let mut conditions = lines::conditions(&mut chance);
        // What the command line refuses: a comma parts ids, and no argument holds a NUL.
        conditions.contains.retain(|text| text != "\0");
        let is_never = conditions.since.is_some() && conditions.until.is_some() && conditions.since > conditions.until;
        prop_assume!(!is_never && input.lines.iter().all(|line| oracle::knows(line)));
        let rest = Rest { invert, count, quiet, max, strict, reject };
        let fates = input.fates(&conditions, Manner { invert, exhaustive: strict || reject });
        let (out, status, kept) = rest.promise(&input, &fates);
        let directory = tempfile::tempdir().unwrap();
        let (file, rejects) = (directory.path().join("input"), directory.path().join("rejects"));
        fs::write(&file, &input.bytes).unwrap();
        let mut args = arguments(&conditions, &mut chance);
        for (is_set, letter) in [(rest.invert, "-v"), (count, "-c"), (quiet, "-q"), (strict, "--strict")] {
            args.extend(is_set.then(|| letter.to_string()));
        }
        args.extend(max.map(|max| format!("-m{max}")));
        args.extend(reject.then(|| format!("--reject={}", rejects.display())));
        let mut call: Vec<&str> = args.iter().map(String::as_str).collect();
        let by_pipe = run(&call, &input.bytes);
        let kept_by_pipe = fs::read(&rejects).unwrap_or_default();
        let _ = fs::remove_file(&rejects);
        let by_stdin = filter(&call).stdin(Stdio::from(File::open(&file).unwrap())).output().unwrap();
        let _ = fs::remove_file(&rejects);
        call.push(file.to_str().unwrap());
        let by_name = run(&call, "");
        prop_assert!(kept_by_pipe == kept && fs::read(&rejects).unwrap_or_default() == kept, "{args:?}: the rejects differ");
        for (how, output) in [("pipe", &by_pipe), ("stdin", &by_stdin), ("name", &by_name)] {
            let words = String::from_utf8_lossy(&output.stderr);
            prop_assert_eq!(output.status.code(), Some(status), "{} {:?} {:?}: {}", how, args, fates, words);
            prop_assert!(output.stdout == out, "{} {:?}: {}", how, args, words);
        }
    }
}

#[test]
fn the_random_lines_are_of_every_kind_and_many_of_each() {
    let mut counts = [0; 4];
    for seed in 0..4000 {
        let conditions = lines::conditions(&mut Chance(seed));
        let line = lines::line(&mut Chance(seed << 20));
        counts[fate(&line, &conditions, Manner { invert: false, exhaustive: false }) as usize] += 1;
    }
    assert!(counts.iter().all(|count| *count > 150), "{counts:?} of {:?}", [Fate::Pass, Fate::Drop, Fate::Blank, Fate::Bad]);
}
