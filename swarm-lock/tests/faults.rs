//! What a hard reader found: each was a broken promise once.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use predicates::prelude::*;
use predicates::str::contains;
use support::{Tree, all, answers, until};

/// `swarm-lock` as a process of its own.
fn start(tree: &Tree, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-lock"));
    command.current_dir(tree.path("")).env_remove("SWARM_STORE").env_remove("SWARM_AGENT").args(args);
    command
}

fn waits(tree: &Tree) -> bool {
    fs::read_dir(tree.path(".swarm/locks/queue")).is_ok_and(|queue| queue.count() > 0)
}

#[test]
fn a_directory_whose_name_just_fits_a_file_is_kept_by_a_sweep_when_those_below_it_have_cut_names() {
    let tree = Tree::new();
    let dir = "a".repeat(200);
    tree.lock(&["acquire", "--as", "a", &format!("{dir}/x/y")]).assert().success();
    tree.lock(&["sweep"]).assert().success();
    assert_eq!(tree.ask(&["acquire", "--as", "b", &format!("{dir}/x/y")]).0, 1);
}

#[test]
fn a_wait_whose_reader_left_is_a_no() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "b", "x"]).assert().success();
    let mut waiter = start(&tree, &["acquire", "--as", "a", "--wait", "x"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until("it waits", || waits(&tree));
    drop(waiter.stdout.take());
    assert_eq!(waiter.wait().unwrap().code(), Some(1));
    assert!(!waits(&tree));
    // Refused at once, and nobody there to read it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let refused = start(&tree, &["acquire", "--as", "a", "x"]).stdout(writer).stderr(Stdio::null()).status().unwrap();
    assert_eq!(refused.code(), Some(1));
}

#[test]
fn more_names_than_a_lease_can_have_are_refused_and_not_cut_off() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "b", "secret.rs"]).assert().success();
    let mut names: String = (0..800_000).map(|n| format!("file{n:09}.rs\n")).collect();
    names.push_str("secret.rs\n");
    let mut who = tree.lock(&["who", "--as", "a", "-"]);
    who.write_stdin(names).assert().code(2).stderr(contains("bytes on standard input"));
}

#[test]
fn a_lease_is_not_granted_to_a_process_that_ended_in_the_queue() {
    let tree = Tree::new();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    tree.lock(&["acquire", "--as", "b", "x"]).assert().success();
    let pid = sleeper.id().to_string();
    let waiter = start(&tree, &["acquire", "--as", "a", "--wait", "--pid", &pid, "x"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it waits", || waits(&tree));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    tree.lock(&["release", "--as", "b", "x"]).assert().success();
    let ended = waiter.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("has ended"));
}

#[test]
fn a_holder_whose_process_ended_is_told_at_its_next_call_whatever_that_asks_for() {
    let tree = Tree::new();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    tree.lock(&["acquire", "--as", "a", "--ttl", "1h", "--pid", &sleeper.id().to_string(), "sub/x"]).assert().success();
    tree.lock(&["acquire", "--as", "a", "y"]).assert().success().stderr("");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let told = contains("your lease on sub/x (token 1) has ended with the process that it was tied to");
    tree.lock(&["acquire", "--as", "a", "z"]).assert().success().stderr(told);
    tree.lock(&["acquire", "--as", "a", "z"]).assert().success().stderr("");
}

#[test]
fn a_theft_is_told_before_a_long_wait_and_again_if_nobody_can_have_heard_it() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "mine"]).assert().success();
    tree.lock(&["acquire", "--as", "c", "other"]).assert().success();
    tree.lock(&["release", "--as", "b", "--force", "--reason", "because", "mine"]).assert().success();
    let mut waiter =
        start(&tree, &["acquire", "--as", "a", "--wait", "other"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 30];
    waiter.stderr.take().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said[..], b"swarm-lock: your lease on mine");
    waiter.kill().unwrap();
    waiter.wait().unwrap();
    // Whoever looks for leases without saying what was lost leaves it there.
    tree.lock(&["acquire", "--as", "a", "third"]).assert().success();
    tree.lock(&["acquire", "--as", "a", "third"]).assert().success().stderr("");
}

#[test]
fn what_is_no_file_in_the_table_is_set_aside_like_a_file_that_cannot_be_read() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "lib/a", "src/a"]).assert().success();
    let file = tree.path(".swarm/locks/held/lib.ndjson");
    for make in [|path: &std::path::Path| fs::create_dir(path).unwrap(), |path: &std::path::Path| mkfifo(path, Mode::S_IRWXU).unwrap()] {
        fs::remove_file(&file).unwrap();
        make(&file);
        let (status, refused) = tree.ask(&["acquire", "--as", "b", "lib/b"]);
        assert_eq!((status, all(&refused, "why")), (1, vec!["damaged"]));
        assert_eq!(tree.ask(&["acquire", "--as", "b", "docs"]).0, 0);
        assert_eq!(tree.ask(&["list"]).0, 0);
        tree.lock(&["sweep", "--damaged"]).assert().success();
        assert_eq!(tree.ask(&["acquire", "--as", "b", "lib/b"]).0, 0);
        tree.lock(&["release", "--as", "b", "--all"]).assert().success();
    }
}

#[test]
fn pipes_and_directories_where_the_table_has_files_keep_nobody_waiting() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "x"]).assert().success();
    tree.lock(&["release", "--as", "a", "x"]).assert().success();
    for name in ["ended", "new"] {
        let path = tree.path(".swarm/locks").join(name);
        let _ = fs::remove_file(&path);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
    }
    fs::create_dir_all(tree.path(".swarm/locks/queue/00000000000000000001.ndjson")).unwrap();
    fs::write(tree.path(".swarm/locks/queue/18446744073709551615.ndjson"), "").unwrap();
    let timed = |args: &[&str]| {
        let mut call = tree.lock(args);
        call.timeout(Duration::from_secs(20));
        answers(call).0
    };
    assert_eq!(timed(&["acquire", "--as", "a", "x"]), 0);
    assert_eq!(timed(&["check", "--token", "9", "x"]), 1);
    assert_eq!(timed(&["acquire", "--as", "b", "--wait=50ms", "x"]), 1);
    assert_eq!(timed(&["release", "--as", "a", "--all"]), 0);
    assert_eq!(timed(&["sweep"]), 0);
    assert_eq!(timed(&["list"]), 1);
}

#[test]
fn a_time_namespace_has_the_same_leases() {
    let tree = Tree::new();
    tree.lock(&["acquire", "--as", "a", "--ttl", "1h", "x"]).assert().success();
    let mut inside = Command::new("unshare");
    inside.args(["-T", "--boottime", "100000", "-f", env!("CARGO_BIN_EXE_swarm-lock"), "acquire", "--as", "b", "x"]);
    let Ok(inside) = inside.current_dir(tree.path("")).env_remove("SWARM_STORE").output() else { return };
    let said = String::from_utf8_lossy(&inside.stderr);
    if said.contains("unshare") {
        eprintln!("not tried: {said}");
        return;
    }
    assert_eq!(inside.status.code(), Some(1), "{said}");
    assert!(said.contains("for another 59m"), "{said}");
}

#[test]
fn thousands_of_paths_are_asked_for_beside_thousands_of_leases_without_a_long_wait_for_others() {
    let tree = Tree::new();
    let paths = |of: &dyn Fn(u32) -> String| (1..=5_000).map(of).collect::<String>();
    let mut one = tree.lock(&["acquire", "--as", "a", "-"]);
    one.write_stdin(paths(&|n| format!("d{n:05}/x\n"))).assert().success();
    let started = Instant::now();
    let mut other = tree.lock(&["acquire", "--as", "b", "-"]);
    other.write_stdin(paths(&|n| format!("d{n:05}\n"))).assert().code(1).stderr(contains("and 4990 more").and(contains("d00001/x")));
    // It was 5 s for a quarter of the square; now it is well below one, also in a debug build on a busy machine.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
