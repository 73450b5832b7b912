//! The command of `run` before it is one: a process that has its pid, and waits at a gate until the lease is tied to that pid. So there is no
//! moment in which the command runs and the lease is nobody's, or another's.
//!
//! The gate is a pipe. What comes through it is the grant's token; if nothing does, the one who held it open is gone or was refused,
//! and the command is never started.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use swarm_common::exit::Failure;
use swarm_common::platform::{self, Process};

use crate::cli::NAME;

/// What it is called with, before the gate's descriptor, the pid of `run`, and the command.
pub const WORD: &str = "__command";

/// The grant's token in the command's environment.
pub const TOKEN: &str = "SWARM_LOCK_TOKEN";

/// A process that will be the command.
pub struct Gate {
    child: Child,
    pipe: PipeWriter,
}

impl Gate {
    /// Starts it, with these variables.
    ///
    /// # Errors
    /// Status 3: there can be no process.
    pub fn before(command: &[OsString], variables: &[(&str, &OsStr)]) -> Result<Gate, Failure> {
        let start = || {
            let (entry, pipe) = pipe()?;
            // The one descriptor that it is to have; it closes it before it becomes the command.
            fcntl(entry.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
            let mut shim = Command::new(platform::own_program()?);
            shim.arg0(NAME).arg(WORD).arg(entry.as_raw_fd().to_string()).arg(std::process::id().to_string());
            let child = shim.args(command).envs(variables.iter().copied()).spawn()?;
            Ok(Gate { child, pipe })
        };
        start().map_err(|error: io::Error| Failure::io("start a process for the command", &error))
    }

    /// The process that will be the command.
    ///
    /// # Errors
    /// When it cannot be told from others.
    pub fn process(&self) -> io::Result<Process> {
        Process::of(self.child.id())?.ok_or_else(|| io::Error::other("it has ended"))
    }

    /// Lets it become the command.
    pub fn open(self, token: u64) -> Child {
        let Gate { child, mut pipe } = self;
        // If it was killed meanwhile, its status tells.
        let _ = pipe.write_all(token.to_string().as_bytes());
        child
    }

    /// Lets it end.
    pub fn close(self) {
        let Gate { mut child, pipe } = self;
        drop(pipe);
        let _ = child.wait();
    }
}

/// What the process does: waits at its gate, and becomes the command. Comes back only when it does not.
///
/// # Errors
/// The status to end with, and why, if anybody should know.
pub fn pass(gate: &OsStr, parent: &OsStr, command: &[OsString]) -> Result<(), (u8, Failure)> {
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse().ok());
    let (Some(gate), Some(parent)) = (number(gate), number(parent).and_then(|parent: i32| u32::try_from(parent).ok())) else {
        return Ok(());
    };
    let failed = |error: io::Error| (126, Failure::io("wait for the lease", &error));
    if !platform::end_with_parent(parent).map_err(failed)? {
        return Ok(());
    }
    let mut token = String::new();
    File::open(platform::descriptor(gate)).and_then(|mut gate| gate.read_to_string(&mut token)).map_err(failed)?;
    nix::unistd::close(gate).map_err(|error| failed(error.into()))?;
    let Some((program, arguments)) = command.split_first().filter(|_| !token.is_empty()) else { return Ok(()) };
    let error = Command::new(program).args(arguments).env(TOKEN, token).exec();
    let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let failure = Failure::io(format_args!("run {program:?}"), &error);
    let is_script = error.raw_os_error() == Some(nix::errno::Errno::ENOEXEC as i32);
    Err((status, if is_script { failure.hint("a script needs a first line like #!/bin/sh") } else { failure }))
}
