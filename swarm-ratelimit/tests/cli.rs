//! The binary as a user calls it: every option, every exit status, every kind of bad line.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::process::Stdio;

use support::{ratelimit, record, records, run, stderr, stdout};
use swarm_common::options::{self, Call};
use swarm_ratelimit::cli::{TOOL, request};

/// An hour, so that no test sees its window end.
const LONG: [&str; 2] = ["--per", "1h"];

fn long<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&LONG[..], args].concat()
}

#[test]
fn ten_a_minute_of_each_sender_pass_byte_for_byte_and_the_rest_is_dropped_and_told() {
    let legacy = "{\"sender\": \"py\",  \"content\" :\"\u{fc}\\u0000\"}\r\n".repeat(11);
    let nobody = "{\"content\":\"x\"}\n".repeat(12);
    let input = [records("a", 13), legacy.clone(), nobody.clone(), records("b", 10)].concat();
    let output = run(&[], &input);
    let ten = |text: &str| text.split_inclusive('\n').take(10).collect::<String>();
    assert_eq!(stdout(&output), [records("a", 10), ten(&legacy), ten(&nobody), records("b", 10)].concat());
    let words = "swarm-ratelimit: a is over 10/1m: the rest is dropped
swarm-ratelimit: py is over 10/1m: the rest is dropped
swarm-ratelimit: what has no sender_id is over 10/1m: the rest is dropped
swarm-ratelimit: 6 records over 10/1m, dropped
";
    assert_eq!((stderr(&output).as_str(), output.status.code()), (words, Some(0)));
}

#[test]
fn within_the_limit_nothing_is_said_and_a_last_line_gets_its_newline_and_blank_lines_are_skipped() {
    let output = run(&[], "{\"a\":1}\n\n \t\r\n{ \"a\" : 2 }");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("{\"a\":1}\n{ \"a\" : 2 }\n", ""));
    let output = run(&[], "");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str(), output.status.code()), ("", "", Some(0)));
    let output = run(&long(&["-n1"]), "{}\n \n\n{}");
    assert!(stderr(&output).ends_with(": 1 record over 1/1h, dropped\n"), "blank lines do not count: {}", stderr(&output));
}

#[test]
fn dropped_and_bad_lines_are_appended_to_the_reject_file_raw_and_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rejects");
    fs::write(&path, "before\n").unwrap();
    let too_long = "y".repeat(70_000);
    let input = format!("{}bad\n{too_long}\n{}\r\nworse", records("a", 3), record("a", 4).trim_end());
    let output = run(&long(&["-n1", "--reject", path.to_str().unwrap()]), input);
    assert_eq!((stdout(&output), output.status.code()), (record("a", 1), Some(0)));
    let expected = format!("before\n{}{}bad\n{too_long}\n{}\r\nworse\n", record("a", 2), record("a", 3), record("a", 4).trim_end());
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let words = stderr(&output);
    for expected in ["line 4: not one JSON object", "line 5: longer than 65536 bytes", "line 7: ", "a is over 1/1h: the rest is rejected"] {
        assert!(words.contains(expected), "{words}");
    }
    assert!(words.ends_with(&format!("3 records over 1/1h, kept in {}\n", path.display())), "{words}");
}

#[test]
fn marked_records_pass_with_one_field_more_and_nothing_else_changed() {
    let input = "{\"a\":1}\n{\"over_limit\":false}\n { \"a\" : [ {} ] } \r\n{}\n{\"over_limit\":true}\n{\"over_limit\" : false,\"a\":1}";
    let expected = "{\"a\":1}\n{\"over_limit\":false}\n { \"a\" : [ {} ] ,\"over_limit\":true} \r\n{\"over_limit\":true}\n\
                    {\"over_limit\":true}\n{\"over_limit\" : true,\"a\":1}\n";
    let output = run(&long(&["-n2", "--over", "mark"]), input);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str(), output.status.code()), (expected, "", Some(0)));
}

#[test]
fn a_record_that_the_mark_would_make_too_long_is_bad() {
    let of = |bytes: usize| format!("{{\"content\":\"{}\"}}\n", "x".repeat(bytes - 14));
    let mark = ",\"over_limit\":true".len();
    let output = run(&long(&["-n1", "--over=mark"]), [of(65_536), of(65_536 - mark), of(65_537 - mark)].concat());
    assert_eq!(output.status.code(), Some(2));
    let lengths: Vec<usize> = stdout(&output).lines().map(str::len).collect();
    assert_eq!(lengths, [65_536, 65_536]);
    assert_eq!(stderr(&output), "swarm-ratelimit: line 3: too long to be marked as over the limit\n");
}

#[test]
fn another_field_or_none_can_be_what_is_counted_together() {
    let input = r#"{"sender_id":"a","thread":"x"}
{"sender_id":"b","thread":"x"}
{"sender_id":"a","thread":7}
{"sender_id":"a","thread":"7"}
{"sender_id":"a","thread":null}
{"sender_id":"a"}
{"sender_id":"a","thread":false}
"#;
    let passed = |args: &[&str]| {
        let output = run(&long(args), input);
        let out = stdout(&output);
        let numbers = out.lines().map(|line| input.lines().position(|record| record == line).unwrap() + 1);
        (numbers.collect::<Vec<usize>>(), stderr(&output))
    };
    assert_eq!(passed(&["-n1"]).0, [1, 2]);
    assert_eq!(passed(&["-n1", "--key", "sender_id"]).0, [1, 2]);
    let (numbers, words) = passed(&["-n1", "--key=thread"]);
    assert_eq!(numbers, [1, 3, 5, 7]);
    assert!(words.contains(": what has no thread is over 1/1h"), "{words}");
    let (numbers, words) = passed(&["-n2", "--key-all"]);
    assert_eq!(numbers, [1, 2]);
    assert!(words.contains(": the stream is over 2/1h"), "{words}");
}

#[test]
fn by_timestamp_a_replay_passes_what_passed_in_its_time() {
    let at = |time: &str| format!("{{\"timestamp\":\"2026-11-23T{time}\"}}\n");
    let times = ["08:00:00Z", "08:00:01Z", "08:00:09.999999Z", "08:00:10Z", "10:00:10.5+02:00", "08:00:11", "07:00:00Z"];
    let input: String = times.iter().map(|time| at(time)).collect();
    let output = run(&["-n2", "--per", "10s", "--by", "timestamp"], &input);
    // The last one is an hour back: a clock was set, and no time has passed.
    let expected: String = [0, 1, 3, 5].iter().map(|&n| at(times[n])).collect();
    assert_eq!((stdout(&output), output.status.code()), (expected, Some(0)));
    let output = run(&["--by", "timestamp"], "{}\n{\"timestamp\":\"noon\"}\n{\"timestamp\":1}\n");
    let words = stderr(&output);
    for (n, why) in ["no \"timestamp\", which --by timestamp needs", "is no time: \"noon\"", "is a number, not a string"].iter().enumerate()
    {
        assert!(words.contains(&format!("line {}: ", n + 1)) && words.contains(why), "{words}");
    }
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(2)));
}

/// Every kind of line that is no record.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
    vec![
        (b"{\"content\":\"\xff\"}".to_vec(), "not UTF-8"),
        (b"{\"a\":1,\"a\":2}".to_vec(), "duplicate key"),
        (br#"{"sender_id":"a","data":[{"a":1,"\u0061":2}]}"#.to_vec(), "duplicate key"),
        (deep(33).into_bytes(), "deeper than 32"),
        (b"\xef\xbb\xbf{}".to_vec(), "byte order mark"),
        (br#"{"sender_id":"\udc00"}"#.to_vec(), "surrogate"),
        (b"{\"content\":\"\0\"}".to_vec(), "control character"),
        (b"[1]".to_vec(), "not one JSON object"),
        (b"{} {}".to_vec(), "more follows"),
        (br#"{"sender_id":"a","content":"cut"#.to_vec(), "ends inside"),
        (b"hello".to_vec(), "not one JSON object"),
        (br#"{"sender_id":["a"]}"#.to_vec(), "\"sender_id\" is an array, not a string"),
        (format!("{{\"content\":\"{}\"}}", "x".repeat(65_536 + 1 - 14)).into_bytes(), "longer than 65536"),
        (vec![b' '; 300_000], "longer than 65536"),
    ]
}

#[test]
fn each_kind_of_bad_line_is_told_and_takes_no_place_in_a_window_and_the_good_ones_go_on() {
    for (bad, why) in bad_lines() {
        let input = [b"{\"seq\":1}\n\n".as_slice(), &bad, b"\n{\"seq\":2}\n{\"seq\":3}"].concat();
        let output = run(&long(&["-n2"]), &input);
        let words = stderr(&output);
        assert!(words.starts_with("swarm-ratelimit: line 3: ") && words.lines().next().unwrap().contains(why), "{words}");
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("{\"seq\":1}\n{\"seq\":2}\n", Some(2)), "{words}");
    }
}

#[test]
fn a_bad_line_is_found_also_where_its_key_is_over_the_limit() {
    let input = "{\"sender_id\":\"a\"}\n{\"sender_id\":\"a\",\"content\":\"cut\n";
    for over in ["drop", "delay", "mark"] {
        let output = run(&long(&["-n1", "--over", over]), input);
        assert_eq!((stdout(&output).lines().count(), output.status.code()), (1, Some(2)), "{over}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("swarm-ratelimit: line 2: not JSON"), "{}", stderr(&output));
    }
}

#[test]
fn many_bad_lines_are_summed_up() {
    let output = run(&[], "bad\n".repeat(100));
    assert_eq!(stderr(&output).lines().count(), 11);
    assert!(stderr(&output).ends_with("100 bad lines in all\n"), "{}", stderr(&output));
}

#[test]
fn strict_stops_at_the_first_bad_line_and_keeps_what_passed_before() {
    for (bad, why) in bad_lines() {
        let output = run(&["--strict"], [b"{\"seq\":1}\n".as_slice(), &bad, b"\n{\"seq\":2}\n"].concat());
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("{\"seq\":1}\n", Some(2)), "{why}");
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
}

#[test]
fn what_is_at_the_limit_of_a_line_is_no_bad_line() {
    let longest = format!("{{\"content\":\"{}\"}}\n", "x".repeat(65_536 - 14));
    let deepest = format!("{{\"a\":{}{}}}\n", "[".repeat(31), "]".repeat(31));
    let odd = "{\"content\":\"\\u0000\",\"msg_type\":5,\"recipients\":\"x\",\"seq\":-1.5e3,\"timestamp\":0}\n";
    let input = longest + &deepest + odd;
    let output = run(&[], &input);
    assert_eq!((stdout(&output), stderr(&output).as_str(), output.status.code()), (input, "", Some(0)));
}

#[test]
fn however_many_keys_there_are_people_are_told_a_few_lines() {
    let input: String = (0..1000).map(|n| records(&format!("agent-{n}"), 2)).collect();
    let output = run(&long(&["-n1"]), input);
    let words = stderr(&output);
    assert_eq!((stdout(&output).lines().count(), words.lines().count()), (1000, 12), "{words}");
    assert!(words.contains(": more than 10 keys are over 1/1h: the others are not named\n"), "{words}");
    assert!(words.ends_with(": 1000 records over 1/1h, dropped\n"), "{words}");
}

#[test]
fn keys_beyond_the_bound_share_one_window_and_that_is_told_once() {
    let input: String = (0..100).map(|n| records(&format!("agent-{n}"), 1)).collect();
    let output = run(&long(&["-n3", "--max-keys", "5"]), input);
    assert_eq!(stdout(&output).lines().count(), 5 + 3);
    let words = stderr(&output);
    assert_eq!(words.matches("more than 5 keys: those beyond them share one window").count(), 1, "{words}");
}

#[test]
fn a_wrong_call_is_refused_before_anything_is_read_or_made() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("made");
    let made = made.to_str().unwrap();
    for (args, words) in [
        (&["--ovr", "drop"][..], "did you mean --over?"),
        (&["-n", "0"], "from 1 to"),
        (&["-n", "-1"], "no count"),
        (&["-n", "ten"], "no count"),
        (&["-n", "1.5"], "no count"),
        (&["-n", "99999999999"], "no count"),
        (&["-n"], "needs a value"),
        (&["-n", ""], "--limit is empty"),
        (&["--per", "0s"], "from 1ms to 366d"),
        (&["--per", "60"], "like 30s, 5m"),
        (&["--per", "2000d"], "from 1ms to 366d"),
        (&["--per", "-1s"], "no span"),
        (&["--by", "timestmap"], "did you mean timestamp?"),
        (&["--by", "clock"], "one of: arrival, timestamp"),
        (&["--over", "block"], "one of: drop, delay, mark"),
        (&["--over", "Mark"], "did you mean mark?"),
        (&["--key", ""], "--key is empty"),
        (&["--key", "a", "--key", "b"], "--key is given twice"),
        (&["--key", "a", "--key-all"], "contradict"),
        (&["--max-keys", "0"], "--key-all"),
        (&["--max-keys", "x"], "not a whole number"),
        (&["--by", "timestamp", "--over", "delay"], "nobody can wait"),
        (&["--by", "timestamp", "--shared"], "time of the day"),
        (&["--max-keys", "5", "--shared"], "take no memory"),
        (&["--store", made], "add --shared"),
        (&["--take"], "check KEY --take"),
        (&["--reject", made, "--reject", made], "given twice"),
        (&["--reject", ""], "empty value"),
        (&["--reject", "/no/such/directory/rejects"], "cannot write rejected lines"),
        (&["--strict=1"], "--strict"),
        (&["-x"], "unknown option -x"),
        (&["log.ndjson"], "it reads standard input: swarm-ratelimit < FILE"),
        (&["check"], "check needs a KEY"),
        (&["check", ""], "an argument is empty"),
        (&["check", "a", "b"], "one KEY"),
        (&["check", "a", "--key-all"], "no KEY"),
        (&["check", "a", "--over", "drop"], "--over is for a stream"),
        (&["check", "a", "--by", "arrival"], "--by is for a stream"),
        (&["check", "a", "--max-keys", "1"], "--max-keys is for a stream"),
        (&["check", "a", "--strict"], "--strict is for a stream"),
        (&["check", "a", "--reject", made], "--reject is for a stream"),
        (&["check", "a", "-n", "0", "--store", made], "from 1 to"),
    ] {
        let output = run(args, "{}\n");
        let said = stderr(&output);
        assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(2)), "{args:?}");
        assert!(said.starts_with("swarm-ratelimit: ") && said.contains(words), "{args:?}: {said}");
        assert!(!fs::exists(made).unwrap(), "{args:?}");
    }
}

#[test]
fn every_option_of_the_table_is_understood_and_stands_in_the_help_which_fits_a_screen() {
    let output = run(&["--help"], "");
    let page = stdout(&output);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(page.lines().count() <= 40 && page.lines().all(|line| line.chars().count() <= 80), "{page}");
    let understood = |args: &[String]| {
        let call = options::parse(&TOOL, std::iter::once("swarm-ratelimit".into()).chain(args.iter().map(Into::into))).unwrap();
        let Call::Run(given) = call else { panic!("{args:?} is no call that runs") };
        request(given).unwrap()
    };
    for opt in TOOL.options {
        assert!(page.contains(&format!("--{}", opt.long)) && !opt.help.is_empty() && opt.man.ends_with('.'), "{}", opt.long);
        let value = match opt.long {
            "per" => "1h",
            "by" => "timestamp",
            "over" => "mark",
            _ => "7",
        };
        let with: &[&str] = match opt.long {
            "take" => &["check", "a"],
            "store" => &["--shared"],
            _ => &[],
        };
        let with: Vec<String> = with.iter().map(ToString::to_string).collect();
        let forms = std::iter::once(format!("--{}", opt.long)).chain(opt.short.map(|letter| format!("-{letter}")));
        for form in forms {
            let mut args = with.clone();
            args.push(form);
            args.extend(opt.value.map(|_| value.to_string()));
            // A name in the table that nobody reads would be a promise not kept.
            assert_ne!(understood(&args), understood(&with), "--{} changes nothing", opt.long);
        }
    }
    assert!(stdout(&run(&["-V"], "")).starts_with("swarm-ratelimit 0."));
}

#[test]
fn a_file_that_the_call_itself_would_grow_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    fs::write(&path, "{\"seq\":1}\nbad\n").unwrap();
    let input = || Stdio::from(fs::File::open(&path).unwrap());
    let append = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let output = ratelimit(&[]).stdin(input()).stdout(Stdio::from(append)).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = ratelimit(&["--reject", path.to_str().unwrap()]).stdin(input()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"seq\":1}\nbad\n");
    let output = ratelimit(&[]).stdin(input()).output().unwrap();
    assert_eq!(stdout(&output), "{\"seq\":1}\n", "a file is an input like any other");
}

#[test]
fn a_full_disk_is_a_failure() {
    if !fs::exists("/dev/full").unwrap() {
        return;
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = ratelimit(&[]).stdout(Stdio::from(full)).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"{}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).starts_with("swarm-ratelimit: cannot write the output: "), "{}", stderr(&output));
    let output = run(&long(&["-n1", "--reject", "/dev/full"]), records("a", 3));
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("cannot keep a rejected line in /dev/full: "), "{}", stderr(&output));
    assert_eq!(stdout(&output), record("a", 1), "what may pass passes all the same");
}

#[test]
fn hostile_bytes_reach_standard_error_only_as_visible_escapes_and_long_keys_are_cut() {
    let key = "\\u001b]0;title\\u0007\u{9b}2J".to_string() + &"x".repeat(1000);
    let output = run(&long(&["-n1"]), format!("{{\"sender_id\":\"{key}\"}}\n").repeat(2));
    let words = stderr(&output);
    assert!(words.lines().count() == 2 && words.len() < 300 && words.chars().all(|c| c == '\n' || !c.is_control()), "{words:?}");
    let output = run(&["--key", "\u{1b}[31m"], "{\"\\u001b[31m\":[]}\n");
    assert!(!stderr(&output).contains('\u{1b}') && output.status.code() == Some(2), "{:?}", stderr(&output));
}
