//! The one place where an outcome becomes an exit status (DESIGN 7) and a failure becomes words on stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::text;

/// How a program ends, when it ends by its own decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: yes, done, something matched.
    Yes,
    /// 1: no: held by another, nothing matched, over the limit, not in time.
    No,
    /// 2: the call is wrong: usage or bad input.
    Wrong,
    /// 3: the system failed: store, disk, network.
    System,
}

impl Exit {
    /// The number the shell sees.
    pub fn status(self) -> u8 {
        match self {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::Wrong => 2,
            Exit::System => 3,
        }
    }
}

/// Why a program could not go on: what happened, with the names the user knows, then what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status it ends with.
    pub exit: Exit,
    /// One line: what went wrong, with what.
    pub what: String,
    /// What the user can do, a line each; may be empty.
    pub hint: String,
    /// Our reader went away: not worth a word.
    quiet: bool,
}

impl Failure {
    /// The call or its input is wrong (status 2).
    pub fn wrong(what: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, what: what.into(), hint: String::new(), quiet: false }
    }

    /// The system failed (status 3).
    pub fn system(what: impl Into<String>) -> Self {
        Self { exit: Exit::System, what: what.into(), hint: String::new(), quiet: false }
    }

    /// The answer is no (status 1).
    pub fn no(what: impl Into<String>) -> Self {
        Self { exit: Exit::No, what: what.into(), hint: String::new(), quiet: false }
    }

    /// An I/O error with what was being done to what: `cannot WHAT: reason`. A broken pipe ends the program quietly
    /// with status 0, as ripgrep does: `| head` is not a failure.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Yes, what: String::new(), hint: String::new(), quiet: true };
        }
        Self::system(format!("cannot {what}: {}", reason(error)))
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// True when the reader of our output went away: end without a word.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// The system's reason in plain words, without Rust's `(os error 28)`.
pub fn reason(error: &io::Error) -> String {
    let words = error.to_string();
    match words.rfind(" (os error ") {
        Some(at) => words[..at].to_string(),
        None => words,
    }
}

/// What `main` returns: the status, after the failure was said on stderr, cleaned of control characters.
pub fn finish(program: &str, result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => ExitCode::from(exit.status()),
        Err(failure) => {
            tell(program, &failure);
            ExitCode::from(failure.exit.status())
        }
    }
}

/// How far something long is: one line on a terminal's stderr, written over and over, and gone at the end. Elsewhere nothing.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// One that shows itself, where stderr is a terminal.
    pub fn new() -> Progress {
        Progress { is_shown: io::stderr().is_terminal() }
    }

    /// One that never does.
    pub fn silent() -> Progress {
        Progress { is_shown: false }
    }

    /// So far it is.
    pub fn show(&self, words: &str) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r{}\x1b[K", text::clean(words));
        }
    }

    /// It is over.
    pub fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::silent()
    }
}

/// A failure on stderr, cleaned: what happened, then what to do, a line each. Nothing when the reader of our output went away.
pub fn tell(program: &str, failure: &Failure) {
    if failure.quiet {
        return;
    }
    say(program, &failure.what);
    let mut err = io::stderr().lock();
    for line in failure.hint.lines() {
        // stderr is the last resort: if it is gone, there is nobody left to tell.
        let _ = writeln!(err, "  {}", text::clean(line));
    }
}

/// One line for people on stderr, cleaned: `swarm-tail: words`.
pub fn say(program: &str, words: &str) {
    // A single write, so that two programs of a pipeline do not mix their lines.
    let line = format!("{program}: {}\n", text::clean(words));
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
