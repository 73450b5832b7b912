//! The binary following files by name: renamed, replaced, truncated, removed, late, linked; in whole lines, and nothing lost.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use support::{DEADLINE, Following, Place, append, collect, until};

fn open(path: &Path) -> File {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// A file `log` with these lines, and its follower, which has printed them and sleeps.
fn followed(text: &str) -> (Place, PathBuf, Following) {
    let place = Place::new();
    let log = place.path("log");
    append(&log, text);
    let mut following = Following::start(place.tail(&["-f", "log"]));
    assert_eq!(following.lines(text.lines().count()), text);
    until("it sleeps", || following.is_asleep());
    (place, log, following)
}

/// The test's own promise about the order: lines of the new file wait for the old one, so a reader has them in this order.
#[test]
fn the_old_file_is_finished_before_the_new_one_though_its_writer_is_slow_to_leave_it() {
    let (place, log, mut following) = followed("1\n");
    let mut old = open(&log);
    fs::rename(&log, place.path("log.1")).unwrap();
    let mut new = open(&log);
    writeln!(new, "4").unwrap();
    writeln!(old, "2").unwrap();
    write!(old, "3").unwrap();
    // The last line of the old file has no newline, and gets one.
    assert_eq!(following.lines(3), "2\n3\n4\n");
    writeln!(new, "5").unwrap();
    assert_eq!(following.line(), "5\n");
}

#[test]
fn what_comes_to_the_old_file_after_the_new_one_had_its_turn_is_not_lost() {
    let (place, log, mut following) = followed("1\n");
    let mut old = open(&log);
    // To another directory, where nobody looks for names.
    fs::create_dir(place.path("archive")).unwrap();
    fs::rename(&log, place.path("archive/log")).unwrap();
    append(&log, "2\n");
    assert_eq!(following.line(), "2\n");
    for n in 3..6 {
        writeln!(old, "{n}").unwrap();
        assert_eq!(following.line(), format!("{n}\n"));
    }
    fs::remove_file(place.path("archive/log")).unwrap();
    writeln!(old, "6").unwrap();
    append(&log, "7\n");
    let mut both = [following.line(), following.line()];
    both.sort();
    assert_eq!(both, ["6\n", "7\n"]);
}

#[test]
fn a_writer_who_never_leaves_the_old_file_does_not_keep_the_new_one_back_for_ever() {
    let (place, log, mut following) = followed("old\n");
    let mut old = open(&log);
    fs::rename(&log, place.path("log.1")).unwrap();
    append(&log, "new\n");
    let lines = collect(following.out.take().unwrap().into_inner());
    let deadline = Instant::now() + DEADLINE;
    loop {
        writeln!(old, "old").unwrap();
        match lines.recv_timeout(Duration::from_millis(5)).as_deref() {
            Ok(b"new\n") => return,
            Ok(line) => assert_eq!(line, b"old\n"),
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "the new file never had its turn");
    }
}

#[test]
fn a_file_that_is_replaced_is_read_to_its_end_and_then_the_new_one() {
    let (place, log, mut following) = followed("1\n");
    for n in [2, 4, 6] {
        append(&log, &format!("{n}\n"));
        fs::write(place.path("new"), format!("{}\n", n + 1)).unwrap();
        fs::rename(place.path("new"), &log).unwrap();
        assert_eq!(following.lines(2), format!("{n}\n{}\n", n + 1));
    }
}

#[test]
fn a_file_that_is_truncated_is_read_from_its_beginning_and_that_is_told() {
    let (_place, log, mut following) = followed("a long first line\nanother\n");
    // As long as the one before, and longer: its size does not give it away.
    for text in ["1\n", "2\n", "a longer line\n", "and one that is longer still\n"] {
        fs::write(&log, text).unwrap();
        assert_eq!(following.line(), text);
    }
    let (status, said) = following.ends();
    assert_eq!(
        (status, said.matches("swarm-tail: log was truncated: going on at its beginning\n").count()),
        (Some(0), said.lines().count())
    );
    assert!(said.lines().count() >= 1);
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for_and_one_that_is_removed_too() {
    let place = Place::new();
    let log = place.path("log");
    let mut following = Following::start(place.tail(&["-f", "-n", "0", "log"]));
    until("it sleeps", || following.is_asleep());
    append(&log, "1\n2\n");
    assert_eq!(following.lines(2), "1\n2\n", "all of a file that is new");
    let (status, said) = {
        fs::remove_file(&log).unwrap();
        // It says so once it has waited for what a slow writer may still write.
        let mut words = following.child.stderr.take().unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"waiting for another one\n") {
            let mut byte = [0];
            words.read_exact(&mut byte).unwrap();
            said.extend(byte);
        }
        append(&log, "3\n");
        assert_eq!(following.line(), "3\n");
        following.child.stderr = Some(words);
        let (status, more) = following.ends();
        (status, String::from_utf8(said).unwrap() + &more)
    };
    assert_eq!(status, Some(0));
    assert_eq!(said, "swarm-tail: log: it is not there yet: waiting for it\nswarm-tail: log: it is gone: waiting for another one\n");
}

#[test]
fn a_directory_that_is_not_there_yet_is_polled_for_and_that_is_told() {
    let place = Place::new();
    let mut following = Following::start(place.tail(&["-f", "logs/log"]));
    until("it sleeps", || following.is_asleep());
    fs::create_dir(place.path("logs")).unwrap();
    append(&place.path("logs/log"), "1\n");
    assert_eq!(following.line(), "1\n");
    append(&place.path("logs/log"), "2\n");
    assert_eq!(following.line(), "2\n");
    let (_, said) = following.ends();
    assert!(said.contains("logs cannot be watched: No such file or directory: looking every 100 ms"), "{said}");
}

#[test]
fn it_begins_at_the_last_ten_lines_unless_told_otherwise() {
    let text: String = (1..=30).map(|n| format!("{n}\n")).collect();
    for (args, first) in
        [(&["-f", "log"][..], 21), (&["-f", "-n", "3", "log"], 28), (&["-f", "-n", "all", "log"], 1), (&["-fn0", "log"], 31)]
    {
        let place = Place::new();
        append(&place.path("log"), &format!("{text}half"));
        let mut following = Following::start(place.tail(args));
        until("it sleeps", || following.is_asleep());
        append(&place.path("log"), " a line\n");
        let expected: String = (first..=30).map(|n| format!("{n}\n")).collect();
        assert_eq!(following.lines(31 - first + 1), format!("{expected}half a line\n"), "{args:?}");
    }
}

#[test]
fn several_files_are_followed_in_whole_lines() {
    let place = Place::new();
    let (mut a, mut b) = (open(&place.path("a")), open(&place.path("b")));
    let mut following = Following::start(place.tail(&["-f", "a", "b", "c"]));
    let long = "x".repeat(100_000);
    write!(a, "{long}").unwrap();
    writeln!(b, "b").unwrap();
    assert_eq!(following.line(), "b\n");
    append(&place.path("c"), "c\n");
    assert_eq!(following.line(), "c\n");
    write!(b, "half").unwrap();
    writeln!(a, " the end").unwrap();
    assert!(following.line() == format!("{long} the end\n"));
    writeln!(b, " b").unwrap();
    assert_eq!(following.line(), "half b\n");
}

#[test]
fn long_lines_of_several_files_never_mix_though_their_reader_is_slow() {
    let place = Place::new();
    let mut following = Following::start(place.tail(&["-f", "a", "b"]));
    let names = ["a", "b"];
    let writers = names.map(|name| {
        let mut file = open(&place.path(name));
        thread::spawn(move || {
            for _ in 0..10 {
                for part in 0..5 {
                    write!(file, "{}{}", name.repeat(40_000), if part == 4 { "\n" } else { "" }).unwrap();
                }
            }
        })
    });
    for _ in 0..20 {
        let line = following.line();
        assert!(names.iter().any(|name| line == name.repeat(200_000) + "\n"), "{} bytes", line.len());
    }
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn a_symbolic_link_is_followed_to_the_file_that_it_names_now() {
    let place = Place::new();
    fs::create_dir(place.path("real")).unwrap();
    append(&place.path("real/one"), "1\n");
    symlink("real/one", place.path("log")).unwrap();
    let mut following = Following::start(place.tail(&["-f", "log"]));
    assert_eq!(following.line(), "1\n");
    append(&place.path("real/one"), "2\n");
    assert_eq!(following.line(), "2\n");
    // Rotated where it lies.
    fs::rename(place.path("real/one"), place.path("real/one.1")).unwrap();
    append(&place.path("real/one"), "3\n");
    assert_eq!(following.line(), "3\n");
    // Turned to another file.
    append(&place.path("real/two"), "4\n");
    symlink("real/two", place.path("next")).unwrap();
    fs::rename(place.path("next"), place.path("log")).unwrap();
    assert_eq!(following.line(), "4\n");
    append(&place.path("real/two"), "5\n");
    assert_eq!(following.line(), "5\n");
}

#[test]
fn two_names_of_one_file_are_two_files() {
    let place = Place::new();
    append(&place.path("a"), "");
    fs::hard_link(place.path("a"), place.path("b")).unwrap();
    let mut following = Following::start(place.tail(&["-f", "a", "b"]));
    append(&place.path("a"), "1\n");
    assert_eq!(following.lines(2), "1\n1\n");
    fs::remove_file(place.path("a")).unwrap();
    append(&place.path("b"), "2\n");
    assert_eq!(following.lines(2), "2\n2\n", "it lost one of its names, and its writer is still there");
}

#[test]
fn a_name_that_is_given_back_is_no_other_file() {
    let (place, log, mut following) = followed("1\n");
    for n in 2..20 {
        fs::rename(&log, place.path("aside")).unwrap();
        fs::rename(place.path("aside"), &log).unwrap();
        append(&log, &format!("{n}\n"));
        assert_eq!(following.line(), format!("{n}\n"));
    }
    assert_eq!(following.ends(), (Some(0), String::new()));
}

#[test]
fn it_ends_at_once_and_in_silence_when_its_reader_goes_away_though_it_is_idle() {
    let (_place, _, following) = followed("1\n");
    assert_eq!(following.ends(), (Some(0), String::new()));
}

/// How a writer turns to another file.
#[derive(Clone, Copy, Debug)]
enum Rotation {
    /// `log` becomes `log.1`, `log.2`, ...: all are kept.
    Numbered,
    /// `log` becomes `log.old`, over the one before.
    Renamed,
    /// Another file is renamed to `log`.
    Replaced,
}

/// Writes `count` numbered lines, and turns to another file after every `each`. `wait` is called after each turn, with the number of lines.
fn write_rotating(dir: &Path, count: u32, each: u32, rotation: Rotation, mut wait: impl FnMut(u32)) {
    let log = dir.join("log");
    let mut file = open(&log);
    for n in 1..=count {
        file.write_all(format!("{{\"n\":{n}}}\n").as_bytes()).unwrap();
        if n % each == 0 {
            match rotation {
                Rotation::Numbered => fs::rename(&log, dir.join(format!("log.{}", n / each))).unwrap(),
                Rotation::Renamed => fs::rename(&log, dir.join("log.old")).unwrap(),
                Rotation::Replaced => {
                    drop(open(&dir.join("log.new")));
                    fs::rename(dir.join("log.new"), &log).unwrap();
                }
            }
            file = open(&log);
            wait(n);
        }
    }
}

#[test]
fn sixty_thousand_lines_come_through_renaming_at_full_speed_where_the_files_are_kept() {
    const LINES: u32 = 60_000;
    let (place, _, mut following) = followed("");
    let dir = place.dir.path().to_owned();
    let writer = thread::spawn(move || write_rotating(&dir, LINES, 500, Rotation::Numbered, |_| {}));
    for n in 1..=LINES {
        assert_eq!(following.line(), format!("{{\"n\":{n}}}\n"));
    }
    writer.join().unwrap();
    assert_eq!(following.ends(), (Some(0), String::new()));
}

#[test]
fn sixty_thousand_lines_come_through_renaming_and_replacement_that_leave_nothing_behind() {
    const LINES: u32 = 60_000;
    const EACH: u32 = 500;
    for rotation in [Rotation::Renamed, Rotation::Replaced] {
        let (place, _, mut following) = followed("");
        let lines = collect(following.out.take().unwrap().into_inner());
        let dir = place.dir.path().to_owned();
        let pid = following.child.id();
        let writer = thread::spawn(move || {
            write_rotating(&dir, LINES, EACH, rotation, |_| {
                // A file that was never opened is gone with the next rotation, so each is given the time to be opened.
                let log = fs::metadata(dir.join("log")).unwrap();
                until("the new file is open", || has_open(pid, &log));
            });
        });
        for n in 1..=LINES {
            let line = lines.recv_timeout(DEADLINE).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&line), format!("{{\"n\":{n}}}\n"), "{rotation:?}");
        }
        writer.join().unwrap();
    }
}

/// Whether a process has that file open. Where that cannot be known, it is given the time to.
fn has_open(pid: u32, file: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(links) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        thread::sleep(Duration::from_millis(200));
        return true;
    };
    let is_it = |meta: fs::Metadata| (meta.dev(), meta.ino()) == (file.dev(), file.ino());
    links.filter_map(|link| fs::metadata(link.ok()?.path()).ok()).any(is_it)
}

#[test]
fn lines_that_are_really_gone_are_told() {
    let (place, log, mut following) = followed("1\n");
    following.signal("STOP");
    for n in 2..6 {
        fs::rename(&log, place.path("log.old")).unwrap();
        append(&log, &format!("{n}\n"));
    }
    following.signal("CONT");
    assert_eq!(following.lines(2), "4\n5\n", "4 is still there, as log.old");
    let (status, said) = following.ends();
    assert_eq!(status, Some(0));
    assert_eq!(said, "swarm-tail: log: 2 files of that name came and went before it could be opened\n");
}

#[test]
fn rotations_are_seen_though_the_reader_of_the_output_does_not_read() {
    let (place, log, mut following) = followed("");
    let mut file = open(&log);
    let line = |n: u32| format!("{n} {}\n", "x".repeat(10_000));
    for n in 0..100 {
        file.write_all(line(n).as_bytes()).unwrap();
        if n % 10 == 9 {
            fs::rename(&log, place.path("log.old")).unwrap();
            file = open(&log);
            let (pid, log) = (following.child.id(), fs::metadata(&log).unwrap());
            until("the new file is open", || has_open(pid, &log));
        }
    }
    for n in 0..100 {
        assert!(following.line() == line(n), "{n}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_and_descriptors_stay_the_same_however_many_rotations() {
    let (place, log, mut following) = followed("");
    let fds = |following: &Following| fs::read_dir(format!("/proc/{}/fd", following.child.id())).unwrap().count();
    let mut early = 0;
    for round in 0..30 {
        for n in round * 20..(round + 1) * 20 {
            append(&log, &format!("{n} {}\n", "x".repeat(5000)));
            fs::rename(&log, place.path(&format!("log.{n}"))).unwrap();
            append(&log, "");
        }
        for n in round * 20..(round + 1) * 20 {
            assert!(following.line().starts_with(&format!("{n} ")));
        }
        if round == 5 {
            early = following.peak_kib();
        }
    }
    assert!(fds(&following) <= 40, "{}", fds(&following));
    let peak = following.peak_kib();
    assert!(peak <= early + 200 && peak < 8 * 1024, "{early} KiB, then {peak} KiB");
}
