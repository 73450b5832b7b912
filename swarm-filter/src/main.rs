//! `swarm-filter`: passes the records that match.

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = swarm_filter::cli::run(std::env::args_os());
    swarm_common::exit::finish(swarm_filter::cli::NAME, result)
}
