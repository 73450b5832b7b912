//! A lease, and the line that it is in the table: the part of one grant that lies in one directory.

mod canonical;

use std::borrow::Cow;

use jiff::Timestamp;
use swarm_common::json::{self, Scanner, Str, Value, Walk};
use swarm_common::platform::{Life, Process};
use swarm_common::time;

use crate::clock::Clock;
use crate::pattern::Pattern;

/// Whether others may hold it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody else.
    Exclusive,
    /// Whoever asks for it shared.
    Shared,
}

impl Mode {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Exclusive => "exclusive",
            Mode::Shared => "shared",
        }
    }

    /// The mode of this word.
    pub fn of(word: &[u8]) -> Option<Mode> {
        [Mode::Exclusive, Mode::Shared].into_iter().find(|mode| mode.word().as_bytes() == word)
    }

    /// Two who hold one path do not mind each other.
    pub fn agrees(self, other: Mode) -> bool {
        self == Mode::Shared && other == Mode::Shared
    }

    /// Who has this needs not ask for the other.
    pub fn includes(self, other: Mode) -> bool {
        self == Mode::Exclusive || other == Mode::Shared
    }
}

/// What one grant has in one directory; or all of it, where that does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its fencing token.
    pub token: u64,
    /// Who holds it.
    pub agent_id: String,
    /// How.
    pub mode: Mode,
    /// What.
    pub patterns: Vec<Pattern>,
    /// In how many directories' files the grant was written.
    pub files: u32,
    /// Since when.
    pub since: Timestamp,
    /// The boot that `ends_us` belongs to.
    pub boot_id: String,
    /// When it ends: microseconds since that boot.
    pub ends_us: u64,
    /// The process that it must not outlive.
    pub tie: Option<Process>,
    /// Another one, of the same pid namespace, that holds it too: the lease ends when both have ended. It is who waits for the first one to give
    /// the lease back when that ends.
    pub keeper: Option<Process>,
    /// What for; may be empty.
    pub reason: String,
}

/// Why a lease is not in force any more, or that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in force.
    Alive,
    /// Its time is over, or the machine was started anew.
    Expired,
    /// The process that it was tied to has ended.
    Gone,
}

impl Lease {
    /// What it is about, as it is shown.
    pub fn paths(&self) -> Vec<String> {
        self.patterns.iter().map(|pattern| pattern.text().to_string()).collect()
    }

    /// The lease's line, without a newline: first what [`crate::answer::listed`] shows, in its order, so that a list copies it in one piece.
    pub fn write(&self, clock: &Clock, line: &mut Vec<u8>) {
        let Lease { token, agent_id, mode, patterns, files, since, boot_id, ends_us, tie, keeper, reason } = self;
        line.extend_from_slice(format!("{{\"token\":{token},\"agent_id\":").as_bytes());
        json::write_string(agent_id, line);
        line.extend_from_slice(format!(",\"mode\":\"{}\",", mode.word()).as_bytes());
        write_paths(patterns, line);
        let expires_at = time::write(clock.wall(*ends_us));
        line.extend_from_slice(format!(",\"since\":\"{}\",\"expires_at\":\"{expires_at}\"", time::write(*since)).as_bytes());
        if !reason.is_empty() {
            line.extend_from_slice(b",\"reason\":");
            json::write_string(reason, line);
        }
        if let Some(Process { pid, .. }) = tie {
            line.extend_from_slice(format!(",\"pid\":{pid}").as_bytes());
        }
        write_globs(patterns, line);
        if *files > 1 {
            line.extend_from_slice(format!(",\"files\":{files}").as_bytes());
        }
        line.extend_from_slice(format!(",\"ends_us\":{ends_us},\"boot_id\":").as_bytes());
        json::write_string(boot_id, line);
        if let Some(Process { start, space, .. }) = tie {
            line.extend_from_slice(b",\"pid_start\":");
            json::write_string(start, line);
            if let Some(space) = space {
                line.extend_from_slice(b",\"pid_space\":");
                json::write_string(space, line);
            }
            if let Some(Process { pid, start, .. }) = keeper {
                line.extend_from_slice(format!(",\"run_pid\":{pid},\"run_start\":").as_bytes());
                json::write_string(start, line);
            }
        }
        line.push(b'}');
    }
}

/// `"paths":[..]`: their texts, globs too.
pub fn write_paths(patterns: &[Pattern], line: &mut Vec<u8>) {
    line.extend_from_slice(b"\"paths\":");
    for (n, pattern) in patterns.iter().enumerate() {
        line.push(if n == 0 { b'[' } else { b',' });
        json::write_string(pattern.text(), line);
    }
    line.push(b']');
}

/// `,"globs":[0,2]`: which of the texts are globs; nothing where all are paths.
pub fn write_globs(patterns: &[Pattern], line: &mut Vec<u8>) {
    let mut lead = ",\"globs\":[";
    for (n, _) in patterns.iter().enumerate().filter(|(_, pattern)| !pattern.is_literal()) {
        line.extend_from_slice(format!("{lead}{n}").as_bytes());
        lead = ",";
    }
    if lead == "," {
        line.push(b']');
    }
}

/// Texts, and whether each is a path rather than a glob, from the lists that [`write_paths`] and [`write_globs`] wrote.
pub fn texts<'a>(paths: Option<Value<'a>>, globs: Option<Value<'a>>) -> impl Iterator<Item = (Cow<'a, str>, bool)> + use<'a> {
    let mut globs = globs.map(|globs| globs.items()).into_iter().flatten().filter_map(|at| at.as_u64()).peekable();
    let paths = paths.map(|paths| paths.items()).into_iter().flatten();
    (0..).zip(paths).filter_map(move |(at, path)| match path {
        Value::String(text) => Some((text.text(), globs.next_if_eq(&at).is_none())),
        _ => None,
    })
}

/// A lease's line as it lies in the table, read and not copied.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// All of it, without its newline.
    pub line: &'a [u8],
    /// Its beginning, with the members that a list shows; none where others stand between them.
    pub shown: Option<&'a [u8]>,
    /// As in [`Lease`].
    pub token: u64,
    /// As in [`Lease`].
    pub agent_id: Str<'a>,
    /// As in [`Lease`].
    pub mode: Mode,
    /// As in [`Lease`].
    pub files: u64,
    /// As in [`Lease`].
    pub ends_us: u64,
    /// Since when.
    pub since: Option<Str<'a>>,
    /// Until when, by the wall clock of the moment when that was decided.
    pub expires_at: Option<Str<'a>>,
    /// What for.
    pub reason: Option<Str<'a>>,
    /// The pid of the process that it is tied to.
    pub pid: Option<u64>,
    boot_id: Str<'a>,
    paths: Value<'a>,
    globs: Option<Value<'a>>,
    pid_start: Option<Str<'a>>,
    pid_space: Option<Str<'a>>,
    run_pid: Option<u64>,
    run_start: Option<Str<'a>>,
}

/// A line of the table. One is read at a time, and a box for each would cost more than the room.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Line<'a> {
    /// A lease.
    Lease(Row<'a>),
    /// A file was damaged and set aside under this name: what it may have held is held by nobody knows whom.
    Damaged(Str<'a>),
}

impl<'a> Line<'a> {
    /// The lease, if it is one.
    pub fn lease(&self) -> Option<&Row<'a>> {
        match self {
            Line::Lease(row) => Some(row),
            Line::Damaged(_) => None,
        }
    }
}

/// The token of a line, which is the first that stands there; whether the rest makes sense is not looked at.
pub fn token(line: &[u8], scanner: &mut Scanner) -> Option<u64> {
    let mut token = None;
    // A line that is none has no token, or is found out when it is read.
    let _ = scanner.members(line, |key, value| {
        if !key.is(b"token") {
            return Walk::On;
        }
        token = value.as_u64();
        Walk::Stop
    });
    token
}

/// Reads a line; none where it makes no sense.
pub fn parse<'a>(line: &'a [u8], scanner: &mut Scanner) -> Option<Line<'a>> {
    canonical::read(line).map(Line::Lease).or_else(|| scan(line, scanner))
}

/// Reads a line, whoever wrote it.
fn scan<'a>(line: &'a [u8], scanner: &mut Scanner) -> Option<Line<'a>> {
    let (mut token, mut agent_id, mut mode, mut files, mut ends_us, mut boot_id) = (None, None, None, Some(1), None, None);
    let (mut paths, mut globs, mut since, mut expires_at, mut reason) = (None, None, None, None, None);
    let (mut pid, mut pid_start, mut pid_space, mut damaged) = (None, None, None, None);
    let (mut run_pid, mut run_start) = (None, None);
    let (mut is_odd, mut shown_end, mut is_mixed) = (false, None, false);
    let is_whole = scanner.members(line, |key, value| {
        // One comparison a key: to ask twice was a tenth of a long list.
        let is_shown = match (key.decode().as_ref(), value) {
            (b"token", _) => {
                token = value.as_u64();
                true
            }
            (b"agent_id", Value::String(text)) => {
                agent_id = Some(text);
                true
            }
            (b"mode", Value::String(text)) => {
                mode = Mode::of(&text.decode());
                true
            }
            // What is no text in it would be a path that nobody sees, and a place that is none a glob taken for a path.
            (b"paths", Value::Array(_)) if value.items().all(|item| matches!(item, Value::String(_))) => {
                paths = Some(value);
                true
            }
            (b"since", Value::String(text)) => {
                since = Some(text);
                true
            }
            (b"expires_at", Value::String(text)) => {
                expires_at = Some(text);
                true
            }
            (b"reason", Value::String(text)) => {
                reason = Some(text);
                true
            }
            (b"pid", _) => {
                pid = value.as_u64();
                true
            }
            (name, value) => {
                match (name, value) {
                    (b"ends_us", _) => ends_us = value.as_u64(),
                    (b"boot_id", Value::String(text)) => boot_id = Some(text),
                    (b"globs", Value::Array(_)) if is_rising(value) => globs = Some(value),
                    (b"globs", _) => is_odd = true,
                    (b"files", _) => files = value.as_u64(),
                    (b"pid_start", Value::String(text)) => pid_start = Some(text),
                    (b"pid_space", Value::String(text)) => pid_space = Some(text),
                    (b"run_pid", _) => run_pid = value.as_u64(),
                    (b"run_start", Value::String(text)) => run_start = Some(text),
                    (b"damaged", Value::String(text)) => damaged = Some(text),
                    _ => {}
                }
                false
            }
        };
        if is_shown {
            is_mixed |= shown_end.is_some();
        } else if shown_end.is_none() {
            // Before the comma and the quote.
            shown_end = Some(key.range_in(line).start.saturating_sub(2));
        }
        Walk::On
    });
    if is_whole != Ok(true) || is_odd {
        return None;
    }
    if let Some(name) = damaged {
        return Some(Line::Damaged(name));
    }
    let row = Row {
        line,
        shown: shown_end.filter(|&end| !is_mixed && line.get(end) == Some(&b',')).map(|end| &line[..end]),
        token: token?,
        agent_id: agent_id?,
        mode: mode?,
        files: files?,
        ends_us: ends_us?,
        since,
        expires_at,
        reason,
        pid,
        boot_id: boot_id?,
        paths: paths?,
        globs,
        pid_start,
        pid_space,
        run_pid,
        run_start,
    };
    Some(Line::Lease(row))
}

/// True for a list of places in their order.
fn is_rising(list: Value<'_>) -> bool {
    let mut least = 0;
    list.items().all(|item| {
        let place = item.as_u64().filter(|place| *place >= least);
        least = place.map_or(u64::MAX, |place| place.saturating_add(1));
        place.is_some()
    })
}

/// The line that stands for what a file that was set aside may have held.
pub fn write_damaged(name: &str, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"damaged\":");
    json::write_string(name, line);
    line.push(b'}');
}

impl<'a> Row<'a> {
    /// What it is about: each text, and whether it is a path rather than a glob.
    pub fn patterns(&self) -> impl Iterator<Item = (Cow<'a, str>, bool)> + use<'a> {
        texts(Some(self.paths), self.globs)
    }

    /// True for a lease of this agent (DESIGN 2: without regard to case).
    pub fn is_of(&self, agent_id: &str) -> bool {
        self.agent_id.is_ignoring_case(agent_id.as_bytes())
    }

    /// The bytes of a string of this line, between its quotes.
    pub fn raw(&self, text: Str<'a>) -> &'a [u8] {
        &self.line[text.range_in(self.line)]
    }

    /// The list of its texts, brackets included.
    pub fn list(&self) -> &'a [u8] {
        match self.paths {
            Value::Array(raw) => raw,
            _ => b"[]",
        }
    }

    /// Since when; the beginning of time where that cannot be read.
    pub fn since(&self) -> Timestamp {
        self.since.and_then(|since| time::timestamp(&since.decode())).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// What for.
    pub fn reason(&self) -> Cow<'a, str> {
        self.reason.map_or(Cow::Borrowed(""), |reason| reason.text())
    }

    /// The process that it is tied to.
    pub fn tie(&self) -> Option<Process> {
        self.process(self.pid?, self.pid_start?)
    }

    /// The one that holds it too.
    fn keeper(&self) -> Option<Process> {
        self.process(self.run_pid?, self.run_start?)
    }

    fn process(&self, pid: u64, start: Str<'_>) -> Option<Process> {
        let pid = u32::try_from(pid).ok()?;
        Some(Process { pid, start: start.text().into_owned(), space: self.pid_space.map(|space| space.text().into_owned()) })
    }

    /// Whether it is in force, by the clock and by the process that it is tied to.
    pub fn standing(&self, clock: &Clock) -> Standing {
        if !self.boot_id.is(clock.boot_id.as_bytes()) || self.ends_us <= clock.boot_us {
            return Standing::Expired;
        }
        let is_gone = |process: Process| process.life() == Life::Gone;
        // The second is asked only when the first has ended.
        if self.tie().is_some_and(is_gone) && self.keeper().is_none_or(is_gone) { Standing::Gone } else { Standing::Alive }
    }

    /// True while it is in force.
    pub fn is_alive(&self, clock: &Clock) -> bool {
        self.standing(clock) == Standing::Alive
    }

    /// All of it, copied, with patterns that can be asked. A text that is none (of a newer version, perhaps) is left out.
    pub fn lease(&self) -> Lease {
        let patterns = self.patterns().filter_map(|(text, is_literal)| pattern(&text, is_literal)).collect();
        Lease {
            token: self.token,
            agent_id: self.agent_id.text().into_owned(),
            mode: self.mode,
            patterns,
            files: u32::try_from(self.files).unwrap_or(u32::MAX),
            since: self.since(),
            boot_id: self.boot_id.text().into_owned(),
            ends_us: self.ends_us,
            tie: self.tie(),
            keeper: self.keeper(),
            reason: self.reason().into_owned(),
        }
    }
}

/// The pattern of a text that was stored.
pub fn pattern(text: &str, is_literal: bool) -> Option<Pattern> {
    if is_literal { Pattern::literal(text) } else { Pattern::glob(text) }.ok()
}
