//! A lease taken and given back, as two processes, with so many others in the table; and what else is asked of leases.

use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use swarm_lock::overlap::{Decision, overlap};
use swarm_lock::pattern::Pattern;

use crate::memory;
use crate::process::{Input, Outcome, Run, Sink, count_lines, fresh};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave, millis};
use crate::setup::Setup;
use crate::stats::{Series, Unit};

const SIZES: [usize; 4] = [0, 100, 1_000, 10_000];
/// So many leases lie in a directory of the tree, one of them a glob.
const PER_DIR: usize = 20;
const AGENTS: usize = 50;
/// What is asked for: beside others, where there are any.
const PATH: &str = "crates/c3/src/probe.rs";
const GLOB: &str = "crates/c3/src/probe_*.rs";
/// Whatever a crate has in this directory: this has to look at the leases of all crates.
const WIDE: &str = "crates/*/probe/**";
/// What is made to be slow: a part of each pattern, and how often it stands there.
const PATHOLOGICAL: [(&str, &str, &str, usize); 4] = [
    ("{a,b} 20 times", "{a,b}", "{a,b}", 20),
    ("*a 200 times against *b 200 times", "*a", "*b", 200),
    ("**/*a/ 100 times against **/*b/ 100 times", "**/*a/", "**/*b/", 100),
    ("{*a,?,[!b]} 60 times against *? 60 times", "{*a,?,[!b]}", "*?", 60),
];

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let rounds = setup.size(300, 5);
    let sizes: Vec<usize> = SIZES.into_iter().map(|size| if setup.is_quick { size / 20 } else { size }).collect();
    let title = format!("a lease taken and given back, two processes, beside {sizes:?} leases; {rounds} rounds, interleaved");
    let mut section = Section::new("lock", title);
    let dir = setup.work.join("lock");
    fresh(&dir)?;
    let tables = sizes.iter().map(|&size| Table::filled(setup, &dir, size)).collect::<Outcome<Vec<Table>>>()?;
    let (full, most) = (&tables[tables.len() - 1], sizes[sizes.len() - 1]);

    section.rows = pairs(setup, rounds, &dir, &tables)?;
    let glob = |name: &str, table: &Table, pattern: &str| {
        Case::new(format!("acquire {name}, {}", table.size), Unit::Millis, {
            let (acquire, release) = (table.acquire(pattern), table.release(pattern));
            move || {
                let took = millis(acquire.timed()?);
                release.timed()?;
                Ok(took)
            }
        })
    };
    let mut cases = vec![Case::time(format!("list, {most}"), full.run(["list"]).sink(Sink::Pipe))];
    cases.extend(tables.iter().map(|table| glob("a path", table, PATH)));
    cases.extend(tables.iter().map(|table| glob("a glob", table, GLOB)));
    cases.extend(tables.iter().map(|table| glob("a glob over all directories", table, WIDE)));
    let series = interleave(rounds.div_ceil(3), cases)?;
    section.rows.push(Row::alone(&series[0], Target::AtMost(10.0)));
    section.rows.extend(series[1..].iter().map(|series| Row::alone(series, Target::None)));

    let (acquire, release) = (full.acquire(PATH), full.release(PATH));
    let held = Case::new(format!("memory of acquire, {most}"), Unit::Mebibytes, move || {
        let held = memory::peak(&acquire)?;
        release.timed()?;
        Ok(held)
    });
    let list = full.run(["list"]).sink(Sink::Pipe);
    let listed = Case::new(format!("memory of list, {most}"), Unit::Mebibytes, move || memory::peak(&list));
    let series = interleave(setup.size(9, 1), vec![held, listed])?;
    section.rows.push(Row::alone(&series[0], Target::AtMost(4.0)));
    section.rows.push(Row::alone(&series[1], Target::None));

    section.rows.extend(decisions(setup)?);
    section.notes = vec![
        format!("{PER_DIR} leases a directory, the last of them a glob; {AGENTS} agents in turn; {PATH} is asked for by another"),
        "the Python program, by its own account: a single path < 5 ms, a glob < 100 ms at 100 locks and about 1 s at 1,000".to_string(),
        "SQLite decides nothing between globs, has no waiters and no journal for others; its rollback journal is the usual one, nothing is synced"
            .to_string(),
    ];
    Ok(section)
}

/// Both tools in turns over tables of each size, and two runs of flock.
fn pairs(setup: &Setup, rounds: usize, dir: &Path, tables: &[Table]) -> Outcome<Vec<Row>> {
    let lock = dir.join("flock");
    std::fs::write(&lock, "")?;
    let program = setup.needed("flock")?;
    let flock = || Run::new(&program, [&lock]).arg("true");
    let mut cases = vec![both("flock f true, twice", flock(), flock())];
    cases.extend(tables.iter().map(|table| both(&format!("acquire + release, {}", table.size), table.acquire(PATH), table.release(PATH))));
    let sqlite = |table: &Table, what: &str| {
        Run::new(&table.sqlite, [""; 0]).arg(table.dir.join("sqlite")).args([what, "probe", PATH]).sink(Sink::Pipe)
    };
    cases.extend(tables.iter().map(|table| both(&format!("SQLite, {}", table.size), sqlite(table, "acquire"), sqlite(table, "release"))));
    let series = interleave(rounds, cases)?;
    let (ours, theirs) = series[1..].split_at(tables.len());
    let mut rows: Vec<Row> = ours.iter().map(|ours| Row::against(ours, &series[0], Target::AtMostTimes(0.5))).collect();
    rows.push(Row::against(&ours[ours.len() - 1], &ours[0], Target::AtMostTimes(1.5)));
    rows.extend(ours.iter().zip(theirs).map(|(ours, theirs)| Row::against(ours, theirs, Target::None)));
    Ok(rows)
}

fn both<'a>(name: &str, first: Run, second: Run) -> Case<'a> {
    Case::new(name, Unit::Millis, move || Ok(millis(first.timed()? + second.timed()?)))
}

/// A project with so many leases, and the same in SQLite.
struct Table {
    size: usize,
    dir: PathBuf,
    tool: PathBuf,
    sqlite: PathBuf,
}

impl Table {
    fn filled(setup: &Setup, dir: &Path, size: usize) -> Outcome<Table> {
        let (tool, sqlite) = (setup.tool("swarm-lock")?, setup.needed("sqlite-lease")?);
        let table = Table { size, dir: dir.join(size.to_string()), tool, sqlite };
        fresh(&table.dir)?;
        std::fs::DirBuilder::new().mode(0o700).create(table.dir.join(".swarm"))?;
        let mut lines = String::new();
        for n in 0..size {
            let (agent, path) = (format!("agent-{}", n % AGENTS), path(n));
            table.run(["acquire", "--ttl", "1d", "--as", &agent, &path]).timed()?;
            writeln!(lines, "{agent}\t{path}")?;
        }
        let (input, db) = (table.dir.join("fill"), table.dir.join("sqlite"));
        std::fs::write(&input, lines)?;
        Run::new(&table.sqlite, [""; 0]).arg(&db).arg("fill").input(Input::File(input)).timed()?;
        // What holds nobody off is no table of leases.
        let held = path(0);
        let rival = Run::new(&table.sqlite, [""; 0]).arg(db).args(["acquire", "probe", &held]);
        if size > 0 {
            table.acquire(&held).good(&[1]).timed()?;
            rival.good(&[1]).timed()?;
            let count = count_lines(&table.run(["list"]).output()?);
            if count != size {
                return Err(format!("{count} leases are listed of {size}").into());
            }
        }
        Ok(table)
    }

    fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        Run::new(&self.tool, args).within(&self.dir)
    }

    fn acquire(&self, path: &str) -> Run {
        self.run(["acquire", "--as", "probe", path]).sink(Sink::Pipe)
    }

    fn release(&self, path: &str) -> Run {
        self.run(["release", "--as", "probe", path]).sink(Sink::Pipe)
    }
}

/// What the n-th lease is about.
fn path(n: usize) -> String {
    let (dir, n) = (n / PER_DIR, n % PER_DIR);
    if n + 1 == PER_DIR { format!("crates/c{dir}/src/gen_*.rs") } else { format!("crates/c{dir}/src/f{n}.rs") }
}

/// What it takes to decide whether two patterns meet, in this process.
fn decisions(setup: &Setup) -> Outcome<Vec<Row>> {
    let patterns = generated(setup.size(2_000, 100))?;
    let mut decided = Series::new("overlap of two generated globs", Unit::Micros);
    let mut parsed = Series::new("the same with both parsed", Unit::Micros);
    let (mut met, mut texts) = (0, patterns.iter());
    while let (Some(a), Some(b)) = (texts.next(), texts.next()) {
        let read = |text: &str| Pattern::glob(text).map_err(|failure| failure.what);
        let (one, other) = (read(a)?, read(b)?);
        met += usize::from(overlap(&one, &other) != Decision::Disjoint);
        decided.samples.push(micros(20, || overlap(&one, &other)));
        parsed.samples.push(micros(20, || read(a).and_then(|a| read(b).map(|b| overlap(&a, &b)))));
    }
    if !(1..patterns.len() / 2).contains(&met) {
        return Err(format!("{met} of {} pairs meet: they are no measure", patterns.len() / 2).into());
    }
    let mut rows = vec![Row::alone(&decided, Target::AtMost(10.0)), Row::alone(&decided, Target::None).at(0.99)];
    rows.push(Row::alone(&parsed, Target::None));
    for (name, a, b, times) in PATHOLOGICAL {
        // With other ends, so that they meet nowhere, or late.
        let read = |part: &str, end: &str| Pattern::glob(&(part.repeat(times) + end)).map_err(|failure| failure.what);
        let (a, b) = (read(a, "x")?, read(b, "y")?);
        let mut series = Series::new(format!("overlap, {name}"), Unit::Micros);
        series.samples = (0..setup.size(50, 3)).map(|_| micros(1, || overlap(&a, &b))).collect();
        rows.push(Row::alone(&series, Target::AtMost(5_000.0)));
    }
    Ok(rows)
}

/// Microseconds a call.
fn micros<T>(calls: u32, call: impl Fn() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        std::hint::black_box(call());
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

/// Globs as people write them, of every kind; each neighbour of another.
fn generated(count: usize) -> Outcome<Vec<String>> {
    const DIRS: [&str; 6] = ["src", "src/auth", "**", "*", "{src,lib}", "src/**"];
    const NAMES: [&str; 8] = ["*.rs", "[a-m]*.rs", "[n-z]*", "a?c*", "{mod,lib,main}.rs", "*_test.*", "login.*", "**"];
    let mut state = 1u64;
    let mut below = |n: usize| {
        // splitmix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64)
    };
    (0..count)
        .map(|_| {
            let (dir, sub, name) = (DIRS[below(DIRS.len())?], DIRS[below(DIRS.len())?], NAMES[below(NAMES.len())?]);
            Ok(if below(2)? == 0 { format!("{dir}/{name}") } else { format!("{dir}/{sub}/{name}") })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_meets_none_of_the_leases() -> Outcome<()> {
        for asked in [PATH, GLOB, WIDE] {
            let asked = Pattern::glob(asked).map_err(|failure| failure.what)?;
            for n in 0..100 {
                let held = Pattern::glob(&path(n)).map_err(|failure| failure.what)?;
                assert_eq!(overlap(&asked, &held), Decision::Disjoint, "{} {}", asked.text(), held.text());
            }
        }
        Ok(())
    }

    #[test]
    fn generated_globs_are_globs() -> Outcome<()> {
        for text in generated(500)? {
            assert!(Pattern::glob(&text).is_ok_and(|pattern| !pattern.is_literal()), "{text}");
        }
        Ok(())
    }
}
