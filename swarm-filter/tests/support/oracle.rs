//! The rules of DESIGN 2 and 7 for one line, written a second time: over serde_json, field after field, with nothing of swarm-common.
//! The tests and `fuzz/` hold the program against it.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::value::Serializer;
use swarm_filter::condition::Conditions;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Drop,
    Blank,
    Bad,
}

/// How lines are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub invert: bool,
    /// No line is left before its end, though it can't match.
    pub exhaustive: bool,
}

const LINE_BYTES_MAX: usize = 65_536;
const DEPTH_MAX: usize = 32;

/// 1e999 is JSON, but serde_json has no number for it: of such a line nothing is known.
pub fn knows(line: &[u8]) -> bool {
    let is_out_of_range = |error: serde_json::Error| error.to_string().contains("number out of range");
    !serde_json::from_slice::<Value>(&lossy(line)).is_err_and(is_out_of_range)
}

fn lossy(line: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(line).into_owned().into_bytes()
}

/// What becomes of `line`, which has no newline.
pub fn fate(line: &[u8], wanted: &Conditions, manner: Manner) -> Fate {
    if line.len() > LINE_BYTES_MAX {
        return Fate::Bad;
    }
    if line.iter().all(|byte| b" \t\r".contains(byte)) {
        return Fate::Blank;
    }
    let left = Cell::new(None);
    let text = lossy(line);
    let mut json = serde_json::Deserializer::from_slice(&text);
    let walk = Walk { wanted, leaves: !manner.exhaustive && !manner.invert, left: &left };
    let walked = serde::de::Deserializer::deserialize_map(&mut json, walk).and_then(|matches| json.end().map(|()| matches));
    match (walked, left.get()) {
        (_, Some(fate)) => fate,
        (Err(_), None) => Fate::Bad,
        (Ok(_), None) if std::str::from_utf8(line).is_err() => Fate::Bad,
        (Ok(matches), None) => {
            if matches == manner.invert {
                Fate::Drop
            } else {
                Fate::Pass
            }
        }
    }
}

struct Walk<'a> {
    wanted: &'a Conditions,
    leaves: bool,
    left: &'a Cell<Option<Fate>>,
}

/// What is known of a record so far: for each condition whether it holds, where that is known.
#[derive(Default)]
struct Known {
    holds: Vec<(&'static str, bool)>,
    sender: Option<bool>,
    recipient: Option<bool>,
    legacy: Option<Value>,
}

impl Known {
    fn says_no(&self, wanted: &Conditions) -> bool {
        let nobody = !wanted.agents.is_empty() && self.sender == Some(false) && self.recipient == Some(false);
        nobody || self.holds.iter().any(|(_, holds)| !holds)
    }

    fn sender(&mut self, id: &Value, wanted: &Conditions) -> Option<()> {
        let id = id.as_str()?;
        self.sender = Some(wanted.agents.iter().any(|agent| agent == id));
        if !wanted.from.is_empty() {
            self.holds.push(("from", wanted.from.iter().any(|from| from == id)));
        }
        Some(())
    }

    /// `None` for a compared field of the wrong type.
    fn look(&mut self, key: &str, value: &Value, wanted: &Conditions) -> Option<()> {
        let mut one_of = |what: &'static str, list: &[String], is: &dyn Fn(&str, &str) -> bool| {
            if !list.is_empty() {
                let text = value.as_str()?;
                self.holds.push((what, list.iter().any(|one| is(text, one))));
            }
            Some(())
        };
        match key {
            "msg_type" => one_of("type", &wanted.types, &|text, one| text.eq_ignore_ascii_case(one)),
            "thread" => one_of("thread", &wanted.threads, &|text, one| text == one),
            "reply_to" => one_of("reply", &wanted.replies, &|text, one| text == one),
            "msg_id" => one_of("id", &wanted.ids, &|text, one| text == one),
            "content" => one_of("contains", &wanted.contains, &|text, one| text.contains(one)),
            "requires_ack" if wanted.requires_ack => {
                self.holds.push(("ack", value.as_bool()?));
                Some(())
            }
            "timestamp" if wanted.since.is_some() || wanted.until.is_some() => {
                let at = timestamp(value.as_str()?)?;
                let holds = wanted.since.is_none_or(|since| at >= since) && wanted.until.is_none_or(|until| at <= until);
                self.holds.push(("time", holds));
                Some(())
            }
            "sender_id" if !wanted.from.is_empty() || !wanted.agents.is_empty() => self.sender(value, wanted),
            "sender" if !wanted.from.is_empty() || !wanted.agents.is_empty() => {
                self.legacy = Some(value.clone());
                Some(())
            }
            "recipients" if !wanted.to.is_empty() || !wanted.agents.is_empty() => {
                let ids = value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
                let any = |list: &[String]| ids.iter().any(|id| *id == "@all" || list.iter().any(|one| one == id));
                self.recipient = Some(any(&wanted.agents));
                if !wanted.to.is_empty() {
                    self.holds.push(("to", any(&wanted.to)));
                }
                Some(())
            }
            _ => Some(()),
        }
    }

    fn matches(&self, wanted: &Conditions) -> bool {
        let count = [
            !wanted.types.is_empty(),
            !wanted.from.is_empty(),
            !wanted.to.is_empty(),
            wanted.since.is_some() || wanted.until.is_some(),
            !wanted.threads.is_empty(),
            !wanted.replies.is_empty(),
            !wanted.ids.is_empty(),
            wanted.requires_ack,
            !wanted.contains.is_empty(),
        ];
        let agent = wanted.agents.is_empty() || self.sender == Some(true) || self.recipient == Some(true);
        agent && self.holds.iter().filter(|(_, holds)| *holds).count() == count.iter().filter(|is_wanted| **is_wanted).count()
    }
}

impl<'de> serde::de::Visitor<'de> for Walk<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let leave = |fate| {
            self.left.set(Some(fate));
            <A::Error as serde::de::Error>::custom("left")
        };
        let (mut keys, mut known) = (HashSet::new(), Known::default());
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(leave(Fate::Bad));
            }
            let value = map.next_value_seed(Tree(2))?;
            known.look(&key, &value, self.wanted).ok_or_else(|| leave(Fate::Bad))?;
            if self.leaves && known.says_no(self.wanted) {
                return Err(leave(Fate::Drop));
            }
        }
        if let (Some(sender), None) = (known.legacy.take(), known.sender) {
            known.sender(&sender, self.wanted).ok_or_else(|| leave(Fate::Bad))?;
        }
        Ok(known.matches(self.wanted))
    }
}

/// A value at this depth, duplicate keys and too much depth refused.
struct Tree(usize);

impl<'de> serde::de::DeserializeSeed<'de> for Tree {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

macro_rules! leaf {
    ($($name:ident $kind:ty),*) => { $(fn $name<E: serde::de::Error>(self, value: $kind) -> Result<Value, E> {
        serde::Serialize::serialize(&value, Serializer).map_err(E::custom)
    })* };
}

impl<'de> serde::de::Visitor<'de> for Tree {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    leaf!(visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64, visit_str &str);
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        self.check()?;
        while let Some(item) = seq.next_element_seed(Tree(self.0 + 1))? {
            items.push(item);
        }
        Ok(items.into())
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = serde_json::Map::new();
        self.check()?;
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(<A::Error as serde::de::Error>::custom("duplicate"));
            }
            members.insert(key, map.next_value_seed(Tree(self.0 + 1))?);
        }
        Ok(members.into())
    }
}

impl Tree {
    fn check<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.0 > DEPTH_MAX { Err(E::custom("deep")) } else { Ok(()) }
    }
}

/// RFC 3339, or a naive time that is local.
fn timestamp(text: &str) -> Option<Timestamp> {
    let naive = || {
        let parted = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) && text.len() > 11;
        TimeZone::system().to_timestamp(text.parse::<DateTime>().ok().filter(|_| parted)?).ok()
    };
    text.parse().ok().or_else(naive)
}
