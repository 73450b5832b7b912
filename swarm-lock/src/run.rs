//! `run`: holds a lease while a command runs.

use std::process::ExitCode;

use swarm_common::exit::{self, Failure};

use crate::cli::{self, NAME};

/// Runs the command.
pub fn run(_options: cli::Run) -> ExitCode {
    exit::finish(NAME, Err(Failure::system("run: to come")))
}

/// Becomes the command.
pub fn shim(_options: cli::Shim) -> ExitCode {
    exit::finish(NAME, Err(Failure::system("run: to come")))
}
