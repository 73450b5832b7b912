//! Acknowledgements in a journal of 100,000 messages, 1,000 of which wait: what waits, by the saved position and by none; one acknowledgement; a tick
//! with nothing due.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::DirBuilderExt;

use crate::process::{Input, Outcome, Run, Sink, count_lines, fresh, settle};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave, millis};
use crate::setup::Setup;
use crate::stats::Unit;

/// Every so many messages one asks for an acknowledgement.
const ASKING: usize = 100;
const AGENTS: usize = 10;
const TEXT: &str = "Which schema do the new invoices use? The migration in 0042 adds a tenant column, the code reads none.";

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let count = setup.size(100_000, 5_000);
    let rounds = setup.size(200, 5);
    let title = format!("a journal of {count} messages, {} of which wait; {rounds} rounds, interleaved", count / ASKING);
    let mut section = Section::new("ack", title);
    let dir = setup.work.join("ack");
    fresh(&dir)?;
    let store = dir.join("store");
    fs::DirBuilder::new().mode(0o700).create(&store)?;
    fs::write(store.join("config.toml"), "[ack]\nretry = [\"1d\"]\n")?;
    let run =
        |tool: &str, args: &[&str]| -> Outcome<Run> { Ok(Run::new(setup.tool(tool)?, args.iter().copied()).arg("--store").arg(&store)) };
    for n in 0..AGENTS {
        run("swarm-agents", &["register", &format!("agent-{n}")])?.sink(Sink::Pipe).output()?;
    }
    let mut messages = String::new();
    for n in 0..count {
        let ask = if n % ASKING == 0 { "\"requires_ack\":true," } else { "" };
        writeln!(
            messages,
            "{{\"msg_id\":\"m{n}\",\"recipients\":[\"agent-{}\"],{ask}\"content\":\"{TEXT} {TEXT} {TEXT} {n}\"}}",
            n / ASKING % AGENTS
        )?;
    }
    let file = dir.join("messages");
    fs::write(&file, messages)?;
    run("swarm-send", &["-q", "--as", "lead", "--no-deliver"])?.input(Input::File(file)).output()?;
    let waiting = count_lines(&run("swarm-ack", &["pending"])?.output()?);
    if waiting != count / ASKING {
        return Err(format!("{waiting} wait, and not {}", count / ASKING).into());
    }

    let pending = || -> Outcome<Run> { Ok(run("swarm-ack", &["pending"])?.sink(Sink::Pipe)) };
    let saved = Case::time("pending, its position saved", pending()?);
    let version = Case::time("swarm-ack --version", Run::new(setup.tool("swarm-ack")?, ["--version"]).sink(Sink::Pipe));
    let tick = Case::time("tick, nothing due", run("swarm-ack", &["tick"])?.sink(Sink::Pipe));
    let series = interleave(rounds, vec![saved, tick, version])?;
    section.rows.push(Row::alone(&series[0], Target::AtMost(5.0)));
    section.rows.push(Row::against(&series[1], &series[2], Target::AtMostTimes(1.3)));

    let (folds, pending) = (store.join("folds"), pending()?);
    let first = Case::new("pending, from the first record", Unit::Millis, move || {
        fs::remove_dir_all(&folds)?;
        Ok(millis(pending.timed()?))
    });
    let search = Case::time(
        "rg -c requires_ack",
        Run::new(setup.needed("rg")?, ["-uu", "-c", "requires_ack"]).arg(store.join("journal")).sink(Sink::Pipe),
    );
    let series = interleave(rounds.div_ceil(5), vec![first, search])?;
    section.rows.push(Row::against(&series[0], &series[1], Target::AtMostTimes(2.0)));

    let (mut next, place, run) = (0, dir.clone(), &run);
    let ack = Case::new("one acknowledgement", Unit::Millis, move || {
        settle(&place)?;
        let (id, agent) = (format!("m{}", next * ASKING), format!("agent-{}", next % AGENTS));
        next += 1;
        Ok(millis(run("swarm-ack", &["--as", &agent, &id])?.sink(Sink::Pipe).timed()?))
    });
    let send = run("swarm-send", &["--as", "lead", "--to", "agent-1", TEXT])?.sink(Sink::Pipe);
    let send = Case::new("one message sent", Unit::Millis, move || {
        settle(&dir)?;
        Ok(millis(send.timed()?))
    });
    let series = interleave(rounds, vec![ack, send])?;
    section.rows.push(Row::against(&series[0], &series[1], Target::AtMostTimes(1.2)));
    Ok(section)
}
