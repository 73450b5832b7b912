//! Writers that are killed in the middle of their work: nothing that was acknowledged is lost, nothing is there twice or torn.
//!
//! 1,000 kills here, 10,000 by `make torture`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::{store_with_segments, stored, tool};
use swarm_tests::programs;
use swarm_tests::random::Random;

/// What a run is given to send.
const RECORDS: usize = 60;

/// What a killed writer left behind.
struct Run {
    /// It ended by our signal, not by itself.
    was_killed: bool,
    /// Content and seq of what it was told is stored, in order.
    acknowledged: Vec<(String, u64)>,
}

/// Starts a writer on its records, and kills it after a while, or never.
fn run(mut writer: Command, dir: &Path, number: usize, kill_after: Option<Duration>, random: &mut Random) -> Run {
    let length = |n: usize, random: &mut Random| random.below(if n.is_multiple_of(10) { 9000 } else { 300 }) as usize;
    let contents: Vec<String> = (0..RECORDS).map(|n| format!("{number}-{n}-{}", "x".repeat(length(n, random)))).collect();
    let answers = dir.join(format!("answers-{number}"));
    writer.stdin(Stdio::piped()).stdout(File::create(&answers).unwrap()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = writer.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bursts = contents.chunks(1 + random.below(8) as usize);
    let bursts: Vec<String> = bursts.map(|burst| burst.iter().map(|c| format!("{{\"content\":\"{c}\"}}\n")).collect()).collect();
    let mut pauses = Random(random.next_u64());
    // Bursts with pauses, so that there are many batches, and many places to be killed at.
    let feeder = thread::spawn(move || {
        bursts.iter().all(|burst| {
            thread::sleep(Duration::from_micros(pauses.below(600)));
            stdin.write_all(burst.as_bytes()).is_ok()
        })
    });
    if let Some(after) = kill_after {
        thread::sleep(after.saturating_sub(started.elapsed()));
        // It may have ended by itself; then there is nothing to kill.
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    feeder.join().unwrap();
    let told = fs::read(&answers).unwrap();
    fs::remove_file(&answers).unwrap();
    // A torn last answer was not given.
    let whole = told.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let acknowledged = std::str::from_utf8(&told[..whole]).unwrap().lines().zip(contents).map(|(line, content)| {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!(answer["status"], "accepted");
        (content, answer["seq"].as_u64().unwrap())
    });
    Run { was_killed: status.signal() == Some(9), acknowledged: acknowledged.collect() }
}

/// What a journal has to hold after all that. Returns how many records are stored that nobody was told of.
fn check(records: &[Value], runs: &[Run]) -> Result<usize, String> {
    let mut known: HashMap<&str, u64> = HashMap::new();
    for (record, seq) in records.iter().zip(1..) {
        if record["seq"].as_u64() != Some(seq) {
            return Err(format!("seqs are not dense at {seq}"));
        }
        if known.insert(record["content"].as_str().unwrap_or_default(), seq).is_some() {
            return Err(format!("the record of seq {seq} is there twice"));
        }
    }
    let acknowledged = || runs.iter().flat_map(|run| &run.acknowledged);
    match acknowledged().find(|(content, seq)| known.get(content.as_str()) != Some(seq)) {
        Some((_, seq)) => Err(format!("a record was acknowledged as seq {seq}, and is not there")),
        None => Ok(records.len() - acknowledged().count()),
    }
}

/// Kills writers, four at a time; then one goes through, and mends what the dead left. Journal and runs.
fn torture(kills: usize, seed: u64, writer: &(dyn Fn(&Path) -> Command + Sync)) -> (Vec<Value>, Vec<Run>) {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_segments(dir.path(), 64 * 1024);
    let mut random = Random(seed);
    programs::dir();
    // How long it takes when nobody kills it: the kills are spread over that.
    let started = Instant::now();
    let first = run(writer(&store), dir.path(), 0, None, &mut random);
    let whole = started.elapsed();
    assert_eq!(first.acknowledged.len(), RECORDS);
    // A run that ended by itself does not count as a kill.
    let (next, hits) = (AtomicUsize::new(2), AtomicUsize::new(0));
    let killer = |seed: u64| {
        let (mut random, mut runs, mut whole) = (Random(seed), Vec::new(), whole);
        while hits.load(Ordering::Relaxed) < kills {
            let after = whole.mul_f64(random.below(1000) as f64 / 1000.0);
            let run = run(writer(&store), dir.path(), next.fetch_add(1, Ordering::Relaxed), Some(after), &mut random);
            hits.fetch_add(usize::from(run.was_killed), Ordering::Relaxed);
            // The machine is busier at one time than at another: aim at where the work is.
            whole = whole.mul_f64(if !run.was_killed {
                0.9
            } else if run.acknowledged.is_empty() {
                1.03
            } else {
                1.0
            });
            runs.push(run);
        }
        runs
    };
    let mut runs: Vec<Run> = thread::scope(|scope| {
        let killers: Vec<_> = (1..=4)
            .map(|n| {
                let killer = &killer;
                scope.spawn(move || killer(seed.rotate_left(n)))
            })
            .collect();
        killers.into_iter().flat_map(|killer| killer.join().unwrap()).collect()
    });
    runs.push(first);
    runs.push(run(writer(&store), dir.path(), 1, None, &mut random));
    (stored(&store).0, runs)
}

fn seed() -> u64 {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    seed
}

fn send(store: &Path) -> Command {
    let mut send = tool("swarm-send");
    send.args(["--as", "a", "--to", "b", "--store"]).arg(store);
    send
}

fn writers_lose_nothing(kills: usize) {
    let (records, runs) = torture(kills, seed(), &send);
    let untold = check(&records, &runs).unwrap();
    // The kills hit, and hit in the middle of the work: before the first answer, between two, and between the write and its answer.
    let killed = runs.iter().filter(|run| run.was_killed).count();
    let between = runs.iter().filter(|run| run.was_killed && (1..RECORDS).contains(&run.acknowledged.len())).count();
    println!("{killed} of {} killed, {between} of them between two answers; {} stored, {untold} of them untold", runs.len(), records.len());
    assert!(killed >= kills, "{killed} killed");
    assert!(between > kills / 20, "{between} of {kills} killed between two answers");
    assert!(untold > 0, "none was killed between its write and its answer");
}

#[test]
fn a_thousand_killed_writers_lose_no_acknowledged_record_and_leave_none_twice_or_torn() {
    writers_lose_nothing(1000);
}

#[test]
#[ignore = "a minute: make torture"]
fn torture_ten_thousand_killed_writers_lose_nothing() {
    writers_lose_nothing(10_000);
}

#[test]
fn a_writer_that_answers_before_it_writes_is_found_out() {
    let planted = |store: &Path| {
        let mut planted = Command::new(programs::dir().join("answers-first"));
        planted.env("SWARM_STORE", store);
        planted
    };
    // One at a time is enough: four would also take each other's seqs.
    let found = (0..20).any(|round| {
        let dir = tempfile::tempdir().unwrap();
        let store = store_with_segments(dir.path(), 64 * 1024);
        let mut random = Random(seed() + round);
        let runs: Vec<Run> = (0..20)
            .map(|number| {
                let after = Duration::from_micros(random.below(30_000));
                run(planted(&store), dir.path(), number, Some(after), &mut random)
            })
            .collect();
        // An honest one goes last, and cuts the torn line that a dead one may have left.
        run(send(&store), dir.path(), 20, None, &mut random);
        check(&stored(&store).0, &runs).is_err_and(|why| why.contains("is not there"))
    });
    assert!(found);
}
