//! Measures the swarm tools against what else people use. `run` beside it builds everything and calls it.

mod ack;
mod batch;
mod data;
mod delivery;
mod filter;
mod follow;
mod lock;
mod memory;
mod process;
mod ratelimit;
mod report;
mod rounds;
mod send;
mod setup;
mod startup;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use process::Outcome;
use report::Section;
use setup::Setup;

type Measure = fn(&Setup) -> Outcome<Section>;

/// Every bench, once: its name and its function.
const BENCHES: [(&str, Measure); 10] = [
    ("startup", startup::measure),
    ("filter", filter::measure),
    ("send", send::measure),
    ("batch", batch::measure),
    ("follow", follow::measure),
    ("ratelimit", ratelimit::measure),
    ("lock", lock::measure),
    ("delivery", delivery::measure),
    ("ack", ack::measure),
    ("memory", memory::measure),
];

struct Call {
    is_quick: bool,
    bin: PathBuf,
    home: PathBuf,
    built_for: String,
    benches: Vec<(&'static str, Measure)>,
}

fn main() -> ExitCode {
    match call(std::env::args().skip(1)).and_then(|call| run(&call)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("swarm-bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn call(mut args: impl Iterator<Item = String>) -> Outcome<Call> {
    let mut call = Call { is_quick: false, bin: PathBuf::new(), home: PathBuf::from("."), built_for: String::new(), benches: Vec::new() };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--quick" => call.is_quick = true,
            "--bin" => call.bin = PathBuf::from(value()?),
            "--home" => call.home = PathBuf::from(value()?),
            "--built-for" => call.built_for = value()?,
            name => {
                let names = BENCHES.map(|(name, _)| name).join(", ");
                let found = BENCHES.iter().find(|(known, _)| *known == name);
                call.benches.push(*found.ok_or(format!("{name}: no such bench; there are: {names}"))?);
            }
        }
    }
    if call.benches.is_empty() {
        call.benches = BENCHES.to_vec();
    }
    Ok(call)
}

/// True when every bench could be measured. Whether a target was reached is for people to judge: one noisy run is no
/// reason to fail.
fn run(call: &Call) -> Outcome<bool> {
    let setup = Setup::new(call.bin.clone(), call.home.clone(), call.is_quick)?;
    let machine = setup.machine(&call.built_for);
    let text = |name: &str| machine[name].as_str().unwrap_or("?").to_string();
    let (cores, busy_percent) = (&machine["cores"], machine["busy_percent"].as_f64().unwrap_or_default());
    println!("{}, {cores} cores, Linux {}, {}; commit {}", text("cpu"), text("kernel"), text("date"), text("commit"));
    if busy_percent > 5.0 {
        println!("warning: others took {busy_percent} % of the machine when this began; the figures are worth less");
    }
    if call.is_quick {
        println!("quick: small sizes and few rounds show that the benches work; the figures mean little and are not kept");
    }
    let (mut reached, mut missed, mut failed) = (0, Vec::new(), 0);
    for (name, measure) in &call.benches {
        eprintln!("{name} ...");
        match measure(&setup) {
            Ok(section) => {
                print!("{}", section.table());
                for row in &section.rows {
                    match row.is_reached() {
                        Some(true) => reached += 1,
                        Some(false) => missed.push(row.name()),
                        None => {}
                    }
                }
                if !call.is_quick {
                    keep(&setup, &section, &machine)?;
                }
            }
            Err(error) => {
                println!("\n{name}: not measured: {error}");
                failed += 1;
            }
        }
    }
    println!("\nreached {reached} of {} targets", reached + missed.len());
    missed.iter().for_each(|name| println!("  missed: {name}"));
    Ok(failed == 0)
}

/// Keeps a run. The last of a day counts.
fn keep(setup: &Setup, section: &Section, machine: &serde_json::Value) -> Outcome<()> {
    let day = machine["date"].as_str().and_then(|date| date.get(..10)).ok_or("date(1) gave no date")?;
    let dir = setup.home.join("runs");
    std::fs::create_dir_all(&dir)?;
    Ok(std::fs::write(dir.join(format!("{day}-{}.ndjson", section.name)), section.ndjson(machine))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_bench_is_refused_with_the_known_ones() {
        let refused = call(["startpu".to_string()].into_iter()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("startup, filter"), "{refused}");
    }

    #[test]
    fn without_a_name_all_are_measured() -> Outcome<()> {
        assert_eq!(call(["--quick".to_string()].into_iter())?.benches.len(), BENCHES.len());
        assert_eq!(call(["send".to_string()].into_iter())?.benches.len(), 1);
        Ok(())
    }
}
