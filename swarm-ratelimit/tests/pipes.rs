//! The binary in pipes that stay open: what waits, what ends it, and what it holds in memory.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::{clean, ends, ends_by_signal, line, peak_kib, ratelimit, record, records, run, signal};

/// The child, and its input and output.
fn start(args: &[&str]) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = ratelimit(args).spawn().unwrap();
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    (child, input, BufReader::new(output))
}

fn words(child: &mut Child) -> impl FnOnce() -> String + use<> {
    let mut stderr = child.stderr.take().unwrap();
    move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        said
    }
}

#[test]
fn a_line_is_passed_while_the_input_pauses_in_every_mode() {
    for over in ["drop", "delay", "mark"] {
        let (child, mut input, mut output) = start(&["--over", over]);
        for n in 1..4 {
            let (record, (head, tail)) = (record("a", n), (&record("a", n)[..9], &record("a", n)[9..]));
            input.write_all(head.as_bytes()).unwrap();
            input.write_all(tail.as_bytes()).unwrap();
            assert_eq!(line(&mut output), record);
        }
        drop(input);
        assert_eq!(ends(child).code(), Some(0));
    }
}

#[test]
fn a_window_that_slid_on_lets_the_next_ones_through() {
    let (child, mut input, mut output) = start(&["-n1", "--per", "50ms", "--over", "mark"]);
    let begun = Instant::now();
    input.write_all(record("a", 1).as_bytes()).unwrap();
    assert_eq!(line(&mut output), record("a", 1));
    let mut sent = 1;
    loop {
        sent += 1;
        input.write_all(record("a", sent).as_bytes()).unwrap();
        let got = line(&mut output);
        assert!(begun.elapsed() < support::DEADLINE);
        if got == record("a", sent) {
            break;
        }
        assert_eq!(got, record("a", sent).replace('}', ",\"over_limit\":true}"));
    }
    assert!(begun.elapsed() >= Duration::from_millis(50));
    drop(input);
    assert_eq!(ends(child).code(), Some(0));
}

#[test]
fn who_is_delayed_goes_on_in_order_when_his_time_has_come_and_others_go_on_at_once() {
    let (child, mut input, mut output) = start(&["-n2", "--per", "300ms", "--over", "delay"]);
    let begun = Instant::now();
    input.write_all([records("a", 6), records("b", 1), "{}\n".repeat(3)].concat().as_bytes()).unwrap();
    for expected in [record("a", 1), record("a", 2), record("b", 1), "{}\n".into(), "{}\n".into()] {
        assert_eq!(line(&mut output), expected);
    }
    // At the end of input those who wait still go out.
    drop(input);
    for expected in [record("a", 3), record("a", 4), "{}\n".into(), record("a", 5), record("a", 6)] {
        assert_eq!(line(&mut output), expected);
    }
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    assert_eq!(ends(child).code(), Some(0));
}

#[test]
fn a_signal_sends_those_who_wait_to_the_reject_file() {
    for (number, name) in [(Signal::SIGINT, "INT"), (Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejects");
        let (mut child, mut input, mut output) = start(&["-n1", "--per=1h", "--over=delay", "--reject", path.to_str().unwrap()]);
        let words = words(&mut child);
        input.write_all([records("a", 2), record("b", 1), "{}\n{}\n".into(), record("b", 2), record("a", 3)].concat().as_bytes()).unwrap();
        for expected in [record("a", 1), record("b", 1), "{}\n".into()] {
            assert_eq!(line(&mut output), expected);
        }
        // Twice, as of an impatient user: the second must not cut short what the first began.
        let id = child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id, &id]).status().unwrap().success());
        assert_eq!(ends_by_signal(child), number as i32);
        assert_eq!(fs::read_to_string(&path).unwrap(), [record("a", 2), "{}\n".into(), record("b", 2), record("a", 3)].concat());
        let expected = format!("swarm-ratelimit: 4 records waited and did not go out: kept in {}\n", path.display());
        assert_eq!((words(), line(&mut output)), (expected, String::new()));
        drop(input);
    }
}

#[test]
fn half_a_line_at_a_signal_is_told_and_kept_whatever_becomes_of_the_others() {
    // It was read, so nobody else can have it; it was lost without a word.
    for (over, half) in [("drop", "{\"sender_id\":".to_string()), ("delay", "{".into()), ("mark", "x".repeat(2000))] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejects");
        let (mut child, mut input, mut output) = start(&["-n1", "--over", over, "--reject", path.to_str().unwrap()]);
        let words = words(&mut child);
        // One write of so few bytes is one read.
        input.write_all(format!("{}{half}", record("a", 1)).as_bytes()).unwrap();
        assert_eq!(line(&mut output), record("a", 1));
        signal(child.id(), "TERM");
        assert_eq!(ends_by_signal(child), Signal::SIGTERM as i32);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{half}\n"));
        let said = words();
        assert!(said.starts_with("swarm-ratelimit: line 2: ") && said.lines().count() == 1, "{said}");
        drop(input);
    }
}

#[test]
fn without_a_reject_file_those_who_waited_are_counted_as_lost() {
    let (mut child, mut input, mut output) = start(&["-n1", "--per=1h", "--over=delay"]);
    let words = words(&mut child);
    input.write_all(records("a", 4).as_bytes()).unwrap();
    assert_eq!(line(&mut output), record("a", 1));
    signal(child.id(), "TERM");
    assert_eq!(ends_by_signal(child), Signal::SIGTERM as i32);
    assert_eq!(words(), "swarm-ratelimit: 3 records waited and did not go out: lost (--reject FILE would keep them)\n");
    drop(input);
}

#[test]
fn a_signal_ends_a_stream_that_drops_with_its_sum() {
    let (mut child, mut input, mut output) = start(&["-n1", "--per=1h"]);
    let words = words(&mut child);
    input.write_all(records("a", 4).as_bytes()).unwrap();
    assert_eq!(line(&mut output), record("a", 1));
    signal(child.id(), "INT");
    assert_eq!(ends_by_signal(child), Signal::SIGINT as i32);
    assert!(words().ends_with(": 3 records over 1/1h, dropped\n"));
    drop(input);
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_the_caller_ignores_is_ignored() {
    let script = format!("trap '' HUP INT; exec {}", env!("CARGO_BIN_EXE_swarm-ratelimit"));
    let mut command = Command::new("sh");
    clean(command.args(["-c", &script]));
    let mut child = command.spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for n in 1..3 {
        input.write_all(record("a", n).as_bytes()).unwrap();
        assert_eq!(line(&mut output), record("a", n));
        signal(child.id(), "HUP");
        signal(child.id(), "INT");
    }
    drop(input);
    assert_eq!(ends(child).code(), Some(0));
}

#[test]
fn a_signal_ends_it_also_while_its_reader_does_not_read() {
    for over in ["drop", "delay", "mark"] {
        let (mut child, mut input, output) = start(&["-n1000000", "--over", over]);
        let words = words(&mut child);
        let id = child.id();
        let written = Arc::new(AtomicUsize::new(0));
        let progress = written.clone();
        let writer = thread::spawn(move || {
            let block = record("a", 1).repeat(100);
            while input.write_all(block.as_bytes()).is_ok() {
                progress.fetch_add(block.len(), Ordering::Relaxed);
            }
        });
        // Both pipes are full, and it sleeps in its write.
        stalls(&written);
        signal(id, "TERM");
        assert_eq!(ends_by_signal(child), Signal::SIGTERM as i32, "{over}");
        assert!(words().contains("cannot write the output: nobody reads it"), "{over}");
        writer.join().unwrap();
        drop(output);
    }
}

/// Waits until a number does not grow any more.
fn stalls(number: &AtomicUsize) -> usize {
    let (mut last, mut since) = (0, Instant::now());
    while last == 0 || since.elapsed() < Duration::from_millis(400) {
        let now = number.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(5));
    }
    last
}

#[test]
fn a_reader_that_goes_away_ends_it_at_once_and_in_silence_and_those_who_wait_are_kept() {
    for (over, kept) in [("drop", [2, 3]), ("delay", [2, 3])] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejects");
        let (mut child, mut input, mut output) = start(&["-n1", "--per=1h", "--over", over, "--reject", path.to_str().unwrap()]);
        let words = words(&mut child);
        input.write_all(records("a", 3).as_bytes()).unwrap();
        assert_eq!(line(&mut output), record("a", 1));
        drop(output);
        assert_eq!(ends(child).code(), Some(0));
        assert_eq!(fs::read_to_string(&path).unwrap(), kept.map(|n| record("a", n)).concat());
        let said = words();
        assert!(!said.contains("output") && !said.contains("waited"), "{said}");
        drop(input);
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_also_when_the_input_has_ended_and_somebody_waits() {
    let (mut child, mut input, mut output) = start(&["-n1", "--per=1h", "--over=delay"]);
    let words = words(&mut child);
    input.write_all(records("a", 3).as_bytes()).unwrap();
    drop(input);
    assert_eq!(line(&mut output), record("a", 1));
    drop(output);
    assert_eq!((ends(child).code(), words().as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn with_a_mebibyte_of_waiting_records_the_input_is_not_read_on() {
    // Short lines too: what counts is what they cost, not only their bytes.
    for line_bytes in [20, 5000] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejects");
        let (child, mut input, mut output) = start(&["-n1", "--per=1h", "--over=delay", "--reject", path.to_str().unwrap()]);
        let id = child.id();
        let offered = Arc::new(AtomicUsize::new(0));
        let progress = offered.clone();
        let writer = thread::spawn(move || {
            let line = format!("{{\"content\":\"{}\"}}\n", "x".repeat(line_bytes - 14));
            while progress.load(Ordering::Relaxed) < 16 << 20 && input.write_all(line.as_bytes()).is_ok() {
                progress.fetch_add(line.len(), Ordering::Relaxed);
            }
            input
        });
        line(&mut output);
        let taken = stalls(&offered);
        assert!(taken < 2 << 20, "{taken} bytes were taken in");
        let peak = peak_kib(id);
        assert!(peak < 8 * 1024, "{peak} KiB");
        signal(id, "TERM");
        assert_eq!(ends_by_signal(child), Signal::SIGTERM as i32);
        drop(writer.join().unwrap());
        let kept = fs::metadata(&path).unwrap().len();
        assert!((150_000..1_400_000).contains(&kept), "{kept} bytes were kept");
    }
}

#[test]
fn what_did_not_fit_comes_in_when_others_have_gone_out() {
    let (child, mut input, mut output) = start(&["-n100", "--per", "20ms", "--over=delay"]);
    let line_of = |n: usize| format!("{{\"seq\":{n},\"content\":\"{}\"}}\n", "x".repeat(4000));
    let count = 1000;
    let writer = thread::spawn(move || (0..count).for_each(|n| input.write_all(line_of(n).as_bytes()).unwrap()));
    for n in 0..count {
        assert_eq!(line(&mut output), line_of(n));
    }
    writer.join().unwrap();
    assert_eq!(ends(child).code(), Some(0));
}

/// It read on while lines that it had read before still waited for room, until its buffer overflowed: a panic, and all who waited were lost.
/// Each record that goes out makes room for one, so that happened at the second.
#[test]
fn room_for_one_record_is_not_room_for_another_read() {
    let line_of = |n: usize| format!("{{\"seq\":{n},\"content\":\"{}\"}}\n", "x".repeat(4000));
    let input: String = (0..400).map(line_of).collect();
    let output = run(&["-n1", "--per", "2ms", "--over=delay"], &input);
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), ("", Some(0)));
    assert!(output.stdout == input.as_bytes(), "every record, once and in order");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_length_of_a_line_the_number_of_records_or_with_a_bound_of_keys() {
    let (child, mut input, mut output) = start(&["-n2", "--per=1h", "--max-keys=100"]);
    let id = child.id();
    let long = vec![b'x'; 1 << 20];
    for _ in 0..16 {
        input.write_all(&long).unwrap();
    }
    input.write_all(b"\n").unwrap();
    let reader = thread::spawn(move || {
        let mut all = String::new();
        output.read_to_string(&mut all).unwrap();
        all.lines().count()
    });
    for n in 0..100_000 {
        input.write_all(record(&format!("agent-{n}"), n).as_bytes()).unwrap();
    }
    input.write_all(record("a", 1).repeat(100_000).as_bytes()).unwrap();
    let peak = peak_kib(id);
    // The release build stays below 4 MiB; this one carries more code.
    assert!(peak < 8 * 1024, "{peak} KiB");
    drop(input);
    assert_eq!((ends(child).code(), reader.join().unwrap()), (Some(2), 102));
}
