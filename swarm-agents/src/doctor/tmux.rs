//! tmux: is it there, is it new enough, which servers answer, and is what this pane's environment says still so?

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use swarm_common::config::Tmux;
use swarm_common::registry::{Agent, Route};

use super::finding::Finding;
use crate::tmux::call::{self, Trouble};
use crate::tmux::query::{self, Shown};
use crate::tmux::server::{self, Address, Inside, Source};

/// `attach-session -f`, which delivery needs.
const VERSION_MIN: (u32, u32) = (3, 2);

/// What it was tried with.
const VERSIONS_TESTED: [&str; 4] = ["3.2a", "3.3a", "3.5a", "3.7c"];

/// What was found.
pub struct Looked {
    /// What there is to say of it.
    pub findings: Vec<Finding>,
    /// What each server answered, by its socket.
    pub servers: BTreeMap<PathBuf, Result<Vec<Shown>, Trouble>>,
    /// The server that is meant where none is named.
    pub own: PathBuf,
}

/// Looks for tmux, and at these servers and those of the agents.
pub fn look(tmux: &Tmux, addresses: &[Address], agents: &[Agent]) -> Looked {
    let is_needed = agents.is_empty() || agents.iter().any(|agent| agent.route != Route::Inbox);
    let version = call::version(tmux);
    let mut looked = Looked { findings: vec![program(&version, is_needed)], servers: BTreeMap::new(), own: Address::own().socket };
    let known = agents.iter().filter_map(|agent| agent.pane.as_ref()).map(|pane| Address::path(&pane.server.socket));
    let known: Vec<Address> = known.filter(|known| !addresses.iter().any(|address| address.socket == known.socket)).collect();
    for (address, is_asked) in addresses.iter().map(|address| (address, true)).chain(known.iter().map(|address| (address, false))) {
        if looked.servers.contains_key(&address.socket) {
            continue;
        }
        let answer = match &version {
            Err(Trouble::NotInstalled) => Err(Trouble::NotInstalled),
            _ => query::panes(tmux, &address.socket),
        };
        match &answer {
            Err(Trouble::NotInstalled) => {}
            // Each of its agents says so.
            Err(Trouble::NoServer(_)) if !is_asked => {}
            answer => looked.findings.push(server(address, answer)),
        }
        looked.servers.insert(address.socket.clone(), answer);
    }
    if let Some(inside) = server::inside()
        && let Some(Ok(panes)) = looked.servers.get(&inside.socket)
    {
        looked.findings.extend(environment(&inside, panes));
    }
    looked
}

fn program(version: &Result<String, Trouble>, is_needed: bool) -> Finding {
    match version {
        Ok(version) => match parsed(version) {
            Some(parsed) if parsed < VERSION_MIN => {
                Finding::wrong("tmux", format!("tmux {version} is too old: nothing can be delivered to panes"), "3.2 or newer is needed")
            }
            _ if VERSIONS_TESTED.contains(&version.as_str()) => Finding::good("tmux", format!("tmux {version}")),
            Some(_) => Finding::good("tmux", format!("tmux {version} (tested with {})", VERSIONS_TESTED.join(", "))),
            None => Finding::note(
                "tmux",
                format!("tmux {version}: a version that is not known (tested with {})", VERSIONS_TESTED.join(", ")),
                "",
            ),
        }
        .with("version", version.as_str()),
        Err(trouble @ Trouble::NotInstalled) if !is_needed => {
            Finding::note("tmux", format!("{}; no agent here needs it", trouble.what(Path::new(""))), "")
        }
        Err(trouble) => Finding::wrong("tmux", trouble.what(Path::new("tmux")), trouble.hint(Source::Default)),
    }
}

/// `3.3a`, `next-3.5`, `openbsd-7.4`: that last one says nothing of tmux's own.
fn parsed(version: &str) -> Option<(u32, u32)> {
    let version = version.strip_prefix("next-").unwrap_or(version);
    let (major, rest) = version.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn server(address: &Address, answer: &Result<Vec<Shown>, Trouble>) -> Finding {
    let socket = &address.socket;
    let finding = match answer {
        Ok(panes) => {
            let open = fs::metadata(socket).ok().filter(|meta| meta.mode() & 0o002 != 0 && is_passable(socket));
            let words = format!("{}: {} panes", socket.display(), panes.len());
            match open {
                Some(meta) => Finding::wrong(
                    "server",
                    format!("{words}; everybody on this machine may type into them (mode {:03o})", meta.mode() & 0o777),
                    format!("chmod o-rwx {}", socket.display()),
                ),
                None => Finding::good("server", words),
            }
            .with("panes", panes.len() as u64)
            .with("pid", panes.first().map_or(0, |pane| u64::from(pane.server_pid)))
        }
        // Nobody has started one yet.
        Err(trouble @ Trouble::NoServer(_)) if address.source == Source::Default => {
            Finding::note("server", trouble.what(socket), trouble.hint(address.source))
        }
        Err(trouble) => Finding::wrong("server", trouble.what(socket), trouble.hint(address.source)),
    };
    finding.with("socket", socket.to_string_lossy().into_owned())
}

/// Whether others come as far as the socket.
fn is_passable(socket: &Path) -> bool {
    socket.ancestors().skip(1).all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0))
}

/// Whether `$TMUX` and `$TMUX_PANE` speak of the server that answers.
fn environment(inside: &Inside, panes: &[Shown]) -> Option<Finding> {
    let renew = "in a new pane or a new shell it is right again";
    let pid = panes.first()?.server_pid;
    if inside.server_pid.is_some_and(|named| named != pid) {
        let words = format!("$TMUX names a server that has ended; another one (pid {pid}) has its socket");
        return Some(Finding::wrong("environment", words, renew));
    }
    let pane_id = inside.pane_id.as_ref()?;
    if !panes.iter().any(|pane| pane.id == *pane_id) {
        return Some(Finding::wrong("environment", format!("$TMUX_PANE names {pane_id}, and there is no such pane"), renew));
    }
    Some(Finding::good("environment", format!("this is the pane {pane_id}")).with("pane", pane_id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_version_is_compared_as_numbers() {
        for (version, state) in [
            ("3.3a", State::Good),
            ("3.2", State::Good),
            ("3.10", State::Good),
            ("next-3.6", State::Good),
            ("4.0", State::Good),
            ("3.1c", State::Wrong),
            ("2.9", State::Wrong),
            ("master", State::Note),
        ] {
            assert_eq!(program(&Ok(version.into()), true).state, state, "{version}");
        }
        assert_eq!(program(&Err(Trouble::NotInstalled), true).state, State::Wrong);
        assert_eq!(program(&Err(Trouble::NotInstalled), false).state, State::Note);
    }
}
