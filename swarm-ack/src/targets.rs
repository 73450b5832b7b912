//! Which messages are to be acknowledged: as they are typed, or as they come through a pipe. It looks nothing up.

use swarm_common::exit::Failure;
use swarm_common::message;

use swarm_common::record::{self, Asks, TYPE_RETRY};

/// A message that somebody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The line it stood in; `None` where it was typed.
    pub line: Option<u64>,
    /// Which one.
    pub named: Named,
    /// A whole record was handed over: one of many, perhaps, that need no acknowledgement, or not mine.
    pub is_record: bool,
}

/// How it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its id.
    Id(String),
    /// By its place in the journal.
    Seq(u64),
}

/// An id that was typed.
///
/// # Errors
/// Status 2 for what is no message id.
pub fn id(line: Option<u64>, text: &str) -> Result<Target, Failure> {
    message::check_msg_id("message", text)?;
    Ok(Target { line, named: Named::Id(text.to_string()), is_record: false })
}

/// A line that came through a pipe: an id, or a whole record; `None` where it is blank, or a record that asks for nothing.
///
/// # Errors
/// Status 2 for what is neither.
pub fn line(number: u64, line: &[u8]) -> Result<Option<Target>, Failure> {
    let line = line.trim_ascii();
    match line.first() {
        None => Ok(None),
        Some(b'{') => {
            let record = record::parse(line).ok_or_else(|| Failure::wrong("no record of a message"))?;
            let msg_id = match record.asks() {
                // A reminder stands for the message that it is about.
                Asks::Nobody if record.msg_type == TYPE_RETRY && !record.recipients.is_empty() => record.reply_to,
                Asks::Nobody => return Ok(None),
                _ => record.msg_id,
            };
            Ok(Some(Target { is_record: true, ..id(Some(number), &msg_id)? }))
        }
        Some(_) => {
            let text = std::str::from_utf8(line).map_err(|_| Failure::wrong("not UTF-8"))?;
            id(Some(number), text).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_id_or_a_record_and_a_record_that_does_not_ask_is_passed_over() {
        assert_eq!(line(3, b" m1\r"), Ok(Some(Target { line: Some(3), named: Named::Id("m1".into()), is_record: false })));
        let asks = br#"{"msg_id":"m1","msg_type":"INFO","recipients":["a"],"requires_ack":true}"#;
        assert_eq!(line(1, asks), Ok(Some(Target { line: Some(1), named: Named::Id("m1".into()), is_record: true })));
        let reminder = br#"{"msg_id":"r1","msg_type":"RETRY","recipients":["a"],"reply_to":"m1"}"#;
        assert_eq!(line(1, reminder), line(1, asks), "a reminder stands for its message");
        for nothing in
            [&b""[..], b"  ", br#"{"msg_id":"m1","msg_type":"INFO"}"#, br#"{"msg_id":"m1","msg_type":"ACK","requires_ack":true}"#]
        {
            assert_eq!(line(1, nothing), Ok(None));
        }
        for wrong in [&b"{"[..], b"a b", b"\xff", br#"{"msg_type":"INFO","recipients":["a"],"requires_ack":true}"#, b"[1]"] {
            assert_eq!(line(1, wrong).unwrap_err().exit.status(), 2, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
