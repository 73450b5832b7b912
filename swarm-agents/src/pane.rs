//! One pane, as tmux tells of it.

use swarm_common::config::Tmux;
use swarm_common::exit::Failure;
use swarm_common::registry::{Pane, is_pane_id};

use crate::cli;
use crate::tmux::query::{self, Shown};
use crate::tmux::server::{self, Address};

/// The pane that this call is made in, by tmux's variables.
pub fn own() -> Option<String> {
    server::inside()?.pane_id.filter(|pane| is_pane_id(pane))
}

/// The server that is meant.
///
/// # Errors
/// Status 2 for what cannot be one.
pub fn address(server: &cli::Server) -> Result<Address, Failure> {
    let named = server::addresses(server.name.as_slice(), server.socket.as_slice())?;
    Ok(named.into_iter().next().unwrap_or_else(Address::own))
}

/// Asks a tmux server for a pane.
///
/// # Errors
/// Status 2 where there is no such pane, 3 where tmux cannot be asked.
pub fn ask(tmux: &Tmux, address: &Address, id: &str) -> Result<Pane, Failure> {
    if !is_pane_id(id) {
        return Err(Failure::wrong(format!("--pane: '{id}' is no pane")).hint("a pane's id, like %3: tmux list-panes -a -F '#{pane_id}'"));
    }
    let shown = query::pane(tmux, &address.socket, id).map_err(|trouble| trouble.failure(address))?;
    let shown = shown.ok_or_else(|| {
        Failure::wrong(format!("no pane {id} on {}", address.socket.display())).hint("those there are: tmux list-panes -a -F '#{pane_id}'")
    })?;
    if shown.is_dead {
        return Err(
            Failure::wrong(format!("what ran in the pane {id} has ended")).hint("another pane; or start it again: tmux respawn-pane")
        );
    }
    pane(&shown, address)
}

/// The pane as the registry has it.
///
/// # Errors
/// Status 3 where its server's process cannot be looked at.
pub fn pane(shown: &Shown, address: &Address) -> Result<Pane, Failure> {
    let what = format!("look at the tmux server on {}", address.socket.display());
    let found = shown.pane().map_err(|error| Failure::io(&what, &error))?;
    found.ok_or_else(|| {
        Failure::system(format!("cannot {what}: no process {} here", shown.server_pid))
            .hint("it may run outside of this container: --route inbox")
    })
}
