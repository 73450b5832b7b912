//! Messages into tmux panes: to a hundred, to a thousand, to one. What is timed is what a user waits for: until the program in the last pane
//! has the text with its Enter, and has shown it.
//!
//! A private server with as many windows, each with `tee`: it reads lines, as a terminal hands them over, shows each, and writes it to one pipe,
//! at whose other end they are counted.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::process::{Outcome, Run, Sink, fresh, settle};
use crate::report::{Row, Section, Target};
use crate::rounds::{Case, interleave, millis};
use crate::setup::Setup;
use crate::stats::{Series, Unit};

/// What is sent, with a number behind it, so that each run's text is its own.
const TEXT: &str = "Which schema do the new invoices use? The migration adds a tenant column, the code reads none. Run";
/// What the Python program takes for so many agents, by its own audit.
const AUDIT: [(usize, f64); 2] = [(100, 1_000.0), (1_000, 10_000.0)];
/// tmux takes 16 KiB in one call.
const WINDOWS_A_CALL: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(setup: &Setup) -> Outcome<Section> {
    let sizes = [setup.size(100, 10), setup.size(1_000, 30)];
    let mut section = Section::new(
        "delivery",
        format!("until the program in the last pane has the text and has shown it; {sizes:?} panes of one server"),
    );
    let rounds = [setup.size(15, 2), setup.size(5, 1)];
    for (size, rounds) in sizes.into_iter().zip(rounds) {
        let swarm = Swarm::start(setup, size)?;
        let mut numbers = 0..;
        let mut number = || numbers.next().unwrap_or(0);
        let numbers = std::cell::RefCell::new(&mut number);
        let next = || (numbers.borrow_mut())();
        let ours = |name: &str, config: &'static str| {
            let swarm = &swarm;
            Case::new(format!("swarm-send --to @all, {name}{size} panes"), Unit::Millis, move || {
                swarm.configure(config)?;
                settle(&swarm.dir)?;
                let text = format!("{TEXT} {}", next());
                swarm.until_shown(&text, || swarm.send(&["--to", "@all", &text]).timed().map(drop))
            })
        };
        let theirs = Case::new(format!("tmux send-keys + Enter, a loop, {size}"), Unit::Millis, || {
            let text = format!("{TEXT} {}", next());
            swarm.until_shown(&text, || {
                swarm.panes.iter().try_for_each(|pane| {
                    swarm.tmux_run(&["send-keys", "-t", pane, "-l", "--", &text]).timed()?;
                    swarm.tmux_run(&["send-keys", "-t", pane, "Enter"]).timed().map(drop)
                })
            })
        });
        let series = interleave(rounds, vec![ours("", NO_DELAY), ours("the usual delays, ", ""), theirs])?;
        let (fast, usual, theirs) = (&series[0], &series[1], &series[2]);
        if size == sizes[0] {
            section.rows.push(Row::alone(fast, Target::AtMost(40.0)));
            section.rows.push(Row::against(fast, theirs, Target::None));
        } else {
            section.rows.push(Row::against(fast, theirs, Target::Faster(50.0)));
        }
        section.rows.push(Row::against(usual, theirs, Target::None));
        for (_, audit) in AUDIT.iter().filter(|(of, _)| *of == size) {
            let times = audit / usual.quantile(0.5);
            section.notes.push(format!(
                "the Python program, by its own audit: {size} agents {audit:.0} ms; with the usual delays ours is {times:.0}x faster"
            ));
        }
    }
    section.rows.extend(one(setup)?);
    section.notes.push(
        "delays: enter_delay_ms and enter_delay_ms_per_kib are 0, but where it says the usual ones; each run stores and syncs its records"
            .to_string(),
    );
    Ok(section)
}

/// Enter right behind the text.
const NO_DELAY: &str = "[delivery.default]\nenter_delay_ms = 0\nenter_delay_ms_per_kib = 0\n";

/// One message to one pane, until the command has ended; against a call of tmux that asks one thing, and an append to the journal.
fn one(setup: &Setup) -> Outcome<Vec<Row>> {
    let swarm = Swarm::start(setup, 1)?;
    swarm.configure(NO_DELAY)?;
    let rounds = setup.size(200, 5);
    let to_one = |more: &'static [&'static str]| {
        let swarm = &swarm;
        move || -> Outcome<f64> {
            settle(&swarm.dir)?;
            let args: Vec<&str> = ["--to", "agent-0", TEXT].into_iter().chain(more.iter().copied()).collect();
            Ok(millis(swarm.send(&args).timed()?))
        }
    };
    let ours = to_one(&[]);
    let append = to_one(&["--no-deliver"]);
    let asks = || -> Outcome<f64> { Ok(millis(swarm.tmux_run(&["display-message", "-p", "#{pid}"]).timed()?)) };
    let cases = vec![
        Case::new("swarm-send --to agent-0", Unit::Millis, ours),
        Case::new("tmux display-message + swarm-send --no-deliver", Unit::Millis, || Ok(asks()? + append()?)),
        Case::new("tmux display-message", Unit::Millis, asks),
        Case::new("swarm-send --no-deliver", Unit::Millis, to_one(&["--no-deliver"])),
    ];
    // What it types is read meanwhile, else the pane would be full one day.
    let is_done = AtomicBool::new(false);
    let series = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // What it is does not matter here, only that it is read.
                let _ = swarm.read(Duration::from_millis(50));
            }
        });
        let series = interleave(rounds, cases);
        is_done.store(true, Ordering::Relaxed);
        series
    })?;
    let [ours, both, asks, append]: [Series; 4] = series.try_into().map_err(|_| "four cases, four series")?;
    Ok(vec![Row::against(&ours, &both, Target::AtMostTimes(1.5)), Row::alone(&asks, Target::None), Row::alone(&append, Target::None)])
}

/// A server of our own with an agent in each window, and their store.
struct Swarm {
    dir: PathBuf,
    tmux: PathBuf,
    tool: PathBuf,
    socket: PathBuf,
    panes: Vec<String>,
    /// What the programs in the panes got.
    lines: File,
}

impl Swarm {
    fn start(setup: &Setup, count: usize) -> Outcome<Swarm> {
        let dir = setup.work.join("delivery");
        fresh(&dir)?;
        std::fs::DirBuilder::new().mode(0o700).create(dir.join("store"))?;
        let fifo = dir.join("lines");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
        // Both ends, so that it is there before and after the programs.
        let lines = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(&fifo)?;
        // A socket's name is short: it has no room for a path of the project's.
        let socket = std::env::temp_dir().join(format!("swarm-bench-{}", std::process::id()));
        let (tmux, tool) = (setup.needed("tmux")?, setup.tool("swarm-send")?);
        let mut swarm = Swarm { dir, tmux, tool, socket, panes: Vec::new(), lines };
        swarm.tmux(&["-f", "/dev/null", "new-session", "-d", "-s", "main", "--", "sleep", "86400"])?;
        let fifo = fifo.to_str().ok_or("the path is not UTF-8")?;
        let window = ["new-window", "-d", "-P", "-F", "#{pane_id}", "--", "tee", fifo, ";"];
        let mut left = count;
        while left > 0 {
            let some = left.min(WINDOWS_A_CALL);
            let printed = swarm.tmux(&window.repeat(some))?;
            swarm.panes.extend(printed.lines().map(str::to_string));
            left -= some;
        }
        if swarm.panes.len() != count {
            return Err(format!("{} panes of {count}", swarm.panes.len()).into());
        }
        let pid = swarm.tmux(&["display-message", "-p", "#{pid}"])?;
        let place = format!("{},{},0", swarm.socket.display(), pid.trim());
        let agents = setup.tool("swarm-agents")?;
        for (n, pane) in swarm.panes.iter().enumerate() {
            let mut call = swarm.command(&agents);
            call.args(["register", &format!("agent-{n}"), "--pane", pane]).env("TMUX", &place);
            good(&mut call)?;
        }
        // Only what reaches all is timed.
        swarm.configure(NO_DELAY)?;
        let sent = swarm.send(&["--to", "@all", "first"]).output()?;
        let delivered = String::from_utf8(sent)?.matches("\"outcome\":\"delivered\"").count();
        if delivered != count {
            return Err(format!("a message reached {delivered} of {count} panes").into());
        }
        swarm.until_shown("first", || Ok(()))?;
        let shown =
            swarm.panes.iter().filter(|pane| swarm.tmux(&["capture-pane", "-p", "-t", pane]).is_ok_and(|text| text.contains("| first")));
        match shown.count() {
            shown if shown == count => Ok(swarm),
            shown => Err(format!("{shown} of {count} panes show what they got").into()),
        }
    }

    fn configure(&self, config: &str) -> Outcome<()> {
        Ok(std::fs::write(self.dir.join("store/config.toml"), config)?)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("SWARM_STORE", self.dir.join("store"));
        for variable in ["TMUX", "TMUX_PANE", "SWARM_AGENT"] {
            command.env_remove(variable);
        }
        command
    }

    fn tmux(&self, args: &[&str]) -> Outcome<String> {
        let output = good(self.command(&self.tmux).arg("-S").arg(&self.socket).args(args))?;
        Ok(String::from_utf8(output.stdout)?)
    }

    fn tmux_run(&self, args: &[&str]) -> Run {
        Run::new(&self.tmux, ["-S".into(), self.socket.clone().into_os_string()]).args(args.iter().copied()).sink(Sink::Pipe)
    }

    fn send(&self, args: &[&str]) -> Run {
        let store = self.dir.join("store").into_os_string();
        Run::new(&self.tool, ["--store".into(), store]).args(["--as", "bench"]).args(args.iter().copied()).sink(Sink::Pipe)
    }

    /// Does it, and tells how long it took until every pane's program had a line that ends so, in milliseconds. What comes late or twice is an
    /// error.
    fn until_shown(&self, text: &str, act: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
        let begun = Instant::now();
        let count = self.panes.len();
        let shown = std::thread::scope(|scope| {
            let reader = scope.spawn(|| -> Result<Instant, String> {
                let (mut seen, mut part) = (0, String::new());
                while seen < count {
                    if begun.elapsed() > PATIENCE + Duration::from_millis(count as u64 * 200) {
                        return Err(format!("{seen} of {count} panes got the text in time"));
                    }
                    part.push_str(&self.read(Duration::from_millis(100))?);
                    let end = part.rfind('\n').map_or(0, |at| at + 1);
                    seen += part[..end].lines().filter(|line| line.ends_with(text)).count();
                    part.drain(..end);
                }
                if seen > count { Err(format!("{seen} texts in {count} panes")) } else { Ok(Instant::now()) }
            });
            act()?;
            reader.join().map_err(|_| "the reader panicked")?.map_err(Box::<dyn std::error::Error>::from)
        })?;
        Ok(millis(shown - begun))
    }

    /// What the programs got, if something comes so soon.
    fn read(&self, wait: Duration) -> Result<String, String> {
        let mut ready = [PollFd::new(self.lines.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
        if poll(&mut ready, wait).map_err(|error| error.to_string())? == 0 {
            return Ok(String::new());
        }
        let mut buffer = [0; 65_536];
        let count = (&self.lines).read(&mut buffer).map_err(|error| error.to_string())?;
        String::from_utf8(buffer[..count].to_vec()).map_err(|error| error.to_string())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Runs it; it must succeed.
fn good(command: &mut Command) -> Outcome<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    let _ = std::io::stderr().write_all(&output.stderr);
    Err(format!("{command:?}: {}", output.status).into())
}
