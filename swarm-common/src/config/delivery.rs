//! `[tmux]` and `[delivery.KIND]`: how a message is typed into a pane, for each kind of agent.

use std::collections::BTreeMap;
use std::time::Duration;

use regex_lite::Regex;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use toml::Value;

use super::table;
use crate::{identity, text};

/// More is no delay.
const MILLIS_MAX: u64 = 60_000;

/// The section for kinds that have none of their own.
const DEFAULT: &str = "default";

/// Kinds whose composers take an Enter that follows a paste at once for a part of it (Codex took none of 5 at 0 ms, 5 of 5 at 50 ms).
const SLOW: [&str; 3] = ["claude", "codex", "gemini"];

/// The keys that may submit. Escape and C-c are none: they end what an agent is doing.
const SUBMIT: [&str; 4] = ["Enter", "C-m", "C-j", "KPEnter"];

/// `[tmux]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tmux {
    /// `program = "tmux"`: which one is run.
    #[serde(deserialize_with = "program")]
    pub program: String,
    /// `timeout_ms = 2000`: a server that says nothing for so long does not answer.
    #[serde(rename = "timeout_ms", deserialize_with = "timeout")]
    pub timeout: Duration,
}

impl Default for Tmux {
    fn default() -> Self {
        Self { program: "tmux".into(), timeout: Duration::from_secs(2) }
    }
}

/// `[delivery.KIND]`, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery(BTreeMap<String, Section>);

/// How a message is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    /// From the text to Enter.
    pub enter_delay: Duration,
    /// And so much more for each KiB.
    pub enter_delay_per_kib: Duration,
    /// tmux's name of the key that submits.
    pub submit: &'static str,
    /// What the cursor's line looks like, up to the cursor, when somebody has begun to write there.
    pub draft: Option<Sign>,
    /// What the screen looks like when the message was taken.
    pub taken: Option<Sign>,
    /// For how long that is waited for.
    pub confirm: Duration,
}

impl Typing {
    /// From a text of so many bytes to Enter.
    pub fn delay(&self, bytes: usize) -> Duration {
        let per_kib = self.enter_delay_per_kib.as_nanos() * bytes as u128 / 1024;
        self.enter_delay + Duration::from_nanos(u64::try_from(per_kib).unwrap_or(u64::MAX))
    }
}

/// A regular expression, known to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign(String);

impl Sign {
    /// Ready to be looked for; nothing matches what is none after all.
    pub fn regex(&self) -> Option<Regex> {
        Regex::new(&self.0).ok()
    }
}

/// A section as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    #[serde(deserialize_with = "millis")]
    enter_delay_ms: Option<Duration>,
    #[serde(deserialize_with = "millis")]
    enter_delay_ms_per_kib: Option<Duration>,
    submit: Option<Key>,
    #[serde(deserialize_with = "sign")]
    draft: Option<Sign>,
    #[serde(deserialize_with = "sign")]
    taken: Option<Sign>,
    #[serde(deserialize_with = "millis")]
    confirm_ms: Option<Duration>,
}

impl Delivery {
    /// How it is done for a kind of agent: what its own section leaves out, `[delivery.default]` says, and else what is known of that kind.
    pub fn of(&self, kind: Option<&str>) -> Typing {
        let kind = kind.unwrap_or(DEFAULT).to_ascii_lowercase();
        let sections = [self.0.get(&kind), self.0.get(DEFAULT)];
        fn first<T: Clone>(sections: [Option<&Section>; 2], key: impl Fn(&Section) -> &Option<T>) -> Option<T> {
            sections.into_iter().flatten().find_map(|section| key(section).clone())
        }
        let enter_delay = Duration::from_millis(if SLOW.contains(&kind.as_str()) { 100 } else { 50 });
        Typing {
            enter_delay: first(sections, |section| &section.enter_delay_ms).unwrap_or(enter_delay),
            enter_delay_per_kib: first(sections, |section| &section.enter_delay_ms_per_kib).unwrap_or(Duration::from_millis(10)),
            submit: first(sections, |section| &section.submit).map_or(SUBMIT[0], |Key(key)| key),
            draft: first(sections, |section| &section.draft),
            taken: first(sections, |section| &section.taken),
            confirm: first(sections, |section| &section.confirm_ms).unwrap_or(Duration::from_secs(1)),
        }
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let sections: BTreeMap<Kind, Table> = table(from)?;
        let mut delivery = Delivery::default();
        for (Kind(kind), Table(section)) in sections {
            let kind = kind.to_ascii_lowercase();
            if delivery.0.contains_key(&kind) {
                return Err(de::Error::custom(format!("the kind {kind} is there twice")));
            }
            delivery.0.insert(kind, section);
        }
        Ok(delivery)
    }
}

/// A kind of agent.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind(String);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let kind = String::deserialize(from)?;
        identity::check("kind", &kind).map_err(|failure| de::Error::custom(failure.what))?;
        Ok(Kind(kind))
    }
}

struct Table(Section);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        table(from).map(Table)
    }
}

fn millis<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let told = |what: &str| de::Error::custom(format!("{what} is no number of milliseconds: a whole number to {MILLIS_MAX}, like 100"));
    match Value::deserialize(from).map_err(|_| told("this"))? {
        Value::Integer(number) => match u64::try_from(number) {
            Ok(millis @ 0..=MILLIS_MAX) => Ok(Some(Duration::from_millis(millis))),
            _ => Err(told(&number.to_string())),
        },
        Value::String(text) => Err(told(&format!("\"{text}\""))),
        other => Err(told(&format!("this {}", other.type_str()))),
    }
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match millis(from)? {
        Some(Duration::ZERO) | None => Err(de::Error::custom("0 milliseconds are too few: nothing is answered in no time")),
        Some(timeout) => Ok(timeout),
    }
}

fn string<'de, D: Deserializer<'de>>(from: D, what: &str, like: &str) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(text),
        other => Err(de::Error::custom(format!("this {} is no {what}: a string, like \"{like}\"", other.type_str()))),
    }
}

fn program<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let program = string(from, "program", "tmux")?;
    if program.is_empty() || program.contains('\0') {
        return Err(de::Error::custom("no program: a name, like \"tmux\", or a path"));
    }
    Ok(program)
}

/// A key of [`SUBMIT`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(&'static str);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let key = string(from, "key", SUBMIT[0])?;
        match SUBMIT.into_iter().find(|known| *known == key) {
            Some(known) => Ok(Key(known)),
            None => Err(de::Error::custom(format!("'{}' is no key that submits: {}", text::clean(&key), SUBMIT.join(", ")))),
        }
    }
}

fn sign<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sign>, D::Error> {
    let pattern = string(from, "regular expression", "^> ")?;
    // It would be seen always.
    if pattern.is_empty() {
        return Err(de::Error::custom("an empty regular expression: leave the key out"));
    }
    match Regex::new(&pattern) {
        Ok(_) => Ok(Some(Sign(pattern))),
        Err(error) => Err(de::Error::custom(format!("'{}' is no regular expression: {error}", text::clean(&pattern)))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(text: &str) -> Config {
        Config::parse(text.as_bytes()).expect("a config")
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_not_configured_is_what_is_known_of_a_kind() {
        let delivery = read("").delivery;
        let typing = delivery.of(None);
        assert_eq!((typing.enter_delay, typing.enter_delay_per_kib, typing.submit, typing.confirm), (ms(50), ms(10), "Enter", ms(1000)));
        assert_eq!((typing.draft, typing.taken), (None, None));
        for (kind, delay) in [("claude", 100), ("Codex", 100), ("gemini", 100), ("aider", 50)] {
            assert_eq!(delivery.of(Some(kind)).enter_delay, ms(delay), "{kind}");
        }
        assert_eq!(read("").tmux, Tmux { program: "tmux".into(), timeout: ms(2000) });
    }

    #[test]
    fn a_kinds_section_comes_before_the_default_and_that_before_what_is_known() {
        let config = read(
            "[tmux]\nprogram = \"/opt/tmux\"\ntimeout_ms = 500\n[delivery.default]\nenter_delay_ms = 7\nconfirm_ms = 3\n\
             [delivery.claude]\nsubmit = \"C-j\"\nenter_delay_ms_per_kib = 0\ndraft = '^> \\S'\ntaken = 'esc to interrupt'\n",
        );
        assert_eq!(config.tmux, Tmux { program: "/opt/tmux".into(), timeout: ms(500) });
        let claude = config.delivery.of(Some("Claude"));
        assert_eq!((claude.enter_delay, claude.enter_delay_per_kib, claude.submit, claude.confirm), (ms(7), ms(0), "C-j", ms(3)));
        let draft = claude.draft.and_then(|sign| sign.regex()).expect("a sign");
        assert!(draft.is_match("> fix") && !draft.is_match("> ") && claude.taken.is_some());
        let other = config.delivery.of(Some("codex"));
        assert_eq!((other.enter_delay, other.submit, other.draft), (ms(7), "Enter", None));
    }

    #[test]
    fn the_delay_grows_with_the_text() {
        let typing = read("").delivery.of(None);
        assert_eq!((typing.delay(0), typing.delay(1024), typing.delay(10_240)), (ms(50), ms(60), ms(150)));
    }

    #[test]
    fn a_slip_is_told_with_its_line() {
        for (text, line, why) in [
            ("[tmux]\ntimeout_ms = 0\n", ":2: ", "0 milliseconds are too few"),
            ("[tmux]\ntimeout_ms = -1\n", ":2: ", "-1 is no number of milliseconds: a whole number to 60000, like 100"),
            ("[tmux]\nprogram = 3\n", ":2: ", "this integer is no program: a string, like \"tmux\""),
            ("[tmux]\nprogram = \"\"\n", ":2: ", "no program"),
            ("[tmux]\nsocket = \"x\"\n", ":2: ", "socket"),
            ("[delivery.claude]\n\nenter_delay_ms = \"100ms\"\n", ":3: ", "\"100ms\" is no number of milliseconds"),
            ("[delivery.claude]\nenter_delay_ms = 60001\n", ":2: ", "60001 is no number of milliseconds"),
            ("[delivery.claude]\nenter_delay = 1\n", ":2: ", "enter_delay"),
            ("[delivery.claude]\nsubmit = \"Escape\"\n", ":2: ", "'Escape' is no key that submits: Enter, C-m, C-j, KPEnter"),
            ("[delivery.claude]\nsubmit = \"C-c\"\n", ":2: ", "'C-c' is no key"),
            ("[delivery.claude]\ndraft = \"(\"\n", ":2: ", "'(' is no regular expression: "),
            ("[delivery.claude]\ntaken = \"\"\n", ":2: ", "an empty regular expression"),
            ("[delivery.claude]\ntaken = true\n", ":2: ", "this boolean is no regular expression"),
            ("[delivery]\nenter_delay_ms = 1\n", ":2: ", "a table"),
            ("[delivery.\"a b\"]\n", ":1: ", "kind: 'a b' is no agent id"),
            ("[[delivery]]\n", ":1: ", "a table"),
            ("[delivery]\nclaude = [1]\n", ":2: ", "a table"),
            ("[delivery.a]\n[delivery.A]\nsubmit = \"Enter\"\n", ":", "the kind a is there twice"),
        ] {
            let told = Config::parse(text.as_bytes()).expect_err(text);
            assert!(told.starts_with(line) && told.contains(why) && !told.contains("u64"), "{told}");
        }
    }
}
