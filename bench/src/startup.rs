//! What it costs to start a tool: it is in every pipeline and behind every hook.

use crate::process::{Outcome, Run};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave};
use crate::setup::Setup;

/// The tool, a run that opens nothing else, its good statuses, and the target over /bin/true.
const TOOLS: [(&str, &[&str], &[i32], f64); 9] = [
    ("swarm-tail", &["--version"], &[0], LEXOPT),
    ("swarm-tail", &["-"], &[0], LEXOPT),
    ("swarm-filter", &["--version"], &[0], LEXOPT),
    ("swarm-filter", &["--type", "ack"], &[1], LEXOPT),
    ("swarm-ratelimit", &["--version"], &[0], LEXOPT),
    ("swarm-ratelimit", &[], &[0], LEXOPT),
    ("swarm-send", &["--version"], &[0], CLAP),
    ("swarm-lock", &["--version"], &[0], CLAP),
    ("swarm-lock", &["overlap", "src/*.rs", "src/*.py"], &[1], CLAP),
];
const LEXOPT: f64 = 0.6;
const CLAP: f64 = 0.9;

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let rounds = setup.size(1000, 50);
    let title = format!("started and waited for, nothing on stdin, against /bin/true; {rounds} rounds, interleaved");
    let mut section = Section::new("startup", title);
    let mut cases = vec![Case::time("/bin/true", Run::new("/bin/true", [""; 0]))];
    for (name, args, good, _) in TOOLS {
        // A program that does nothing starts fast too.
        let version = Run::new(setup.tool(name)?, ["--version"]).output()?;
        if !version.starts_with(format!("{name} ").as_bytes()) {
            return Err(format!("{name} --version does not answer with its name").into());
        }
        cases.push(Case::time([&[name], args].concat().join(" "), Run::new(setup.tool(name)?, args.iter().copied()).good(good)));
    }
    if let Ok(empty) = setup.tool("empty") {
        cases.push(Case::time("an empty static program", Run::new(empty, [""; 0])));
    }
    let series = interleave(rounds, cases)?;
    let (theirs, ours) = (&series[0], &series[1..]);
    let targets = TOOLS.iter().map(|(.., limit)| Target::AtMostTimes(*limit)).chain([Target::None]);
    section.rows = ours.iter().zip(targets).map(|(ours, target)| Row::against(ours, theirs, target)).collect();
    Ok(section)
}
