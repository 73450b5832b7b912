//! What lies in the lease table: a line is read or refused, never a panic; what was read is written and read again as the same; a file's
//! name is that of one directory.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use swarm_common::json::Scanner;
use swarm_lock::clock::Clock;
use swarm_lock::lease::{self, Lease, Line, Row};
use swarm_lock::table::name;

fuzz_target!(|bytes: &[u8]| {
    let mut scanner = Scanner::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let read = lease::parse(line, &mut scanner).and_then(|line| line.lease().map(Row::lease));
        // What is read letter by letter is what the scanner reads, who is asked when there is a space before it.
        let spaced = [b" ", line].concat();
        assert_eq!(lease::parse(&spaced, &mut scanner).and_then(|line| line.lease().map(Row::lease)), read);
        let (Some(read), Some(Line::Lease(row))) = (read, lease::parse(line, &mut scanner)) else { continue };
        let clock = Clock { boot_id: read.boot_id.clone(), boot_us: 1, now: Timestamp::UNIX_EPOCH };
        let _ = row.standing(&clock);
        // A text of no known grammar is left out, and a lease of nothing is none.
        if read.patterns.is_empty() {
            continue;
        }
        let written = rewritten(&read, &clock);
        // What a hand may have written, as "files":0, is read; what a tool writes is read as it was meant.
        assert_eq!(rewritten(&written, &clock), written);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(dir) = name::dir_of(text) {
        // Of names that were made, and no others, it is the way back.
        let made = name::of(&dir);
        assert!(made != text || name::may_be_within(text, &dir));
    }
    let made = name::of(text);
    assert!(made.len() <= 255 && !made.contains('/'));
    assert!(name::may_be_within(&made, text), "{made:?}");
    assert!(name::dir_of(&made).is_none_or(|dir| dir == text), "{made:?}");
    for (at, _) in text.match_indices('/') {
        assert!(name::may_be_within(&made, &text[..at]), "{made:?}, {at}");
    }
});

/// The lease as it is read where it was written.
fn rewritten(lease: &Lease, clock: &Clock) -> Lease {
    let mut line = Vec::new();
    lease.write(clock, &mut line);
    match lease::parse(&line, &mut Scanner::new()) {
        Some(Line::Lease(row)) => row.lease(),
        _ => panic!("{}", String::from_utf8_lossy(&line)),
    }
}
