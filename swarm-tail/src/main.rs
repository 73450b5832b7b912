//! `swarm-tail`: prints, follows and resumes the journal or any NDJSON file.

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = swarm_tail::cli::run(std::env::args_os());
    swarm_common::exit::finish(swarm_tail::cli::NAME, result)
}
