//! What is typed into a pane: nothing in it is a key or an order to the terminal, and no text forges a first line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarm_common::text::{for_pane, is_unsafe};
use swarm_send::deliver::block::{Block, LINE_BYTES_MAX, Letter};

fuzz_target!(|text: &str| {
    let shown = for_pane(text);
    assert!(!shown.chars().any(|c| is_unsafe(c) && c != '\n'));
    assert_eq!(for_pane(&shown), shown);
    // What is left stood there, in that order.
    let mut kept = text.chars().map(|c| match c {
        '\r' => '\n',
        '\t' => ' ',
        c => c,
    });
    assert!(shown.chars().all(|c| kept.any(|other| other == c)));
    let letter = Letter {
        from: text,
        msg_type: text,
        seq: 1,
        msg_id: text,
        requires_ack: text.len() % 2 == 0,
        retry: u32::try_from(text.len() % 3).ok(),
        content: text,
    };
    let block = Block::message(&letter);
    let mut lines = block.text().split('\n');
    assert!(lines.next().is_some_and(|line| line.starts_with("[swarm] from ") && line.is_ascii() && line.len() <= LINE_BYTES_MAX));
    let mut body = String::new();
    for line in lines {
        assert!(line.len() <= LINE_BYTES_MAX);
        body += line.strip_prefix("| ").expect("a bar");
    }
    assert_eq!(body, shown.replace('\n', ""));
});
