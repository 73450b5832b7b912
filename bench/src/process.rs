//! One run of a program, from its start to its end: what it reads, where its output goes, how long it took.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{SpliceFFlags, splice};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a run reads.
#[derive(Clone, Debug)]
pub enum Input {
    Nothing,
    /// `< FILE`
    File(PathBuf),
    /// `cat FILE |`, from a feeder that costs next to nothing: splice(2) hands over the pages of the cache.
    Pipe(PathBuf),
}

/// Where its output goes.
#[derive(Debug)]
pub enum Sink {
    /// /dev/null. Not for searches: grep and ripgrep see it and stop at the first match.
    Null,
    /// A pipe whose reader costs next to nothing: splice(2) into /dev/null.
    Pipe,
    /// A pipe whose reader leaves after so many lines.
    Lines(usize),
    /// A file in memory (tmpfs), emptied before each run.
    Memory(File),
}

impl Sink {
    pub fn memory() -> Outcome<Sink> {
        let memory = nix::sys::memfd::memfd_create("swarm-bench", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
        Ok(Sink::Memory(File::from(memory)))
    }
}

/// A command to run again and again.
#[derive(Debug)]
pub struct Run {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub input: Input,
    pub sink: Sink,
    /// The exit statuses of a good run.
    pub good: &'static [i32],
    /// Where it runs; here, without one.
    pub dir: Option<PathBuf>,
}

impl Run {
    pub fn new<A: Into<OsString>>(program: impl Into<PathBuf>, args: impl IntoIterator<Item = A>) -> Run {
        Run {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            input: Input::Nothing,
            sink: Sink::Null,
            good: &[0],
            dir: None,
        }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Run {
        self.args.push(arg.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Run {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn input(self, input: Input) -> Run {
        Run { input, ..self }
    }

    pub fn sink(self, sink: Sink) -> Run {
        Run { sink, ..self }
    }

    pub fn good(self, good: &'static [i32]) -> Run {
        Run { good, ..self }
    }

    pub fn within(self, dir: impl Into<PathBuf>) -> Run {
        Run { dir: Some(dir.into()), ..self }
    }

    /// The command with its input and sink. The standard library starts it with posix_spawn, so the size of this process
    /// is no part of the time.
    pub fn command(&self) -> Outcome<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stderr(Stdio::null());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.stdin(match &self.input {
            Input::Nothing => Stdio::null(),
            Input::File(path) => Stdio::from(File::open(path)?),
            Input::Pipe(_) => Stdio::piped(),
        });
        command.stdout(match &self.sink {
            Sink::Null => Stdio::null(),
            Sink::Pipe | Sink::Lines(_) => Stdio::piped(),
            Sink::Memory(file) => {
                file.set_len(0)?;
                std::io::Seek::rewind(&mut &*file)?;
                Stdio::from(file.try_clone()?)
            }
        });
        Ok(command)
    }

    /// Runs it and tells how long it took: from before its start until all it wrote was read and its end was seen.
    pub fn timed(&self) -> Outcome<Duration> {
        let mut command = self.command()?;
        let start = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let feeder = self.feed(&mut child)?;
        self.drain(&mut child)?;
        let status = child.wait()?;
        let took = start.elapsed();
        drop(feeder);
        self.check(status)?;
        Ok(took)
    }

    /// Runs it and gives what it wrote.
    pub fn output(&self) -> Outcome<Vec<u8>> {
        let mut child = self.command()?.stdout(Stdio::piped()).spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let feeder = self.feed(&mut child)?;
        let mut text = Vec::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_end(&mut text)?;
        }
        let status = child.wait()?;
        drop(feeder);
        self.check(status)?;
        Ok(text)
    }

    /// Begins to fill its pipe. The feeder ends with the file, or with the child.
    pub fn feed(&self, child: &mut Child) -> Outcome<Option<JoinHandle<()>>> {
        let (Input::Pipe(path), Some(pipe)) = (&self.input, child.stdin.take()) else { return Ok(None) };
        let file = File::open(path)?;
        Ok(Some(thread::spawn(move || while matches!(splice(&file, None, &pipe, None, 1 << 20, SpliceFFlags::empty()), Ok(1..)) {})))
    }

    /// Reads what the child writes until it ends, or as far as the sink wants.
    pub fn drain(&self, child: &mut Child) -> Outcome<()> {
        let Some(mut stdout) = child.stdout.take() else { return Ok(()) };
        if let Sink::Lines(wanted) = self.sink {
            let (mut buffer, mut lines) = (vec![0; 64 << 10], 0);
            while lines < wanted {
                match stdout.read(&mut buffer)? {
                    0 => return Err(format!("{self}: ended after {lines} of {wanted} lines").into()),
                    count => lines += count_lines(&buffer[..count]),
                }
            }
            return Ok(());
        }
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        while splice(stdout.as_fd(), None, &null, None, 1 << 20, SpliceFFlags::empty())? > 0 {}
        Ok(())
    }

    /// A run that failed has measured nothing.
    pub fn check(&self, status: ExitStatus) -> Outcome<()> {
        match status.code() {
            Some(code) if self.good.contains(&code) => Ok(()),
            _ => Err(format!("{self}: {status}; run it by hand to see why").into()),
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.program.display())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}

pub fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// The directory of this name below the work directory, empty.
pub fn fresh(path: &Path) -> Outcome<()> {
    if path.exists() {
        std::fs::remove_dir_all(path)?;
    }
    Ok(std::fs::create_dir_all(path)?)
}

/// Writes out what earlier runs left, so that the next sync pays for its own run only.
pub fn settle(path: &Path) -> Outcome<()> {
    Ok(nix::unistd::syncfs(File::open(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_fails_is_an_error_and_no_figure() {
        assert!(Run::new("/bin/sh", ["-c", "exit 3"]).timed().is_err());
        assert!(Run::new("/bin/sh", ["-c", "exit 3"]).good(&[3]).timed().is_ok());
        assert!(Run::new("/bin/sh", ["-c", "kill -9 $$"]).timed().is_err());
        assert!(Run::new("/no/such/program", [""; 0]).timed().is_err());
    }

    #[test]
    fn time_counts_until_the_last_byte_is_out() -> Outcome<()> {
        let took = Run::new("/bin/sh", ["-c", "sleep 0.05; echo done"]).sink(Sink::Pipe).timed()?;
        assert!(took >= Duration::from_millis(50), "{took:?}");
        Ok(())
    }

    #[test]
    fn what_is_fed_through_a_pipe_arrives_whole() -> Outcome<()> {
        let path = std::env::temp_dir().join(format!("swarm-bench-feed-{}", std::process::id()));
        let text: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &text)?;
        let fed = Run::new("cat", [""; 0]).input(Input::Pipe(path.clone())).output();
        std::fs::remove_file(&path)?;
        assert!(fed? == text);
        Ok(())
    }

    #[test]
    fn a_reader_that_leaves_early_has_had_its_lines() -> Outcome<()> {
        Run::new("seq", ["1", "1000000"]).sink(Sink::Lines(10)).good(&[0, 1]).timed().map(drop).or_else(|error| {
            // seq is ended by SIGPIPE, which is no status: that, and not a missing line, is what may be said here.
            if error.to_string().contains("signal") { Ok(()) } else { Err(error) }
        })?;
        let short = Run::new("seq", ["1", "5"]).sink(Sink::Lines(10)).timed();
        assert!(short.is_err_and(|error| error.to_string().contains("5 of 10")));
        Ok(())
    }
}
