//! Agents that ask for leases as fast as they can, and are killed all the time: what they were answered must be what one table can have
//! answered that does one thing after the other (`history` says what that means). A table that is broken on purpose is found out.
//!
//! 100,000 operations here, a million by `make torture`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swarm_common::platform;
use swarm_lock::lease::Standing;
use swarm_lock::leases::{Leases, Which};
use swarm_lock::table::Table;
use swarm_tests::history::{self, Death, Left, Operation, Seen};
use swarm_tests::programs;
use swarm_tests::random::Random;

const AGENTS: usize = 32;

fn now_us() -> u64 {
    platform::boottime().as_micros() as u64
}

/// What came of a run.
struct Run {
    operations: Vec<Operation>,
    deaths: HashMap<(String, usize), Death>,
    left: Left,
    kills: usize,
}

/// Lets agents loose on a table, each for so many operations, in as many lives as it takes; `break_it` is called all the time meanwhile.
fn run(dir: &Path, operations: usize, seed: u64, bug: Option<&str>, break_it: &(dyn Fn(&Path) + Sync)) -> Run {
    let table = dir.join("locks");
    let worker = programs::dir().join("lease-worker");
    let (kills, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let agent = |number: usize| {
        let agent_id = format!("agent-{number}");
        let mut random = Random(seed.rotate_left(number as u32));
        let (mut all, mut deaths) = (Vec::new(), Vec::new());
        for life in 0.. {
            let left = operations.saturating_sub(all.len());
            if left == 0 {
                break;
            }
            let file = dir.join(format!("{agent_id}-{life}"));
            let mut command = Command::new(&worker);
            command.arg(&table).arg(&file).args([&agent_id, &random.next_u64().to_string(), &left.to_string()]).args(bug);
            let mut child = command.stdin(Stdio::null()).spawn().unwrap();
            // Short lives and long ones.
            let longest_ms = [30, 300, 3_000][random.below(3) as usize];
            let end = now_us() + 1_000 * random.below(longest_ms);
            while child.try_wait().unwrap().is_none() && now_us() < end {
                thread::sleep(Duration::from_millis(2).min(Duration::from_micros(end.saturating_sub(now_us()))));
            }
            let mut from_us = now_us();
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
            let status = child.wait().unwrap();
            let until_us = now_us();
            let is_killed = status.code().is_none();
            assert!(is_killed || status.success(), "{agent_id}: {status}");
            let lived = history::read(&fs::read_to_string(&file).unwrap_or_default(), &agent_id, life, until_us).unwrap();
            if is_killed {
                kills.fetch_add(1, Ordering::Relaxed);
            } else {
                from_us = lived.last().map_or(0, |last| last.until_us);
            }
            all.extend(lived);
            deaths.push(((agent_id.clone(), life), Death { from_us, until_us }));
        }
        (all, deaths)
    };
    let lives: Vec<_> = thread::scope(|scope| {
        let breaker = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                break_it(&table);
                thread::sleep(Duration::from_micros(500));
            }
        });
        let agents: Vec<_> = (0..AGENTS)
            .map(|number| {
                let agent = &agent;
                scope.spawn(move || agent(number))
            })
            .collect();
        let lives = agents.into_iter().map(|agent| agent.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        breaker.join().unwrap();
        lives
    });
    let (mut all, mut deaths) = (Vec::new(), HashMap::new());
    for (operations, ended) in lives {
        all.extend(operations);
        deaths.extend(ended);
    }
    all.sort_by_key(|operation| operation.from_us);
    let left = left(&table);
    Run { operations: all, deaths, left, kills: kills.into_inner() }
}

fn left(table: &Path) -> Left {
    let from_us = now_us();
    let mut held = Vec::new();
    let leases = Leases::new(Table::at(table.to_path_buf()), None);
    leases
        .list(None, &mut |_| (), &mut |listed| {
            if listed.standing == Standing::Alive {
                let texts = listed.rows.iter().flat_map(|row| row.patterns());
                held.push((listed.rows[0].token, texts.map(|(text, _)| history::number_of(&text).unwrap()).collect()));
            }
            Ok(())
        })
        .unwrap();
    Left { from_us, until_us: now_us(), held }
}

fn seed() -> u64 {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    seed
}

fn one_table_can_have_answered_so(operations: usize) {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path(), operations.div_ceil(AGENTS), seed(), None, &|_| ());
    let seen = history::check(&run.operations, &run.deaths, &run.left).unwrap_or_else(|wrong| {
        panic!("{} things wrong, the first:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    });
    println!("{} operations, {} kills, {seen:?}", run.operations.len(), run.kills);
    let Seen { grants, untold, refused, pending, pairs, touched } = seen;
    assert!(run.operations.len() >= operations);
    // Whoever writes next carries out what a dead one committed.
    let table = dir.path().join("locks");
    let leases = Leases::new(Table::at(table.clone()), None);
    leases.release("nobody", &Which::All, None, &mut Vec::new(), &mut |words| panic!("{words}")).unwrap();
    assert!(!table.join("staged").exists(), "a committed change was left");
    assert!(!table.join("damaged").exists(), "a file was damaged");
    // It was what it was meant to be: agents met, were refused, and were killed between commit and answer.
    assert!(grants > operations / 20 && refused > operations / 20 && touched > operations / 50, "too little happened");
    assert!(pairs > operations / 20, "they hardly met");
    assert!(run.kills > 100 && pending > 20 && untold > 0, "the kills did not hit");
}

#[test]
fn agents_that_are_killed_all_the_time_never_hold_one_path_at_once_and_get_all_or_nothing() {
    one_table_can_have_answered_so(100_000);
}

#[test]
#[ignore = "minutes: make torture"]
fn torture_a_million_operations() {
    one_table_can_have_answered_so(1_000_000);
}

/// What the check says of a table that is broken on purpose.
fn found(operations: usize, bug: Option<&str>, break_it: &(dyn Fn(&Path) + Sync)) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path(), operations.div_ceil(AGENTS), seed(), bug, break_it);
    history::check(&run.operations, &run.deaths, &run.left).err().unwrap_or_default()
}

#[test]
fn a_table_whose_patterns_are_compared_as_texts_is_found_out() {
    let wrong = found(5_000, Some("compares-texts"), &|_| ());
    assert!(wrong.iter().any(|wrong| wrong.starts_with("two holders")), "{wrong:?}");
}

#[test]
fn a_table_whose_tokens_go_back_is_found_out() {
    let old = std::sync::OnceLock::new();
    let wrong = found(5_000, None, &|table| {
        let tokens = table.join("tokens");
        let Ok(now) = fs::read(&tokens) else { return };
        // Written over as the table does it: a file that cannot be read is another matter.
        if now.len() == 128 {
            let file = fs::OpenOptions::new().write(true).open(&tokens).unwrap();
            file.write_all_at(old.get_or_init(|| now), 0).unwrap();
        }
    });
    assert!(wrong.iter().any(|wrong| wrong.contains("given twice")), "{wrong:?}");
}

/// Who replaces the file that is locked lets two in at once.
#[test]
fn a_table_whose_lock_is_skipped_is_found_out() {
    let wrong = found(20_000, None, &|table| {
        let new = table.join("new-lock");
        if table.exists() && fs::write(&new, "").is_ok() {
            let _ = fs::rename(&new, table.join("lock"));
        }
    });
    let is_it = |wrong: &String| wrong.starts_with("two holders") || wrong.contains("given twice");
    assert!(wrong.iter().any(is_it), "{wrong:?}");
}
