//! The binary following the journal: what comes is printed at once, what was printed is remembered, and it ends with its reader.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::io::Read;
use std::thread;

use support::{Following, Place, append, drafts, line, lines, seq, until};

#[test]
fn it_begins_at_the_last_ten_unless_told_otherwise_and_goes_on_with_what_comes() {
    for (args, first) in [
        (&["-f"][..], 21),
        (&["-f", "-n", "2"], 29),
        (&["-f", "-n", "0"], 31),
        (&["-f", "-n", "all"], 1),
        (&["-f", "--from-seq", "5"], 5),
        (&["-f", "--since", "2026-11-23T00:28:00Z"], 28),
        (&["-f", "--cursor", "new"], 1),
        (&["-f", "--cursor", "new", "--peek"], 1),
    ] {
        let place = Place::with(30);
        let mut following = Following::start(place.tail(args));
        let count = 30 + 1 - first;
        assert_eq!(following.lines(count as usize), lines(first..=30), "{args:?}");
        if count == 0 {
            // It has to have seen the end first.
            until("it sleeps", || following.is_asleep());
        }
        append(&place.store().join("journal/00000000000000000001.ndjson"), &lines(31..=32));
        assert_eq!(following.lines(2), lines(31..=32), "{args:?}");
    }
}

#[test]
fn a_journal_that_is_not_there_yet_is_waited_for_and_so_is_a_seq() {
    let place = Place::new();
    let mut all = Following::start(place.tail(&["-f"]));
    let mut later = Following::start(place.tail(&["-f", "--from-seq", "3"]));
    until("they sleep", || all.is_asleep() && later.is_asleep());
    let journal = place.journal(1 << 20);
    for _ in 0..4 {
        journal.append(&drafts(1, 10), &mut |_| {}).unwrap();
    }
    assert_eq!([0; 4].map(|_| seq(&all.line())), [1, 2, 3, 4]);
    assert_eq!([0; 2].map(|_| seq(&later.line())), [3, 4]);
}

#[test]
fn half_a_line_waits_for_its_other_half() {
    let place = Place::with(1);
    let mut following = Following::start(place.tail(&["-f"]));
    assert_eq!(following.line(), line(1));
    let segment = place.store().join("journal/00000000000000000001.ndjson");
    let (text, both) = (line(2), lines(2..=3));
    append(&segment, &text[..40]);
    until("it sleeps", || following.is_asleep());
    append(&segment, &both[40..]);
    assert_eq!(following.lines(2), both);
}

#[test]
fn it_ends_at_once_and_in_silence_when_its_reader_goes_away_though_it_is_idle() {
    for args in [&["-f"][..], &["-f", "--cursor", "a"]] {
        let place = Place::with(1);
        let mut following = Following::start(place.tail(args));
        assert_eq!(following.line(), line(1));
        until("it sleeps", || following.is_asleep());
        assert_eq!(following.ends(), (Some(0), String::new()));
    }
}

#[test]
fn it_ends_when_its_reader_goes_away_in_the_middle_of_a_large_journal() {
    let place = Place::with(20_000);
    for args in [&[][..], &["-f", "-n", "all"], &["--cursor", "a"]] {
        let mut following = Following::start(place.tail(args));
        assert_eq!(following.line(), line(1));
        assert_eq!(following.ends(), (Some(0), String::new()), "{args:?}");
    }
    assert_eq!(place.run(&["--cursor", "a", "--limit", "1"]).out, line(1), "what nobody took is not lost");
}

#[test]
fn what_stdout_took_is_remembered_at_each_pause() {
    let place = Place::with(3);
    let mut following = Following::start(place.tail(&["-f", "--cursor", "a"]));
    let segment = place.store().join("journal/00000000000000000001.ndjson");
    for last in [3, 4, 9] {
        if last > 3 {
            append(&segment, &lines(place.next_seq("a").unwrap()..=last));
        }
        until("the cursor moves", || place.next_seq("a") == Some(last + 1));
    }
    assert_eq!(following.lines(9), lines(1..=9));
    following.signal("TERM");
    until("it ends", || following.child.try_wait().unwrap().is_some());
    assert_eq!(place.seqs(&["--cursor", "a"]), [0; 0], "it was told to end while all was remembered");
}

#[test]
fn what_stdout_took_is_remembered_within_a_second_though_its_reader_stops_in_the_middle() {
    let place = Place::with(20_000);
    let mut following = Following::start(place.tail(&["-f", "--cursor", "a"]));
    let mut taken = vec![0; 100_000];
    following.out.as_mut().unwrap().read_exact(&mut taken).unwrap();
    // Nothing more is read, so nothing more can happen but this.
    until("the cursor moves", || place.next_seq("a").is_some_and(|next_seq| next_seq > 1));
    until("the cursor stands still", || following.is_asleep());
    let next_seq = place.next_seq("a").unwrap();
    following.signal("KILL");
    following.out.as_mut().unwrap().read_to_end(&mut taken).unwrap();
    let whole = taken.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert_eq!(next_seq, whole + 1, "all that the pipe took, and no more");
    assert!(whole < 20_000, "it was stopped in the middle");
    assert_eq!(place.run(&["--cursor", "a"]).out, lines(next_seq..=20_000));
}

#[test]
fn a_cap_ends_it_while_it_follows() {
    let place = Place::with(2);
    let mut following = Following::start(place.tail(&["-f", "--cursor", "a", "--limit", "3"]));
    assert_eq!(following.lines(2), lines(1..=2));
    append(&place.store().join("journal/00000000000000000001.ndjson"), &lines(3..=5));
    assert_eq!(following.line(), line(3));
    let (status, said) = following.ends();
    assert_eq!(status, Some(0));
    assert!(said.is_empty() || said.contains("2 more records remain: the next call goes on at seq 4"), "{said}");
    assert_eq!(place.next_seq("a"), Some(4));
}

#[test]
fn a_second_reader_with_the_same_cursor_is_refused_while_the_first_one_lives() {
    let place = Place::with(1);
    let mut following = Following::start(place.tail(&["-f", "--cursor", "a"]));
    assert_eq!(following.line(), line(1));
    let ended = place.run(&["--cursor", "a"]);
    assert_eq!((ended.out.as_str(), ended.status), ("", Some(1)));
    assert!(ended.said.contains("in use by another reader"), "{}", ended.said);
    assert_eq!(place.run(&["--cursor", "a", "--peek", "--limit", "1"]).status, Some(0));
}

#[test]
fn a_damaged_line_does_not_end_it() {
    let place = Place::with(1);
    let mut following = Following::start(place.tail(&["-f"]));
    append(&place.store().join("journal/00000000000000000001.ndjson"), &format!("garbage\n{}", line(3)));
    assert_eq!(following.lines(2), format!("{}{}", line(1), line(3)));
    let (status, said) = following.ends();
    assert_eq!(status, Some(0));
    assert!(said.contains("left out a damaged line of the journal where seq 2 is due"), "{said}");
}

#[test]
fn three_readers_get_every_seq_once_and_in_order_while_writers_begin_a_segment_every_few_kib() {
    const WRITERS: usize = 4;
    const BATCHES: usize = 99;
    /// In each, 1 to 9 messages.
    const EACH: usize = BATCHES * 5;
    let place = Place::new();
    let journal = place.journal(4096);
    let cursors = [None, Some("a"), Some("b")];
    let readers = cursors.map(|cursor| {
        let args: Vec<&str> = cursor.map_or(vec!["-f", "-n", "all"], |name| vec!["-f", "--cursor", name]);
        let mut following = Following::start(place.tail(&args));
        thread::spawn(move || (0..WRITERS * EACH).map(|_| seq(&following.line())).collect::<Vec<u64>>())
    });
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for n in 0..BATCHES {
                    journal.append(&drafts(1 + n % 9, 200), &mut |_| {}).unwrap();
                }
            });
        }
    });
    let expected: Vec<u64> = (1..=(WRITERS * EACH) as u64).collect();
    for reader in readers {
        assert!(reader.join().unwrap() == expected);
    }
    let segments = fs::read_dir(place.store().join("journal")).unwrap().count();
    assert!(segments > 100, "{segments}");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_the_same_however_large_the_journal_and_however_many_its_segments() {
    let place = Place::new();
    let journal = place.journal(16 * 1024);
    journal.append(&drafts(1, 100), &mut |_| {}).unwrap();
    let mut following = Following::start(place.tail(&["-f", "--cursor", "a"]));
    following.line();
    let before = following.peak_kib();
    for _ in 0..600 {
        journal.append(&drafts(60, 400), &mut |_| {}).unwrap();
        following.lines(60);
    }
    assert!(fs::read_dir(place.store().join("journal")).unwrap().count() > 500);
    let after = following.peak_kib();
    // Room for the blocks, which are touched as they are filled.
    assert!(after <= before + 400, "{before} KiB, then {after} KiB");
    // The release build stays below 4 MiB; this one carries more code.
    assert!(after < 8 * 1024, "{after} KiB");
}

#[cfg(target_os = "linux")]
#[test]
fn a_time_is_found_by_binary_search() {
    let place = Place::with(0);
    let mut text = String::new();
    for seq in 1..=1400 {
        text.push_str(&line(seq).replace("number", &"x".repeat(20_000)));
    }
    place.segment(1, &text);
    let mut following = Following::start(place.tail(&["-f", "--since", "2026-11-23T23:19:00Z"]));
    assert_eq!([seq(&following.line()), seq(&following.line())], [1399, 1400]);
    until("it sleeps", || following.is_asleep());
    let io = fs::read_to_string(format!("/proc/{}/io", following.child.id())).unwrap();
    let read: u64 = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap();
    assert!(read < 2_000_000, "{read} of {} bytes", text.len());
}
