//! The binary with the windows in the store: many processes, one limit.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use support::{DEADLINE, ends, ends_by_signal, line, ratelimit, record, records, run, signal, stderr, stdout, until};
use swarm_common::files;

/// A store of a test's own.
struct Store(tempfile::TempDir);

impl Store {
    fn new() -> Store {
        Store(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn run(&self, args: &[&str], input: &str) -> Output {
        run(&[args, &["--store", self.dir().to_str().unwrap()]].concat(), input)
    }

    fn check(&self, args: &[&str]) -> (serde_json::Value, Option<i32>) {
        let output = self.run(&[&["check"], args].concat(), "");
        assert_eq!(stderr(&output), "", "{args:?}");
        assert_eq!(stdout(&output).lines().count(), 1, "{args:?}");
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
    }

    fn windows(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.dir().join("rate")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|name| !name.starts_with('.')).collect()
    }
}

#[test]
fn an_agent_has_one_window_in_upper_and_in_lower_case_and_check_finds_it() {
    // A sender got twice its limit by writing its name in two ways, and `check` looked into a third window.
    let store = Store::new();
    let output = store.run(&["--shared", "-n1", "--per=1h"], &[records("Zed", 1), records("zED", 1)].concat());
    assert_eq!(stdout(&output).lines().count(), 1);
    for name in ["Zed", "zed", "ZED"] {
        assert_eq!(store.check(&[name, "-n1", "--per=1h"]).1, Some(1), "{name}");
    }
    assert_eq!(store.check(&["Zed", "-n1", "--per=1h", "--key=thread"]).1, Some(0), "other fields compare exactly");
}

#[test]
fn eight_processes_at_once_pass_exactly_n_of_one_key() {
    let store = Store::new();
    let passed: Vec<usize> = thread::scope(|scope| {
        let takers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let output = store.run(&["--shared", "-n100", "--per=1h"], &records("a", 60));
                    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
                    stdout(&output).lines().count()
                })
            })
            .collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    assert_eq!(passed.iter().sum::<usize>(), 100, "{passed:?}");
    assert_eq!(store.windows(), ["a@100-per-1h"]);
}

#[test]
fn processes_that_are_killed_while_they_take_let_no_more_than_n_through_and_the_window_stays_whole() {
    let store = Store::new();
    let begun = Instant::now();
    // Kills that hit between the take of a record and its passing: only these can tear something. A loaded machine may need more keys.
    let mut hits = 0;
    for key in 0.. {
        let key = format!("agent-{key}");
        hits += kill_takers(&store, &key);
        if hits >= 30 {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "only {hits} kills hit");
    }
}

/// Kills takers of one key until its limit is used up. How many were hit with records that they had taken and not passed.
fn kill_takers(store: &Store, key: &str) -> usize {
    const LIMIT: usize = 600;
    let rate = ["-n600", "--per=1h"];
    let dir = store.dir();
    let args = [&["--shared", "--store", dir.to_str().unwrap()], &rate[..]].concat();
    let window = || fs::read(dir.join(format!("rate/{key}@600-per-1h"))).unwrap();
    let (mut passed, mut used, mut hits) = (0, 0, 0);
    while used < LIMIT {
        let mut child = ratelimit(&args).spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        // At work, and past its start: this one is sure to be within the limit.
        input.write_all(record(key, 0).as_bytes()).unwrap();
        assert_eq!(line(&mut output), record(key, 0));
        passed += 1;
        let before = window();
        // What came with one read is passed at its end: as soon as the window moves, there is something to lose. So many that the work takes
        // longer than a slice of the processor, should both run on one; and no more than a pipe holds.
        input.write_all(records(key, 1500).as_bytes()).unwrap();
        while used + 1 < LIMIT && window() == before {
            thread::yield_now();
        }
        child.kill().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        child.wait().unwrap();
        passed += rest.lines().count();
        let used_before = used;
        used = usize::try_from(store.check(&[&[key], &rate[..]].concat()).0["used"].as_u64().unwrap()).unwrap();
        assert!(passed <= used && used <= LIMIT, "{passed} passed, {used} of {LIMIT} used");
        hits += usize::from(used - used_before > 1 + rest.lines().count());
    }
    let output = store.run(&[&["--shared"], &rate[..]].concat(), &records(key, 3));
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(0)));
    assert!(!stderr(&output).contains("damaged"), "{}", stderr(&output));
    hits
}

#[test]
fn delayed_records_of_several_processes_share_one_window() {
    let store = Store::new();
    let begun = Instant::now();
    let outputs: Vec<String> = thread::scope(|scope| {
        let takers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| stdout(&store.run(&["--shared", "-n4", "--per=200ms", "--over=delay"], &records("a", 4)))))
            .collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    assert!(outputs.iter().all(|out| *out == records("a", 4)), "all pass, each process's in order: {outputs:?}");
    assert!((Duration::from_millis(400)..DEADLINE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[test]
fn a_question_counts_nothing_unless_it_takes() {
    let store = Store::new();
    let ask = ["agent-1", "-n2", "--per=1h"];
    let yes = |used: u32| serde_json::json!({"allowed": true, "key": "agent-1", "used": used, "limit": 2, "per_ms": 3_600_000, "retry_after_ms": 0});
    for _ in 0..3 {
        assert_eq!(store.check(&ask), (yes(0), Some(0)));
    }
    assert_eq!(store.windows(), [""; 0]);
    let take = [&ask[..], &["--take"]].concat();
    assert_eq!(store.check(&take), (yes(1), Some(0)));
    assert_eq!(store.check(&ask), (yes(1), Some(0)));
    assert_eq!(store.check(&take), (yes(2), Some(0)));
    for args in [&ask[..], &take] {
        let (answer, status) = store.check(args);
        let wait_ms = answer["retry_after_ms"].as_u64().unwrap();
        assert_eq!((&answer["allowed"], &answer["used"], status), (&false.into(), &2.into(), Some(1)));
        assert!((3_500_000..=3_600_000).contains(&wait_ms), "{answer}");
    }
    assert_eq!(store.check(&["agent-2", "-n2", "--per=1h"]).1, Some(0), "another key is another window");
    assert_eq!(store.check(&["agent-1", "-n3", "--per=1h"]).1, Some(0), "another limit is another window");
    assert_eq!(store.check(&["agent-1", "--key", "thread", "-n2", "--per=1h"]).1, Some(0), "another field is another window");
}

#[test]
fn who_waits_as_long_as_he_is_told_may_go_on() {
    let store = Store::new();
    let take = ["a", "-n1", "--per=200ms", "--take"];
    assert_eq!(store.check(&take).1, Some(0));
    let (answer, status) = store.check(&take);
    // A loaded machine may have let the window pass by.
    if status == Some(1) {
        thread::sleep(Duration::from_millis(answer["retry_after_ms"].as_u64().unwrap()));
        assert_eq!(store.check(&take).1, Some(0));
    }
}

#[test]
fn a_stream_and_a_question_speak_of_the_same_window() {
    let store = Store::new();
    for (args, input, key) in [
        (&[][..], records("a", 3), &["a"][..]),
        (&["--key", "thread"], "{\"thread\":\"a b/..\"}\n".repeat(3), &["a b/..", "--key", "thread"]),
        (&["--key-all"], "{}\n".repeat(3), &["--key-all"]),
    ] {
        let output = store.run(&[&["--shared", "-n2", "--per=1h"], args].concat(), &input);
        assert_eq!(stdout(&output).lines().count(), 2, "{}", stderr(&output));
        let (answer, status) = store.check(&[key, &["-n2", "--per=1h"]].concat());
        assert_eq!((&answer["used"], status), (&2.into(), Some(1)), "{answer}");
        assert_eq!(answer.get("key").is_some(), key[0] != "--key-all");
    }
    assert_eq!(store.windows().len(), 3);
}

#[test]
fn a_damaged_window_is_told_with_the_way_out_and_counts_as_full() {
    let store = Store::new();
    store.check(&["a", "--take"]);
    let window = store.dir().join("rate/a@10-per-1m");
    fs::write(&window, "garbage").unwrap();
    let output = store.run(&["--shared"], &records("a", 3));
    let words = stderr(&output);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(0)));
    assert!(words.contains(&format!("{} is damaged", window.display())) && words.contains("remove it"), "{words}");
    fs::remove_file(&window).unwrap();
    assert_eq!(stdout(&store.run(&["--shared"], &records("a", 3))), records("a", 3));
}

#[test]
fn a_store_that_cannot_be_used_is_a_failure_before_anything_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path(), &link).unwrap();
    for args in [&["--shared", "--store"][..], &["check", "a", "--store"]] {
        let output = run(&[args, &[link.to_str().unwrap()]].concat(), records("a", 1));
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(3)), "{}", stderr(&output));
        assert!(stderr(&output).contains(link.to_str().unwrap()), "{}", stderr(&output));
    }
}

#[test]
fn a_window_that_fails_in_mid_stream_is_a_failure_and_what_passed_stays_passed() {
    let store = Store::new();
    let dir = store.dir();
    let args = ["--shared", "--store", dir.to_str().unwrap()];
    let mut child = ratelimit(&args).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    input.write_all(record("a", 1).as_bytes()).unwrap();
    assert_eq!(line(&mut output), record("a", 1));
    break_dir(&dir.join("rate"));
    input.write_all(record("b", 1).as_bytes()).unwrap();
    let mut words = child.stderr.take().unwrap();
    assert_eq!(ends(child).code(), Some(3));
    let mut said = String::new();
    words.read_to_string(&mut said).unwrap();
    assert!(said.contains("shared window") && said.contains("b@10-per-1m"), "{said}");
    drop(input);
}

/// Takes a directory away; for root too, whom no mode would stop.
fn break_dir(dir: &Path) {
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_question_makes_nothing_and_a_file_size_limit_on_a_window_is_told() {
    // A question made the store; and SIGXFSZ ended a take without a word.
    let store = Store::new();
    let (answer, status) = store.check(&["deploy"]);
    assert_eq!((&answer["allowed"], status, store.dir().exists()), (&true.into(), Some(0), false));
    assert_eq!(store.check(&["deploy", "--take"]).1, Some(0));
    let command = format!(
        "ulimit -f 0; exec {} check other --take --store {} 2>&1 | cat",
        env!("CARGO_BIN_EXE_swarm-ratelimit"),
        store.dir().display()
    );
    let output = std::process::Command::new("bash").args(["-c", &command]).output().unwrap();
    assert!(stdout(&output).contains("File too large"), "{output:?}");
}

#[test]
fn a_signal_ends_it_while_another_process_has_the_window_and_what_was_read_is_kept() {
    // It slept in flock(2) through every signal but SIGKILL.
    for over in ["drop", "delay", "mark"] {
        let store = Store::new();
        store.run(&["--shared", "-n2", "--per=1h"], &record("a", 0));
        let window = fs::File::open(store.dir().join("rate/a@2-per-1h")).unwrap();
        files::lock_file(&window, true).unwrap();
        let rejects = store.0.path().join("rejects");
        let (pipe, mut input) = std::io::pipe().unwrap();
        let dir = store.dir();
        let options =
            ["--shared", "-n2", "--per=1h", "--over", over, "--reject", rejects.to_str().unwrap(), "--store", dir.to_str().unwrap()];
        let mut child = ratelimit(&options).stdin(pipe.try_clone().unwrap()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        input.write_all(record("b", 1).as_bytes()).unwrap();
        assert_eq!(line(&mut output), record("b", 1), "a window of its own");
        let waiting = [record("a", 1), record("a", 2), "{half".to_string()].concat();
        input.write_all(waiting.as_bytes()).unwrap();
        until("it has read them", || poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(0));
        signal(child.id(), "TERM");
        let mut words = child.stderr.take().unwrap();
        assert_eq!(ends_by_signal(child), Signal::SIGTERM as i32, "{over}");
        let mut said = String::new();
        words.read_to_string(&mut said).unwrap();
        assert!(said.contains("2 records waited and did not go out: kept in"), "{over}: {said}");
        let mut kept: Vec<String> = fs::read_to_string(&rejects).unwrap().lines().map(|line| format!("{line}\n")).collect();
        kept.sort_by_key(|line| line.starts_with("{half"));
        assert_eq!(kept.concat(), format!("{waiting}\n"), "{over}");
    }
}
