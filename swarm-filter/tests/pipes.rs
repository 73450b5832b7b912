//! The binary in a pipe that stays open: what it does while nothing comes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use support::{ends, filter};

const ACK: &[u8] = b"{\"msg_type\":\"ACK\"}\n";
const INFO: &[u8] = b"{\"msg_type\":\"INFO\"}\n";

#[test]
fn a_line_that_matches_is_passed_while_the_input_pauses() {
    let mut child = filter(&["-t", "ack"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        input.write_all(INFO).unwrap();
        input.write_all(ACK).unwrap();
        let mut line = Vec::new();
        output.read_until(b'\n', &mut line).unwrap();
        assert_eq!(line, ACK);
    }
    drop(input);
    assert_eq!(ends(child), 0);
}

#[test]
fn half_a_line_waits_for_its_other_half() {
    let mut child = filter(&["-t", "ack"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (head, tail) = ACK.split_at(5);
    input.write_all(head).unwrap();
    input.write_all(tail).unwrap();
    let mut line = vec![0; ACK.len()];
    output.read_exact(&mut line).unwrap();
    assert_eq!(line, ACK);
    drop(input);
    assert_eq!(ends(child), 0);
}

#[test]
fn it_ends_when_the_last_wanted_match_is_written_though_the_pipe_stays_open() {
    for args in [&["-m1", "-t", "ack"][..], &["-q", "-t", "ack"], &["-c", "-m1", "-t", "ack"]] {
        let mut child = filter(args).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(INFO).unwrap();
        input.write_all(ACK).unwrap();
        assert_eq!(ends(child), 0, "{args:?}");
        drop(input);
    }
}

#[test]
fn it_ends_at_once_and_in_silence_when_its_reader_goes_away_though_nothing_comes() {
    let mut child = filter(&["-t", "ack"]).spawn().unwrap();
    let mut words = child.stderr.take().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    // It is known to be past its start, and idle, when the first match has come out.
    input.write_all(ACK).unwrap();
    output.read_exact(&mut vec![0; ACK.len()]).unwrap();
    drop(output);
    assert_eq!(ends(child), 0);
    drop(input);
    let mut said = String::new();
    words.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn a_reader_that_goes_away_has_what_it_wanted_also_where_bad_lines_were_told_before() {
    let mut child = filter(&["-t", "ack"]).spawn().unwrap();
    let mut words = BufReader::new(child.stderr.take().unwrap());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"msg_type\":\"ACK\",\"msg_type\":\"ACK\"}\n").unwrap();
    let mut said = String::new();
    words.read_line(&mut said).unwrap();
    assert!(said.starts_with("swarm-filter: line 1: duplicate key"), "{said}");
    drop(child.stdout.take().unwrap());
    assert_eq!(ends(child), 0);
    drop(input);
}

#[test]
fn with_quiet_a_closed_output_is_no_match() {
    let mut child = filter(&["-q", "-t", "ack"]).spawn().unwrap();
    drop(child.stdout.take().unwrap());
    let mut input = child.stdin.take().unwrap();
    input.write_all(INFO).unwrap();
    drop(input);
    assert_eq!(ends(child), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn with_quiet_it_sleeps_while_nothing_comes_also_on_an_input_that_does_not_block() {
    // It read again and again, on a whole core: programs like node make the pipes that they share not block.
    let (input, mut writer) = std::io::pipe().unwrap();
    fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let child = filter(&["-q", "-t", "ack"]).stdin(input).spawn().unwrap();
    thread::sleep(Duration::from_millis(100));
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    let reads: u64 = io.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap();
    assert!(reads < 100, "{reads} reads of nothing");
    writer.write_all(ACK).unwrap();
    assert_eq!(ends(child), 0);
}

#[test]
fn memory_does_not_grow_with_the_length_of_a_line_or_the_number_of_bad_ones() {
    let mut child = filter(&["-t", "ack"]).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    drop(child.stderr.take());
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        input.write_all(&chunk).unwrap();
    }
    input.write_all(b"\n").unwrap();
    input.write_all(&b"bad\n".repeat(1 << 18)).unwrap();
    input.write_all(ACK).unwrap();
    output.read_exact(&mut vec![0; ACK.len()]).unwrap();
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    // The release build stays below 4 MiB; this one carries more code.
    assert!(peak.parse::<u64>().unwrap() < 8 * 1024, "{peak} kB");
    drop(input);
    assert_eq!(ends(child), 2);
}
