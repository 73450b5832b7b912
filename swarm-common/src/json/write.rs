//! Writing: strings and values as the journal holds them, harmless to a terminal.

use super::{Cursor, skip_plain};
use crate::text;

/// Writes a string with its quotes. Besides what JSON demands, every character that a terminal may obey or a reader
/// cannot see is escaped, so that `cat` of a journal is harmless.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let end = skip_plain(bytes, at);
        write_run(&text[at..end], out);
        let Some(&byte) = bytes.get(end) else { break };
        write_char(char::from(byte), out);
        at = end + 1;
    }
    out.push(b'"');
}

/// Text without anything that JSON wants escaped. Copied in runs: going by characters was a third of a large batch.
fn write_run(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let (mut start, mut at) = (0, 0);
    // Only DEL and characters beyond ASCII can still be unsafe.
    while let Some(next) = bytes[at..].iter().position(|&byte| byte >= 0x7f) {
        at += next;
        let Some(c) = text[at..].chars().next() else { break };
        if text::is_unsafe(c) {
            out.extend_from_slice(&bytes[start..at]);
            write_char(c, out);
            start = at + c.len_utf8();
        }
        at += c.len_utf8();
    }
    out.extend_from_slice(&bytes[start..]);
}

fn write_char(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c if text::is_unsafe(c) => text::escape_json(c, out),
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Writes a scanned value canonically: no white space between tokens, strings as [`write_string`] writes them, numbers and the
/// order of keys as they were.
pub fn write_canonical(raw: &[u8], out: &mut Vec<u8>) {
    let mut walk = Cursor { line: raw, at: 0 };
    while let Some(byte) = walk.peek() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => walk.at += 1,
            b'"' => match walk.string() {
                Ok(string) => write_string(&string.text(), out),
                // Not reached with a scanned value; what is left is kept rather than lost.
                Err(_) => return out.extend_from_slice(&raw[walk.at.min(raw.len())..]),
            },
            byte => {
                out.push(byte);
                walk.at += 1;
            }
        }
    }
}
