//! The binary on a journal that stands still: where it begins, what a cursor remembers, what is missing or damaged.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;

use predicates::prelude::*;
use support::{Place, line, lines};
use swarm_common::options::{self, Call};
use swarm_tail::cli::{TOOL, request};

fn seqs(range: RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn the_whole_journal_comes_out_byte_for_byte_over_all_its_segments() {
    let place = Place::new();
    place.segment(1, &lines(1..=7));
    place.segment(8, &lines(8..=8));
    // Another writer's order and white space.
    let odd = "{ \"content\":\"\\u004d\", \"seq\": 9 }\n";
    place.segment(9, &format!("{odd}{}", lines(10..=12)));
    let ended = place.run(&[]);
    assert_eq!((ended.said.as_str(), ended.status), ("", Some(0)));
    assert_eq!(ended.out, format!("{}{odd}{}", lines(1..=8), lines(10..=12)));
}

#[test]
fn a_new_store_is_empty_and_that_is_no_failure() {
    let place = Place::new();
    for (args, said) in [
        (&[][..], ""),
        (&["-n", "3"], ""),
        (&["--since", "1h"], ""),
        (&["--cursor", "a", "--peek"], ""),
        (&["--from-seq", "5"], "swarm-tail: seq 5 is not stored yet: the journal is empty\n"),
    ] {
        let ended = place.run(args);
        assert_eq!((ended.out.as_str(), ended.said.as_str(), ended.status), ("", said, Some(0)), "{args:?}");
        assert!(!place.store().exists(), "who only looks makes nothing: {args:?}");
    }
    place.run(&["--cursor", "a"]);
    assert_eq!(fs::metadata(place.store()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::remove_dir_all(place.store().join("cursors")).unwrap();
    place.run(&["--cursor", "a", "--peek"]);
    assert!(!place.store().join("cursors").exists());
}

#[test]
fn each_way_to_begin_begins_where_it_says_and_two_of_them_narrow() {
    let place = Place::new();
    for first in [1, 21, 41] {
        place.segment(first, &lines(first..first + 20));
    }
    for (args, expected) in [
        (&[][..], seqs(1..=60)),
        (&["-n", "3"], seqs(58..=60)),
        (&["-n25"], seqs(36..=60)),
        (&["--lines=1"], seqs(60..=60)),
        (&["-n", "0"], vec![]),
        (&["-n", "1000"], seqs(1..=60)),
        (&["-n", "all"], seqs(1..=60)),
        (&["--from-seq", "1"], seqs(1..=60)),
        (&["--from-seq", "0"], seqs(1..=60)),
        (&["--from-seq", "20"], seqs(20..=60)),
        (&["--from-seq", "60"], seqs(60..=60)),
        (&["--from-seq", "61"], vec![]),
        (&["--since", "2026-11-23T00:00:00Z"], seqs(1..=60)),
        (&["--since", "2026-11-23T00:59:00Z"], seqs(59..=60)),
        (&["--since", "2026-11-23T00:20:00.000001Z"], seqs(21..=60)),
        (&["--since", "2026-11-23 01:00"], seqs(60..=60)),
        (&["--since", "2026-11-24"], vec![]),
        (&["--since", "2026-11-23T00:50:00Z", "-n", "5"], seqs(56..=60)),
        (&["--since", "2026-11-23T00:58:00Z", "-n", "5"], seqs(58..=60)),
        (&["--from-seq", "10", "--since", "2026-11-23T00:30:00Z"], seqs(30..=60)),
        (&["--from-seq", "40", "--since", "2026-11-23T00:30:00Z"], seqs(40..=60)),
    ] {
        assert_eq!(place.seqs(args), expected, "{args:?}");
    }
}

#[test]
fn a_span_ago_counts_from_now() {
    let place = Place::new();
    place.journal(1 << 20).append(&support::drafts(3, 10), &mut |_| {}).unwrap();
    assert_eq!(place.seqs(&["--since", "1h"]), [1, 2, 3]);
    assert_eq!(Place::with(3).seqs(&["--since", "1m"]), [0; 0]);
}

#[test]
fn a_seq_that_is_not_stored_yet_is_told() {
    let ended = Place::with(3).run(&["--from-seq", "9"]);
    assert_eq!((ended.out.as_str(), ended.status), ("", Some(0)));
    assert_eq!(ended.said, "swarm-tail: seq 9 is not stored yet: the journal ends at seq 3\n");
    assert_eq!(Place::new().run(&["--from-seq", "2"]).said, "swarm-tail: seq 2 is not stored yet: the journal is empty\n");
}

#[test]
fn a_cursor_begins_at_the_oldest_record_and_goes_on_behind_what_was_printed() {
    let place = Place::with(3);
    assert_eq!(place.seqs(&["--cursor", "a"]), [1, 2, 3]);
    assert_eq!(place.seqs(&["--cursor", "a"]), [0; 0]);
    place.segment(4, &lines(4..=5));
    assert_eq!(place.seqs(&["--cursor", "a"]), [4, 5]);
    assert_eq!(place.seqs(&["--cursor", "b"]), [1, 2, 3, 4, 5], "each name is a reader of its own");
    assert_eq!(place.next_seq("a"), Some(6));
}

#[test]
fn to_peek_prints_the_same_and_moves_nothing() {
    let place = Place::with(3);
    assert_eq!(place.seqs(&["--cursor", "a", "--peek"]), [1, 2, 3]);
    assert!(!place.cursor("a").exists());
    assert_eq!(place.seqs(&["--cursor", "a", "--limit", "3"]), [1, 2, 3]);
    place.segment(4, &lines(4..=5));
    let before = fs::read(place.cursor("a")).unwrap();
    assert_eq!(place.seqs(&["--cursor", "a", "--peek"]), [4, 5]);
    assert_eq!(fs::read(place.cursor("a")).unwrap(), before);
    assert_eq!(place.seqs(&["--cursor", "a"]), [4, 5]);
}

#[test]
fn a_capped_read_moves_the_cursor_over_what_was_printed_and_says_how_many_remain() {
    let place = Place::new();
    place.segment(1, &lines(1..=6));
    place.segment(7, &lines(7..=9));
    let two = (line(1).len() + line(2).len()).to_string();
    for (args, expected, said) in [
        (&["--limit", "2"][..], 1..3, "7 more records remain: the next call goes on at seq 3"),
        (&["--max-bytes", &two], 3..5, "5 more records remain: the next call goes on at seq 5"),
        (&["--max-bytes", "1"], 5..6, "4 more records remain: the next call goes on at seq 6"),
        (&["--limit", "0"], 6..6, "4 more records remain: the next call goes on at seq 6"),
        (&["--limit", "3", "--max-bytes", "1000000"], 6..9, "1 more record remains: the next call goes on at seq 9"),
    ] {
        let ended = place.run(&[&["--cursor", "a"], args].concat());
        assert_eq!((ended.out, ended.status), (lines(expected.start..=expected.end - 1), Some(0)), "{args:?}");
        assert_eq!(ended.said, format!("swarm-tail: {said}\n"), "{args:?}");
        assert_eq!(place.next_seq("a").unwrap(), expected.end, "{args:?}");
    }
    assert_eq!(place.seqs(&["--cursor", "a", "--limit", "1"]), [9], "nothing remains, so nothing is said");
    let ended = place.run(&["--limit", "4"]);
    assert_eq!((ended.out, ended.said), (lines(1..=4), "swarm-tail: 5 more records remain: --from-seq 5 goes on\n".into()));
    let ended = place.run(&["--cursor", "new", "--peek", "--limit", "8"]);
    assert_eq!((ended.out, ended.said), (lines(1..=8), "swarm-tail: 1 more record remains: --from-seq 9 goes on\n".into()));
}

#[test]
fn what_retention_removed_is_told_with_its_seqs_and_is_no_failure() {
    let place = Place::with(3);
    assert_eq!(place.seqs(&["--cursor", "a", "--limit", "3"]), [1, 2, 3]);
    fs::remove_file(place.segment(1, "")).unwrap();
    place.segment(10, &lines(10..=12));
    let ended = place.run(&["--cursor", "a"]);
    assert_eq!((ended.out, ended.status), (lines(10..=12), Some(0)));
    assert_eq!(ended.said, "swarm-tail: seqs 4 to 9 are no longer kept: going on at the oldest record, seq 10\n");
    assert_eq!(place.seqs(&["--cursor", "a"]), [0; 0], "told once");
    let ended = place.run(&["--from-seq", "9", "--limit", "1"]);
    assert!(ended.said.contains("seq 9 is no longer kept"), "{}", ended.said);
    assert_eq!(place.seqs(&[]), [10, 11, 12], "nobody asked for the others");
}

#[test]
fn a_segment_that_is_missing_in_the_middle_is_told_and_is_a_failure_and_the_rest_goes_on() {
    let place = Place::new();
    place.segment(1, &lines(1..=3));
    place.segment(7, &lines(7..=9));
    let ended = place.run(&["--cursor", "a"]);
    assert_eq!((ended.out, ended.status), (format!("{}{}", lines(1..=3), lines(7..=9)), Some(3)));
    assert_eq!(ended.said, "swarm-tail: seqs 4 to 6 are missing from the journal: going on at seq 7\n");
    assert_eq!(place.next_seq("a"), Some(10));
}

#[test]
fn a_damaged_line_is_told_and_left_out_and_the_rest_goes_on() {
    let place = Place::new();
    place.segment(1, &format!("{}\0\0\u{1b}[31mgarbage\n{}{}{}", lines(1..=2), lines(4..=5), line(2), lines(7..=7)));
    let ended = place.run(&["--cursor", "a"]);
    assert_eq!((ended.out, ended.status), (format!("{}{}{}", lines(1..=2), lines(4..=5), line(7)), Some(3)));
    let said: Vec<&str> = ended.said.lines().collect();
    assert!(said[0].starts_with("swarm-tail: left out a damaged line of the journal where seq 3 is due ("), "{}", said[0]);
    assert!(said[0].ends_with("): \\u{0}\\u{0}\\u{1b}[31mgarbage"), "{}", said[0]);
    assert!(said[1].contains("where seq 6 is due (it says seq 2)"), "{}", said[1]);
    assert!(said[2].contains("seq 6 is missing from the journal: going on at seq 7"), "{}", said[2]);
    assert_eq!((said.len(), place.next_seq("a")), (3, Some(8)));
}

#[test]
fn of_very_many_damaged_lines_the_first_are_told_and_all_are_counted() {
    let place = Place::new();
    place.segment(1, &format!("{}{}{}", line(1), "garbage\n".repeat(500), line(502)));
    let ended = place.run(&[]);
    assert_eq!((ended.out, ended.status), (format!("{}{}", line(1), line(502)), Some(3)));
    assert_eq!(ended.said.lines().count(), 11, "{}", ended.said);
    assert!(ended.said.ends_with("swarm-tail: 500 missing or damaged places in all\n"), "{}", ended.said);
}

#[test]
fn a_torn_last_line_is_not_printed_and_printed_when_it_is_whole() {
    let place = Place::new();
    let head = line(4)[..30].to_string();
    place.segment(1, &format!("{}{head}", lines(1..=3)));
    assert_eq!(place.seqs(&["--cursor", "a"]), [1, 2, 3]);
    place.segment(1, &lines(1..=4));
    assert_eq!(place.seqs(&["--cursor", "a"]), [4]);
}

#[test]
fn a_cursor_beyond_the_end_is_told_and_goes_back_to_the_oldest_record() {
    for count in [0, 3] {
        let place = Place::with(count);
        fs::create_dir_all(place.cursor("a").parent().unwrap()).unwrap();
        fs::write(place.cursor("a"), "{\"next_seq\":900}\n").unwrap();
        let ended = place.run(&["--cursor", "a"]);
        assert_eq!((ended.out, ended.status), (lines(1..=count), Some(0)));
        let end = if count == 0 { "the journal is empty" } else { "the journal ends at seq 3" };
        assert_eq!(ended.said, format!("swarm-tail: the cursor 'a' is at seq 900, but {end}: going on at the oldest record, seq 1\n"));
        assert_eq!(place.next_seq("a"), Some(count + 1), "or records would be missed when the journal gets that far");
    }
}

#[test]
fn a_cursor_that_is_garbage_is_told_with_the_way_out_and_left_as_it_is() {
    let place = Place::with(3);
    fs::create_dir_all(place.cursor("a").parent().unwrap()).unwrap();
    for garbage in [&b"garbage\n"[..], b"\xff\0", b"{\"next_seq\":-1}", b"{}"] {
        fs::write(place.cursor("a"), garbage).unwrap();
        let ended = place.run(&["--cursor", "a"]);
        assert_eq!((ended.out.as_str(), ended.status), ("", Some(3)), "{garbage:?}");
        assert!(predicate::str::contains("is no cursor").and(predicate::str::contains("begin anew")).eval(&ended.said), "{}", ended.said);
        assert_eq!(fs::read(place.cursor("a")).unwrap(), garbage);
    }
}

#[test]
fn a_journal_that_is_no_directory_is_a_failure_of_the_system() {
    let place = Place::new();
    fs::create_dir(place.store()).unwrap();
    fs::write(place.store().join("journal"), "").unwrap();
    let ended = place.run(&[]);
    assert_eq!((ended.out.as_str(), ended.status), ("", Some(3)));
    assert!(ended.said.contains("cannot read the journal"), "{}", ended.said);
}

#[test]
fn a_wrong_call_is_told_and_prints_nothing() {
    let place = Place::with(3);
    for (args, said) in [
        (&["--cursor", "a", "-n", "3"][..], "--cursor knows where to begin"),
        (&["--cursor", "a", "-n", "all"], "--cursor knows where to begin"),
        (&["--cursor", "a", "--from-seq", "3", "-f"], "--cursor knows where to begin"),
        (&["--cursor", "a", "--since", "1h"], "--cursor knows where to begin"),
        (&["--peek"], "--peek without a cursor"),
        (&["--cursor", "../a"], "no name for a cursor"),
        (&["--cursor", ""], "--cursor has an empty value"),
        (&["-n", "+3"], "--from-seq 3"),
        (&["-n", "-3"], "not a whole number"),
        (&["-n"], "needs a value"),
        (&["--from-seq", "x"], "not a whole number"),
        (&["--since", "yesterdayish"], "is no instant"),
        (&["--limit", "1.5"], "not a whole number"),
        (&["--folow"], "did you mean --follow?"),
        (&["-F"], "unknown option -F"),
        (&["--cursor", "a", "file"], "--cursor is for the journal, not for files"),
        (&["--since", "1h", "file"], "swarm-filter --since"),
        (&["--limit", "1", "file"], "head -n"),
        (&["--store", "store", "file"], "--store is for the journal"),
        (&["file"], "cannot read file: No such file"),
        (&["."], "it is a directory"),
        (&["-f", "."], "it is a directory"),
        (&["-f", "-"], "standard input has none"),
        (&["-f", "/dev/null"], "no regular file"),
    ] {
        let ended = place.run(args);
        assert_eq!((ended.out.as_str(), ended.status), ("", Some(2)), "{args:?}: {}", ended.said);
        assert!(ended.said.starts_with("swarm-tail: ") && ended.said.contains(said), "{args:?}: {}", ended.said);
    }
    assert!(!place.store().join("cursors").join("a").exists());
}

#[test]
fn help_fits_a_screen_and_every_option_is_understood() {
    let ended = Place::new().run(&["--help"]);
    assert_eq!((ended.status, ended.said.as_str()), (Some(0), ""));
    assert!(ended.out.lines().count() <= 40 && ended.out.lines().all(|line| line.chars().count() <= 80), "{}", ended.out);
    for opt in TOOL.all() {
        assert!(ended.out.contains(&format!("--{}", opt.long)), "{}", opt.long);
        let value = match opt.value {
            None => String::new(),
            Some("TIME") => "=1h".into(),
            Some(_) => "=1".into(),
        };
        let given = match options::parse(&TOOL, ["swarm-tail".into(), format!("--{}{value}", opt.long).into()]).unwrap() {
            Call::Print(_) => continue,
            Call::Run(given) => given,
        };
        let understood = request(given);
        let of_a_reader = ["--peek without a cursor", "--as is for --inbox", "--force is for --inbox", "--count counts an inbox"];
        let is_alone = matches!(&understood, Err(failure) if of_a_reader.contains(&failure.what.as_str()));
        assert!(understood.is_ok() || is_alone, "{}: {understood:?}", opt.long);
    }
}
