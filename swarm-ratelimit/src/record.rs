//! What the limit has to know of a line: that it is a record, whose it is, when it was written, and where a mark goes. It reads and
//! writes nothing.
//!
//! Every line is walked to its end, whatever becomes of it: so a bad line never takes a place in a window, and which lines are bad
//! does not depend on the clock.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use swarm_common::json::{Fault, Scanner, Str, Value, Walk};
use swarm_common::{text, time};

use crate::shared::PLAIN_FIELD;
use crate::window::Key;

/// The field that `--over mark` adds.
pub const MARK: &str = "over_limit";

/// What makes two records share a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// `sender_id`; where that is missing, the Python program's `sender`.
    Sender,
    /// Another field.
    Field(String),
    /// Nothing: all share one.
    All,
}

impl By {
    /// The field whose values are the keys; of no interest where all share one.
    pub fn field(&self) -> &str {
        match self {
            By::Field(field) => field,
            By::Sender | By::All => PLAIN_FIELD,
        }
    }
}

/// Whose clock the windows run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// When a record arrives here.
    #[default]
    Arrival,
    /// When it was written, by its own `timestamp`.
    Timestamp,
}

/// Why a line is bad.
#[derive(Debug, PartialEq, Eq)]
pub enum Why {
    /// It is no record.
    Json(Fault),
    /// A field that counts is not of its type.
    Kind {
        /// The field.
        field: String,
        /// What it is.
        is: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The windows run on its timestamp, and it has none.
    NoTime,
    /// A timestamp that is none; the start of it.
    Time(String),
    /// With the mark it would be longer than a line may be.
    NoRoom,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Json(fault) => fault.fmt(f),
            Why::Kind { field, is, wanted } => write!(f, "\"{field}\" is {is}, not {wanted}"),
            Why::NoTime => write!(f, "no \"timestamp\", which --by timestamp needs"),
            Why::Time(text) => write!(f, "\"timestamp\" is no time: \"{text}\""),
            Why::NoRoom => write!(f, "too long to be marked as over the limit"),
        }
    }
}

/// A good line.
#[derive(Debug)]
pub struct Record<'a> {
    /// Whose window it counts in.
    pub key: Key<'a>,
    /// When it was written, in microseconds since 1970, where the windows run on that.
    pub at_us: Option<i64>,
    line: &'a [u8],
    is_empty: bool,
    marked: Option<(Str<'a>, Value<'a>)>,
}

/// An agent's name as its window has it. In upper or lower case it is one agent (DESIGN 2), and must not get two windows by it.
#[inline]
fn agent<'a>(id: Str<'a>, room: &'a mut Vec<u8>) -> &'a [u8] {
    match id.decode() {
        Cow::Borrowed(id) if !id.iter().any(u8::is_ascii_uppercase) => id,
        id => {
            room.clear();
            room.extend(id.iter().map(u8::to_ascii_lowercase));
            room
        }
    }
}

/// The room that reading needs, so that a stream of lines allocates once.
#[derive(Default)]
pub struct Room {
    scanner: Scanner,
    decoded: Vec<u8>,
}

/// Reads a line (without its newline) that is not blank.
///
/// # Errors
/// Why it is bad.
#[inline]
pub fn read<'a>(line: &'a [u8], by: &By, clock: Clock, room: &'a mut Room) -> Result<Record<'a>, Why> {
    let Room { scanner, decoded } = room;
    let (mut value, mut legacy, mut timestamp, mut marked, mut is_empty) = (None, None, None, None, true);
    let walked = scanner.members(line, |name, member| {
        is_empty = false;
        match by {
            By::Sender if name.is(b"sender_id") => value = Some(member),
            By::Sender if name.is(b"sender") => legacy = Some(member),
            By::Field(field) if name.is(field.as_bytes()) => value = Some(member),
            _ => {}
        }
        if clock == Clock::Timestamp && name.is(b"timestamp") {
            timestamp = Some(member);
        }
        if name.is(MARK.as_bytes()) {
            marked = Some((name, member));
        }
        Walk::On
    });
    walked.map_err(Why::Json)?;
    let at_us = match clock {
        Clock::Arrival => None,
        Clock::Timestamp => Some(written_us(timestamp, decoded)?),
    };
    let key = match by {
        By::All => Key::All,
        By::Sender => match (value, legacy) {
            (Some(id), _) => Key::Of(agent(string("sender_id", id)?, decoded)),
            (None, Some(id)) => Key::Of(agent(string("sender", id)?, decoded)),
            (None, None) => Key::Missing,
        },
        By::Field(field) => match value {
            None | Some(Value::Null) => Key::Missing,
            Some(Value::String(text)) => Key::Of(text.decode_in(decoded)),
            Some(Value::Number(number)) => Key::Of(number),
            Some(Value::Bool(is)) => Key::Of(if is { b"true" } else { b"false" }),
            Some(other @ (Value::Array(_) | Value::Object(_))) => {
                return Err(Why::Kind { field: field.clone(), is: other.kind(), wanted: "a string, a number or a boolean" });
            }
        },
    };
    Ok(Record { key, at_us, line, is_empty, marked })
}

fn string<'a>(field: &str, value: Value<'a>) -> Result<Str<'a>, Why> {
    match value {
        Value::String(string) => Ok(string),
        _ => Err(Why::Kind { field: field.to_string(), is: value.kind(), wanted: "a string" }),
    }
}

fn written_us(timestamp: Option<Value<'_>>, decoded: &mut Vec<u8>) -> Result<i64, Why> {
    let written = string("timestamp", timestamp.ok_or(Why::NoTime)?)?;
    let written = written.decode_in(decoded);
    let at = time::timestamp(written).ok_or_else(|| Why::Time(text::excerpt(written, 40)))?;
    Ok(at.as_microsecond())
}

impl Record<'_> {
    /// Writes the line with the mark: `"over_limit":true` before the closing brace; where the record has that field already, its value
    /// becomes `true`. Every other byte stays.
    pub fn write_marked(&self, out: &mut Vec<u8>) {
        match self.marked {
            Some((_, Value::Bool(true))) => out.extend_from_slice(self.line),
            Some((name, value)) => {
                let range = value_range(self.line, name, value);
                out.extend_from_slice(&self.line[..range.start]);
                out.extend_from_slice(b"true");
                out.extend_from_slice(&self.line[range.end..]);
            }
            None => {
                // The line is one object, so its last brace is the object's.
                let end = memchr::memrchr(b'}', self.line).unwrap_or(self.line.len());
                out.extend_from_slice(&self.line[..end]);
                out.extend_from_slice(if self.is_empty { b"" } else { b"," });
                out.extend_from_slice(b"\"over_limit\":true");
                out.extend_from_slice(&self.line[end..]);
            }
        }
    }
}

/// Where the value of a member stands in its line.
fn value_range(line: &[u8], name: Str<'_>, value: Value<'_>) -> Range<usize> {
    // Behind the name's quote there is a colon, and white space around it.
    let name_end = name.range_in(line).end + 1;
    let gap = line[name_end..].iter().take_while(|byte| matches!(byte, b':' | b' ' | b'\t' | b'\r')).count();
    let start = name_end + gap;
    let len = match value {
        Value::String(text) => text.range_in(line).len() + 2,
        Value::Number(raw) | Value::Array(raw) | Value::Object(raw) => raw.len(),
        Value::Bool(true) | Value::Null => 4,
        Value::Bool(false) => 5,
    };
    start..start + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(line: &str, by: By) -> Result<Option<String>, String> {
        let mut room = Room::default();
        read(line.as_bytes(), &by, Clock::Arrival, &mut room)
            .map(|record| match record.key {
                Key::Of(value) => Some(String::from_utf8(value.to_vec()).unwrap()),
                Key::All => Some("(all)".into()),
                Key::Missing => None,
            })
            .map_err(|why| why.to_string())
    }

    fn marked(line: &str) -> String {
        let (mut room, mut out) = (Room::default(), Vec::new());
        read(line.as_bytes(), &By::All, Clock::Arrival, &mut room).unwrap().write_marked(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_sender_is_the_sender_id_and_only_without_one_the_python_programs_sender() {
        let of = |line| key(line, By::Sender);
        assert_eq!(of(r#"{"sender":"b","sender_id":"a"}"#), Ok(Some("a".into())));
        assert_eq!(of(r#"{"sender":"b","data":{"sender_id":"a"}}"#), Ok(Some("b".into())));
        assert_eq!(of(r#"{"sender_\u0069d":"\u0061"}"#), Ok(Some("a".into())));
        assert_eq!(of(r#"{"content":"\"sender_id\":\"a\""}"#), Ok(None));
        assert_eq!(of(r#"{"sender_id":"Agent-\u0041"}"#), Ok(Some("agent-a".into())), "one agent, however it is written");
        assert_eq!(of(r#"{"sender_id":7}"#), Err("\"sender_id\" is a number, not a string".into()));
        assert_eq!(of(r#"{"sender":null}"#), Err("\"sender\" is null, not a string".into()));
    }

    #[test]
    fn another_field_may_be_a_string_a_number_or_a_boolean_and_null_is_as_if_it_were_missing() {
        let of = |line| key(line, By::Field("x".into()));
        for (line, expected) in [(r#"{"x":"a\n"}"#, "a\n"), (r#"{"x":-1.5e3}"#, "-1.5e3"), (r#"{"x":true}"#, "true"), (r#"{"x":""}"#, "")] {
            assert_eq!(of(line), Ok(Some(expected.into())), "{line}");
        }
        assert_eq!((of(r#"{"x":null}"#), of("{}")), (Ok(None), Ok(None)));
        assert_eq!(of(r#"{"x":["a"]}"#), Err("\"x\" is an array, not a string, a number or a boolean".into()));
        assert!(key(r#"{"x":1,"y":[1}"#, By::All).is_err(), "a line is looked at to its end");
    }

    #[test]
    fn a_record_without_a_time_is_bad_only_where_the_windows_run_on_it() {
        let mut room = Room::default();
        let mut at =
            |line: &str| read(line.as_bytes(), &By::All, Clock::Timestamp, &mut room).map(|record| record.at_us).map_err(|w| w.to_string());
        assert_eq!(at(r#"{"timestamp":"1970-01-01T00:00:01.000002Z"}"#), Ok(Some(1_000_002)));
        assert_eq!(at("{}"), Err("no \"timestamp\", which --by timestamp needs".into()));
        assert_eq!(at(r#"{"timestamp":5}"#), Err("\"timestamp\" is a number, not a string".into()));
        assert_eq!(at(r#"{"timestamp":"noon"}"#), Err("\"timestamp\" is no time: \"noon\"".into()));
        assert!(key("{}", By::All).is_ok());
    }

    #[test]
    fn the_mark_stands_before_the_last_brace_and_is_never_there_twice() {
        for (line, expected) in [
            (r#"{"a":1}"#, r#"{"a":1,"over_limit":true}"#),
            ("{}", r#"{"over_limit":true}"#),
            (" { } ", r#" { "over_limit":true} "#),
            ("{\"a\":{} }\t\r", "{\"a\":{} ,\"over_limit\":true}\t\r"),
            (r#"{"data":{"over_limit":false}}"#, r#"{"data":{"over_limit":false},"over_limit":true}"#),
            (r#"{"over_limit":true,"a":1}"#, r#"{"over_limit":true,"a":1}"#),
            (r#"{"over_limit" : false ,"a":1}"#, r#"{"over_limit" : true ,"a":1}"#),
            (r#"{"a":1,"ov\u0065r_limit":"a:b"}"#, r#"{"a":1,"ov\u0065r_limit":true}"#),
            (r#"{"over_limit":null}"#, r#"{"over_limit":true}"#),
            (r#"{"over_limit":[1,{"over_limit":2}],"z":0}"#, r#"{"over_limit":true,"z":0}"#),
            (r#"{"over_limit":-1.5}"#, r#"{"over_limit":true}"#),
        ] {
            assert_eq!(marked(line), expected);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            ".{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c{}\":]{1,3}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_marked_line_is_the_same_record_with_the_mark(
            members in prop::collection::btree_map("(over_limit|a|\\}|:|[a-c]{2})", json(), 0..5), pretty in any::<bool>(),
        ) {
            let mut record = serde_json::Value::Object(members.into_iter().collect());
            let line = if pretty { serde_json::to_string_pretty(&record).unwrap().replace('\n', " ") } else { record.to_string() };
            record["over_limit"] = true.into();
            let marked = marked(&line);
            prop_assert!(Scanner::new().check(marked.as_bytes()).is_ok(), "{}", marked);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&marked).unwrap(), record);
        }
    }
}
