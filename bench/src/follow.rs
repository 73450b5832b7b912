//! How soon a line that was appended comes out of a follower: from before the write to after the read, in one process,
//! on one clock (CLOCK_MONOTONIC). The followers take turns, line by line; each has its own directory, and sleeps when
//! its line comes.
//!
//! Where the kernel puts them decides more than what they do: to wake a core that sleeps takes ten times as long as to
//! switch to a neighbour on the same one, and it may choose either for a whole run. So both are measured, each on
//! cores that are set: all on one, which shows the programs' own work; and the followers on another one than the writer.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::data::{Form, Generator};
use crate::process::{Outcome, Run, fresh};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave};
use crate::setup::Setup;
use crate::stats::Unit;

/// Time enough for a follower to have gone to sleep again. Spun away: a timer's own delay would be part of the figure.
const PAUSE: Duration = Duration::from_micros(200);
const PATIENCE_MS: u16 = 5000;
/// Lines that don't count, before those that do.
const WARM_UP: usize = 50;

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let lines = setup.size(2000, 100);
    let title = format!("from write(2) into the file to read(2) of the follower's stdout; {lines} lines each, interleaved");
    let mut section = Section::new("follow", title);
    let cores = Cores::mine()?;
    let (first, second) = (cores.numbers[0], cores.numbers.get(1));
    let places = [("one core", Some(&first)), ("two cores", second)];
    for (place, core) in places {
        match core {
            Some(core) => section.rows.extend(on(setup, lines, place, first, *core)?),
            None => section.notes.push(format!("{place}: there is only one: skipped")),
        }
    }
    Ok(section)
}

/// Measures with the writer on one core and the followers on this or another.
fn on(setup: &Setup, lines: usize, place: &str, writer_core: usize, follower_core: usize) -> Outcome<Vec<Row>> {
    let dir = setup.work.join("follow");
    fresh(&dir)?;
    let tool = setup.tool("swarm-tail")?;
    let (ours, theirs, store) = (dir.join("ours/log.ndjson"), dir.join("theirs/log.ndjson"), dir.join("store"));
    let segment = store.join("journal/00000000000000000001.ndjson");
    let mut followers = [
        ("swarm-tail -f FILE", Follower::start(ours.clone(), &Run::new(&tool, ["-f"]).arg(ours))?),
        ("swarm-tail -f (the journal)", Follower::start(segment, &Run::new(&tool, ["-f", "--store"]).arg(store))?),
        ("tail -F FILE", Follower::start(theirs.clone(), &Run::new(setup.needed("tail")?, ["-F"]).arg(theirs))?),
    ];
    pin(Pid::this(), writer_core)?;
    for (_, follower) in &followers {
        pin(Pid::from_raw(follower.child.id().try_into()?), follower_core)?;
    }
    for _ in 0..WARM_UP {
        followers.iter_mut().try_for_each(|(_, follower)| follower.line().map(drop))?;
    }
    let cases = followers.iter_mut().map(|(name, follower)| {
        Case::new(format!("{name}, {place}"), Unit::Micros, || {
            let pause = Instant::now();
            while pause.elapsed() < PAUSE {
                std::hint::spin_loop();
            }
            Ok(follower.line()?.as_secs_f64() * 1e6)
        })
    });
    let series = interleave(lines, cases.collect())?;
    let (ours, theirs) = (&series[..2], &series[2]);
    let rows = |ours| [Row::against(ours, theirs, Target::AtMostTimes(1.0)), Row::against(ours, theirs, Target::None).at(0.99)];
    Ok(ours.iter().flat_map(rows).collect())
}

/// The cores this process may use, given back to it at the end.
struct Cores {
    set: CpuSet,
    numbers: Vec<usize>,
}

impl Cores {
    fn mine() -> Outcome<Cores> {
        let set = sched_getaffinity(Pid::this())?;
        let numbers: Vec<usize> = (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect();
        if numbers.is_empty() { Err("the system names no core to run on".into()) } else { Ok(Cores { set, numbers }) }
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // Left pinned, the benches that follow would have one core. It was allowed before, so it is now.
        let _ = sched_setaffinity(Pid::this(), &self.set);
    }
}

fn pin(pid: Pid, core: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(pid, &set)?)
}

/// A follower that runs, and the file it follows.
struct Follower {
    child: Child,
    stdout: ChildStdout,
    file: File,
    generator: Generator,
    read: Vec<u8>,
}

impl Follower {
    /// Starts it on a file with one line, and waits for that line. The file and its directories are as a store wants them.
    fn start(path: PathBuf, run: &Run) -> Outcome<Follower> {
        DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(Path::new("/")))?;
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        let mut generator = Generator::new(Form::Stored);
        let first = generator.next_line().to_string();
        file.write_all(first.as_bytes())?;
        let mut child = run.command()?.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        let mut follower = Follower { child, stdout, file, generator, read: Vec::with_capacity(1 << 16) };
        follower.expect(first.as_bytes()).map_err(|error| format!("{run}: {error}"))?;
        Ok(follower)
    }

    /// Appends a line and waits until it is out: how long that took.
    fn line(&mut self) -> Outcome<Duration> {
        let line = self.generator.next_line().to_string();
        let start = Instant::now();
        self.file.write_all(line.as_bytes())?;
        self.expect(line.as_bytes())?;
        Ok(start.elapsed())
    }

    /// Reads until a line is whole; it has to be this one.
    fn expect(&mut self, line: &[u8]) -> Outcome<()> {
        self.read.clear();
        while self.read.last() != Some(&b'\n') {
            let mut ready = [PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(PATIENCE_MS))? == 0 {
                return Err(format!("a line did not come out within {PATIENCE_MS} ms").into());
            }
            let mut buffer = [0; 4096];
            match self.stdout.read(&mut buffer)? {
                0 => return Err("the follower ended".into()),
                count => self.read.extend_from_slice(&buffer[..count]),
            }
        }
        if self.read == line { Ok(()) } else { Err("another line came out than the one that was written".into()) }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(name: &str, script: &str) -> Outcome<Duration> {
        let dir = std::env::temp_dir().join(format!("swarm-bench-{name}-{}", std::process::id()));
        let path = dir.join("log");
        let result = Follower::start(path.clone(), &Run::new("/bin/sh", ["-c", script]).arg(path)).and_then(|mut one| one.line());
        std::fs::remove_dir_all(dir)?;
        result
    }

    #[test]
    fn a_follower_that_prints_each_line_is_timed() {
        assert!(follow("good", r#"exec tail -F "$0""#).is_ok());
    }

    #[test]
    fn a_follower_that_changes_a_line_or_ends_is_no_figure() {
        assert!(follow("changes", r#"exec sed 's/agent/x/' "$0""#).is_err_and(|error| error.to_string().contains("another line")));
        assert!(follow("ends", r#"head -n 1 "$0""#).is_err_and(|error| error.to_string().contains("ended")));
    }
}
