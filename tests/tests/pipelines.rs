//! The programs together, in real pipelines.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use support::{shell, store_with_segments, stored, tool, until};

const WRITERS: usize = 8;
const EACH: usize = 1000;
const FOLLOWERS: usize = 3;

#[test]
fn eight_writers_fill_segments_while_three_followers_meet_every_seq_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_segments(dir.path(), 64 * 1024);
    let mut followers: Vec<_> = (0..FOLLOWERS)
        .map(|n| {
            let mut tail = tool("swarm-tail");
            tail.args(["-f", "--cursor", &format!("reader-{n}"), "--store"]).arg(&store).stdout(Stdio::piped());
            tail.spawn().unwrap()
        })
        .collect();
    let readers: Vec<_> = followers
        .iter_mut()
        .map(|follower| {
            let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
            thread::spawn(move || lines.take(WRITERS * EACH).map(Result::unwrap).collect::<Vec<String>>())
        })
        .collect();
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let mut send = tool("swarm-send");
            send.args(["--as", &format!("writer-{n}"), "--to", "@all", "--store"]).arg(&store).stdin(Stdio::piped()).stdout(Stdio::null());
            send.spawn().unwrap()
        })
        .collect();
    thread::scope(|scope| {
        for writer in &mut writers {
            let mut stdin = writer.stdin.take().unwrap();
            // Line by line, so that the batches of the eight mix.
            scope.spawn(move || {
                for n in 0..EACH {
                    stdin.write_all(format!("{{\"content\":\"{n}\",\"thread\":\"{:0>100}\"}}\n", n).as_bytes()).unwrap();
                }
            });
        }
    });
    assert!(writers.iter_mut().all(|writer| writer.wait().unwrap().success()));
    let read: Vec<Vec<String>> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    for mut follower in followers {
        follower.kill().unwrap();
        follower.wait().unwrap();
    }
    let (records, segments) = stored(&store);
    assert!(segments > 10, "{segments} segments");
    assert_eq!(records.len(), WRITERS * EACH);
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], n + 1);
        let of = next.entry(record["sender_id"].to_string()).or_default();
        assert_eq!(record["content"].as_str(), Some(of.to_string().as_str()), "each writer's in its order");
        *of += 1;
    }
    for lines in read {
        let seqs: Vec<u64> =
            lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap()).collect();
        assert!(seqs.iter().copied().eq(1..=(WRITERS * EACH) as u64), "every seq once, in order");
    }
}

/// The Python program's log, kept for the tests.
fn legacy_log() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/agent_messages.log")
}

fn output(dir: &Path, line: &str) -> String {
    let done = shell(dir, line).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_python_programs_log_passes_with_the_counts_that_jq_finds_in_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(legacy_log(), dir.path().join("log")).unwrap();
    assert_eq!(output(dir.path(), "swarm-tail log | swarm-filter -c").trim(), "1698");
    let fields = [("type", ".msg_type"), ("from", ".sender"), ("to", ".recipients[]")];
    for (option, field) in fields {
        let counts = output(dir.path(), &format!("jq -r '{field}' log | sort | uniq -c"));
        let mut names = 0;
        for line in counts.lines() {
            let (count, name) = line.trim().split_once(' ').unwrap();
            assert_eq!(
                output(dir.path(), &format!("swarm-tail log | swarm-filter --{option} '{name}' -c")).trim(),
                count,
                "--{option} {name}"
            );
            names += 1;
        }
        assert!(names > 5, "{option}: {counts}");
    }
    // Byte for byte.
    assert_eq!(output(dir.path(), "swarm-tail log | swarm-filter | cmp - log && echo same").trim(), "same");
}

#[test]
fn a_flood_is_limited_on_its_way_into_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let flood = "jq -nc 'range(500) | {content: \"n \\(.)\", recipients: [\"b\"]}'";
    output(dir.path(), &format!("{flood} | swarm-ratelimit -n 10 --per 60s 2> notices | swarm-send --as agent-1 -q"));
    assert_eq!(output(dir.path(), "swarm-tail | swarm-filter --from agent-1 -c").trim(), "10");
    // What a rate limiter marked is a message all the same, and the mark stays.
    output(dir.path(), &format!("{flood} | head -n 12 | swarm-ratelimit -n 10 --over mark | swarm-send --as agent-2 -q"));
    assert_eq!(output(dir.path(), "swarm-tail | swarm-filter --from agent-2 | jq -c 'select(.over_limit)' | wc -l").trim(), "2");
}

#[test]
fn a_follower_ends_with_the_reader_that_found_its_match_while_nothing_more_comes() {
    let dir = tempfile::tempdir().unwrap();
    output(dir.path(), "swarm-send -q --as a --to b first");
    // Would wait for ever if the idle follower did not notice.
    assert_eq!(output(dir.path(), "swarm-tail -f | swarm-filter -m1 | jq -r .content").trim(), "first");
    assert_eq!(output(dir.path(), "swarm-tail -f | head -n 1 | jq -r .seq").trim(), "1");
}

#[test]
fn a_line_that_is_sent_reaches_the_end_of_an_idle_pipeline_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let end = File::create(dir.path().join("end")).unwrap();
    let mut pipeline = shell(dir.path(), "exec swarm-tail -f -n 0 | swarm-filter --to b | swarm-ratelimit");
    let mut pipeline = pipeline.stdout(end).spawn().unwrap();
    let read = || fs::read_to_string(dir.path().join("end")).unwrap();
    until("the first line comes through", || {
        output(dir.path(), "swarm-send -q --as a --to b hello");
        !read().is_empty()
    });
    assert!(read().contains("\"content\":\"hello\""));
    pipeline.kill().unwrap();
    pipeline.wait().unwrap();
    // The shell is gone; its children end with their pipes or by this.
    output(dir.path(), &format!("pkill -f '{}' || true", "swarm-tail -f -n 0$"));
}

#[test]
fn hostile_text_on_a_terminal_is_shown_and_not_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    output(dir.path(), "printf 'a\\033]0;title\\007b\\302\\2332Jc' | swarm-send -q --as a --to b -");
    let tmux = format!("tmux -L swarm-{}", std::process::id());
    let path = swarm_tests::programs::dir().display();
    let store = dir.path().join("store");
    let inside = format!("PATH={path}:$PATH SWARM_STORE={} sh -c \"swarm-tail; cat; :\"", store.display());
    output(dir.path(), &format!("{tmux} -f /dev/null new-session -d -x 200 -y 20 -s s '{inside}'"));
    let mut screen = String::new();
    until("the record is on the screen", || {
        screen = output(dir.path(), &format!("{tmux} capture-pane -p -t s"));
        screen.contains("\"content\":\"a")
    });
    output(dir.path(), &format!("{tmux} kill-server"));
    assert!(screen.contains("a\\u001b]0;title\\u0007b\\u009b2Jc"), "{screen}");
}

#[test]
fn a_file_size_limit_on_the_output_is_told_and_kills_nobody() {
    // The kernel's SIGXFSZ ended the programs without a word, with status 153.
    let dir = tempfile::tempdir().unwrap();
    output(dir.path(), "yes '{\"msg_type\":\"INFO\",\"content\":\"x\"}' | head -n 3000 > big");
    for call in
        ["swarm-filter big > out", "swarm-tail big > out", "swarm-ratelimit --over mark < big > out", "swarm-filter --reject out < bad"]
    {
        output(dir.path(), "yes '{' | head -n 3000 > bad");
        let done = shell(dir.path(), &format!("rm -f out; ulimit -f 1; {call}")).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(3), "{call}: {said}");
        assert!(said.contains("File too large"), "{call}: {said}");
    }
}
