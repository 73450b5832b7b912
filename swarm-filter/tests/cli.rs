//! The binary as a user calls it: every option, every exit status, every kind of bad line.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::process::Stdio;

use support::{filter, run, stderr, stdout};
use swarm_common::options::{self, Call};
use swarm_filter::cli::{TOOL, request};

/// One record of each kind; the seq names it in what is expected.
const RECORDS: &str = r#"{"seq":1,"msg_id":"m1","timestamp":"2026-11-23T08:00:00.000000Z","msg_type":"QUESTION","sender_id":"agent-0","recipients":["agent-1"],"requires_ack":true,"thread":"auth","content":"Which schema, \"v1\"?"}
{"seq":2,"msg_id":"m2","timestamp":"2026-11-23T08:01:00.000000Z","msg_type":"ACK","sender_id":"agent-1","recipients":["agent-0"],"reply_to":"m1","thread":"auth,login","content":"ok"}
{"seq":3,"msg_id":"m3","timestamp":"2026-11-23T08:02:00.000000Z","msg_type":"INFO","sender_id":"agent-2","recipients":["@all"],"requires_ack":false,"content":"the msg_type of m2 was \"ACK\""}
{"seq":4,"msg_id":"m4","timestamp":"2026-11-23T10:03:00.000000+02:00","msg_type":"REVIEW-REQUEST","sender_id":"Agent-1","recipients":["agent-2","agent-3"],"content":"line\nbreak, comma"}
{"timestamp": "2026-11-23T08:04:00", "msg_id": "m5", "sender": "agent-3", "recipients": ["agent-0"], "msg_type": "INFO", "content": "from Python", "delivery_status": {"agent-0": true}, "success_count": 1, "failure_count": 0}
{"seq":6}
"#;

/// The numbers of the lines of RECORDS that come out.
fn passed(args: &[&str]) -> Vec<usize> {
    let output = run(args, RECORDS);
    assert_eq!(stderr(&output), "", "{args:?}");
    let out = stdout(&output);
    let numbers: Vec<usize> = out.lines().map(|line| RECORDS.lines().position(|record| record == line).unwrap() + 1).collect();
    assert_eq!(output.status.code(), Some(i32::from(numbers.is_empty())), "{args:?}");
    numbers
}

#[test]
fn each_condition_passes_what_it_says_and_nothing_else() {
    for (args, expected) in [
        (&[][..], &[1, 2, 3, 4, 5, 6][..]),
        (&["-t", "ack"], &[2]),
        (&["--type", "Ack,QUESTION"], &[1, 2]),
        (&["-tack", "-t", "question"], &[1, 2]),
        (&["--type=review-request"], &[4]),
        (&["-t", "blocked"], &[]),
        (&["--from", "agent-1"], &[2]),
        (&["--from", "agent-3"], &[5]),
        (&["--from", "agent-0,agent-3"], &[1, 5]),
        (&["--to", "agent-1"], &[1, 3]),
        (&["--to", "agent-3"], &[3, 4]),
        (&["--to", "@all"], &[3]),
        (&["--to", "nobody"], &[3]),
        (&["--agent", "agent-0"], &[1, 2, 3, 5]),
        (&["--agent", "agent-1"], &[1, 2, 3]),
        (&["--agent", "@all"], &[3]),
        (&["--since", "2026-11-23T08:02:00Z"], &[3, 4, 5]),
        (&["--until", "2026-11-23T08:02:00Z"], &[1, 2, 3]),
        (&["--since", "2026-11-23T08:03:00Z", "--until", "2026-11-23T08:03:00Z"], &[4]),
        (&["--since", "2026-11-23T08:03:00Z", "--since", "2026-11-23T08:01:00Z"], &[2, 3, 4, 5]),
        (&["--until", "2026-11-23T08:00:00Z", "--until", "2026-11-23T08:01:00Z"], &[1, 2]),
        (&["--until", "2026-11-23 08:04"], &[1, 2, 3, 4, 5]),
        (&["--thread", "auth"], &[1]),
        (&["--thread", "auth,login"], &[2]),
        (&["--thread", "auth", "--thread", "auth,login"], &[1, 2]),
        (&["--reply-to", "m9,m1"], &[2]),
        (&["--id", "m1,m5"], &[1, 5]),
        (&["--id", "M1"], &[]),
        (&["--requires-ack"], &[1]),
        (&["--contains", "schema, \"v1\""], &[1]),
        (&["--contains", "line\nbreak"], &[4]),
        (&["--contains", "\\n"], &[]),
        (&["--contains", "Python", "--contains", "ok"], &[2, 5]),
        (&["-t", "info", "--to", "agent-0"], &[3, 5]),
        (&["-t", "info", "--from", "agent-0"], &[]),
        (&["-v", "-t", "info,ack"], &[1, 4, 6]),
        (&["-v"], &[]),
        (&["-m", "2", "-v", "-t", "ack"], &[1, 3]),
        (&["-m", "9", "-t", "ack"], &[2]),
        (&["-m", "0"], &[]),
    ] {
        assert_eq!(passed(args), expected, "{args:?}");
    }
}

#[test]
fn a_span_of_time_counts_back_from_now() {
    let now = jiff::Timestamp::now();
    let at = |minutes: i64| format!("{{\"timestamp\":\"{}\"}}\n", now - jiff::SignedDuration::from_mins(minutes));
    let output = run(&["--since", "10m", "--until", "5m"], [at(15), at(7), at(1)].concat());
    assert_eq!(stdout(&output), at(7));
}

#[test]
fn count_and_quiet_say_the_same_as_the_lines_would() {
    for (args, out, status) in [
        (&["-c", "-t", "info"][..], "2\n", 0),
        (&["-c", "-t", "blocked"], "0\n", 1),
        (&["-c", "-m1", "-t", "info"], "1\n", 0),
        (&["-q", "-t", "info"], "", 0),
        (&["-q", "-t", "blocked"], "", 1),
        (&["-qc", "-t", "info"], "", 0),
        (&["-cq", "-t", "info"], "", 0),
    ] {
        let output = run(args, RECORDS);
        assert_eq!((stdout(&output).as_str(), output.status.code()), (out, Some(status)), "{args:?}");
    }
}

#[test]
fn a_field_of_that_name_anywhere_else_is_not_the_field() {
    let fakes = r#"{"msg_type":"INFO","content":"\"msg_type\":\"ACK\""}
{"data":{"msg_type":"ACK"},"msg_type":"INFO"}
{"data":[{"msg_type":"ACK"}]}
{"x_msg_type":"ACK","msg_typ":"ACK","MSG_TYPE":"ACK"}
{"msg_type":"ACKS"}
{"content":"\",\"msg_type\":\"ACK"}
"#;
    let output = run(&["-t", "ack"], fakes);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str(), output.status.code()), ("", "", Some(1)));
}

#[test]
fn odd_spacing_escapes_any_order_and_crlf_pass_byte_for_byte() {
    let odd = "{\"msg_type\" : \"\\u0041ck\"}\r\n  {\t\"content\":\"\u{fc}\\ud83d\\ude00\\u0000\" ,\"m\\u0073g_type\":\"ACK\" }  \n\n \t\r\n{\"msg_type\":\"aCk\"}";
    let output = run(&["-t", "ack"], odd);
    assert_eq!(stderr(&output), "");
    assert_eq!(stdout(&output), odd.replace("\n\n \t\r\n", "\n") + "\n");
    // Blank lines are no records: -v does not pass them either, and -c does not count them.
    assert_eq!(stdout(&run(&["-vc", "-t", "info"], odd)), "3\n");
}

/// Every kind of line that is no record.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
    vec![
        (b"{\"content\":\"\xff\"}".to_vec(), "not UTF-8"),
        (b"{\"a\":1,\"a\":2}".to_vec(), "duplicate key"),
        (br#"{"data":[{"a":1,"\u0061":2}]}"#.to_vec(), "duplicate key"),
        (deep(33).into_bytes(), "deeper than 32"),
        (b"\xef\xbb\xbf{}".to_vec(), "byte order mark"),
        (br#"{"content":"\udc00"}"#.to_vec(), "surrogate"),
        (b"{\"content\":\"\0\"}".to_vec(), "control character"),
        (b"\0".to_vec(), "not one JSON object"),
        (b"[1]".to_vec(), "not one JSON object"),
        (b"{} {}".to_vec(), "more follows"),
        (br#"{"content":"cut"#.to_vec(), "ends inside"),
        (b"hello".to_vec(), "not one JSON object"),
        (format!("{{\"content\":\"{}\"}}", "x".repeat(65_536 + 1 - 14)).into_bytes(), "longer than 65536"),
        (vec![b' '; 300_000], "longer than 65536"),
    ]
}

#[test]
fn each_kind_of_bad_line_is_told_with_its_number_and_the_good_ones_go_on() {
    let directory = tempfile::tempdir().unwrap();
    for (n, (bad, why)) in bad_lines().into_iter().enumerate() {
        let input = [b"{\"seq\":1}\n\n".as_slice(), &bad, b"\n{\"seq\":2}\n"].concat();
        let file = directory.path().join(n.to_string());
        fs::write(&file, &input).unwrap();
        let name = file.to_str().unwrap();
        for (output, place) in [(run(&[], &input), "line 3".to_string()), (run(&[name], ""), format!("{name}:3"))] {
            let words = stderr(&output);
            assert!(words.starts_with(&format!("swarm-filter: {place}: ")) && words.contains(why), "{words}");
            assert_eq!((stdout(&output).as_str(), output.status.code()), ("{\"seq\":1}\n{\"seq\":2}\n", Some(2)), "{words}");
        }
    }
}

#[test]
fn what_is_at_the_limit_is_no_bad_line() {
    let longest = format!("{{\"content\":\"{}\"}}\n", "x".repeat(65_536 - 14));
    let deepest = format!("{{\"a\":{}{}}}\n", "[".repeat(31), "]".repeat(31));
    let odd = r#"{"content":"\u0000","msg_type":5,"recipients":"x","seq":-1.5e3}"#;
    let input = longest + &deepest + odd + "\n";
    let output = run(&[], &input);
    assert_eq!((stdout(&output), stderr(&output).as_str(), output.status.code()), (input, "", Some(0)));
}

#[test]
fn a_compared_field_of_the_wrong_type_is_bad_and_one_that_is_not_compared_is_not() {
    for (args, line) in [
        (["-t", "ack"], r#"{"msg_type":null}"#),
        (["--from", "a"], r#"{"sender_id":1}"#),
        (["--from", "a"], r#"{"sender":1}"#),
        (["--to", "a"], r#"{"recipients":"a"}"#),
        (["--to", "a"], r#"{"recipients":["a",1]}"#),
        (["--agent", "a"], r#"{"sender_id":"a","recipients":null}"#),
        (["--agent", "a"], r#"{"sender_id":{},"recipients":["a"]}"#),
        (["--since", "1d"], r#"{"timestamp":1764000000}"#),
        (["--since", "1d"], r#"{"timestamp":"yesterday"}"#),
        (["--thread", "a"], r#"{"thread":["a"]}"#),
        (["--reply-to", "a"], r#"{"reply_to":true}"#),
        (["--id", "a"], r#"{"msg_id":1}"#),
        (["--requires-ack", "-v"], r#"{"requires_ack":"true"}"#),
        (["--contains", "a"], r#"{"content":{"a":1}}"#),
    ] {
        let output = run(&args, line);
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(2)), "{args:?} {line}");
        assert!(stderr(&output).starts_with("swarm-filter: line 1: \""), "{}", stderr(&output));
        let other = if args[0] == "--thread" { ["--id", "x"] } else { ["--thread", "x"] };
        assert_eq!(run(&other, line).status.code(), Some(1), "{other:?} {line}");
    }
    // The Python program's name counts only where the record has no sender_id, wherever that stands.
    for line in [r#"{"sender":1,"sender_id":"a"}"#, r#"{"sender_id":"a","sender":1}"#] {
        assert_eq!(run(&["--from", "a"], line).status.code(), Some(0), "{line}");
        assert_eq!(run(&["--from", "b"], line).status.code(), Some(1), "{line}");
    }
}

#[test]
fn only_a_line_that_could_match_is_looked_at_to_its_end() {
    let cut = "{\"msg_type\":\"INFO\",\"content\":\"cut\n";
    assert_eq!(run(&["-t", "ack"], cut).status.code(), Some(1));
    assert_eq!(run(&["-t", "info"], cut).status.code(), Some(2));
    assert_eq!(run(&["-v", "-t", "ack"], cut).status.code(), Some(2));
    assert_eq!(run(&["--strict", "-t", "ack"], cut).status.code(), Some(2));
    let directory = tempfile::tempdir().unwrap();
    let rejects = directory.path().join("rejects");
    assert_eq!(run(&["--reject", rejects.to_str().unwrap(), "-t", "ack"], cut).status.code(), Some(1));
    assert_eq!(fs::read_to_string(rejects).unwrap(), cut);
}

#[test]
fn rejected_lines_are_appended_whole_and_raw_and_are_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let (rejects, file) = (directory.path().join("rejects"), directory.path().join("input"));
    let (mut input, mut expected) = (Vec::new(), b"before\n".to_vec());
    for (bad, _) in bad_lines() {
        input.extend([b"{\"seq\":1}\n".as_slice(), &bad, b"\n"].concat());
        expected.extend([bad.as_slice(), b"\n"].concat());
    }
    fs::write(&file, &input).unwrap();
    let arguments = ["--reject", rejects.to_str().unwrap()];
    for output in [&["-"][..], &[file.to_str().unwrap()]].map(|name| {
        fs::write(&rejects, "before\n").unwrap();
        let output = run(&[&arguments, name].concat(), &input);
        assert!(fs::read(&rejects).unwrap() == expected, "the rejects differ");
        output
    }) {
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(stdout(&output).lines().count(), bad_lines().len());
        assert!(stderr(&output).ends_with("14 bad lines in all\n"), "{}", stderr(&output));
    }
    let output = run(&arguments, "no record\n");
    assert_eq!(output.status.code(), Some(1), "nothing matched");
}

#[test]
fn strict_stops_at_the_first_bad_line_and_keeps_what_passed_before() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("input");
    for (bad, why) in bad_lines() {
        let input = [b"{\"seq\":1}\n".as_slice(), &bad, b"\n{\"seq\":2}\n"].concat();
        fs::write(&file, &input).unwrap();
        for output in [run(&["--strict"], &input), run(&["--strict", file.to_str().unwrap()], "")] {
            assert_eq!((stdout(&output).as_str(), output.status.code()), ("{\"seq\":1}\n", Some(2)), "{why}");
            assert!(stderr(&output).contains(why), "{}", stderr(&output));
        }
    }
}

#[test]
fn an_answer_that_is_found_early_is_not_changed_by_bad_lines() {
    let input = "bad\n{\"seq\":1}\n{\"seq\":2}\nworse\n";
    for (args, status) in
        [(&["-q"][..], 0), (&["-m1"], 0), (&["-m2"], 0), (&["-m3"], 2), (&["-qt", "ack"], 2), (&["-c"], 2), (&["-q", "--strict"], 2)]
    {
        assert_eq!(run(args, input).status.code(), Some(status), "{args:?}");
    }
    assert!(!stderr(&run(&["-m2"], input)).contains("line 4"));
}

#[test]
fn a_missing_file_is_told_and_the_others_still_go_through() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (directory.path().join("a"), directory.path().join("b"));
    fs::write(&a, "{\"seq\":1}").unwrap();
    fs::write(&b, "{\"seq\":2}\nbad\n").unwrap();
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let output = run(&[a, "/no/such/file", directory.path().to_str().unwrap(), "-", b], "{\"seq\":3}\nworse\n");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("{\"seq\":1}\n{\"seq\":3}\n{\"seq\":2}\n", Some(2)));
    let words = stderr(&output);
    for expected in ["cannot read /no/such/file: ", "it is a directory", "swarm-filter: -:2: ", &format!("swarm-filter: {b}:2: ")] {
        assert!(words.contains(expected), "{words}");
    }
    assert_eq!(run(&["-q", "/no/such/file", a], "").status.code(), Some(0), "-q answers by the match");
    assert_eq!(run(&["-m", "2", a, b, "/no/such/file"], "").status.code(), Some(0), "what comes behind the last match is not opened");
}

#[test]
fn who_names_a_type_where_a_file_belongs_is_told_the_option() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("log"), "{\"msg_type\":\"ACK\"}\n").unwrap();
    let call = |name: &str| filter(&[name, "log"]).current_dir(&directory).output().unwrap();
    let output = call("ack");
    let expected = "swarm-filter: cannot read ack: No such file or directory\n  for the records of that type: swarm-filter --type ack\n";
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), expected));
    assert_eq!(stderr(&call("acks")), "swarm-filter: cannot read acks: No such file or directory\n");
    fs::copy(directory.path().join("log"), directory.path().join("ack")).unwrap();
    assert_eq!((call("ack").status.code(), stderr(&call("ack"))), (Some(0), String::new()), "a file of that name is a file");
}

#[test]
fn a_wrong_call_is_refused_before_anything_is_read_or_made() {
    let directory = tempfile::tempdir().unwrap();
    let rejects = directory.path().join("rejects");
    for args in [
        &["--tpye", "ack"][..],
        &["-t", ""],
        &["-t", "ack,"],
        &["-t", "no type"],
        &["-t", "1ACK"],
        &["-t", "A234567890123456789012345678901-X"],
        &["--from", ""],
        &["--to", "a,,b"],
        &["--thread", ""],
        &["--contains", ""],
        &["--since", "yesterdayish"],
        &["--until", ""],
        &["--since", "1h", "--until", "2h"],
        &["-m", "-1"],
        &["-m", "many"],
        &["-m"],
        &["--requires-ack=yes"],
        &["--reject", "/no/such/directory/rejects"],
        &["--reject", "-"],
        &["-x"],
    ] {
        let output = run(&[args, &["--reject", rejects.to_str().unwrap()]].concat(), RECORDS);
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(2)), "{args:?}");
        assert!(stderr(&output).starts_with("swarm-filter: "), "{args:?}: {}", stderr(&output));
        assert!(!rejects.exists(), "{args:?}");
    }
}

#[test]
fn every_option_of_the_table_is_understood_and_stands_in_the_help_which_fits_a_screen() {
    let output = run(&["--help"], "");
    let page = stdout(&output);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(page.lines().count() <= 40 && page.lines().all(|line| line.chars().count() <= 80), "{page}");
    let value = |long: &str| match long {
        "since" | "until" => "1h",
        "max-count" => "1",
        "type" => "ACK",
        _ => "x",
    };
    for opt in TOOL.options {
        assert!(page.contains(&format!("--{}", opt.long)) && !opt.help.is_empty() && opt.man.ends_with('.'), "{}", opt.long);
        let forms = std::iter::once(format!("--{}", opt.long)).chain(opt.short.map(|letter| format!("-{letter}")));
        for form in forms {
            let args = std::iter::once(form).chain(opt.value.map(|_| value(opt.long).to_string()));
            let call = options::parse(&TOOL, std::iter::once("swarm-filter".to_string()).chain(args).map(Into::into)).unwrap();
            let Call::Run(given) = call else { panic!("--{} is no option that runs", opt.long) };
            // A name in the table that nobody reads would be a promise not kept.
            assert_ne!(request(given).unwrap(), request(Vec::new()).unwrap(), "--{} changes nothing", opt.long);
        }
    }
    assert!(stdout(&run(&["-V"], "")).starts_with("swarm-filter 0."));
}

#[test]
fn standard_input_that_is_a_file_is_read_from_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    fs::write(&path, "{\"seq\":1}\nbad\n{\"seq\":2}\n").unwrap();
    let mut file = fs::File::open(&path).unwrap();
    file.seek(SeekFrom::Start(10)).unwrap();
    let output = filter(&[]).stdin(Stdio::from(file)).output().unwrap();
    assert_eq!(stdout(&output), "{\"seq\":2}\n");
    assert!(stderr(&output).starts_with("swarm-filter: line 1: "), "{}", stderr(&output));
}

#[test]
fn standard_input_that_is_a_file_is_left_at_its_end_and_one_that_is_a_directory_is_a_wrong_call() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(RECORDS.as_bytes()).unwrap();
    file.rewind().unwrap();
    let output = filter(&["-t", "ack"]).stdin(Stdio::from(file.try_clone().unwrap())).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(file.stream_position().unwrap(), RECORDS.len() as u64, "the descriptor is shared");
    let directory = fs::File::open(tempfile::tempdir().unwrap().path()).unwrap();
    let output = filter(&[]).stdin(Stdio::from(directory)).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).contains("directory")), (Some(2), true));
}

#[test]
fn a_slip_in_an_options_name_is_told_what_was_meant() {
    for (typed, meant) in [
        ("--tpye", "--type"),
        ("--types", "--type"),
        ("--form", "--from"),
        ("--agents", "--agent"),
        ("--reply_to", "--reply-to"),
        ("--contain", "--contains"),
        ("--require-ack", "--requires-ack"),
        ("--Since", "--since"),
        ("--rejects", "--reject"),
        ("--stricts", "--strict"),
    ] {
        let output = run(&[typed, "x"], RECORDS);
        let words = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{typed}");
        assert!(words.contains(&format!("did you mean {meant}?")), "{typed}: {words}");
    }
    assert!(!stderr(&run(&["--regexp", "x"], RECORDS)).contains("did you mean"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_of_one_endless_line_is_read_in_little_memory_and_the_next_line_still_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    let mut file = fs::File::create(&path).unwrap();
    // A hole of zeros: on disk it takes nothing, in memory it would take all of what is allowed, and more.
    file.set_len(1 << 28).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"\n{\"msg_type\":\"ACK\"}\n").unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -v 150000 && exec \"$0\" -t ack \"$1\"", env!("CARGO_BIN_EXE_swarm-filter"), path.to_str().unwrap()]);
    let output = command.output().unwrap();
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("{\"msg_type\":\"ACK\"}\n", Some(2)), "{}", stderr(&output));
    assert!(stderr(&output).contains(":1: longer than 65536 bytes"), "{}", stderr(&output));
}

#[test]
fn a_large_file_comes_out_in_its_order_and_its_last_line_gets_its_newline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    // Above 4 MiB several workers judge it.
    let text = RECORDS.repeat(6000) + "{\"seq\":7}";
    fs::write(&path, &text).unwrap();
    let output = run(&[path.to_str().unwrap()], "");
    assert!(stdout(&output) == text + "\n", "it differs");
    assert_eq!(stdout(&run(&["--id", "m1", "-c", path.to_str().unwrap()], "")), "6000\n");
    assert_eq!(stdout(&run(&["-t", "ack", "-m", "5999", path.to_str().unwrap()], "")).lines().count(), 5999);
}

#[test]
fn a_file_that_the_call_itself_would_grow_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    fs::write(&path, "{\"seq\":1}\nbad\n").unwrap();
    let name = path.to_str().unwrap();
    let append = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let output = filter(&[name]).stdout(Stdio::from(append)).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(run(&["--reject", name, name], "").status.code(), Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"seq\":1}\nbad\n");
}

#[test]
fn a_full_disk_is_a_failure_and_not_an_answer() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = filter(&["-"]).stdout(Stdio::from(full)).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), RECORDS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).starts_with("swarm-filter: cannot write the output: "), "{}", stderr(&output));
}

#[test]
fn hostile_bytes_reach_standard_error_only_as_visible_escapes() {
    let output =
        run(&["--since", "1d"], "{\"\u{1b}[31m\":1}\n{\"timestamp\":\"\\u001b]0;title\\u0007\"}\n{\"a\u{9b}2J\":1,\"a\u{9b}2J\":2}\n");
    let words = stderr(&output);
    assert_eq!(words.lines().count(), 3, "{words}");
    assert!(words.chars().all(|c| c == '\n' || !c.is_control()), "{words:?}");
}
