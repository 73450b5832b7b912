//! Whether one line passes: the conditions of a call, held against a record. A pure decision; it reads and writes nothing.
//!
//! A line is walked once, from left to right. As soon as one compared field says no, the rest is not looked at: that line cannot
//! match, whatever follows. So which lines are found bad depends on the line and the options alone, never on how it was read.

use std::fmt;

use jiff::Timestamp;
use memchr::memmem::Finder;
use swarm_common::json::{Fault, Front, Scanner, Str, Value, Walk, is_blank};
use swarm_common::message::ALL;
use swarm_common::{text, time};

/// What a record must be. Values of one condition are alternatives, conditions add up; an empty one demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `msg_type` is one of these, without regard to ASCII case.
    pub types: Vec<String>,
    /// Sent by one of these.
    pub from: Vec<String>,
    /// Addressed to one of these, or to `@all`.
    pub to: Vec<String>,
    /// Sent by one of these, or addressed to one of them or to `@all`.
    pub agents: Vec<String>,
    /// Not before this instant.
    pub since: Option<Timestamp>,
    /// Not after this instant.
    pub until: Option<Timestamp>,
    /// `thread` is one of these.
    pub threads: Vec<String>,
    /// `reply_to` is one of these.
    pub replies: Vec<String>,
    /// `msg_id` is one of these.
    pub ids: Vec<String>,
    /// `requires_ack` is true.
    pub requires_ack: bool,
    /// `content` holds one of these.
    pub contains: Vec<String>,
}

const TYPE: u16 = 1;
const FROM: u16 = 1 << 1;
const TO: u16 = 1 << 2;
const AGENT: u16 = 1 << 3;
const TIME: u16 = 1 << 4;
const THREAD: u16 = 1 << 5;
const REPLY: u16 = 1 << 6;
const ID: u16 = 1 << 7;
const ACK: u16 = 1 << 8;
const CONTAINS: u16 = 1 << 9;

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It does not.
    Drop,
    /// There is nothing on it: skipped, and never counted.
    Blank,
    /// It is no record, or a compared field has the wrong type.
    Bad(Why),
}

/// Why a line is bad.
#[derive(Debug, PartialEq, Eq)]
pub enum Why {
    /// It is no record.
    Json(Fault),
    /// A compared field is not of its type.
    Kind {
        /// The field.
        field: &'static str,
        /// What it is, or holds.
        is: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A compared timestamp that is none; the start of it.
    Time(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Json(fault) => fault.fmt(f),
            Why::Kind { field, is, wanted } => write!(f, "\"{field}\" is {is}, not {wanted}"),
            Why::Time(text) => write!(f, "\"timestamp\" is no time: \"{text}\""),
        }
    }
}

/// The room that judging needs, so that a stream of lines allocates once.
#[derive(Default)]
pub struct Room {
    scanner: Scanner,
    decoded: Vec<u8>,
}

/// The conditions, ready to be held against lines.
pub struct Judge {
    conditions: Conditions,
    /// One for each of `conditions.contains`.
    finders: Vec<Finder<'static>>,
    wanted: u16,
    invert: bool,
    exhaustive: bool,
    /// The front of a canonical record can say no.
    by_front: bool,
}

/// What is known of a record in the middle of its walk.
#[derive(Default)]
struct Seen<'a> {
    /// The conditions that hold.
    met: u16,
    /// One of them does not.
    is_out: bool,
    has_sender_id: bool,
    has_recipients: bool,
    /// The Python program's name for `sender_id`; it counts only where that is missing.
    legacy_sender: Option<Value<'a>>,
    wrong: Option<Why>,
}

impl Judge {
    /// `invert` passes what does not match; `exhaustive` checks every line to its end. Without a condition, and with `invert`, all
    /// lines are anyway: there every good one could pass.
    pub fn new(mut conditions: Conditions, invert: bool, exhaustive: bool) -> Self {
        let wanted = [
            (TYPE, !conditions.types.is_empty()),
            (FROM, !conditions.from.is_empty()),
            (TO, !conditions.to.is_empty()),
            (AGENT, !conditions.agents.is_empty()),
            (TIME, conditions.since.is_some() || conditions.until.is_some()),
            (THREAD, !conditions.threads.is_empty()),
            (REPLY, !conditions.replies.is_empty()),
            (ID, !conditions.ids.is_empty()),
            (ACK, conditions.requires_ack),
            (CONTAINS, !conditions.contains.is_empty()),
        ];
        let wanted = wanted.into_iter().filter(|(_, is_wanted)| *is_wanted).fold(0, |all, (bit, _)| all | bit);
        if wanted & TO != 0 {
            conditions.to.push(ALL.to_string());
        }
        let finders = conditions.contains.iter().map(|text| Finder::new(text.as_bytes()).into_owned()).collect();
        let exhaustive = exhaustive || invert;
        let by_front = !exhaustive && wanted & (ID | TIME | TYPE | FROM | TO | AGENT) != 0;
        Self { conditions, finders, wanted, invert, exhaustive, by_front }
    }

    /// What becomes of this line (without its newline).
    #[inline]
    pub fn judge(&self, line: &[u8], room: &mut Room) -> Verdict {
        if self.by_front && self.is_out_at_front(line) == Some(true) { Verdict::Drop } else { self.walk(line, room) }
    }

    /// Whether the front of a canonical record says no: what [`Judge::walk`] would find, sooner. `None` where the line must be walked.
    #[inline]
    fn is_out_at_front(&self, line: &[u8]) -> Option<bool> {
        let wants = |bits: u16| self.wanted & bits != 0;
        let is_none = |id: &[u8], wanted: &[String]| !wanted.iter().any(|wanted| wanted.as_bytes() == id);
        let mut front = Front::new(line)?;
        let id = front.string_of::<36>(b",\"msg_id\":\"")?;
        if wants(ID) && is_none(id, &self.conditions.ids) {
            return Some(true);
        }
        let written = front.string_of::<27>(b",\"timestamp\":\"")?;
        if wants(TIME) && !self.is_in_time(time::timestamp(written)?) {
            return Some(true);
        }
        let msg_type = front.string(b",\"msg_type\":\"")?;
        if wants(TYPE) && !self.conditions.types.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(msg_type)) {
            return Some(true);
        }
        if !wants(FROM | TO | AGENT) {
            return Some(false);
        }
        let sender = front.string(b",\"sender_id\":\"")?;
        if wants(FROM) && is_none(sender, &self.conditions.from) {
            return Some(true);
        }
        let is_sender = wants(AGENT) && !is_none(sender, &self.conditions.agents);
        if is_sender && !wants(TO) {
            return Some(false);
        }
        let (mut to, mut agent) = (false, is_sender);
        let mut lead: &[u8] = b",\"recipients\":[\"";
        loop {
            let id = front.string(lead)?;
            to = to || !is_none(id, &self.conditions.to);
            agent = agent || id == ALL.as_bytes() || !is_none(id, &self.conditions.agents);
            if front.takes(b']') {
                return Some((wants(TO) && !to) || (wants(AGENT) && !agent));
            }
            lead = b",\"";
        }
    }

    fn is_in_time(&self, at: Timestamp) -> bool {
        let Conditions { since, until, .. } = &self.conditions;
        since.is_none_or(|since| since <= at) && until.is_none_or(|until| at <= until)
    }

    /// The same by the scanner alone, which understands every record.
    pub fn walk(&self, line: &[u8], room: &mut Room) -> Verdict {
        if line.first() != Some(&b'{') && is_blank(line) {
            return Verdict::Blank;
        }
        let Room { scanner, decoded } = room;
        let mut seen = Seen::default();
        let walked = scanner.members(line, |key, value| {
            if let Err(why) = self.member(key.decode_in(&mut Vec::new()), value, &mut seen, decoded) {
                seen.wrong = Some(why);
                return Walk::Stop;
            }
            if seen.is_out && !self.exhaustive { Walk::Stop } else { Walk::On }
        });
        match walked {
            Err(fault) => Verdict::Bad(Why::Json(fault)),
            Ok(false) => seen.wrong.map_or(Verdict::Drop, Verdict::Bad),
            Ok(true) => match self.at_end(&mut seen) {
                Err(why) => Verdict::Bad(why),
                Ok(()) if (seen.met == self.wanted) != self.invert => Verdict::Pass,
                Ok(()) => Verdict::Drop,
            },
        }
    }

    /// Looks at one member.
    #[inline]
    fn member<'a>(&self, key: &[u8], value: Value<'a>, seen: &mut Seen<'a>, decoded: &mut Vec<u8>) -> Result<(), Why> {
        let wants = |bits: u16| self.wanted & bits != 0;
        match key {
            b"msg_type" if wants(TYPE) => {
                let msg_type = string("msg_type", value)?;
                seen.learn(TYPE, self.conditions.types.iter().any(|wanted| msg_type.is_ignoring_case(wanted.as_bytes())));
            }
            b"sender_id" if wants(FROM | AGENT) => {
                seen.has_sender_id = true;
                self.sender(string("sender_id", value)?, seen);
            }
            b"sender" if wants(FROM | AGENT) => seen.legacy_sender = Some(value),
            b"recipients" if wants(TO | AGENT) => self.recipients(value, seen)?,
            b"timestamp" if wants(TIME) => {
                let written = string("timestamp", value)?;
                let written = written.decode_in(decoded);
                let at = time::timestamp(written).ok_or_else(|| Why::Time(text::excerpt(written, 40)))?;
                seen.learn(TIME, self.is_in_time(at));
            }
            b"thread" if wants(THREAD) => seen.learn(THREAD, is_any(string("thread", value)?, &self.conditions.threads)),
            b"reply_to" if wants(REPLY) => seen.learn(REPLY, is_any(string("reply_to", value)?, &self.conditions.replies)),
            b"msg_id" if wants(ID) => seen.learn(ID, is_any(string("msg_id", value)?, &self.conditions.ids)),
            b"requires_ack" if wants(ACK) => match value {
                Value::Bool(asks) => seen.learn(ACK, asks),
                _ => return Err(Why::Kind { field: "requires_ack", is: value.kind(), wanted: "a boolean" }),
            },
            b"content" if wants(CONTAINS) => {
                let content = string("content", value)?.decode_in(decoded);
                seen.learn(CONTAINS, self.finders.iter().any(|finder| finder.find(content).is_some()));
            }
            _ => {}
        }
        Ok(())
    }

    fn sender(&self, id: Str<'_>, seen: &mut Seen<'_>) {
        if self.wanted & FROM != 0 {
            seen.learn(FROM, is_any(id, &self.conditions.from));
        }
        if self.wanted & AGENT != 0 {
            self.agent(is_any(id, &self.conditions.agents), seen);
        }
    }

    fn recipients(&self, value: Value<'_>, seen: &mut Seen<'_>) -> Result<(), Why> {
        if !matches!(value, Value::Array(_)) {
            return Err(Why::Kind { field: "recipients", is: value.kind(), wanted: "an array of strings" });
        }
        seen.has_recipients = true;
        let (mut to, mut agent) = (false, false);
        for item in value.items() {
            let Value::String(id) = item else {
                return Err(Why::Kind { field: "recipients", is: "an array that holds other things", wanted: "an array of strings" });
            };
            to = to || is_any(id, &self.conditions.to);
            agent = agent || id.is(ALL.as_bytes()) || is_any(id, &self.conditions.agents);
        }
        if self.wanted & TO != 0 {
            seen.learn(TO, to);
        }
        if self.wanted & AGENT != 0 {
            self.agent(agent, seen);
        }
        Ok(())
    }

    /// One of the two places where an agent can stand; the condition is out only when neither has it.
    fn agent(&self, is_there: bool, seen: &mut Seen<'_>) {
        if is_there {
            seen.met |= AGENT;
        } else if seen.has_sender_id && seen.has_recipients && seen.met & AGENT == 0 {
            seen.is_out = true;
        }
    }

    /// What only the whole record can tell: that it has no `sender_id`.
    fn at_end(&self, seen: &mut Seen<'_>) -> Result<(), Why> {
        if let (Some(sender), false) = (seen.legacy_sender, seen.has_sender_id) {
            self.sender(string("sender", sender)?, seen);
        }
        Ok(())
    }
}

impl Seen<'_> {
    #[inline]
    fn learn(&mut self, condition: u16, holds: bool) {
        if holds {
            self.met |= condition;
        } else {
            self.is_out = true;
        }
    }
}

#[inline]
fn string<'a>(field: &'static str, value: Value<'a>) -> Result<Str<'a>, Why> {
    match value {
        Value::String(string) => Ok(string),
        _ => Err(Why::Kind { field, is: value.kind(), wanted: "a string" }),
    }
}

#[inline]
fn is_any(string: Str<'_>, wanted: &[String]) -> bool {
    wanted.iter().any(|wanted| string.is(wanted.as_bytes()))
}
