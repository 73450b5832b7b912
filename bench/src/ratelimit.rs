//! How many records a second go through the rate limit.

use crate::data::Form;
use crate::process::{Input, Outcome, Run, Sink, count_lines};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave};
use crate::setup::Setup;
use crate::stats::Unit;

const TARGET: Target = Target::AtLeast(2e6);

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let count = setup.size(1_000_000, 50_000);
    let rounds = setup.size(15, 3);
    let title = format!("{count} records of about 200 bytes, to a pipe; {rounds} rounds, interleaved");
    let mut section = Section::new("ratelimit", title);
    let tool = setup.tool("swarm-ratelimit")?;

    let mut cases = Vec::new();
    // A limit of 10 drops nearly all; the last one lets all pass.
    for (senders, limit) in [(1, 10), (1000, 10), (1000, count)] {
        let file = setup.data(Form::Small { senders }, count)?;
        let run = |input: Input| {
            Run::new(&tool, ["-n".to_string(), limit.to_string(), "--per".to_string(), "1h".to_string()]).input(input).sink(Sink::Pipe)
        };
        let passed = count_lines(&run(Input::File(file.clone())).output()?);
        let wanted = count.min(senders * limit);
        if passed != wanted {
            return Err(format!("{passed} records passed where {wanted} may ({senders} senders, {limit} each)").into());
        }
        let keys = if senders == 1 { "one key".to_string() } else { format!("{senders} keys") };
        let passing = if limit == 10 { "-n 10" } else { "all pass" };
        for (input, from) in [(Input::File(file.clone()), "file"), (Input::Pipe(file), "pipe")] {
            let run = run(input);
            let name = format!("swarm-ratelimit, {keys}, {passing}, from a {from}");
            cases.push(Case::new(name, Unit::PerSecond, move || Ok(count as f64 / run.timed()?.as_secs_f64())));
        }
    }
    let series = interleave(rounds, cases)?;
    section.rows = series.iter().map(|ours| Row::alone(ours, TARGET)).collect();
    Ok(section)
}
