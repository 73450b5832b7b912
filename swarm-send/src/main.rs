//! `swarm-send`: accepts messages into the swarm's journal.

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = swarm_send::cli::run(std::env::args_os());
    swarm_common::exit::finish(swarm_send::cli::NAME, result)
}
