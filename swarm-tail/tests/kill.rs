//! A follower that is killed and started again with its cursor: nothing is lost that it had not printed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::{Dice, Following, Place, drafts, seq};

/// What one life of the follower printed: the seqs of its whole lines.
type Life = Vec<u64>;

/// Finds out whether these lives, one after the other, printed the seqs 1 to `last`: each life in order and without a gap, beginning at the
/// latest where the one before ended. Returns how many were printed more than once.
fn check(lives: &[Life], last: u64) -> Result<u64, String> {
    let (mut next, mut repeated) = (1, 0);
    for (n, life) in lives.iter().enumerate() {
        let Some(&first) = life.first() else { continue };
        if first > next {
            return Err(format!("life {n} begins at {first}, and {next} was never printed"));
        }
        if let Some(pair) = life.windows(2).find(|pair| pair[1] != pair[0] + 1) {
            return Err(format!("life {n} has {} behind {}", pair[1], pair[0]));
        }
        repeated += (next - first).min(life.len() as u64);
        next = next.max(first + life.len() as u64);
    }
    if next == last + 1 { Ok(repeated) } else { Err(format!("{next} to {last} were never printed")) }
}

#[test]
fn the_checker_finds_what_a_cursor_that_moves_too_early_would_lose() {
    assert_eq!(check(&[vec![1, 2], vec![], vec![3]], 3), Ok(0));
    assert_eq!(check(&[vec![1, 2], vec![1, 2, 3], vec![3]], 3), Ok(3));
    // Committed before it was printed: killed in between, the next life begins too late.
    assert!(check(&[vec![1, 2], vec![4, 5]], 5).is_err());
    assert!(check(&[vec![], vec![2, 3]], 3).is_err());
    assert!(check(&[vec![1, 2, 3], vec![2, 3]], 4).is_err());
    // Lost or mixed up within a life.
    assert!(check(&[vec![1, 3]], 3).is_err());
    assert!(check(&[vec![1, 2, 2, 3]], 3).is_err());
    assert!(check(&[vec![1, 2, 4, 3]], 4).is_err());
}

/// Ends the writer, also when an assertion fails: else the test would wait for it for ever.
struct EndsWriter<'a>(&'a AtomicBool);

impl Drop for EndsWriter<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_follower_that_is_killed_again_and_again_prints_every_record_in_the_end() {
    const KILLS: u64 = 200;
    let place = Place::new();
    // Segments of a few records, so that kills hit in rotations too.
    let journal = place.journal(2048);
    let is_enough = AtomicBool::new(false);
    let mut lives = Vec::new();
    let (mut hits, mut last) = (0, 0);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut dice, mut last) = (Dice(7), 0);
            while !is_enough.load(Ordering::Relaxed) {
                let receipts = journal.append(&drafts(1 + dice.below(4) as usize, 100), &mut |_| {}).unwrap();
                last = receipts.last().unwrap().seq;
            }
            last
        });
        let ends_writer = EndsWriter(&is_enough);
        let mut dice = Dice(42);
        for _ in 0..KILLS {
            let mut following = Following::start(place.tail(&["-f", "--cursor", "a"]));
            let mut life: Life = (0..1 + dice.below(30)).map(|_| seq(&following.line())).collect();
            // At any moment: right behind a line, where it is printed and not yet committed, and before the next one.
            thread::sleep(Duration::from_micros(dice.below(4) * dice.below(700)));
            following.child.kill().unwrap();
            assert_eq!(following.child.wait().unwrap().signal(), Some(9), "it was alive");
            // What stdout took is printed, but for a line that was cut.
            loop {
                match following.line() {
                    line if line.ends_with('\n') => life.push(seq(&line)),
                    _ => break,
                }
            }
            let next_seq = place.next_seq("a").unwrap_or(1);
            let printed = life.last().unwrap() + 1;
            assert!(next_seq <= printed, "the cursor says {next_seq}, but only what is before {printed} was printed");
            hits += u64::from(next_seq < printed);
            lives.push(life);
        }
        drop(ends_writer);
        last = writer.join().unwrap();
    });
    lives.push(place.seqs(&["--cursor", "a"]));
    let repeated = check(&lives, last).unwrap();
    // Kills that hit between printing and committing: those where a cursor that moves first would have lost something.
    assert!(
        hits >= KILLS / 20 && repeated >= hits,
        "{hits} of {KILLS} kills hit in the middle of the work, {repeated} records were printed again"
    );
}
