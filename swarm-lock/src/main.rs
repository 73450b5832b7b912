//! `swarm-lock`: see swarm-lock(1).

use std::process::ExitCode;

fn main() -> ExitCode {
    swarm_lock::cli::main(std::env::args_os())
}
