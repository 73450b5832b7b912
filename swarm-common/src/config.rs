//! `config.toml` of a store: optional, every value has a default, and a slip in it is told with its line, by every
//! tool, whether it uses what is wrong or not.

mod delivery;

use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Value;

pub use delivery::{Delivery, Sign, Tmux, Typing};

use crate::exit::Failure;
use crate::journal::{self, Settings};
use crate::limit::Limit;
use crate::message::{self, ALL};
use crate::{files, text, time};

/// More is no config.
const FILE_BYTES_MAX: u64 = 65_536;

/// What can be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[journal]`
    pub journal: Settings,
    /// `[send]`
    pub send: Send,
    /// `[lock]`
    pub lock: Lock,
    /// `[agents]`
    pub agents: Agents,
    /// `[ack]`
    pub ack: Ack,
    /// `[tmux]`
    pub tmux: Tmux,
    /// `[delivery.KIND]`
    pub delivery: Delivery,
}

/// `[send]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Send {
    /// `rate = "10/60s"`: at most so many messages of one sender in any such span. Unset: no limit.
    #[serde(deserialize_with = "rate")]
    pub rate: Option<Limit>,
    /// `retry_queued = false`: to send delivers nothing that was queued before.
    pub retry_queued: bool,
    /// `retry_for = "1d"`: what was sent longer ago is not tried again.
    #[serde(deserialize_with = "span_of_time")]
    pub retry_for: Duration,
}

impl Default for Send {
    fn default() -> Self {
        Self { rate: None, retry_queued: true, retry_for: Duration::from_secs(86_400) }
    }
}

/// `[lock]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lock {
    /// `events = false`: what happens to leases is not told in the journal.
    pub events: bool,
    /// `per_worktree = true`: a lease in one git worktree says nothing about the same file in another.
    pub per_worktree: bool,
}

impl Default for Lock {
    fn default() -> Self {
        Self { events: true, per_worktree: false }
    }
}

/// More spans say nothing: of the last one there may be any number.
const RETRIES_MAX: usize = 16;

/// `[ack]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ack {
    /// `retry = ["30s", "60s", "120s"]`: what is not acknowledged after the first span is overdue; where it was sent again, after the next one,
    /// and so on; behind the last one it is that one again.
    #[serde(deserialize_with = "retries")]
    pub retry: Vec<Duration>,
    /// `escalate = ["@leads"]`: agents and groups who are told of what was not acknowledged after that.
    #[serde(deserialize_with = "names")]
    pub escalate: Vec<String>,
    /// `auto = false`: to send, to acknowledge and to read an inbox does nothing of what is due.
    pub auto: bool,
}

impl Default for Ack {
    fn default() -> Self {
        Self { retry: [30, 60, 120].map(Duration::from_secs).to_vec(), escalate: vec![ALL.to_string()], auto: true }
    }
}

/// What runs in a pane in which nothing may be typed, for it would be run as a command.
const SHELLS: [&str; 16] =
    ["sh", "bash", "dash", "ash", "zsh", "fish", "ksh", "mksh", "csh", "tcsh", "yash", "nu", "xonsh", "elvish", "pwsh", "busybox"];

/// What agent CLIs are called.
const NAMES: [&str; 9] = ["claude", "codex", "gemini", "opencode", "aider", "cursor-agent", "goose", "amp", "copilot"];

/// `[agents]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agents {
    /// `shells = ["sh", "bash"]`: in a pane that runs one of these nothing is typed, unless its agent was registered with --shell-ok. Takes the
    /// place of the list that is built in.
    pub shells: Vec<String>,
    /// `stale_after = "10m"`: an agent that has no process to look at is active for so long after it was last heard of.
    #[serde(deserialize_with = "span_of_time")]
    pub stale_after: Duration,
    /// `names = ["claude", "my-agent"]`: what agent CLIs are called. Takes the place of the list that is built in.
    pub names: Vec<String>,
}

impl Default for Agents {
    fn default() -> Self {
        Self { shells: SHELLS.map(String::from).to_vec(), stale_after: Duration::from_secs(600), names: NAMES.map(String::from).to_vec() }
    }
}

/// The file's shape.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[serde(deserialize_with = "table")]
    journal: Journal,
    #[serde(deserialize_with = "table")]
    send: Send,
    #[serde(deserialize_with = "table")]
    lock: Lock,
    #[serde(deserialize_with = "table")]
    agents: Agents,
    #[serde(deserialize_with = "table")]
    ack: Ack,
    #[serde(deserialize_with = "table")]
    tmux: Tmux,
    delivery: Delivery,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Journal {
    #[serde(deserialize_with = "bytes_from_1")]
    segment_bytes: Option<u64>,
    #[serde(deserialize_with = "bytes")]
    keep_bytes: Option<u64>,
    #[serde(deserialize_with = "span")]
    keep_age: Option<Duration>,
}

/// A table, and not a list, which serde would take as one by the order of its keys.
fn table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    struct Keys<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table: its name in brackets, and a line for each key")
        }

        fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(keys))
        }
    }
    from.deserialize_map(Keys(PhantomData))
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    number(from, 0)
}

/// Of a file that must be able to hold something.
fn bytes_from_1<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    number(from, 1)
}

fn number<'de, D: Deserializer<'de>>(from: D, least: u64) -> Result<Option<u64>, D::Error> {
    let told = |what: &str| de::Error::custom(format!("{what} is no number of bytes: a whole number from {least}, like 10485760"));
    // What is no value of TOML's is a number over its 64 bits.
    match Value::deserialize(from).map_err(|_| told("this"))? {
        Value::Integer(number) => match u64::try_from(number) {
            Ok(bytes) if bytes >= least => Ok(Some(bytes)),
            _ => Err(told(&number.to_string())),
        },
        Value::String(text) => Err(told(&format!("\"{text}\""))),
        other => Err(told(&format!("this {}", other.type_str()))),
    }
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, "a span of time", "30d", time::span)
}

/// One that cannot be left out once its key stands there.
fn span_of_time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Ok(parsed(from, "a span of time", "10m", time::span)?.unwrap_or_default())
}

/// Spans of time, each longer than none.
fn retries<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    let told = |what: String| de::Error::custom(format!("{what}: 1 to {RETRIES_MAX} spans of time, like [\"30s\", \"60s\"]"));
    let Value::Array(spans) = Value::deserialize(from)? else { return Err(told("this is no list".into())) };
    if spans.is_empty() || spans.len() > RETRIES_MAX {
        return Err(told(format!("a list of {}", spans.len())));
    }
    let span = |value: &Value| {
        let text = value.as_str().ok_or_else(|| told(format!("this {} is no span", value.type_str())))?;
        time::span(text).ok().filter(|span| !span.is_zero()).ok_or_else(|| told(format!("'{text}' is no span longer than none")))
    };
    spans.iter().map(span).collect()
}

/// Agents and groups.
fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let told = |what: &str| de::Error::custom(format!("{what}: a list of agents and groups, like [\"@leads\", \"ann\"]"));
    let Value::Array(names) = Value::deserialize(from)? else { return Err(told("this is no list")) };
    let names: Option<Vec<String>> = names.iter().map(|name| name.as_str().map(str::to_string)).collect();
    let names = names.ok_or_else(|| told("this is no list of strings"))?;
    message::check_escalate(&names).map_err(|failure| told(&failure.what))?;
    Ok(names)
}

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Limit>, D::Error> {
    parsed(from, "a rate", "10/60s", Limit::parse)
}

/// A value that is written as a string.
fn parsed<'de, D: Deserializer<'de>, T>(
    from: D,
    what: &str,
    like: &str,
    parse: impl Fn(&str) -> Result<T, Failure>,
) -> Result<Option<T>, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => parse(&text).map(Some).map_err(|failure| {
            let hint = if failure.hint.is_empty() { String::new() } else { format!(" ({})", failure.hint) };
            de::Error::custom(failure.what + &hint)
        }),
        Value::Integer(number) => Err(de::Error::custom(format!("{number} is not {what}: a string, like \"{like}\""))),
        other => Err(de::Error::custom(format!("this {} is not {what}: a string, like \"{like}\"", other.type_str()))),
    }
}

impl Config {
    /// Reads the file; the defaults where there is none.
    ///
    /// # Errors
    /// Status 2 for what is wrong in it, with the line; 3 when it cannot be read.
    pub fn read(path: &Path) -> Result<Config, Failure> {
        let failed = |error: io::Error| Failure::io(format_args!("read {}", path.display()), &error);
        let Some(file) = files::open_if_there(path).map_err(failed)? else {
            // A link to a file that is gone: somebody configured something.
            return if path.is_symlink() {
                Err(failed(io::Error::other("it is a link to a file that is not there")))
            } else {
                Ok(Config::default())
            };
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        Config::parse(&bytes).map_err(|why| Failure::wrong(format!("{}{why}", path.display())).hint("what can stand there: man swarm"))
    }

    /// Understands the file's bytes.
    ///
    /// # Errors
    /// What is wrong: `:LINE: WHY`.
    pub fn parse(bytes: &[u8]) -> Result<Config, String> {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(format!(": longer than {FILE_BYTES_MAX} bytes"));
        }
        let line_of = |at: usize| 1 + memchr::memchr_iter(b'\n', &bytes[..at.min(bytes.len())]).count();
        let written = std::str::from_utf8(bytes).map_err(|error| format!(":{}: not UTF-8", line_of(error.valid_up_to())))?;
        let written: Written = toml::from_str(written).map_err(|error| {
            let line = error.span().map_or(String::new(), |span| format!("{}:", line_of(span.start)));
            format!(":{line} {}", text::clean(&error.message().replace('\n', ", ")))
        })?;
        let Journal { segment_bytes, keep_bytes, keep_age } = written.journal;
        let segment_bytes = segment_bytes.unwrap_or(journal::SEGMENT_BYTES);
        Ok(Config {
            journal: Settings { segment_bytes, keep_bytes, keep_age },
            send: written.send,
            lock: written.lock,
            agents: written.agents,
            ack: written.ack,
            tmux: written.tmux,
            delivery: written.delivery,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_and_an_empty_one_are_the_defaults() {
        assert_eq!(Config::read(Path::new("/nonexistent/config.toml")), Ok(Config::default()));
        assert_eq!(Config::parse(b"# nothing\n"), Ok(Config::default()));
        assert_eq!(Config::default().journal.segment_bytes, 10 * 1024 * 1024);
        assert_eq!(Config::parse(b"[lock]\n").map(|config| config.lock), Ok(Lock { events: true, per_worktree: false }));
    }

    #[test]
    fn a_link_to_a_file_that_is_gone_is_not_the_defaults() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.toml");
        std::os::unix::fs::symlink("gone", &path).expect("linked");
        let failure = Config::read(&path).expect_err("told");
        assert!(failure.exit.status() == 3 && failure.what.contains("config.toml: it is a link"), "{failure:?}");
        std::fs::write(dir.path().join("gone"), "[send]\nrate = \"10/60s\"\n").expect("written");
        assert_eq!(Config::read(&path).expect("read").send.rate, Some(Limit::DEFAULT));
    }

    #[test]
    fn every_key_is_read() {
        let text = b"[journal]\nsegment_bytes = 65536\nkeep_bytes = 1_000_000\nkeep_age = \"30d\"\n\
            [send]\nrate = \"10/60s\"\nretry_queued = false\nretry_for = \"2h\"\n\
            [lock]\nevents = false\nper_worktree = true\n\
            [agents]\nshells = [\"sh\"]\nstale_after = \"90s\"\nnames = [\"mine\"]\n\
            [ack]\nretry = [\"10s\", \"1m\"]\nescalate = [\"@leads\", \"ann\"]\nauto = false\n";
        let journal = Settings { segment_bytes: 65536, keep_bytes: Some(1_000_000), keep_age: Some(Duration::from_secs(30 * 86_400)) };
        let send = Send { rate: Some(Limit::DEFAULT), retry_queued: false, retry_for: Duration::from_secs(7200) };
        let lock = Lock { events: false, per_worktree: true };
        let agents = Agents { shells: vec!["sh".into()], stale_after: Duration::from_secs(90), names: vec!["mine".into()] };
        let escalate = vec!["@leads".into(), "ann".into()];
        let ack = Ack { retry: [10, 60].map(Duration::from_secs).to_vec(), escalate, auto: false };
        assert_eq!(Config::parse(text), Ok(Config { journal, send, lock, agents, ack, ..Config::default() }));
    }

    #[test]
    fn a_slip_is_told_with_its_line() {
        for (text, line, why) in [
            (&b"[journal]\nsegment_byte = 1\n"[..], ":2: ", "segment_byte"),
            (b"\n\n[jornal]\n", ":3: ", "jornal"),
            (b"[journal]\nkeep_age = \"soon\"\n", ":2: ", "'soon' is no span of time"),
            (b"[journal]\nkeep_age = 30\n", ":2: ", "30 is not a span of time: a string, like \"30d\""),
            (b"[journal]\nkeep_bytes = -1\n", ":2: ", "-1 is no number of bytes: a whole number from 0, like 10485760"),
            (b"[journal]\nkeep_bytes = 1.5\n", ":2: ", "this float is no number of bytes"),
            (b"[journal]\n\nkeep_bytes = \"1GB\"\n", ":3: ", "\"1GB\" is no number of bytes"),
            (b"[journal]\nkeep_bytes = 99999999999999999999\n", ":2: ", "this is no number of bytes"),
            (b"[journal]\nsegment_bytes = 0\n", ":2: ", "0 is no number of bytes: a whole number from 1"),
            (b"[send]\nrate = 10\n", ":2: ", "10 is not a rate: a string, like \"10/60s\""),
            (b"[send]\nrate = \"ten\"\n", ":2: ", "'ten' is no rate (a count and a span, like 10/60s or 100/1h)"),
            (b"[send]\nrate = \"0/60s\"\n", ":2: ", "a limit of 0 records"),
            (b"[lock]\nevents = \"no\"\n", ":2: ", "boolean"),
            (b"[agents]\nstale_after = 10\n", ":2: ", "10 is not a span of time: a string, like \"10m\""),
            (b"[agents]\nshells = \"sh\"\n", ":2: ", "a sequence"),
            (b"[ack]\nretry = \"30s\"\n", ":2: ", "this is no list: 1 to 16 spans of time, like [\"30s\", \"60s\"]"),
            (b"[ack]\nretry = []\n", ":2: ", "a list of 0: 1 to 16"),
            (b"[ack]\nretry = [30]\n", ":2: ", "this integer is no span"),
            (b"[ack]\nretry = [\"0s\"]\n", ":2: ", "'0s' is no span longer than none"),
            (b"[ack]\nescalate = \"@all\"\n", ":2: ", "this is no list: a list of agents and groups"),
            (b"[ack]\nescalate = []\n", ":2: ", "0 names: 1 to 64"),
            (b"[ack]\nescalate = [\"a b\"]\n", ":2: ", "'a b'"),
            (b"[ack]\nescalate = [7]\n", ":2: ", "this is no list of strings"),
            (b"[ack]\nauto = \"no\"\n", ":2: ", "boolean"),
            (b"send = 3\n", ":1: ", "a table"),
            (b"\nsend = [\"1/1h\"]\n", ":2: ", "sequence, expected a table"),
            (b"lock = [false, true]\n", ":1: ", "sequence, expected a table"),
            (b"[lock]\n[[journal]]\n", ":2: ", "sequence, expected a table"),
            (b"[send\n", ":1: ", ""),
            (b"# \xff", ":1: ", "not UTF-8"),
        ] {
            let told = Config::parse(text).expect_err("wrong");
            assert!(told.starts_with(line) && told.contains(why) && !told.contains("u64"), "{told}");
        }
        assert!(Config::parse(&vec![b' '; 65_537]).is_err());
    }
}
