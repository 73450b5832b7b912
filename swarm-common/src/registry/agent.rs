//! An agent, as its record says it; and what can be said of it now: whether it lives.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::exit::Failure;
use crate::json::{Object, Scanner, Str, Value, Walk};
use crate::platform::{self, Life, Process};
use crate::{identity, text, time};

/// The longest description.
pub const DESCRIPTION_BYTES_MAX: usize = 200;

/// The most groups of one agent.
pub const GROUPS_MAX: usize = 64;

/// How a message gets to an agent (DESIGN 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It is typed into its pane.
    Pane,
    /// One short line is typed into its pane: it has mail.
    Wake,
    /// Nothing is typed: it looks by itself.
    Inbox,
}

impl Route {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Route::Pane => "pane",
            Route::Wake => "wake",
            Route::Inbox => "inbox",
        }
    }

    /// The route of this word.
    pub fn parse(word: &str) -> Option<Route> {
        [Route::Pane, Route::Wake, Route::Inbox].into_iter().find(|route| route.word() == word)
    }
}

/// A tmux server. A new one on the same socket is another one, and has other panes under the same ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its socket, spelled as `$TMUX` and `#{socket_path}` spell it.
    pub socket: PathBuf,
    /// Its process.
    pub pid: u32,
    /// When that began: a word to compare.
    pub start: String,
    /// The pid namespace in which that is its pid.
    pub space: Option<String>,
}

impl Server {
    /// The server that has this pid now; `None` when no living process has.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn of(socket: &Path, pid: u32) -> io::Result<Option<Server>> {
        let found = Process::of(pid)?;
        Ok(found.map(|Process { pid, start, space }| Server { socket: socket.to_path_buf(), pid, start, space }))
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process { pid: self.pid, start: self.start.clone(), space: self.space.clone() }
    }
}

/// A pane of a tmux server. Its id is not given again as long as the server lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    /// `%3`
    pub id: String,
    /// Whose it is.
    pub server: Server,
    /// The process that tmux started in it (`#{pane_pid}`).
    pub pid: u32,
}

impl Pane {
    /// True if both are one pane; it may have begun another process since.
    pub fn is_same(&self, other: &Pane) -> bool {
        self.id == other.id && self.server == other.server
    }

    /// Whether the process that tmux started in it lives. Its start is not kept, so one that got its pid is taken for it.
    fn life(&self) -> Life {
        match Process::of(self.pid) {
            Ok(found) if found.as_ref().is_none_or(|process| process.space == self.server.space) => {
                found.map_or(Life::Gone, |_| Life::Alive)
            }
            _ => Life::Unknown,
        }
    }
}

/// True for `%3`. Anything else could be more than a pane to tmux: `%0;` ends a command.
pub fn is_pane_id(text: &str) -> bool {
    text.strip_prefix('%')
        .is_some_and(|number| !number.is_empty() && number.len() <= 10 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Somebody who takes part in the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub agent_id: String,
    /// How it gets its messages.
    pub route: Route,
    /// Where it is to be seen.
    pub pane: Option<Pane>,
    /// The process that it lives as long as.
    pub process: Option<Process>,
    /// The boot that processes and servers belong to.
    pub boot: String,
    /// Which agent CLI it is.
    pub kind: Option<String>,
    /// What is typed may be typed at a shell: the agent is one.
    pub shell_ok: bool,
    /// The groups that it belongs to: `@backend` is written to all of one.
    pub groups: Vec<String>,
    /// What it is there for.
    pub description: Option<String>,
    /// Since when it is known under this id.
    pub registered_at: Timestamp,
    /// When it was last heard of: the time of its file.
    pub seen_at: Timestamp,
}

/// Whether an agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its process lives; or it has none to look at, and was heard of lately.
    Active,
    /// It has no process to look at, and was not heard of for long.
    Stale,
    /// Its process has ended, or the tmux server of its pane, or the machine was started anew.
    Gone,
}

impl Status {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Stale => "stale",
            Status::Gone => "gone",
        }
    }
}

/// The boot id; empty where it cannot be told. It never changes, and a list of a thousand agents asks for it as often.
pub fn this_boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| platform::boot_id().unwrap_or_default())
}

impl Agent {
    /// One with nothing but an id, registered now.
    pub fn new(agent_id: &str, now: Timestamp) -> Agent {
        Agent {
            agent_id: agent_id.to_string(),
            route: Route::Inbox,
            pane: None,
            process: None,
            boot: this_boot().to_string(),
            kind: None,
            shell_ok: false,
            groups: Vec::new(),
            description: None,
            registered_at: now,
            seen_at: now,
        }
    }

    /// Whether it is there.
    pub fn status(&self, now: Timestamp, stale_after: Duration) -> Status {
        match self.life() {
            Life::Alive => Status::Active,
            Life::Gone => Status::Gone,
            Life::Unknown if self.stale_at(stale_after).is_none_or(|at| now < at) => Status::Active,
            Life::Unknown => Status::Stale,
        }
    }

    /// When it becomes stale if it is not heard of and no process tells of it; `None` where that is beyond the calendar.
    pub fn stale_at(&self, stale_after: Duration) -> Option<Timestamp> {
        self.seen_at.checked_add(SignedDuration::try_from(stale_after).ok()?).ok()
    }

    /// The processes that it does not outlive: its own, or else its pane's, and its tmux server.
    pub fn lives_by(&self) -> Vec<Process> {
        let server = self.pane.as_ref().map(|pane| pane.server.process());
        let in_pane = || self.pane.as_ref().and_then(|pane| Process::of(pane.pid).ok().flatten());
        server.into_iter().chain(self.process.clone().or_else(in_pane)).collect()
    }

    /// What its processes say.
    pub fn life(&self) -> Life {
        if !self.boot.is_empty() && !this_boot().is_empty() && self.boot != this_boot() {
            return Life::Gone;
        }
        if self.pane.as_ref().is_some_and(|pane| pane.server.process().life() == Life::Gone) {
            return Life::Gone;
        }
        match (&self.process, &self.pane) {
            (Some(process), _) => process.life(),
            (None, Some(pane)) => pane.life(),
            (None, None) => Life::Unknown,
        }
    }

    /// True if both are in one place: one pane, or else one process. One that has neither is in no place that another could be told from.
    pub(super) fn is_beside(&self, other: &Agent) -> bool {
        let is_same_pane = || self.pane.as_ref().zip(other.pane.as_ref()).is_some_and(|(own, other)| own.is_same(other));
        let is_same_process = || self.process.is_some() && self.process == other.process;
        is_same_pane() || is_same_process()
    }

    /// True where there is something to tell it from another by.
    pub(super) fn has_place(&self) -> bool {
        self.pane.is_some() || self.process.is_some()
    }

    /// Refuses what a record may not hold.
    ///
    /// # Errors
    /// Status 2, with the rule.
    pub fn check(&self) -> Result<(), Failure> {
        identity::check("agent id", &self.agent_id)?;
        if let Some(kind) = &self.kind {
            identity::check("kind", kind)?;
        }
        if self.groups.len() > GROUPS_MAX {
            return Err(Failure::wrong(format!("{} groups: the limit is {GROUPS_MAX}", self.groups.len())));
        }
        for group in &self.groups {
            identity::check("group", group)?;
            if identity::is_same(group, "all") {
                return Err(Failure::wrong("group: '@all' is everybody").hint("another name"));
            }
        }
        if let Some(pane) = &self.pane {
            if !is_pane_id(&pane.id) {
                return Err(Failure::wrong(format!("'{}' is no pane", pane.id)).hint("a pane's id, like %3: tmux list-panes -a"));
            }
            if pane.server.socket.to_str().is_none() {
                return Err(Failure::wrong(format!("tmux's socket {} is not UTF-8", pane.server.socket.display())));
            }
        }
        if self.route != Route::Inbox && self.pane.is_none() {
            return Err(Failure::wrong(format!("the route {} needs a pane", self.route.word())).hint("--pane %3, or --route inbox"));
        }
        self.description.as_deref().map_or(Ok(()), |description| check_description(description).map(|_| ()))
    }

    /// The record's line, without a newline.
    pub fn write(&self) -> Vec<u8> {
        let Agent { agent_id, route, pane, process, boot, kind, shell_ok, groups, description, registered_at, seen_at: _ } = self;
        let server = pane.as_ref().map(|Pane { server: Server { socket, pid, start, space }, .. }| {
            let object = Object::new().text("socket", &socket.to_string_lossy()).plain("pid", Some(pid)).text("start", start);
            object.text("space", space.as_deref().unwrap_or_default())
        });
        let process = process.as_ref().map(|Process { pid, start, space }| {
            Object::new().plain("pid", Some(pid)).text("start", start).text("space", space.as_deref().unwrap_or_default())
        });
        let object = Object::new()
            .text("agent_id", agent_id)
            .text("route", route.word())
            .text("pane", pane.as_ref().map_or("", |pane| &pane.id))
            .object("server", server)
            .plain("pane_pid", pane.as_ref().map(|pane| pane.pid))
            .object("process", process)
            .text("boot", boot)
            .text("kind", kind.as_deref().unwrap_or_default())
            .plain("shell_ok", shell_ok.then_some(true));
        let object = if groups.is_empty() { object } else { object.list("groups", groups.iter().map(String::as_str)) };
        object.text("description", description.as_deref().unwrap_or_default()).time("registered_at", Some(*registered_at)).end()
    }

    /// The agent of a record; `None` where it makes no sense. Members that are unknown are a newer version's.
    pub fn parse(line: &[u8], seen_at: Timestamp) -> Option<Agent> {
        let (mut agent_id, mut route, mut id, mut server, mut pane_pid, mut process) = (None, None, None, None, None, None);
        let (mut boot, mut kind, mut shell_ok, mut groups, mut description, mut registered_at) =
            (String::new(), None, false, Vec::new(), None, None);
        let mut is_odd = false;
        let mut scanner = Scanner::new();
        let is_whole = scanner.members(line, |key, value| {
            let owned = |text: Str<'_>| Some(text.text().into_owned());
            match (key.decode().as_ref(), value) {
                (b"agent_id", Value::String(text)) => agent_id = owned(text),
                (b"route", Value::String(text)) => route = Route::parse(&text.text()),
                (b"pane", Value::String(text)) => id = owned(text),
                (b"server", Value::Object(raw)) => server = Some(raw),
                (b"pane_pid", _) => pane_pid = value.as_u64().and_then(|pid| u32::try_from(pid).ok()),
                (b"process", Value::Object(raw)) => process = Some(raw),
                (b"boot", Value::String(text)) => boot = text.text().into_owned(),
                (b"kind", Value::String(text)) => kind = owned(text),
                (b"shell_ok", Value::Bool(value)) => shell_ok = value,
                (b"groups", Value::Array(_)) => {
                    groups.extend(value.items().filter_map(|item| if let Value::String(text) = item { owned(text) } else { None }));
                }
                (b"description", Value::String(text)) => description = owned(text),
                (b"registered_at", Value::String(text)) => registered_at = time::timestamp(&text.decode()),
                // Left out, it would make another agent of it: one without a pane, or one that may be typed to at a shell.
                (
                    b"agent_id" | b"route" | b"pane" | b"server" | b"process" | b"boot" | b"kind" | b"shell_ok" | b"groups"
                    | b"description" | b"registered_at",
                    _,
                ) => is_odd = true,
                _ => {}
            }
            Walk::On
        });
        if is_whole != Ok(true) || is_odd {
            return None;
        }
        let pane = match (id, server) {
            (Some(id), Some(raw)) => {
                let (Process { pid, start, space }, socket) = parse_process(raw)?;
                let server = Server { socket: socket?, pid, start, space };
                Some(Pane { id, server, pid: pane_pid? })
            }
            (None, None) => None,
            _ => return None,
        };
        let process = match process {
            Some(raw) => Some(parse_process(raw)?.0),
            None => None,
        };
        let (agent_id, route, registered_at) = (agent_id?, route?, registered_at?);
        let agent = Agent { agent_id, route, pane, process, boot, kind, shell_ok, groups, description, registered_at, seen_at };
        agent.check().is_ok().then_some(agent)
    }
}

/// A process, and the socket that is told with a server.
fn parse_process(raw: &[u8]) -> Option<(Process, Option<PathBuf>)> {
    let (mut pid, mut start, mut space, mut socket) = (None, None, None, None);
    let is_whole = Scanner::new().members(raw, |key, value| {
        match (key.decode().as_ref(), value) {
            (b"pid", _) => pid = value.as_u64().and_then(|pid| u32::try_from(pid).ok()),
            (b"start", Value::String(text)) => start = Some(text.text().into_owned()),
            (b"space", Value::String(text)) => space = Some(text.text().into_owned()),
            (b"socket", Value::String(text)) => socket = Some(PathBuf::from(text.text().into_owned())),
            _ => {}
        }
        Walk::On
    });
    if is_whole != Ok(true) {
        return None;
    }
    Some((Process { pid: pid?, start: start?, space }, socket))
}

/// A description as it may be kept: one line, without what a terminal would obey; `None` where nothing is left of it.
///
/// # Errors
/// Status 2: it is too long.
pub fn check_description(text: &str) -> Result<Option<String>, Failure> {
    let words: Vec<&str> = text.split(char::is_whitespace).filter(|word| !word.is_empty()).collect();
    let line: String = words.join(" ").chars().filter(|&c| !text::is_unsafe(c)).collect();
    if line.len() > DESCRIPTION_BYTES_MAX {
        return Err(Failure::wrong(format!("the description has {} bytes, and the limit is {DESCRIPTION_BYTES_MAX}", line.len())));
    }
    Ok((!line.is_empty()).then_some(line))
}
