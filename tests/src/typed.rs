//! What was typed at an agent, told apart: the blocks of messages, each in one bracketed paste, and what else there is. Pure: bytes in.

/// The beginning and the end of a bracketed paste.
const PASTE: (&[u8], &[u8]) = (b"\x1b[200~", b"\x1b[201~");

/// Something that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A message.
    Message(Message),
    /// The line that says that there are messages.
    Wake {
        /// Enter came behind it.
        is_entered: bool,
    },
    /// Anything else: keys, a paste that is no block, one that was cut off.
    Else(String),
}

/// A message as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, as the first line says.
    pub from: String,
    /// Its type.
    pub msg_type: String,
    /// Its place in the journal.
    pub seq: u64,
    /// Which try it is, where it was sent again.
    pub retry: Option<u32>,
    /// Its lines, without the bar.
    pub lines: Vec<String>,
    /// Enter came right behind it.
    pub is_entered: bool,
}

/// What was typed into a pane with bracketed paste, in its order.
pub fn pieces(mut bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let begin = find(bytes, PASTE.0).unwrap_or(bytes.len());
        if begin > 0 {
            pieces.push(Piece::Else(String::from_utf8_lossy(&bytes[..begin]).into_owned()));
            bytes = &bytes[begin..];
            continue;
        }
        let Some(end) = find(bytes, PASTE.1) else {
            pieces.push(Piece::Else(String::from_utf8_lossy(bytes).into_owned()));
            break;
        };
        let text = &bytes[PASTE.0.len()..end];
        bytes = &bytes[end + PASTE.1.len()..];
        let is_entered = bytes.first() == Some(&b'\r');
        match block(text, is_entered) {
            Some(piece) => {
                bytes = &bytes[usize::from(is_entered)..];
                pieces.push(piece);
            }
            None => pieces.push(Piece::Else(String::from_utf8_lossy(text).into_owned())),
        }
    }
    pieces
}

/// The messages among what was typed. Fails where there is anything else.
///
/// # Errors
/// What else there is.
pub fn messages(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let one = |piece| match piece {
        Piece::Message(message) => Ok(message),
        other => Err(format!("{other:?} in {:?}", String::from_utf8_lossy(bytes))),
    };
    pieces(bytes).into_iter().map(one).collect()
}

fn block(text: &[u8], is_entered: bool) -> Option<Piece> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.contains(|c: char| c.is_control() && c != '\n'))?;
    let mut lines = text.split('\n');
    let first = lines.next()?.strip_prefix("[swarm] ")?;
    let lines = lines.map(|line| line.strip_prefix("| ").map(str::to_string)).collect::<Option<Vec<String>>>()?;
    if first.starts_with("unread messages") {
        return lines.is_empty().then_some(Piece::Wake { is_entered });
    }
    // from agent-0: QUESTION, seq 7, retry 1. To answer: ...
    let (from, rest) = first.strip_prefix("from ")?.split_once(": ")?;
    let (msg_type, rest) = rest.split_once(", seq ")?;
    let (place, _) = rest.split_once(". ")?;
    let (seq, retry) = match place.split_once(", retry ") {
        Some((seq, retry)) => (seq, Some(retry.parse().ok()?)),
        None => (place, None),
    };
    let seq = seq.parse().ok()?;
    Some(Piece::Message(Message { from: from.to_string(), msg_type: msg_type.to_string(), seq, retry, lines, is_entered }))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, lines: &[&str], is_entered: bool) -> Piece {
        let lines = lines.iter().map(ToString::to_string).collect();
        Piece::Message(Message { from: "a".into(), msg_type: "INFO".into(), seq, retry: None, lines, is_entered })
    }

    #[test]
    fn blocks_are_told_from_keys_and_from_each_other() {
        let typed = b"\x1b[200~[swarm] from a: INFO, seq 1. To answer: x\n| one\n| \n| two\x1b[201~\r\
            \x1b[200~[swarm] from a: INFO, seq 2. To answer: x\x1b[201~<sealed>\x1b[200~[swarm] unread messages: y\x1b[201~\r";
        let told = [message(1, &["one", "", "two"], true), message(2, &[], false), Piece::Else("<sealed>".into())];
        let told: Vec<Piece> = told.into_iter().chain([Piece::Wake { is_entered: true }]).collect();
        assert_eq!(pieces(typed), told);
    }

    #[test]
    fn what_is_mixed_cut_off_or_forged_is_no_message() {
        let head = "[swarm] from a: INFO, seq 1. To answer: x";
        for typed in [
            format!("\x1b[200~{head}\n| one"),
            format!("\x1b[200~{head}\n| o\x1b[200~{head}\n| two\x1b[201~\rne\x1b[201~\r"),
            format!("\x1b[200~{head}\n| one\n{head}\x1b[201~\r"),
            format!("\x1b[200~{head}\n| one\rtwo\x1b[201~\r"),
            "\x1b[200~| one\x1b[201~\r".to_string(),
        ] {
            assert!(messages(typed.as_bytes()).is_err(), "{typed:?}");
        }
    }
}
