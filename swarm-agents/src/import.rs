//! `import`: takes over the registry of the Python program, `ACTIVE_AGENTS.json`. Its file is read, and never changed.
//!
//! It knows a pane by its place in a session, which tmux renumbers, and by the process that tmux started in it. By that process the pane is found
//! again; who has none any more is gone.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use swarm_common::exit::{self, Exit, Failure};
use swarm_common::json::{Scanner, Value, Walk};
use swarm_common::ndjson::Out;
use swarm_common::registry::Registry;
use swarm_common::store::Store;
use swarm_common::{identity, time};

use crate::answer;
use crate::cli::{self, NAME};
use crate::commands::note;
use crate::pane;
use crate::register::{self, Said};
use crate::tmux::call::Trouble;
use crate::tmux::query::{self, Shown};

/// A thousand agents are some 200 KiB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An agent as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub id: String,
    /// The process that tmux started in its pane.
    pub pid: u32,
}

/// Takes them over.
///
/// # Errors
/// Status 2 where the file is none of its registries, 3 when the system failed.
pub fn import(options: &cli::Import) -> Result<Exit, Failure> {
    let path = Path::new(&options.file);
    let entries = parse(&read(path)?).map_err(|why| {
        Failure::wrong(format!("{}: no registry of the Python program: {why}", path.display()))
            .hint("that is its ACTIVE_AGENTS.json: {\"agents\":[{\"id\":\"agent-0\",\"pid\":4711,...},...]}")
    })?;
    let address = pane::address(&options.server)?;
    let store = Store::open(options.place.store.as_deref())?;
    let panes = match query::panes(&store.config().tmux, &address.socket) {
        // Then none of the panes is left.
        Err(Trouble::NoServer(_)) => Vec::new(),
        panes => panes.map_err(|trouble| trouble.failure(&address))?,
    };
    let registry = Registry::of(&store);
    let mut out = Out::stdout()?;
    let (mut taken, mut gone, mut left_out, mut seen) = (0, 0, 0, HashSet::new());
    for entry in entries {
        let (id, why, failure) = match entry {
            None => (String::new(), "damaged", Failure::wrong("no agent can be read in an entry")),
            Some(Entry { id, pid }) => match panes.iter().find(|pane| pane.pid == pid && !pane.is_dead) {
                _ if !seen.insert(id.to_ascii_lowercase()) => {
                    let failure = Failure::wrong(format!("{id} stands there twice"));
                    (id, "twice", failure)
                }
                None => {
                    gone += 1;
                    out.line(&answer::skipped(&id, "gone", ""))?;
                    continue;
                }
                Some(shown) => match take(&registry, &store, &id, shown, &address) {
                    Ok(line) => {
                        taken += 1;
                        out.line(&line)?;
                        continue;
                    }
                    Err(failure) if failure.exit == Exit::System => return Err(failure),
                    Err(failure) => (id, if failure.exit == Exit::No { "held" } else { "agent_id" }, failure),
                },
            },
        };
        left_out += 1;
        note(&format!("left out: {}", failure.what));
        out.line(&answer::skipped(&id, why, &failure.what))?;
    }
    out.flush()?;
    exit::say(NAME, &format!("{taken} taken over, {gone} gone, {left_out} left out"));
    Ok(if left_out == 0 { Exit::Yes } else { Exit::No })
}

/// Registers one; its line.
fn take(registry: &Registry, store: &Store, id: &str, shown: &Shown, address: &crate::tmux::server::Address) -> Result<Vec<u8>, Failure> {
    identity::check("agent id", id)?;
    let (now, config) = (time::now(), &store.config().agents);
    let found = register::in_pane(pane::pane(shown, address)?, config)?;
    let mut is_new = true;
    let agent = registry.change(id, false, |old| {
        is_new = old.is_none();
        Ok(register::agent(Said::nothing(id), found, old, now))
    })?;
    let event = if is_new { "registered" } else { "updated" };
    Ok(answer::agent(event, &agent, agent.status(now, config.stale_after)))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::wrong(format!("{}: no such file", path.display())).hint("the Python program's ACTIVE_AGENTS.json")
        }
        _ => Failure::io(format_args!("read {}", path.display()), error),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::wrong(format!("{}: more than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

/// Its agents; `None` for an entry that makes no sense.
///
/// # Errors
/// Why the file has no list of them.
pub fn parse(bytes: &[u8]) -> Result<Vec<Option<Entry>>, String> {
    let mut entries = None;
    let walked = Scanner::new().members(bytes, |key, value| {
        if let (b"agents", Value::Array(_)) = (key.decode().as_ref(), value) {
            entries = Some(value.items().map(entry).collect());
        }
        Walk::On
    });
    walked.map_err(|fault| fault.to_string())?;
    entries.ok_or_else(|| "it has no list \"agents\"".into())
}

fn entry(value: Value<'_>) -> Option<Entry> {
    let Value::Object(raw) = value else { return None };
    let (mut id, mut pid) = (None, None);
    let is_whole = Scanner::new().members(raw, |key, value| {
        match (key.decode().as_ref(), value) {
            (b"id", Value::String(text)) => id = Some(text.text().into_owned()),
            (b"pid", _) => pid = value.as_u64().and_then(|pid| u32::try_from(pid).ok()),
            _ => {}
        }
        Walk::On
    });
    is_whole.ok().filter(|&whole| whole)?;
    Some(Entry { id: id?, pid: pid? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_agents_are_read_and_an_odd_entry_hides_no_other() {
        let entries = parse(include_bytes!("../tests/data/ACTIVE_AGENTS.json")).expect("read");
        let first = Entry { id: "agent-0".into(), pid: 16854 };
        assert_eq!((entries.len(), &entries[0]), (7, &Some(first)));
        let odd = br#"{"agents": [{"id": 1, "pid": 2}, 7, {"id": "a"}, {"id": "b", "pid": -1}, {"id": "c", "pid": 3, "new": []}]}"#;
        let entries = parse(odd).expect("read");
        assert_eq!(entries, [None, None, None, None, Some(Entry { id: "c".into(), pid: 3 })]);
        for garbage in ["", "{}", "[]", "{\"agents\":{}}", "{\"agents\":[", "{\"agents\":[]} x"] {
            assert!(parse(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
