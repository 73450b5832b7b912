//! `run`: holds a lease while a command runs.
//!
//! The lease is tied to the command's own process ([`gate`]) and to this one, which renews it, passes signals on, and gives it back: it ends when both
//! have ended. Killed with SIGKILL, this one takes the command along, where the system can do that, and the lease with it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use signal_hook::consts::SIGINT;
use signal_hook::low_level;
use swarm_common::exit::{self, Failure};
use swarm_common::platform::{self, Caught, Process, Signals};
use swarm_common::{store, time};

use crate::arguments;
use crate::cli::{self, NAME};
use crate::commands::{self, Aside, Swarm, note};
use crate::gate::{self, Gate};
use crate::leases::{Acquired, Manner, Request, Which};
use crate::{answer, call, wait};

/// "Not now, try again" (EX_TEMPFAIL of sysexits.h).
const NOT_GRANTED: u8 = 75;
/// Below it a busy machine could not promise to renew in time.
const TTL_MIN: Duration = Duration::from_secs(1);
/// After a renewal that failed, the next one.
const AGAIN: Duration = Duration::from_secs(1);
/// So long after a signal to a whole group, all of its processes have had it.
const SETTLE: Duration = Duration::from_millis(10);

const CAUGHT: [Signal; 8] =
    [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Runs the command.
pub fn run(options: cli::Run) -> ExitCode {
    match hold(&options) {
        Ok(Some(ended)) => end_as(ended),
        Ok(None) => ExitCode::from(NOT_GRANTED),
        Err(failure) => exit::finish(NAME, Err(failure)),
    }
}

/// Becomes the command.
pub fn shim(gate: &OsStr, parent: &OsStr, command: &[OsString]) -> ExitCode {
    match gate::pass(gate, parent, command) {
        Ok(()) => ExitCode::FAILURE,
        Err((status, failure)) => {
            exit::tell(NAME, &failure);
            ExitCode::from(status)
        }
    }
}

/// How the command ended; none where it was not started, for the lease was not granted.
fn hold(options: &cli::Run) -> Result<Option<ExitStatus>, Failure> {
    let cli::Run { paths, asking, insist, caller, command } = options;
    commands::check_typed(paths)?;
    let limit = arguments::limit(asking.wait.as_ref(), paths)?;
    let (swarm, agent_id) = Swarm::open_as(caller, insist.force)?;
    let mut request = commands::request(&swarm.place, agent_id, asking, paths, None)?;
    if request.ttl < TTL_MIN {
        return Err(Failure::wrong(format!("--ttl {}: at least 1s, to be renewed in time", asking.span.ttl)));
    }
    let store = caller.place.store.as_deref().map(std::path::absolute).transpose();
    let store = store.map_err(|error| Failure::io("learn the current directory", &error))?;
    let mut variables = vec![("SWARM_AGENT", OsStr::new(&request.agent_id))];
    variables.extend(store.as_ref().map(|dir| (store::VARIABLE, dir.as_os_str())));

    platform::keep_ended_children();
    // Started first, and in the time that the lease takes it gets ready.
    let gate = Gate::before(command, &variables)?;
    match gate.process().and_then(|command| Ok((command, Process::own()?))) {
        Ok((command, own)) => (request.tie, request.keeper) = (Some(command), Some(own)),
        Err(error) => {
            note(&format!("if this process is killed, the lease lasts its span: the command's cannot be known ({})", exit::reason(&error)))
        }
    }
    let since = Instant::now();
    let mut aside = Aside::default();
    let answer = match limit {
        None => swarm.leases.acquire(&request, Manner::Once, aside.heard(), &mut note),
        Some(limit) => {
            let hear = &mut |notices| commands::hear(&swarm.leases, &request.agent_id, notices);
            wait::acquire(&swarm.leases, &request, limit, None, hear, &mut note)
        }
    };
    aside.say(&swarm.leases, &request.agent_id);
    let (token, is_ours) = match answer {
        Ok(Acquired::Granted { lease, is_renewed, .. }) => (lease.token, !is_renewed),
        Ok(Acquired::Refused(conflicts)) => {
            gate.close();
            commands::tell(&conflicts, asking, since, || call::run(options));
            return Ok(None);
        }
        Err(failure) => {
            gate.close();
            return Err(failure);
        }
    };
    let mut grant = Grant { swarm: &swarm, request: &request, token, is_lost: false, is_failing: false };
    let ended = match Signals::catch(&CAUGHT) {
        Ok(mut signals) => attend(gate.open(token), &mut signals, &mut grant),
        Err(error) => {
            gate.close();
            Err(Failure::io("catch signals", &error))
        }
    };
    // What was held before, without a process, is not this run's to give back.
    if is_ours {
        grant.give_back();
    }
    ended.map(Some)
}

/// A command that ^C ended: so ends this process. A shell that had the key too goes on with its loop or script unless it sees that.
fn end_as(ended: ExitStatus) -> ExitCode {
    if ended.signal() == Some(SIGINT) {
        // Where it cannot be done, the status tells it.
        let _ = low_level::emulate_default_handler(SIGINT);
    }
    ExitCode::from(status(ended))
}

/// As a shell has it.
fn status(ended: ExitStatus) -> u8 {
    let status = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal));
    status.and_then(|status| u8::try_from(status).ok()).unwrap_or(u8::MAX)
}

/// Stands by until the command has ended.
fn attend(mut child: Child, signals: &mut Signals, grant: &mut Grant<'_>) -> Result<ExitStatus, Failure> {
    let failed = |error| Failure::io("wait for the command", &error);
    let third = grant.request.ttl / 3;
    let mut due = platform::boottime() + third;
    let mut stopped_with_it = false;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        signals.wait(due.saturating_sub(platform::boottime())).map_err(failed)?;
        while let Some(Caught { signal, is_typed }) = signals.take().map_err(failed)? {
            match signal {
                Signal::SIGCHLD => stopped_with_it |= stop_with(child.id()),
                Signal::SIGCONT => {
                    if std::mem::take(&mut stopped_with_it) {
                        pass_on(&child, Signal::SIGCONT);
                    }
                    // Nobody knows for how long this process was stopped.
                    due = platform::boottime();
                }
                // The terminal has sent it to the command too.
                Signal::SIGINT | Signal::SIGQUIT if is_typed => {}
                signal => pass_on(&child, signal),
            }
        }
        let now = platform::boottime();
        if now >= due && child.try_wait().map_err(failed)?.is_none() {
            due = now + grant.renew(third);
        }
    }
}

/// The child was not waited for yet: its pid is no one else's.
fn pass_on(child: &Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Stops this process if the command was stopped alone by a signal of job control, as a `sudo` does to itself: else the shell would wait for
/// a job that sleeps. True if so.
fn stop_with(child: u32) -> bool {
    let stopped = || platform::stopped(child).filter(|signal| matches!(signal, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU));
    if stopped().is_none() {
        return false;
    }
    // After a `fg` this process may look before the command was continued.
    std::thread::sleep(SETTLE);
    // The system ignores it where no shell could continue this process.
    stopped().is_some_and(|signal| raise(signal).is_ok())
}

/// What is held while the command runs.
struct Grant<'a> {
    swarm: &'a Swarm,
    request: &'a Request,
    token: u64,
    is_lost: bool,
    is_failing: bool,
}

impl Grant<'_> {
    fn which(&self) -> Which {
        Which::Grant(self.token, self.request.patterns.clone())
    }

    /// Prolongs it; when the next time is due.
    fn renew(&mut self, third: Duration) -> Duration {
        if self.is_lost {
            return Duration::MAX / 2;
        }
        let Request { agent_id, ttl, .. } = self.request;

        let mut aside = Aside::default();
        let done = self.swarm.leases.renew(agent_id, &self.which(), *ttl, aside.heard(), &mut note);
        aside.say(&self.swarm.leases, &self.request.agent_id);
        match done {
            Ok(done) => {
                self.is_failing = false;
                if done.parts.is_empty() {
                    self.lose("the command goes on unguarded");
                }
                third
            }
            Err(failure) => {
                // Once: it is tried again and again.
                if !std::mem::replace(&mut self.is_failing, true) {
                    exit::tell(NAME, &failure.hint("the lease could not be renewed; it is tried again"));
                }
                third.min(AGAIN)
            }
        }
    }

    /// Says that it is gone, and who has it now.
    fn lose(&mut self, so: &str) {
        self.is_lost = true;
        let Request { agent_id, mode, patterns, .. } = self.request;
        let conflicts = self.swarm.leases.who(Some(agent_id), *mode, patterns).unwrap_or_default();
        let (held, _) = answer::words(&conflicts, time::now());
        exit::tell(NAME, &Failure::no(format!("the lease of this run (token {}) is gone: {so}", self.token)).hint(held.join("\n")));
    }

    /// Gives it back. The command's status does not depend on it.
    fn give_back(&mut self) {
        if self.is_lost {
            return;
        }
        let mut aside = Aside::default();
        let done = self.swarm.leases.release(&self.request.agent_id, &self.which(), None, aside.heard(), &mut note);
        aside.say(&self.swarm.leases, &self.request.agent_id);
        match done {
            Ok(done) if done.parts.is_empty() => self.lose("the command was unguarded at its end"),
            Ok(_) => {}
            Err(failure) => exit::tell(NAME, &failure),
        }
    }
}
