//! One pane, as tmux tells of it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use swarm_common::exit::Failure;
use swarm_common::registry::{Pane, Server, is_pane_id};
use swarm_common::{identity, text};

use crate::cli;

/// The pane that this call is made in, by tmux's variables.
pub fn own() -> Option<String> {
    let server = env::var_os("TMUX").and_then(|tmux| identity::server(&tmux));
    server.and(env::var("TMUX_PANE").ok()).filter(|pane| is_pane_id(pane))
}

/// Asks tmux for a pane.
///
/// # Errors
/// Status 2 where there is no such pane, 3 where tmux cannot be asked.
pub fn ask(server: &cli::Server, id: &str) -> Result<Pane, Failure> {
    if !is_pane_id(id) {
        return Err(Failure::wrong(format!("--pane: '{id}' is no pane")).hint("a pane's id, like %3: tmux list-panes -a -F '#{pane_id}'"));
    }
    // The socket last: it may hold spaces.
    let format = "#{pane_id} #{pane_pid} #{pid} #{socket_path}";
    let mut tmux = Command::new("tmux");
    tmux.args(chosen(server)).args(["display-message", "-p", "-t", id, format]).stdin(Stdio::null());
    let answer = tmux.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::system("tmux is not installed").hint("without it: --route inbox"),
        _ => Failure::io("start tmux", &error),
    })?;
    let said = String::from_utf8_lossy(&answer.stdout);
    let mut words = said.trim_end_matches('\n').splitn(4, ' ');
    let (Some(found), Some(pid), Some(server_pid), Some(socket)) = (words.next(), words.next(), words.next(), words.next()) else {
        let why = text::excerpt(&answer.stderr, 200);
        return Err(if why.contains("can't find pane") {
            Failure::wrong(format!("--pane: no pane {id}")).hint("those there are: tmux list-panes -a -F '#{pane_id}'")
        } else {
            Failure::system(format!("tmux does not tell of the pane {id}: {why}"))
        });
    };
    let odd = || Failure::system(format!("tmux does not tell of the pane {id} as expected: {}", text::excerpt(&answer.stdout, 200)));
    // tmux answers for another pane where its client has one.
    if found != id {
        return Err(Failure::wrong(format!("--pane: no pane {id}")));
    }
    let pid = pid.parse().map_err(|_| odd())?;
    let server_pid = server_pid.parse().map_err(|_| odd())?;
    let server = Server::of(Path::new(socket), server_pid).map_err(|error| Failure::io("learn when tmux was started", &error))?;
    Ok(Pane { id: id.to_string(), server: server.ok_or_else(odd)?, pid })
}

/// The arguments that choose a server.
pub fn chosen(server: &cli::Server) -> Vec<OsString> {
    let option = |name: &str, value: &OsStr| vec![name.into(), value.to_owned()];
    match server {
        cli::Server { socket: Some(path), .. } => option("-S", path),
        cli::Server { name: Some(name), .. } => option("-L", name),
        cli::Server { .. } => Vec::new(),
    }
}
