//! The panes of a server: one call, whose answer is parted by what nobody who named a window or a process could know.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use swarm_common::config::Tmux;
use swarm_common::message::Ids;
use swarm_common::registry::{Pane, Server, is_pane_id};

use super::call::{self, Trouble};

/// What is asked of each pane. Titles are not among it, and no name is ever part of a format: tmux runs the command in `#(command)`.
const FIELDS: [&str; 15] = [
    "pane_id",
    "pane_pid",
    "pane_dead",
    "pane_in_mode",
    "pane_input_off",
    "pane_synchronized",
    "pane_tty",
    "session_id",
    "window_id",
    "window_index",
    "pid",
    "socket_path",
    "pane_current_command",
    "session_name",
    "window_name",
];

/// A pane, as its server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `%3`
    pub id: String,
    /// The process that tmux started in it.
    pub pid: u32,
    /// That has ended, and the pane was kept (`remain-on-exit`). To paste into it kills the server of tmux 3.3a.
    pub is_dead: bool,
    /// It is in a mode, like copy mode, which takes its keys.
    pub is_in_mode: bool,
    /// Its input was switched off.
    pub is_input_off: bool,
    /// What is typed in one pane of its window is typed in all of them (`synchronize-panes`).
    pub is_synchronized: bool,
    /// Its terminal.
    pub tty: String,
    /// `$0`
    pub session_id: String,
    /// What its session is called.
    pub session: String,
    /// `@0`
    pub window_id: String,
    /// What its window is called.
    pub window: String,
    /// The window's place in the session.
    pub window_index: u32,
    /// The program in front, as tmux sees it.
    pub command: String,
    /// The server's process.
    pub server_pid: u32,
    /// The server's socket, as the server spells it.
    pub socket: PathBuf,
}

impl Shown {
    /// The pane as the registry has it; `None` when its server has ended since.
    ///
    /// # Errors
    /// When the server's process cannot be looked at: it is in another pid namespace, perhaps.
    pub fn pane(&self) -> std::io::Result<Option<Pane>> {
        let server = Server::of(&self.socket, self.server_pid)?;
        Ok(server.map(|server| Pane { id: self.id.clone(), server, pid: self.pid }))
    }
}

/// All panes of the server at `socket`, each once, in the order of their ids, which is that of their age.
///
/// # Errors
/// The trouble.
pub fn panes(tmux: &Tmux, socket: &Path) -> Result<Vec<Shown>, Trouble> {
    // A new id each time: whatever a pane's program calls itself, it does not begin a field.
    let mark = Ids::default().make();
    let format = FIELDS.map(|field| format!("{mark}#{{{field}}}")).concat() + &mark;
    let answer = call::ask(tmux, socket, &["list-panes", "-a", "-F", &format])?;
    let mut panes = parse(&answer, mark.as_bytes()).ok_or_else(|| Trouble::Failed("an answer that is not understood".into()))?;
    for pane in &mut panes {
        // Started as `tmux -S name`, it calls its socket so.
        if pane.socket.is_relative() {
            pane.socket = std::path::absolute(socket).unwrap_or_else(|_| socket.to_path_buf());
        }
    }
    panes.sort_by_key(|pane| number(&pane.id));
    // A window that several sessions show is told as often.
    panes.dedup_by(|one, other| one.id == other.id);
    Ok(panes)
}

/// The pane of this id on the server at `socket`; `None` when it has none.
///
/// # Errors
/// The trouble.
pub fn pane(tmux: &Tmux, socket: &Path, id: &str) -> Result<Option<Shown>, Trouble> {
    Ok(panes(tmux, socket)?.into_iter().find(|pane| pane.id == id))
}

fn number(id: &str) -> u64 {
    id.get(1..).and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

/// `None` when it is not what was asked for.
fn parse(answer: &[u8], mark: &[u8]) -> Option<Vec<Shown>> {
    let mut ends = memchr::memmem::find_iter(answer, mark);
    let mut panes = Vec::new();
    // What stands before a record: nothing, and then the newline behind the one before.
    let mut at = 0;
    while let Some(start) = ends.next() {
        if !matches!(answer.get(at..start)?, b"" | b"\n") {
            return None;
        }
        at = start + mark.len();
        let mut fields = FIELDS.map(|_| &[][..]);
        for field in &mut fields {
            let end = ends.next()?;
            *field = answer.get(at..end)?;
            at = end + mark.len();
        }
        panes.push(shown(fields)?);
    }
    matches!(answer.get(at..)?, b"" | b"\n").then_some(panes)
}

fn shown(fields: [&[u8]; FIELDS.len()]) -> Option<Shown> {
    let [id, pid, dead, mode, off, synchronized, tty, session_id, window_id, window_index, server_pid, socket, command, session, window] =
        fields;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let whole = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u32>().ok();
    // Some are empty where they do not apply, and a mode may be in another one.
    let is_on = |field: &[u8]| !matches!(field, b"" | b"0");
    let id = text(id);
    is_pane_id(&id).then_some(Shown {
        id,
        // -1 where it could not be started.
        pid: whole(pid).unwrap_or(0),
        is_dead: is_on(dead),
        is_in_mode: is_on(mode),
        is_input_off: is_on(off),
        is_synchronized: is_on(synchronized),
        tty: text(tty),
        session_id: text(session_id),
        session: text(session),
        window_id: text(window_id),
        window: text(window),
        window_index: whole(window_index)?,
        command: text(command),
        server_pid: whole(server_pid)?,
        socket: OsString::from_vec(socket.to_vec()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(window: &str) -> String {
        let fields = ["%3", "71", "1", "0", "", "0", "/dev/pts/3", "$0", "@1", "4", "70", "/tmp/s", "x\n\t", "a:b", window]
            .map(|field| format!("<>{field}"));
        fields.concat() + "<>\n"
    }

    #[test]
    fn a_name_may_hold_anything_but_what_nobody_knows() {
        let names = ["plain", "", "two\nlines\t\u{1b}[2J", "%9", "#{pane_id}#(touch x)", "\\\"'"];
        let answer: String = names.iter().map(|name| line(name)).collect();
        let panes = parse(answer.as_bytes(), b"<>").expect("understood");
        assert_eq!(panes.iter().map(|pane| pane.window.as_str()).collect::<Vec<_>>(), names);
        let pane = &panes[0];
        assert_eq!((pane.id.as_str(), pane.pid, pane.server_pid, pane.window_index), ("%3", 71, 70, 4));
        assert_eq!((pane.is_dead, pane.is_in_mode, pane.is_input_off), (true, false, false));
        assert_eq!((pane.command.as_str(), pane.session.as_str(), pane.socket.to_str()), ("x\n\t", "a:b", Some("/tmp/s")));
    }

    #[test]
    fn what_is_cut_off_or_not_what_was_asked_for_is_not_understood() {
        let whole = line("w") + &line("v");
        assert_eq!(parse(whole.as_bytes(), b"<>").map(|panes| panes.len()), Some(2));
        assert_eq!(parse(b"", b"<>"), Some(Vec::new()));
        for end in 1..whole.len() - 1 {
            // Where the first line ends, the second was never begun.
            let is_whole = end == line("w").len() || end + 1 == line("w").len();
            assert_eq!(parse(&whole.as_bytes()[..end], b"<>").is_some(), is_whole, "{end}");
        }
        for garbage in ["x", "<>", &format!("x{whole}"), &line("w").replace("%3", "3"), &line("w").replace("<>70", "<>x")] {
            assert_eq!(parse(garbage.as_bytes(), b"<>"), None, "{garbage}");
        }
    }
}
