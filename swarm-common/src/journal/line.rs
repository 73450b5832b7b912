//! What stands at the head of a line: its seq, its id, its time. The canonical order makes that a few comparisons; any
//! other order is read too, by the scanner.

use jiff::Timestamp;

use crate::json::{Scanner, Str, Value, Walk};
use crate::time;

const BEFORE_SEQ: &[u8] = b"{\"seq\":";
const BEFORE_ID: &[u8] = b",\"msg_id\":\"";
const BEFORE_TIMESTAMP: &[u8] = b"\",\"timestamp\":\"";
const BEFORE_TYPE: &[u8] = b",\"msg_type\":\"";

/// Digits of the largest seq.
const SEQ_DIGITS_MAX: usize = 20;

/// `{"seq":N,"msg_id":` and `,"timestamp":"T",` without the id and its quotes.
pub(super) const HEAD_FIXED_BYTES_MAX: usize =
    BEFORE_SEQ.len() + SEQ_DIGITS_MAX + BEFORE_ID.len() - 1 + BEFORE_TIMESTAMP.len() - 1 + time::WRITTEN_LEN + 2;

/// No line is shorter, newline included (its head alone is longer): bounds which seq a place in a segment can hold.
const LINE_BYTES_MIN: u64 = 16;

/// The head of a canonical line.
pub(super) struct Head<'a> {
    pub seq: u64,
    /// Between its quotes; has no escapes.
    pub msg_id: &'a [u8],
    pub timestamp: &'a [u8],
    /// What follows the timestamp and its quote.
    pub rest: &'a [u8],
}

/// The fast way; `None` when the line is not written as the journal writes.
#[inline]
pub(super) fn canonical(line: &[u8]) -> Option<Head<'_>> {
    let rest = line.strip_prefix(BEFORE_SEQ)?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let seq = number(&rest[..digits])?;
    let rest = rest[digits..].strip_prefix(BEFORE_ID)?;
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    let (msg_id, rest) = rest.split_at(end);
    let rest = rest.strip_prefix(BEFORE_TIMESTAMP)?;
    let timestamp = rest.get(..time::WRITTEN_LEN)?;
    let rest = rest[time::WRITTEN_LEN..].strip_prefix(b"\"")?;
    Some(Head { seq, msg_id, timestamp, rest })
}

/// The type of a canonical line, and what follows it; `None` when the line is not written as the journal writes.
#[inline]
pub(super) fn kind(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = canonical(line)?.rest.strip_prefix(BEFORE_TYPE)?;
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    let (msg_type, rest) = rest.split_at(end);
    rest.starts_with(b"\"").then_some((msg_type, rest))
}

#[inline]
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > SEQ_DIGITS_MAX || digits[0] == b'0' {
        return None;
    }
    digits.iter().try_fold(0u64, |n, &digit| n.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// What the long way reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub seq: Option<u64>,
    pub msg_id: Option<String>,
    pub sender_id: Option<String>,
    pub timestamp: Option<Timestamp>,
}

/// The long way: any order, white space and escapes.
///
/// # Errors
/// Why the line is no record.
pub(super) fn known(line: &[u8], scanner: &mut Scanner) -> Result<Known, String> {
    let mut known = Known::default();
    let visit = |key: Str<'_>, value: Value<'_>| {
        match value {
            Value::Number(_) if key.is(b"seq") => known.seq = value.as_u64(),
            Value::String(text) if key.is(b"msg_id") => known.msg_id = Some(text.text().into_owned()),
            Value::String(text) if key.is(b"sender_id") => known.sender_id = Some(text.text().into_owned()),
            Value::String(text) if key.is(b"timestamp") => known.timestamp = time::timestamp(&text.decode()),
            _ => {}
        }
        Walk::On
    };
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    scanner.members(line, visit).map_err(|fault| fault.to_string())?;
    Ok(known)
}

/// Place in the order and in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub seq: u64,
    pub timestamp: Timestamp,
}

/// The stamp of a line; `None` when it cannot be read.
pub(super) fn stamp(line: &[u8]) -> Option<Stamp> {
    if let Some(head) = canonical(line)
        && let Some(timestamp) = time::timestamp(head.timestamp)
    {
        return Some(Stamp { seq: head.seq, timestamp });
    }
    let known = known(line, &mut Scanner::new()).ok()?;
    Some(Stamp { seq: known.seq?, timestamp: known.timestamp? })
}

/// Whether a segment of this name and size can hold that seq at all. A line that says otherwise is damaged: one flipped
/// digit must not send the journal's numbers into the trillions.
pub(super) fn is_plausible(seq: u64, first_seq: u64, segment_bytes: u64) -> bool {
    seq >= first_seq && seq - first_seq <= segment_bytes / LINE_BYTES_MIN
}

/// How the line that is due has to begin: `{"seq":N,`, counted up in place, so that neither a reader that checks a million
/// lines nor a writer that numbers them formats a number for each.
pub(super) struct Due {
    seq: u64,
    text: [u8; Due::BYTES],
    /// The digits begin here; they end before the comma, which is the last byte.
    digits: usize,
}

impl Due {
    const BYTES: usize = BEFORE_SEQ.len() + SEQ_DIGITS_MAX + 1;

    pub fn at(seq: u64) -> Due {
        let number = seq.to_string();
        let digits = Due::BYTES - 1 - number.len();
        let mut text = [0; Due::BYTES];
        text[digits - BEFORE_SEQ.len()..digits].copy_from_slice(BEFORE_SEQ);
        text[digits..Due::BYTES - 1].copy_from_slice(number.as_bytes());
        text[Due::BYTES - 1] = b',';
        Due { seq, text, digits }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// `{"seq":N,`
    #[inline]
    pub fn prefix(&self) -> &[u8] {
        &self.text[self.digits - BEFORE_SEQ.len()..]
    }

    /// On to the next seq.
    #[inline]
    pub fn advance(&mut self) {
        for at in (self.digits..Due::BYTES - 1).rev() {
            if self.text[at] != b'9' {
                self.text[at] += 1;
                self.seq += 1;
                return;
            }
            self.text[at] = b'0';
        }
        // All were nines: one digit more.
        *self = Due::at(self.seq.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] =
        br#"{"seq":12,"msg_id":"a-1","timestamp":"2026-11-23T08:34:30.123456Z","msg_type":"INFO","sender_id":"b","content":"c"}"#;

    #[test]
    fn the_head_of_a_canonical_line_is_read_without_the_scanner() {
        let head = canonical(LINE).expect("canonical");
        assert_eq!((head.seq, head.msg_id, head.timestamp), (12, &b"a-1"[..], &b"2026-11-23T08:34:30.123456Z"[..]));
        for cut in 0..LINE.len() - 55 {
            assert!(canonical(&LINE[..cut]).is_none(), "{cut}");
        }
        assert_eq!(kind(LINE), Some((&b"INFO"[..], &br#"","sender_id":"b","content":"c"}"#[..])));
        for odd in [&LINE[..80], br#"{"seq":12,"msg_type":"INFO"}"#] {
            assert_eq!(kind(odd), None);
        }
    }

    #[test]
    fn any_other_order_white_space_and_escapes_read_too() {
        let odd = br#" { "sender_id" : "b", "timestamp":"2026-11-23T08:34:30.123456Z", "\u006dsg_id":"\u0061-1" ,"seq": 12 }"#;
        assert!(canonical(odd).is_none());
        assert_eq!(stamp(odd), stamp(LINE));
        let (odd, plain) = (known(odd, &mut Scanner::new()), known(LINE, &mut Scanner::new()));
        assert!(odd.is_ok() && odd == plain);
        assert_eq!(stamp(b"\0\0\0\0"), None);
    }

    proptest! {
        #[test]
        fn counting_up_in_place_writes_what_formatting_would(
            start in prop_oneof![0u64..2000, 9_999_990..10_000_010u64, any::<u64>()], steps in 0u64..300,
        ) {
            prop_assume!(start < u64::MAX - 300);
            let mut due = Due::at(start);
            for _ in 0..steps { due.advance(); }
            let expected = format!("{{\"seq\":{},", start + steps);
            prop_assert_eq!((due.seq(), due.prefix()), (start + steps, expected.as_bytes()));
        }
    }
}
