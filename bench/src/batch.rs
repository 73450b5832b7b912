//! A hundred thousand messages on stdin, stored and answered.

use std::path::{Path, PathBuf};

use crate::data::Form;
use crate::process::{Input, Outcome, Run, Sink, count_lines, fresh, settle};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave, millis};
use crate::setup::Setup;
use crate::stats::Unit;

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let count = setup.size(100_000, 5_000);
    let rounds = setup.size(11, 3);
    let file = setup.data(Form::ToSend, count)?;
    let title = format!("{count} messages on stdin, on disk when the command ends; {rounds} rounds, interleaved");
    let mut section = Section::new("batch", title);
    let dir = setup.work.join("batch");
    let input = Input::File(file);

    let tool = setup.tool("swarm-send")?;
    let ours = |store: PathBuf| Run::new(&tool, ["--store".into(), store.into_os_string()]).input(input.clone()).sink(Sink::Pipe);
    let floor = |log: PathBuf| Run::new("/bin/sh", ["-c", r#"cat >> "$0" && sync -d "$0""#]).arg(log).input(input.clone());

    fresh(&dir)?;
    let answers = ours(dir.join("store")).output()?;
    let accepted = answers.split(|byte| *byte == b'\n').filter(|line| line.starts_with(br#"{"status":"accepted""#)).count();
    if accepted != count || count_lines(&answers) != count {
        return Err(format!("swarm-send accepted {accepted} of {count}").into());
    }

    let mut cases = vec![
        anew(&dir, "swarm-send < FILE", |place| ours(place.to_path_buf())),
        anew(&dir, "cat >> file && sync -d (the floor)", |place| floor(place.to_path_buf())),
    ];
    if let Some(jq) = setup.rival("jq") {
        let run = Run::new(jq, ["-c", "."]).input(input.clone()).sink(Sink::Pipe);
        cases.push(Case::time("jq -c . < FILE (keeps nothing)", run));
    }
    let series = interleave(rounds, cases)?;
    section.rows = series[1..].iter().map(|theirs| Row::against(&series[0], theirs, Target::None)).collect();
    let rate = count as f64 / series[0].quantile(0.5) * 1e3;
    section.notes.push(format!("swarm-send stored {} records", Unit::PerSecond.show(rate)));
    Ok(section)
}

/// Each run writes into a place that is empty, and pays for no sync but its own.
fn anew<'a>(dir: &'a Path, name: &str, run: impl Fn(&Path) -> Run + 'a) -> Case<'a> {
    Case::new(name, Unit::Millis, move || {
        fresh(dir)?;
        settle(dir)?;
        Ok(millis(run(&dir.join("place")).timed()?))
    })
}
