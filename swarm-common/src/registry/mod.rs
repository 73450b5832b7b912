//! The registry: who is here (DESIGN 5, 6). A file an agent, named by its id in lower case; its time is when the agent was last heard of. Who
//! reads needs no lock. Who writes takes it and replaces a whole file, so that a killed writer leaves the old record or the new one.
//!
//! Beside the records, `.panes/` says which agents were registered in a pane, so that a tool that starts in one finds out who it is
//! by two small reads. It is written before a record; the record decides.

mod agent;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use agent::{Agent, DESCRIPTION_BYTES_MAX, GROUPS_MAX, Pane, Route, Server, Status, check_description, is_pane_id, this_boot};

use crate::exit::Failure;
use crate::platform::Life;
use crate::store::Store;
use crate::{files, identity, platform};

/// No record is longer.
const FILE_BYTES_MAX: u64 = 65_536;

/// What is being written; under the lock there is one, and what a killed writer left of it is written over.
const NEW: &str = ".new";

/// The records of a store.
#[derive(Clone, Debug)]
pub struct Registry {
    dir: PathBuf,
}

impl Registry {
    /// The one of a store. Opens nothing.
    pub fn of(store: &Store) -> Registry {
        Registry { dir: store.agents_place() }
    }

    /// Where the records lie, which may be missing: for who watches it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of an agent's record, for who watches it.
    pub fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{}{ENDING}", id.to_ascii_lowercase()))
    }

    /// True if somebody is registered.
    ///
    /// # Errors
    /// Status 3 when the directory cannot be read.
    pub fn exists(&self) -> Result<bool, Failure> {
        let Some(entries) = self.entries()? else { return Ok(false) };
        Ok(entries.flatten().any(|entry| id_of(&entry.file_name().to_string_lossy()).is_some()))
    }

    fn entries(&self) -> Result<Option<fs::ReadDir>, Failure> {
        match fs::read_dir(&self.dir) {
            Ok(entries) => Ok(Some(entries)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &self.dir, &error)),
        }
    }

    /// The agent of this id, in upper or lower case.
    ///
    /// # Errors
    /// Status 3 when its file is no record, with the way out, or cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Agent>, Failure> {
        if !identity::is_id(id) {
            return Ok(None);
        }
        let path = self.file(id);
        match read(&path, id) {
            Ok(Some(Ok(agent))) => Ok(Some(agent)),
            Ok(None) => Ok(None),
            Ok(Some(Err(Damaged))) => Err(Failure::system(format!("{} is no agent's record", path.display()))
                .hint(format!("say who it is:  swarm-agents register {id}\nor forget it:   swarm-agents unregister {id}"))),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// All of them, by their ids. A file that is no record is told through `note` and left out.
    ///
    /// # Errors
    /// Status 3 when the directory cannot be read.
    pub fn all(&self, note: &mut dyn FnMut(&str)) -> Result<Vec<Agent>, Failure> {
        let Some(entries) = self.entries()? else { return Ok(Vec::new()) };
        let mut names = BTreeSet::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", &self.dir, &error))?;
            names.extend(id_of(&entry.file_name().to_string_lossy()).map(str::to_string));
        }
        let found = names.iter().map(|id| self.get(id)).filter_map(|found| match found {
            Ok(agent) => agent,
            Err(failure) => {
                let hint = if failure.hint.is_empty() { String::new() } else { format!(" ({})", failure.hint.replace('\n', "; ")) };
                note(&format!("{}; it is left out{hint}", failure.what));
                None
            }
        });
        Ok(found.collect())
    }

    /// Who was registered in a pane of the tmux server that has this pid now. Two small reads, and one open that fails where nobody was.
    ///
    /// # Errors
    /// Status 3 when a record cannot be read.
    pub fn in_pane(&self, server_pid: u32, pane_id: &str) -> Result<Option<Agent>, Failure> {
        let is_there = |agent: &Agent| {
            let is_named = |pane: &Pane| pane.id == pane_id && pane.server.pid == server_pid;
            // Of another server that had this pid, or that has it in another pid namespace, it is another pane. The socket's name says nothing
            // more, and is spelled in several ways.
            agent.pane.as_ref().is_some_and(|pane| is_named(pane) && pane.server.process().life() == Life::Alive)
        };
        for id in self.listed(server_pid, pane_id)? {
            if let Some(agent) = self.get(&id)?.filter(is_there) {
                return Ok(Some(agent));
            }
        }
        Ok(None)
    }

    /// Registers an agent, or puts this record in the place of its old one.
    ///
    /// # Errors
    /// Status 1 where another agent is in that pane, or that id is an agent's in another pane or process, and neither is gone; where `force` says
    /// so the record takes their place. 2 for what no record may hold, 3 when it cannot be written.
    pub fn put(&self, agent: &Agent, force: bool) -> Result<(), Failure> {
        self.change(&agent.agent_id, force, |_| Ok(agent.clone())).map(|_| ())
    }

    /// As [`Registry::put`], of what `change` makes of the old record; nobody else writes in between. A file that is no record is none.
    ///
    /// # Errors
    /// As [`Registry::put`], and those of `change`.
    pub fn change(&self, id: &str, force: bool, change: impl FnOnce(Option<Agent>) -> Result<Agent, Failure>) -> Result<Agent, Failure> {
        identity::check("agent id", id)?;
        let _lock = self.lock()?;
        let old = self.get(id).unwrap_or_default();
        let agent = change(old.clone())?;
        agent.check()?;
        debug_assert!(identity::is_same(&agent.agent_id, id), "one agent's turn");
        if !force && let Some(old) = &old {
            refuse_elsewhere(old, &agent)?;
        }
        let record = self.prepare(&agent.write())?;
        let others = agent.pane.as_ref().map_or(Ok(Vec::new()), |pane| self.others(pane, &agent, force))?;
        if let Some(pane) = &agent.pane {
            self.list(pane, others.iter().map(|(id, _)| id.as_str()).chain([agent.agent_id.as_str()]))?;
        }
        // Before the record comes: at no moment are two agents in one pane, whoever is killed.
        for (other, _) in others.iter().filter(|(_, is_ousted)| *is_ousted) {
            self.forget(other)?;
        }
        let path = self.file(id);
        fs::rename(record, &path).map_err(|error| failed("write", &path, &error))?;
        for (other, _) in others.iter().filter(|(_, is_ousted)| *is_ousted) {
            self.unlist(agent.pane.as_ref(), other);
        }
        let left = old.and_then(|old| old.pane).filter(|left| agent.pane.as_ref().is_none_or(|pane| !pane.is_same(left)));
        self.unlist(left.as_ref(), id);
        // What the file's own time says: what was put and what is read are the same.
        Ok(self.get(id)?.unwrap_or(agent))
    }

    /// Removes an agent, or a file that is no record; false where there is none.
    ///
    /// # Errors
    /// Status 3 when it cannot be removed.
    pub fn remove(&self, id: &str) -> Result<bool, Failure> {
        // A look first: to remove nothing needs no directory, nor one that can be written to.
        if !identity::is_id(id) || fs::symlink_metadata(self.file(id)).is_err() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let pane = self.get(id).ok().flatten().and_then(|agent| agent.pane);
        let is_removed = remove_file(&self.file(id)).map_err(|error| failed("remove", &self.file(id), &error))?;
        self.unlist(pane.as_ref(), id);
        Ok(is_removed)
    }

    /// Removes those that `is_over`, and what killed writers left; answers who was removed.
    ///
    /// # Errors
    /// Status 3 when one cannot be removed.
    pub fn sweep(&self, is_over: &dyn Fn(&Agent) -> bool, note: &mut dyn FnMut(&str)) -> Result<Vec<Agent>, Failure> {
        if self.entries()?.is_none() {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let (over, left): (Vec<Agent>, Vec<Agent>) = self.all(note)?.into_iter().partition(is_over);
        for agent in &over {
            self.forget(&agent.agent_id)?;
        }
        let mut kept: BTreeSet<PathBuf> = BTreeSet::new();
        for pane in left.iter().filter_map(|agent| agent.pane.as_ref()) {
            kept.insert(self.index(pane.server.pid, &pane.id));
        }
        // What a record of no agent may have held is not asked for: whoever registers it again writes it anew.
        for entry in fs::read_dir(self.dir.join(PANES)).into_iter().flatten().flatten() {
            let path = entry.path();
            if !kept.contains(&path) {
                remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
            }
        }
        let _ = remove_file(&self.dir.join(NEW));
        Ok(over)
    }

    /// The agent is alive, it says; false where nobody has that id. One system call, and no lock: a record that is replaced at the same time is as
    /// new.
    ///
    /// # Errors
    /// Status 3 when its file cannot be touched.
    pub fn beat(&self, id: &str) -> Result<bool, Failure> {
        if !identity::is_id(id) {
            return Ok(false);
        }
        let path = self.file(id);
        let file = files::open_if_there(&path).map_err(|error| failed("open", &path, &error))?;
        let Some(file) = file else { return Ok(false) };
        file.set_modified(std::time::SystemTime::now()).map_err(|error| failed("touch", &path, &error))?;
        Ok(true)
    }

    fn index(&self, server_pid: u32, pane_id: &str) -> PathBuf {
        self.dir.join(PANES).join(format!("{server_pid}{pane_id}"))
    }

    fn lock(&self) -> Result<File, Failure> {
        files::create_dir(&self.dir).map_err(|error| failed("make", &self.dir, &error))?;
        let path = self.dir.join(".lock");
        files::lock(&path, true).map_err(|error| failed("lock", &path, &error))
    }

    /// The ids that were registered in a pane of this name.
    fn listed(&self, server_pid: u32, pane_id: &str) -> Result<Vec<String>, Failure> {
        if !is_pane_id(pane_id) {
            return Ok(Vec::new());
        }
        let path = self.index(server_pid, pane_id);
        let file = files::open_if_there(&path).map_err(|error| failed("read", &path, &error))?;
        let Some(file) = file else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| failed("read", &path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).lines().filter(|id| identity::is_id(id)).map(str::to_string).collect())
    }

    /// The others that this pane's index has to name besides `agent`, and whether each has to give the pane up.
    fn others(&self, pane: &Pane, agent: &Agent, force: bool) -> Result<Vec<(String, bool)>, Failure> {
        let mut others = Vec::new();
        for id in self.listed(pane.server.pid, &pane.id)? {
            if identity::is_same(&id, &agent.agent_id) {
                continue;
            }
            // What is no record says nothing of a pane.
            let Some(other) = self.get(&id).unwrap_or_default() else { continue };
            match &other.pane {
                None => {}
                // A pane of another server, which has the same id.
                Some(theirs) if !theirs.is_same(pane) => others.push((id, false)),
                Some(_) if other.life() == Life::Gone => {}
                Some(_) if force => others.push((id, true)),
                Some(_) => return Err(occupied(&pane.id, &other.agent_id)),
            }
        }
        Ok(others)
    }

    fn list<'a>(&self, pane: &Pane, ids: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
        let dir = self.dir.join(PANES);
        files::create_dir(&dir).map_err(|error| failed("make", &dir, &error))?;
        let (new, path) = (dir.join(NEW), self.index(pane.server.pid, &pane.id));
        // Not synced: what a power cut takes of it are panes that it took too.
        let write = || fs::write(&new, ids.collect::<Vec<_>>().join("\n")).and_then(|()| fs::rename(&new, &path));
        write().map_err(|error| failed("write", &path, &error))
    }

    /// Best effort: an entry that stays leads to a record that says otherwise.
    fn unlist(&self, pane: Option<&Pane>, id: &str) {
        let Some(pane) = pane else { return };
        let ids = self.listed(pane.server.pid, &pane.id).unwrap_or_default();
        let mut left = ids.iter().map(String::as_str).filter(|listed| !identity::is_same(listed, id)).peekable();
        if left.peek().is_none() {
            let _ = remove_file(&self.index(pane.server.pid, &pane.id));
        } else {
            let _ = self.list(pane, left);
        }
    }

    /// Removes a record, whose pane is somebody else's business.
    fn forget(&self, id: &str) -> Result<(), Failure> {
        let path = self.file(id);
        remove_file(&path).map(|_| ()).map_err(|error| failed("remove", &path, &error))
    }

    /// Puts a line on disk, under a name that its rename will end: so a full disk is met before anything changed, and a power cut leaves no empty
    /// record.
    fn prepare(&self, line: &[u8]) -> Result<PathBuf, Failure> {
        let new = self.dir.join(NEW);
        let write = || {
            let mut file = files::open_or_create(&new)?;
            // What a killed writer left may be longer.
            file.set_len(0)?;
            file.write_all(&[line, b"\n"].concat())?;
            platform::sync_data(&file)
        };
        match write() {
            Ok(()) => Ok(new),
            Err(error) => {
                let _ = remove_file(&new);
                Err(failed("write", &new, &error))
            }
        }
    }
}

/// How a record's file ends.
const ENDING: &str = ".json";

/// The directory of what was registered in which pane.
const PANES: &str = ".panes";

/// The id of a record's file.
fn id_of(name: &str) -> Option<&str> {
    name.strip_suffix(ENDING).filter(|id| identity::is_id(id))
}

/// A file that is no record.
struct Damaged;

fn read(path: &Path, id: &str) -> io::Result<Option<Result<Agent, Damaged>>> {
    let Some(file) = files::open_if_there(path)? else { return Ok(None) };
    let seen_at = Timestamp::try_from(file.metadata()?.modified()?).unwrap_or(Timestamp::UNIX_EPOCH);
    // With room for most, it is one read.
    let mut bytes = Vec::with_capacity(1_024);
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    let agent = Agent::parse(&bytes, seen_at).filter(|agent| identity::is_same(&agent.agent_id, id));
    Ok(Some(agent.ok_or(Damaged)))
}

fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::io(format_args!("{verb} {}", path.display()), error)
}

/// An agent that is not gone keeps its id where it is.
fn refuse_elsewhere(old: &Agent, new: &Agent) -> Result<(), Failure> {
    if !old.has_place() || old.is_beside(new) || old.life() == Life::Gone {
        return Ok(());
    }
    let place = match (&old.pane, &old.process) {
        (Some(pane), _) => format!("in the pane {} of {}", pane.id, pane.server.socket.display()),
        (None, Some(process)) => format!("as the process {}", process.pid),
        (None, None) => String::new(),
    };
    Err(Failure::no(format!("{} is registered already, {place}, and is not gone", old.agent_id))
        .hint("another id for this one; or --force takes the id over, and the other one loses it"))
}

fn occupied(pane_id: &str, agent_id: &str) -> Failure {
    Failure::no(format!("the pane {pane_id} is {agent_id}'s, which is not gone"))
        .hint(format!("give the pane up:  swarm-agents unregister {agent_id}\nor take it over:   --force, which unregisters {agent_id}"))
}

#[cfg(test)]
mod tests;
