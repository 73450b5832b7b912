//! The journal as a whole, against a plain list of what was stored.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proptest::prelude::*;
use tempfile::TempDir;

use super::append::{self, Segment, Trouble, WORLD, World};
use super::line::Stamp;
use super::*;
use crate::json::Scanner;
use crate::time;

fn settings(segment_bytes: u64) -> Settings {
    Settings { segment_bytes, ..Settings::default() }
}

/// A journal in a directory of its own.
fn journal(segment_bytes: u64) -> (TempDir, Journal) {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = Journal::at(dir.path().join("journal"), settings(segment_bytes));
    (dir, journal)
}

fn draft(id: &str, sender: &str, content: &str) -> Draft {
    let body = format!("\"msg_type\":\"INFO\",\"sender_id\":\"{sender}\",\"content\":\"{content}\"}}");
    Draft { msg_id: id.into(), id_is_own: false, sender_id: sender.into(), body: body.into_bytes() }
}

fn own(id: &str, sender: &str) -> Draft {
    Draft { id_is_own: true, ..draft(id, sender, "own") }
}

/// Appends in another world.
fn append(
    dir: &Path,
    settings: &Settings,
    batch: &[Draft],
    note: &mut dyn FnMut(&str),
    world: World<'_>,
) -> Result<Vec<Receipt>, AppendError> {
    append::append(dir, settings, batch, &mut Rules { admit: &mut |_| true, is_strict: false }, note, world)
}

/// Appends; nothing may be said about it.
fn store(journal: &Journal, batch: &[Draft]) -> Vec<Receipt> {
    journal.append(batch, &mut |note| panic!("{note}")).expect("stored")
}

fn store_one(journal: &Journal, content: &str) -> u64 {
    store(journal, &[draft("id", "a", content)])[0].seq
}

fn store_at(journal: &Journal, now: Timestamp, content: &str) {
    let world = World { now: &|| now, ..WORLD };
    append(&journal.dir, &journal.settings, &[draft("id", "a", content)], &mut |_| {}, world).expect("stored");
}

fn store_many(journal: &Journal, count: usize) {
    for _ in 0..count {
        store_one(journal, "x");
    }
}

/// What a reader met, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Met {
    Line(u64, Vec<u8>),
    Gap(u64, u64),
    Damaged(u64, Vec<u8>),
}

fn read_on(reader: &mut Reader) -> Vec<Met> {
    let mut met = Vec::new();
    loop {
        match reader.next().expect("read") {
            Step::Lines { bytes, first_seq, count } => {
                assert!(bytes.ends_with(b"\n"));
                let before = met.len();
                met.extend(bytes.split_inclusive(|&b| b == b'\n').zip(first_seq..).map(|(line, seq)| Met::Line(seq, line.to_vec())));
                assert_eq!((met.len() - before) as u64, count);
            }
            Step::Gap { from_seq, to_seq } => met.push(Met::Gap(from_seq, to_seq)),
            Step::Damaged { seq, bytes, .. } => met.push(Met::Damaged(seq, bytes.to_vec())),
            Step::End => return met,
        }
    }
}

fn read_all(journal: &Journal, seq: u64) -> Vec<Met> {
    read_on(&mut journal.read_from(seq).expect("a reader"))
}

/// The seqs of the lines, which must be in the lines too; anything else is shown.
fn seqs(met: &[Met]) -> Vec<u64> {
    let seq = |met: &Met| match met {
        Met::Line(seq, line) => {
            assert!(line.starts_with(format!("{{\"seq\":{seq},").as_bytes()));
            *seq
        }
        other => panic!("{other:?}"),
    };
    met.iter().map(seq).collect()
}

fn segments_of(journal: &Journal) -> Vec<PathBuf> {
    segments::list(&journal.dir).expect("listed").into_iter().map(|first| segments::path(&journal.dir, first)).collect()
}

fn add_raw(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).expect("opened").write_all(bytes).expect("written");
}

#[test]
fn an_empty_journal_has_no_bounds_no_records_and_no_directory_needed() {
    let (_dir, journal) = journal(1000);
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 1 }));
    assert_eq!(journal.first_since(time::now()), Ok(1));
    let mut reader = journal.read_from(0).expect("a reader");
    assert_eq!((read_on(&mut reader), reader.next_seq()), (vec![], 1));
    assert_eq!(store(&journal, &[]), []);
    store_one(&journal, "first");
    assert_eq!(seqs(&read_on(&mut reader)), [1], "the reader that was there before");
}

#[test]
fn eight_writers_give_dense_seqs_over_many_rotations_and_followers_meet_each_once() {
    const WRITERS: usize = 8;
    const EACH: usize = 150;
    let (_dir, journal) = journal(4096);
    let total = (WRITERS * EACH) as u64;
    let follow = |journal: &Journal| {
        let (mut watch, mut reader, mut met) = (journal.watch(), journal.read_from(1).expect("a reader"), Vec::new());
        let (_keep, output) = std::io::pipe().expect("a pipe");
        while reader.next_seq() <= total {
            met.extend(read_on(&mut reader));
            if reader.next_seq() <= total {
                use std::os::fd::AsFd;
                assert_eq!(watch.wait(output.as_fd(), Some(Duration::from_secs(60))), Ok(crate::platform::Woken::Changed));
            }
        }
        met
    };
    std::thread::scope(|scope| {
        let followers: Vec<_> = (0..3).map(|_| scope.spawn(|| follow(&journal.clone()))).collect();
        let write = |writer: usize| {
            let journal = Journal::at(journal.dir.clone(), journal.settings.clone());
            let mut receipts = Vec::new();
            for n in 0..EACH / 3 {
                let drafts: Vec<Draft> = (0..3).map(|m| draft(&format!("{writer}-{n}-{m}"), "a", &"x".repeat(n))).collect();
                receipts.extend(store(&journal, &drafts));
            }
            receipts
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        let mut given: Vec<u64> =
            writers.into_iter().flat_map(|writer| writer.join().expect("written")).map(|receipt| receipt.seq).collect();
        given.sort_unstable();
        assert_eq!(given, (1..=total).collect::<Vec<_>>());
        for follower in followers {
            assert_eq!(seqs(&follower.join().expect("followed")), given);
        }
    });
    assert!(segments_of(&journal).len() > 20, "it rotated");
    let modes = segments_of(&journal).into_iter().chain([journal.dir.join("lock")]).map(|path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    });
    assert!(modes.into_iter().all(|mode| mode == 0o600));
}

#[test]
fn a_torn_last_line_is_never_handed_out_and_the_next_writer_cuts_it_and_says_so() {
    let (_dir, journal) = journal(100_000);
    store_one(&journal, "one");
    let mut reader = journal.read_from(1).expect("a reader");
    add_raw(&segments_of(&journal)[0], b"{\"seq\":2,\"msg_id\":\"torn\",\"timestamp\":\"2026-11-23T08:34:30.1234");
    assert_eq!(seqs(&read_on(&mut reader)), [1]);
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 2 }));
    let mut notes = Vec::new();
    journal.append(&[draft("id", "a", "two")], &mut |note| notes.push(note.to_string())).expect("stored");
    assert!(notes.len() == 1 && notes[0].contains("incomplete last line of 62 bytes"), "{notes:?}");
    let met = read_on(&mut reader);
    assert_eq!(seqs(&met), [2]);
    assert!(matches!(&met[0], Met::Line(_, line) if line.ends_with(b"\"content\":\"two\"}\n")));
    assert_eq!(seqs(&read_all(&journal, 1)), [1, 2]);
}

#[test]
fn a_tail_of_zeros_as_a_power_cut_leaves_it_is_cut_too() {
    let (_dir, journal) = journal(10_000_000);
    store_one(&journal, "one");
    add_raw(&segments_of(&journal)[0], &vec![0; 3 * BLOCK_BYTES]);
    let mut notes = 0;
    let mut reader = journal.read_from(1).expect("a reader");
    assert_eq!(seqs(&read_on(&mut reader)), [1]);
    assert_eq!(journal.append(&[draft("id", "a", "two")], &mut |_| notes += 1).map(|receipts| receipts[0].seq), Ok(2));
    assert_eq!((seqs(&read_on(&mut reader)), notes), (vec![2], 1));
}

#[test]
fn a_last_line_that_is_garbage_counts_for_one_and_the_writer_goes_on_in_a_new_segment() {
    for garbage in
        [&b"\0\0garbage\n"[..], b"{\"seq\":900000000,\"msg_id\":\"flipped digit\",\"timestamp\":\"2026-11-23T08:34:30.123456Z\",}\n"]
    {
        let (_dir, journal) = journal(100_000);
        let mut reader = journal.read_from(0).expect("a reader");
        store_many(&journal, 5);
        add_raw(&segments_of(&journal)[0], garbage);
        let mut notes = Vec::new();
        let receipts = journal.append(&[draft("id", "a", "seven")], &mut |note| notes.push(note.to_string())).expect("stored");
        assert_eq!(receipts[0].seq, 7);
        assert!(notes.len() == 1 && notes[0].contains("cannot be read"), "{notes:?}");
        assert_eq!(segments_of(&journal)[1], segments::path(&journal.dir, 7));
        let met = read_on(&mut reader);
        assert_eq!(seqs(&met[..5]), [1, 2, 3, 4, 5]);
        assert_eq!(met[5], Met::Damaged(6, garbage.to_vec()));
        assert_eq!(seqs(&met[6..]), [7]);
    }
}

#[test]
fn garbage_that_swallowed_lines_is_handed_out_and_the_swallowed_seqs_are_a_gap() {
    let (_dir, journal) = journal(100_000);
    store_many(&journal, 9);
    let path = &segments_of(&journal)[0];
    let mut bytes = fs::read(path).expect("read");
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', &bytes).collect();
    // The lines 4, 5 and 6 become one of zeros.
    bytes[ends[2] + 1..ends[5]].fill(0);
    fs::write(path, &bytes).expect("written");
    let met = read_all(&journal, 1);
    assert_eq!(seqs(&met[..3]), [1, 2, 3]);
    assert!(matches!(met[3], Met::Damaged(4, _)) && met[4] == Met::Gap(5, 6), "{:?}", &met[3..5]);
    assert_eq!(seqs(&met[5..]), [7, 8, 9]);
    assert_eq!(seqs(&read_all(&journal, 7)), [7, 8, 9], "what nobody asked for is not told");
    assert_eq!(read_all(&journal, 6)[0], Met::Gap(6, 6));
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 10 }));
}

#[test]
fn a_line_that_is_there_twice_is_damage_and_changes_no_number() {
    let (_dir, journal) = journal(100_000);
    store_many(&journal, 3);
    let path = &segments_of(&journal)[0];
    let twice: Vec<u8> = fs::read(path).expect("read").split_inclusive(|&b| b == b'\n').flat_map(|line| [line, line].concat()).collect();
    fs::write(path, twice).expect("written");
    let met = read_all(&journal, 1);
    assert_eq!(met.iter().filter(|met| matches!(met, Met::Damaged(..))).count(), 3);
    let lines: Vec<Met> = met.into_iter().filter(|met| matches!(met, Met::Line(..))).collect();
    assert_eq!(seqs(&lines), [1, 2, 3]);
    assert_eq!(store_one(&journal, "x"), 4);
}

#[test]
fn a_line_longer_than_any_record_is_damage_and_the_next_ones_go_on() {
    let (_dir, journal) = journal(10_000_000);
    store_one(&journal, "x");
    let mut long = vec![b'y'; 200_000];
    long.push(b'\n');
    add_raw(&segments_of(&journal)[0], &long);
    journal.append(&[draft("id", "a", "three")], &mut |_| {}).expect("stored");
    let met = read_all(&journal, 1);
    assert_eq!(met[1], Met::Damaged(2, vec![]));
    assert_eq!((seqs(&met[..1]), seqs(&met[2..])), (vec![1], vec![3]));
}

#[test]
fn a_line_written_in_another_order_is_a_record_all_the_same() {
    let (_dir, journal) = journal(100_000);
    store_one(&journal, "x");
    let odd = b"{ \"content\":\"x\", \"timestamp\":\"2026-11-23T08:34:30.5Z\", \"sender_id\":\"b\", \"msg_id\":\"odd\", \"seq\" : 2 }\n";
    add_raw(&segments_of(&journal)[0], odd);
    assert_eq!(store_one(&journal, "y"), 3);
    assert_eq!(read_all(&journal, 2)[0], Met::Line(2, odd.to_vec()));
    assert_eq!(store(&journal, &[own("odd", "b")]), [Receipt { seq: 2, outcome: Outcome::Repeated }]);
}

#[test]
fn a_segment_missing_in_the_middle_is_a_gap_with_its_seqs() {
    let (_dir, journal) = journal(500);
    store_many(&journal, 30);
    let found = segments::list(&journal.dir).expect("listed");
    let (from_seq, to_seq) = (found[2], found[3] - 1);
    let mut early = journal.read_from(1).expect("a reader");
    assert!(matches!(early.next(), Ok(Step::Lines { first_seq: 1, .. })));
    fs::remove_file(segments::path(&journal.dir, from_seq)).expect("removed");
    let expected: Vec<Met> = read_all(&journal, to_seq + 1);
    let met = read_all(&journal, 1);
    let at = met.iter().position(|met| matches!(met, Met::Gap(..))).expect("a gap");
    assert_eq!(met[at], Met::Gap(from_seq, to_seq));
    assert_eq!((seqs(&met[..at]), &met[at + 1..]), ((1..from_seq).collect(), &expected[..]));
    assert!(read_on(&mut early).contains(&Met::Gap(from_seq, to_seq)), "who was on the way meets it too");
    assert_eq!(read_all(&journal, from_seq + 1)[0], Met::Gap(from_seq + 1, to_seq), "a cursor that points into it");
}

#[test]
fn time_never_runs_backwards_in_the_journal_though_the_clock_is_set_back_an_hour() {
    let (_dir, journal) = journal(400);
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a timestamp");
    let earlier = noon - SignedDuration::from_hours(1);
    for (n, now) in [noon, earlier, earlier, earlier, noon + SignedDuration::from_secs(1), earlier].into_iter().enumerate() {
        store_at(&journal, now, "x");
        assert_eq!(journal.bounds().map(|bounds| bounds.next_seq), Ok(n as u64 + 2));
    }
    let stamps: Vec<Stamp> = read_all(&journal, 1)
        .iter()
        .map(|met| match met {
            Met::Line(_, line) => line::stamp(line).expect("a stamp"),
            other => panic!("{other:?}"),
        })
        .collect();
    let offsets: Vec<i64> = stamps.iter().map(|stamp| (stamp.timestamp - noon).as_secs()).collect();
    assert_eq!(offsets, [0, 0, 0, 0, 1, 1]);
    assert!(segments_of(&journal).len() > 1, "over a rotation too");
    assert_eq!(journal.first_since(noon + SignedDuration::from_millis(1)), Ok(5));
}

#[test]
fn an_empty_live_segment_still_knows_the_time_of_the_one_before() {
    let (_dir, journal) = journal(100_000);
    let noon: Timestamp = "2126-11-23T12:00:00Z".parse().expect("a timestamp");
    store_at(&journal, noon, "x");
    segments::begin(&journal.dir, 2, &segments::settle).expect("begun");
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 2 }));
    assert_eq!(store_one(&journal, "y"), 2);
    assert_eq!(journal.first_since(noon), Ok(1));
    assert_eq!(journal.first_since(noon + SignedDuration::from_micros(1)), Ok(3));
}

#[test]
fn a_repeated_id_is_answered_with_the_first_seq_and_stores_nothing() {
    let (_dir, journal) = journal(500);
    let all: Vec<u64> = (0..20).map(|n| store(&journal, &[own(&format!("id-{n}"), "a")])[0].seq).collect();
    assert_eq!(all, (1..=20).collect::<Vec<_>>());
    assert!(segments_of(&journal).len() > 3, "across segments");
    for n in [0, 7, 19] {
        assert_eq!(store(&journal, &[own(&format!("id-{n}"), "A")]), [Receipt { seq: n + 1, outcome: Outcome::Repeated }]);
        let taken = Outcome::IdTaken { by: "a".into() };
        assert_eq!(store(&journal, &[own(&format!("id-{n}"), "b")]), [Receipt { seq: n + 1, outcome: taken }]);
    }
    let batch =
        [own("new", "a"), own("id-3", "a"), own("new", "a"), draft("id-3", "c", "never looked up"), own("new", "b"), own("newer", "b")];
    let (stored, repeated) = (Outcome::Stored, Outcome::Repeated);
    let taken = Outcome::IdTaken { by: "a".into() };
    let expected = [(21, stored.clone()), (4, repeated.clone()), (21, repeated), (22, stored.clone()), (21, taken), (23, stored)];
    assert_eq!(store(&journal, &batch), expected.map(|(seq, outcome)| Receipt { seq, outcome }));
    assert_eq!(seqs(&read_all(&journal, 0)), (1..=23).collect::<Vec<_>>());
}

#[test]
fn one_id_sent_by_many_at_once_is_stored_once() {
    let (_dir, journal) = journal(600);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..20).for_each(|n| drop(store(&journal, &[own(&format!("id-{n}"), "a"), draft("x", "a", "y")]))));
        }
    });
    let text: Vec<u8> = segments_of(&journal).iter().flat_map(|path| fs::read(path).expect("read")).collect();
    assert_eq!(memchr::memmem::find_iter(&text, b"\"msg_id\":\"id-").count(), 20);
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 20 + 120 + 1 }));
}

#[test]
fn an_id_that_needs_escapes_is_found_again() {
    let (_dir, journal) = journal(100_000);
    let id = "quote\" back\\slash é \u{202e}";
    assert_eq!(store(&journal, &[own(id, "a")])[0], Receipt { seq: 1, outcome: Outcome::Stored });
    assert_eq!(store(&journal, &[own(id, "a")])[0], Receipt { seq: 1, outcome: Outcome::Repeated });
    let line = &fs::read(&segments_of(&journal)[0]).expect("read");
    assert!(line.windows(12).position(|w| w == b"\"msg_type\":\"").expect("a body") <= head_bytes(id));
    assert_eq!(head_bytes("abc"), "{\"seq\":18446744073709551615,\"msg_id\":\"abc\",\"timestamp\":\"2026-11-23T08:34:30.123456Z\",".len());
}

#[test]
fn retention_removes_whole_oldest_segments_and_readers_are_told_what_is_gone() {
    let (_dir, mut journal) = journal(1000);
    let mut reader = journal.read_from(1).expect("a reader");
    store_many(&journal, 10);
    assert!(matches!(reader.next(), Ok(Step::Lines { first_seq: 1, .. })));
    let (held, next) = (reader.next_seq(), segments::list(&journal.dir).expect("listed")[1]);
    journal.settings.keep_bytes = Some(4000);
    store_many(&journal, 200);
    let total: u64 = segments_of(&journal).iter().map(|path| fs::metadata(path).expect("there").len()).sum();
    assert!(total <= 4000 + 200, "{total}");
    let Bounds { oldest_seq, next_seq } = journal.bounds().expect("bounds");
    assert!(oldest_seq > 150 && next_seq == 211);
    // The segment it had open, to its end, then the gap.
    let met = read_on(&mut reader);
    let gap = met.iter().position(|met| matches!(met, Met::Gap(..))).expect("a gap");
    assert_eq!(seqs(&met[..gap]), (held..next).collect::<Vec<_>>());
    assert_eq!(met[gap], Met::Gap(next, oldest_seq - 1));
    assert_eq!(seqs(&met[gap + 1..]), (oldest_seq..next_seq).collect::<Vec<_>>());
    // A cursor that points into what is gone, and one that begins at the oldest.
    let mut old = journal.read_from(5).expect("a reader");
    assert_eq!(old.next_seq(), 5);
    assert_eq!(read_on(&mut old)[0], Met::Gap(5, oldest_seq - 1));
    assert_eq!(seqs(&read_all(&journal, 0)), (oldest_seq..next_seq).collect::<Vec<_>>());
}

#[test]
fn retention_by_age_goes_by_the_last_record_of_a_segment() {
    let (_dir, mut journal) = journal(1000);
    journal.settings.keep_age = Some(Duration::from_secs(3600));
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a timestamp");
    for minute in 0..180 {
        let now = noon + SignedDuration::from_mins(minute);
        store_at(&journal, now, "x");
    }
    let oldest_seq = journal.bounds().expect("bounds").oldest_seq;
    assert!((100..=120).contains(&oldest_seq), "{oldest_seq}: an hour is kept, and the rest of its segment");
    assert_eq!(journal.first_since(noon), Ok(oldest_seq));
}

#[test]
fn one_writer_whose_clock_was_a_year_ahead_does_not_make_the_others_remove_what_is_kept() {
    let (_dir, mut journal) = journal(500);
    journal.settings.keep_age = Some(Duration::from_secs(30 * 86_400));
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a timestamp");
    for _ in 0..20 {
        store_at(&journal, now, "x");
    }
    journal.settings.keep_age = None;
    store_at(&journal, now + SignedDuration::from_hours(365 * 24), "from the future");
    journal.settings.keep_age = Some(Duration::from_secs(30 * 86_400));
    for _ in 0..20 {
        store_at(&journal, now, "x");
    }
    assert_eq!(journal.bounds().map(|bounds| bounds.oldest_seq), Ok(1));
}

#[test]
fn the_last_seq_there_is_wraps_nothing() {
    let (_dir, journal) = journal(100_000);
    store_one(&journal, "one");
    let odd = "{\"seq\":18446744073709551615,\"msg_id\":\"m\",\"timestamp\":\"2026-11-23T08:34:30.123456Z\",\"content\":\"x\"}\n";
    fs::write(segments::path(&journal.dir, u64::MAX), odd).expect("written");
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 2 }));
    assert_eq!((store_one(&journal, "two"), seqs(&read_all(&journal, 0))), (2, vec![1, 2]));
    let mut reader = journal.read_from(u64::MAX).expect("a reader");
    assert_eq!((read_on(&mut reader), reader.next_seq()), (vec![], u64::MAX));
}

#[test]
fn a_reader_that_begins_past_the_end_waits_for_its_seq() {
    let (_dir, journal) = journal(500);
    store_many(&journal, 3);
    let mut reader = journal.read_from(12).expect("a reader");
    for n in 4..12 {
        assert_eq!((read_on(&mut reader), reader.next_seq()), (vec![], 12));
        assert_eq!(store_one(&journal, "x"), n);
    }
    store_many(&journal, 3);
    assert_eq!(seqs(&read_on(&mut reader)), [12, 13, 14]);
}

#[test]
fn a_reader_can_sync_what_it_handed_out_and_needs_nothing_else_open() {
    let (_dir, journal) = journal(500);
    let mut reader = journal.read_from(0).expect("a reader");
    assert_eq!(reader.sync(), Ok(()));
    store_many(&journal, 20);
    while !matches!(reader.next().expect("read"), Step::End) {
        assert_eq!(reader.sync(), Ok(()));
    }
    assert_eq!(reader.next_seq(), 21);
}

#[test]
fn one_instant_of_many_records_over_segments_is_found_at_its_first() {
    let (_dir, journal) = journal(3000);
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a timestamp");
    for n in 0..300 {
        store_at(&journal, at(n / 100), "x");
    }
    assert_eq!([-1, 0, 1, 2, 3].map(|second| journal.first_since(at(second))), [Ok(1), Ok(1), Ok(101), Ok(201), Ok(301)]);
}

#[test]
fn after_a_failed_sync_nobody_knows_and_no_seq_is_given_again() {
    let (_dir, journal) = journal(100_000);
    store_one(&journal, "one");
    let syncs = Cell::new(0);
    let broken = |_: &File| {
        syncs.set(syncs.get() + 1);
        Err(Errno::EIO.into())
    };
    let batch = [own("two", "a"), own("three", "a")];
    let world = World { sync_data: &broken, ..WORLD };
    match append(&journal.dir, &journal.settings, &batch, &mut |_| {}, world) {
        Err(AppendError::Unknown { first_seq: 2, last_seq: 3, receipts, why }) => {
            assert_eq!((receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), why.as_str()), (vec![2, 3], "Input/output error"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(syncs.get(), 1, "never tried again");
    assert_eq!(segments_of(&journal).len(), 1);
    // Nobody is told yes before the next segment is on disk, however often it is tried.
    let unsettled = |_: &Path, _: &File, _| Err(Errno::EIO.into());
    for _ in 0..2 {
        let tried = append(&journal.dir, &journal.settings, &[draft("id", "a", "x")], &mut |_| {}, World { settle: &unsettled, ..WORLD });
        assert!(matches!(tried, Err(AppendError::Partly { last_seq: 3, .. })), "{tried:?}");
    }
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 4 }));
    assert_eq!(store_one(&journal, "four"), 4);
    assert_eq!(segments_of(&journal)[1], segments::path(&journal.dir, 4));
    // Who sends again with the same ids is told that they are stored, now truly.
    let text = fs::read(&segments_of(&journal)[0]).expect("read");
    assert_eq!(store(&journal, &batch).iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(fs::read(&segments_of(&journal)[0]).expect("read"), text);
    assert_eq!(seqs(&read_all(&journal, 1)), [1, 2, 3, 4]);
}

#[test]
fn what_is_lost_after_a_failed_sync_gives_no_seq_away() {
    let (_dir, journal) = journal(100_000);
    store_one(&journal, "one");
    let before = fs::metadata(&segments_of(&journal)[0]).expect("there").len();
    let world = World { sync_data: &|_| Err(Errno::EIO.into()), ..WORLD };
    append(&journal.dir, &journal.settings, &[draft("id", "a", "two"), draft("id", "a", "three")], &mut |_| {}, world).expect_err("broken");
    // The pages that the disk does not have go from memory.
    OpenOptions::new().write(true).open(&segments_of(&journal)[0]).and_then(|file| file.set_len(before)).expect("lost");
    assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: 4 }), "a cursor at 4 is not behind the end");
    assert_eq!(store_one(&journal, "four"), 4);
    assert_eq!(read_all(&journal, 2)[0], Met::Gap(2, 3));
}

#[test]
fn the_mark_after_a_failed_sync_is_put_on_disk_and_where_it_cannot_be_that_is_said() {
    for is_broken in [false, true] {
        let (_dir, journal) = journal(100_000);
        store_one(&journal, "one");
        let (settled, mut said) = (RefCell::new(Vec::new()), Vec::new());
        let settle = |dir: &Path, file: &File, first_seq: u64| {
            settled.borrow_mut().push(first_seq);
            if is_broken { Err(Errno::EIO.into()) } else { segments::settle(dir, file, first_seq) }
        };
        let world = World { sync_data: &|_| Err(Errno::EIO.into()), settle: &settle, ..WORLD };
        let batch = [draft("id", "a", "two"), draft("id", "a", "three")];
        append(&journal.dir, &journal.settings, &batch, &mut |note| said.push(note.to_string()), world).expect_err("broken");
        assert_eq!(settled.into_inner(), [4]);
        assert_eq!(said.iter().any(|note| note.contains("does not keep a mark")), is_broken, "{said:?}");
        assert_eq!(segments::newest(&journal.dir).expect("listed"), (Some(1), Some(4)), "until the power goes, it is there in any case");
    }
}

/// Of each record whether it is known to be stored: yes, no, or nobody knows.
fn told(error: &AppendError) -> Vec<&'static str> {
    let (receipts, first_unknown, last_seq) = match error {
        AppendError::Failed(_) => return vec!["no"],
        AppendError::Partly { receipts, last_seq, .. } => (receipts, u64::MAX, *last_seq),
        AppendError::Unknown { receipts, first_seq, last_seq, .. } => (receipts, *first_seq, *last_seq),
    };
    let one = |receipt: &Receipt| match receipt.seq {
        seq if seq > last_seq => "no",
        seq if seq >= first_unknown => "unknown",
        _ => "yes",
    };
    receipts.iter().map(one).collect()
}

#[test]
fn what_is_repeated_is_stored_though_the_disk_has_no_room_for_what_is_new() {
    let (_dir, journal) = journal(100_000);
    store(&journal, &[own("one", "a"), own("two", "a")]);
    let batch = [own("two", "a"), own("new", "a"), own("one", "a"), own("new", "a")];
    let world = World { write: &|_, _| Err(Errno::ENOSPC.into()), ..WORLD };
    let error = append(&journal.dir, &journal.settings, &batch, &mut |_| {}, world).expect_err("full");
    assert_eq!(told(&error), ["yes", "no", "yes", "no"]);
    assert_eq!(store(&journal, &batch).iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [2, 3, 1, 3]);
}

#[test]
fn a_repeated_record_that_the_disk_does_not_confirm_is_unknown_and_the_journal_goes_on_in_a_new_segment() {
    let (_dir, journal) = journal(300);
    store_one(&journal, "one");
    store(&journal, &[own("old", "a"), draft("id", "a", &"x".repeat(200))]);
    store(&journal, &[own("live", "a"), draft("id", "a", "y")]);
    assert_eq!(segments::list(&journal.dir).expect("listed"), [1, 4]);
    let syncs = Cell::new(0);
    let broken_at = |n| {
        let syncs = &syncs;
        syncs.set(0);
        move |file: &File| {
            syncs.set(syncs.get() + 1);
            if syncs.get() == n { Err(Errno::EIO.into()) } else { file.sync_data() }
        }
    };
    let retry = |batch: &[Draft], n| {
        let sync_data = broken_at(n);
        append(&journal.dir, &journal.settings, batch, &mut |_| {}, World { sync_data: &sync_data, ..WORLD })
    };
    let error = retry(&[own("old", "a"), own("live", "a"), own("new", "a")], 1).expect_err("broken");
    assert_eq!((told(&error), syncs.get()), (vec!["unknown", "unknown", "no"], 1));
    assert_eq!(segments::newest(&journal.dir).expect("listed"), (Some(4), None), "nobody writes to the old one any more");
    let error = retry(&[own("old", "a"), own("live", "a"), own("new", "a")], 2).expect_err("broken");
    assert_eq!((told(&error), syncs.get()), (vec!["yes", "unknown", "no"], 2));
    assert_eq!(segments::newest(&journal.dir).expect("listed"), (Some(4), Some(6)));
    assert_eq!(store_one(&journal, "new"), 6);
    assert_eq!(segments::list(&journal.dir).expect("listed"), [1, 4, 6]);
}

#[test]
fn the_rules_are_asked_for_what_is_new_alone_and_strict_ends_with_the_first_refusal() {
    let (_dir, journal) = journal(100_000);
    store(&journal, &[own("mine", "a"), own("other", "b")]);
    let batch =
        [own("mine", "a"), own("new", "a"), own("new", "a"), own("other", "a"), own("spam", "a"), own("spam", "a"), own("last", "a")];
    let run = |is_strict, batch: &[Draft]| {
        let mut asked = Vec::new();
        let mut admit = |draft: &Draft| {
            asked.push(draft.msg_id.clone());
            draft.msg_id != "spam"
        };
        let receipts = journal.append_by(batch, &mut Rules { admit: &mut admit, is_strict }, &mut |_| {}).expect("stored");
        (receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), asked)
    };
    assert_eq!(run(true, &batch), (vec![1, 3, 3, 2], vec!["new".to_string()]));
    assert_eq!(run(true, &batch[4..]), (vec![0], vec!["spam".to_string()]));
    assert_eq!(run(false, &batch), (vec![1, 3, 3, 2, 0, 0, 4], ["spam", "spam", "last"].map(str::to_string).to_vec()));
    assert_eq!(seqs(&read_all(&journal, 1)), [1, 2, 3, 4]);
}

#[test]
fn a_finished_segment_whose_sync_failed_is_not_synced_again() {
    let (_dir, journal) = journal(100);
    store_one(&journal, "one");
    let syncs = Cell::new(0);
    let broken = |_: &File| {
        syncs.set(syncs.get() + 1);
        if syncs.get() == 1 { Err(Errno::EIO.into()) } else { Ok(()) }
    };
    let world = World { sync_data: &broken, ..WORLD };
    let two = [draft("id", "a", "two")];
    let tried = append(&journal.dir, &journal.settings, &two, &mut |_| {}, world);
    assert!(matches!(tried, Err(AppendError::Partly { last_seq: 1, .. })), "{tried:?}");
    assert_eq!(append(&journal.dir, &journal.settings, &two, &mut |_| {}, world).expect("stored")[0].seq, 2);
    assert_eq!(syncs.get(), 2, "of the new one alone");
    assert_eq!(seqs(&read_all(&journal, 1)), [1, 2]);
}

/// A disk that is full after so many bytes, and a reader that looks right then.
fn full_after<'a>(bytes: usize, seen: &'a dyn Fn()) -> impl Fn(&File, &[u8]) -> std::io::Result<usize> + 'a {
    let calls = Cell::new(0);
    move |mut file, lines| {
        calls.set(calls.get() + 1);
        if calls.get() > 1 {
            seen();
            return Err(Errno::ENOSPC.into());
        }
        file.write(&lines[..bytes])
    }
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_batch_keeps_its_whole_lines_and_no_seq_is_missing() {
    for whole in [0, 2] {
        let (_dir, journal) = journal(100_000);
        store_one(&journal, "one");
        let batch: Vec<Draft> = (0..5).map(|n| own(&format!("own-{n}"), "a")).collect();
        let (_elsewhere, as_long) = self::journal(100_000);
        store_one(&as_long, "one");
        store(&as_long, &batch[..whole]);
        let length = |journal: &Journal| fs::metadata(&segments_of(journal)[0]).expect("there").len();
        let (mut reader, met) = (journal.read_from(2).expect("a reader"), RefCell::new(Vec::new()));
        let look = || met.borrow_mut().extend(read_all(&journal, 2));
        let written = (length(&as_long) - length(&journal)) as usize + 10;
        let world = World { write: &full_after(written, &look), ..WORLD };
        match append(&journal.dir, &journal.settings, &batch, &mut |_| {}, world) {
            Err(AppendError::Partly { last_seq: 1, failure, .. }) if whole == 0 => {
                assert!(failure.what.contains("No space left on device"), "{failure:?}")
            }
            Err(AppendError::Partly { last_seq: 3, receipts, failure }) if whole == 2 => {
                assert!(receipts[1].seq == 3 && failure.hint.contains("stored up to seq 3"), "{failure:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((length(&journal), met.borrow().len()), (length(&as_long), whole), "what a reader saw meanwhile is there");
        // Writable after, and sending all of it again stores the rest.
        let receipts = store(&journal, &batch);
        let repeated = receipts.iter().filter(|receipt| receipt.outcome == Outcome::Repeated).count();
        assert_eq!((repeated, receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>()), (whole, vec![2, 3, 4, 5, 6]));
        assert_eq!(seqs(&read_on(&mut reader)), [2, 3, 4, 5, 6]);
        assert_eq!(segments_of(&journal).len(), 1);
    }
}

#[test]
fn a_full_disk_that_does_not_confirm_what_it_took_leaves_that_unknown_and_the_rest_unwritten() {
    let (_dir, journal) = journal(100_000);
    let batch = [draft("id", "a", "1"), draft("id", "a", "2"), draft("id", "a", "3")];
    let (_elsewhere, as_long) = self::journal(100_000);
    store(&as_long, &batch[..2]);
    let written = fs::metadata(&segments_of(&as_long)[0]).expect("there").len() as usize;
    let world = World { write: &full_after(written, &|| {}), sync_data: &|_| Err(Errno::EIO.into()), ..WORLD };
    match append(&journal.dir, &journal.settings, &batch, &mut |_| {}, world) {
        Err(AppendError::Unknown { first_seq: 1, last_seq: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(store_one(&journal, "x"), 3);
    assert_eq!(segments_of(&journal)[1], segments::path(&journal.dir, 3));
}

#[test]
fn what_cannot_be_cut_is_unknown() {
    // A pipe takes the bytes, and can neither be synced nor cut.
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let segment = || Segment { file: File::from(OwnedFd::from(writer.try_clone().expect("cloned"))), bytes: 0 };
    assert!(matches!(segment().write(b"x\n", 1, WORLD), Err(Trouble::Unknown { whole: 1, .. })));
    let world = World { write: &full_after(1, &|| {}), ..WORLD };
    assert!(matches!(segment().write(b"x\n", 1, world), Err(Trouble::Unknown { whole: 1, .. })));
}

/// Runs one test of this binary in a process of its own, because a resource limit holds for all threads.
fn in_a_process_of_its_own(test: &str) -> bool {
    const MARK: &str = "SWARM_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let run = Command::new(std::env::current_exe().expect("this binary")).args([test, "--exact", "--nocapture"]).env(MARK, "1").output();
    let run = run.expect("run");
    assert!(run.status.success(), "{:?}: {}", run.status, String::from_utf8_lossy(&run.stderr));
    assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"), "the test was found and run");
    false
}

#[test]
fn a_batch_over_the_file_size_limit_stores_nothing_and_the_journal_goes_on() {
    if !in_a_process_of_its_own("journal::tests::a_batch_over_the_file_size_limit_stores_nothing_and_the_journal_goes_on") {
        return;
    }
    let (_dir, journal) = journal(1_000_000);
    store_one(&journal, "one");
    let before = fs::read(&segments_of(&journal)[0]).expect("read");
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("known");
    setrlimit(Resource::RLIMIT_FSIZE, before.len() as u64 + 300, hard).expect("set");
    let batch: Vec<Draft> = (0..5).map(|n| draft("id", "a", &format!("{n}"))).collect();
    match journal.append(&batch, &mut |_| {}) {
        Err(AppendError::Partly { last_seq: 1, failure, .. }) => {
            assert_eq!(failure.exit.status(), 3);
            assert!(failure.what.contains("File too large"), "{}", failure.what);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(&segments_of(&journal)[0]).expect("read"), before);
    assert_eq!(store_one(&journal, "two"), 2, "a smaller one fits");
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).expect("set");
    assert_eq!(store(&journal, &batch)[4].seq, 7);
    assert_eq!(seqs(&read_all(&journal, 1)), (1..=7).collect::<Vec<_>>());
}

/// Notes so many records, without a sync.
fn note_many(journal: &Journal, count: usize) -> Vec<u64> {
    let note = |n| journal.note(&[draft("id", "a", &format!("note {n}"))], &mut |note| panic!("{note}")).expect("noted")[0].seq;
    (0..count).map(note).collect()
}

#[test]
fn a_note_is_told_at_once_and_waits_for_no_disk_but_the_next_append_does() {
    let (_dir, journal) = journal(100_000);
    let syncs = Cell::new(0);
    let sync_data = |file: &File| {
        syncs.set(syncs.get() + 1);
        file.sync_data()
    };
    let world = World { sync_data: &sync_data, ..WORLD };
    let store = |world| append(&journal.dir, &journal.settings, &[draft("id", "a", "x")], &mut |_| {}, world).expect("stored");
    store(World { is_durable: false, ..world });
    assert_eq!((syncs.get(), seqs(&read_all(&journal, 1))), (0, vec![1]));
    store(world);
    assert_eq!(syncs.get(), 1, "one file, so it syncs the note as well");
    assert_eq!(note_many(&journal, 2), [3, 4]);
    assert_eq!(seqs(&read_all(&journal, 1)), [1, 2, 3, 4]);
}

#[test]
fn notes_begin_new_segments_and_what_a_dead_writer_left_is_cut_before_them() {
    let (_dir, journal) = journal(500);
    assert_eq!(note_many(&journal, 30), (1..=30).collect::<Vec<_>>());
    assert!(segments_of(&journal).len() > 3);
    add_raw(segments_of(&journal).last().expect("a segment"), b"{\"seq\":31,\"msg_");
    let mut said = Vec::new();
    journal.note(&[draft("id", "a", "x")], &mut |note| said.push(note.to_string())).expect("noted");
    assert!(said.len() == 1 && said[0].contains("incomplete"), "{said:?}");
    assert_eq!(seqs(&read_all(&journal, 1)), (1..=31).collect::<Vec<_>>());
}

/// What a disk may hold of a file after the power went: what was synced, and of the rest some blocks, perhaps fewer bytes.
fn after_power_cut(bytes: &[u8], synced: usize, kept_bytes: usize, lost_blocks: &[usize]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut left = bytes[..bytes.len().min(synced + kept_bytes)].to_vec();
    for &block in lost_blocks {
        let start = (synced + block * BLOCK).min(left.len());
        let end = (start + BLOCK).min(left.len());
        left[start..end].fill(0);
    }
    left
}

#[derive(Clone, Debug)]
enum Act {
    /// So many records with contents of so many bytes, `own` of them with ids from a small set.
    Append { count: usize, bytes: usize, own: Option<u8> },
    /// A writer dies in its last line.
    Tear(usize),
    /// The reader goes on by so many steps.
    Read(usize),
    /// A reader from that seq, as a share of what there is, reads all.
    From(f64),
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = prop_oneof![4 => 0usize..200, 2 => 200usize..5000, 1 => 60_000usize..65_000];
    prop_oneof![
        6 => (1usize..6, bytes, proptest::option::of(0u8..6)).prop_map(|(count, bytes, own)| Act::Append { count, bytes, own }),
        1 => prop_oneof![1usize..100, 4000usize..100_000].prop_map(Act::Tear),
        3 => (1usize..5).prop_map(Act::Read),
        2 => (0.0..1.2f64).prop_map(Act::From),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_holds_what_a_list_would(
        acts in prop::collection::vec(act(), 1..40), segment_bytes in prop_oneof![1u64..2000, Just(200_000u64)],
    ) {
        let (_dir, journal) = journal(segment_bytes);
        let mut reader = journal.read_from(1).expect("a reader");
        let mut oracle: Vec<Vec<u8>> = Vec::new();
        let mut first_of: HashMap<String, u64> = HashMap::new();
        let mut handed: u64 = 0;
        let mut torn = 0;
        for act in acts {
            match act {
                Act::Append { count, bytes, own } => {
                    let batch: Vec<Draft> = (0..count).map(|n| {
                        let id = own.map_or(format!("g{}", oracle.len() + n), |own| format!("own{}", (usize::from(own) + n) % 6));
                        Draft { id_is_own: own.is_some(), ..draft(&id, "a", &"c".repeat(bytes)) }
                    }).collect();
                    let mut notes = 0;
                    let receipts = journal.append(&batch, &mut |_| notes += 1).expect("stored");
                    let before = oracle.len();
                    for (draft, receipt) in batch.iter().zip(receipts) {
                        if draft.id_is_own && let Some(&seq) = first_of.get(&draft.msg_id) {
                            prop_assert_eq!(receipt, Receipt { seq, outcome: Outcome::Repeated });
                            continue;
                        }
                        oracle.push(draft.body.clone());
                        prop_assert_eq!(receipt, Receipt { seq: oracle.len() as u64, outcome: Outcome::Stored });
                        first_of.insert(draft.msg_id.clone(), oracle.len() as u64);
                    }
                    if oracle.len() > before {
                        prop_assert_eq!(notes, torn);
                        torn = 0;
                    }
                }
                Act::Tear(bytes) => if let Some(live) = segments_of(&journal).last() {
                    add_raw(live, &vec![b'{'; bytes]);
                    torn = 1;
                },
                Act::Read(steps) => for _ in 0..steps {
                    match reader.next().expect("read") {
                        Step::Lines { bytes, first_seq, count } => {
                            prop_assert_eq!(first_seq, handed + 1);
                            for line in bytes.split_inclusive(|&b| b == b'\n') {
                                let body = &oracle[handed as usize];
                                prop_assert!(line.strip_suffix(b"\n").expect("whole").ends_with(body));
                                handed += 1;
                            }
                            prop_assert_eq!(handed, first_seq + count - 1);
                        }
                        Step::End => prop_assert_eq!(handed, oracle.len() as u64),
                        other => prop_assert!(false, "{:?}", other),
                    }
                    prop_assert_eq!(reader.next_seq(), handed + 1);
                },
                Act::From(share) => {
                    let seq = (oracle.len() as f64 * share) as u64;
                    prop_assert_eq!(seqs(&read_all(&journal, seq)), (seq.max(1)..=oracle.len() as u64).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(journal.bounds(), Ok(Bounds { oldest_seq: 1, next_seq: oracle.len() as u64 + 1 }));
        }
    }

    #[test]
    fn a_power_cut_takes_notes_and_nothing_that_was_appended(
        notes in 0usize..40, kept_bytes in 0usize..6000, lost_blocks in prop::collection::vec(0usize..12, 0..4), more in 1usize..4,
    ) {
        let (_dir, journal) = journal(100_000);
        note_many(&journal, 3);
        store_many(&journal, 2);
        let path = segments_of(&journal).remove(0);
        let synced = fs::read(&path).expect("read");
        note_many(&journal, notes);
        let left = after_power_cut(&fs::read(&path).expect("read"), synced.len(), kept_bytes, &lost_blocks);
        fs::write(&path, &left).expect("written");
        for n in 0..more {
            let batch = [draft("id", "a", &format!("after {n}"))];
            journal.append(&batch, &mut |_| {}).expect("the journal goes on");
        }
        let met = read_all(&journal, 1);
        let lines: Vec<(u64, &[u8])> = met.iter().filter_map(|met| match met { Met::Line(seq, line) => Some((*seq, &line[..])), _ => None }).collect();
        prop_assert_eq!(lines[..5].iter().flat_map(|(_, line)| *line).copied().collect::<Vec<u8>>(), synced);
        prop_assert!(lines.windows(2).all(|two| two[0].0 < two[1].0), "no seq twice");
        for (n, (seq, line)) in lines[lines.len() - more..].iter().enumerate() {
            let (head, tail) = (format!("{{\"seq\":{seq},"), format!("\"content\":\"after {n}\"}}\n"));
            prop_assert!(line.starts_with(head.as_bytes()) && line.ends_with(tail.as_bytes()), "{:?}", met);
        }
        for (_, line) in &lines[5..lines.len() - more] {
            // A hole that begins behind a line's head and ends in a later line leaves one line of both, which is no JSON.
            let is_note = memchr::memmem::find(line, b"\"content\":\"note ").is_some();
            let is_json = Scanner::new().check(&line[..line.len() - 1]).is_ok();
            prop_assert_eq!((is_json, is_json && is_note), (!line.contains(&0), !line.contains(&0)));
        }
    }

    #[test]
    fn first_since_agrees_with_a_linear_scan(
        records in prop::collection::vec((0i64..4, prop_oneof![4 => 0usize..300, 1 => 3000usize..60_000]), 1..120),
        segment_bytes in prop_oneof![Just(2000u64), Just(150_000), Just(10_000_000)], asked in prop::collection::vec(-2i64..300, 1..20),
    ) {
        let (_dir, journal) = journal(segment_bytes);
        let at = |micros: i64| Timestamp::from_microsecond(1_800_000_000_000_000 + micros).expect("a timestamp");
        let mut times = Vec::new();
        let mut now = 0;
        for (step, bytes) in records {
            now += step;
            times.push(now);
            store_at(&journal, at(now), &"c".repeat(bytes));
        }
        for asked in asked {
            let expected = times.iter().position(|&time| time >= asked).unwrap_or(times.len()) as u64 + 1;
            prop_assert_eq!(journal.first_since(at(asked)), Ok(expected));
        }
    }
}
