//! One message sent, with the sync that makes it last.

use std::fs::File;

use crate::process::{Outcome, Run, fresh, settle};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave, millis};
use crate::setup::Setup;
use crate::stats::Unit;

const TEXT: &str = "Which schema do the new invoices use? The migration in 0042 adds a tenant column, the code reads none.";
/// As long as the record that swarm-send writes for TEXT.
const LINE: &str = r#"{"seq":1042,"msg_id":"01936f2e-5b7a-7c11-9d3e-8a4f00c1d2e3","timestamp":"2026-11-23T08:34:30.123456Z","msg_type":"INFO","sender_id":"a","recipients":["b"],"content":"Which schema do the new invoices use? The migration in 0042 adds a tenant column, the code reads none."}"#;

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let rounds = setup.size(300, 10);
    let title = format!("one message, on disk when the command ends; {rounds} rounds, interleaved");
    let mut section = Section::new("send", title);
    let dir = setup.work.join("send");
    fresh(&dir)?;
    let (store, lock, log) = (dir.join("store"), dir.join("lock"), dir.join("log"));
    File::create(&lock)?;

    let ours =
        Run::new(setup.tool("swarm-send")?, ["--store".into(), store.clone().into_os_string()]).args(["--as", "a", "--to", "b", TEXT]);
    let theirs = Run::new(setup.needed("flock")?, [lock.into_os_string()])
        .args(["sh", "-c", r#"echo "$1" >> "$0"; sync -d "$0""#])
        .arg(&log)
        .arg(LINE);
    let case = |name: &str, run: Run| {
        let dir = dir.clone();
        Case::new(name, Unit::Millis, move || {
            settle(&dir)?;
            Ok(millis(run.timed()?))
        })
    };
    let series =
        interleave(rounds, vec![case("swarm-send --as a --to b TEXT", ours), case("flock, sh: echo >> log; sync -d log", theirs)])?;

    let sent = Run::new("/bin/sh", ["-c", r#"cat "$0"/journal/*.ndjson"#]).arg(&store).output()?;
    let (sent, wanted) = (crate::process::count_lines(&sent), rounds + 1);
    if sent != wanted {
        return Err(format!("the journal holds {sent} messages of {wanted} sent").into());
    }
    section.rows = vec![Row::against(&series[0], &series[1], Target::AtMostTimes(0.5))];
    Ok(section)
}
