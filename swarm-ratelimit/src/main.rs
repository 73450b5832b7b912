//! `swarm-ratelimit`: passes at most N records a window for each key.

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = swarm_ratelimit::cli::run(std::env::args_os());
    swarm_common::exit::finish(swarm_ratelimit::cli::NAME, result)
}
