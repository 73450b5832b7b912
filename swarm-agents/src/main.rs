//! `swarm-agents`: see swarm-agents(1).

use std::process::ExitCode;

fn main() -> ExitCode {
    swarm_common::exit::finish(swarm_agents::cli::NAME, swarm_agents::cli::run(std::env::args_os()))
}
