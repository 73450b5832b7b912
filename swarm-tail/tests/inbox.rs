//! The binary as an agent's inbox: what is for it, each once, and nothing that was not printed counts as read.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{Dice, Following, Place, append, line, lines, seq, until};
use swarm_common::journal::Draft;
use swarm_common::registry::{Agent, Pane, Registry, Server};
use swarm_common::store::Store;
/// A record as the journal has it.
fn message(seq: u64, from: &str, to: &[&str]) -> String {
    let to = to.join("\",\"");
    line(seq).replace("\"agent-0\"", &format!("\"{from}\"")).replace("\"@all\"", &format!("\"{to}\""))
}

/// Of each ten records the first is to `me`.
fn one_in_ten(count: u64) -> String {
    (1..=count).map(|seq| message(seq, "agent-0", &[if seq % 10 == 1 { "me" } else { "you" }])).collect()
}

const SEGMENT: &str = "journal/00000000000000000001.ndjson";

#[test]
fn what_names_me_or_everybody_is_mine_byte_for_byte_and_what_i_sent_is_not() {
    let place = Place::new();
    let odd = "{ \"content\":\"\\u004d\", \"recipients\" : [ \"x\", \"\\u006de\" ], \"seq\": 8 }\n";
    let ended = "{\"seq\":9,\"msg_id\":\"m-9\",\"timestamp\":\"2026-11-23T00:09:00.000000Z\",\"msg_type\":\"EXPIRED\",\"sender_id\":\"me\",\
                 \"recipients\":[\"me\"],\"data\":{\"token\":7},\"content\":\"\"}\n";
    let records = [
        message(1, "agent-0", &["me"]),
        message(2, "agent-0", &["you"]),
        message(3, "agent-0", &["you", "ME", "x"]),
        message(4, "Me", &["@all"]),
        message(5, "you", &["@all"]),
        message(6, "me", &["Me"]),
        message(7, "mee", &["mee", "m"]),
        odd.to_string(),
        ended.to_string(),
        line(10).replace(",\"recipients\":[\"@all\"]", "").replace("INFO", "LOCKED").replace("number", "me"),
    ];
    place.segment(1, &records.concat());
    let mine = format!("{}{}{}{odd}{ended}", records[0], records[2], records[4]);
    for id in ["me", "ME"] {
        let ended = place.run(&["--inbox", "--as", id, "--peek"]);
        assert_eq!((ended.out.as_str(), ended.said.as_str(), ended.status), (mine.as_str(), "", Some(0)));
        let ended = place.run(&["--inbox", "--as", id, "--count"]);
        assert_eq!((ended.out, ended.status), (format!("{{\"agent_id\":\"{id}\",\"unread\":5}}\n"), Some(0)));
    }
    assert!(!place.store().join("cursors").exists(), "to look makes nothing");
    assert_eq!(place.run(&["--inbox", "--as", "me"]).out, mine);
    assert_eq!(place.next_seq("inbox-me"), Some(11), "what was passed over is remembered too");
    // One agent, however it is written; and all was read.
    let ended = place.run(&["--inbox", "--as", "ME"]);
    assert_eq!((ended.out.as_str(), ended.said.as_str(), ended.status), ("", "", Some(0)));
    let ended = place.run(&["--inbox", "--as", "Me", "-c"]);
    assert_eq!((ended.out.as_str(), ended.status), ("{\"agent_id\":\"Me\",\"unread\":0}\n", Some(1)));
}

#[test]
fn an_empty_store_has_an_empty_inbox() {
    let place = Place::new();
    for (args, out, status) in [(&["--peek"][..], "", 0), (&["-c"], "{\"agent_id\":\"me\",\"unread\":0}\n", 1), (&[], "", 0)] {
        let ended = place.run(&[&["--inbox", "--as", "me"], args].concat());
        assert_eq!((ended.out.as_str(), ended.said.as_str(), ended.status), (out, "", Some(status)), "{args:?}");
    }
}

#[test]
fn who_i_am_has_to_be_known_and_the_environment_may_say_it() {
    let place = Place::with(1);
    let ended = place.run(&["--inbox"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.said.contains("who are you?") && ended.said.contains("SWARM_AGENT"), "{}", ended.said);
    let ended = place.run(&["--inbox", "--as", "../me"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.said.contains("is no agent id"), "{}", ended.said);
    let output = place.tail(&["--inbox"]).env("SWARM_AGENT", "Me").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), line(1));
    assert_eq!(place.next_seq("inbox-me"), Some(2));
}

#[test]
fn a_wrong_call_is_told_with_the_right_one() {
    let place = Place::with(1);
    for (args, said) in [
        (&["--inbox", "-n", "3"][..], "--inbox knows where to begin"),
        (&["--inbox", "--from-seq", "3"], "swarm-tail -n 100 | swarm-filter --to ID"),
        (&["--inbox", "--since", "1h", "-f"], "--inbox knows where to begin"),
        (&["--inbox", "--cursor", "a"], "--inbox has a cursor of its own"),
        (&["--inbox", "file"], "for a file: swarm-filter --to ID FILE"),
        (&["--inbox", "--count", "-f"], "swarm-tail --inbox -f"),
        (&["--inbox", "--count", "--limit", "3"], "--count counts all"),
        (&["--count"], "--count counts an inbox"),
        (&["--cursor", "a", "--count"], "--count counts an inbox"),
        (&["--as", "me"], "--as is for --inbox"),
        (&["--force", "-f"], "--force is for --inbox"),
        (&["--cursor", "a", "--as", "me"], "--as is for --inbox"),
        (&["--inbox", "--as", ""], "--as has an empty value"),
    ] {
        let ended = place.run(args);
        assert_eq!((ended.out.as_str(), ended.status), ("", Some(2)), "{args:?}: {}", ended.said);
        assert!(ended.said.contains(said), "{args:?}: {}", ended.said);
    }
    assert!(!place.store().join("cursors").exists());
}

#[test]
fn a_capped_read_says_how_many_of_mine_remain_and_the_next_one_goes_on_there() {
    let place = Place::new();
    place.segment(1, &one_in_ten(60));
    place.segment(61, &(61..=100).map(|seq| message(seq, "a", &["you"])).collect::<String>());
    let read = |args: &[&str]| place.run(&[&["--inbox", "--as", "me"], args].concat());
    let seqs = |out: &str| out.lines().map(seq).collect::<Vec<_>>();
    let ended = read(&["--limit", "2"]);
    assert_eq!((seqs(&ended.out), ended.status), (vec![1, 11], Some(0)));
    assert_eq!(ended.said, "swarm-tail: 4 more messages to me remain: call again\n");
    assert_eq!(place.next_seq("inbox-me"), Some(21), "the first one that is not read");
    let ended = read(&["--limit", "2", "--peek"]);
    assert_eq!(ended.said, "swarm-tail: 2 more messages to me remain: a larger cap shows them\n");
    assert_eq!(seqs(&ended.out), [21, 31]);
    let ended = read(&["--limit", "0"]);
    assert_eq!((ended.out.as_str(), ended.said.contains("4 more messages to me remain")), ("", true));
    let ended = read(&["--max-bytes", "1"]);
    assert_eq!((seqs(&ended.out), ended.said.contains("3 more messages")), (vec![21], true), "one at least");
    let ended = read(&["--max-bytes", &(2 * line(31).len()).to_string()]);
    assert_eq!((seqs(&ended.out), ended.said.contains("1 more message to me remains")), (vec![31, 41], true), "{}", ended.said);
    let ended = read(&["--limit", "1"]);
    assert_eq!((seqs(&ended.out), ended.said.as_str()), (vec![51], ""), "nothing remains, so nothing is said");
    assert_eq!(seqs(&read(&[]).out), [0; 0]);
    assert_eq!(place.next_seq("inbox-me"), Some(101));
}

#[test]
fn of_a_hundred_thousand_unread_messages_a_few_are_printed_and_the_rest_is_not_all_counted() {
    let place = Place::new();
    for first in [1, 50_001] {
        place.segment(first, &(first..first + 50_000).map(|seq| message(seq, "agent-0", &["me"])).collect::<String>());
    }
    let ended = place.run(&["--inbox", "--as", "me", "--limit", "3"]);
    assert_eq!(ended.out.lines().map(seq).collect::<Vec<_>>(), [1, 2, 3]);
    let remain: u64 = ended.said.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!(ended.said.contains(" at least ") && (10_000..20_000).contains(&remain), "{}", ended.said);
    assert_eq!(place.next_seq("inbox-me"), Some(4));
    assert_eq!(place.run(&["--inbox", "--as", "me", "-c"]).out, "{\"agent_id\":\"me\",\"unread\":99997}\n");
}

#[test]
fn what_was_said_to_everybody_before_i_was_registered_is_not_mine_and_what_was_said_to_me_is() {
    let place = Place::new();
    place.segment(1, &format!("{}{}{}{}", message(1, "a", &["me"]), line(2), line(3), line(4)));
    let store = Store::open(Some(place.store().as_os_str())).unwrap();
    let registry = Registry::of(&store);
    let peek = || place.seqs(&["--inbox", "--as", "ME", "--peek"]);
    assert_eq!(peek(), [1, 2, 3, 4], "not registered");
    registry.put(&Agent::new("me", "2026-11-23T00:03:00Z".parse().unwrap()), false).unwrap();
    assert_eq!(peek(), [1, 3, 4]);
    // An entry that is garbage must not keep an agent from its messages.
    fs::write(place.store().join("agents/me.json"), "garbage\n").unwrap();
    let ended = place.run(&["--inbox", "--as", "me", "--peek"]);
    assert_eq!((ended.out.lines().count(), ended.status), (4, Some(0)));
    assert!(ended.said.contains("swarm-agents register me"), "{}", ended.said);
}

#[test]
fn in_a_registered_pane_nobody_needs_to_say_who_he_is_and_anothers_inbox_needs_force() {
    let place = Place::with(1);
    let store = Store::open(Some(place.store().as_os_str())).unwrap();
    // What a server is to the registry, this process is.
    let pid = std::process::id();
    let socket = place.path("socket");
    let server = Server::of(&socket, pid).unwrap().unwrap();
    let mut agent = Agent::new("Agent-1", "2026-11-23T00:00:00Z".parse().unwrap());
    agent.pane = Some(Pane { id: "%3".into(), server, pid });
    Registry::of(&store).put(&agent, false).unwrap();
    let run = |args: &[&str]| -> support::Ended {
        let mut call = place.tail(args);
        call.env("TMUX", format!("{},{pid},0", socket.display())).env("TMUX_PANE", "%3").output().unwrap().into()
    };
    assert_eq!(run(&["--inbox", "--count"]).out, "{\"agent_id\":\"Agent-1\",\"unread\":1}\n");
    let refused = run(&["--inbox", "--as", "other"]);
    assert_eq!((refused.out.as_str(), refused.status), ("", Some(2)));
    assert!(refused.said.contains("--force"), "{}", refused.said);
    assert_eq!(run(&["--inbox", "--as", "other", "--peek"]).out, line(1), "to look is free");
    assert_eq!(run(&["--inbox", "--as", "other", "--force"]).out, line(1));
    assert_eq!((place.next_seq("inbox-other"), place.next_seq("inbox-agent-1")), (Some(2), None));
    assert_eq!(run(&["--inbox"]).out, line(1));
    assert_eq!(place.next_seq("inbox-agent-1"), Some(2));
}

#[test]
fn what_comes_is_printed_at_once_and_the_records_of_others_move_nothing_until_there_are_many() {
    let place = Place::new();
    place.segment(1, &one_in_ten(5));
    let mut following = Following::start(place.tail(&["--inbox", "--as", "me", "-f"]));
    assert_eq!(seq(&following.line()), 1);
    until("the cursor moves", || place.next_seq("inbox-me") == Some(6));
    let written = || fs::metadata(place.cursor("inbox-me")).map(|meta| (meta.mtime(), meta.mtime_nsec())).unwrap();
    let before = written();
    let segment = place.store().join(SEGMENT);
    for seq in 6..=10 {
        append(&segment, &message(seq, "a", &["you"]));
        thread::sleep(Duration::from_millis(2));
        until("it sleeps", || following.is_asleep());
    }
    assert_eq!((written(), place.next_seq("inbox-me")), (before, Some(6)), "not for the records of others");
    append(&segment, &message(11, "a", &["Me"]));
    assert_eq!(seq(&following.line()), 11);
    until("the cursor moves", || place.next_seq("inbox-me") == Some(12));
    append(&segment, &(12..=20_012).map(|seq| message(seq, "a", &["you"])).collect::<String>());
    until("the cursor moves over what is for others", || place.next_seq("inbox-me").is_some_and(|seq| seq > 10_000));
    assert_eq!(following.ends(), (Some(0), String::new()));
}

#[test]
fn a_second_reader_of_an_inbox_is_refused_with_the_way_out() {
    let place = Place::with(1);
    let mut following = Following::start(place.tail(&["--inbox", "--as", "me", "-f"]));
    assert_eq!(following.line(), line(1));
    let ended = place.run(&["--inbox", "--as", "ME"]);
    assert_eq!((ended.out.as_str(), ended.status), ("", Some(1)));
    assert!(ended.said.contains("the inbox of ME is being read by another process") && ended.said.contains("--peek"), "{}", ended.said);
    assert_eq!(place.run(&["--inbox", "--as", "me", "--peek"]).status, Some(0));
    assert_eq!(place.run(&["--inbox", "--as", "you"]).out, line(1), "each has one of his own");
}

#[test]
fn unread_messages_that_retention_removed_are_told() {
    let place = Place::with(3);
    assert_eq!(place.run(&["--inbox", "--as", "me", "--limit", "1"]).out, line(1));
    fs::remove_file(place.segment(1, "")).unwrap();
    place.segment(10, &lines(10..=11));
    let ended = place.run(&["--inbox", "--as", "me"]);
    assert_eq!((ended.out, ended.status), (lines(10..=11), Some(0)));
    assert_eq!(ended.said, "swarm-tail: seqs 2 to 9 are no longer kept: going on at the oldest record, seq 10\n");
    assert_eq!(place.run(&["--inbox", "--as", "me"]).said, "", "told once");
    assert_eq!(place.seqs(&["--inbox", "--as", "new"]), [10, 11], "a new inbox begins at the oldest record");
}

#[test]
fn garbage_is_told_and_left_out_and_a_cursor_from_elsewhere_begins_anew() {
    let place = Place::new();
    // A good head, and behind it what a power cut left.
    let torn = message(3, "a", &["me"]).replace("number 3\"}", "\0\0\0\0");
    // Nobody else looks into what is not for me.
    let others = message(4, "a", &["you"]).replace("number 4\"}", "\0\0\0\0");
    place.segment(1, &format!("{}garbage\n{torn}{others}{}", message(1, "a", &["me"]), message(5, "a", &["me"])));
    let ended = place.run(&["--inbox", "--as", "me"]);
    assert_eq!((ended.out.lines().map(seq).collect::<Vec<_>>(), ended.status), (vec![1, 5], Some(3)));
    let said: Vec<&str> = ended.said.lines().collect();
    assert!(said[0].contains("where seq 2 is due") && said[1].contains("where seq 3 is due"), "{}", ended.said);
    assert_eq!((said.len(), place.next_seq("inbox-me")), (2, Some(6)));
    fs::write(place.cursor("inbox-me"), "{\"next_seq\":900}\n").unwrap();
    let ended = place.run(&["--inbox", "--as", "me"]);
    assert!(ended.said.contains("going on at the oldest record, seq 1"), "{}", ended.said);
    assert_eq!((ended.out.lines().count(), place.next_seq("inbox-me")), (2, Some(6)));
    let ended = place.run(&["--inbox", "--as", "me", "-c"]);
    assert_eq!((ended.out.as_str(), ended.status), ("{\"agent_id\":\"me\",\"unread\":0}\n", Some(1)));
}

#[test]
fn what_a_reader_that_stopped_took_is_read_and_no_more() {
    let place = Place::new();
    place.segment(1, &one_in_ten(100_000));
    let mut following = Following::start(place.tail(&["--inbox", "--as", "me"]));
    let mut taken = vec![0; 100_000];
    following.out.as_mut().unwrap().read_exact(&mut taken).unwrap();
    until("the cursor moves", || place.next_seq("inbox-me").is_some_and(|next_seq| next_seq > 1));
    until("the cursor stands still", || following.is_asleep());
    let next_seq = place.next_seq("inbox-me").unwrap();
    following.signal("KILL");
    following.out.as_mut().unwrap().read_to_end(&mut taken).unwrap();
    let whole = taken.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert!(whole < 10_000, "it was stopped in the middle");
    let last_taken = 10 * whole - 9;
    assert!((last_taken + 1..=last_taken + 10).contains(&next_seq), "{next_seq} behind {last_taken}");
    let rest = place.run(&["--inbox", "--as", "me"]).out;
    assert_eq!(rest.lines().map(seq).collect::<Vec<_>>(), (whole * 10 + 1..=100_000).step_by(10).collect::<Vec<_>>());
}

#[test]
fn head_ends_it_quietly_and_what_the_pipe_did_not_take_is_still_unread() {
    let place = Place::new();
    place.segment(1, &one_in_ten(100_000));
    let mut call = place.tail(&["--inbox", "--as", "me"]);
    let mut tail = call.spawn().unwrap();
    let head = Command::new("head").args(["-n", "1"]).stdin(tail.stdout.take().unwrap()).stdout(Stdio::piped()).output().unwrap();
    assert_eq!(seq(&String::from_utf8(head.stdout).unwrap()), 1);
    let mut said = String::new();
    tail.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((tail.wait().unwrap().code(), said.as_str()), (Some(0), ""));
    let unread = place.run(&["--inbox", "--as", "me"]).out.lines().count();
    assert!(unread > 9_000, "a pipe holds 64 KiB: {unread}");
}

#[test]
fn a_reader_that_is_killed_again_and_again_has_every_message_in_the_end_and_repeats_only_its_last() {
    const KILLS: u64 = 100;
    let place = Place::new();
    let journal = place.journal(4096);
    let mut dice = Dice(42);
    let (mut printed, mut hits, mut sent): (Vec<u64>, u64, Vec<u64>) = (Vec::new(), 0, Vec::new());
    for n in 0..KILLS {
        let count = 1 + dice.below(20);
        let drafts: Vec<Draft> = (0..count)
            .map(|k| {
                let to = if dice.below(3) == 0 { "Me" } else { "you" };
                let body = format!("\"msg_type\":\"INFO\",\"sender_id\":\"a\",\"recipients\":[\"{to}\"],\"content\":\"x\"}}").into_bytes();
                Draft { msg_id: format!("id-{n}-{k}"), id_is_own: false, sender_id: "a".into(), body }
            })
            .collect();
        let receipts = journal.append(&drafts, &mut |_| {}).unwrap();
        let is_mine = |draft: &Draft| draft.body.windows(4).any(|four| four == b"\"Me\"");
        let mine: Vec<u64> = receipts.iter().zip(&drafts).filter(|(_, draft)| is_mine(draft)).map(|(receipt, _)| receipt.seq).collect();
        let mut following = Following::start(place.tail(&["--inbox", "--as", "me", "-f"]));
        if !mine.is_empty() {
            printed.push(seq(&following.line()));
        }
        thread::sleep(Duration::from_micros(dice.below(4) * dice.below(700)));
        following.child.kill().unwrap();
        assert_eq!(following.child.wait().unwrap().signal(), Some(9), "it was alive");
        let mut rest = String::new();
        following.out.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        printed.extend(rest.lines().map(seq));
        sent.extend(mine);
        let next_seq = place.next_seq("inbox-me").unwrap_or(1);
        let unprinted = sent.iter().find(|seq| !printed.contains(seq));
        assert!(unprinted.is_none_or(|&seq| next_seq <= seq), "the cursor says {next_seq}, and {unprinted:?} was not printed");
        hits += u64::from(printed.last().is_some_and(|&last| next_seq <= last));
    }
    printed.extend(place.seqs(&["--inbox", "--as", "me"]));
    assert!(hits > KILLS / 20, "{hits} of {KILLS} kills hit between printing and committing");
    let in_order: Vec<u64> = {
        let mut seen = std::collections::BTreeSet::new();
        printed.iter().copied().filter(|&seq| seen.insert(seq)).collect()
    };
    assert_eq!(in_order, sent, "each, in order, if repeats are left out");
}

#[test]
fn reads_of_any_size_together_print_what_a_parser_of_the_whole_journal_finds() {
    let place = Place::new();
    let mut dice = Dice(7);
    let ids = ["me", "ME", "you", "@all", "mee", "a"];
    let types = ["INFO", "QUESTION", "EXPIRED", "LOCKED"];
    let mut first = 1;
    while first < 4000 {
        let end = first + 1 + dice.below(300);
        let record = |seq: u64, dice: &mut Dice| {
            let pick = |dice: &mut Dice| ids[dice.below(ids.len() as u64) as usize];
            let sender = pick(dice).replace('@', "");
            let to: Vec<&str> = (0..1 + dice.below(3)).map(|_| pick(dice)).collect();
            let text = message(seq, &sender, &to).replace("INFO", types[dice.below(4) as usize]);
            if dice.below(20) == 0 { text.replace("\"me\"", "\"\\u006de\"") } else { text }
        };
        place.segment(first, &(first..end).map(|seq| record(seq, &mut dice)).collect::<String>());
        first = end;
    }
    let expected: Vec<Value> = (place.run(&[]).out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()))
        .filter(|record| {
            let is_me = |id: &Value| id.as_str().unwrap().to_lowercase() == "me";
            let is_named = record["recipients"].as_array().unwrap().iter().any(|id| is_me(id) || id == "@all");
            let is_told = ["EXPIRED", "LOCKED"].contains(&record["msg_type"].as_str().unwrap());
            is_named && (is_told || !is_me(&record["sender_id"]))
        })
        .collect();
    assert!(expected.len() > 1000 && expected.len() < 3500, "{}", expected.len());
    let mut got = Vec::new();
    loop {
        let (limit, bytes) = ((1 + dice.below(400)).to_string(), (1 + dice.below(60_000)).to_string());
        let counted = place.run(&["--inbox", "--as", "me", "-c"]).out;
        let unread = serde_json::from_str::<Value>(&counted).unwrap()["unread"].as_u64().unwrap() as usize;
        assert_eq!(unread, expected.len() - got.len());
        let ended = place.run(&["--inbox", "--as", "me", "--limit", &limit, "--max-bytes", &bytes]);
        let before = got.len();
        got.extend(ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        let remain = ended.said.split(' ').find_map(|word| word.parse::<usize>().ok()).unwrap_or(0);
        assert_eq!((remain, ended.status), (expected.len() - got.len(), Some(0)), "{}", ended.said);
        if got.len() == before {
            break;
        }
    }
    assert_eq!(got, expected);
}
