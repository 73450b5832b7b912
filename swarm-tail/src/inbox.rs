//! One agent's inbox: which records of the journal are for it. It decides, line by line; it prints nothing and moves nothing.

use std::ops::Range;

use memchr::memmem;
use swarm_common::exit::Failure;
use swarm_common::journal::{Reader, Step};
use swarm_common::json::{Front, Scanner, Str, Value, Walk};
use swarm_common::message::{ALL, TYPES_OF_SYSTEM};

/// To say how many messages remain, no more of them are counted, and no more records looked at.
const COUNTED_MAX: u64 = 10_000;
const LOOKED_AT_MAX: u64 = 1_000_000;

/// Whose inbox it is, and the room that looking needs.
pub struct Inbox {
    me: String,
    /// What is for everybody counts from this seq on.
    all_from_seq: u64,
    scanner: Scanner,
    recipients: memmem::Finder<'static>,
    escape: memmem::Finder<'static>,
}

/// Lines that stand together in a block, with the seqs that they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where they stand, newlines included.
    pub bytes: Range<usize>,
    /// Seq of the first one.
    pub first_seq: u64,
    /// How many.
    pub count: u64,
}

impl Run {
    /// The seq behind the last one.
    pub fn end_seq(&self) -> u64 {
        self.first_seq + self.count
    }
}

/// What is known of a record in the middle of its walk.
#[derive(Default)]
struct Seen<'a> {
    is_for_me: bool,
    is_of_system: bool,
    sender: Option<Str<'a>>,
    /// The Python program's name for `sender_id`; it counts only where that is missing.
    legacy_sender: Option<Str<'a>>,
    wrong: Option<String>,
}

impl Inbox {
    /// The inbox of `me`, for whom what is sent to everybody counts from `all_from_seq` on.
    pub fn of(me: &str, all_from_seq: u64) -> Inbox {
        Inbox {
            me: me.to_string(),
            all_from_seq,
            scanner: Scanner::new(),
            recipients: memmem::Finder::new("recipients"),
            escape: memmem::Finder::new("\\u"),
        }
    }

    /// Whose it is.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// Finds the lines that are mine among these, which have the seqs from `first_seq` on. A damaged one that could be mine is handed to
    /// `damaged` with why.
    pub fn sift(&mut self, lines: &[u8], first_seq: u64, mine: &mut Vec<Run>, mut damaged: impl FnMut(u64, &[u8], &str)) {
        let (mut start, mut seq) = (0, first_seq);
        for newline in memchr::memchr_iter(b'\n', lines) {
            let line = &lines[start..newline];
            match self.is_mine(line, seq) {
                Ok(false) => {}
                Ok(true) => match mine.last_mut().filter(|run| run.bytes.end == start && run.end_seq() == seq) {
                    Some(run) => {
                        run.bytes.end = newline + 1;
                        run.count += 1;
                    }
                    None => mine.push(Run { bytes: start..newline + 1, first_seq: seq, count: 1 }),
                },
                Err(why) => damaged(seq, line, &why),
            }
            (start, seq) = (newline + 1, seq + 1);
        }
    }

    /// How many messages to me a reader has before it, in words. `None` when there are none.
    ///
    /// # Errors
    /// What reading fails with.
    pub fn remain(&mut self, reader: &mut Reader) -> Result<Option<String>, Failure> {
        let (mut mine, mut found, mut seen) = (Vec::new(), 0, 0);
        let is_all = loop {
            match reader.next()? {
                Step::Lines { bytes, first_seq, count } => {
                    mine.clear();
                    self.sift(bytes, first_seq, &mut mine, |_, _, _| {});
                    found += mine.iter().map(|run| run.count).sum::<u64>();
                    seen += count;
                }
                Step::Gap { .. } | Step::Damaged { .. } => {}
                Step::End => break true,
            }
            if found >= COUNTED_MAX || seen >= LOOKED_AT_MAX {
                break false;
            }
        };
        let least = if is_all { "" } else { "at least " };
        Ok(match found {
            0 if is_all => None,
            0 => Some(format!("more messages to {} may remain", self.me)),
            1 => Some(format!("{least}1 more message to {} remains", self.me)),
            _ => Some(format!("{least}{found} more messages to {} remain", self.me)),
        })
    }

    /// Whether the record on this line (without its newline) is for me: it names me, in upper or lower case, or everybody, and I did not
    /// send it. What a tool tells me of myself I have not sent (a lease of mine that ended).
    ///
    /// # Errors
    /// Why it is no record, where it could be for me.
    #[inline]
    pub fn is_mine(&mut self, line: &[u8], seq: u64) -> Result<bool, String> {
        match self.is_mine_by_front(line, seq) {
            Some(false) => Ok(false),
            Some(true) => self.walk(line, seq),
            // It names nobody: the records of leases are many.
            None if self.recipients.find(line).is_none() && self.escape.find(line).is_none() => Ok(false),
            None => self.walk(line, seq),
        }
    }

    /// The same by the front of a canonical record, which most lines of most journals are dropped by. `None` where it does not tell.
    #[inline]
    fn is_mine_by_front(&self, line: &[u8], seq: u64) -> Option<bool> {
        let mut front = Front::new(line)?;
        front.string_of::<36>(b",\"msg_id\":\"")?;
        front.string_of::<27>(b",\"timestamp\":\"")?;
        let msg_type = front.string(b",\"msg_type\":\"")?;
        let sender = front.string(b",\"sender_id\":\"")?;
        if sender.eq_ignore_ascii_case(self.me.as_bytes()) && !is_of_system(msg_type) {
            return Some(false);
        }
        let mut lead: &[u8] = b",\"recipients\":[\"";
        loop {
            if self.is_me(front.string(lead)?, seq) {
                return Some(true);
            }
            if front.takes(b']') {
                return Some(false);
            }
            lead = b",\"";
        }
    }

    #[inline]
    fn is_me(&self, recipient: &[u8], seq: u64) -> bool {
        recipient.eq_ignore_ascii_case(self.me.as_bytes()) || (recipient == ALL.as_bytes() && seq >= self.all_from_seq)
    }

    /// The same by the scanner, which understands every record, to its end.
    fn walk(&mut self, line: &[u8], seq: u64) -> Result<bool, String> {
        let mut scanner = std::mem::take(&mut self.scanner);
        let mut seen = Seen::default();
        let walked = scanner.members(line, |key, value| {
            seen.wrong = self.member(key, value, seq, &mut seen).err();
            if seen.wrong.is_some() { Walk::Stop } else { Walk::On }
        });
        self.scanner = scanner;
        walked.map_err(|fault| fault.to_string())?;
        if let Some(wrong) = seen.wrong {
            return Err(wrong);
        }
        let sender = seen.sender.or(seen.legacy_sender);
        let is_own = sender.is_some_and(|sender| sender.is_ignoring_case(self.me.as_bytes())) && !seen.is_of_system;
        Ok(seen.is_for_me && !is_own)
    }

    fn member<'a>(&self, key: Str<'a>, value: Value<'a>, seq: u64, seen: &mut Seen<'a>) -> Result<(), String> {
        match value {
            Value::String(msg_type) if key.is(b"msg_type") => seen.is_of_system = is_of_system(&msg_type.decode()),
            Value::String(id) if key.is(b"sender_id") => seen.sender = Some(id),
            Value::String(id) if key.is(b"sender") => seen.legacy_sender = Some(id),
            Value::Array(_) if key.is(b"recipients") => {
                for item in value.items() {
                    let Value::String(id) = item else { return Err("\"recipients\" holds other things than strings".into()) };
                    seen.is_for_me |= self.is_me(&id.decode(), seq);
                }
            }
            _ if key.is(b"recipients") => return Err(format!("\"recipients\" is {}, not an array of strings", value.kind())),
            _ => {}
        }
        Ok(())
    }
}

fn is_of_system(msg_type: &[u8]) -> bool {
    TYPES_OF_SYSTEM.iter().any(|known| msg_type.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value as Json;

    /// What the man page says, by another parser and a record as a whole: `None` where it is no record.
    fn oracle(line: &str, me: &str, all_from_seq: u64, seq: u64) -> Option<bool> {
        let record: Json = serde_json::from_str(line).ok()?;
        let is_me = |id: &Json| id.as_str().is_some_and(|id| id.eq_ignore_ascii_case(me));
        let recipients = match record.get("recipients") {
            None => return Some(false),
            Some(recipients) => recipients.as_array()?,
        };
        if recipients.iter().any(|id| !id.is_string()) {
            return None;
        }
        let is_named = recipients.iter().any(|id| is_me(id) || (id == "@all" && seq >= all_from_seq));
        let sender = record.get("sender_id").or(record.get("sender")).unwrap_or(&Json::Null);
        let msg_type = record.get("msg_type").and_then(Json::as_str).unwrap_or_default().to_uppercase();
        Some(is_named && (!is_me(sender) || TYPES_OF_SYSTEM.contains(&msg_type.as_str())))
    }

    fn id() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["me", "ME", "Me", "m", "mee", "@all", "@ALL", "agent-1", "\\u006de", "\\u0040all", "recipients", "é"])
            .prop_map(String::from)
    }

    fn line() -> impl Strategy<Value = String> {
        let msg_type = prop::sample::select(vec!["INFO", "EXPIRED", "stolen", "LOCKED", "ST\\u004fLEN", "QUESTION"]);
        let recipients = prop_oneof![
            6 => prop::collection::vec(id(), 1..4).prop_map(|ids| format!("\"recipients\":[\"{}\"],", ids.join("\",\""))),
            1 => Just(String::new()),
            1 => Just("\"recipients\":[],".to_string()),
            1 => Just("\"recipients\":\"me\",".to_string()),
            1 => Just("\"recipients\":[\"me\",1],".to_string()),
            1 => Just(" \"re\\u0063ipients\" : [ \"x\" , \"me\" ] ,".to_string()),
        ];
        let between = prop::sample::select(vec!["", "", "\"forced_by\":\"me\",", "\"data\":{\"recipients\":[\"me\"]},"]);
        let sender = prop::sample::select(vec!["sender_id", "sender"]);
        let content = prop::sample::select(vec!["x", "to me", "recipients", "\\\"recipients\\\":[\\\"me\\\"]", "\\u0000"]);
        let end = prop::sample::select(vec!["\"}", "\"}", "\"}", "\"} ", "", "\"}}"]);
        (msg_type, sender, id(), between, recipients, content, end).prop_map(
            |(msg_type, sender, from, between, recipients, content, end)| {
                let head = "{\"seq\":7,\"msg_id\":\"m-7\",\"timestamp\":\"2026-11-23T08:34:30.123456Z\"";
                format!("{head},\"msg_type\":\"{msg_type}\",\"{sender}\":\"{from}\",{between}{recipients}\"content\":\"{content}{end}")
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_mine_is_what_a_parser_of_the_whole_record_says(line in line(), all_from_seq in 6u64..9) {
            let mut inbox = Inbox::of("Me", all_from_seq);
            let said = inbox.is_mine(line.as_bytes(), 7);
            match oracle(&line, "me", all_from_seq, 7) {
                Some(is_mine) => prop_assert_eq!(said, Ok(is_mine), "{}", line),
                // What cannot be for me need not be a record.
                None => prop_assert_ne!(said, Ok(true), "{}", line),
            }
            prop_assert!(inbox.walk(line.as_bytes(), 7).is_ok() == oracle(&line, "me", all_from_seq, 7).is_some(), "{}", line);
        }

        #[test]
        fn runs_are_the_lines_that_are_mine_each_once_with_their_seqs(mine in prop::collection::vec(any::<bool>(), 0..40), first_seq in 1u64..100) {
            let line = |is_mine: bool, seq: u64| format!("{{\"seq\":{seq},\"recipients\":[\"{}\"]}}\n", if is_mine { "me" } else { "you" });
            let lines: Vec<String> = mine.iter().zip(first_seq..).map(|(is_mine, seq)| line(*is_mine, seq)).collect();
            let (text, mut runs) = (lines.concat(), Vec::new());
            Inbox::of("me", 0).sift(text.as_bytes(), first_seq, &mut runs, |_, _, _| panic!("damaged"));
            let printed: String = runs.iter().map(|run| &text[run.bytes.clone()]).collect();
            let expected: String = lines.iter().zip(&mine).filter(|(_, mine)| **mine).map(|(line, _)| line.as_str()).collect();
            prop_assert_eq!(printed, expected);
            let seqs: Vec<u64> = runs.iter().flat_map(|run| run.first_seq..run.end_seq()).collect();
            let expected: Vec<u64> = mine.iter().zip(first_seq..).filter(|(mine, _)| **mine).map(|(_, seq)| seq).collect();
            prop_assert_eq!(seqs, expected);
            prop_assert!(runs.windows(2).all(|pair| pair[0].end_seq() < pair[1].first_seq), "runs that touch are one");
        }
    }
}
