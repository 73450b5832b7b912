//! A bug on purpose: a writer that answers before it writes. `torture` has to find it out, else it would find out nothing.

use std::io::{BufRead, Write, stdin, stdout};

use swarm_common::journal::{Draft, Journal, Settings};

fn main() {
    let store = std::env::var("SWARM_STORE").unwrap_or_default();
    let journal = Journal::at(std::path::Path::new(&store).join("journal"), Settings::default());
    for line in stdin().lock().lines().map_while(Result::ok) {
        let Ok(bounds) = journal.bounds() else { return };
        let _ = writeln!(stdout(), "{{\"status\":\"accepted\",\"seq\":{}}}", bounds.next_seq);
        let body = format!("\"msg_type\":\"INFO\",\"sender_id\":\"a\",\"recipients\":[\"b\"],{}", line.trim_start_matches('{'));
        let draft = Draft { msg_id: line.len().to_string(), id_is_own: false, sender_id: "a".into(), body: body.into_bytes() };
        if journal.append(&[draft], &mut |_| ()).is_err() {
            return;
        }
    }
}
