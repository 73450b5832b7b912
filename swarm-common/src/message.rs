//! A message on its way into the journal: what its sender said, whether it may be accepted (DESIGN 2), and the canonical text it is
//! stored as. Reading what is stored already needs none of this.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::exit::Failure;
use crate::journal::{self, Draft};
use crate::json::{self, Fault, Scanner, Str, Value, Walk};
use crate::ndjson::LINE_BYTES_MAX;
use crate::{identity, options, text};

/// The longest content, in bytes of UTF-8.
pub const CONTENT_BYTES_MAX: usize = 10 * 1024;
/// The longest message id that a sender may choose, in bytes.
pub const MSG_ID_BYTES_MAX: usize = 128;
/// The longest name of a thread, in bytes.
pub const THREAD_BYTES_MAX: usize = 128;
/// The longest message type, in bytes.
pub const TYPE_BYTES_MAX: usize = 32;

/// The most recipients of one message.
pub const RECIPIENTS_MAX: usize = 1024;
/// The most spans of time of one message after which it is sent again.
pub const RETRIES_MAX: usize = 16;
/// The longest of them, in milliseconds: 30 days.
pub const RETRY_MS_MAX: u64 = 30 * 86_400_000;
/// The most agents and groups that are to be told of one message that is not acknowledged.
pub const ESCALATE_MAX: usize = 64;
/// So much of a wrong value is shown in an error, in characters.
const SHOWN_MAX: usize = 64;

/// The recipient that stands for everybody.
pub const ALL: &str = "@all";
/// What a message is where nothing else was said.
pub const TYPE_DEFAULT: &str = "INFO";
/// The type of an acknowledgement.
pub const TYPE_ACK: &str = "ACK";

/// Types that people send, as they are typed; any other word may be one too.
pub const TYPES: [&str; 7] = ["question", "review-request", "blocked", "completed", "challenge", "info", "ack"];
/// Types that only the tools write.
pub const TYPES_OF_SYSTEM: [&str; 7] = ["DELIVERY", "RETRY", "ESCALATION", "LOCKED", "RELEASED", "EXPIRED", "STOLEN"];

/// What can be said of a message; `None` was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The sender's own id for it.
    pub msg_id: Option<String>,
    /// In upper or lower case.
    pub msg_type: Option<String>,
    /// Who sends it.
    pub sender_id: Option<String>,
    /// Who sent it in another's name.
    pub forced_by: Option<String>,
    /// Agents, or everybody.
    pub recipients: Option<Vec<String>>,
    /// Who everybody was when it was sent, where it asks everybody for an acknowledgement. Not the sender's to give.
    pub all: Option<Vec<String>>,
    /// It asks for an acknowledgement.
    pub requires_ack: Option<bool>,
    /// After how many milliseconds each it is sent again while it is not acknowledged.
    pub retry_ms: Option<Vec<u64>>,
    /// Agents and groups that are told when it is not acknowledged after that.
    pub escalate: Option<Vec<String>>,
    /// A rate limiter let it pass with this mark.
    pub over_limit: Option<bool>,
    /// The message that it answers.
    pub reply_to: Option<String>,
    /// What it belongs to.
    pub thread: Option<String>,
    /// A JSON object, canonical.
    pub data: Option<Vec<u8>>,
    /// The text.
    pub content: Option<String>,
}

/// The fields that a sender may give; the Python program's `sender` too.
const FIELDS: [&str; 13] = [
    "msg_id",
    "msg_type",
    "sender_id",
    "recipients",
    "requires_ack",
    "retry_ms",
    "escalate",
    "over_limit",
    "reply_to",
    "thread",
    "data",
    "content",
    "sender",
];

impl Message {
    /// Reads a record that a sender wrote.
    ///
    /// # Errors
    /// Status 2: it is no record, a field is of the wrong kind, or not the sender's to give.
    pub fn parse(line: &[u8], scanner: &mut Scanner) -> Result<Message, Failure> {
        let mut message = Message::default();
        let mut wrong = None;
        let walked = scanner.members(line, |key, value| match message.member(key, value) {
            Ok(()) => Walk::On,
            Err(failure) => {
                wrong = Some(failure);
                Walk::Stop
            }
        });
        match (walked, wrong) {
            (Err(fault), _) => Err(Failure::wrong(fault.to_string())),
            (_, Some(failure)) => Err(failure),
            _ => Ok(message),
        }
    }

    fn member(&mut self, key: Str<'_>, value: Value<'_>) -> Result<(), Failure> {
        let key = key.text();
        match key.as_ref() {
            "msg_id" => self.msg_id = Some(string(&key, value)?),
            "msg_type" => self.msg_type = Some(string(&key, value)?),
            "sender_id" | "sender" if self.sender_id.is_some() => {
                return Err(Failure::wrong("\"sender\" and \"sender_id\" are one field, and it is given twice"));
            }
            "sender_id" | "sender" => self.sender_id = Some(string(&key, value)?),
            "recipients" => self.recipients = Some(strings(&key, value)?),
            "requires_ack" => self.requires_ack = Some(boolean(&key, value)?),
            "retry_ms" => self.retry_ms = Some(spans(&key, value)?),
            "escalate" => self.escalate = Some(strings(&key, value)?),
            "over_limit" => self.over_limit = Some(boolean(&key, value)?),
            "reply_to" => self.reply_to = Some(string(&key, value)?),
            "thread" => self.thread = Some(string(&key, value)?),
            "data" => self.data = Some(object(&key, value)?),
            "content" => self.content = Some(string(&key, value)?),
            "seq" | "timestamp" => {
                return Err(Failure::wrong(format!("\"{key}\" is the journal's to give, not the sender's"))
                    .hint("to send a stored record again, take both out: jq -c 'del(.seq, .timestamp)'"));
            }
            _ => {
                let hint = match options::nearest(&key, FIELDS.into_iter()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "fields of your own belong into \"data\"".into(),
                };
                return Err(Failure::wrong(format!("\"{}\" is no field of a message", text::excerpt(key.as_bytes(), 40))).hint(hint));
            }
        }
        Ok(())
    }

    /// Takes from `defaults` what was left out.
    pub fn fill(&mut self, defaults: &Message) {
        fn or<T: Clone>(mine: &mut Option<T>, theirs: &Option<T>) {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        or(&mut self.msg_id, &defaults.msg_id);
        or(&mut self.msg_type, &defaults.msg_type);
        or(&mut self.sender_id, &defaults.sender_id);
        or(&mut self.recipients, &defaults.recipients);
        or(&mut self.requires_ack, &defaults.requires_ack);
        or(&mut self.retry_ms, &defaults.retry_ms);
        or(&mut self.escalate, &defaults.escalate);
        or(&mut self.over_limit, &defaults.over_limit);
        or(&mut self.reply_to, &defaults.reply_to);
        or(&mut self.thread, &defaults.thread);
        or(&mut self.data, &defaults.data);
        or(&mut self.content, &defaults.content);
    }

    /// Checks it as a user's message, and writes it as it is to be stored; with who gets it. Without an id it gets one from `ids`.
    ///
    /// # Errors
    /// Status 2: why it is refused, with the limit and what it was.
    pub fn accept(self, ids: &mut Ids) -> Result<Accepted, Failure> {
        let msg_type = self.msg_type.as_deref().unwrap_or(TYPE_DEFAULT).to_ascii_uppercase();
        check_type(&msg_type)?;
        if TYPES_OF_SYSTEM.contains(&msg_type.as_str()) {
            let why = format!("type {msg_type} is written by the tools alone");
            return Err(Failure::wrong(why)
                .hint("for people: question, review-request, blocked, completed, challenge, info, ack, or a name of your own"));
        }
        let sender_id = self.sender_id.ok_or_else(identity::unknown)?;
        identity::check("sender_id", &sender_id)?;
        let recipients = recipients(self.recipients.unwrap_or_default())?;
        let content = self.content.unwrap_or_default();
        if content.len() > CONTENT_BYTES_MAX {
            return Err(Failure::wrong(format!("content of {} bytes: at most {CONTENT_BYTES_MAX} are allowed", content.len()))
                .hint("put it into a file and send its path"));
        }
        if content.contains('\0') {
            return Err(Failure::wrong("content holds a NUL character, which no terminal or argument can take"));
        }
        if content.trim().is_empty() && self.data.is_none() && msg_type != TYPE_ACK {
            return Err(Failure::wrong("content is empty").hint("a message needs a text, or \"data\"; only an ack needs neither"));
        }
        for (field, id) in [("msg_id", &self.msg_id), ("reply_to", &self.reply_to)] {
            id.as_deref().map_or(Ok(()), |id| check_msg_id(field, id))?;
        }
        self.thread.as_deref().map_or(Ok(()), check_thread)?;
        let asks = self.requires_ack == Some(true) && msg_type != TYPE_ACK;
        for (field, is_given) in [("retry_ms", self.retry_ms.is_some()), ("escalate", self.escalate.is_some())] {
            if is_given && !asks {
                return Err(Failure::wrong(format!("{field}, and it asks for no acknowledgement"))
                    .hint("to ask for one: --ack, or \"requires_ack\":true"));
            }
        }
        self.retry_ms.as_deref().map_or(Ok(()), check_retry_ms)?;
        self.escalate.as_deref().map_or(Ok(()), check_escalate)?;

        let id_is_own = self.msg_id.is_some();
        let msg_id = self.msg_id.unwrap_or_else(|| ids.make());
        let mut body = Vec::with_capacity(content.len() + 192);
        let field = |name: &str, body: &mut Vec<u8>| {
            body.extend_from_slice(b",\"");
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":");
        };
        body.extend_from_slice(b"\"msg_type\":");
        json::write_string(&msg_type, &mut body);
        field("sender_id", &mut body);
        json::write_string(&sender_id, &mut body);
        if let Some(by) = &self.forced_by {
            field("forced_by", &mut body);
            json::write_string(by, &mut body);
        }
        let list = |name: &str, ids: Option<&Vec<String>>, body: &mut Vec<u8>| {
            let Some(ids) = ids else { return };
            field(name, body);
            body.push(b'[');
            for (n, id) in ids.iter().enumerate() {
                if n > 0 {
                    body.push(b',');
                }
                json::write_string(id, body);
            }
            body.push(b']');
        };
        let flag = |name: &str, is_set: Option<bool>, body: &mut Vec<u8>| {
            if is_set == Some(true) {
                field(name, body);
                body.extend_from_slice(b"true");
            }
        };
        list("recipients", Some(&recipients), &mut body);
        list("all", self.all.as_ref(), &mut body);
        flag("requires_ack", self.requires_ack, &mut body);
        if let Some(spans) = &self.retry_ms {
            field("retry_ms", &mut body);
            let spans: Vec<String> = spans.iter().map(u64::to_string).collect();
            body.extend_from_slice(format!("[{}]", spans.join(",")).as_bytes());
        }
        list("escalate", self.escalate.as_ref(), &mut body);
        flag("over_limit", self.over_limit, &mut body);
        for (name, value) in [("reply_to", &self.reply_to), ("thread", &self.thread)] {
            if let Some(value) = value {
                field(name, &mut body);
                json::write_string(value, &mut body);
            }
        }
        if let Some(data) = &self.data {
            field("data", &mut body);
            body.extend_from_slice(data);
        }
        field("content", &mut body);
        json::write_string(&content, &mut body);
        body.push(b'}');

        let line_bytes = journal::head_bytes(&msg_id) + body.len();
        if line_bytes > LINE_BYTES_MAX {
            return Err(Failure::wrong(format!("a record of {line_bytes} bytes: at most {LINE_BYTES_MAX} are allowed"))
                .hint("put \"data\" into a file and send its path"));
        }
        Ok(Accepted { draft: Draft { msg_id, id_is_own, sender_id, body }, recipients })
    }
}

/// Makes message ids: UUIDv7, rising. Random bits are drawn once a millisecond, and counted up within it (RFC 9562, 6.2, method 2): to ask
/// the kernel for each was half the cost of a large batch.
#[derive(Debug, Default)]
pub struct Ids {
    last: Option<Uuid>,
}

impl Ids {
    /// Makes the next one.
    pub fn make(&mut self) -> String {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let next = match self.last {
            // The variant's two bits stand above 62 random ones: where those run out, new ones are drawn.
            Some(last) if last.as_u128() >> 80 == now_ms && last.as_u128() & RANDOM < RANDOM => Uuid::from_u128(last.as_u128() + 1),
            _ => Uuid::now_v7(),
        };
        self.last = Some(next);
        next.to_string()
    }
}

/// The last 62 bits of a UUIDv7.
const RANDOM: u128 = (1 << 62) - 1;

/// When a UUIDv7 was made, in milliseconds by its maker's clock; `None` of any other id.
pub fn made_at_ms(msg_id: &str) -> Option<i64> {
    let hyphens = |at: &usize| msg_id.as_bytes().get(*at) == Some(&b'-');
    let is_uuid = msg_id.len() == 36 && [8, 13, 18, 23].iter().all(hyphens) && msg_id.as_bytes().get(14) == Some(&b'7');
    let digits: String = msg_id.chars().filter(|c| *c != '-').take(12).collect();
    if is_uuid { i64::from_str_radix(&digits, 16).ok() } else { None }
}

/// A message that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// For the journal.
    pub draft: Draft,
    /// Who gets it.
    pub recipients: Vec<String>,
}

/// Reads the value of `--data`: one JSON object.
///
/// # Errors
/// Status 2 when it is none, or nested too deep to lie in a record.
pub fn parse_data(given: &str) -> Result<Vec<u8>, Failure> {
    let wrong = |why: String| Failure::wrong(format!("--data: {why}")).hint("one JSON object, like '{\"files\":[\"a.rs\"]}'");
    // As the field of a record, which is where its depth counts. Two fields mean that it closed the record itself.
    const BEFORE: &str = "{\"data\":";
    let line = format!("{BEFORE}{given}\n}}");
    let mut data = Vec::new();
    Scanner::new()
        .members(line.as_bytes(), |_, value| {
            data.push(object("data", value));
            Walk::On
        })
        .map_err(|fault| wrong(Fault { at: fault.at.saturating_sub(BEFORE.len()), ..fault }.to_string()))?;
    match data.pop() {
        Some(data_given) if data.is_empty() => data_given.map_err(|failure| wrong(failure.what)),
        _ => Err(wrong("more than one value".into())),
    }
}

/// True for `[A-Z][A-Z0-9-]{0,31}`, in either case.
pub fn is_type(text: &str) -> bool {
    text.len() <= TYPE_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Refuses what is no message type.
///
/// # Errors
/// Status 2, with the rule.
pub fn check_type(name: &str) -> Result<(), Failure> {
    if is_type(name) {
        return Ok(());
    }
    Err(Failure::wrong(format!("'{}' is no message type", text::excerpt(name.as_bytes(), SHOWN_MAX)))
        .hint(format!("a letter, then letters, digits and '-', at most {TYPE_BYTES_MAX}: like review-request")))
}

/// Refuses what is no message id. `field` says what it was given as.
///
/// # Errors
/// Status 2, with the rule.
pub fn check_msg_id(field: &str, id: &str) -> Result<(), Failure> {
    let is_good = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
    if is_good && id.len() <= MSG_ID_BYTES_MAX {
        return Ok(());
    }
    let what = match id.len() {
        n if n > MSG_ID_BYTES_MAX => format!("{field} of {n} bytes: at most {MSG_ID_BYTES_MAX} are allowed"),
        _ => format!("{field}: '{id}' is no message id"),
    };
    Err(Failure::wrong(what).hint("letters, digits, '.', '_', ':' and '-'"))
}

fn check_thread(thread: &str) -> Result<(), Failure> {
    if thread.trim().is_empty() || thread.chars().any(text::is_unsafe) {
        return Err(Failure::wrong("thread: a name is a line of text, not empty"));
    }
    if thread.len() > THREAD_BYTES_MAX {
        return Err(Failure::wrong(format!("thread of {} bytes: at most {THREAD_BYTES_MAX} are allowed", thread.len())));
    }
    Ok(())
}

/// Refuses what are no spans of time to wait for an acknowledgement.
///
/// # Errors
/// Status 2, with the rule.
pub fn check_retry_ms(spans: &[u64]) -> Result<(), Failure> {
    if (1..=RETRIES_MAX).contains(&spans.len()) && spans.iter().all(|span| (1..=RETRY_MS_MAX).contains(span)) {
        return Ok(());
    }
    Err(Failure::wrong("retry_ms: no spans of time to wait for an acknowledgement")
        .hint(format!("1 to {RETRIES_MAX} of them, each of at least a millisecond and at most 30 days, like [30000,60000]")))
}

/// Refuses what are no agents and groups.
///
/// # Errors
/// Status 2, with the rule.
pub fn check_escalate(names: &[String]) -> Result<(), Failure> {
    if !(1..=ESCALATE_MAX).contains(&names.len()) {
        return Err(
            Failure::wrong(format!("escalate: {} names: 1 to {ESCALATE_MAX} are allowed", names.len())).hint(format!("everybody: {ALL}"))
        );
    }
    names.iter().try_for_each(|name| identity::check("escalate", name.strip_prefix('@').unwrap_or(name)))
}

/// The recipients as they are stored: each once.
fn recipients(given: Vec<String>) -> Result<Vec<String>, Failure> {
    if given.is_empty() {
        return Err(Failure::wrong("no recipients").hint(format!("--to agent-1,agent-2, or {ALL} for everybody")));
    }
    let count = given.len();
    if count > RECIPIENTS_MAX {
        return Err(Failure::wrong(format!("{count} recipients: at most {RECIPIENTS_MAX} are allowed")).hint(format!("everybody: {ALL}")));
    }
    let mut recipients: Vec<String> = Vec::with_capacity(count);
    for id in given {
        if id == ALL && count > 1 {
            return Err(Failure::wrong(format!("{ALL} means everybody, and stands alone")));
        }
        if id != ALL {
            if id.starts_with('@') {
                return Err(Failure::wrong(format!("'{}' is no group that is known here", text::excerpt(id.as_bytes(), SHOWN_MAX)))
                    .hint(format!("everybody: {ALL}")));
            }
            identity::check("recipient", &id)?;
        }
        if !recipients.iter().any(|known| identity::is_same(known, &id)) {
            recipients.push(id);
        }
    }
    Ok(recipients)
}

fn kind(field: &str, value: Value<'_>, wanted: &str) -> Failure {
    Failure::wrong(format!("\"{field}\" is {}, not {wanted}", value.kind()))
}

fn string(field: &str, value: Value<'_>) -> Result<String, Failure> {
    match value {
        Value::String(string) => Ok(string.text().into_owned()),
        _ => Err(kind(field, value, "a string")),
    }
}

fn strings(field: &str, value: Value<'_>) -> Result<Vec<String>, Failure> {
    match value {
        Value::Array(_) => value.items().map(|item| string(&format!("{field}[]"), item)).collect(),
        _ => Err(kind(field, value, "an array of strings")),
    }
}

fn spans(field: &str, value: Value<'_>) -> Result<Vec<u64>, Failure> {
    let wanted = "an array of milliseconds";
    let Value::Array(_) = value else { return Err(kind(field, value, wanted)) };
    let span =
        |item: Value<'_>| item.as_u64().ok_or_else(|| Failure::wrong(format!("\"{field}\" holds what is no whole number of milliseconds")));
    value.items().map(span).collect()
}

fn boolean(field: &str, value: Value<'_>) -> Result<bool, Failure> {
    match value {
        Value::Bool(is_set) => Ok(is_set),
        _ => Err(kind(field, value, "a boolean")),
    }
}

fn object(field: &str, value: Value<'_>) -> Result<Vec<u8>, Failure> {
    match value {
        Value::Object(raw) => {
            let mut canonical = Vec::with_capacity(raw.len());
            json::write_canonical(raw, &mut canonical);
            Ok(canonical)
        }
        _ => Err(kind(field, value, "an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(line: &str) -> Result<Message, Failure> {
        Message::parse(line.as_bytes(), &mut Scanner::new())
    }

    fn accept(message: Message) -> Result<Accepted, Failure> {
        message.accept(&mut Ids::default())
    }

    fn refusal(record: serde_json::Value) -> String {
        let failure = parse(&record.to_string()).and_then(accept).map(|_| ()).expect_err("refused");
        assert_eq!(failure.exit.status(), 2);
        format!("{}\n{}", failure.what, failure.hint)
    }

    #[test]
    fn a_message_is_written_in_the_canonical_order_without_what_is_empty() {
        let line = r#" {"content":"Which schema?", "data":{ "b" : [1, 2], "a":"\u0041"}, "thread":"auth","reply_to":"0199-a",
            "requires_ack":true,"recipients":["agent-1","AGENT-1"],"sender":"agent-0","msg_type":"question","msg_id":"m:1"}"#;
        let accepted = parse(line).and_then(accept).expect("accepted");
        let body = r#""msg_type":"QUESTION","sender_id":"agent-0","recipients":["agent-1"],"requires_ack":true,"reply_to":"0199-a","thread":"auth","data":{"b":[1,2],"a":"A"},"content":"Which schema?"}"#;
        assert_eq!(String::from_utf8(accepted.draft.body).expect("text"), body);
        assert_eq!((accepted.draft.msg_id.as_str(), accepted.draft.id_is_own), ("m:1", true));
        assert_eq!(accepted.recipients, ["agent-1"], "an agent is told once, however it is written");
        let plain = parse(r#"{"sender_id":"a","recipients":["@all"],"content":"x","requires_ack":false}"#).and_then(accept);
        let plain = plain.expect("accepted");
        assert_eq!(plain.draft.body, br#""msg_type":"INFO","sender_id":"a","recipients":["@all"],"content":"x"}"#);
        assert!(plain.draft.msg_id.len() == 36 && plain.draft.msg_id.as_bytes()[14] == b'7' && !plain.draft.id_is_own, "a UUIDv7");
    }

    #[test]
    fn what_is_not_allowed_is_refused_with_the_limit() {
        let with = |field: &str, value: serde_json::Value| {
            let mut record = json!({"sender_id": "a", "recipients": ["b"], "content": "x"});
            record[field] = value;
            refusal(record)
        };
        for (field, value, why) in [
            ("content", json!("x".repeat(10 * 1024 + 1)), "content of 10241 bytes: at most 10240"),
            ("content", json!("é".repeat(5121)), "10242 bytes"),
            ("content", json!(" \n"), "content is empty"),
            ("content", json!("a\0b"), "NUL"),
            ("content", json!(7), "\"content\" is a number, not a string"),
            ("recipients", json!([]), "no recipients"),
            ("recipients", json!(vec!["b"; 1025]), "1025 recipients: at most 1024"),
            ("recipients", json!("b"), "\"recipients\" is a string, not an array"),
            ("recipients", json!(["a/b"]), "recipient: 'a/b' is no agent id"),
            ("recipients", json!(["../x"]), "no agent id"),
            ("recipients", json!(["b", "@all"]), "@all means everybody"),
            ("recipients", json!(["@backend"]), "'@backend' is no group"),
            ("recipients", json!([1]), "is a number"),
            ("sender_id", json!("-x"), "sender_id: '-x'"),
            ("sender", json!("b"), "given twice"),
            ("seq", json!(1), "\"seq\" is the journal's to give"),
            ("timestamp", json!("2026-11-23T08:34:30Z"), "\"timestamp\" is the journal's"),
            ("msg_type", json!("LOCKED"), "written by the tools alone"),
            ("msg_type", json!("delivery"), "DELIVERY is written by the tools alone"),
            ("msg_type", json!("A B"), "'A B' is no message type"),
            ("msg_type", json!("A".repeat(33)), "no message type"),
            ("msg_id", json!(""), "msg_id: ''"),
            ("msg_id", json!("a\"b"), "no message id"),
            ("msg_id", json!("x".repeat(129)), "msg_id of 129 bytes: at most 128"),
            ("reply_to", json!("a b"), "reply_to: 'a b'"),
            ("thread", json!("a\nb"), "a line of text"),
            ("thread", json!("x".repeat(129)), "thread of 129 bytes"),
            ("data", json!([1]), "\"data\" is an array, not an object"),
            ("data", json!({"x": "y".repeat(65_500)}), "at most 65536"),
            ("recipient", json!("b"), "did you mean \"recipients\"?"),
            ("colour", json!("red"), "belong into \"data\""),
        ] {
            let told = with(field, value);
            assert!(told.contains(why), "{field}: {told}");
        }
        assert!(refusal(json!({"recipients": ["b"], "content": "x"})).contains("who are you"));
    }

    #[test]
    fn ids_that_are_made_differ_and_rise_and_are_uuids_of_version_7() {
        let (mut ids, mut others) = (Ids::default(), Ids::default());
        let made: Vec<String> = (0..10_000).map(|_| ids.make()).collect();
        assert!(made.is_sorted() && made.iter().all(|id| Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 7)));
        let all: std::collections::HashSet<String> = made.into_iter().chain((0..10_000).map(|_| others.make())).collect();
        assert_eq!(all.len(), 20_000);
    }

    #[test]
    fn an_ack_and_a_message_with_data_need_no_text() {
        for record in [
            json!({"sender_id": "a", "recipients": ["b"], "msg_type": "ack", "reply_to": "m"}),
            json!({"sender_id": "a", "recipients": ["b"], "data": {}}),
        ] {
            assert!(parse(&record.to_string()).and_then(accept).is_ok(), "{record}");
        }
    }

    #[test]
    fn the_value_of_data_is_one_object_that_fits_into_a_record() {
        assert_eq!(parse_data(" {\"a\" : [ 1 ]} "), Ok(b"{\"a\":[1]}".to_vec()));
        let nested = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth - 1), "{}".to_string() + &"}".repeat(depth - 1));
        assert!(parse_data(&nested(31)).is_ok());
        for wrong in ["", "1", "[]", "{", "{}{}", "{},\"x\":{}", "{\"a\":1,\"a\":2}", &nested(32)] {
            let failure = parse_data(wrong).expect_err(wrong);
            assert!(failure.what.starts_with("--data: "), "{}", failure.what);
        }
        assert_eq!(parse_data("{a:1}").expect_err("no JSON").what, "--data: not JSON: expected a key in quotes at byte 2");
    }

    #[test]
    fn a_uuid_of_version_7_says_when_it_was_made_and_no_other_id_does() {
        assert_eq!(made_at_ms("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), Some(0x017f_22e2_79b0));
        for id in [
            "",
            "m1",
            "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
            "zzzzzzzz-79b0-7cc3-98c4-dc0c0c07398f",
            "017f22e279b07cc398c4dc0c0c07398f0000",
        ] {
            assert_eq!(made_at_ms(id), None, "{id}");
        }
    }

    #[test]
    fn when_it_is_sent_again_and_who_is_told_is_said_with_a_message_that_asks() {
        let asking = |more: serde_json::Value| {
            let mut record = json!({"sender_id": "a", "recipients": ["b"], "content": "x", "requires_ack": true});
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            record
        };
        let accepted = parse(&asking(json!({"retry_ms": [10000, 1], "escalate": ["@leads", "ann"]})).to_string()).and_then(accept).unwrap();
        let body = String::from_utf8(accepted.draft.body).unwrap();
        assert!(body.contains(r#""requires_ack":true,"retry_ms":[10000,1],"escalate":["@leads","ann"],"content""#), "{body}");
        for (more, told) in [
            (json!({"retry_ms": [1], "requires_ack": false}), "asks for no acknowledgement"),
            (json!({"escalate": ["ann"], "msg_type": "ACK"}), "asks for no acknowledgement"),
            (json!({"retry_ms": []}), "1 to 16"),
            (json!({"retry_ms": [0]}), "at least a millisecond"),
            (json!({"retry_ms": vec![1; 17]}), "1 to 16"),
            (json!({"retry_ms": [2_592_000_001_u64]}), "30 days"),
            (json!({"retry_ms": [1.5]}), "no whole number"),
            (json!({"retry_ms": ["30s"]}), "no whole number"),
            (json!({"retry_ms": 30}), "not an array"),
            (json!({"escalate": []}), "1 to 64"),
            (json!({"escalate": ["@a b"]}), "escalate"),
            (json!({"escalate": [7]}), "escalate[]"),
        ] {
            assert!(refusal(asking(more.clone())).contains(told), "{more}: {}", refusal(asking(more.clone())));
        }
    }

    proptest! {
        #[test]
        fn every_message_that_is_accepted_reads_back_as_it_was_said(
            content in "\\PC{1,200}|[\\x01-\\x7f]{1,50}", thread in proptest::option::of("[a-zé ]{0,20}x"), ack in any::<bool>(),
            data in proptest::option::of("[\\PC&&[^\"\\\\]]{0,40}"), recipients in prop::collection::vec("[a-z][a-z0-9]{0,8}", 1..5),
        ) {
            prop_assume!(!content.trim().is_empty());
            let data = data.map(|text| json!({"k": text, "n": [1.5, null, true]}));
            let mut record = json!({"sender_id": "a", "recipients": recipients, "content": content, "requires_ack": ack});
            if let Some(thread) = &thread { record["thread"] = json!(thread); }
            if let Some(data) = &data { record["data"] = data.clone(); }
            let accepted = parse(&record.to_string()).and_then(accept).expect("accepted");
            let line = [b"{".to_vec(), accepted.draft.body].concat();
            let stored: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
            let mut known = recipients;
            let mut seen = std::collections::HashSet::new();
            known.retain(|id| seen.insert(id.clone()));
            prop_assert_eq!(&stored["content"], &json!(content));
            prop_assert_eq!(&stored["recipients"], &json!(known));
            prop_assert_eq!(stored.get("thread").cloned(), thread.map(|t| json!(t)));
            prop_assert_eq!(stored.get("data").cloned(), data);
            prop_assert_eq!(stored.get("requires_ack").is_some(), ack);
            prop_assert!(!String::from_utf8(line).expect("text").chars().any(text::is_unsafe));
        }
    }
}
