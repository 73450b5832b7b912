//! The binary on files and pipes, read once: byte for byte.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use support::{Ended, Following, Place, tail};

/// The bytes of FILE as they come out, with their newline at the end.
fn printed(args: &[&str], bytes: &[u8]) -> Vec<u8> {
    let place = Place::new();
    fs::write(place.path("file"), bytes).unwrap();
    let output = place.tail(&[args, &["file"]].concat()).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert!(!place.store().exists(), "a file needs no store");
    output.stdout
}

#[test]
fn a_file_comes_out_byte_for_byte_whatever_its_lines_are() {
    let long = [vec![b'x'; 200_000], b"\n".to_vec()].concat();
    let exact = [vec![b'y'; 65_535], b"\nz\n".to_vec()].concat();
    for bytes in [
        &b""[..],
        b"\n",
        b"{\"a\":1}\n",
        b"{\"a\":1}\r\n\n \nno json\n\xff\xfe\0\x1b[31m\n",
        &long,
        &exact,
        &[&long[..], b"short\n", &long, &exact].concat(),
        &b"{\"n\":12345678}\n".repeat(100_000),
    ] {
        assert!(printed(&[], bytes) == bytes, "{} bytes", bytes.len());
    }
}

#[test]
fn a_last_line_without_newline_gets_one() {
    assert_eq!(printed(&[], b"a\nb"), b"a\nb\n");
    assert_eq!(printed(&["-n1"], b"a\nb"), b"b\n");
    let long = vec![b'x'; 200_000];
    assert!(printed(&[], &long) == [&long[..], b"\n"].concat());
}

#[test]
fn the_last_lines_of_a_file_are_counted_from_its_end() {
    let text: String = (1..=20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    for count in [0, 1, 2, 10, 4_999, 19_999, 20_000, 30_000] {
        let lines: Vec<&str> = text.lines().collect();
        let expected: String = lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(String::from_utf8(printed(&["-n", &count.to_string()], text.as_bytes())).unwrap(), expected, "{count}");
        let without_newline = text.trim_end().as_bytes();
        assert_eq!(String::from_utf8(printed(&["-n", &count.to_string()], without_newline)).unwrap(), expected, "{count}");
    }
    assert_eq!(printed(&["-n2"], b"\n\n\n"), b"\n\n");
    assert_eq!(printed(&["-n3"], b""), b"");
}

#[test]
fn the_last_lines_of_a_file_of_a_tebibyte_are_there_at_once() {
    let place = Place::new();
    let mut file = fs::File::create(place.path("huge")).unwrap();
    file.set_len(1 << 40).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(b"\na\nb\nc\n").unwrap();
    let ended = place.run(&["-n", "2", "huge"]);
    assert_eq!((ended.out.as_str(), ended.said.as_str(), ended.status), ("b\nc\n", "", Some(0)));
}

#[test]
fn several_files_come_one_after_the_other_and_one_that_is_missing_is_told() {
    let place = Place::new();
    fs::write(place.path("a"), "1\n2").unwrap();
    fs::write(place.path("b"), "3\n4\n").unwrap();
    let ended = place.run(&["a", "missing", "b", "a"]);
    assert_eq!((ended.out.as_str(), ended.status), ("1\n2\n3\n4\n1\n2\n", Some(2)));
    assert_eq!(ended.said, "swarm-tail: cannot read missing: No such file or directory\n");
    assert_eq!(place.run(&["-n1", "a", "b"]).out, "2\n4\n");
}

#[test]
fn standard_input_is_read_where_it_stands() {
    let place = Place::new();
    fs::write(place.path("a"), "1\n2\n3\n").unwrap();
    let with = |file: fs::File, args: &[&str]| -> Ended { tail(args).stdin(file).output().unwrap().into() };
    let open = || fs::File::open(place.path("a")).unwrap();
    assert_eq!(with(open(), &["-"]).out, "1\n2\n3\n");
    let mut file = open();
    file.read_exact(&mut [0; 2]).unwrap();
    assert_eq!(with(file, &["-"]).out, "2\n3\n");
    let mut file = open();
    file.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(with(file, &["-n", "2", "-"]).out, "3\n");
}

#[test]
fn a_line_on_a_pipe_is_passed_while_the_pipe_pauses_and_a_long_one_byte_for_byte() {
    let mut command = tail(&["-"]);
    let mut tailing = Following::start({
        command.stdin(Stdio::piped());
        command
    });
    let mut input = tailing.child.stdin.take().unwrap();
    for line in ["{\"a\":1}\n", "\u{1b}[31m\r\n"] {
        input.write_all(line.as_bytes()).unwrap();
        assert_eq!(tailing.line(), line);
    }
    let long = "x".repeat(300_000);
    let writer = std::thread::spawn({
        let long = long.clone();
        move || input.write_all(format!("{long}\nlast").as_bytes()).unwrap()
    });
    assert!(tailing.line() == format!("{long}\n"));
    writer.join().unwrap();
    assert_eq!(tailing.line(), "last\n");
    assert_eq!(tailing.ends(), (Some(0), String::new()));
}

#[test]
fn a_pipe_has_no_end_to_count_from_and_that_is_told() {
    let mut child = tail(&["-n", "3", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take());
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!((ended.out.as_str(), ended.status), ("", Some(2)));
    assert!(ended.said.contains("| tail -n 3"), "{}", ended.said);
}

#[test]
fn it_ends_at_once_and_in_silence_when_its_reader_goes_away_though_its_pipe_is_idle() {
    let mut command = tail(&["-"]);
    command.stdin(Stdio::piped());
    let mut tailing = Following::start(command);
    let mut input = tailing.child.stdin.take().unwrap();
    input.write_all(b"a\n").unwrap();
    assert_eq!(tailing.line(), "a\n");
    assert_eq!(tailing.ends(), (Some(0), String::new()));
    drop(input);
}

#[test]
fn a_file_that_its_own_output_goes_to_is_refused() {
    let place = Place::new();
    fs::write(place.path("a"), "1\n").unwrap();
    for args in [&["a"][..], &["-f", "a"]] {
        let into = fs::OpenOptions::new().append(true).open(place.path("a")).unwrap();
        let ended: Ended = place.tail(args).stdout(into).output().unwrap().into();
        assert_eq!(ended.status, Some(2), "{args:?}");
        assert!(ended.said.contains("is also where the output goes"), "{}", ended.said);
    }
    assert_eq!(fs::read(place.path("a")).unwrap(), b"1\n");
}
