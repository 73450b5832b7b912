//! `swarm-ack`: see swarm-ack(1).

use std::process::ExitCode;

fn main() -> ExitCode {
    swarm_common::exit::finish(swarm_ack::cli::NAME, swarm_ack::cli::run(std::env::args_os()))
}
