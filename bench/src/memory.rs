//! The most memory that a tool ever holds while a million messages go through it.
//!
//! Not ru_maxrss: the kernel lets a child begin with its parent's peak, so a bench of 20 MiB would find 20 MiB in
//! everything. The child is traced instead, stops at its exit while its memory is still there, and its own VmHWM is
//! read. The kernel counts pages in batches for each core, so a figure may be off by some hundred KiB.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitStatus;
use std::thread;

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::data::{Form, RARE};
use crate::process::{Input, Outcome, Run, Sink, fresh};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave};
use crate::setup::Setup;
use crate::stats::Unit;

const TARGET: Target = Target::AtMost(4.0);

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let count = setup.size(1_000_000, 100_000);
    let rounds = setup.size(3, 1);
    let title = format!("peak resident memory while {count} messages go through; {rounds} rounds");
    let mut section = Section::new("memory", title);
    let stored = setup.data(Form::Stored, count)?;
    let to_send = setup.data(Form::ToSend, count)?;
    let dir = setup.work.join("memory");
    fresh(&dir)?;
    let store = dir.join("store");
    let piped = |run: Run| run.input(Input::Pipe(stored.clone())).sink(Sink::Pipe);
    let own = |name: &str| setup.tool(name).map(|path| Run::new(path, [""; 0]));
    let keyed = |senders: usize| {
        let file = setup.data(Form::Small { senders }, count)?;
        Ok::<Run, Box<dyn std::error::Error>>(own("swarm-ratelimit")?.input(Input::Pipe(file)).sink(Sink::Pipe))
    };

    // Sending comes first: the journal it makes is what the others read.
    let send = own("swarm-send")?.arg("--store").arg(&store).input(Input::Pipe(to_send)).sink(Sink::Pipe);
    let sent = Case::new("swarm-send, from a pipe", Unit::Mebibytes, || {
        fresh(&store)?;
        // It wants to make the store by itself, with its own modes.
        std::fs::remove_dir(&store)?;
        peak(&send)
    });
    let journal = |args: &[&str]| own("swarm-tail").map(|run| run.arg("--store").arg(&store).args(args.iter().copied()).sink(Sink::Pipe));
    let cases = vec![
        sent,
        case("swarm-tail (the journal)", journal(&[])?),
        case("swarm-tail -f --from-seq 1 (the journal)", journal(&["-f", "--from-seq", "1"])?.sink(Sink::Lines(count))),
        case("swarm-tail FILE", own("swarm-tail")?.arg(&stored).sink(Sink::Pipe)),
        case("swarm-filter FILE, 0.1 %", own("swarm-filter")?.args(["--type", RARE]).arg(&stored).sink(Sink::Pipe)),
        case("swarm-filter FILE, all", own("swarm-filter")?.arg(&stored).sink(Sink::Pipe)),
        case("swarm-filter, 0.1 %, from a pipe", piped(own("swarm-filter")?.args(["--type", RARE]))),
        case("swarm-filter, all, from a pipe", piped(own("swarm-filter")?)),
        case("swarm-ratelimit, 40 keys, from a pipe", piped(own("swarm-ratelimit")?)),
        case("swarm-ratelimit, 1000 keys, from a pipe", keyed(1000)?),
    ];
    let mut series = interleave(rounds, cases)?;
    section.rows = series.drain(..).map(|ours| Row::alone(&ours, TARGET)).collect();

    // Rivals for scale; no target is set against them.
    let mut scale = Vec::new();
    if let Some(rg) = setup.rival("rg") {
        let literal = format!("\"msg_type\":\"{RARE}\"");
        scale.push(case("rg -F, from a pipe", piped(Run::new(rg, ["--no-config", "-F", &literal]))));
    }
    for name in ["jaq", "jq"] {
        if let Some(path) = setup.rival(name) {
            let tenth = setup.data(Form::Stored, count / 10)?;
            let run = Run::new(path, ["-c", "."]).input(Input::Pipe(tenth)).sink(Sink::Pipe);
            scale.push(case(&format!("{name} -c ., from a pipe (a tenth)"), run));
        }
    }
    let scale = interleave(1, scale)?;
    section.rows.extend(scale.iter().map(|theirs| Row::alone(theirs, Target::None)));
    Ok(section)
}

fn case<'a>(name: &str, run: Run) -> Case<'a> {
    Case::new(name, Unit::Mebibytes, move || peak(&run))
}

/// Runs it to its end; the most memory it held, in MiB.
pub fn peak(run: &Run) -> Outcome<f64> {
    let mut command = run.command()?;
    // SAFETY: between fork and exec only ptrace(2) is called, which is async-signal-safe and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(ptrace::traceme()?));
    }
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", run.program.display()))?;
    let pid = Pid::from_raw(libc::pid_t::try_from(child.id())?);
    // The child stops at its exec, and again at its exit. Only the thread that started it may wait for it.
    waitpid(pid, None)?;
    ptrace::setoptions(pid, Options::PTRACE_O_TRACEEXIT | Options::PTRACE_O_EXITKILL)?;
    let feeder = run.feed(&mut child)?;
    ptrace::cont(pid, None)?;
    let (peak, status) = thread::scope(|scope| {
        let drain = scope.spawn(|| run.drain(&mut child).map_err(|error| error.to_string()));
        let found = wait_at_exit(pid);
        drain.join().map_err(|_| "the reader panicked")??;
        found
    })?;
    drop(feeder);
    run.check(status)?;
    peak.ok_or_else(|| format!("{run}: it ended before its memory could be read").into())
}

/// Lets it run; what VmHWM said at its exit, and how it ended.
fn wait_at_exit(pid: Pid) -> Outcome<(Option<f64>, ExitStatus)> {
    let mut peak = None;
    loop {
        match waitpid(pid, None)? {
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXIT) => {
                peak = Some(high_water(pid)?);
                ptrace::cont(pid, None)?;
            }
            WaitStatus::PtraceEvent(..) => ptrace::cont(pid, None)?,
            WaitStatus::Stopped(_, Signal::SIGTRAP) => ptrace::cont(pid, None)?,
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal)?,
            WaitStatus::Exited(_, code) => return Ok((peak, std::os::unix::process::ExitStatusExt::from_raw(code << 8))),
            WaitStatus::Signaled(_, signal, _) => return Ok((peak, std::os::unix::process::ExitStatusExt::from_raw(signal as i32))),
            _ => {}
        }
    }
}

fn high_water(pid: Pid) -> Outcome<f64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_childs_own_and_not_its_parents() -> Outcome<()> {
        let ballast = vec![1u8; 64 << 20];
        let small = peak(&Run::new("/bin/true", [""; 0]))?;
        assert!(small < 8.0, "{small} MiB beside {} bytes of ballast", std::hint::black_box(&ballast).len());
        Ok(())
    }

    #[test]
    fn memory_that_was_given_back_before_the_end_counts() -> Outcome<()> {
        // dd holds one block of 32 MiB.
        let big = peak(&Run::new("dd", ["if=/dev/zero", "of=/dev/null", "bs=32M", "count=1"]))?;
        assert!((32.0..48.0).contains(&big), "{big} MiB");
        Ok(())
    }

    #[test]
    fn a_failed_run_has_no_peak() {
        assert!(peak(&Run::new("/bin/false", [""; 0])).is_err());
    }
}
