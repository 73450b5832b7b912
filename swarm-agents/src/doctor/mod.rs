//! `doctor`: looks at all that the tools depend on, and says what is wrong and what to do. It changes nothing.

pub mod finding;
mod machine;
mod reach;
mod store;
mod tmux;

use std::io::{self, IsTerminal};

use finding::{Finding, State};
use swarm_common::exit::{self, Exit, Failure};
use swarm_common::ndjson::{self, Out};
use swarm_common::registry::Registry;
use swarm_common::time;

use crate::cli::{self, NAME};
use crate::tmux::server;

/// Looks at everything.
///
/// # Errors
/// Status 1 when something is wrong, which is not an error but the answer; 2 for a wrong call, 3 when it cannot be printed.
pub fn doctor(options: &cli::Doctor) -> Result<Exit, Failure> {
    let addresses = server::addresses(&options.servers.names, &options.servers.sockets)?;
    let (mut findings, found) = store::look(options.place.store.as_deref());
    let config = found.config();
    let mut damaged = Vec::new();
    let agents = match &found.store {
        None => Ok(Vec::new()),
        Some(store) => Registry::of(store).all(&mut |words| damaged.push(words.to_string())),
    };
    findings.extend(machine::look(found.dir()));
    let agents = agents.unwrap_or_else(|failure| {
        findings.push(Finding::failed("registry", failure));
        Vec::new()
    });
    let tmux = tmux::look(&config.tmux, &addresses, &agents);
    findings.extend(tmux.findings.iter().cloned());
    findings.extend(found.store.as_ref().map(store::identity));
    findings.extend(damaged.into_iter().map(|words| Finding::wrong("registry", words, "")));
    findings.extend(agents.iter().map(|agent| reach::look(agent, &tmux, &config.agents, time::now())));

    let wrong: Vec<&Finding> = findings.iter().filter(|finding| finding.state == State::Wrong).collect();
    let exit = if wrong.is_empty() { Exit::Yes } else { Exit::No };
    // Who looks at a screen wants words; a program that reads wants lines, and who started it the words for what is wrong.
    if io::stdout().is_terminal() {
        let page: String = findings.iter().map(Finding::page).collect();
        let sum = match wrong.len() {
            0 => format!("{} checks: all is well\n", findings.len()),
            count => format!("{} checks: {count} wrong\n", findings.len()),
        };
        return ndjson::print(&(page + &sum)).map(|_| exit);
    }
    let mut out = Out::stdout()?;
    findings.iter().try_for_each(|finding| out.line(&finding.line()))?;
    out.flush()?;
    for finding in wrong {
        exit::tell(NAME, &Failure::no(format!("{}: {}", finding.check, finding.words)).hint(&finding.hint));
    }
    Ok(exit)
}
