//! Selecting one type out of a million messages in a file.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use crate::data::{Form, HALF, RARE};
use crate::process::{Input, Outcome, Run, Sink, count_lines};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave, millis};
use crate::setup::Setup;
use crate::stats::Unit;

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let count = setup.size(1_000_000, 100_000);
    let (rounds, slow_rounds) = (setup.size(21, 5), setup.size(5, 3));
    let file = setup.data(Form::Stored, count)?;
    let tenth = setup.data(Form::Stored, count / 10)?;
    let mib = std::fs::metadata(&file)?.len() >> 20;
    let title = format!(
        "one type of {count} messages ({mib} MiB, in the page cache); {rounds} rounds against rg, {slow_rounds} against jaq and jq, interleaved"
    );
    let mut section = Section::new("filter", title);

    let ours = setup.tool("swarm-filter")?;
    let rg = setup.rival("rg");
    let jaq = setup.rival("jaq");
    let jq = setup.rival("jq");
    for (name, path) in [("rg", &rg), ("jaq", &jaq), ("jq", &jq)] {
        if path.is_none() {
            section.notes.push(format!("{name} is not installed: skipped"));
        }
    }
    section.notes.push("jq ran on a tenth of the data, its time counts ten times".to_string());
    section.notes.push("all passed the same lines (checked before the clock ran)".to_string());

    let filter = |kind: &str, file: &Path| Run::new(&ours, ["--type", kind]).arg(file);
    let search = |rg: &Path, kind: &str, file: &Path| {
        Run::new(rg, ["--no-config".to_string(), "-F".to_string(), format!("\"msg_type\":\"{kind}\"")]).arg(file)
    };
    let select = |jq: &Path, kind: &str, file: &Path| Run::new(jq, ["-c".to_string(), format!("select(.msg_type==\"{kind}\")")]).arg(file);

    for (kind, share) in [(RARE, "0.1 %"), (HALF, "50 %")] {
        let mut all = Passed::of(filter(kind, &file))?;
        if let Some(rg) = &rg {
            all.same_as(&mut Passed::of(search(rg, kind, &file))?)?;
        }
        if let Some(jaq) = &jaq {
            all.as_many_as(&mut Passed::of(select(jaq, kind, &file))?)?;
        }
        if let Some(jq) = &jq {
            Passed::of(filter(kind, &tenth))?.as_many_as(&mut Passed::of(select(jq, kind, &tenth))?)?;
        }
        if let Some(rg) = &rg {
            let target = if kind == RARE { Target::AtMostTimes(1.1) } else { Target::None };
            for is_pipe in [true, false] {
                let sink = || if is_pipe { Ok(Sink::Pipe) } else { Sink::memory() };
                let to = if is_pipe { "to a pipe" } else { "to a file (tmpfs)" };
                let series = interleave(
                    rounds,
                    vec![
                        Case::time(format!("swarm-filter, {share} {to}"), filter(kind, &file).sink(sink()?)),
                        Case::time(format!("rg -F, {share} {to}"), search(rg, kind, &file).sink(sink()?)),
                    ],
                )?;
                section.rows.push(Row::against(&series[0], &series[1], target));
            }
        }
        // Apart from rg: who runs after seconds of jq finds the processor's caches cold, and that must not be one side alone.
        let ours = Case::time(format!("swarm-filter, {share}, beside jaq and jq"), filter(kind, &file).sink(Sink::Pipe));
        let (mut cases, mut targets) = (vec![ours], Vec::new());
        if let Some(jaq) = &jaq {
            cases.push(Case::time(format!("jaq, {share}"), select(jaq, kind, &file).sink(Sink::Pipe)));
            targets.push(Target::Faster(20.0));
        }
        if let Some(jq) = &jq {
            let run = select(jq, kind, &tenth).sink(Sink::Pipe);
            cases.push(Case::new(format!("jq, {share} (x10)"), Unit::Millis, move || Ok(10.0 * millis(run.timed()?))));
            targets.push(Target::Faster(40.0));
        }
        let series = interleave(slow_rounds, cases)?;
        let rivals = series[1..].iter().zip(targets);
        section.rows.extend(rivals.map(|(theirs, target)| Row::against(&series[0], theirs, target)));
    }
    if let Some(rg) = &rg {
        let piped = |run: Run| run.input(Input::Pipe(file.clone())).sink(Sink::Pipe);
        let search = Run::new(rg, ["--no-config".to_string(), "-F".to_string(), format!("\"msg_type\":\"{RARE}\"")]);
        let series = interleave(
            rounds,
            vec![
                Case::time("swarm-filter, 0.1 % from a pipe", piped(Run::new(&ours, ["--type", RARE]))),
                Case::time("rg -F, 0.1 % from a pipe", piped(search)),
            ],
        )?;
        section.rows.push(Row::against(&series[0], &series[1], Target::None));
    }
    Ok(section)
}

/// What a run let pass, in memory.
struct Passed {
    who: String,
    lines: File,
}

impl Passed {
    fn of(run: Run) -> Outcome<Passed> {
        let run = run.sink(Sink::memory()?);
        run.timed()?;
        let who = crate::setup::name_of(&run.program);
        match run.sink {
            Sink::Memory(lines) => Ok(Passed { who, lines }),
            _ => Err("no file to look into".into()),
        }
    }

    /// Byte for byte.
    fn same_as(&mut self, other: &mut Passed) -> Outcome<()> {
        let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        self.lines.rewind()?;
        other.lines.rewind()?;
        loop {
            let (count, others) = (fill(&mut self.lines, &mut a)?, fill(&mut other.lines, &mut b)?);
            if a[..count] != b[..others] {
                return Err(format!("{} and {} let different lines pass", self.who, other.who).into());
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// The same number of lines, and at least one: jq writes them anew.
    fn as_many_as(&mut self, other: &mut Passed) -> Outcome<()> {
        let (ours, theirs) = (self.count()?, other.count()?);
        if ours != theirs || ours == 0 {
            return Err(format!("{} let {ours} lines pass, {} {theirs}", self.who, other.who).into());
        }
        Ok(())
    }

    fn count(&mut self) -> Outcome<usize> {
        let (mut buffer, mut lines) = (vec![0; 1 << 20], 0);
        self.lines.rewind()?;
        loop {
            match fill(&mut self.lines, &mut buffer)? {
                0 => return Ok(lines),
                count => lines += count_lines(&buffer[..count]),
            }
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> Outcome<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Outcome<Passed> {
        Passed::of(Run::new("/bin/sh", ["-c", &format!("printf '{text}'")]))
    }

    #[test]
    fn a_rival_that_lets_other_lines_pass_is_found_out() -> Outcome<()> {
        assert!(printed("a\\nb\\n")?.same_as(&mut printed("a\\nb\\n")?).is_ok());
        assert!(printed("a\\nb\\n")?.same_as(&mut printed("a\\nc\\n")?).is_err());
        assert!(printed("a\\nb\\n")?.same_as(&mut printed("a\\nb\\nc\\n")?).is_err());
        assert!(printed("a\\nb\\n")?.as_many_as(&mut printed("c\\nd\\n")?).is_ok());
        assert!(printed("a\\nb\\n")?.as_many_as(&mut printed("c\\n")?).is_err());
        assert!(printed("")?.as_many_as(&mut printed("")?).is_err(), "nothing compared is nothing shown");
        Ok(())
    }
}
